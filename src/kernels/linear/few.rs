//! Many stored rows times a few rows of f32: decoding (a token or a few), and an adapter's W·Aᵀ.
//!
//! The stored matrix is read once, where it lies, and widened in registers; products and sums are f32. Every result is
//! one sum in an order fixed by the length, so neither threads nor the other rows change a bit.

use rayon::prelude::*;

use super::{Matrix, Values};
use crate::kernels::quantised;
use crate::kernels::simd::{LANES, mul_add, multiversion, total};

/// Numbers of the stored matrix handed to a thread at once: 128 KiB of bf16.
const ELEMENTS_PER_TASK: usize = 1 << 16;

/// Products below which waking a second thread costs more than it brings.
const PARALLEL_FROM: usize = 1 << 17;

/// w [n, k], small [r, k] → out [n, r] = w·smallᵀ.
pub fn products(w: Matrix<'_>, small: &[f32], out: &mut [f32]) {
    let (n, k) = (w.out(), w.inner());
    if n == 0 || k == 0 || small.is_empty() {
        return out.fill(0.0);
    }
    if let Values::Quantised(blocks) = w.values() {
        return quantised::products(&blocks, small, out);
    }
    let r = small.len() / k;
    assert!(small.len() == r * k && out.len() == n * r, "[{n}, {k}] times {r} rows");
    let rows = ELEMENTS_PER_TASK.div_ceil(k).next_multiple_of(8);
    let task = |(task, out): (usize, &mut [f32])| {
        let range = task * rows * k..(task * rows + out.len() / r) * k;
        #[cfg(target_arch = "x86_64")]
        if crate::kernels::simd::level() == crate::kernels::simd::Level::Avx512 {
            match w.values() {
                Values::F32(v) => return super::avx512::products_f32(&v[range], small, k, out),
                Values::Bf16(v) => return super::avx512::products_bf16(&v[range], small, k, out),
                Values::F16(_) | Values::Quantised(_) => {}
            }
        }
        let mut row = vec![0.0; k];
        for (i, out) in out.chunks_exact_mut(r).enumerate() {
            w.widen_row(task * rows + i, &mut row);
            for (out, small) in out.iter_mut().zip(small.chunks_exact(k)) {
                *out = dot(&row, small);
            }
        }
    };
    if n * k * r < PARALLEL_FROM {
        out.chunks_mut(rows * r).enumerate().for_each(task);
    } else {
        out.par_chunks_mut(rows * r).enumerate().for_each(task);
    }
}

multiversion! { fn dot(a: &[f32], b: &[f32]) -> f32 = dot_lanes }

#[inline(always)]
fn dot_lanes<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = mul_add::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum = mul_add::<FMA>(*a, *b, *sum);
    }
    total(sums)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::kernels::check::{assert_close, random};

    #[test]
    fn every_dtype_equals_the_sums_at_every_edge() {
        let shapes = (1..=20).flat_map(|e| [(e, 40, 3), (9, e, 1), (9, 2 * e + 31, 13), (13, 70, e)]);
        for (n, k, r) in shapes.chain([(200, 1030, 12), (700, 256, 4)]) {
            let (w, small) = (random(n * k, 1), random(r * k, 2));
            let b: Vec<bf16> = w.iter().map(|v| bf16::from_f32(*v)).collect();
            let h: Vec<f16> = w.iter().map(|v| f16::from_f32(*v)).collect();
            for values in [Values::F32(&w), Values::Bf16(&b), Values::F16(&h)] {
                let m = Matrix::new(values, n, k);
                let mut wide = vec![0.0; n * k];
                wide.chunks_exact_mut(k).enumerate().for_each(|(i, row)| m.widen_row(i, row));
                let sum = |at: usize| -> f64 {
                    let (w, s) = (&wide[at / r * k..][..k], &small[at % r * k..][..k]);
                    w.iter().zip(s).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let mut out = vec![9.0; n * r];
                products(m, &small, &mut out);
                assert_close(&out, &(0..n * r).map(sum).collect::<Vec<_>>(), 1e-5);
                // Alone or among others, a row comes out the same.
                let mut alone = vec![9.0; n];
                products(m, &small[(r - 1) * k..], &mut alone);
                assert!(alone.iter().enumerate().all(|(i, x)| *x == out[i * r + r - 1]));
            }
        }
    }
}
