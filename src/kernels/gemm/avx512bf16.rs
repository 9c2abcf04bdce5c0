//! Packing and register tiles of [`super::bf16`] for AVX-512-BF16: `vdpbf16ps` adds two products along K per lane.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use half::bf16;

use super::Target;
use super::avx512::{low_bits, low_bits32, transpose, write_tile};
use super::bf16::{Line, TILE_COLS, TILE_ROWS};
use crate::kernels::quantised::{PANEL, Panel, STRIP};

/// Whether the processor has what the functions below are compiled for.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Rounds rows × k floats to bf16 and lays them out as `[pairs][rows]`; `packed` holds whole vectors of sixteen pairs,
/// those past k are zero.
pub(super) fn pack_left(packed: &mut [u32], a: &[f32], gain: Option<&[f32]>, rows: usize, k: usize) {
    assert!(gain.is_none_or(|gain| gain.len() == k));
    assert!(rows <= TILE_ROWS && a.len() == rows * k && packed.len() == rows * k.div_ceil(32) * 16);
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); all accesses stay inside the asserted lengths.
    unsafe { pack_left_avx512(packed, a, gain, rows, k) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left_avx512(packed: &mut [u32], a: &[f32], gain: Option<&[f32]>, rows: usize, k: usize) {
    let store = low_bits(rows);
    for first in (0..k).step_by(32) {
        let (low, high) = (low_bits((k - first).min(16)), low_bits((k - first).saturating_sub(16).min(16)));
        let mut vectors = [_mm512_setzero_si512(); 16];
        for (row, vector) in vectors[..rows].iter_mut().enumerate() {
            let at = a.as_ptr().wrapping_add(row * k + first);
            // SAFETY: masked lanes are not read; the others are elements first.. of this row.
            let (mut x, mut y) =
                unsafe { (_mm512_maskz_loadu_ps(low, at), _mm512_maskz_loadu_ps(high, at.wrapping_add(16))) };
            if let Some(gain) = gain {
                let gain = gain.as_ptr().wrapping_add(first);
                // SAFETY: as above, of the gain's k numbers.
                unsafe {
                    x = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(low, gain));
                    y = _mm512_mul_ps(y, _mm512_maskz_loadu_ps(high, gain.wrapping_add(16)));
                }
            }
            // SAFETY: both are 512 bits of plain numbers.
            *vector = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x)) };
        }
        for (pair, vector) in transpose(vectors).into_iter().enumerate() {
            let at = packed.as_mut_ptr().wrapping_add((first / 2 + pair) * rows);
            // SAFETY: `rows` numbers of pair first / 2 + pair, which is below the padded number of pairs.
            unsafe { _mm512_mask_storeu_epi32(at.cast(), store, vector) };
        }
    }
}

/// Cache lines that are asked for ahead of their use while packing: W comes from memory or a shared cache.
const AHEAD: usize = 4;

/// A part of b: depth and columns, each as (first, count).
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub depth: (usize, usize),
    pub columns: (usize, usize),
}

impl Part {
    /// Lines of a packed strip of [`TILE_COLS`] columns: whole vectors of sixteen pairs, two lines a pair.
    pub fn strip_lines(&self) -> usize {
        self.depth.1.div_ceil(32) * 32
    }

    /// Lines of all strips.
    pub fn lines(&self) -> usize {
        self.columns.1.div_ceil(TILE_COLS) * self.strip_lines()
    }
}

