//! The gradients of a linear's own weight and bias, for full training.

use rayon::prelude::*;

use crate::kernels::gemm::{Mat, MatMut, Write, matmul};

/// Output columns handed to a thread at once.
const COLUMNS_PER_TASK: usize = 256;

/// dW [out, in] += dyᵀ·x, with x [rows, in], dy [rows, out].
pub fn backward_weight(x: &[f32], dy: &[f32], rows: usize, dw: &mut [f32]) {
    let (inner, out) = (x.len() / rows.max(1), dy.len() / rows.max(1));
    matmul(MatMut::new(dw, out, inner), Write::Add, 1.0, Mat::new(dy, rows, out).t(), Mat::new(x, rows, inner));
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
