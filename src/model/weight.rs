//! Frozen weights: slices of a memory-mapped safetensors file in the dtype they are stored in, or quantised blocks of a
//! mapped cache file.
//!
//! Nothing is copied on loading: pages come from the file when they are first read and can be dropped again. Reading
//! goes through the `safetensors` crate's own checks of the header.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::error::{Problem, Result};
use crate::fsx;
use crate::kernels::linear::{Matrix, Values};
use crate::kernels::quantised::{Blocks, Form};

/// A mapped file, and the file itself for reading past the map.
#[derive(Debug)]
pub(super) struct Mapped {
    map: Mmap,
    file: std::fs::File,
}

impl Mapped {
    /// Maps a file.
    #[expect(unsafe_code, reason = "mapping a file")]
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = fsx::open(path)?;
        // SAFETY: see `mapped_values`: the bytes are only read, and as plain numbers.
        let map = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
        Ok(Self { map, file })
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads at a position without touching the map, so that the pages do not count as this program's.
    fn read_at(&self, bytes: &mut [u8], at: usize) -> std::io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, at as u64);
        #[cfg(not(unix))]
        {
            let _ = &self.file;
            bytes.copy_from_slice(&self.map[at..at + bytes.len()]);
            Ok(())
        }
    }
}

/// A frozen [rows, cols] weight.
#[derive(Debug, Clone)]
pub struct Weight {
    storage: Storage,
    rows: usize,
    cols: usize,
    exact: bool,
}

#[derive(Debug, Clone)]
enum Storage {
    /// A range of bytes of a mapped file, aligned for its dtype.
    Mapped { map: Arc<Mapped>, start: usize, dtype: Dtype },
    /// Quantised blocks in a mapped file.
    Quantised { map: Arc<Mapped>, start: usize, form: Form },
    /// Values that could not be used where they lie: misaligned in the file, or made in memory.
    Owned(Arc<Vec<f32>>),
    /// Values made in memory and rounded, to be multiplied faster.
    OwnedBf16(Arc<Vec<bf16>>),
}

impl Weight {
    /// A weight made in memory.
    pub fn from_f32(values: Vec<f32>, rows: usize, cols: usize) -> Self {
        assert_eq!(values.len(), rows * cols);
        Self { storage: Storage::Owned(Arc::new(values)), rows, cols, exact: false }
    }

    /// A weight whose rows are means of this one's, in f32: of these rows, or of all where none are named.
    pub(super) fn means_of_rows(&self, sources: &[Vec<u32>]) -> Self {
        let (mut row, mut values) = (vec![0.0; self.cols], vec![0.0; sources.len() * self.cols]);
        let mut add = |of: &mut dyn Iterator<Item = usize>, into: &mut [f32]| {
            let mut count = 0.0;
            for index in of {
                self.matrix().widen_row(index, &mut row);
                into.iter_mut().zip(&row).for_each(|(sum, value)| *sum += value);
                count += 1.0;
            }
            into.iter_mut().for_each(|sum| *sum /= count);
        };
        let mut all = vec![0.0; self.cols];
        add(&mut (0..self.rows), &mut all);
        for (ids, into) in sources.iter().zip(values.chunks_exact_mut(self.cols)) {
            match ids.as_slice() {
                [] => into.copy_from_slice(&all),
                ids => add(&mut ids.iter().map(|id| *id as usize), into),
            }
        }
        Self { exact: self.exact, ..Self::from_f32(values, sources.len(), self.cols) }
    }

    /// Rows: the width of the output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the width of the input.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The quantised weight whose bytes begin at `start` of a mapped file.
    pub(super) fn quantised(map: Arc<Mapped>, start: usize, form: Form, rows: usize, cols: usize) -> Self {
        Self { storage: Storage::Quantised { map, start, form }, rows, cols, exact: false }
    }

    /// How it is quantised; none for plain numbers.
    pub fn form(&self) -> Option<Form> {
        match &self.storage {
            Storage::Quantised { form, .. } => Some(*form),
            _ => None,
        }
    }

