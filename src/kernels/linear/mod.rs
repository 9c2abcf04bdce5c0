//! Linear with a frozen weight: the output and the input gradient, nothing for the weight.
//!
//! Weights stay in the dtype they are stored in. Processors with AVX-512-BF16 (or AMX) multiply bf16 weights as they are,
//! rounding the activations; elsewhere, and in the exact forms, parts of the weight are widened to f32 where they are
//! packed, never the whole.
//! Quantised weights are dequantised in the same tiles, to bf16 or to f32. Sums are f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
pub mod few;
#[cfg(target_arch = "x86_64")]
mod packing;
pub mod reference;
pub mod trainable;

use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};
use rayon::prelude::*;

use super::gemm::{self, Mat, MatMut, Write};
use super::quantised::{Blocks, PANEL, STRIP};
use super::simd::{self, multiversion};

/// Elements of a weight tile that is widened at once: 1 MiB of f32, which stays in a core's L2 cache.
const TILE_ELEMENTS: usize = 1 << 18;

/// Up to this many rows of x the weight is multiplied where it lies, and activations stay f32: decoding is bound by
/// memory. A result then is the same to the bit whatever the other rows are, so an answer does not depend on those drawn
/// beside it. More rows share one packing of the weight, which pays from about sixteen.
pub const FEW_ROWS: usize = 16;

/// Values of a frozen weight as they lie in memory, row-major [out, in].
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// IEEE half.
    F16(&'a [f16]),
    /// Quantised blocks.
    Quantised(Blocks<'a>),
}

/// A frozen weight [out, in].
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: Values<'a>,
    out: usize,
    inner: usize,
    exact: bool,
}

impl<'a> Matrix<'a> {
    /// A weight of `out` rows and `inner` columns.
    pub fn new(values: Values<'a>, out: usize, inner: usize) -> Self {
        let len = match values {
            Values::F32(v) => v.len(),
            Values::Bf16(v) => v.len(),
            Values::F16(v) => v.len(),
            Values::Quantised(blocks) => {
                assert_eq!((blocks.rows(), blocks.cols()), (out, inner), "quantised weight");
                out * inner
            }
        };
        assert_eq!(len, out * inner, "weight [{out}, {inner}]");
        Self { values, out, inner, exact: false }
    }

    /// The same weight, whose products keep f32 activations on every processor (see [`rounds_activations`]).
    #[must_use]
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// Rows: the width of the output.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Columns: the width of the input.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// The values as they are stored.
    pub fn values(&self) -> Values<'a> {
        self.values
    }

    /// Row `row` in f32.
    pub fn widen_row(&self, row: usize, into: &mut [f32]) {
        self.widen_columns(row, 0, into);
    }

    /// Row `row`, columns `first..first + into.len()`, in f32.
    fn widen_columns(&self, row: usize, first: usize, into: &mut [f32]) {
        let start = row * self.inner + first;
        let range = start..start + into.len();
        match self.values {
            Values::F32(v) => into.copy_from_slice(&v[range]),
            Values::Bf16(v) => widen_bf16(&v[range], into),
            Values::F16(v) => v[range].convert_to_f32_slice(into),
            Values::Quantised(blocks) => blocks.widen(row, first, into),
        }
    }

    /// Asks for row `row`, columns `first..first + width`, to be read soon; nothing where there is no such row.
    #[cfg(target_arch = "x86_64")]
    fn prefetch(&self, row: usize, first: usize, width: usize) {
        let start = row * self.inner + first;
        match self.values {
            Values::F32(v) => simd::prefetch(v.get(start..start + width).unwrap_or_default()),
            Values::Bf16(v) => simd::prefetch(v.get(start..start + width).unwrap_or_default()),
            Values::F16(v) => simd::prefetch(v.get(start..start + width).unwrap_or_default()),
            Values::Quantised(_) => {}
        }
    }

    /// The tile of rows from `start` and columns `first..first + width`, row-major in f32, parallel over strips. Tiles
    /// of quantised weights begin and end with strips and panels.
    fn widen_tile(&self, start: usize, first: usize, width: usize, into: &mut [f32]) {
        let strips = into.par_chunks_mut(STRIP * width).enumerate();
        strips.for_each(|(strip, into)| self.widen_strip(start + strip * STRIP, first, width, into));
    }

    /// At most [`STRIP`] rows of such a tile.
    fn widen_strip(&self, start: usize, first: usize, width: usize, into: &mut [f32]) {
        if let Values::Quantised(blocks) = self.values {
            assert!(start.is_multiple_of(STRIP));
            return blocks.widen_strip(start / STRIP, first, width, into);
        }
        for (i, row) in into.chunks_exact_mut(width).enumerate() {
            self.widen_columns(start + i, first, row);
        }
    }

    /// Σ over the row of w², for every row, `[out]`; in f64 so that DoRA's norms are exact to f32.
    pub fn row_norms_squared(&self) -> Vec<f64> {
        let mut norms = vec![0.0; self.out];
        norms.par_chunks_mut(STRIP).enumerate().for_each_init(
            || vec![0.0; STRIP * self.inner],
            |rows, (strip, norms)| {
                let rows = &mut rows[..norms.len() * self.inner];
                self.widen_strip(strip * STRIP, 0, self.inner, rows);
                for (norm, row) in norms.iter_mut().zip(rows.chunks_exact(self.inner)) {
                    *norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
                }
            },
        );
        norms
    }
}

