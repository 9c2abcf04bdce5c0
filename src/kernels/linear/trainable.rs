//! The gradients of a linear's own weight and bias, for full training.

use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::{Matrix, rounds_activations};
use crate::kernels::buffer::Buffer;
use crate::kernels::gemm::{Mat, MatMut, Write, matmul, small};

/// Output columns handed to a thread at once.
const COLUMNS_PER_TASK: usize = 256;

/// Columns of dy that a task transposes: four tiles of sixteen.
const TRANSPOSED_PER_TASK: usize = 64;

/// Numbers that a task rounds.
const ROUNDED_PER_TASK: usize = 1 << 15;

/// dW [out, in] += dyᵀ·x, with x [rows, in], dy [rows, out].
pub fn backward_weight(x: &[f32], dy: &[f32], rows: usize, dw: &mut [f32]) {
    let (inner, out) = (x.len() / rows.max(1), dy.len() / rows.max(1));
    matmul(MatMut::new(dw, out, inner), Write::Add, 1.0, Mat::new(dy, rows, out).t(), Mat::new(x, rows, inner));
}

/// [`backward_weight`] of a weight that is held in bf16: where its forward rounds activations ([`rounds_activations`]),
/// x and dy are rounded too. Sums stay f32.
pub fn backward_weight_of(w: Matrix<'_>, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let rows = x.len() / w.inner();
    #[cfg(target_arch = "x86_64")]
    if rounds_activations(w, rows) {
        use crate::kernels::gemm::bf16::{Right, matmul};
        let mut across = Buffer::unspecified(dy.len());
        let strips = across.par_chunks_mut(TRANSPOSED_PER_TASK * rows).enumerate();
        strips.for_each(|(strip, across)| {
            let first = strip * TRANSPOSED_PER_TASK;
            small::transpose(across, rows, &dy[first..], w.out(), (rows, across.len() / rows));
        });
        let mut rounded = vec![bf16::ZERO; x.len()];
        let pieces = rounded.par_chunks_mut(ROUNDED_PER_TASK).zip(x.par_chunks(ROUNDED_PER_TASK));
        pieces.for_each(|(to, from)| to.convert_from_f32_slice(from));
        return matmul(dw, Write::Add, (w.out(), rows, w.inner()), across[..].into(), Right::Plain(&rounded));
    }
    backward_weight(x, dy, rows, dw);
}

/// db `[out]` += Σ dy over the rows, in order.
pub fn backward_bias(dy: &[f32], db: &mut [f32]) {
    let out = db.len();
    db.par_chunks_mut(COLUMNS_PER_TASK).enumerate().for_each(|(chunk, db)| {
        for row in dy.chunks_exact(out) {
            for (db, dy) in db.iter_mut().zip(&row[chunk * COLUMNS_PER_TASK..]) {
                *db += dy;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};
    use crate::kernels::linear::reference;

    #[test]
    fn the_gradient_of_a_rounded_weight_is_that_of_rounded_operands() {
        for (rows, out, inner) in [(3, 4, 5), (70, 33, 40), (130, 100, 65), (1500, 16, 48)] {
            let (x, dy) = (narrow(&random64(rows * inner, 4)), narrow(&random64(rows * out, 5)));
            let w = vec![bf16::ONE; out * inner];
            let w = Matrix::new(crate::kernels::linear::Values::Bf16(&w), out, inner);
            let round = |v: &[f32]| -> Vec<f64> {
                let rounds = rounds_activations(w, rows);
                v.iter().map(|v| if rounds { bf16::from_f32(*v).to_f64() } else { f64::from(*v) }).collect()
            };
            let (rx, rdy) = (round(&x), round(&dy));
            let want: Vec<f64> = (0..out * inner)
                .map(|i| 0.5 + (0..rows).map(|r| rdy[r * out + i / inner] * rx[r * inner + i % inner]).sum::<f64>())
                .collect();
            let mut dw = vec![0.5; out * inner];
            backward_weight_of(w, &x, &dy, &mut dw);
            assert_close(&dw, &want, 1e-5);
        }
    }

    #[test]
    fn weight_and_bias_gradients_are_slopes() {
        for (rows, out, inner) in [(3, 4, 5), (7, 1, 2), (5, 300, 3)] {
            let (x, w, dy) = (random64(rows * inner, 1), random64(out * inner, 2), random64(rows * out, 3));
            let mut dw = vec![0.0; out * inner];
            backward_weight(&narrow(&x), &narrow(&dy), rows, &mut dw);
            let want: Vec<f64> = (0..out * inner)
                .map(|i| (0..rows).map(|r| dy[r * out + i / inner] * x[r * inner + i % inner]).sum())
                .collect();
            assert_gradient(&w, &want, |w| dot(&reference::forward(&x, w, inner), &dy));
            assert_close(&dw, &want, 1e-6);
            let mut db = vec![1.0; out];
            backward_bias(&narrow(&dy), &mut db);
            let want: Vec<f64> = (0..out).map(|j| 1.0 + (0..rows).map(|r| dy[r * out + j]).sum::<f64>()).collect();
            assert_close(&db, &want, 1e-6);
        }
    }
}
