//! Causal grouped-query attention inside sequences, with an optional sliding window.
//!
//! Queries are taken `QUERIES` at a time against the keys they see, so no [T × T] matrix exists; the forward keeps one
//! log-sum-exp per query and head, from which the backward rebuilds the probabilities. Query heads that share a key head
//! are rows of one product: keys are never repeated.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::{Sequence, Shape};

/// Queries of one product.
const QUERIES: usize = 256;

/// What the forward keeps: q, out [T, heads·d], k, v [T, kv_heads·d], lse [T, heads].
#[derive(Debug, Clone)]
pub struct Kept {
    /// Queries.
    pub q: Tensor,
    /// Keys.
    pub k: Tensor,
    /// Values.
    pub v: Tensor,
    /// The output.
    pub out: Tensor,
    /// log Σ exp(score) of every query and head.
    pub lse: Tensor,
}

/// Some queries of a sequence and the keys that any of them sees, as positions in it.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
}

/// The blocks of the queries `first..end` of a sequence.
fn blocks(shape: Shape, first: usize, end: usize) -> impl Iterator<Item = Block> {
    (first..end).step_by(QUERIES).map(move |start| {
        let queries = start..end.min(start + QUERIES);
        let from = shape.window.map_or(0, |window| (start + 1).saturating_sub(window));
        Block { keys: from..queries.end, queries }
    })
}

impl Block {
    /// 0 where a query sees a key, −∞ where not, [queries, keys]; none where each sees all.
    fn mask(&self, shape: Shape, device: &Device) -> Result<Option<Tensor>> {
        if self.queries.len() == 1 {
            return Ok(None);
        }
        let sees = |query: usize, key: usize| key <= query && shape.window.is_none_or(|window| query - key < window);
        let row =
            |query: usize| self.keys.clone().map(move |key| if sees(query, key) { 0.0f32 } else { f32::NEG_INFINITY });
        let mask: Vec<f32> = self.queries.clone().flat_map(row).collect();
        Ok(Some(Tensor::from_vec(mask, (self.queries.len(), self.keys.len()), device)?))
    }

    /// scale·q·kᵀ with the mask, [kv_heads, group·queries, keys].
    fn scores(&self, shape: Shape, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let scores = (q.matmul(&k.t()?)? * f64::from(shape.scale))?;
        let Some(mask) = self.mask(shape, q.device())? else { return Ok(scores) };
        let (heads, rows, keys) = scores.dims3()?;
        let grouped = scores.reshape((heads, rows / self.queries.len(), self.queries.len(), keys))?;
        Ok(grouped.broadcast_add(&mask)?.reshape((heads, rows, keys))?)
    }
}

/// Rows of x [T, heads·w] as [kv_heads, group·rows, w]: the heads that share a key head follow one another.
fn by_key_head(x: &Tensor, rows: Range<usize>, shape: Shape, width: usize) -> Result<Tensor> {
    let (group, n) = (shape.heads / shape.kv_heads, rows.len());
    let x = x.narrow(0, rows.start, n)?.reshape((n, shape.kv_heads, group, width))?;
    Ok(x.permute((1, 2, 0, 3))?.contiguous()?.reshape((shape.kv_heads, group * n, width))?)
}

/// The reverse: [kv_heads, group·n, w] → [n, heads·w].
fn by_row(x: &Tensor, n: usize, shape: Shape) -> Result<Tensor> {
    let (group, width) = (shape.heads / shape.kv_heads, x.dim(2)?);
    let x = x.reshape((shape.kv_heads, group, n, width))?;
    Ok(x.permute((2, 0, 1, 3))?.contiguous()?.reshape((n, shape.heads * width))?)
}

/// Rows of keys or values [T, kv_heads·d] as [kv_heads, rows, d].
fn keys_by_head(x: &Tensor, rows: Range<usize>, shape: Shape) -> Result<Tensor> {
    let x = x.narrow(0, rows.start, rows.len())?.reshape((rows.len(), shape.kv_heads, shape.head_dim))?;
    Ok(x.transpose(0, 1)?.contiguous()?)
}

/// `range` moved by `start`.
fn at(start: usize, range: &Range<usize>) -> Range<usize> {
    start + range.start..start + range.end
}

/// Keys or values [T, kv_heads·d] that a sequence sees, its prefix in front, and where among them they begin.
fn seen(x: &Tensor, sequence: &Sequence) -> Result<(Tensor, usize)> {
    let Sequence { rows, prefix } = sequence;
    if prefix.is_empty() {
        return Ok((x.clone(), rows.start));
    }
    let parts = [x.narrow(0, prefix.start, prefix.len())?, x.narrow(0, rows.start, rows.len())?];
    Ok((Tensor::cat(&parts, 0)?, 0))
}

/// The blocks of a sequence's queries, and the row of the first query's first position: positions count from the start of
/// the prefix.
fn blocks_of(shape: Shape, sequence: &Sequence) -> impl Iterator<Item = (Block, Range<usize>)> {
    let (behind, start) = (sequence.prefix.len(), sequence.rows.start);
    blocks(shape, behind, behind + sequence.rows.len()).map(move |block| {
        let own = start + block.queries.start - behind..start + block.queries.end - behind;
        (block, own)
    })
}