multiversion! {
    /// bf16 → f32.
    fn widen_bf16(from: &[bf16], into: &mut [f32]) = widen_bf16_loop
}

#[inline(always)]
fn widen_bf16_loop<const FMA: bool>(from: &[bf16], into: &mut [f32]) {
    for (to, from) in into.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

/// y (=, +=) x·Wᵀ, with x [rows, in], y [rows, out]. Where [`rounds_activations`], x is rounded to bf16.
pub fn forward(x: &[f32], rows: usize, w: Matrix<'_>, y: &mut [f32], write: Write) {
    #[cfg(target_arch = "x86_64")]
    if let Some(right) = rounding_right(w, rows, true) {
        return gemm::bf16::matmul(y, write, (rows, w.inner, w.out), x.into(), right);
    }
    forward_exact(x, rows, w, y, write);
}

/// dx (=, +=) dy·W, with dy [rows, out], dx [rows, in]. Where [`rounds_activations`], dy is rounded to bf16.
pub fn backward_input(dy: &[f32], rows: usize, w: Matrix<'_>, dx: &mut [f32], write: Write) {
    #[cfg(target_arch = "x86_64")]
    if let Some(right) = rounding_right(w, rows, false) {
        return gemm::bf16::matmul(dx, write, (rows, w.out, w.inner), dy.into(), right);
    }
    backward_input_exact(dy, rows, w, dx, write);
}

/// dx (=, +=) (dy⊙gain)·W with gain `[out]`: [`backward_input`] of a linear whose outputs were multiplied by `gain`.
pub fn backward_input_scaled(dy: &[f32], gain: &[f32], rows: usize, w: Matrix<'_>, dx: &mut [f32], write: Write) {
    assert_eq!(gain.len(), w.out, "gain of a linear");
    #[cfg(target_arch = "x86_64")]
    if let Some(right) = rounding_right(w, rows, false) {
        let left = gemm::Left { values: dy, gain: Some(gain) };
        return gemm::bf16::matmul(dx, write, (rows, w.out, w.inner), left, right);
    }
    #[cfg(target_arch = "x86_64")]
    if is_packed(w) {
        let left = gemm::Left { values: dy, gain: Some(gain) };
        return backward_input_packed(left, rows, w, dx, write);
    }
    let mut scaled = vec![0.0; dy.len()];
    scaled.par_chunks_exact_mut(w.out).zip(dy.par_chunks_exact(w.out)).with_min_len(8).for_each(|(to, dy)| {
        for ((to, dy), gain) in to.iter_mut().zip(dy).zip(gain) {
            *to = dy * gain;
        }
    });
    backward_input_exact(&scaled, rows, w, dx, write);
}

/// The weight as the right operand of a product that rounds activations; none where none does.
#[cfg(target_arch = "x86_64")]
fn rounding_right(w: Matrix<'_>, rows: usize, transposed: bool) -> Option<gemm::bf16::Right<'_>> {
    use gemm::bf16::Right;
    if !rounds_activations(w, rows) {
        return None;
    }
    match (w.values, transposed) {
        (Values::Bf16(values), true) => Some(Right::Transposed(values)),
        (Values::Bf16(values), false) => Some(Right::Plain(values)),
        (Values::Quantised(blocks), true) => Some(Right::QuantisedTransposed(blocks)),
        (Values::Quantised(blocks), false) => Some(Right::Quantised(blocks)),
        (Values::F32(_) | Values::F16(_), _) => None,
    }
}

/// Whether the products with `rows` rows round their activations, and dequantised weights, to bf16 (sums stay f32): a
/// bf16 or quantised weight, more rows than decoding has, and a processor with AVX-512-BF16, which multiplies bf16 twice
/// as fast as f32.
pub fn rounds_activations(w: Matrix<'_>, rows: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    return !w.exact
        && matches!(w.values, Values::Bf16(_) | Values::Quantised(_))
        && rows > FEW_ROWS
        && gemm::bf16::available();
    #[cfg(not(target_arch = "x86_64"))]
    return {
        let _ = (w, rows);
        false
    };
}

/// The arithmetic of this processor, for names of what is kept: another one gives other last bits.
pub fn arithmetic() -> String {
    #[cfg(target_arch = "x86_64")]
    return match gemm::bf16::available() {
        true => format!("{:?} bf16 {:?}", super::simd::level(), gemm::bf16::Unit::best()),
        false => format!("{:?}", super::simd::level()),
    };
    #[cfg(not(target_arch = "x86_64"))]
    return std::env::consts::ARCH.to_owned();
}

/// [`forward`] with activations in f32 whatever the weight.
pub fn forward_exact(x: &[f32], rows: usize, w: Matrix<'_>, y: &mut [f32], write: Write) {
    assert!(x.len() == rows * w.inner && y.len() == rows * w.out, "linear [{}, {}] on {rows} rows", w.out, w.inner);
    if rows == 0 {
        return;
    }
    if rows <= FEW_ROWS {
        return forward_few(x, rows, w, y, write);
    }
    #[cfg(target_arch = "x86_64")]
    if is_packed(w) {
        let pack = |part, into: &mut [f32]| packing::transposed(w, part, into);
        return gemm::packed::matmul(y, write, (rows, w.inner, w.out), x.into(), &pack);
    }
    let x = Mat::new(x, rows, w.inner);
    if let Values::F32(values) = w.values {
        return gemm::matmul(MatMut::new(y, rows, w.out), write, 1.0, x, Mat::new(values, w.out, w.inner).t());
    }
    let tile_rows = (TILE_ELEMENTS / w.inner.max(1)).max(1).next_multiple_of(STRIP).min(w.out);
    let mut tile = vec![0.0; tile_rows * w.inner];
    for first in (0..w.out).step_by(tile_rows) {
        let count = tile_rows.min(w.out - first);
        let tile = &mut tile[..count * w.inner];
        w.widen_tile(first, 0, w.inner, tile);
        let dst = MatMut::columns(y, rows, w.out, first, count);
        gemm::matmul(dst, write, 1.0, x, Mat::new(tile, count, w.inner).t());
    }
}

/// [`backward_input`] with activations in f32 whatever the weight.
pub fn backward_input_exact(dy: &[f32], rows: usize, w: Matrix<'_>, dx: &mut [f32], write: Write) {
    assert!(dx.len() == rows * w.inner && dy.len() == rows * w.out, "linear [{}, {}] on {rows} rows", w.out, w.inner);
    #[cfg(target_arch = "x86_64")]
    if is_packed(w) {
        return backward_input_packed(dy.into(), rows, w, dx, write);
    }
    let dy = Mat::new(dy, rows, w.out);
    if let Values::F32(values) = w.values {
        return gemm::matmul(MatMut::new(dx, rows, w.inner), write, 1.0, dy, Mat::new(values, w.out, w.inner));
    }
    // Tiles run over the input so that every element of dx is one sum over all outputs.
    let tile_cols = (TILE_ELEMENTS / w.out.max(1)).max(1).next_multiple_of(PANEL).min(w.inner);
    let mut tile = vec![0.0; tile_cols * w.out];
    for first in (0..w.inner).step_by(tile_cols) {
        let count = tile_cols.min(w.inner - first);
        let tile = &mut tile[..count * w.out];
        w.widen_tile(0, first, count, tile);
        let dst = MatMut::columns(dx, rows, w.inner, first, count);
        gemm::matmul(dst, write, 1.0, dy, Mat::new(tile, w.out, count));
    }
}

/// Whether the weight is widened where products pack it. Those of f32 are left to the `gemm` crate.
#[cfg(target_arch = "x86_64")]
fn is_packed(w: Matrix<'_>) -> bool {
    !matches!(w.values, Values::F32(_)) && gemm::packed::available()
}

#[cfg(target_arch = "x86_64")]
fn backward_input_packed(dy: gemm::Left<'_>, rows: usize, w: Matrix<'_>, dx: &mut [f32], write: Write) {
    assert!(dx.len() == rows * w.inner, "linear [{}, {}] on {rows} rows", w.out, w.inner);
    let pack = |part, into: &mut [f32]| packing::plain(w, part, into);
    gemm::packed::matmul(dx, write, (rows, w.out, w.inner), dy, &pack);
}

/// A few rows: each weight row is read once and multiplied with every row of x.
fn forward_few(x: &[f32], rows: usize, w: Matrix<'_>, y: &mut [f32], write: Write) {
    if rows == 1 && write == Write::Set {
        return few::decode(w, x, y);
    }
    let mut products = vec![0.0; w.out * rows];
    few::decode(w, x, &mut products);
    for (row, y) in y.chunks_exact_mut(w.out).enumerate() {
        for (out, y) in y.iter_mut().enumerate() {
            let product = products[out * rows + row];
            *y = if write == Write::Add { *y + product } else { product };
        }
    }
}

/// y += bias on every row.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    y.par_chunks_exact_mut(bias.len()).with_min_len(16).for_each(|row| {
        for (y, b) in row.iter_mut().zip(bias) {
            *y += b;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot as dot64, narrow, random64};
    use crate::kernels::quantised::{Form, quantise};

    #[test]
    fn reference_backward_is_the_slope() {
        let (rows, out, inner) = (3, 4, 5);
        let (x, w, dy) = (random64(rows * inner, 1), random64(out * inner, 2), random64(rows * out, 3));
        let dx = reference::backward_input(&dy, &w, inner);
        assert_gradient(&x, &dx, |x| dot64(&reference::forward(x, &w, inner), &dy));
    }

    #[test]
    fn every_dtype_equals_the_reference_on_its_own_values() {
        for (rows, out, inner) in [
            (1, 3, 5),
            (2, 33, 16),
            (4, 7, 100),
            (5, 65, 33),
            (40, 1030, 300),
            (9, 1, 1),
            (3, 35, 256),
            (21, 70, 64),
            (17, 1050, 512),
        ] {
            let x = narrow(&random64(rows * inner, 4));
            let dy = narrow(&random64(rows * out, 5));
            let w = narrow(&random64(out * inner, 6));
            let b: Vec<bf16> = w.iter().map(|v| bf16::from_f32(*v)).collect();
            let h: Vec<f16> = w.iter().map(|v| f16::from_f32(*v)).collect();
            let widen = |m: Matrix<'_>| {
                let mut all = vec![0.0; out * inner];
                m.widen_tile(0, 0, inner, &mut all);
                all.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()
            };
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let q = [Form::Q8_0, Form::Q4K, Form::Nf4]
                .into_iter()
                .filter(|form| inner.is_multiple_of(form.block()))
                .map(|form| (form, quantise(form, &w, out, inner)))
                .collect::<Vec<_>>();
            let q = q.iter().map(|(form, bytes)| Values::Quantised(Blocks::new(*form, out, inner, bytes)));
            for values in [Values::F32(&w), Values::Bf16(&b), Values::F16(&h)].into_iter().chain(q) {
                let m = Matrix::new(values, out, inner);
                let exact = widen(m);
                let round = |v: &[f32]| match rounds_activations(m, rows) {
                    true => v.iter().map(|v| bf16::from_f32(*v).to_f64()).collect(),
                    false => wide(v),
                };
                // Where activations are rounded, so are dequantised weights.
                let truth = round(&narrow(&exact));
                let mut y = vec![0.5; rows * out];
                forward(&x, rows, m, &mut y, Write::Add);
                let want: Vec<f64> = reference::forward(&round(&x), &truth, inner).iter().map(|v| v + 0.5).collect();
                assert_close(&y, &want, 1e-5);
                forward(&x, rows, m, &mut y, Write::Set);
                assert_close(&y, &want.iter().map(|v| v - 0.5).collect::<Vec<_>>(), 1e-5);
                let mut dx = vec![-1.0; rows * inner];
                backward_input(&dy, rows, m, &mut dx, Write::Add);
                let want: Vec<f64> =
                    reference::backward_input(&round(&dy), &truth, inner).iter().map(|v| v - 1.0).collect();
                assert_close(&dx, &want, 1e-5);
                let gain: Vec<f32> = w[..out].iter().map(|v| v + 2.0).collect();
                let scaled: Vec<f32> = dy.iter().enumerate().map(|(i, v)| v * gain[i % out]).collect();
                backward_input_scaled(&dy, &gain, rows, m, &mut dx, Write::Set);
                assert_close(&dx, &reference::backward_input(&round(&scaled), &truth, inner), 1e-5);
                forward_exact(&x, rows, m, &mut y, Write::Set);
                assert_close(&y, &reference::forward(&wide(&x), &exact, inner), 1e-5);
                backward_input_exact(&dy, rows, m, &mut dx, Write::Set);
                assert_close(&dx, &reference::backward_input(&wide(&dy), &exact, inner), 1e-5);
            }
        }
    }
}