/// Packs a part of b = Wᵀ, with W [n, k], as `[strips][pairs][two lines]`.
pub(super) fn pack_transposed(packed: &mut [Line], w: &[bf16], k: usize, part: Part) {
    assert!(part.depth.0 + part.depth.1 <= k && packed.len() == part.lines());
    assert!((part.columns.0 + part.columns.1) * k <= w.len());
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); all accesses stay inside the asserted lengths.
    unsafe { pack_transposed_avx512(packed, w, k, part) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_transposed_avx512(packed: &mut [Line], w: &[bf16], k: usize, part: Part) {
    let (depth, columns) = (part.depth, part.columns);
    // Each vector of a strip's two comes from sixteen rows of W.
    for half in 0..columns.1.div_ceil(TILE_COLS) * 2 {
        let rows = columns.1.saturating_sub(half * 16).min(16);
        let lines = half / 2 * part.strip_lines() + half % 2;
        let start = w.as_ptr().wrapping_add((columns.0 + half * 16) * k + depth.0);
        for first in (0..depth.1).step_by(32) {
            let mut vectors = [_mm512_setzero_si512(); 16];
            let mut at = start.wrapping_add(first);
            if rows == 16 && first + 32 <= depth.1 {
                for vector in &mut vectors {
                    // SAFETY: thirty-two elements of this row of W. A prefetch never faults.
                    unsafe {
                        _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD * 32).cast());
                        *vector = _mm512_loadu_si512(at.cast());
                    }
                    at = at.wrapping_add(k);
                }
            } else {
                let mask = low_bits32((depth.1 - first).min(32));
                for vector in &mut vectors[..rows] {
                    // SAFETY: masked lanes are not read; the others are elements of this row of W.
                    *vector = unsafe { _mm512_maskz_loadu_epi16(mask, at.cast()) };
                    at = at.wrapping_add(k);
                }
            }
            let mut to = packed.as_mut_ptr().wrapping_add(lines + first);
            for vector in transpose(vectors) {
                // SAFETY: `first` + 2·15 + 1 is below the lines of the strip, and lines are aligned.
                unsafe { _mm512_store_si512(to.cast(), vector) };
                to = to.wrapping_add(2);
            }
        }
    }
}

/// Packs a part of b = W, with W [k, n], as `[strips][pairs][two lines]`.
pub(super) fn pack_plain(packed: &mut [Line], w: &[bf16], n: usize, part: Part) {
    assert!(part.columns.0 + part.columns.1 <= n && packed.len() == part.lines());
    assert!((part.depth.0 + part.depth.1) * n <= w.len());
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); all accesses stay inside the asserted lengths.
    unsafe { pack_plain_avx512(packed, w, n, part) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_plain_avx512(packed: &mut [Line], w: &[bf16], n: usize, part: Part) {
    let (depth, columns) = (part.depth, part.columns);
    // Interleaves the low and the high sixteen numbers of two rows.
    let order: [[u16; 32]; 2] = std::array::from_fn(|half| {
        std::array::from_fn(|i| (half * 16 + i / 2 + if i % 2 == 0 { 0 } else { 32 }) as u16)
    });
    // SAFETY: each is 64 bytes.
    let [low, high] = unsafe { order.map(|half| _mm512_loadu_si512(half.as_ptr().cast())) };
    let strip_lines = part.strip_lines();
    for pair in 0..depth.1.div_ceil(2) {
        let mut at = w.as_ptr().wrapping_add((depth.0 + 2 * pair) * n + columns.0);
        let mut to = packed.as_mut_ptr().wrapping_add(pair * 2);
        let both = 2 * pair + 1 < depth.1;
        let mut left = columns.1;
        while left > 0 {
            let mask = low_bits32(left.min(TILE_COLS));
            // SAFETY: masked lanes are not read; the others are elements of rows 2·pair and, where the depth has it,
            // 2·pair + 1. Lines 2·pair and 2·pair + 1 of each strip lie inside it, and lines are aligned. A prefetch
            // never faults.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD * n).cast());
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add((AHEAD + 1) * n).cast());
                let even = _mm512_maskz_loadu_epi16(mask, at.cast());
                let odd = _mm512_maskz_loadu_epi16(if both { mask } else { 0 }, at.wrapping_add(n).cast());
                _mm512_store_si512(to.cast(), _mm512_permutex2var_epi16(even, low, odd));
                _mm512_store_si512(to.wrapping_add(1).cast(), _mm512_permutex2var_epi16(even, high, odd));
            }
            at = at.wrapping_add(TILE_COLS);
            to = to.wrapping_add(strip_lines);
            left -= left.min(TILE_COLS);
        }
    }
}

