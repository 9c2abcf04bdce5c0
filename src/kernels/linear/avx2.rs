//! The AVX2 form of [`super::few`]: register tiles of stored rows × few rows, lanes along the sum.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use half::bf16;

use crate::kernels::simd::{Level, level};

/// Numbers of one step: two vectors, whose sums hide the latency of the multiply-adds.
const STEP: usize = 16;

/// Bytes ahead of which the stored rows are asked for: they come from memory once.
const AHEAD: usize = 1 << 13;

/// Floats from a stored row.
trait Stored: Copy {
    /// Eight numbers from `at` in f32.
    ///
    /// # Safety
    /// AVX2 must be there and the numbers readable.
    unsafe fn load(at: *const Self) -> __m256;

    /// One number.
    fn wide(self) -> f32;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Stored for bf16 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            let narrow = _mm_loadu_si128(at.cast());
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(narrow)))
        }
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
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
    assert!(level() != Level::Baseline, "few rows: processor");
    assert!(w.is_multiple_of(k) && few.is_multiple_of(k) && out == w / k * (few / k), "few rows: lengths");
}

#[target_feature(enable = "avx2,fma")]
unsafe fn products<T: Stored>(w: &[T], few: &[f32], k: usize, out: &mut [f32]) {
    let r = few.len() / k;
    let mut first = 0;
    while first < r {
        let count = (r - first).min(2);
        let few = &few[first * k..(first + count) * k];
        // SAFETY: the caller's; columns first..first + count of out's rows of r.
        unsafe {
            match count {
                1 => rows::<T, 4, 1>(w, few, k, out, (first, r)),
                _ => rows::<T, 3, 2>(w, few, k, out, (first, r)),
            }
        }
        first += count;
    }
}

/// All rows of w, `ROWS` at once and the last ones singly, by `COUNT` few rows.
#[target_feature(enable = "avx2,fma")]
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
        let sums = unsafe { tile::<T, ROWS, COUNT>(&w[row * k..(row + ROWS) * k], few, k) };
        for (i, sums) in sums.iter().enumerate() {
            out[(row + i) * r + first..][..COUNT].copy_from_slice(sums);
        }
    }
    for row in whole..w.len() / k {
        // SAFETY: one row.
        let [sums] = unsafe { tile::<T, 1, COUNT>(&w[row * k..(row + 1) * k], few, k) };
        out[row * r + first..][..COUNT].copy_from_slice(&sums);
    }
}

/// # Safety
/// `w` must hold `ROWS` rows of k, `few` `COUNT`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<T: Stored, const ROWS: usize, const COUNT: usize>(
    w: &[T],
    few: &[f32],
    k: usize,
) -> [[f32; COUNT]; ROWS] {
    let few_rows: [*const f32; COUNT] = std::array::from_fn(|j| few.as_ptr().wrapping_add(j * k));
    let rows: [*const T; ROWS] = std::array::from_fn(|i| w.as_ptr().wrapping_add(i * k));
    let (mut even, mut odd) = ([[_mm256_setzero_ps(); COUNT]; ROWS], [[_mm256_setzero_ps(); COUNT]; ROWS]);
    let done = k / STEP * STEP;
    for step in 0..k / STEP {
        let at = step.wrapping_mul(STEP);
        let (mut x, mut y) = ([_mm256_setzero_ps(); COUNT], [_mm256_setzero_ps(); COUNT]);
        for j in 0..COUNT {
            let few = few_rows[j].wrapping_add(at);
            // SAFETY: sixteen numbers of this few row.
            (x[j], y[j]) = unsafe { (_mm256_loadu_ps(few), _mm256_loadu_ps(few.wrapping_add(STEP / 2))) };
        }
        for i in 0..ROWS {
            let from = rows[i].wrapping_add(at);
            // SAFETY: sixteen numbers of this row. What is asked for ahead belongs to later tiles; that never faults.
            let (a, b) = unsafe {
                _mm_prefetch::<_MM_HINT_T0>(from.cast::<i8>().wrapping_add(AHEAD));
                (T::load(from), T::load(from.wrapping_add(STEP / 2)))
            };
            for j in 0..COUNT {
                even[i][j] = _mm256_fmadd_ps(a, x[j], even[i][j]);
                odd[i][j] = _mm256_fmadd_ps(b, y[j], odd[i][j]);
            }
        }
    }
    let mut totals = [[0.0; COUNT]; ROWS];
    for i in 0..ROWS {
        for j in 0..COUNT {
            let rest = w[i * k + done..(i + 1) * k].iter().zip(&few[j * k + done..(j + 1) * k]);
            let sum = lanes(_mm256_add_ps(even[i][j], odd[i][j]));
            totals[i][j] = rest.fold(sum, |total, (w, x)| w.wide().mul_add(*x, total));
        }
    }
    totals
}

/// The sum of the lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn lanes(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
}
