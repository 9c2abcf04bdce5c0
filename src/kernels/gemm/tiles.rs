//! Register tiles of [`super::packed`] in AVX-512 and in AVX2 with FMA.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::Target;
use super::avx512::write_tile;
use crate::kernels::simd::{Level, level};

/// Columns of a tile: two vectors of AVX-512, or two times two of AVX2.
pub(super) const COLS: usize = 32;

/// Rows of a tile of AVX-512: 12 × 2 vectors of sums leave room for two of the right operand and a broadcast.
const ROWS_512: usize = 12;

/// Rows of a tile of AVX2: 6 × 2 of its sixteen vectors.
const ROWS_256: usize = 6;

/// Rows of a tile on this processor; 0 where there is none.
pub(super) fn rows() -> usize {
    match level() {
        Level::Avx512 => ROWS_512,
        Level::Avx2 => ROWS_256,
        Level::Baseline => 0,
    }
}

/// One tile of the result: a `[depth][rows]` times b `[depth][COLS]`.
///
/// # Safety
/// `to` must be exclusive and valid for `rows` rows of `to.width` numbers.
pub(super) unsafe fn tile(rows: usize, a: &[f32], b: &[f32], to: Target) {
    assert!(to.width <= COLS && b.len().is_multiple_of(COLS) && a.len() * COLS == b.len() * rows);
    // SAFETY: the level says which features are there, the lengths agree, and the caller answers for `to`.
    unsafe {
        match (level(), rows) {
            (Level::Avx512, 1) => tile_512::<1>(a, b, to),
            (Level::Avx512, 2) => tile_512::<2>(a, b, to),
            (Level::Avx512, 3) => tile_512::<3>(a, b, to),
            (Level::Avx512, 4) => tile_512::<4>(a, b, to),
            (Level::Avx512, 5) => tile_512::<5>(a, b, to),
            (Level::Avx512, 6) => tile_512::<6>(a, b, to),
            (Level::Avx512, 7) => tile_512::<7>(a, b, to),
            (Level::Avx512, 8) => tile_512::<8>(a, b, to),
            (Level::Avx512, 9) => tile_512::<9>(a, b, to),
            (Level::Avx512, 10) => tile_512::<10>(a, b, to),
            (Level::Avx512, 11) => tile_512::<11>(a, b, to),
            (Level::Avx512, ROWS_512) => tile_512::<ROWS_512>(a, b, to),
            (Level::Avx2, rows) => tile_avx2(rows, a, b, to),
            (level, rows) => unreachable!("no tile of {rows} rows for {level:?}"),
        }
    }
}

/// [`tile`] in AVX2, which tests on every processor run too.
///
/// # Safety
/// As [`tile`]; the processor must have AVX2 and FMA.
unsafe fn tile_avx2(rows: usize, a: &[f32], b: &[f32], to: Target) {
    // SAFETY: the caller's.
    unsafe {
        match rows {
            1 => tile_256::<1>(a, b, to),
            2 => tile_256::<2>(a, b, to),
            3 => tile_256::<3>(a, b, to),
            4 => tile_256::<4>(a, b, to),
            5 => tile_256::<5>(a, b, to),
            ROWS_256 => tile_256::<ROWS_256>(a, b, to),
            _ => unreachable!("no tile of {rows} rows"),
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn tile_512<const ROWS: usize>(a: &[f32], b: &[f32], to: Target) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let (mut a_at, mut b_at) = (a.as_ptr(), b.as_ptr());
    for _ in 0..b.len() / COLS {
        // SAFETY: step p reads numbers 32·p.. of b and p·ROWS.. of a; both lengths were checked.
        unsafe {
            let (b0, b1) = (_mm512_loadu_ps(b_at), _mm512_loadu_ps(b_at.wrapping_add(16)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(a_at.wrapping_add(row).read());
                sums[0] = _mm512_fmadd_ps(x, b0, sums[0]);
                sums[1] = _mm512_fmadd_ps(x, b1, sums[1]);
            }
        }
        a_at = a_at.wrapping_add(ROWS);
        b_at = b_at.wrapping_add(COLS);
    }
    // SAFETY: the caller answers for `to`.
    unsafe { write_tile(sums, to) };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn tile_256<const ROWS: usize>(a: &[f32], b: &[f32], to: Target) {
    for half in 0..to.width.div_ceil(COLS / 2) {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        let (mut a_at, mut b_at) = (a.as_ptr(), b.as_ptr().wrapping_add(half * COLS / 2));
        for _ in 0..b.len() / COLS {
            // SAFETY: step p reads sixteen numbers from 32·p + 16·half of b and p·ROWS.. of a; both lengths were checked.
            unsafe {
                let (b0, b1) = (_mm256_loadu_ps(b_at), _mm256_loadu_ps(b_at.wrapping_add(8)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(a_at.wrapping_add(row).read());
                    sums[0] = _mm256_fmadd_ps(x, b0, sums[0]);
                    sums[1] = _mm256_fmadd_ps(x, b1, sums[1]);
                }
            }
            a_at = a_at.wrapping_add(ROWS);
            b_at = b_at.wrapping_add(COLS);
        }
        let width = (to.width - half * COLS / 2).min(COLS / 2);
        for (row, [s0, s1]) in sums.into_iter().enumerate() {
            let mut all = [0.0f32; COLS / 2];
            // SAFETY: sixteen numbers of our own.
            unsafe {
                _mm256_storeu_ps(all.as_mut_ptr(), s0);
                _mm256_storeu_ps(all.as_mut_ptr().wrapping_add(8), s1);
            }
            let at = to.at.wrapping_add(row * to.stride + half * COLS / 2);
            // SAFETY: the target's row has `width` numbers from here on, which nobody else holds.
            let into = unsafe { std::slice::from_raw_parts_mut(at, width) };
            for (into, sum) in into.iter_mut().zip(all) {
                *into = if to.add { *into + sum } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::random;

    #[test]
    fn both_forms_give_the_same_bits() {
        if level() != Level::Avx512 {
            return;
        }
        for (rows, depth, width) in [(1, 7, 1), (2, 1, 16), (3, 40, 17), (4, 256, 32), (5, 3, 31), (6, 100, 8)] {
            let (a, b) = (random(rows * depth, 1), random(depth * COLS, 2));
            let run = |wide: bool, add| {
                let mut got = vec![0.25f32; rows * 40];
                let to = Target { at: got.as_mut_ptr(), stride: 40, width, add };
                // SAFETY: the target has rows of 40 numbers; AVX-512 brings AVX2 and FMA.
                unsafe { if wide { tile(rows, &a, &b, to) } else { tile_avx2(rows, &a, &b, to) } };
                got
            };
            for add in [false, true] {
                assert_eq!(run(true, add), run(false, add), "{rows} rows, {depth} deep, {width} wide");
            }
        }
    }
}
