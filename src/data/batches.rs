//! Batches in a seeded order: what is in step `s` of epoch `e` is a pure function of (seed, e, s), so a resumed run and
//! a run on other hardware see the same rows in the same order.
//!
//! A *row* is one example, or with packing several short ones; a *batch* is `batch_size` rows that go through the
//! decoder together; a *step* is `accumulation` batches that share one optimiser update. The decoder takes sequences of
//! any length side by side, so nothing is ever padded. Knows lengths and indices only; `train` turns them into tokens.

use std::collections::BTreeSet;

use super::examples::Examples;
use crate::model::{Batch, Targets};

/// Megabatches of `group_by_length` hold at most this many batches, as in Hugging Face's `LengthGroupedSampler`: more
/// would sort more strictly and shuffle less.
const MEGABATCH: usize = 50;

/// How rows become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// The run's seed.
    pub seed: u64,
    /// Rows per batch.
    pub batch_size: usize,
    /// Batches per optimiser step.
    pub accumulation: usize,
    /// Pack examples into rows of at most this many tokens.
    pub packing: Option<usize>,
    /// Put rows of similar length into the same step.
    pub group_by_length: bool,
}

/// The rows of a data set and the rule that orders them.
#[derive(Debug, Clone)]
pub struct Batches {
    batching: Batching,
    /// Example indices of each row.
    rows: Vec<Vec<usize>>,
    /// Tokens of each row.
    lengths: Vec<usize>,
}

impl Batches {
    /// Rows over examples of these lengths (tokens).
    pub fn new(lengths: &[usize], batching: Batching) -> Self {
        let rows = match batching.packing {
            Some(room) => pack(lengths, room),
            None => (0..lengths.len()).map(|i| vec![i]).collect(),
        };
        let lengths = rows.iter().map(|row| row.iter().map(|&i| lengths[i]).sum()).collect();
        Self { batching, rows, lengths }
    }

    /// Number of rows; without packing the number of examples.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Optimiser steps of one epoch; the last one may hold fewer rows.
    pub fn steps_per_epoch(&self) -> usize {
        self.rows.len().div_ceil(self.batching.batch_size).div_ceil(self.batching.accumulation)
    }

    /// Tokens of the largest batch that can come up: what the memory has to hold.
    pub fn largest_batch(&self) -> usize {
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.iter().take(self.batching.batch_size).sum()
    }

    /// The order of one epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch<'_> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        Shuffle::new(self.batching.seed, epoch).shuffle(&mut order);
        if self.batching.group_by_length {
            group_by_length(&mut order, &self.lengths, self.batching.batch_size * self.batching.accumulation);
        }
        Epoch { batches: self, order }
    }
}

/// The rows of one epoch in their order.
#[derive(Debug)]
pub struct Epoch<'a> {
    batches: &'a Batches,
    order: Vec<usize>,
}

impl Epoch<'_> {
    /// The batches of step `step` (from 0) of this epoch, each a list of example indices.
    pub fn step(&self, step: usize) -> Vec<Vec<usize>> {
        let Batching { batch_size, accumulation, .. } = self.batches.batching;
        let per_step = batch_size * accumulation;
        let start = (step * per_step).min(self.order.len());
        let end = (start + per_step).min(self.order.len());
        self.order[start..end]
            .chunks(batch_size)
            .map(|rows| rows.iter().flat_map(|&row| self.batches.rows[row].iter().copied()).collect())
            .collect()
    }
}

/// The tokens of these examples side by side and where their loss is taken. `first_id` is the number of sequences that
/// came before in the same optimiser step.
pub fn collate(examples: &Examples, indices: &[usize], first_id: u64) -> (Batch, Targets) {
    let mut batch = Batch::default();
    let mut targets = Targets::default();
    for (offset, &index) in indices.iter().enumerate() {
        let example = examples.get(index);
        let start = batch.len();
        batch.push_with_id(example.ids, first_id + offset as u64);
        for position in example.first_target.max(1)..example.ids.len() {
            targets.positions.push(start + position - 1);
            targets.labels.push(example.ids[position]);
        }
    }
    (batch, targets)
}

/// Best-fit decreasing: the longest example first, each into the fullest row that still has room for it. The same
/// lengths give the same rows.
fn pack(lengths: &[usize], room: usize) -> Vec<Vec<usize>> {
    let mut by_length: Vec<usize> = (0..lengths.len()).collect();
    by_length.sort_by_key(|&i| (std::cmp::Reverse(lengths[i]), i));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut free: BTreeSet<(usize, usize)> = BTreeSet::new();
    for index in by_length {
        let length = lengths[index];
        let (left, row) = match free.range((length, 0)..).next().copied() {
            Some(found) => {
                free.remove(&found);
                found
            }
            None => {
                rows.push(Vec::new());
                (room.max(length), rows.len() - 1)
            }
        };
        rows[row].push(index);
        free.insert((left - length, row));
    }
    rows
}

