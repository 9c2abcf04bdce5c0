//! The sums themselves, in f64: two processes with a batch of 2 rows each come to the loss and the gradients of one with
//! a batch of 4, with and without dropout. The decoder layer is put together from the kernels' references, since training
//! itself computes in f32.

use std::ops::Range;

use expert_cli::data::batches::{Batches, Batching, collate};
use expert_cli::data::examples::Examples;
use expert_cli::kernels::attention::{Shape, reference as attention};
use expert_cli::kernels::random::{drop_row, mix, unit};
use expert_cli::kernels::{cross_entropy, linear, rms_norm, swiglu};
use expert_cli::model::{Batch, Targets};
use expert_cli::train::group::{self, Group, Share, mpi};

use super::{as_two, code, text};

const HIDDEN: usize = 6;
const MLP: usize = 5;
const VOCAB: usize = 13;
const EPSILON: f64 = 1e-6;
const SHAPE: Shape = Shape { heads: 2, kv_heads: 1, head_dim: 4, window: None, scale: 0.5 };
/// Weights of the layer: q, k, v, o, gate, up, down as [out, in].
const LINEARS: [(usize, usize); 7] =
    [(8, HIDDEN), (4, HIDDEN), (4, HIDDEN), (HIDDEN, 8), (MLP, HIDDEN), (MLP, HIDDEN), (HIDDEN, MLP)];
/// Difference of sums in f64, relative to the largest of them.
const TOLERANCE: f64 = 1e-10;

fn numbers(key: u64, len: usize) -> Vec<f64> {
    (0..len as u64).map(|i| 2.0 * unit(key, i) - 1.0).collect()
}

/// One decoder layer with head, in f64, whose seven linears take gradients.
struct Layer {
    embedding: Vec<f64>,
    norms: [Vec<f64>; 3],
    linears: Vec<Vec<f64>>,
    dropout: f64,
}

/// Loss and targets, then the gradients of the seven linears, in one row of numbers.
type Sums = Vec<f64>;

impl Layer {
    fn new(dropout: f64) -> Self {
        Self {
            embedding: numbers(1, VOCAB * HIDDEN),
            norms: [2, 3, 4].map(|key| numbers(key, HIDDEN)),
            linears: (10..).zip(LINEARS).map(|(key, (out, inner))| numbers(key, out * inner)).collect(),
            dropout,
        }
    }

    /// x with the mask of each row: a function of its sequence's number in the step and its place in the sequence.
    fn drop(&self, x: &[f64], width: usize, batch: &Batch, site: u64) -> Vec<f64> {
        let mut dropped = Vec::new();
        for (sequence, id) in batch.sequences.iter().zip(&batch.sequence_ids) {
            let range = &sequence.rows;
            for row in range.clone() {
                let mut mask = vec![1f32; width];
                if self.dropout > 0.0 {
                    drop_row(&mut mask, mix(&[*id, (row - range.start) as u64, site]), self.dropout);
                }
                dropped.extend(x[row * width..][..width].iter().zip(mask).map(|(x, m)| x * f64::from(m)));
            }
        }
        dropped
    }

