//! SwiGLU's elementwise part: y = silu(gate) ⊙ up, silu(z) = z·σ(z) (Shazeer 2020).

pub mod reference;

use rayon::prelude::*;

use super::simd::{exp, multiversion};

/// Elements handed to a thread at once.
const ELEMENTS_PER_TASK: usize = 1 << 13;

/// gate, up, y: same length.
pub fn forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert!(gate.len() == up.len() && gate.len() == y.len(), "swiglu lengths");
    let n = ELEMENTS_PER_TASK;
    gate.par_chunks(n)
        .zip(up.par_chunks(n))
        .zip(y.par_chunks_mut(n))
        .for_each(|((gate, up), y)| forward_here(gate, up, y));
}

/// Replaces `gate` by dL/dgate and `up` by dL/dup, given dy.
pub fn backward_in_place(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    assert!(gate.len() == up.len() && gate.len() == dy.len(), "swiglu lengths");
    let n = ELEMENTS_PER_TASK;
    gate.par_chunks_mut(n)
        .zip(up.par_chunks_mut(n))
        .zip(dy.par_chunks(n))
        .for_each(|((gate, up), dy)| backward_here(gate, up, dy));
}

multiversion! { fn forward_here(gate: &[f32], up: &[f32], y: &mut [f32]) = forward_chunk }

#[inline(always)]
fn forward_chunk<const FMA: bool>(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
        *y = g * sigmoid::<FMA>(*g) * u;
    }
}

multiversion! { fn backward_here(gate: &mut [f32], up: &mut [f32], dy: &[f32]) = backward_chunk }

#[inline(always)]
fn backward_chunk<const FMA: bool>(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    for ((g, u), dy) in gate.iter_mut().zip(up).zip(dy) {
        let s = sigmoid::<FMA>(*g);
        let d_gate = dy * *u * s * (1.0 + *g * (1.0 - s));
        *u = dy * *g * s;
        *g = d_gate;
    }
}

#[inline(always)]
fn sigmoid<const FMA: bool>(z: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-z))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};

    #[test]
    fn reference_backward_is_the_slope() {
        let (gate, up, dy) = (random64(9, 1), random64(9, 2), random64(9, 3));
        let (d_gate, d_up) = reference::backward(&gate, &up, &dy);
        assert_gradient(&gate, &d_gate, |g| dot(&reference::forward(g, &up), &dy));
        assert_gradient(&up, &d_up, |u| dot(&reference::forward(&gate, u), &dy));
    }

    #[test]
    fn cpu_equals_reference_also_far_out() {
        let n = 10_001;
        let gate: Vec<f64> = random64(n, 4).iter().map(|x| x * 100.0).collect();
        let (up, dy) = (random64(n, 5), random64(n, 6));
        let mut y = vec![0.0; n];
        forward(&narrow(&gate), &narrow(&up), &mut y);
        assert_close(&y, &reference::forward(&gate, &up), 1e-6);
        let (mut d_gate, mut d_up) = (narrow(&gate), narrow(&up));
        backward_in_place(&mut d_gate, &mut d_up, &narrow(&dy));
        let (want_gate, want_up) = reference::backward(&gate, &up, &dy);
        assert_close(&d_gate, &want_gate, 1e-5);
        assert_close(&d_up, &want_up, 1e-6);
    }
}
