//! RMSNorm: y = x / √(mean(x²) + ε) ⊙ γ per row (Zhang & Sennrich 2019), in f32.

pub mod reference;
pub mod trainable;

use rayon::prelude::*;

use super::simd::{LANES, dot, mul_add, multiversion, total};

/// Elements handed to a thread at once.
const ELEMENTS_PER_TASK: usize = 1 << 14;

/// x [rows, n], gamma `[n]` → y [rows, n] and 1/rms `[rows]`, which the backward needs.
pub fn forward(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32], inverse_rms: &mut [f32]) {
    let n = gamma.len();
    assert!(x.len() == y.len() && x.len() == inverse_rms.len() * n, "rms_norm of rows of {n}");
    let rows = ELEMENTS_PER_TASK.div_ceil(n);
    x.par_chunks(rows * n)
        .zip(y.par_chunks_mut(rows * n))
        .zip(inverse_rms.par_chunks_mut(rows))
        .for_each(|((x, y), inverse_rms)| forward_here(x, gamma, epsilon, y, inverse_rms));
}

multiversion! {
    fn forward_here(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32], inverse_rms: &mut [f32]) = forward_rows
}

#[inline(always)]
fn forward_rows<const FMA: bool>(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32], inverse_rms: &mut [f32]) {
    let n = gamma.len();
    for ((x, y), inverse) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)).zip(inverse_rms) {
        let r = 1.0 / (dot::<FMA>(x, x) / n as f32 + epsilon).sqrt();
        for ((y, x), g) in y.iter_mut().zip(x).zip(gamma) {
            *y = x * r * g;
        }
        *inverse = r;
    }
}

/// Adds the input gradient: dx += r·(γ⊙dy − x·r²·mean(γ⊙dy⊙x)). Shapes as in [`forward`]; γ is frozen.
pub fn backward(x: &[f32], gamma: &[f32], inverse_rms: &[f32], dy: &[f32], dx: &mut [f32]) {
    let n = gamma.len();
    assert!(x.len() == dy.len() && x.len() == dx.len() && x.len() == inverse_rms.len() * n, "rms_norm of rows of {n}");
    let rows = ELEMENTS_PER_TASK.div_ceil(n);
    x.par_chunks(rows * n)
        .zip(dy.par_chunks(rows * n))
        .zip(dx.par_chunks_mut(rows * n))
        .zip(inverse_rms.par_chunks(rows))
        .for_each(|(((x, dy), dx), inverse_rms)| backward_here(x, gamma, inverse_rms, dy, dx));
}

multiversion! {
    fn backward_here(x: &[f32], gamma: &[f32], inverse_rms: &[f32], dy: &[f32], dx: &mut [f32]) = backward_rows
}

#[inline(always)]
fn backward_rows<const FMA: bool>(x: &[f32], gamma: &[f32], inverse_rms: &[f32], dy: &[f32], dx: &mut [f32]) {
    let n = gamma.len();
    let rows = x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n));
    for (((x, dy), dx), r) in rows.zip(inverse_rms) {
        let c = projection::<FMA>(x, dy, gamma) * r * r * r / n as f32;
        for (((dx, x), dy), g) in dx.iter_mut().zip(x).zip(dy).zip(gamma) {
            *dx += mul_add::<FMA>(-c, *x, r * g * dy);
        }
    }
}

/// Σ x·dy·γ in interleaved sums; the order depends on the length only.
#[inline(always)]
fn projection<const FMA: bool>(x: &[f32], dy: &[f32], gamma: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((x, x_rest), (dy, dy_rest)) = (x.as_chunks::<LANES>(), dy.as_chunks::<LANES>());
    let (gamma, gamma_rest) = gamma.as_chunks::<LANES>();
    for ((x, dy), g) in x.iter().zip(dy).zip(gamma) {
        for lane in 0..LANES {
            sums[lane] = mul_add::<FMA>(x[lane] * dy[lane], g[lane], sums[lane]);
        }
    }
    let rest = x_rest.iter().zip(dy_rest).zip(gamma_rest);
    total(sums) + rest.fold(0.0, |s, ((x, dy), g)| mul_add::<FMA>(x * dy, *g, s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};

    #[test]
    fn reference_backward_is_the_slope() {
        let (rows, n) = (3, 7);
        let (x, gamma, dy) = (random64(rows * n, 1), random64(n, 2), random64(rows * n, 3));
        let mut dx = vec![0.0; rows * n];
        reference::backward(&x, &gamma, 1e-6, &dy, &mut dx);
        assert_gradient(&x, &dx, |x| dot(&reference::forward(x, &gamma, 1e-6), &dy));
    }

    #[test]
    fn cpu_equals_reference() {
        for (rows, n) in [(1, 1), (5, 7), (33, 64), (2, 129)] {
            let (x, gamma, dy) = (random64(rows * n, 4), random64(n, 5), random64(rows * n, 6));
            let (mut y, mut r) = (vec![0.0; rows * n], vec![0.0; rows]);
            forward(&narrow(&x), &narrow(&gamma), 1e-6, &mut y, &mut r);
            assert_close(&y, &reference::forward(&x, &gamma, 1e-6), 1e-5);
            let (mut dx, mut want) = (vec![0.25; rows * n], vec![0.25; rows * n]);
            backward(&narrow(&x), &narrow(&gamma), &r, &narrow(&dy), &mut dx);
            reference::backward(&x, &gamma, 1e-6, &dy, &mut want);
            assert_close(&dx, &want, 2e-4);
        }
    }
}
