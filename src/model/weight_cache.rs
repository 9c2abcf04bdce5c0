//! Quantised weights on disk: made once from a model's safetensors and kept beside the other caches, because the model's
//! own folder may be read-only and because a cache file can be mapped.
//!
//! The file is a safetensors file of bytes, named by the content hash of the base model, so two folders of one model
//! share it and a changed model gets another. Rows are read by position a few at a time: neither the source nor a whole
//! weight in f32 is ever in memory. It is written aside and renamed; one that does not fit is made again.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rayon::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use super::decoder::Decoder;
use super::identity;
use super::weight::{Mapped, TensorMut, Weight};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::kernels::quantised::{Form, STRIP, nf4, quantise_strip};

/// The layout of the blocks in the file; a new number when `kernels::quantised` lays them out otherwise.
const LAYOUT: &str = "expert-cli.quantised/1";

/// Tensors begin at multiples of this: a cache line.
const ALIGNMENT: usize = 64;

/// Numbers of a weight that are read and quantised at once: 16 MiB of f32.
const NUMBERS_AT_ONCE: usize = 1 << 22;

/// How a model's frozen weights are to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantisation {
    /// The form of every linear whose width it divides.
    pub form: Form,
    /// The embedding and the head too.
    pub embeddings: bool,
}

impl Quantisation {
    /// What a manifest's `quantization` asks for: `int8` is Q8_0, `int4` is Q4_K, `nf4` is bitsandbytes' NF4 with double
    /// quantisation. Every other value leaves the weights as they are stored.
    pub fn from_manifest(name: Option<&str>, embeddings: bool) -> Option<Self> {
        let form = match name? {
            "int8" => Form::Q8_0,
            "int4" => Form::Q4K,
            "nf4" => Form::Nf4,
            _ => return None,
        };
        Some(Self { form, embeddings })
    }

    /// The manifest's word for it.
    pub fn name(&self) -> &'static str {
        match self.form {
            Form::Q8_0 => "int8",
            Form::Q4K => "int4",
            Form::Nf4 => "nf4",
        }
    }

    /// The form of a weight of this width: the one asked for, Q8_0 where its block does not divide the width, none
    /// where Q8_0's does not either.
    fn form_of(&self, cols: usize) -> Option<Form> {
        [self.form, Form::Q8_0].into_iter().find(|form| cols.is_multiple_of(form.block()))
    }

    fn takes(&self, name: &str) -> bool {
        self.embeddings || !matches!(name, "model.embed_tokens.weight" | "lm_head.weight")
    }
}

/// A width that the form asked for does not fit, and the form it is held in.
type Otherwise = (usize, Option<Form>);

/// One weight of the file.
struct Entry {
    name: String,
    form: Form,
    rows: usize,
    cols: usize,
    /// From the end of the header.
    start: usize,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.form.bytes(self.rows, self.cols)
    }
}

/// Replaces the decoder's weights by quantised ones; `progress` hears (weights done, weights) while they are made.
/// Returns what stays in another form, and why.
pub(super) fn quantise(
    decoder: &mut Decoder,
    dir: &Path,
    quantisation: Quantisation,
    cache: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<String>> {
    let (entries, notes) = entries(decoder, quantisation);
    let hash = identity::content_hash(dir, Some(cache))?;
    let embeddings = if quantisation.embeddings { "-embeddings" } else { "" };
    let hash = hash.trim_start_matches("sha256:");
    let path = cache.join("quantised").join(format!("{hash}-{}{embeddings}.safetensors", quantisation.form.name()));
    let header = header(&entries, hash);
    let map = match open(&path, &header) {
        Some(map) => map,
        None => {
            write(decoder, &path, &header, &entries, progress).map_err(|error| {
                Problem::resource(format!("cannot keep the {} weights", quantisation.name()))
                    .detail(format!("{error:#}"))
                    .hint(format!("make room in {}, or set EXPERT_HOME to another folder", cache.display()))
            })?;
            open(&path, &header).ok_or_else(|| {
                Problem::failed(format!("{} changed while it was written", path.display()))
                    .hint("run the command again")
            })?
        }
    };
    let mut entries = entries.into_iter().peekable();
    decoder.visit_tensors(&mut |name, tensor| {
        if let TensorMut::Matrix(weight) = tensor
            && let Some(entry) = entries.next_if(|entry| entry.name == name)
        {
            let start = header.len() + entry.start;
            *weight = Weight::quantised(Arc::clone(&map), start, entry.form, entry.rows, entry.cols);
        }
    });
    Ok(notes)
}

/// What goes into the file, in the decoder's order, and what does not get the form asked for.
fn entries(decoder: &mut Decoder, quantisation: Quantisation) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut start) = (Vec::new(), 0usize);
    // With the names of the linears, without their layers.
    let mut other: Vec<(Otherwise, Vec<String>)> = Vec::new();
    decoder.visit_tensors(&mut |name, tensor| {
        let TensorMut::Matrix(weight) = tensor else { return };
        if !quantisation.takes(name) {
            return;
        }
        let (rows, cols) = (weight.rows(), weight.cols());
        let form = quantisation.form_of(cols);
        if form != Some(quantisation.form) {
            let short = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or(name).to_owned();
            match other.iter_mut().find(|(key, _)| *key == (cols, form)) {
                Some((_, names)) if names.contains(&short) => {}
                Some((_, names)) => names.push(short),
                None => other.push(((cols, form), vec![short])),
            }
        }
        let Some(form) = form else { return };
        entries.push(Entry { name: name.to_owned(), form, rows, cols, start });
        start += form.bytes(rows, cols).next_multiple_of(ALIGNMENT);
    });
    let note = |((cols, form), names): (Otherwise, Vec<String>)| {
        let instead = if form.is_some() { "as int8" } else { "as it is stored" };
        let block = quantisation.form.block();
        let asked = quantisation.name();
        format!("{asked}: {block} does not divide the width {cols} of {}: held {instead}", names.join(", "))
    };
    (entries, other.into_iter().map(note).collect())
}