    /// Bytes it takes, in memory or mapped.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Owned(values) => values.len() * 4,
            Storage::OwnedBf16(values) => values.len() * 2,
            Storage::Mapped { dtype, .. } => self.rows * self.cols * element_bytes(*dtype),
            Storage::Quantised { form, .. } => form.bytes(self.rows, self.cols),
        }
    }

    /// Rows `first..` in f32, `into` [rows, cols], read from the file by position where it is mapped plainly.
    pub(super) fn read_rows(&self, first: usize, into: &mut [f32]) -> std::io::Result<()> {
        let Storage::Mapped { map, start, dtype } = &self.storage else {
            for (row, into) in into.chunks_exact_mut(self.cols).enumerate() {
                self.matrix().widen_row(first + row, into);
            }
            return Ok(());
        };
        let mut bytes = vec![0; into.len() * element_bytes(*dtype)];
        map.read_at(&mut bytes, start + first * self.cols * element_bytes(*dtype))?;
        floats(&bytes, *dtype, into);
        Ok(())
    }

    /// The values for the kernels.
    pub fn matrix(&self) -> Matrix<'_> {
        let values = match &self.storage {
            Storage::Owned(values) => Values::F32(values),
            Storage::OwnedBf16(values) => Values::Bf16(values),
            Storage::Mapped { map, start, dtype } => mapped_values(map.bytes(), *start, *dtype, self.rows * self.cols),
            Storage::Quantised { map, start, form } => {
                let bytes = &map.bytes()[*start..start + form.bytes(self.rows, self.cols)];
                Values::Quantised(Blocks::new(*form, self.rows, self.cols, bytes))
            }
        };
        Matrix::new(values, self.rows, self.cols).exact(self.exact)
    }
}

/// A tensor of a decoder, whatever it is held in.
#[derive(Debug)]
pub enum TensorMut<'a> {
    /// A weight [rows, cols].
    Matrix(&'a mut Weight),
    /// A norm or bias `[len]`.
    Vector(&'a mut Vec<f32>),
}

impl TensorMut<'_> {
    /// Its shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            TensorMut::Matrix(weight) => vec![weight.rows, weight.cols],
            TensorMut::Vector(values) => vec![values.len()],
        }
    }

    /// A copy of its values.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            TensorMut::Vector(values) => values.to_vec(),
            TensorMut::Matrix(weight) => {
                let mut values = vec![0.0; weight.rows * weight.cols];
                for (row, into) in values.chunks_exact_mut(weight.cols).enumerate() {
                    weight.matrix().widen_row(row, into);
                }
                values
            }
        }
    }

    /// Keeps f32 activations in its products on every processor.
    pub(super) fn make_exact(self) {
        if let TensorMut::Matrix(weight) = self {
            weight.exact = true;
        }
    }

    /// Holds a matrix in memory, rounded to bf16.
    pub(super) fn round_to_bf16(self) {
        if let TensorMut::Matrix(weight) = self {
            let values = TensorMut::Matrix(&mut *weight).to_f32().into_iter().map(bf16::from_f32).collect();
            weight.storage = Storage::OwnedBf16(Arc::new(values));
        }
    }

    /// Holds a matrix that is stored in f32 or f16 in memory, rounded to bf16; others stay where they are. Says whether it
    /// did.
    pub(super) fn narrow_to_bf16(self) -> bool {
        let wide = match &self {
            TensorMut::Matrix(weight) => matches!(weight.matrix().values(), Values::F32(_) | Values::F16(_)),
            TensorMut::Vector(_) => false,
        };
        if wide {
            self.round_to_bf16();
        }
        wide
    }

    /// Replaces its values; a mapped weight becomes one in memory, one in bf16 rounds them.
    pub fn set(self, values: &[f32]) {
        match self {
            TensorMut::Vector(own) => own.copy_from_slice(values),
            TensorMut::Matrix(weight) => {
                assert_eq!(values.len(), weight.rows * weight.cols);
                if let Storage::OwnedBf16(own) = &mut weight.storage {
                    let own = Arc::make_mut(own);
                    own.iter_mut().zip(values).for_each(|(own, value)| *own = bf16::from_f32(*value));
                } else if let Storage::Owned(own) = &mut weight.storage
                    && let Some(own) = Arc::get_mut(own)
                {
                    own.copy_from_slice(values);
                } else {
                    weight.storage = Storage::Owned(Arc::new(values.to_vec()));
                }
            }
        }
    }
}

/// The mapped bytes as numbers. Alignment and length were checked when the weight was made.
#[expect(unsafe_code, reason = "a mapped file is read as numbers where it lies")]
fn mapped_values(map: &[u8], start: usize, dtype: Dtype, len: usize) -> Values<'_> {
    let bytes = &map[start..start + len * element_bytes(dtype)];
    // SAFETY: the slice lies inside the map and its start is aligned (checked in `Checkpoint::weight`); every bit
    // pattern is a valid f32, bf16 and f16; the map lives as long as the borrow. A file changed underneath gives other
    // numbers, never other lengths: files are replaced by rename, and a truncated one is the user's own doing.
    unsafe {
        match dtype {
            Dtype::BF16 => Values::Bf16(std::slice::from_raw_parts(bytes.as_ptr().cast::<bf16>(), len)),
            Dtype::F16 => Values::F16(std::slice::from_raw_parts(bytes.as_ptr().cast::<f16>(), len)),
            _ => Values::F32(std::slice::from_raw_parts(bytes.as_ptr().cast::<f32>(), len)),
        }
    }
}

