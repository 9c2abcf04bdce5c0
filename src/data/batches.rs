//! Batches in a seeded order: what is in step `s` of epoch `e` is a pure function of (seed, e, s), so a resumed run and
//! a run on other hardware see the same rows in the same order.
//!
//! A *row* is one example, or with packing several short ones; a *batch* is `batch_size` rows that go through the
//! decoder together; a *step* is `accumulation` batches that share one optimiser update. The decoder takes sequences of
//! any length side by side, so nothing is ever padded. Knows lengths and indices only; `train` turns them into tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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
    /// Batches per optimiser step, over all processes.
    pub accumulation: usize,
    /// Pack examples into rows of at most this many tokens.
    pub packing: Option<usize>,
    /// Compute what prompts begin with alike once in a batch (see [`collate`]); packing then puts such examples together.
    pub share: bool,
    /// Put rows of similar length into the same step.
    pub group_by_length: bool,
}

impl Batching {
    /// The same where a step's batches are shared out to so many processes, each with its own `accumulation`.
    #[must_use]
    pub fn across(self, processes: usize) -> Self {
        Self { accumulation: self.accumulation * processes, ..self }
    }
}

/// How many tokens an example has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// All of them.
    pub tokens: usize,
    /// Those in front of the question (the schema), which other examples may begin with too.
    pub prefix: usize,
    /// The same for examples whose prefixes are equal.
    pub prefix_key: u64,
}

impl From<usize> for Length {
    /// An example that shares nothing.
    fn from(tokens: usize) -> Self {
        Self { tokens, prefix: 0, prefix_key: 0 }
    }
}

/// The rows of a data set and the rule that orders them.
#[derive(Debug, Clone)]
pub struct Batches {
    batching: Batching,
    /// Example indices of each row.
    rows: Vec<Vec<usize>>,
    /// Tokens of each row, shared prefixes counted once.
    lengths: Vec<usize>,
    /// Tokens that all rows begin with.
    common: usize,
}

impl Batches {
    /// Rows over examples of these lengths (tokens).
    pub fn new(lengths: &[Length], batching: Batching) -> Self {
        let rows = match batching.packing {
            Some(room) if batching.share => pack_sharing(lengths, room),
            Some(room) => pack(&lengths.iter().map(|length| length.tokens).collect::<Vec<_>>(), room),
            None => (0..lengths.len()).map(|i| vec![i]).collect(),
        };
        let row_tokens = |row: &Vec<usize>| match batching.share {
            true => shared_tokens(row.iter().map(|&i| lengths[i])),
            false => row.iter().map(|&i| lengths[i].tokens).sum(),
        };
        // Where all examples begin alike, so do those of every batch.
        let common = match lengths.first() {
            Some(first) if batching.share && lengths.iter().all(|l| l.prefix_key == first.prefix_key) => first.prefix,
            _ => 0,
        };
        let lengths = rows.iter().map(row_tokens).collect();
        Self { batching, rows, lengths, common }
    }

    /// Number of rows; without packing the number of examples.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether equal beginnings of prompts are computed once.
    pub fn shares(&self) -> bool {
        self.batching.share
    }

    /// Optimiser steps of one epoch; the last one may hold fewer rows.
    pub fn steps_per_epoch(&self) -> usize {
        self.rows.len().div_ceil(self.batching.batch_size).div_ceil(self.batching.accumulation)
    }

