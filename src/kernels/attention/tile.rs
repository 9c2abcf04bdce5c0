//! Tiles of attention: the rows of a tile are some queries times the heads that share a key head.

use super::{Cache, Queries, Shape};
use crate::kernels::gemm::Write;
use crate::kernels::gemm::small::{self, Product, Strided};
use crate::kernels::simd::{LANES, exp, multiversion, total};

/// Rows of a tile.
pub(super) const ROWS: usize = 64;

/// Keys of a tile: with heads of 128 its keys and values take 32 KiB each.
pub(super) const KEYS: usize = 64;

/// Scores of one row with a tile's keys.
type Scores = [f32; KEYS];

/// The outcome for one key head: rows are queries, then heads of the group.
pub(super) struct Tile {
    /// [queries·group, d]
    pub out: Vec<f32>,
    /// `[queries·group]`
    pub lse: Vec<f32>,
}

/// Where keys and values come from.
#[derive(Clone, Copy)]
pub(super) enum Keys<'a> {
    /// k and v [T, kv_heads·d].
    Rows(&'a [f32], &'a [f32]),
    /// Tiles of one sequence.
    Cached(&'a Cache),
}

/// The keys `first..first + count` of a sequence behind a prefix of `prefix` tokens as pieces of neighbouring rows:
/// (first column of the tile, first row, rows).
pub(super) fn pieces(
    (prefix_start, prefix, start): (usize, usize, usize),
    first: usize,
    count: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let shared = prefix.saturating_sub(first).min(count);
    let own = (shared, (start + first + shared).saturating_sub(prefix), count - shared);
    [(0, prefix_start + first, shared), own].into_iter().filter(|(_, _, rows)| *rows > 0)
}

/// Attends `queries` (their rows are `q`) with the heads of `kv_head`; keys begin at the first token of the sequence's
/// prefix.
pub(super) fn attend(shape: Shape, queries: Queries, kv_head: usize, q: &[f32], from: Keys<'_>) -> Tile {
    let (d, group) = (shape.head_dim, shape.group());
    let rows = queries.count * group;
    let mut scaled = vec![0.0; rows * d];
    gather(&mut scaled, q, (shape.q_width(), kv_head * group * d, group * d), shape.scale);
    let copied = if matches!(from, Keys::Rows(..)) { d * KEYS } else { 0 };
    let (mut keys, mut values) = (vec![0.0; copied], vec![0.0; copied]);
    let mut scores = vec![[0.0; KEYS]; rows];
    let mut out = vec![0.0; rows * d];
    let (mut maxima, mut sums) = (vec![f32::NEG_INFINITY; rows], vec![0.0; rows]);
    let end = queries.first + queries.count;
    for first in (shape.visible(queries.first).start / KEYS * KEYS..end).step_by(KEYS) {
        let count = KEYS.min(end - first);
        let (keys, values) = match from {
            Keys::Rows(k, v) => {
                let place = (queries.prefix_start, queries.prefix, queries.start);
                for (column, row, rows) in pieces(place, first, count) {
                    let at = row * shape.kv_width() + kv_head * d;
                    small::transpose(&mut keys[column..], KEYS, &k[at..], shape.kv_width(), (rows, d));
                    gather(&mut values[column * d..(column + rows) * d], &v[at..], (shape.kv_width(), 0, d), 1.0);
                }
                (keys.as_slice(), values.as_slice())
            }
            Keys::Cached(cache) => cache.tile(first / KEYS, kv_head, d),
        };
        let product = Product::new((rows, d, count), KEYS, KEYS, Write::Set);
        small::multiply(scores.as_flattened_mut(), product, Strided::rows(&scaled, d), keys);
        for (i, scores) in scores.chunks_exact_mut(group).enumerate() {
            let seen = seen(shape, queries.first + i, first);
            for (head, scores) in scores.iter_mut().enumerate() {
                let row = i * group + head;
                let out = &mut out[row * d..(row + 1) * d];
                (maxima[row], sums[row]) = soften(scores, seen, maxima[row], sums[row], out);
            }
        }
        let product = Product::new((rows, count, d), d, d, Write::Add);
        small::multiply(&mut out, product, Strided::rows(scores.as_flattened(), KEYS), values);
    }
    for (out, sum) in out.chunks_exact_mut(d).zip(&sums) {
        let inverse = 1.0 / sum;
        out.iter_mut().for_each(|o| *o *= inverse);
    }
    Tile { out, lse: maxima.iter().zip(&sums).map(|(maximum, sum)| maximum + sum.ln()).collect() }
}

