//! Products with a frozen bf16 matrix, in AMX tiles or in AVX-512-BF16: activations are rounded to bf16 (nearest, ties to
//! even) where they are packed, products and sums are f32.
//!
//! The blocking of Goto & van de Geijn (2008): the left operand is packed once and shared, every task owns a block of
//! columns of the result and packs its own part of the weight, a K block at a time, into its core's L2. Each element of
//! the result is one sum over K in an order fixed by K alone, so neither the number of threads nor the other rows
//! change a bit. The weight stays as it lies in the file; both directions repack tiles of it on the fly.

use std::cell::Cell;

use half::bf16;
use rayon::prelude::*;

use super::slivers::Slivers;
pub use super::slivers::Unit;
use super::{Left, Shared, Target, Write, amx, avx512bf16 as simd, blocks};
use crate::kernels::quantised::{Blocks, PANEL, STRIP};

/// Rows of a register tile of vectors. 12 × 2 vectors of sums leave room for two of the weight and a broadcast.
pub(super) const TILE_ROWS: usize = 12;

/// Columns of a register tile: two vectors of sixteen.
pub(super) const TILE_COLS: usize = 32;

/// Depth of a block at most: a packed block of [`BLOCK_COLS`] columns is 512 KiB, half a Zen 4 core's L2 (256 and 512 deep
/// are 2–6 % slower, 512 columns 2–3 %).
pub(super) const BLOCK_DEPTH: usize = 1024;

/// Columns of a task's block at most.
const BLOCK_COLS: usize = 256;

/// Numbers of a packed left operand that stay allocated between products, 8 MiB; larger ones (a head's gradient) are
/// given back.
const LEFT_KEPT: usize = 1 << 21;

/// One cache line of packed pairs, written and read by the tiles only.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line {
    _pairs: [u32; 16],
}

impl Line {
    const ZERO: Self = Self { _pairs: [0; 16] };
}

/// The right operand b [k, n] of a product.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    /// b = W, with W [k, n] row-major.
    Plain(&'a [bf16]),
    /// b = Wᵀ, with W [n, k] row-major.
    Transposed(&'a [bf16]),
    /// b = W, with quantised W [k, n]; its dequantised values are rounded to bf16 where they are packed.
    Quantised(Blocks<'a>),
    /// b = Wᵀ, with quantised W [n, k].
    QuantisedTransposed(Blocks<'a>),
}

impl Right<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Plain(w) | Self::Transposed(w) => w.len(),
            Self::Quantised(w) | Self::QuantisedTransposed(w) => w.rows() * w.cols(),
        }
    }
}

/// Whether this processor can run [`matmul`].
pub fn available() -> bool {
    simd::available()
}