/// Sorts windows of the shuffled order by falling length, the window with the longest row first (so that a run that
/// cannot fit in memory fails at once), as Hugging Face's `get_length_grouped_indices` does.
fn group_by_length(order: &mut [usize], lengths: &[usize], per_step: usize) {
    let window = (order.len() / (per_step * 4)).clamp(1, MEGABATCH) * per_step;
    for chunk in order.chunks_mut(window) {
        chunk.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    }
    let longest =
        (0..order.len()).step_by(window).max_by_key(|&start| (lengths[order[start]], std::cmp::Reverse(start)));
    if let Some(start) = longest {
        order.swap(0, start);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014) keyed by seed and epoch: enough for an order, and four lines that never change.
struct Shuffle(u64);

impl Shuffle {
    fn new(seed: u64, epoch: u64) -> Self {
        let mut keyed = Self(seed);
        let base = keyed.next();
        Self(base ^ epoch.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Fisher–Yates; the high half of the product is uniform but for a bias below 2⁻³², which an order does not notice.
    fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            let pick = ((u128::from(self.next()) * (last as u128 + 1)) >> 64) as usize;
            items.swap(last, pick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batching(batch_size: usize, accumulation: usize) -> Batching {
        Batching { seed: 7, batch_size, accumulation, packing: None, group_by_length: false }
    }

    fn flat(epoch: &Epoch<'_>, steps: usize) -> Vec<usize> {
        (0..steps).flat_map(|s| epoch.step(s)).flatten().collect()
    }

    #[test]
    fn order_depends_on_seed_and_epoch_only() {
        let lengths: Vec<usize> = (0..37).map(|i| 3 + i % 5).collect();
        let small = Batches::new(&lengths, batching(2, 4));
        let large = Batches::new(&lengths, batching(8, 1));
        let steps = small.steps_per_epoch();
        assert_eq!(steps, 5);
        assert_eq!(flat(&small.epoch(3), steps), flat(&large.epoch(3), steps), "4 × 2 sees what 1 × 8 sees");
        assert_ne!(flat(&small.epoch(0), steps), flat(&small.epoch(1), steps));
        let other = Batches::new(&lengths, Batching { seed: 8, ..batching(2, 4) });
        assert_ne!(flat(&small.epoch(0), steps), flat(&other.epoch(0), steps));
        // The order is part of the promise of equal bytes: it may not change between releases unnoticed.
        assert_eq!(&flat(&small.epoch(0), 1), &[36, 3, 2, 13, 17, 31, 8, 30]);
    }

    #[test]
    fn an_epoch_holds_every_example_once_and_the_last_step_is_short() {
        let batches = Batches::new(&[1; 11], batching(2, 2));
        assert_eq!(batches.steps_per_epoch(), 3);
        let last = batches.epoch(0).step(2);
        assert_eq!(last.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(batches.epoch(0).step(3).is_empty());
        let mut seen = flat(&batches.epoch(5), 3);
        seen.sort_unstable();
        assert_eq!(seen, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn grouping_starts_with_the_longest_and_keeps_lengths_together() {
        let lengths: Vec<usize> = (0..400).map(|i| 1 + (i * 7919) % 97).collect();
        let batches = Batches::new(&lengths, Batching { group_by_length: true, ..batching(5, 1) });
        let epoch = batches.epoch(0);
        let first = epoch.step(0);
        assert_eq!(lengths[first[0][0]], 97);
        let spread = |step: usize| {
            let lengths: Vec<usize> = epoch.step(step)[0].iter().map(|&i| lengths[i]).collect();
            lengths.iter().max().unwrap() - lengths.iter().min().unwrap()
        };
        let mean = (1..80).map(spread).sum::<usize>() as f64 / 79.0;
        assert!(mean < 12.0, "{mean}");
        let mut all = flat(&epoch, 80);
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn packing_is_tight_and_keeps_rows_within_bounds() {
        let batches = Batches::new(&[6, 4, 5, 5, 9, 1, 12], Batching { packing: Some(10), ..batching(1, 1) });
        // 12 alone (longer than a row), 9+1, 6+4, 5+5
        assert_eq!(batches.rows(), 4);
        assert_eq!(batches.largest_batch(), 12);
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(lengths in prop::collection::vec(1usize..60, 0..200), room in 60usize..200) {
            let rows = pack(&lengths, room);
            for row in &rows {
                prop_assert!(row.iter().map(|&i| lengths[i]).sum::<usize>() <= room);
            }
            let mut all: Vec<usize> = rows.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
        }
    }
}