/// The queries of one block, `own` in q, over keys and values of one sequence that starts at `start`: (out, lse) by row.
fn attend(
    shape: Shape,
    block: &Block,
    own: Range<usize>,
    start: usize,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
) -> Result<(Tensor, Tensor)> {
    let q = by_key_head(q, own, shape, shape.head_dim)?;
    let (k, v) = (keys_by_head(k, at(start, &block.keys), shape)?, keys_by_head(v, at(start, &block.keys), shape)?);
    let scores = block.scores(shape, &q, &k)?;
    let highest = scores.max_keepdim(D::Minus1)?;
    let exps = scores.broadcast_sub(&highest)?.exp()?;
    let sum = exps.sum_keepdim(D::Minus1)?;
    let out = exps.broadcast_div(&sum)?.matmul(&v)?;
    let lse = (sum.log()? + highest)?;
    Ok((by_row(&out, block.queries.len(), shape)?, by_row(&lse, block.queries.len(), shape)?))
}

/// q [T, heads·d], k and v [T, kv_heads·d] → (out [T, heads·d], lse [T, heads]). The rows of `sequences` tile 0..T.
pub fn forward(shape: Shape, sequences: &[Sequence], q: &Tensor, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for sequence in sequences {
        let ((k, start), (v, _)) = (seen(k, sequence)?, seen(v, sequence)?);
        for (block, own) in blocks_of(shape, sequence) {
            let (out, lse) = attend(shape, &block, own, start, (q, &k, &v))?;
            outs.push(out);
            lses.push(lse);
        }
    }
    Ok((Tensor::cat(&outs, 0)?, Tensor::cat(&lses, 0)?))
}

/// The last rows of one sequence over all its keys: q [n, heads·d], k and v [len, kv_heads·d] → out [n, heads·d].
pub fn forward_cached(shape: Shape, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (n, len) = (q.dim(0)?, k.dim(0)?);
    let mut outs = Vec::new();
    for block in blocks(shape, len - n, len) {
        let own = block.queries.start - (len - n)..block.queries.end - (len - n);
        outs.push(attend(shape, &block, own, 0, (q, k, v))?.0);
    }
    Ok(Tensor::cat(&outs, 0)?)
}

/// (dq, dk, dv) for the gradient `d_out` of the output.
pub fn backward(shape: Shape, sequences: &[Sequence], kept: &Kept, d_out: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let (mut dqs, mut dks, mut dvs) = (Vec::new(), Vec::new(), Vec::new());
    // What sequences add to the keys and values of their prefixes: (the prefix, dk, dv).
    let mut shared = Vec::new();
    // Σ over a head of d_out ⊙ out is what softmax takes away from every score's gradient.
    let rows = d_out.dim(0)?;
    let heads = (rows, shape.heads, shape.head_dim);
    let taken = (d_out * &kept.out)?.reshape(heads)?.sum(D::Minus1)?;
    for sequence in sequences {
        let (behind, len) = (sequence.prefix.len(), sequence.prefix.len() + sequence.rows.len());
        let ((own_k, start), (own_v, _)) = (seen(&kept.k, sequence)?, seen(&kept.v, sequence)?);
        let whole = (shape.kv_heads, len, shape.head_dim);
        let mut dk = Tensor::zeros(whole, DType::F32, d_out.device())?;
        let mut dv = dk.clone();
        for (block, own) in blocks_of(shape, sequence) {
            let keys = at(start, &block.keys);
            let q = by_key_head(&kept.q, own.clone(), shape, shape.head_dim)?;
            let d_out = by_key_head(d_out, own.clone(), shape, shape.head_dim)?;
            let lse = by_key_head(&kept.lse, own.clone(), shape, 1)?;
            let taken = by_key_head(&taken, own, shape, 1)?;
            let (k, v) = (keys_by_head(&own_k, keys.clone(), shape)?, keys_by_head(&own_v, keys, shape)?);
            let p = block.scores(shape, &q, &k)?.broadcast_sub(&lse)?.exp()?;
            let dp = d_out.matmul(&v.t()?)?;
            let ds = ((&p * dp.broadcast_sub(&taken)?)? * f64::from(shape.scale))?;
            dqs.push(by_row(&ds.matmul(&k)?, block.queries.len(), shape)?);
            let after = len - block.keys.end;
            let place = |x: Tensor| x.pad_with_zeros(1, block.keys.start, after);
            dk = (dk + place(ds.t()?.contiguous()?.matmul(&q)?)?)?;
            dv = (dv + place(p.t()?.contiguous()?.matmul(&d_out)?)?)?;
        }
        let flat = |x: &Tensor| x.transpose(0, 1)?.contiguous()?.reshape((len, ()));
        let (dk, dv) = (flat(&dk)?, flat(&dv)?);
        dks.push(dk.narrow(0, behind, sequence.rows.len())?);
        dvs.push(dv.narrow(0, behind, sequence.rows.len())?);
        if behind > 0 {
            shared.push((sequence.prefix.clone(), dk.narrow(0, 0, behind)?, dv.narrow(0, 0, behind)?));
        }
    }
    let (mut dk, mut dv) = (Tensor::cat(&dks, 0)?, Tensor::cat(&dvs, 0)?);
    for (prefix, of_k, of_v) in shared {
        let place = |x: Tensor| x.pad_with_zeros(0, prefix.start, rows - prefix.end);
        (dk, dv) = ((dk + place(of_k)?)?, (dv + place(of_v)?)?);
    }
    Ok((Tensor::cat(&dqs, 0)?, dk, dv))
}