thread_local! {
    static LEFT: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
    static RIGHT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// dst (=, +=) a · b, with a [m, k] and b [k, n] of the given (m, k, n); only where [`available`].
pub fn matmul(dst: &mut [f32], write: Write, (m, k, n): (usize, usize, usize), a: Left<'_>, b: Right<'_>) {
    assert!(dst.len() == m * n && a.values.len() == m * k && b.len() == k * n, "bf16 product [{m}, {k}]·[{k}, {n}]");
    assert!(a.gain.is_none_or(|gain| gain.len() == k), "bf16 product: gain");
    assert!(available(), "this processor has no AVX-512-BF16");
    if m == 0 || n == 0 || k == 0 {
        if write == Write::Set {
            dst.fill(0.0);
        }
        return;
    }
    multiply_by(Unit::best(), dst, write, (m, k, n), a, b);
}

/// [`matmul`] of something by `unit`.
fn multiply_by(unit: Unit, dst: &mut [f32], write: Write, shape: (usize, usize, usize), a: Left<'_>, b: Right<'_>) {
    let (m, k, n) = shape;
    let parallel = m * n * k >= unit.parallel_from();
    let slivers = Slivers::new(unit, m);
    // Pairs along k, to whole vectors of sixteen.
    let pairs = k.div_ceil(32) * 16;
    let mut left = LEFT.take();
    let len = slivers.packed_rows(m) * pairs;
    if left.len() < len {
        left.resize(len, 0);
    }
    pack_left(&mut left[..len], slivers, pairs, a, k, parallel);

    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let (columns, height) = blocks(n, slivers.count, threads, (TILE_COLS, BLOCK_COLS));
    let across = n.div_ceil(columns);
    let tasks = across * slivers.count.div_ceil(height);
    let packed = &left[..len];
    let shared = Shared(dst.as_mut_ptr());
    let task = |index: usize| {
        let (first, sliver) = (index % across * columns, index / across * height);
        let block =
            Block { columns: (first, columns.min(n - first)), slivers: (sliver, height.min(slivers.count - sliver)) };
        block.multiply(shared, write, Operands { k, n, pairs, left: packed, rows: slivers, right: b });
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

/// a [m, k] → per sliver `[pairs][rows]` of bf16 pairs along k, or tiles.
fn pack_left(packed: &mut [u32], slivers: Slivers, pairs: usize, a: Left<'_>, k: usize, parallel: bool) {
    let (higher, lower) = packed.split_at_mut(slivers.higher * (slivers.height + 1) * pairs);
    for (part, base, height) in [(higher, 0, slivers.height + 1), (lower, slivers.higher, slivers.height)] {
        let pack = |(index, packed): (usize, &mut [u32])| {
            let (first, rows) = slivers.get(base + index);
            let values = &a.values[first * k..(first + rows) * k];
            match slivers.unit {
                Unit::Vectors => simd::pack_left(packed, values, a.gain, rows, k),
                Unit::Tiles => amx::pack_left(packed, values, a.gain, rows, k),
            }
        };
        if parallel {
            part.par_chunks_mut(height * pairs).enumerate().for_each(pack);
        } else {
            part.chunks_mut(height * pairs).enumerate().for_each(pack);
        }
    }
}

/// Packs a part of b = Wᵀ: a panel is half the columns of a tile. Depth and columns begin at multiples of a panel.
fn pack_quantised_transposed(packed: &mut [Line], w: &Blocks<'_>, part: simd::Part) {
    let (depth, columns) = (part.depth, part.columns);
    let mut panel = [[0.0; STRIP]; PANEL];
    let lines = part.strip_lines();
    for half in 0..columns.1.div_ceil(TILE_COLS) * 2 {
        let strip = columns.0 / STRIP + half;
        let packed = &mut packed[half / 2 * lines..][..lines];
        for first in (0..depth.1).step_by(PANEL) {
            if strip * STRIP < w.rows() {
                w.panel(strip, (depth.0 + first) / PANEL, &mut panel);
            } else {
                panel = [[0.0; STRIP]; PANEL];
            }
            simd::pack_panel_transposed(packed, &panel, first, half % 2);
        }
    }
}

/// Packs a part of b = W: a panel is sixteen of the depth.
fn pack_quantised(packed: &mut [Line], w: &Blocks<'_>, part: simd::Part) {
    let (depth, columns) = (part.depth, part.columns);
    let mut panel = [[0.0; STRIP]; PANEL];
    let lines = part.strip_lines();
    for first in (0..depth.1).step_by(STRIP) {
        for strip in 0..columns.1.div_ceil(TILE_COLS) {
            w.panel((depth.0 + first) / STRIP, columns.0 / PANEL + strip, &mut panel);
            simd::pack_panel_plain(&mut packed[strip * lines..][..lines], &panel, first);
        }
    }
}

/// Both operands of a product; the left one packed.
#[derive(Clone, Copy)]
struct Operands<'a> {
    k: usize,
    n: usize,
    pairs: usize,
    left: &'a [u32],
    rows: Slivers,
    right: Right<'a>,
}

/// One task's part of the result.
struct Block {
    /// First column and their number.
    columns: (usize, usize),
    /// First sliver of rows and their number.
    slivers: (usize, usize),
}

impl Block {
    fn multiply(&self, dst: Shared, write: Write, operands: Operands<'_>) {
        let Operands { k, n, pairs, left, rows, right } = operands;
        let (first_column, columns) = self.columns;
        let strips = columns.div_ceil(TILE_COLS);
        let depth = rows.unit.depth();
        let tiles = (rows.unit == Unit::Tiles).then(amx::Configured::new);
        let mut block = RIGHT.take();
        let lines = strips * depth.min(pairs * 2);
        if block.len() < lines {
            block.resize(lines, Line::ZERO);
        }
        for first in (0..k).step_by(depth) {
            let part = simd::Part { depth: (first, depth.min(k - first)), columns: self.columns };
            let (strip_lines, depth_pairs) = (part.strip_lines(), part.depth.1.div_ceil(2));
            let block = &mut block[..part.lines()];
            match right {
                Right::Plain(w) => simd::pack_plain(block, w, n, part),
                Right::Transposed(w) => simd::pack_transposed(block, w, k, part),
                Right::Quantised(w) => pack_quantised(block, &w, part),
                Right::QuantisedTransposed(w) => pack_quantised_transposed(block, &w, part),
            }
            // Tiles multiply whole vectors of pairs: what nobody packed must be zero.
            let depth_pairs = if tiles.is_some() {
                block.chunks_exact_mut(strip_lines).for_each(|strip| strip[depth_pairs * 2..].fill(Line::ZERO));
                strip_lines / 2
            } else {
                depth_pairs
            };
            let add = write == Write::Add || first > 0;
            for sliver in self.slivers.0..self.slivers.0 + self.slivers.1 {
                let (row, height) = rows.get(sliver);
                let a = rows.part(left, pairs, sliver, first / 2, depth_pairs);
                for strip in 0..strips {
                    let column = first_column + strip * TILE_COLS;
                    let width = TILE_COLS.min(first_column + columns - column);
                    let b = &block[strip * strip_lines..][..depth_pairs * 2];
                    let to = Target { at: dst.at(row * n + column), stride: n, width, add };
                    // SAFETY: the target's rows and columns lie in this task's own part of dst [m, n].
                    #[expect(unsafe_code, reason = "the tile is written through a raw pointer")]
                    unsafe {
                        match &tiles {
                            Some(configured) => amx::tile(configured, height, a, b, to),
                            None => simd::tile(height, a, b, to),
                        }
                    }
                }
            }
        }
        RIGHT.set(block);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::check::random;

    /// a·b in f64 on operands rounded to bf16, and Σ|a·b| per element, by which an f32 sum's error is bounded.
    fn truth(m: usize, k: usize, n: usize, a: &[f32], b: &dyn Fn(usize, usize) -> f32) -> Vec<(f64, f64)> {
        let rounded: Vec<f64> = a.iter().map(|v| bf16::from_f32(*v).to_f64()).collect();
        let mut all = Vec::with_capacity(m * n);
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|p| rounded[i * k + p] * f64::from(b(p, j)));
                all.push(terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs())));
            }
        }
        all
    }

    /// What this processor can multiply with.
    fn units() -> impl Iterator<Item = Unit> {
        [Unit::Vectors, Unit::Tiles].into_iter().filter(|unit| *unit == Unit::Vectors || amx::available())
    }

    fn check(m: usize, k: usize, n: usize) {
        let (a, w) = (random(m * k, 1), random(n * k, 2));
        let w: Vec<bf16> = w.into_iter().map(bf16::from_f32).collect();
        let wide: Vec<f32> = w.iter().map(|v| v.to_f32()).collect();
        for transposed in [false, true] {
            let b = |p: usize, j: usize| if transposed { wide[j * k + p] } else { wide[p * n + j] };
            let right = if transposed { Right::Transposed(&w) } else { Right::Plain(&w) };
            let truth = truth(m, k, n, &a, &b);
            for (write, unit) in [Write::Set, Write::Add].into_iter().flat_map(|write| units().map(move |u| (write, u)))
            {
                let mut got = vec![0.5f32; m * n];
                multiply_by(unit, &mut got, write, (m, k, n), a[..].into(), right);
                let start = if write == Write::Add { 0.5 } else { 0.0 };
                for (i, (got, (want, magnitude))) in got.iter().zip(&truth).enumerate() {
                    // Products of bf16 are exact in f32; k sums of relative error 2⁻²⁴ each, in two chains.
                    let bound = (magnitude + start) * (k as f64 + 4.0) * 2f64.powi(-24) + 1e-30;
                    let error = (f64::from(*got) - want - start).abs();
                    assert!(error <= bound, "[{m}, {k}]·[{k}, {n}] {write:?} {unit:?} {i}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn equals_the_rounded_product_at_every_edge() {
        if !available() {
            return;
        }
        for edge in 1..=33 {
            check(edge, 40, 70);
            check(14, edge, 33);
            check(13, 66, edge);
        }
        for (m, k, n) in [(5, 513, 65), (25, 1025, 97), (64, 1, 1), (1, 1100, 300), (130, 31, 515), (29, 1536, 64)] {
            check(m, k, n);
        }
    }

    #[test]
    fn a_quantised_matrix_is_its_values_rounded_to_bf16() {
        use crate::kernels::quantised::{Form, quantise};
        if !available() {
            return;
        }
        for (form, width) in [(Form::Q8_0, 96), (Form::Q4K, 256), (Form::Nf4, 192), (Form::Q8_0, 1120)] {
            for (rows, m) in [(1, 5), (16, 13), (33, 7), (70, 25), (1041, 6)] {
                let bytes = quantise(form, &random(rows * width, 8), rows, width);
                let w = Blocks::new(form, rows, width, &bytes);
                let mut wide = vec![0.0; rows * width];
                wide.chunks_exact_mut(width).enumerate().for_each(|(row, into)| w.widen(row, 0, into));
                let rounded: Vec<bf16> = wide.into_iter().map(bf16::from_f32).collect();
                for (k, n, quantised, plain) in [
                    (width, rows, Right::QuantisedTransposed(w), Right::Transposed(&rounded)),
                    (rows, width, Right::Quantised(w), Right::Plain(&rounded)),
                ] {
                    let a = random(m * k, 9);
                    let (mut got, mut want) = (vec![0.0; m * n], vec![0.0; m * n]);
                    matmul(&mut got, Write::Set, (m, k, n), a[..].into(), quantised);
                    matmul(&mut want, Write::Set, (m, k, n), a[..].into(), plain);
                    assert_eq!(got, want, "{form:?} [{rows}, {width}] as [{k}, {n}]");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn equals_the_rounded_product_on_any_shape(m in 1usize..80, k in 1usize..700, n in 1usize..300) {
            if available() {
                check(m, k, n);
            }
        }
    }

    #[test]
    fn a_gain_scales_the_columns_before_rounding() {
        if !available() {
            return;
        }
        let (m, k, n) = (14, 77, 40);
        let (a, gain) = (random(m * k, 5), random(k, 6));
        let w: Vec<bf16> = random(k * n, 7).into_iter().map(bf16::from_f32).collect();
        let scaled: Vec<f32> = a.iter().enumerate().map(|(i, v)| v * gain[i % k]).collect();
        let (mut got, mut want) = (vec![0.0; m * n], vec![0.0; m * n]);
        matmul(&mut got, Write::Set, (m, k, n), Left { values: &a, gain: Some(&gain) }, Right::Plain(&w));
        matmul(&mut want, Write::Set, (m, k, n), scaled[..].into(), Right::Plain(&w));
        assert_eq!(got, want);
    }

    #[test]
    fn neither_threads_nor_other_rows_change_a_bit() {
        if !available() {
            return;
        }
        let (m, k, n) = (125, 1030, 330);
        let a = random(m * k, 3);
        let w: Vec<bf16> = random(k * n, 4).into_iter().map(bf16::from_f32).collect();
        for (right, unit) in
            [Right::Plain(&w), Right::Transposed(&w)].iter().flat_map(|w| units().map(move |u| (*w, u)))
        {
            let run = |threads, rows: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut y = vec![0.0; rows * n];
                pool.install(|| multiply_by(unit, &mut y, Write::Set, (rows, k, n), a[..rows * k].into(), right));
                y
            };
            let one = run(1, m);
            assert_eq!(one, run(2, m));
            assert_eq!(one, run(5, m));
            assert_eq!(one[..7 * n], run(2, 7));
        }
    }
}