    /// Tokens of the largest batch that can come up: what the memory has to hold.
    pub fn largest_batch(&self) -> usize {
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let rows = self.batching.batch_size.min(lengths.len());
        lengths.iter().take(rows).sum::<usize>() - self.common * rows.saturating_sub(1)
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

/// Prompts that begin with this many equal tokens share their computation. Price of sharing fewer: a sequence more for
/// attention to walk, which costs about as much as these tokens.
const SHARED_FROM: usize = 16;

/// The tokens of these examples side by side and where their loss is taken. `first_id` is the number of sequences that
/// came before in the same optimiser step. With `share` the tokens that prompts begin with alike (one schema, many
/// questions) stand in the batch once, in front of what follows them in each example: the same loss and gradients for
/// less work. Dropout forbids it: it wants masks of its own for every example.
pub fn collate(examples: &Examples, indices: &[usize], first_id: u64, share: bool) -> (Batch, Targets) {
    let mut batch = Batch::default();
    let mut targets = Targets::default();
    let mut push = |batch: &mut Batch, prefix: Range<usize>, offset: usize| {
        let example = examples.get(indices[offset]);
        let (start, cut) = (batch.len(), prefix.len());
        batch.push_behind(prefix, &example.ids[cut..], first_id + offset as u64);
        for position in example.first_target.max(1)..example.ids.len() {
            targets.positions.push(start + position - 1 - cut);
            targets.labels.push(example.ids[position]);
        }
    };
    if !share {
        (0..indices.len()).for_each(|offset| push(&mut batch, 0..0, offset));
        return (batch, targets);
    }
    for family in families(examples, indices) {
        let [first, _, ..] = *family.members else {
            family.members.iter().for_each(|offset| push(&mut batch, 0..0, *offset));
            continue;
        };
        let start = batch.len();
        let trunk = &examples.get(indices[first]).ids[..family.shared];
        batch.push_behind(0..0, trunk, first_id + first as u64);
        family.members.iter().for_each(|offset| push(&mut batch, start..start + family.shared, *offset));
    }
    (batch, targets)
}

/// Examples (as offsets in a batch) whose prompts begin with the same `shared` tokens.
struct Family {
    members: Vec<usize>,
    shared: usize,
}

/// Each example joins the first family that it makes no longer in all, or begins one.
fn families(examples: &Examples, indices: &[usize]) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for (offset, index) in indices.iter().enumerate() {
        let example = examples.get(*index);
        // The last token of the prompt stays with the example: it answers for the first target.
        let own = example.first_target.saturating_sub(1);
        let found = families.iter_mut().find_map(|family| {
            let room = family.shared.min(own);
            let other = examples.get(indices[family.members[0]]).ids;
            let shared = example.ids[..room].iter().zip(other).take_while(|(a, b)| a == b).count();
            let saved = family.shared * (family.members.len() - 1);
            (shared >= SHARED_FROM && shared * family.members.len() >= saved).then_some((family, shared))
        });
        match found {
            Some((family, shared)) => {
                family.shared = shared;
                family.members.push(offset);
            }
            None => families.push(Family { members: vec![offset], shared: own }),
        }
    }
    families
}

/// Tokens of examples side by side, prefixes that are alike counted once.
fn shared_tokens(examples: impl Iterator<Item = Length>) -> usize {
    let mut seen = BTreeSet::new();
    let own = |length: Length| length.tokens - if seen.insert(length.prefix_key) { 0 } else { length.prefix };
    examples.map(own).sum()
}

/// [`pack`], where examples with the same prefix first come together, as many as a row holds.
fn pack_sharing(lengths: &[Length], room: usize) -> Vec<Vec<usize>> {
    let mut by_prefix: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
    for (i, length) in lengths.iter().enumerate() {
        by_prefix.entry((length.prefix, length.prefix_key)).or_default().push(i);
    }
    let mut parcels: Vec<(Vec<usize>, usize)> = Vec::new();
    for ((prefix, _), members) in by_prefix {
        let fresh = parcels.len();
        for i in members {
            let own = lengths[i].tokens - prefix;
            match parcels[fresh..].last_mut().filter(|(_, tokens)| *tokens + own <= room && prefix > 0) {
                Some((parcel, tokens)) => {
                    parcel.push(i);
                    *tokens += own;
                }
                None => parcels.push((vec![i], prefix + own)),
            }
        }
    }
    let tokens: Vec<usize> = parcels.iter().map(|(_, tokens)| *tokens).collect();
    let rows = pack(&tokens, room).into_iter();
    rows.map(|row| row.into_iter().flat_map(|parcel| parcels[parcel].0.clone()).collect()).collect()
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
        Batching { seed: 7, batch_size, accumulation, packing: None, share: false, group_by_length: false }
    }

    fn lengths(tokens: impl IntoIterator<Item = usize>) -> Vec<Length> {
        tokens.into_iter().map(Length::from).collect()
    }

