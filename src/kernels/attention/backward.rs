//! The gradients of attention, in one pass over tiles of rows × keys.

use rayon::prelude::*;

use super::tile::{KEYS, gather, grade, pieces, seen};
use super::{Sequence, Shape};
use crate::kernels::gemm::Write;
use crate::kernels::gemm::small::{self, Product, Strided};
use crate::kernels::simd::{dot, multiversion};

/// What the forward left behind.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Queries after rotation, [T, heads·d].
    pub q: &'a [f32],
    /// Keys after rotation, [T, kv_heads·d].
    pub k: &'a [f32],
    /// Values, [T, kv_heads·d].
    pub v: &'a [f32],
    /// The output, [T, heads·d].
    pub out: &'a [f32],
    /// Log-sum-exp per query and head, [T, heads].
    pub lse: &'a [f32],
}

/// Gradients of one sequence's share of one key head.
struct Gradients {
    kv_head: usize,
    /// [T·group, d]
    dq: Vec<f32>,
    /// [prefix + T, d]
    dk: Vec<f32>,
    dv: Vec<f32>,
}

/// Gradients of q, k and v (overwritten), given `d_out` [T, heads·d].
///
/// A task owns a key head of a sequence, so no two tasks add to one number: the parallelism is sequences × key heads.
/// What sequences owe to a prefix that they share is added to it afterwards, in their order.
pub fn backward(
    shape: Shape,
    sequences: &[Sequence],
    kept: Kept<'_>,
    d_out: &[f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (d, qw, kvw, group) = (shape.head_dim, shape.q_width(), shape.kv_width(), shape.group());
    let Kept { q, k, v, out, lse } = kept;
    let tokens = sequences.last().map_or(0, |s| s.rows.end);
    assert!(q.len() == tokens * qw && out.len() == q.len() && d_out.len() == q.len() && dq.len() == q.len());
    assert!(k.len() == tokens * kvw && v.len() == k.len() && dk.len() == k.len() && dv.len() == k.len());
    assert_eq!(lse.len(), tokens * shape.heads);
    let tasks: Vec<_> = sequences.iter().flat_map(|s| (0..shape.kv_heads).map(move |head| (s, head))).collect();
    // Key heads of a few sequences at a time, so that their results do not double the memory of long rows.
    for tasks in tasks.chunks(shape.kv_heads * rayon::current_num_threads().max(4)) {
        let parts: Vec<Gradients> = tasks
            .par_iter()
            .map(|(sequence, kv_head)| head_gradients(shape, sequence, *kv_head, kept, d_out))
            .collect();
        for ((sequence, _), part) in tasks.iter().zip(&parts) {
            let kv_head = part.kv_head;
            let range = |width: usize| sequence.rows.start * width..sequence.rows.end * width;
            let put = |to: &mut [f32], from: &[f32], width: usize, own: usize| {
                let rows = to[range(width)].par_chunks_exact_mut(width).zip(from.par_chunks_exact(own));
                rows.with_min_len(64).for_each(|(to, from)| to[kv_head * own..][..own].copy_from_slice(from));
            };
            put(dq, &part.dq, qw, group * d);
            for (to, from) in [(&mut *dk, &part.dk), (&mut *dv, &part.dv)] {
                let (shared, own) = from.split_at(sequence.prefix.len() * d);
                put(to, own, kvw, d);
                let rows = to[sequence.prefix.start * kvw..].chunks_exact_mut(kvw).zip(shared.chunks_exact(d));
                for (to, from) in rows {
                    to[kv_head * d..][..d].iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
    }
}

/// The operands of one key head, laid out for tiles: rows are queries, then heads of the group.
struct Rows {
    /// scale·q, [T·group, d]
    scaled: Vec<f32>,
    /// [T·group, d]
    d_out: Vec<f32>,
    /// `[T·group]`
    lse: Vec<f32>,
    /// Σ d_out·out per row: the softmax's correction term.
    delta: Vec<f32>,
}

impl Rows {
    fn new(shape: Shape, sequence: &Sequence, kv_head: usize, kept: Kept<'_>, d_out: &[f32]) -> Self {
        let sequence = &sequence.rows;
        let (d, group) = (shape.head_dim, shape.group());
        let columns = (shape.q_width(), kv_head * group * d, group * d);
        let wide = sequence.start * shape.q_width()..sequence.end * shape.q_width();
        let own = |from: &[f32], scale: f32| {
            let mut rows = vec![0.0; sequence.len() * group * d];
            gather(&mut rows, &from[wide.clone()], columns, scale);
            rows
        };
        let mut lse = vec![0.0; sequence.len() * group];
        let from = &kept.lse[sequence.start * shape.heads..sequence.end * shape.heads];
        gather(&mut lse, from, (shape.heads, kv_head * group, group), 1.0);
        let (scaled, d_out, out) = (own(kept.q, shape.scale), own(d_out, 1.0), own(kept.out, 1.0));
        let delta = d_out.chunks_exact(d).zip(out.chunks_exact(d)).map(|(a, b)| product(a, b)).collect();
        Self { scaled, d_out, lse, delta }
    }
}

multiversion! { fn product(a: &[f32], b: &[f32]) -> f32 = dot }

fn head_gradients(shape: Shape, sequence: &Sequence, kv_head: usize, kept: Kept<'_>, d_out: &[f32]) -> Gradients {
    let (d, group, kvw) = (shape.head_dim, shape.group(), shape.kv_width());
    let (prefix, own_len) = (sequence.prefix.len(), sequence.rows.len());
    let len = prefix + own_len;
    let rows = Rows::new(shape, sequence, kv_head, kept, d_out);
    let (mut dq, mut dk, mut dv) = (vec![0.0; own_len * group * d], vec![0.0; len * d], vec![0.0; len * d]);
    let (mut keys, mut values) = (vec![0.0; KEYS * d], vec![0.0; KEYS * d]);
    let (mut keys_across, mut values_across) = (vec![0.0; d * KEYS], vec![0.0; d * KEYS]);
    let step = shape.query_tile();
    let mut scores = vec![[0.0; KEYS]; step * group];
    let mut gradients = scores.clone();
    for first in (0..len).step_by(KEYS) {
        let count = KEYS.min(len - first);
        for (column, row, rows) in pieces((sequence.prefix.start, prefix, sequence.rows.start), first, count) {
            let (at, tile) = (row * kvw + kv_head * d, column * d..(column + rows) * d);
            gather(&mut keys[tile.clone()], &kept.k[at..], (kvw, 0, d), 1.0);
            gather(&mut values[tile], &kept.v[at..], (kvw, 0, d), 1.0);
        }
        small::transpose(&mut keys_across, KEYS, &keys, d, (count, d));
        small::transpose(&mut values_across, KEYS, &values, d, (count, d));
        let (dk, dv) = (&mut dk[first * d..(first + count) * d], &mut dv[first * d..(first + count) * d]);
        // Queries are counted behind the prefix: the first tile that sees these keys, up to the last within the window.
        let end = shape.window.map_or(len, |w| len.min((first + count - 1).saturating_add(w))).saturating_sub(prefix);
        for query in (first.saturating_sub(prefix) / step * step..end).step_by(step) {
            let queries = step.min(own_len - query);
            let own = query * group..(query + queries) * group;
            let wide = own.start * d..own.end * d;
            let m = own.len();
            let (scaled, d_out) = (&rows.scaled[wide.clone()], &rows.d_out[wide.clone()]);
            let (scores, gradients) = (&mut scores[..m], &mut gradients[..m]);
            let across = Product::new((m, d, count), KEYS, KEYS, Write::Set);
            small::multiply(scores.as_flattened_mut(), across, Strided::rows(scaled, d), &keys_across);
            small::multiply(gradients.as_flattened_mut(), across, Strided::rows(d_out, d), &values_across);
            for (i, (scores, gradients)) in scores.iter_mut().zip(gradients.iter_mut()).enumerate() {
                let row = own.start + i;
                let seen = seen(shape, prefix + query + i / group, first);
                grade(scores, gradients, (seen.0, seen.1.min(count)), rows.lse[row], rows.delta[row]);
            }
            let (scores, gradients) = (scores.as_flattened(), gradients.as_flattened());
            let down = Product::new((count, m, d), d, d, Write::Add);
            small::multiply(dv, down, Strided::columns(scores, KEYS), d_out);
            small::multiply(dk, down, Strided::columns(gradients, KEYS), scaled);
            let along = Product::new((m, count, d), d, d, Write::Add);
            small::multiply(&mut dq[wide], along, Strided::rows(gradients, KEYS), &keys);
        }
    }
    dq.iter_mut().for_each(|dq| *dq *= shape.scale);
    Gradients { kv_head, dq, dk, dv }
}
