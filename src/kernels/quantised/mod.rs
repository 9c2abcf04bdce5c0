//! Quantised frozen weights: Q8_0 and Q4_K of GGUF, and NF4 of bitsandbytes with double quantisation, to the bit.
//!
//! The numbers are those formats' own; the order in memory is ours. Sixteen rows make a strip, and a strip's blocks hold
//! the same columns of all sixteen side by side, so that a vector's lanes are rows: scales need no spreading, decoding
//! ends in a plain store, and the panels of the bf16 product are written as they are read. Nobody ever holds a whole
//! weight dequantised: products ask for one [32 columns, 16 rows] panel after the other.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod digits;
pub mod nf4;
#[cfg(target_arch = "x86_64")]
mod panels;
mod products;
mod q4_k;
mod q8_0;

pub(super) use products::products;

use super::gemm::small;

/// Rows of a strip: the lanes of a vector of f32.
pub const STRIP: usize = 16;

/// Columns of a panel.
pub const PANEL: usize = 32;

/// [columns, rows] of a strip in f32.
pub type Panel = [[f32; STRIP]; PANEL];

/// How a weight is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Blocks of 32: an f16 scale and signed bytes. 8.5 bits a weight.
    Q8_0,
    /// Blocks of 256: two f16 scales, eight 6-bit scales and minima, 4-bit codes. 4.5 bits a weight.
    Q4K,
    /// Blocks of 64: 4-bit codes of sixteen normal quantiles, scales quantised to 8 bits. 4.13 bits a weight.
    Nf4,
}

impl Form {
    /// Its name in files and in what people read.
    pub fn name(self) -> &'static str {
        match self {
            Form::Q8_0 => "q8_0",
            Form::Q4K => "q4_k",
            Form::Nf4 => "nf4",
        }
    }

    /// The form of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Form::Q8_0, Form::Q4K, Form::Nf4].into_iter().find(|form| form.name() == name)
    }

    /// Columns of a block: the width of a weight must be a multiple of it.
    pub fn block(self) -> usize {
        match self {
            Form::Q8_0 => q8_0::BLOCK,
            Form::Q4K => q4_k::BLOCK,
            Form::Nf4 => nf4::BLOCK,
        }
    }

    /// Bytes of a block of a strip.
    fn block_bytes(self) -> usize {
        match self {
            Form::Q8_0 => q8_0::BYTES,
            Form::Q4K => q4_k::BYTES,
            Form::Nf4 => nf4::BYTES,
        }
    }

    /// Bytes of a strip of `cols` columns.
    pub fn strip_bytes(self, cols: usize) -> usize {
        cols / self.block() * self.block_bytes()
    }

    /// Bytes of a [rows, cols] weight.
    pub fn bytes(self, rows: usize, cols: usize) -> usize {
        let strips = rows.div_ceil(STRIP);
        let scales = if self == Form::Nf4 { nf4::Scales::bytes(strips, rows, cols) } else { 0 };
        strips * self.strip_bytes(cols) + scales
    }
}

/// A quantised weight [rows, cols] where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    form: Form,
    rows: usize,
    cols: usize,
    strips: &'a [u8],
    scales: nf4::Scales<'a>,
}

impl<'a> Blocks<'a> {
    /// The weight whose [`Form::bytes`] these are.
    pub fn new(form: Form, rows: usize, cols: usize, bytes: &'a [u8]) -> Self {
        assert!(
            cols.is_multiple_of(form.block()) && bytes.len() == form.bytes(rows, cols),
            "{form:?} [{rows}, {cols}]"
        );
        let (strips, scales) = bytes.split_at(rows.div_ceil(STRIP) * form.strip_bytes(cols));
        let scales = match form {
            Form::Nf4 => nf4::Scales::new(scales, rows, cols),
            _ => nf4::Scales::default(),
        };
        Self { form, rows, cols, strips, scales }
    }