fn element_bytes(dtype: Dtype) -> usize {
    if matches!(dtype, Dtype::BF16 | Dtype::F16) { 2 } else { 4 }
}

/// One tensor's place in a checkpoint.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    start: usize,
    len: usize,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// The tensors of a model folder: one `model.safetensors` or the shards its index names.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    maps: Vec<Arc<Mapped>>,
    places: BTreeMap<String, Place>,
}

impl Checkpoint {
    /// Maps the folder's safetensors files and reads their headers.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut checkpoint = Self { dir: dir.to_owned(), maps: Vec::new(), places: BTreeMap::new() };
        for file in files(dir)? {
            checkpoint.add(&file)?;
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let map = Mapped::open(path)?;
        let broken = |error: String| {
            Problem::input(format!("{} is not a sound safetensors file", path.display()))
                .detail(error)
                .hint("copy or download the file again")
        };
        let (header, metadata) = SafeTensors::read_metadata(map.bytes()).map_err(|e| broken(e.to_string()))?;
        let data = header + 8;
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            if data + end > map.bytes().len() {
                return Err(broken(format!("{name} ends at byte {} of {}", data + end, map.bytes().len())).into());
            }
            let place = Place {
                file: self.maps.len(),
                start: data + start,
                len: end - start,
                dtype: info.dtype,
                shape: info.shape.clone(),
            };
            if self.places.insert(name.clone(), place).is_some() {
                return Err(broken(format!("{name} is there twice")).into());
            }
        }
        self.maps.push(Arc::new(map));
        Ok(())
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    fn place(&self, name: &str, shape: &[usize]) -> Result<&Place> {
        let refuse = |what: String| {
            Problem::input(format!("{}: {what}", self.dir.display()))
                .hint("config.json and the weights must belong to the same model")
        };
        let place = self.places.get(name).ok_or_else(|| refuse(format!("the tensor {name} is missing")))?;
        if place.shape != shape {
            return Err(refuse(format!("{name} has shape {:?}, config.json says {shape:?}", place.shape)).into());
        }
        if !matches!(place.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            return Err(refuse(format!("{name} has dtype {:?}; F32, BF16 and F16 are read", place.dtype)).into());
        }
        Ok(place)
    }

    /// A [rows, cols] weight, used where it lies in the file.
    pub fn weight(&self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        let place = self.place(name, &[rows, cols])?;
        let map = &self.maps[place.file];
        assert_eq!(place.len, rows * cols * element_bytes(place.dtype));
        let aligned = (map.bytes().as_ptr() as usize + place.start).is_multiple_of(element_bytes(place.dtype));
        let storage = if aligned {
            Storage::Mapped { map: Arc::clone(map), start: place.start, dtype: place.dtype }
        } else {
            Storage::Owned(Arc::new(self.read_f32(place)))
        };
        Ok(Weight { storage, rows, cols, exact: false })
    }

    /// A small vector (norm or bias) as f32.
    pub fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(self.read_f32(self.place(name, &[len])?))
    }

    fn read_f32(&self, place: &Place) -> Vec<f32> {
        let bytes = &self.maps[place.file].bytes()[place.start..place.start + place.len];
        let mut values = vec![0.0; place.len / element_bytes(place.dtype)];
        floats(bytes, place.dtype, &mut values);
        values
    }
}

/// Little-endian numbers of a dtype in f32.
fn floats(bytes: &[u8], dtype: Dtype, into: &mut [f32]) {
    let pair = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    match dtype {
        Dtype::BF16 => bytes.chunks_exact(2).zip(into).for_each(|(b, to)| *to = bf16::from_bits(pair(b)).to_f32()),
        Dtype::F16 => bytes.chunks_exact(2).zip(into).for_each(|(b, to)| *to = f16::from_bits(pair(b)).to_f32()),
        _ => {
            bytes.chunks_exact(4).zip(into).for_each(|(b, to)| *to = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        }
    }
}

/// The weight files of a model folder, in a fixed order.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let index = dir.join("model.safetensors.index.json");
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(Problem::input(format!("{} has no model.safetensors", dir.display()))
            .hint("give the folder of a Hugging Face model with its weights as safetensors")
            .into());
    }
    let value: Value = serde_json::from_str(&fsx::read_text(&index)?)
        .map_err(|error| Problem::input(format!("{} is not JSON", index.display())).detail(error.to_string()))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let mut names: Vec<&str> = map.into_iter().flat_map(|m| m.values()).filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.iter().any(|name| name.contains(['/', '\\'])) {
        return Err(Problem::input(format!("{} names no shards of this folder", index.display())).into());
    }
    let missing: Vec<&str> = names.iter().copied().filter(|name| !dir.join(name).is_file()).collect();
    if !missing.is_empty() {
        return Err(Problem::input(format!("{} lacks {}", dir.display(), missing.join(", ")))
            .hint("download the missing shards")
            .into());
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}
