//! Causal grouped-query attention inside sequences, with an optional sliding window.
//!
//! Keys are taken in tiles with a running maximum and sum, so no [T × T] matrix exists; the forward keeps one
//! log-sum-exp per query and head, from which the backward rebuilds the probabilities (Dao et al. 2022). Softmax in f32.
//!
//! Queries of all heads that share a key head make the rows of a tile. Key tiles begin at multiples of their width from
//! the start of the sequence, so a row comes out the same to the bit in a full pass and over a cache.

mod backward;
mod cache;
pub mod reference;
mod tile;

pub use backward::{Kept, backward};
pub use cache::Cache;

use std::ops::Range;

use rayon::prelude::*;

use super::team;

/// The fixed part of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// A query sees this many of the latest positions, itself included; none: all before it.
    pub window: Option<usize>,
    /// Scores are multiplied by this, 1/√head_dim.
    pub scale: f32,
}

impl Shape {
    fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Queries of a tile: their heads of one group make its rows.
    fn query_tile(&self) -> usize {
        (tile::ROWS / self.group()).max(1)
    }

    /// Keys that the query at `position` of its sequence sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let first = self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        first..position + 1
    }
}

/// Multiplications of a task below which waking a second thread for its heads costs more than it brings.
const PARALLEL_FROM: usize = 1 << 17;

/// Tokens that follow one another: each sees those before it, and before them a prefix that other sequences may share
/// (its keys and values are computed once). Out of a shared prefix come the numbers that a copy of it would give, to the
/// bit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Its own tokens.
    pub rows: Range<usize>,
    /// The tokens that its first one stands behind: the rows of an earlier sequence without a prefix; mostly empty.
    pub prefix: Range<usize>,
}

impl From<Range<usize>> for Sequence {
    fn from(rows: Range<usize>) -> Self {
        Self { rows, prefix: 0..0 }
    }
}

/// Some queries of one sequence.
#[derive(Debug, Clone, Copy)]
struct Queries {
    /// Where the sequence's keys begin behind its prefix, in tokens.
    start: usize,
    /// Where its prefix begins, in tokens.
    prefix_start: usize,
    /// Tokens of its prefix.
    prefix: usize,
    /// Position of the first query, counted from the start of the prefix.
    first: usize,
    /// How many follow one another.
    count: usize,
}

/// q [T, heads·d], k and v [T, kv_heads·d] → out [T, heads·d], lse [T, heads]. The rows of `sequences` tile 0..T.
pub fn forward(
    shape: Shape,
    sequences: &[Sequence],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let tokens = sequences.last().map_or(0, |s| s.rows.end);
    assert!(q.len() == tokens * shape.q_width() && lse.len() == tokens * shape.heads, "attention queries");
    assert!(k.len() == tokens * shape.kv_width(), "attention keys");
    let queries = sequences.iter().flat_map(|s| {
        let (step, prefix) = (shape.query_tile(), s.prefix.len());
        (0..s.rows.len()).step_by(step).map(move |row| Queries {
            start: s.rows.start,
            prefix_start: s.prefix.start,
            prefix,
            first: prefix + row,
            count: step.min(s.rows.len() - row),
        })
    });
    attend(shape, queries, q, tile::Keys::Rows(k, v), out, lse);
}

/// Attention of the last rows of one sequence over its cached keys: q [n, heads·d] stand at positions
/// `len − n .. len` of the cache → out [n, heads·d].
pub fn forward_cached(shape: Shape, q: &[f32], cache: &Cache, out: &mut [f32]) {
    let (rows, len) = (q.len() / shape.q_width(), cache.len());
    assert!(rows <= len, "cached attention");
    if rows == 1 {
        // Decoding: a row's heads lie in the order of their key heads.
        let queries = Queries { start: 0, prefix_start: 0, prefix: 0, first: len - 1, count: 1 };
        let width = shape.group() * shape.head_dim;
        let heads = team::pieces(2 * len * shape.kv_width() * size_of::<f32>()).min(shape.kv_heads);
        let heads = shape.kv_heads.div_ceil(heads);
        return team::chunks_mut(out, heads * width, |piece, out| {
            for (head, out) in out.chunks_exact_mut(width).enumerate() {
                let tile = tile::attend(shape, queries, piece * heads + head, q, tile::Keys::Cached(cache));
                out.copy_from_slice(&tile.out);
            }
        });
    }
    let step = shape.query_tile();
    let queries = (0..rows).step_by(step).map(|row| Queries {
        start: 0,
        prefix_start: 0,
        prefix: 0,
        first: len - rows + row,
        count: step.min(rows - row),
    });
    attend(shape, queries, q, tile::Keys::Cached(cache), out, &mut vec![0.0; rows * shape.heads]);
}

