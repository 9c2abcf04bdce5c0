//! The AVX-512 form of [`super::few`]: register tiles of stored rows × few rows, lanes along the sum.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use half::bf16;

use crate::kernels::simd::{LANES, Level, level};

/// Rows of the few taken at once; more are taken in parts of even size.
const FEW: usize = 6;

/// Floats from a stored row.
trait Stored: Copy {
    /// The `mask`ed lanes of sixteen numbers from `at`, in f32.
    ///
    /// # Safety
    /// AVX-512 F, BW and VL must be there, and the masked lanes readable.
    unsafe fn load(at: *const Self, mask: __mmask16) -> __m512;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load(at: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_maskz_loadu_ps(mask, at) }
    }
}

impl Stored for bf16 {
    #[inline(always)]
    unsafe fn load(at: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let narrow = _mm256_maskz_loadu_epi16(mask, at.cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)))
        }
    }
}

/// w [n, k], few [r, k] → out [n, r].
pub(super) fn products_f32(w: &[f32], few: &[f32], k: usize, out: &mut [f32]) {
    check(w.len(), few.len(), k, out.len());
    // SAFETY: `check` found the features and the lengths to be right.
    unsafe { products(w, few, k, out) }
}

/// As [`products_f32`] for bf16.
pub(super) fn products_bf16(w: &[bf16], few: &[f32], k: usize, out: &mut [f32]) {
    check(w.len(), few.len(), k, out.len());
    // SAFETY: `check` found the features and the lengths to be right.
    unsafe { products(w, few, k, out) }
}

fn check(w: usize, few: usize, k: usize, out: usize) {
    assert!(level() == Level::Avx512, "few rows: processor");
    assert!(w.is_multiple_of(k) && few.is_multiple_of(k) && out == w / k * (few / k), "few rows: lengths");
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn products<T: Stored>(w: &[T], few: &[f32], k: usize, out: &mut [f32]) {
    let r = few.len() / k;
    let mut first = 0;
    for parts in (1..=r.div_ceil(FEW)).rev() {
        let count = (r - first).div_ceil(parts);
        let few = &few[first * k..(first + count) * k];
        // SAFETY: the caller's; columns first..first + count of out's rows of r.
        unsafe {
            match count {
                1 => rows::<T, 8, 1>(w, few, k, out, (first, r)),
                2 => rows::<T, 8, 2>(w, few, k, out, (first, r)),
                3 => rows::<T, 4, 3>(w, few, k, out, (first, r)),
                4 => rows::<T, 4, 4>(w, few, k, out, (first, r)),
                5 => rows::<T, 4, 5>(w, few, k, out, (first, r)),
                _ => rows::<T, 4, FEW>(w, few, k, out, (first, r)),
            }
        }
        first += count;
    }
}

/// All rows of w, `ROWS` at once and the last ones singly, by `COUNT` few rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn rows<T: Stored, const ROWS: usize, const COUNT: usize>(
    w: &[T],
    few: &[f32],
    k: usize,
    out: &mut [f32],
    (first, r): (usize, usize),
) {
    let whole = w.len() / k / ROWS * ROWS;
    for row in (0..whole).step_by(ROWS) {
        // SAFETY: ROWS rows from `row`.
        let sums = unsafe { tile::<T, ROWS, COUNT>(w[row * k..].as_ptr(), few, k) };
        for (i, sums) in sums.iter().enumerate() {
            out[(row + i) * r + first..][..COUNT].copy_from_slice(sums);
        }
    }
    for row in whole..w.len() / k {
        // SAFETY: one row.
        let [sums] = unsafe { tile::<T, 1, COUNT>(w[row * k..].as_ptr(), few, k) };
        out[row * r + first..][..COUNT].copy_from_slice(&sums);
    }
}

/// # Safety
/// `w` must be readable for `ROWS` rows of k, `few` hold `COUNT`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn tile<T: Stored, const ROWS: usize, const COUNT: usize>(
    w: *const T,
    few: &[f32],
    k: usize,
) -> [[f32; COUNT]; ROWS] {
    let few: [*const f32; COUNT] = std::array::from_fn(|j| few.as_ptr().wrapping_add(j * k));
    let rows: [*const T; ROWS] = std::array::from_fn(|i| w.wrapping_add(i * k));
    let next = ROWS * k;
    let mut sums = [[_mm512_setzero_ps(); COUNT]; ROWS];
    for step in 0..k / LANES {
        let at = step.wrapping_mul(LANES);
        let mut x = [_mm512_setzero_ps(); COUNT];
        for (x, few) in x.iter_mut().zip(few) {
            // SAFETY: sixteen numbers of this few row.
            *x = unsafe { _mm512_loadu_ps(few.wrapping_add(at)) };
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            let from = row.wrapping_add(at);
            // SAFETY: sixteen numbers of this row. The next tile's rows follow these; a prefetch never faults.
            let stored = unsafe {
                if COUNT <= 4 {
                    _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(next).cast());
                }
                T::load(from, !0)
            };
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = _mm512_fmadd_ps(stored, x, *sum);
            }
        }
    }
    let done = k / LANES * LANES;
    if done < k {
        let mask = ((1u32 << (k - done)) - 1) as __mmask16;
        for (sums, row) in sums.iter_mut().zip(rows) {
            for (sum, few) in sums.iter_mut().zip(few) {
                // SAFETY: masked lanes are not read; the others are the rests of this row and few row.
                *sum = unsafe {
                    let x = _mm512_maskz_loadu_ps(mask, few.wrapping_add(done));
                    _mm512_fmadd_ps(T::load(row.wrapping_add(done), mask), x, *sum)
                };
            }
        }
    }
    let mut totals = [[0.0; COUNT]; ROWS];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = _mm512_reduce_add_ps(sum);
        }
    }
    totals
}
