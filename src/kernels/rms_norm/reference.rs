//! RMSNorm, plainly.

use num_traits::Float;

fn inverse_rms<T: Float>(x: &[T], epsilon: f64) -> Option<T> {
    let mean = x.iter().fold(T::zero(), |s, &v| s + v * v) / T::from(x.len())?;
    Some((mean + T::from(epsilon)?).sqrt().recip())
}

/// y = x / √(mean(x²) + ε) ⊙ γ, rows of γ's length.
pub fn forward<T: Float>(x: &[T], gamma: &[T], epsilon: f64) -> Vec<T> {
    x.chunks(gamma.len())
        .flat_map(|row| {
            let r = inverse_rms(row, epsilon).unwrap_or_else(T::nan);
            row.iter().zip(gamma).map(move |(&x, &g)| x * r * g).collect::<Vec<_>>()
        })
        .collect()
}

/// Adds the gradient with respect to x.
pub fn backward<T: Float>(x: &[T], gamma: &[T], epsilon: f64, dy: &[T], dx: &mut [T]) {
    let n = gamma.len();
    for ((x, dy), dx) in x.chunks(n).zip(dy.chunks(n)).zip(dx.chunks_mut(n)) {
        let r = inverse_rms(x, epsilon).unwrap_or_else(T::nan);
        let projection = (0..n).fold(T::zero(), |s, i| s + x[i] * dy[i] * gamma[i]);
        let c = projection * r * r * r / T::from(n).unwrap_or_else(T::nan);
        for i in 0..n {
            dx[i] = dx[i] + r * gamma[i] * dy[i] - c * x[i];
        }
    }
}