/// Attends `queries`, which follow one another in q, out and lse.
fn attend(
    shape: Shape,
    queries: impl Iterator<Item = Queries>,
    q: &[f32],
    keys: tile::Keys<'_>,
    mut out: &mut [f32],
    mut lse: &mut [f32],
) {
    let (qw, d, group) = (shape.q_width(), shape.head_dim, shape.group());
    assert!(q.len() == out.len(), "attention shapes");
    let mut row = 0;
    let mut tasks = Vec::new();
    for queries in queries {
        let (own_out, rest_out) = std::mem::take(&mut out).split_at_mut(queries.count * qw);
        let (own_lse, rest_lse) = std::mem::take(&mut lse).split_at_mut(queries.count * shape.heads);
        tasks.push((queries, &q[row * qw..(row + queries.count) * qw], own_out, own_lse));
        (out, lse) = (rest_out, rest_lse);
        row += queries.count;
    }
    tasks.into_par_iter().for_each(|(queries, q, out, lse)| {
        let head = |kv_head| tile::attend(shape, queries, kv_head, q, keys);
        let work = queries.count * (queries.first + queries.count) * shape.q_width();
        let tiles: Vec<_> = if work < PARALLEL_FROM {
            (0..shape.kv_heads).map(head).collect()
        } else {
            (0..shape.kv_heads).into_par_iter().map(head).collect()
        };
        for (kv_head, tile) in tiles.iter().enumerate() {
            let rows = tile.out.chunks_exact(group * d).zip(tile.lse.chunks_exact(group));
            for (i, (from_out, from_lse)) in rows.enumerate() {
                out[i * qw + kv_head * group * d..][..group * d].copy_from_slice(from_out);
                lse[i * shape.heads + kv_head * group..][..group].copy_from_slice(from_lse);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot as dot64, narrow, random64};

    const SHAPES: [(Shape, &[usize]); 4] = [
        (Shape { heads: 4, kv_heads: 2, head_dim: 3, window: None, scale: 0.6 }, &[5, 1, 3]),
        (Shape { heads: 2, kv_heads: 2, head_dim: 5, window: Some(2), scale: 0.4 }, &[4, 3]),
        (Shape { heads: 6, kv_heads: 1, head_dim: 16, window: None, scale: 0.25 }, &[150]),
        (Shape { heads: 2, kv_heads: 1, head_dim: 8, window: Some(70), scale: 0.35 }, &[100, 33]),
    ];

    fn ranges(lengths: &[usize]) -> Vec<Range<usize>> {
        let mut start = 0;
        lengths
            .iter()
            .map(|n| {
                start += n;
                start - n..start
            })
            .collect()
    }

    fn apart(lengths: &[usize]) -> Vec<Sequence> {
        ranges(lengths).into_iter().map(Sequence::from).collect()
    }

    #[test]
    fn reference_backward_is_the_slope() {
        for (shape, lengths) in &SHAPES[..2] {
            let sequences = ranges(lengths);
            let tokens: usize = lengths.iter().sum();
            let q = random64(tokens * shape.q_width(), 1);
            let (k, v) = (random64(tokens * shape.kv_width(), 2), random64(tokens * shape.kv_width(), 3));
            let d_out = random64(q.len(), 4);
            let (dq, dk, dv) = reference::backward(*shape, &sequences, &q, &k, &v, &d_out);
            let run = |q: &[f64], k: &[f64], v: &[f64]| dot64(&reference::forward(*shape, &sequences, q, k, v), &d_out);
            assert_gradient(&q, &dq, |q| run(q, &k, &v));
            assert_gradient(&k, &dk, |k| run(&q, k, &v));
            assert_gradient(&v, &dv, |v| run(&q, &k, v));
        }
    }

    #[test]
    fn cpu_equals_reference() {
        for (shape, lengths) in SHAPES {
            let sequences = ranges(lengths);
            let tokens: usize = lengths.iter().sum();
            let q: Vec<f64> = random64(tokens * shape.q_width(), 5).iter().map(|x| 3.0 * x).collect();
            let (k, v) = (random64(tokens * shape.kv_width(), 6), random64(tokens * shape.kv_width(), 7));
            let d_out = random64(q.len(), 8);
            let (q32, k32, v32) = (narrow(&q), narrow(&k), narrow(&v));
            let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; tokens * shape.heads]);
            let own = apart(lengths);
            forward(shape, &own, &q32, &k32, &v32, &mut out, &mut lse);
            assert_close(&out, &reference::forward(shape, &sequences, &q, &k, &v), 1e-5);
            let (mut dq, mut dk, mut dv) = (vec![9.0; q.len()], vec![9.0; k.len()], vec![9.0; v.len()]);
            let kept = Kept { q: &q32, k: &k32, v: &v32, out: &out, lse: &lse };
            backward(shape, &own, kept, &narrow(&d_out), &mut dq, &mut dk, &mut dv);
            let (want_q, want_k, want_v) = reference::backward(shape, &sequences, &q, &k, &v, &d_out);
            assert_close(&dq, &want_q, 2e-5);
            assert_close(&dk, &want_k, 2e-5);
            assert_close(&dv, &want_v, 2e-5);
        }
    }

    #[test]
    fn cached_rows_equal_the_rows_of_a_full_pass() {
        let (shape, tokens) = (SHAPES[3].0, 100);
        let q = narrow(&random64(tokens * shape.q_width(), 9));
        let k = narrow(&random64(tokens * shape.kv_width(), 10));
        let v = narrow(&random64(tokens * shape.kv_width(), 11));
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; tokens * shape.heads]);
        forward(shape, &apart(&[tokens]), &q, &k, &v, &mut out, &mut lse);
        let width = shape.kv_width();
        let mut cache = Cache::default();
        // In parts, and with a wrong turn that is taken back.
        cache.push(shape, &k[..61 * width], &v[..61 * width]);
        cache.push(shape, &v[..9 * width], &k[..9 * width]);
        cache.truncate(61);
        cache.push(shape, &k[61 * width..], &v[61 * width..]);
        assert_eq!(cache.len(), tokens);
        for rows in [1, 7, 100] {
            let start = (tokens - rows) * shape.q_width();
            let mut cached = vec![0.0; rows * shape.q_width()];
            forward_cached(shape, &q[start..], &cache, &mut cached);
            assert_eq!(cached, out[start..]);
            cached.fill(9.0);
            team::work_together(|| forward_cached(shape, &q[start..], &cache, &mut cached));
            assert_eq!(cached, out[start..]);
        }
    }

    /// Three sequences behind one prefix, and the same three with a copy of it each.
    #[test]
    fn a_shared_prefix_counts_as_a_copy_in_front_of_each() {
        for (shape, lengths) in [
            (SHAPES[0].0, [7, 3, 1, 4]),
            (SHAPES[2].0, [64, 40, 90, 5]),
            (SHAPES[2].0, [101, 33, 70, 64]),
            (SHAPES[3].0, [90, 30, 80, 5]),
        ] {
            let rows = ranges(&lengths);
            let prefix = rows[0].clone();
            let shared: Vec<Sequence> = (0..4)
                .map(|i| Sequence { rows: rows[i].clone(), prefix: if i == 0 { 0..0 } else { prefix.clone() } })
                .collect();
            // Row i of the copies is row `from[i]` of the shared form; the prefix on its own comes first.
            let from: Vec<usize> = std::iter::once(prefix.clone().collect::<Vec<_>>())
                .chain(rows[1..].iter().map(|own| prefix.clone().chain(own.clone()).collect()))
                .flatten()
                .collect();
            let copies = apart(&[0, 1, 2, 3].map(|i| lengths[0] * usize::from(i > 0) + lengths[i]));
            let tokens: usize = lengths.iter().sum();
            let (qw, kvw) = (shape.q_width(), shape.kv_width());
            let spread = |x: &[f32], width: usize| -> Vec<f32> {
                from.iter().flat_map(|row| &x[row * width..(row + 1) * width]).copied().collect()
            };
            let q = narrow(&random64(tokens * qw, 20));
            let (k, v) = (narrow(&random64(tokens * kvw, 21)), narrow(&random64(tokens * kvw, 22)));
            let d_out = narrow(&random64(tokens * qw, 23));
            let run = |sequences: &[Sequence], q: &[f32], k: &[f32], v: &[f32], d_out: &[f32]| {
                let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; q.len() / qw * shape.heads]);
                forward(shape, sequences, q, k, v, &mut out, &mut lse);
                let (mut dq, mut dk, mut dv) = (vec![9.0; q.len()], vec![9.0; k.len()], vec![9.0; v.len()]);
                backward(shape, sequences, Kept { q, k, v, out: &out, lse: &lse }, d_out, &mut dq, &mut dk, &mut dv);
                (out, dq, dk, dv)
            };
            let (out, dq, dk, dv) = run(&shared, &q, &k, &v, &d_out);
            // A copy's prefix rows answer for nothing: only the prefix on its own and the own rows have a gradient.
            let mut d_copies = spread(&d_out, qw);
            for copy in &copies[1..] {
                d_copies[copy.rows.start * qw..(copy.rows.start + lengths[0]) * qw].fill(0.0);
            }
            let want = run(&copies, &spread(&q, qw), &spread(&k, kvw), &spread(&v, kvw), &d_copies);
            assert_eq!(spread(&out, qw), want.0, "the same to the bit");
            let gathered = |x: &[f32], width: usize| -> Vec<f64> {
                let mut sums = vec![0.0; tokens * width];
                for (row, x) in from.iter().zip(x.chunks_exact(width)) {
                    sums[row * width..].iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                sums
            };
            assert_close(&dq, &gathered(&want.1, qw), 1e-5);
            assert_close(&dk, &gathered(&want.2, kvw), 1e-5);
            assert_close(&dv, &gathered(&want.3, kvw), 1e-5);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (shape, mut sequences) = (SHAPES[3].0, apart(&[100, 33, 130]));
        sequences[2].prefix = 0..100;
        let q = narrow(&random64(263 * shape.q_width(), 12));
        let (k, v) = (narrow(&random64(263 * shape.kv_width(), 13)), narrow(&random64(263 * shape.kv_width(), 14)));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; 263 * shape.heads]);
                forward(shape, &sequences, &q, &k, &v, &mut out, &mut lse);
                let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
                let kept = Kept { q: &q, k: &k, v: &v, out: &out, lse: &lse };
                backward(shape, &sequences, kept, &q, &mut dq, &mut dk, &mut dv);
                [out, lse, dq, dk, dv]
            })
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(5));
    }
}
