//! Products of f32 with a frozen matrix that its owner widens where it is packed: for processors without bf16 units.
//!
//! The blocking of Goto & van de Geijn (2008), as in [`super::bf16`]: the left operand is packed once and shared, every
//! task owns a block of columns of the result and has its part of the right operand packed, a K block at a time, into its
//! core's L2. Nobody writes the matrix down in f32 first, to read it again for packing. Each element of the result is one
//! sum over K in an order fixed by K alone, so neither the number of threads nor the other rows change a bit.

use std::cell::Cell;

use rayon::prelude::*;

use super::{Left, Shared, Target, Write, blocks, small, tiles};

/// Columns of a packed strip.
pub const STRIP_COLS: usize = tiles::COLS;

/// Depth of a block at most: a packed block of 256 columns is 256 KiB, half an L2 of the smaller processors.
pub const BLOCK_DEPTH: usize = 256;

/// Columns of a task's block at most.
const BLOCK_COLS: usize = 256;

/// Multiplications below which a second thread costs more than it brings.
const PARALLEL_FROM: usize = 1 << 18;

/// Numbers of a packed left operand that stay allocated between products, 8 MiB; larger ones are given back.
const LEFT_KEPT: usize = 1 << 21;

/// A part of the right operand b [k, n]: depth and columns, each as (first, count). Depths begin at multiples of
/// [`BLOCK_DEPTH`], columns at multiples of [`STRIP_COLS`].
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Rows of b.
    pub depth: (usize, usize),
    /// Columns of b.
    pub columns: (usize, usize),
}

impl Part {
    /// Numbers of a packed strip: `[depth][STRIP_COLS]`.
    pub fn strip_len(&self) -> usize {
        self.depth.1 * STRIP_COLS
    }

    /// Strips that hold the columns.
    pub fn strips(&self) -> usize {
        self.columns.1.div_ceil(STRIP_COLS)
    }
}

/// Writes a part of the right operand as `[strips][depth][STRIP_COLS]`; columns past the last one are not read.
pub type Pack<'a> = dyn Fn(Part, &mut [f32]) + Sync + 'a;

thread_local! {
    static LEFT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static RIGHT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Whether this processor can run [`matmul`].
pub fn available() -> bool {
    tiles::rows() > 0
}

/// dst (=, +=) a · b, with a [m, k] and b [k, n] of the given (m, k, n); only where [`available`].
pub fn matmul(dst: &mut [f32], write: Write, (m, k, n): (usize, usize, usize), a: Left<'_>, b: &Pack<'_>) {
    assert!(dst.len() == m * n && a.values.len() == m * k, "packed product [{m}, {k}]·[{k}, {n}]");
    assert!(a.gain.is_none_or(|gain| gain.len() == k), "packed product: gain");
    assert!(available(), "this processor has no AVX2");
    if m == 0 || n == 0 || k == 0 {
        if write == Write::Set {
            dst.fill(0.0);
        }
        return;
    }
    let parallel = m * n * k >= PARALLEL_FROM;
    let slivers = Slivers::new(m);
    let mut left = LEFT.take();
    if left.len() < m * k {
        left.resize(m * k, 0.0);
    }
    pack_left(&mut left[..m * k], slivers, a, k, parallel);

    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let (columns, height) = blocks(n, slivers.count, threads, (STRIP_COLS, BLOCK_COLS));
    let across = n.div_ceil(columns);
    let tasks = across * slivers.count.div_ceil(height);
    let operands = Operands { k, n, left: &left[..m * k], slivers, right: b };
    let shared = Shared(dst.as_mut_ptr());
    let task = |index: usize| {
        let (first, sliver) = (index % across * columns, index / across * height);
        let columns = (first, columns.min(n - first));
        operands.multiply(shared, write, columns, sliver..slivers.count.min(sliver + height));
    };
    if parallel {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..tasks).for_each(task);
    }
    if left.len() <= LEFT_KEPT {
        LEFT.set(left);
    }
}

/// How the rows are cut: as evenly as can be into slivers of at most [`tiles::rows`].
#[derive(Debug, Clone, Copy)]
struct Slivers {
    count: usize,
    height: usize,
    /// This many slivers, the first ones, are one row higher.
    higher: usize,
}

impl Slivers {
    fn new(rows: usize) -> Self {
        let count = rows.div_ceil(tiles::rows());
        Self { count, height: rows / count, higher: rows % count }
    }

    /// (first row, rows) of a sliver.
    fn get(&self, index: usize) -> (usize, usize) {
        (index * self.height + index.min(self.higher), self.height + usize::from(index < self.higher))
    }
}

/// a [m, k] → per sliver `[k][rows]`.
fn pack_left(packed: &mut [f32], slivers: Slivers, a: Left<'_>, k: usize, parallel: bool) {
    let (higher, lower) = packed.split_at_mut(slivers.higher * (slivers.height + 1) * k);
    for (part, base, height) in [(higher, 0, slivers.height + 1), (lower, slivers.higher, slivers.height)] {
        let pack = |(index, packed): (usize, &mut [f32])| {
            let (first, rows) = slivers.get(base + index);
            small::transpose(packed, rows, &a.values[first * k..(first + rows) * k], k, (rows, k));
            for (column, gain) in packed.chunks_exact_mut(rows).zip(a.gain.unwrap_or_default()) {
                column.iter_mut().for_each(|value| *value *= gain);
            }
        };
        if parallel {
            part.par_chunks_mut(height * k).enumerate().for_each(pack);
        } else {
            part.chunks_mut(height * k).enumerate().for_each(pack);
        }
    }
}