/// Writes a panel of b = Wᵀ, [32 of depth, 16 columns], as the `half` of a strip from line `first` on.
pub(super) fn pack_panel_transposed(packed: &mut [Line], panel: &Panel, first: usize, half: usize) {
    assert!(half < 2 && first + PANEL <= packed.len());
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); sixteen lines, every other one from first + half.
    unsafe { pack_panel_transposed_avx512(packed, panel, first + half) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panel_transposed_avx512(packed: &mut [Line], panel: &Panel, first: usize) {
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    for (pair, [even, odd]) in panel.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: sixteen floats each; the line lies inside the panel's lines, and lines are aligned.
        unsafe {
            let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(odd.as_ptr()), _mm512_loadu_ps(even.as_ptr()));
            let both = std::mem::transmute::<__m512bh, __m512i>(both);
            let to = packed.as_mut_ptr().wrapping_add(first + 2 * pair);
            _mm512_store_si512(to.cast(), _mm512_permutexvar_epi16(order, both));
        }
    }
}

/// Writes a panel of b = W, [16 of depth, 32 columns], as the sixteen lines of a strip from line `first` on.
pub(super) fn pack_panel_plain(packed: &mut [Line], panel: &Panel, first: usize) {
    assert!(first + STRIP <= packed.len());
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it); sixteen lines from first.
    unsafe { pack_panel_plain_avx512(packed, panel, first) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panel_plain_avx512(packed: &mut [Line], panel: &Panel, first: usize) {
    let mut vectors = [_mm512_setzero_si512(); 16];
    for (column, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: sixteen floats of a column, and of the one sixteen further.
        *vector = unsafe {
            let (low, high) = (panel[column].as_ptr(), panel[column + 16].as_ptr());
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low)))
        };
    }
    // Word q of a vector is rows 2q and 2q + 1 of its column: of the low sixteen columns below 8, of the high ones above.
    for (word, vector) in transpose(vectors).into_iter().enumerate() {
        let to = packed.as_mut_ptr().wrapping_add(first + word % 8 * 2 + word / 8);
        // SAFETY: one of the sixteen lines, and lines are aligned.
        unsafe { _mm512_store_si512(to.cast(), vector) };
    }
}

/// One tile of the result: a `[pairs][rows]` times b `[pairs][two lines]`.
///
/// # Safety
/// `to` must be exclusive and valid for `rows` rows of `to.width` numbers.
pub(super) unsafe fn tile(rows: usize, a: &[u32], b: &[Line], to: Target) {
    assert!(to.width <= TILE_COLS && a.len() * 2 == b.len() * rows);
    debug_assert!(available());
    // SAFETY: the features were detected (`bf16::matmul` asserts it), the lengths agree, and the caller answers for `to`.
    unsafe {
        match rows {
            1 => tile_avx512::<1>(a, b, to),
            2 => tile_avx512::<2>(a, b, to),
            3 => tile_avx512::<3>(a, b, to),
            4 => tile_avx512::<4>(a, b, to),
            5 => tile_avx512::<5>(a, b, to),
            6 => tile_avx512::<6>(a, b, to),
            7 => tile_avx512::<7>(a, b, to),
            8 => tile_avx512::<8>(a, b, to),
            9 => tile_avx512::<9>(a, b, to),
            10 => tile_avx512::<10>(a, b, to),
            11 => tile_avx512::<11>(a, b, to),
            _ => tile_avx512::<TILE_ROWS>(a, b, to),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile_avx512<const ROWS: usize>(a: &[u32], b: &[Line], to: Target) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let (mut a_at, mut b_at) = (a.as_ptr(), b.as_ptr());
    for _ in 0..b.len() / 2 {
        // SAFETY: pair p reads lines 2p and 2p + 1 of b, and numbers p·ROWS.. of a; both lengths were checked.
        unsafe {
            let b0 = std::mem::transmute::<__m512i, __m512bh>(_mm512_load_si512(b_at.cast()));
            let b1 = std::mem::transmute::<__m512i, __m512bh>(_mm512_load_si512(b_at.wrapping_add(1).cast()));
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(a_at.wrapping_add(row).cast::<i32>().read());
                let x = std::mem::transmute::<__m512i, __m512bh>(x);
                sums[0] = _mm512_dpbf16_ps(sums[0], x, b0);
                sums[1] = _mm512_dpbf16_ps(sums[1], x, b1);
            }
        }
        a_at = a_at.wrapping_add(ROWS);
        b_at = b_at.wrapping_add(2);
    }
    // SAFETY: the caller answers for `to`.
    unsafe { write_tile(sums, to) };
}