/// The keys of the tile from `first` that the query at `position` sees, as columns (from, to).
pub(super) fn seen(shape: Shape, position: usize, first: usize) -> (usize, usize) {
    let visible = shape.visible(position);
    (visible.start.saturating_sub(first).min(KEYS), visible.end.saturating_sub(first).min(KEYS))
}

/// into's rows = `scale` · the (stride, offset, width) columns of from's rows.
pub(super) fn gather(into: &mut [f32], from: &[f32], (stride, offset, width): (usize, usize, usize), scale: f32) {
    for (into, from) in into.chunks_exact_mut(width).zip(from.chunks(stride)) {
        for (into, from) in into.iter_mut().zip(&from[offset..offset + width]) {
            *into = scale * from;
        }
    }
}

multiversion! {
    /// Turns a row of scores into probabilities before division, given the maximum and sum so far, and rescales what
    /// the row has gathered; returns the new maximum and sum.
    fn soften(scores: &mut Scores, seen: (usize, usize), maximum: f32, sum: f32, out: &mut [f32]) -> (f32, f32)
        = soften_row
}

#[inline(always)]
fn soften_row<const FMA: bool>(
    scores: &mut Scores,
    seen: (usize, usize),
    maximum: f32,
    sum: f32,
    out: &mut [f32],
) -> (f32, f32) {
    hide(scores, seen);
    let mut lanes = [maximum; LANES];
    for vector in scores.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            lanes[lane] = if vector[lane] > lanes[lane] { vector[lane] } else { lanes[lane] };
        }
    }
    let raised = lanes.into_iter().fold(maximum, |m, x| if x > m { x } else { m });
    if raised == f32::NEG_INFINITY {
        // Nothing was seen yet: a window begins in a later tile.
        scores.fill(0.0);
        return (maximum, sum);
    }
    let mut sums = [0.0f32; LANES];
    for vector in scores.as_chunks_mut::<LANES>().0 {
        for lane in 0..LANES {
            vector[lane] = exp::<FMA>(vector[lane] - raised);
            sums[lane] += vector[lane];
        }
    }
    let rescale = exp::<FMA>(maximum - raised);
    if rescale != 1.0 {
        out.iter_mut().for_each(|o| *o *= rescale);
    }
    (raised, sum * rescale + total(sums))
}

multiversion! {
    /// Scores → probabilities p = exp(s − lse), and their gradients → those of the scores, p·(dp − delta).
    pub(super) fn grade(scores: &mut Scores, gradients: &mut Scores, seen: (usize, usize), lse: f32, delta: f32)
        = grade_row
}

#[inline(always)]
fn grade_row<const FMA: bool>(scores: &mut Scores, gradients: &mut Scores, seen: (usize, usize), lse: f32, delta: f32) {
    hide(scores, seen);
    for column in 0..KEYS {
        let p = exp::<FMA>(scores[column] - lse);
        scores[column] = p;
        // Columns past the sequence hold whatever was there before.
        gradients[column] = if p == 0.0 { 0.0 } else { p * (gradients[column] - delta) };
    }
}

/// Scores outside `seen` become −∞.
#[inline(always)]
fn hide(scores: &mut Scores, (from, to): (usize, usize)) {
    if (from, to) != (0, KEYS) {
        for (column, score) in scores.iter_mut().enumerate() {
            *score = if column >= from && column < to { *score } else { f32::NEG_INFINITY };
        }
    }
}
