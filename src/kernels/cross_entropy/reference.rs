//! LM head and cross-entropy, plainly.

use num_traits::Float;

/// (Σ −log p(label), its gradient with respect to h), with head [vocab, hidden].
pub fn forward_backward<T: Float>(h: &[T], labels: &[u32], head: &[T], hidden: usize) -> (T, Vec<T>) {
    let mut loss = T::zero();
    let mut dh = vec![T::zero(); h.len()];
    for ((h, dh), label) in h.chunks(hidden).zip(dh.chunks_mut(hidden)).zip(labels) {
        let logits: Vec<T> =
            head.chunks(hidden).map(|w| w.iter().zip(h).fold(T::zero(), |s, (&w, &h)| s + w * h)).collect();
        let maximum = logits.iter().fold(T::neg_infinity(), |m, l| m.max(*l));
        let sum = logits.iter().fold(T::zero(), |s, l| s + (*l - maximum).exp());
        loss = loss + sum.ln() + maximum - logits[*label as usize];
        for (token, (w, logit)) in head.chunks(hidden).zip(&logits).enumerate() {
            let one = if token == *label as usize { T::one() } else { T::zero() };
            let g = (*logit - maximum).exp() / sum - one;
            for (dh, w) in dh.iter_mut().zip(w) {
                *dh = *dh + g * *w;
            }
        }
    }
    (loss, dh)
}