    fn loss_backward(&self, batch: &Batch, targets: &Targets) -> Sums {
        let w = |i: usize| &self.linears[i][..];
        let apply = |i: usize, x: &[f64]| linear::reference::forward(x, w(i), LINEARS[i].1);
        let back = |i: usize, dy: &[f64]| linear::reference::backward_input(dy, w(i), LINEARS[i].1);
        let sequences: Vec<Range<usize>> = batch.sequences.iter().map(|sequence| sequence.rows.clone()).collect();
        let x: Vec<f64> =
            batch.input_ids.iter().flat_map(|id| self.embedding[*id as usize * HIDDEN..][..HIDDEN].to_vec()).collect();
        let h = rms_norm::reference::forward(&x, &self.norms[0], EPSILON);
        let h_in = self.drop(&h, HIDDEN, batch, 0);
        let (q, k, v) = (apply(0, &h_in), apply(1, &h_in), apply(2, &h_in));
        let a = attention::forward(SHAPE, &sequences, &q, &k, &v);
        let middle: Vec<f64> = x.iter().zip(apply(3, &a)).map(|(x, y)| x + y).collect();
        let n = rms_norm::reference::forward(&middle, &self.norms[1], EPSILON);
        let n_in = self.drop(&n, HIDDEN, batch, 1);
        let (gate, up) = (apply(4, &n_in), apply(5, &n_in));
        let s = swiglu::reference::forward(&gate, &up);
        let out: Vec<f64> = middle.iter().zip(apply(6, &s)).map(|(x, y)| x + y).collect();
        let rows: Vec<f64> = targets.positions.iter().flat_map(|p| out[p * HIDDEN..][..HIDDEN].to_vec()).collect();
        let last = rms_norm::reference::forward(&rows, &self.norms[2], EPSILON);
        let (nll, d_last) = cross_entropy::reference::forward_backward(&last, &targets.labels, &self.embedding, HIDDEN);

        let mut d_rows = vec![0.0; rows.len()];
        rms_norm::reference::backward(&rows, &self.norms[2], EPSILON, &d_last, &mut d_rows);
        let mut dx = vec![0.0; out.len()];
        for (position, d) in targets.positions.iter().zip(d_rows.chunks(HIDDEN)) {
            dx[position * HIDDEN..][..HIDDEN].iter_mut().zip(d).for_each(|(to, from)| *to += from);
        }
        let (d_gate, d_up) = swiglu::reference::backward(&gate, &up, &back(6, &dx));
        let d_n: Vec<f64> = back(4, &d_gate).iter().zip(back(5, &d_up)).map(|(a, b)| a + b).collect();
        let mut d_middle = dx.clone();
        let d_n = self.drop(&d_n, HIDDEN, batch, 1);
        rms_norm::reference::backward(&middle, &self.norms[1], EPSILON, &d_n, &mut d_middle);
        let (dq, dk, dv) = attention::backward(SHAPE, &sequences, &q, &k, &v, &back(3, &d_middle));

        let mut sums = vec![nll, targets.labels.len() as f64];
        let parts: [(&[f64], &[f64]); 7] =
            [(&dq, &h_in), (&dk, &h_in), (&dv, &h_in), (&d_middle, &a), (&d_gate, &n_in), (&d_up, &n_in), (&dx, &s)];
        for ((dy, x), (out, inner)) in parts.into_iter().zip(LINEARS) {
            let mut dw = vec![0.0; out * inner];
            for (dy, x) in dy.chunks(out).zip(x.chunks(inner)) {
                for (row, dy) in dw.chunks_mut(inner).zip(dy) {
                    row.iter_mut().zip(x).for_each(|(w, x)| *w += dy * x);
                }
            }
            sums.extend(dw);
        }
        sums
    }
}

/// Rows of different lengths with different numbers of targets: 8 rows, two steps of 4.
fn rows() -> Examples {
    let rows: Vec<(Vec<u32>, usize)> = [(9, 2), (4, 3), (12, 5), (7, 1), (3, 1), (15, 14), (6, 4), (10, 1)]
        .into_iter()
        .enumerate()
        .map(|(row, (length, first))| ((0..length).map(|i| (i * 5 + row as u32 * 3) % VOCAB as u32).collect(), first))
        .collect();
    Examples::from_ids(&rows)
}

/// The sums of the batches of a step that `share` holds; sequences are numbered over the whole step, or, wrongly, from 0
/// in every process.
fn sums(layer: &Layer, step: usize, share: Share, batch_size: usize, processes: usize, global: bool) -> Sums {
    let examples = rows();
    let batching =
        Batching { seed: 3, batch_size, accumulation: 1, packing: None, share: false, group_by_length: false };
    let batches = Batches::new(&examples.lengths(), batching.across(processes));
    let mut total: Sums = Vec::new();
    let mut first_id = 0;
    for (index, indices) in batches.epoch(0).step(step).iter().enumerate() {
        if share.holds(index) {
            let (batch, targets) = collate(&examples, indices, if global { first_id } else { 0 }, false);
            let found = layer.loss_backward(&batch, &targets);
            total.resize(found.len(), 0.0);
            total.iter_mut().zip(found).for_each(|(sum, x)| *sum += x);
        }
        first_id += indices.len() as u64;
    }
    total
}

