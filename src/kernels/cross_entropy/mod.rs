//! LM head and softmax-cross-entropy in one pass over the target positions, in chunks: the loss and the gradient of the
//! hidden state. No [tokens × vocabulary] tensor exists. Softmax and loss in f32, sums over targets in f64.

pub mod reference;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::gemm::Write;
use super::linear::{self, Matrix};
use super::simd::{LANES, exp, multiversion, total};

/// Bytes of logits held at once: 110 rows of a vocabulary of 152 thousand. The head is read from memory and packed twice
/// a chunk, which the products with its rows have to pay for.
pub const LOGIT_BYTES: usize = 64 << 20;

/// Numbers of a row whose exponentials are summed in f32.
const CHUNK: usize = 1024;

/// A loss over targets, as sums.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Σ −log p(label), nats.
    pub nll: f64,
    /// Targets whose label has the highest logit.
    pub correct: usize,
}

/// h [targets, hidden], labels `[targets]`, head [vocab, hidden] → the loss sums; with `dh` [targets, hidden] also the
/// gradient of Σ −log p(label) with respect to h (overwritten). Labels must be below vocab.
pub fn forward_backward(h: &[f32], labels: &[u32], head: Matrix<'_>, dh: Option<&mut [f32]>) -> Sums {
    forward_backward_each(h, labels, head, dh, |_, _| ())
}

/// As [`forward_backward`], and hands each chunk's (h [rows, hidden], dlogits [rows, vocab]) to `each`: the head's own
/// gradient dW += dlogitsᵀ·h is made there, chunk by chunk.
pub fn forward_backward_each(
    h: &[f32],
    labels: &[u32],
    head: Matrix<'_>,
    mut dh: Option<&mut [f32]>,
    mut each: impl FnMut(&[f32], &[f32]),
) -> Sums {
    let (vocab, hidden) = (head.out(), head.inner());
    assert_eq!(h.len(), labels.len() * hidden, "cross entropy of {} targets", labels.len());
    let most = (LOGIT_BYTES / 4 / vocab.max(1)).max(1);
    // Chunks of even size. A row's numbers do not depend on the other rows of its chunk.
    let chunk = labels.len().div_ceil(labels.len().div_ceil(most).max(1)).max(1);
    let mut logits = Buffer::unspecified(chunk * vocab);
    let mut sums = Sums::default();
    for first in (0..labels.len()).step_by(chunk) {
        let rows = chunk.min(labels.len() - first);
        let (logits, labels) = (&mut logits[..rows * vocab], &labels[first..first + rows]);
        linear::forward(&h[first * hidden..(first + rows) * hidden], rows, head, logits, Write::Set);
        let losses: Vec<(f64, bool)> = logits
            .par_chunks_exact_mut(vocab)
            .zip(labels.par_iter())
            .map(|(row, label)| softmax_minus_label(row, *label as usize))
            .collect();
        for (nll, correct) in losses {
            sums.nll += nll;
            sums.correct += usize::from(correct);
        }
        if let Some(dh) = dh.as_deref_mut() {
            linear::backward_input(logits, rows, head, &mut dh[first * hidden..(first + rows) * hidden], Write::Set);
            each(&h[first * hidden..(first + rows) * hidden], logits);
        }
    }
    sums
}

multiversion! {
    /// Turns a row of logits into softmax − onehot(label), the gradient; returns −log p(label) and whether it is the
    /// argmax (the first of equal logits).
    fn softmax_minus_label(row: &mut [f32], label: usize) -> (f64, bool) = softmax_row
}

#[inline(always)]
fn softmax_row<const FMA: bool>(row: &mut [f32], label: usize) -> (f64, bool) {
    let maximum = maximum(row);
    let target = row[label];
    let best = target == maximum && row[..label].iter().all(|x| *x < maximum);
    let mut sum = 0.0f64;
    // Partial sums in f32 over chunks, the whole in f64.
    for chunk in row.chunks_mut(CHUNK) {
        let mut sums = [0.0f32; LANES];
        let (vectors, rest) = chunk.as_chunks_mut::<LANES>();
        for vector in vectors {
            for lane in 0..LANES {
                vector[lane] = exp::<FMA>(vector[lane] - maximum);
                sums[lane] += vector[lane];
            }
        }
        let mut partial = total(sums);
        for x in rest {
            *x = exp::<FMA>(*x - maximum);
            partial += *x;
        }
        sum += f64::from(partial);
    }
    let inverse = (1.0 / sum) as f32;
    row.iter_mut().for_each(|x| *x *= inverse);
    row[label] -= 1.0;
    (sum.ln() + f64::from(maximum) - f64::from(target), best)
}

/// The largest number; NaN is passed over.
#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (vectors, rest) = row.as_chunks::<LANES>();
    for vector in vectors {
        for lane in 0..LANES {
            lanes[lane] = if vector[lane] > lanes[lane] { vector[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m })
}

#[cfg(test)]
mod tests {
    use super::super::linear::Values;
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, narrow, random64};

    #[test]
    fn reference_backward_is_the_slope() {
        let (h, head, labels) = (random64(3 * 4, 1), random64(6 * 4, 2), [5u32, 0, 2]);
        let (_, dh) = reference::forward_backward(&h, &labels, &head, 4);
        assert_gradient(&h, &dh, |h| reference::forward_backward(h, &labels, &head, 4).0);
    }

    #[test]
    fn cpu_equals_reference_over_several_chunks() {
        let (targets, hidden, vocab) = (19, 8, 1_000_003);
        let small = 777;
        for vocab in [small, vocab] {
            let targets = if vocab == small { targets } else { 7 };
            let h: Vec<f64> = random64(targets * hidden, 3).iter().map(|x| x * 4.0).collect();
            let head = random64(vocab * hidden, 4);
            let labels: Vec<u32> = (0..targets).map(|i| ((i * 7919 + 3) % vocab) as u32).collect();
            let (head32, h32) = (narrow(&head), narrow(&h));
            let matrix = Matrix::new(Values::F32(&head32), vocab, hidden);
            let mut dh = vec![7.0; h.len()];
            let sums = forward_backward(&h32, &labels, matrix, Some(&mut dh));
            let (want, want_dh) = reference::forward_backward(&h, &labels, &head, hidden);
            assert!((sums.nll - want).abs() < 1e-5 * want.abs(), "{} instead of {want}", sums.nll);
            assert_close(&dh, &want_dh, 2e-5);
            assert_eq!(forward_backward(&h32, &labels, matrix, None), sums);
        }
    }
}
