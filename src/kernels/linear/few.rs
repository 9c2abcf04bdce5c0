//! Many stored rows times a few rows of f32: decoding (a token or a few), and an adapter's W·Aᵀ.
//!
//! The stored matrix is read once, where it lies, and widened in registers; products and sums are f32. Every result is
//! one sum in an order fixed by the length, so neither threads nor the other rows change a bit.

use super::{Matrix, Values};
#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::Level;
use crate::kernels::simd::{LANES, mul_add, multiversion, total};
use crate::kernels::{quantised, team};

/// w [n, k], small [r, k] → out [n, r] = w·smallᵀ.
pub fn products(w: Matrix<'_>, small: &[f32], out: &mut [f32]) {
    run(w, small, out, false);
}

/// [`products`] for decoding: with bf16 weights and AVX-512-BF16 the rows are split into three bf16 numbers each, which
/// hold all 24 bits of an f32. That halves the instructions per byte of the weight for one row and is slower from five.
pub fn decode(w: Matrix<'_>, small: &[f32], out: &mut [f32]) {
    run(w, small, out, true);
}

fn run(w: Matrix<'_>, small: &[f32], out: &mut [f32], split: bool) {
    let (n, k) = (w.out(), w.inner());
    if n == 0 || k == 0 || small.is_empty() {
        return out.fill(0.0);
    }
    if let Values::Quantised(blocks) = w.values() {
        return quantised::products(&blocks, small, out);
    }
    let r = small.len() / k;
    assert!(small.len() == r * k && out.len() == n * r, "[{n}, {k}] times {r} rows");
    let bytes = n * k * if matches!(w.values(), Values::F32(_)) { 4 } else { 2 };
    let rows = n.div_ceil(team::pieces(bytes)).next_multiple_of(8);
    #[cfg(target_arch = "x86_64")]
    if let (Values::Bf16(values), true) = (w.values(), split && super::avx512bf16::available()) {
        let thirds = super::avx512bf16::Thirds::new(small, k);
        return team::chunks_mut(out, rows * r, |task, out| {
            let first = task * rows * k;
            super::avx512bf16::products(&values[first..first + out.len() / r * k], &thirds, out);
        });
    }
    let _ = split;
    team::chunks_mut(out, rows * r, |task, out| {
        let range = task * rows * k..(task * rows + out.len() / r) * k;
        #[cfg(target_arch = "x86_64")]
        match (crate::kernels::simd::level(), w.values()) {
            (Level::Avx512, Values::F32(v)) => return super::avx512::products_f32(&v[range], small, k, out),
            (Level::Avx512, Values::Bf16(v)) => return super::avx512::products_bf16(&v[range], small, k, out),
            (Level::Avx2, Values::F32(v)) => return super::avx2::products_f32(&v[range], small, k, out),
            (Level::Avx2, Values::Bf16(v)) => return super::avx2::products_bf16(&v[range], small, k, out),
            _ => {}
        }
        let mut row = vec![0.0; k];
        for (i, out) in out.chunks_exact_mut(r).enumerate() {
            w.widen_row(task * rows + i, &mut row);
            for (out, small) in out.iter_mut().zip(small.chunks_exact(k)) {
                *out = dot(&row, small);
            }
        }
    });
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
                for form in [products, decode] {
                    let mut out = vec![9.0; n * r];
                    form(m, &small, &mut out);
                    assert_close(&out, &(0..n * r).map(sum).collect::<Vec<_>>(), 1e-5);
                    // Alone or among others, in a team or outside, a row comes out the same.
                    let mut alone = vec![9.0; n];
                    team::work_together(|| form(m, &small[(r - 1) * k..], &mut alone));
                    assert!(alone.iter().enumerate().all(|(i, x)| *x == out[i * r + r - 1]));
                }
                // A processor with AVX-512 would not come by here.
                #[cfg(target_arch = "x86_64")]
                if crate::kernels::simd::level() != Level::Baseline {
                    let mut out = vec![9.0; n * r];
                    match values {
                        Values::F32(v) => super::super::avx2::products_f32(v, &small, k, &mut out),
                        Values::Bf16(v) => super::super::avx2::products_bf16(v, &small, k, &mut out),
                        Values::F16(_) | Values::Quantised(_) => continue,
                    }
                    assert_close(&out, &(0..n * r).map(sum).collect::<Vec<_>>(), 1e-5);
                }
            }
        }
    }
}