    /// How it is held.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Rows, without those that fill the last strip.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    fn strip(&self, strip: usize) -> &'a [u8] {
        let bytes = self.form.strip_bytes(self.cols);
        &self.strips[strip * bytes..(strip + 1) * bytes]
    }

    /// Columns 32·panel.. of rows 16·strip.. in f32. Rows that fill the last strip are 0.
    pub fn panel(&self, strip: usize, panel: usize, into: &mut Panel) {
        let (per_block, bytes) = (self.form.block() / PANEL, self.form.block_bytes());
        let block = &self.strip(strip)[panel / per_block * bytes..][..bytes];
        match self.form {
            Form::Q8_0 => q8_0::panel(block, into),
            Form::Q4K => q4_k::panel(block, panel % per_block, into),
            Form::Nf4 => nf4::panel(block, panel % per_block, &self.scales.of(strip, panel / per_block), into),
        }
    }

    /// Row `row`, columns `first..first + into.len()`, in f32.
    pub fn widen(&self, row: usize, first: usize, into: &mut [f32]) {
        let mut panel = [[0.0; STRIP]; PANEL];
        let mut at = 0;
        while at < into.len() {
            let (index, start) = ((first + at) / PANEL, (first + at) % PANEL);
            let count = (PANEL - start).min(into.len() - at);
            self.panel(row / STRIP, index, &mut panel);
            for (to, column) in into[at..at + count].iter_mut().zip(&panel[start..]) {
                *to = column[row % STRIP];
            }
            at += count;
        }
    }

    /// Rows of one strip, columns `first..first + width`, row-major in f32: into [rows ≤ 16, width], both multiples of
    /// a panel.
    pub fn widen_strip(&self, strip: usize, first: usize, width: usize, into: &mut [f32]) {
        assert!(first.is_multiple_of(PANEL) && width.is_multiple_of(PANEL), "panels of {width} columns from {first}");
        let rows = into.len() / width;
        let mut panel = [[0.0; STRIP]; PANEL];
        for at in (0..width).step_by(PANEL) {
            self.panel(strip, (first + at) / PANEL, &mut panel);
            small::transpose(&mut into[at..], width, panel.as_flattened(), STRIP, (PANEL, rows));
        }
    }
}

/// Quantises rows: `values` [rows ≤ 16, cols] → a strip. The rows that fill it are zeros. Of NF4 this gives the codes;
/// `absmax` [rows, cols / 64] gets the largest magnitudes, from which [`nf4::write_scales`] makes the rest once all
/// rows are through.
pub fn quantise_strip(form: Form, values: &[f32], cols: usize, strip: &mut [u8], absmax: &mut [f32]) {
    assert!(strip.len() == form.strip_bytes(cols) && values.len() <= STRIP * cols, "strip of {form:?}");
    match form {
        Form::Q8_0 => q8_0::quantise(values, cols, strip),
        Form::Q4K => q4_k::quantise(values, cols, strip),
        Form::Nf4 => nf4::quantise(values, cols, strip, absmax),
    }
}

/// Quantises a whole matrix in memory [rows, cols]: for tests and benches; models are quantised strip by strip.
pub fn quantise(form: Form, values: &[f32], rows: usize, cols: usize) -> Vec<u8> {
    let mut bytes = vec![0; form.bytes(rows, cols)];
    let (strips, scales) = bytes.split_at_mut(rows.div_ceil(STRIP) * form.strip_bytes(cols));
    let mut absmax = vec![0.0; if form == Form::Nf4 { values.len() / nf4::BLOCK } else { 0 }];
    let rest = absmax.chunks_mut(STRIP * cols / nf4::BLOCK).map(Some).chain(std::iter::repeat_with(|| None));
    for ((strip, values), absmax) in
        strips.chunks_exact_mut(form.strip_bytes(cols)).zip(values.chunks(STRIP * cols)).zip(rest)
    {
        quantise_strip(form, values, cols, strip, absmax.unwrap_or_default());
    }
    if form == Form::Nf4 {
        nf4::write_scales(&absmax, rows, cols, scales);
    }
    bytes
}

/// The four bytes at `at` as a little-endian word.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Sixteen f16 from `bytes`.
#[inline(always)]
fn halves(bytes: &[u8]) -> [f32; STRIP] {
    let mut halves = [0.0; STRIP];
    for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *half = half::f16::from_le_bytes(*bytes).to_f32();
    }
    halves
}

/// Sixteen little-endian words from `bytes`. (A closure for each row would be called where the loop is compiled for AVX2.)
#[inline(always)]
fn words(bytes: &[u8]) -> [u32; STRIP] {
    let mut words = [0; STRIP];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests;
