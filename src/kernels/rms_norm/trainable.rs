//! The gradient of an RMSNorm's own weight, for full training.

use rayon::prelude::*;

/// Columns handed to a thread at once.
const COLUMNS_PER_TASK: usize = 64;

/// dγ `[n]` += Σ dy⊙x·r over the rows, in order; x and dy [rows, n], `inverse_rms` `[rows]` from the forward.
pub fn backward_gamma(x: &[f32], inverse_rms: &[f32], dy: &[f32], d_gamma: &mut [f32]) {
    let n = d_gamma.len();
    d_gamma.par_chunks_mut(COLUMNS_PER_TASK).enumerate().for_each(|(chunk, d_gamma)| {
        let first = chunk * COLUMNS_PER_TASK;
        for ((x, dy), r) in x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(inverse_rms) {
            for ((d, x), dy) in d_gamma.iter_mut().zip(&x[first..]).zip(&dy[first..]) {
                *d += dy * x * r;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};
    use crate::kernels::rms_norm::{forward, reference};

    #[test]
    fn the_gradient_is_the_slope() {
        let (rows, n) = (5, 70);
        let (x, gamma, dy) = (random64(rows * n, 1), random64(n, 2), random64(rows * n, 3));
        let (mut y, mut r) = (vec![0.0; rows * n], vec![0.0; rows]);
        forward(&narrow(&x), &narrow(&gamma), 1e-6, &mut y, &mut r);
        let mut d_gamma = vec![0.0; n];
        backward_gamma(&narrow(&x), &r, &narrow(&dy), &mut d_gamma);
        let want: Vec<f64> = (0..n)
            .map(|j| {
                let unit: Vec<f64> = (0..n).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
                dot(&reference::forward(&x, &unit, 1e-6), &dy)
            })
            .collect();
        assert_gradient(&gamma, &want, |gamma| dot(&reference::forward(&x, gamma, 1e-6), &dy));
        assert_close(&d_gamma, &want, 1e-5);
    }
}
