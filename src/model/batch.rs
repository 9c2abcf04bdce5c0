//! What goes into the decoder and what comes out of the loss.

use std::ops::Range;

pub use crate::kernels::attention::Sequence;

/// Sequences laid end to end without padding. Attention stays inside a sequence and is causal.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Token ids, `[tokens]`.
    pub input_ids: Vec<u32>,
    /// Rotary positions, `[tokens]`; they restart at 0 with every sequence unless set otherwise.
    pub position_ids: Vec<u32>,
    /// Each sequence's tokens; they tile `0..tokens` in order. Sequences may stand behind a prefix that they share.
    pub sequences: Vec<Sequence>,
    /// Index of each sequence within the optimiser step (over all micro-batches and ranks), `[sequences]`: the key of
    /// its dropout masks, so that any split of a step into batches draws the same masks.
    pub sequence_ids: Vec<u64>,
}

impl Batch {
    /// Appends a sequence with positions from 0; its id is its index in this batch.
    pub fn push(&mut self, ids: &[u32]) {
        self.push_with_id(ids, self.sequences.len() as u64);
    }

    /// Appends a sequence with positions from 0 and this index within the optimiser step.
    pub fn push_with_id(&mut self, ids: &[u32], id: u64) {
        self.push_behind(0..0, ids, id);
    }

    /// Appends a sequence that goes on behind `prefix`, the tokens of an earlier sequence; its positions do too.
    pub fn push_behind(&mut self, prefix: Range<usize>, ids: &[u32], id: u64) {
        let start = self.input_ids.len();
        self.input_ids.extend_from_slice(ids);
        self.position_ids.extend((prefix.len()..prefix.len() + ids.len()).map(|position| position as u32));
        self.sequences.push(Sequence { rows: start..start + ids.len(), prefix });
        self.sequence_ids.push(id);
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.input_ids.is_empty()
    }
}

/// Where the loss is taken: the logits of token `positions[i]` of the batch predict `labels[i]` (already shifted).
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Indices into the batch's tokens, ascending.
    pub positions: Vec<usize>,
    /// The token each position has to predict, same length.
    pub labels: Vec<u32>,
}

/// A loss as a sum, so that batches add up by target tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// Sum of −log p(label), nats.
    pub nll: f64,
    /// Number of targets.
    pub targets: usize,
    /// Targets whose label has the highest logit.
    pub correct: usize,
}

impl LossSum {
    /// Mean negative log-likelihood per target; NaN without targets.
    pub fn mean(&self) -> f64 {
        self.nll / self.targets as f64
    }

    /// Adds another sum.
    pub fn add(&mut self, other: LossSum) {
        self.nll += other.nll;
        self.targets += other.targets;
        self.correct += other.correct;
    }
}

/// The key of the dropout masks of one optimiser step: a mask is a pure function of
/// (seed, step, sequence id, offset in the sequence, layer, module, element).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The optimiser step, from 0.
    pub step: u64,
}
