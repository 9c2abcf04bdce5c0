//! Linear, plainly.

use num_traits::Float;

/// x·Wᵀ with W [out, inner].
pub fn forward<T: Float>(x: &[T], w: &[T], inner: usize) -> Vec<T> {
    x.chunks(inner)
        .flat_map(|x| w.chunks(inner).map(move |w| w.iter().zip(x).fold(T::zero(), |s, (&w, &x)| s + w * x)))
        .collect()
}

/// dy·W with W [out, inner].
pub fn backward_input<T: Float>(dy: &[T], w: &[T], inner: usize) -> Vec<T> {
    let out = w.len() / inner;
    dy.chunks(out)
        .flat_map(|dy| (0..inner).map(move |i| (0..out).fold(T::zero(), |s, o| s + dy[o] * w[o * inner + i])))
        .collect()
}