/// The header with its length in front, padded so that tensors are aligned.
fn header(entries: &[Entry], hash: &str) -> Vec<u8> {
    let mut tensors = Map::new();
    let mut metadata = Map::from_iter([("format".to_owned(), json!(LAYOUT)), ("source".to_owned(), json!(hash))]);
    for entry in entries {
        let length = entry.bytes().next_multiple_of(ALIGNMENT);
        metadata.insert(entry.name.clone(), json!(format!("{} {} {}", entry.form.name(), entry.rows, entry.cols)));
        tensors.insert(
            entry.name.clone(),
            json!({"dtype": "U8", "shape": [length], "data_offsets": [entry.start, entry.start + length]}),
        );
    }
    let mut all = Map::from_iter([("__metadata__".to_owned(), Value::Object(metadata))]);
    all.extend(tensors);
    let mut text = Value::Object(all).to_string().into_bytes();
    text.resize((text.len() + 8).next_multiple_of(ALIGNMENT) - 8, b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

/// The mapped file, if it is the one this header begins and whole.
fn open(path: &Path, header: &[u8]) -> Option<Arc<Mapped>> {
    let map = path.is_file().then(|| Mapped::open(path).ok()).flatten()?;
    let sound = map.bytes().starts_with(header) && SafeTensors::deserialize(map.bytes()).is_ok();
    sound.then(|| Arc::new(map))
}

fn write(
    decoder: &mut Decoder,
    path: &Path,
    header: &[u8],
    entries: &[Entry],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    let mut file = fsx::AtomicFile::create(path)?;
    file.write_all(header)?;
    let mut done = 0;
    let mut failure = None;
    decoder.visit_tensors(&mut |name, tensor| {
        let (TensorMut::Matrix(weight), Some(entry), None) = (tensor, entries.get(done), &failure) else { return };
        if entry.name == name {
            let start = (header.len() + entry.start) as u64;
            let at = file.seek(SeekFrom::Start(start)).map_err(Into::into);
            let result = at.and_then(|_| write_one(&mut file, weight, entry));
            failure = result.with_context(|| format!("quantising {name}")).err();
            done += 1;
            progress(done, entries.len());
        }
    });
    match failure {
        Some(error) => Err(error),
        None => {
            fsx::failpoint("quantised.before_commit");
            file.commit()
        }
    }
}

/// One weight, a few strips at a time.
fn write_one(file: &mut fsx::AtomicFile, weight: &Weight, entry: &Entry) -> Result<()> {
    let (form, rows, cols) = (entry.form, entry.rows, entry.cols);
    let strip_bytes = form.strip_bytes(cols);
    let rows_at_once = (NUMBERS_AT_ONCE / cols).max(1).next_multiple_of(STRIP);
    let blocks = if form == Form::Nf4 { cols / nf4::BLOCK } else { 0 };
    let mut absmax = vec![0.0; rows * blocks];
    let mut values = vec![0.0; rows_at_once.min(rows) * cols];
    let mut bytes = vec![0; rows_at_once.min(rows).div_ceil(STRIP) * strip_bytes];
    for first in (0..rows).step_by(rows_at_once) {
        let count = rows_at_once.min(rows - first);
        let values = &mut values[..count * cols];
        let bytes = &mut bytes[..count.div_ceil(STRIP) * strip_bytes];
        weight.read_rows(first, values)?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Problem::input(format!("row {} has a value that is not finite", first + at / cols))
                .hint("copy or download the model again")
                .into());
        }
        let strips = values.par_chunks(STRIP * cols).zip(bytes.par_chunks_exact_mut(strip_bytes));
        if blocks == 0 {
            strips.for_each(|(values, strip)| quantise_strip(form, values, cols, strip, &mut []));
        } else {
            strips
                .zip(absmax[first * blocks..(first + count) * blocks].par_chunks_mut(STRIP * blocks))
                .for_each(|((values, strip), absmax)| quantise_strip(form, values, cols, strip, absmax));
        }
        file.write_all(bytes)?;
    }
    if form == Form::Nf4 {
        let mut scales = vec![0; entry.bytes() - rows.div_ceil(STRIP) * strip_bytes];
        nf4::write_scales(&absmax, rows, cols, &mut scales);
        file.write_all(&scales)?;
    }
    let padding = entry.bytes().next_multiple_of(ALIGNMENT) - entry.bytes();
    file.write_all(&[0; ALIGNMENT][..padding])?;
    Ok(())
}

#[cfg(test)]
mod tests;
