//! SwiGLU's elementwise part, plainly.

use num_traits::Float;

fn sigmoid<T: Float>(z: T) -> T {
    (T::one() + (-z).exp()).recip()
}

/// silu(gate) ⊙ up.
pub fn forward<T: Float>(gate: &[T], up: &[T]) -> Vec<T> {
    gate.iter().zip(up).map(|(&g, &u)| g * sigmoid(g) * u).collect()
}

/// (dL/dgate, dL/dup).
pub fn backward<T: Float>(gate: &[T], up: &[T], dy: &[T]) -> (Vec<T>, Vec<T>) {
    let one = T::one();
    let d_gate = |i: usize| {
        let s = sigmoid(gate[i]);
        dy[i] * up[i] * s * (one + gate[i] * (one - s))
    };
    let d_up = |i: usize| dy[i] * gate[i] * sigmoid(gate[i]);
    ((0..gate.len()).map(d_gate).collect(), (0..gate.len()).map(d_up).collect())
}