/// The largest difference after dividing by the targets, relative to the largest number; loss and gradients apart.
fn worst(found: &[f64], expected: &[f64]) -> (f64, f64) {
    let mean = |sums: &[f64], i: usize| sums[i] / sums[1];
    let loss = (mean(found, 0) / mean(expected, 0) - 1.0).abs();
    let largest = (2..expected.len()).map(|i| mean(expected, i).abs()).fold(0.0, f64::max);
    let difference = (2..expected.len()).map(|i| (mean(found, i) - mean(expected, i)).abs()).fold(0.0, f64::max);
    (loss, difference / largest)
}

#[test]
fn two_times_2_rows_are_4_rows_in_f64() {
    let Some(output) = as_two("double::in_f64") else { return };
    let shown = text(&output);
    assert_eq!(code(&output), 0, "{shown}");
    assert_eq!(shown.matches("agreed in f64").count(), 2, "both processes compared: {shown}");
}

#[test]
#[ignore = "started by mpirun"]
fn in_f64() {
    let ranks = mpi::join().unwrap();
    assert_eq!(ranks.size(), 2);
    for dropout in [0.0, 0.3] {
        let layer = Layer::new(dropout);
        for step in [0, 1] {
            let alone = sums(&layer, step, Share { rank: 0, of: 1 }, 4, 1, true);
            let own = sums(&layer, step, Share::of(&ranks), 2, 2, true);
            let mut both = own.clone();
            ranks.sum_f64(&mut both).unwrap();
            assert_eq!(both[1], alone[1], "as many targets");
            assert!(own[1] < both[1], "a part of the targets was in each process");
            let (loss, gradient) = worst(&both, &alone);
            assert!(loss < TOLERANCE && gradient < TOLERANCE, "{loss} {gradient}");
            // What would be wrong: a mean over the processes' means, and masks numbered within each process.
            let mut means: Sums = own.iter().map(|x| x / own[1]).collect();
            ranks.sum_f64(&mut means).unwrap();
            let (loss, gradient) = worst(&means, &alone);
            assert!(loss > 1e-4 && gradient > 1e-4, "the rows tell a mean of means apart: {loss} {gradient}");
            let mut local = sums(&layer, step, Share::of(&ranks), 2, 2, false);
            ranks.sum_f64(&mut local).unwrap();
            let (_, gradient) = worst(&local, &alone);
            assert_eq!(gradient > 1e-4, dropout > 0.0, "and masks by local numbers: {gradient}");
        }
    }
    assert!(group::any(&ranks, ranks.rank() == 1).unwrap() && !group::any(&ranks, false).unwrap());
    eprintln!("agreed in f64");
    mpi::leave();
}

/// A panic of one process ends the other one, which waits for its numbers.
#[test]
fn a_panic_ends_the_job() {
    let Some(output) = as_two("double::one_panics") else { return };
    let shown = text(&output);
    assert_eq!(code(&output), 1, "{shown}");
    assert!(shown.contains("injected into process 1") && !shown.contains("went on"), "{shown}");
}

#[test]
#[ignore = "started by mpirun"]
fn one_panics() {
    let ranks = mpi::join().unwrap();
    assert_eq!(ranks.size(), 2);
    if ranks.rank() == 1 {
        // In another thread than the one that talks to the others.
        let _ = std::thread::spawn(|| panic!("injected into process 1")).join();
    }
    ranks.sum(&mut [1.0]).unwrap();
    eprintln!("went on");
}