/// Both operands of a product; the left one packed.
struct Operands<'a> {
    k: usize,
    n: usize,
    left: &'a [f32],
    slivers: Slivers,
    right: &'a Pack<'a>,
}

impl Operands<'_> {
    /// One task's part of the result: columns as (first, count), and slivers of rows.
    fn multiply(&self, dst: Shared, write: Write, columns: (usize, usize), slivers: std::ops::Range<usize>) {
        let mut block = RIGHT.take();
        for first in (0..self.k).step_by(BLOCK_DEPTH) {
            let part = Part { depth: (first, BLOCK_DEPTH.min(self.k - first)), columns };
            let (depth, len) = (part.depth.1, part.strip_len());
            if block.len() < part.strips() * len {
                block.resize(part.strips() * len, 0.0);
            }
            let block = &mut block[..part.strips() * len];
            (self.right)(part, block);
            let add = write == Write::Add || first > 0;
            for sliver in slivers.clone() {
                let (row, rows) = self.slivers.get(sliver);
                let a = &self.left[row * self.k + first * rows..][..depth * rows];
                for (strip, b) in block.chunks_exact(len).enumerate() {
                    let column = columns.0 + strip * STRIP_COLS;
                    let width = STRIP_COLS.min(columns.0 + columns.1 - column);
                    let to = Target { at: dst.at(row * self.n + column), stride: self.n, width, add };
                    // SAFETY: the target's rows and columns lie in this task's own part of dst [m, n].
                    #[expect(unsafe_code, reason = "the tile is written through a raw pointer")]
                    unsafe {
                        tiles::tile(rows, a, b, to);
                    }
                }
            }
        }
        RIGHT.set(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::random;

    /// Packs b [k, n], row-major.
    fn packer(b: &[f32], n: usize) -> impl Fn(Part, &mut [f32]) + Sync {
        move |part: Part, into: &mut [f32]| {
            for (strip, into) in into.chunks_exact_mut(part.strip_len()).enumerate() {
                for (p, into) in into.chunks_exact_mut(STRIP_COLS).enumerate() {
                    let columns = part.columns.0 + strip * STRIP_COLS..part.columns.0 + part.columns.1;
                    for (into, j) in into.iter_mut().zip(columns) {
                        *into = b[(part.depth.0 + p) * n + j];
                    }
                }
            }
        }
    }

    fn product(write: Write, (m, k, n): (usize, usize, usize), a: Left<'_>, b: &[f32]) -> Vec<f32> {
        let mut got = vec![0.5f32; m * n];
        matmul(&mut got, write, (m, k, n), a, &packer(b, n));
        got
    }

    #[test]
    fn equals_three_loops_at_every_edge() {
        if !available() {
            return;
        }
        let edges = (1..=33).flat_map(|e| [(e, 40, 70), (14, e, 33), (13, 66, e)]);
        for (m, k, n) in edges.chain([(5, 513, 65), (25, 257, 97), (64, 1, 1), (130, 31, 515), (29, 700, 64)]) {
            let (a, b, gain) = (random(m * k, 1), random(k * n, 2), random(k, 3));
            for gain in [None, Some(&gain[..])] {
                let scaled = |i: usize, p: usize| a[i * k + p] * gain.map_or(1.0, |gain| gain[p]);
                for (write, start) in [(Write::Set, 0.0), (Write::Add, 0.5)] {
                    let got = product(write, (m, k, n), Left { values: &a, gain }, &b);
                    for (at, got) in got.iter().enumerate() {
                        let terms = (0..k).map(|p| f64::from(scaled(at / n, p)) * f64::from(b[p * n + at % n]));
                        let (sum, magnitude) = terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
                        // k products and sums, each within a relative 2⁻²⁴.
                        let bound = (magnitude + start) * (k as f64 + 4.0) * 2f64.powi(-24) + 1e-30;
                        let error = (f64::from(*got) - sum - start).abs();
                        assert!(error <= bound, "[{m}, {k}]·[{k}, {n}] {write:?} at {at}: {got}, not {}", sum + start);
                    }
                }
            }
        }
    }

    #[test]
    fn neither_threads_nor_other_rows_change_a_bit() {
        if !available() {
            return;
        }
        let (m, k, n) = (125, 1030, 330);
        let (a, b) = (random(m * k, 3), random(k * n, 4));
        let run = |threads, rows: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| product(Write::Set, (rows, k, n), a[..rows * k].into(), &b))
        };
        let one = run(1, m);
        assert_eq!(one, run(2, m));
        assert_eq!(one, run(5, m));
        assert_eq!(one[..7 * n], run(2, 7));
    }
}