    fn flat(epoch: &Epoch<'_>, steps: usize) -> Vec<usize> {
        (0..steps).flat_map(|s| epoch.step(s)).flatten().collect()
    }

    #[test]
    fn order_depends_on_seed_and_epoch_only() {
        let lengths = lengths((0..37).map(|i| 3 + i % 5));
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
        let batches = Batches::new(&lengths([1; 11]), batching(2, 2));
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
        let tokens: Vec<usize> = (0..400).map(|i| 1 + (i * 7919) % 97).collect();
        let batches = Batches::new(&lengths(tokens.clone()), Batching { group_by_length: true, ..batching(5, 1) });
        let epoch = batches.epoch(0);
        let first = epoch.step(0);
        assert_eq!(tokens[first[0][0]], 97);
        let spread = |step: usize| {
            let lengths: Vec<usize> = epoch.step(step)[0].iter().map(|&i| tokens[i]).collect();
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
        let batches = Batches::new(&lengths([6, 4, 5, 5, 9, 1, 12]), Batching { packing: Some(10), ..batching(1, 1) });
        // 12 alone (longer than a row), 9+1, 6+4, 5+5
        assert_eq!(batches.rows(), 4);
        assert_eq!(batches.largest_batch(), 12);
    }

    #[test]
    fn packing_puts_examples_with_one_prefix_together_and_counts_it_once() {
        let of = |prefix_key: u64, tokens: usize| Length { tokens, prefix: 10, prefix_key };
        let lengths = [of(1, 14), of(2, 13), of(1, 15), of(2, 14), of(1, 16), Length::from(9)];
        let batches = Batches::new(&lengths, Batching { packing: Some(30), share: true, ..batching(1, 1) });
        // 10+4+5+6 of the first prefix; 10+3+4 of the second and 9 alone.
        let mut rows = batches.rows.clone();
        rows.iter_mut().for_each(|row| row.sort_unstable());
        rows.sort();
        assert_eq!(rows, [vec![0, 2, 4], vec![1, 3, 5]]);
        assert_eq!(batches.largest_batch(), 26);
        let alike = Batches::new(&lengths[..1].repeat(8), Batching { share: true, ..batching(4, 1) });
        assert_eq!(alike.largest_batch(), 10 + 4 * 4);
    }

    #[test]
    fn equal_prompt_beginnings_stand_in_a_batch_once() {
        let trunk: Vec<u32> = (100..130).collect();
        let row = |tail: &[u32]| ([&trunk[..], tail].concat(), 32);
        let rows = [row(&[1, 2, 3, 4]), (vec![7; 20], 18), row(&[1, 5, 6]), row(&[8, 9, 10])];
        let examples = Examples::from_ids(&rows);
        let (apart, apart_targets) = collate(&examples, &[0, 1, 2, 3], 5, false);
        let (batch, targets) = collate(&examples, &[0, 1, 2, 3], 5, true);
        assert_eq!(batch.len(), apart.len() - 60);
        let rebuilt: Vec<Vec<u32>> = batch.sequences[1..]
            .iter()
            .map(|s| {
                batch.input_ids[s.prefix.clone()].iter().chain(&batch.input_ids[s.rows.clone()]).copied().collect()
            })
            .collect();
        assert_eq!(rebuilt, [&rows[0].0[..], &rows[2].0, &rows[3].0, &rows[1].0], "families in the order they began");
        assert_eq!(batch.position_ids[30..34], [30, 31, 32, 33]);
        assert_eq!(batch.sequence_ids, [5, 5, 7, 8, 6]);
        let predicted = |batch: &Batch, targets: &Targets| -> BTreeSet<(u32, u32, u32)> {
            let triple = |(p, label): (&usize, &u32)| (batch.input_ids[*p], batch.position_ids[*p], *label);
            targets.positions.iter().zip(&targets.labels).map(triple).collect()
        };
        assert_eq!(predicted(&batch, &targets), predicted(&apart, &apart_targets));
        assert_eq!(targets.labels.len(), apart_targets.labels.len());
        assert!(targets.positions.is_sorted());
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
