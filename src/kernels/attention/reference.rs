//! Attention, plainly: full score rows, one query and head at a time.

use std::ops::Range;

use num_traits::Float;

use super::Shape;

/// For every query and head: the visible keys' row indices and probabilities.
fn probabilities<T: Float>(
    shape: Shape,
    sequence: &Range<usize>,
    i: usize,
    head: usize,
    q: &[T],
    k: &[T],
) -> Vec<(usize, T)> {
    let d = shape.head_dim;
    let kv = head / (shape.heads / shape.kv_heads);
    let scale = T::from(shape.scale).unwrap_or_else(T::nan);
    let scores: Vec<(usize, T)> = (sequence.start..=i)
        .filter(|j| shape.window.is_none_or(|w| i - j < w))
        .map(|j| {
            let product = (0..d)
                .fold(T::zero(), |s, c| s + q[(i * shape.heads + head) * d + c] * k[(j * shape.kv_heads + kv) * d + c]);
            (j, product * scale)
        })
        .collect();
    let maximum = scores.iter().fold(T::neg_infinity(), |m, (_, s)| m.max(*s));
    let sum = scores.iter().fold(T::zero(), |t, (_, s)| t + (*s - maximum).exp());
    scores.into_iter().map(|(j, s)| (j, (s - maximum).exp() / sum)).collect()
}

/// softmax(scale·q·kᵀ)·v per head, causal inside each sequence.
pub fn forward<T: Float>(shape: Shape, sequences: &[Range<usize>], q: &[T], k: &[T], v: &[T]) -> Vec<T> {
    let d = shape.head_dim;
    let group = shape.heads / shape.kv_heads;
    let mut out = vec![T::zero(); q.len()];
    for sequence in sequences {
        for i in sequence.clone() {
            for head in 0..shape.heads {
                for (j, p) in probabilities(shape, sequence, i, head, q, k) {
                    for c in 0..d {
                        let o = &mut out[(i * shape.heads + head) * d + c];
                        *o = *o + p * v[(j * shape.kv_heads + head / group) * d + c];
                    }
                }
            }
        }
    }
    out
}

/// (dq, dk, dv) for the gradient `d_out` of the output.
pub fn backward<T: Float>(
    shape: Shape,
    sequences: &[Range<usize>],
    q: &[T],
    k: &[T],
    v: &[T],
    d_out: &[T],
) -> (Vec<T>, Vec<T>, Vec<T>) {
    let d = shape.head_dim;
    let group = shape.heads / shape.kv_heads;
    let scale = T::from(shape.scale).unwrap_or_else(T::nan);
    let (mut dq, mut dk, mut dv) = (vec![T::zero(); q.len()], vec![T::zero(); k.len()], vec![T::zero(); v.len()]);
    for sequence in sequences {
        for i in sequence.clone() {
            for head in 0..shape.heads {
                let row = (i * shape.heads + head) * d;
                let weights = probabilities(shape, sequence, i, head, q, k);
                let key = |j: usize| (j * shape.kv_heads + head / group) * d;
                let dp: Vec<T> = weights
                    .iter()
                    .map(|(j, _)| (0..d).fold(T::zero(), |s, c| s + d_out[row + c] * v[key(*j) + c]))
                    .collect();
                let mean = weights.iter().zip(&dp).fold(T::zero(), |s, ((_, p), dp)| s + *p * *dp);
                for ((j, p), dp) in weights.iter().zip(&dp) {
                    let ds = *p * (*dp - mean) * scale;
                    for c in 0..d {
                        dv[key(*j) + c] = dv[key(*j) + c] + *p * d_out[row + c];
                        dq[row + c] = dq[row + c] + ds * k[key(*j) + c];
                        dk[key(*j) + c] = dk[key(*j) + c] + ds * q[row + c];
                    }
                }
            }
        }
    }
    (dq, dk, dv)
}
