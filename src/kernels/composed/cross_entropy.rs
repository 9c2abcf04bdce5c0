//! LM head and softmax-cross-entropy over the target positions, in chunks: the loss and the gradient of the hidden state.

use candle_core::{D, DType, Tensor};

use super::linear;
use crate::error::Result;
use crate::kernels::cross_entropy::{LOGIT_BYTES, Sums};

/// h [targets, hidden], labels `[targets]` below vocab, head [vocab, hidden] → the loss sums, and if asked the gradient of
/// Σ −log p(label) with respect to h, [targets, hidden].
pub fn forward_backward(h: &Tensor, labels: &[u32], head: &Tensor, gradient: bool) -> Result<(Sums, Option<Tensor>)> {
    let chunk = (LOGIT_BYTES / 4 / head.dim(0)?.max(1)).max(1);
    in_chunks(h, labels, head, gradient, chunk)
}

/// [`forward_backward`], so many targets at a time.
pub(super) fn in_chunks(
    h: &Tensor,
    labels: &[u32],
    head: &Tensor,
    gradient: bool,
    chunk: usize,
) -> Result<(Sums, Option<Tensor>)> {
    let mut sums = Sums::default();
    let mut parts = Vec::new();
    for first in (0..labels.len()).step_by(chunk) {
        let own = &labels[first..labels.len().min(first + chunk)];
        let index = Tensor::from_slice(own, (own.len(), 1), h.device())?;
        let logits = linear::forward(&h.narrow(0, first, own.len())?, head)?;
        let exps = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
        let target = exps.gather(&index, 1)?;
        let exps = exps.exp()?;
        let sum = exps.sum_keepdim(D::Minus1)?;
        let losses: Vec<f32> = (sum.log()? - target)?.flatten_all()?.to_vec1()?;
        // Targets are added up in f64, in order.
        sums.nll += losses.into_iter().map(f64::from).sum::<f64>();
        let best: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
        sums.correct += best.iter().zip(own).filter(|(best, label)| best == label).count();
        if gradient {
            let minus_one = Tensor::ones((own.len(), 1), DType::F32, h.device())?.neg()?;
            let d_logits = exps.broadcast_div(&sum)?.scatter_add(&index, &minus_one, 1)?;
            parts.push(linear::backward_input(&d_logits, head)?);
        }
    }
    let gradient = if gradient { Some(Tensor::cat(&parts, 0)?) } else { None };
    Ok((sums, gradient))
}
