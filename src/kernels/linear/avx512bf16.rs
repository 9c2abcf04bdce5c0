//! Decoding with bf16 weights on AVX-512-BF16: f32 activations in three bf16 numbers, 8 bits of the 24 in each.
//!
//! x = high + middle + low exactly (but for numbers below 2⁻¹¹⁰, whose last bits are flushed). Products of bf16 numbers
//! are exact in f32, so three `vdpbf16ps` of 32 terms do what two widenings, two shifts and two multiply-adds of 16 did,
//! with the same precision. Each result is one sum in an order fixed by the length.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use half::bf16;

/// Terms of a step: a vector of bf16.
const STEP: usize = 32;

/// Stored rows of a tile.
const ROWS: usize = 8;

/// How many numbers ahead W is asked for at least: 16 KiB. Eight rows of 256 take less time than memory does to answer.
const AHEAD: usize = 8192;

/// Whether the processor has what the functions below are compiled for.
pub(super) fn available() -> bool {
    crate::kernels::simd::level() == crate::kernels::simd::Level::Avx512 && is_x86_feature_detected!("avx512bf16")
}

/// Rows of f32 in three parts each.
pub(super) struct Thirds {
    /// Per row and step: high, middle and low parts of thirty-two numbers, zeros past the end.
    parts: Vec<[[bf16; STEP]; 3]>,
    k: usize,
    steps: usize,
}

impl Thirds {
    /// `small` [r, k].
    pub fn new(small: &[f32], k: usize) -> Self {
        let steps = k.div_ceil(STEP);
        let mut parts = vec![[[bf16::ZERO; STEP]; 3]; small.len() / k * steps];
        for (row, parts) in small.chunks_exact(k).zip(parts.chunks_exact_mut(steps)) {
            for (x, [high, middle, low]) in row.chunks(STEP).zip(parts) {
                for (((x, high), middle), low) in x.iter().zip(high).zip(middle).zip(low) {
                    // Cut, not rounded: what is left over is exact and as small.
                    let top = |x: f32| bf16::from_bits((x.to_bits() >> 16) as u16);
                    *high = top(*x);
                    let rest = x - high.to_f32();
                    *middle = top(rest);
                    *low = top(rest - middle.to_f32());
                }
            }
        }
        Self { parts, k, steps }
    }

    fn rows(&self) -> usize {
        self.parts.len() / self.steps
    }
}

/// w [n, k], thirds of [r, k] → out [n, r].
pub(super) fn products(w: &[bf16], thirds: &Thirds, out: &mut [f32]) {
    let (k, r) = (thirds.k, thirds.rows());
    assert!(available() && w.len().is_multiple_of(k) && out.len() == w.len() / k * r, "split rows: lengths");
    let mut first = 0;
    while first < r {
        // SAFETY: the features were found; few rows first.. and all stored rows are there.
        first += unsafe {
            match r - first {
                1 => rows::<1>(w, thirds, first, out),
                2 => rows::<2>(w, thirds, first, out),
                _ => rows::<3>(w, thirds, first, out),
            }
        };
    }
}

/// All rows of w by `COUNT` few rows from `first`.
///
/// # Safety
/// AVX-512 F, BW, VL and BF16 must be there, and the rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn rows<const COUNT: usize>(w: &[bf16], thirds: &Thirds, first: usize, out: &mut [f32]) -> usize {
    let (k, r) = (thirds.k, thirds.rows());
    let whole = w.len() / k / ROWS * ROWS;
    for row in (0..whole).step_by(ROWS) {
        // SAFETY: ROWS rows from `row`.
        let sums = unsafe { tile::<ROWS, COUNT>(w[row * k..].as_ptr(), thirds, first) };
        for (i, sums) in sums.iter().enumerate() {
            out[(row + i) * r + first..][..COUNT].copy_from_slice(sums);
        }
    }
    for row in whole..w.len() / k {
        // SAFETY: one row.
        let [sums] = unsafe { tile::<1, COUNT>(w[row * k..].as_ptr(), thirds, first) };
        out[row * r + first..][..COUNT].copy_from_slice(&sums);
    }
    COUNT
}

/// # Safety
/// `w` must be readable for `TILE` rows of k, `thirds` hold rows first..first + COUNT.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn tile<const TILE: usize, const COUNT: usize>(
    w: *const bf16,
    thirds: &Thirds,
    first: usize,
) -> [[f32; COUNT]; TILE] {
    let (k, steps) = (thirds.k, thirds.steps);
    let rows: [*const bf16; TILE] = std::array::from_fn(|i| w.wrapping_add(i * k));
    let parts: [*const [[bf16; STEP]; 3]; COUNT] =
        std::array::from_fn(|j| thirds.parts.as_ptr().wrapping_add((first + j) * steps));
    let next = (TILE * k).max(AHEAD);
    let mut sums = [[_mm512_setzero_ps(); COUNT]; TILE];
    for step in 0..steps {
        let at = step * STEP;
        let rest = k - at;
        let mask = if rest >= STEP { !0 } else { (1u32 << rest) - 1 };
        let mut x = [[_mm512_setzero_si512(); 3]; COUNT];
        for (x, parts) in x.iter_mut().zip(parts) {
            for (third, x) in x.iter_mut().enumerate() {
                // SAFETY: one part of this step.
                *x = unsafe { _mm512_loadu_si512(parts.wrapping_add(step).cast::<[bf16; STEP]>().add(third).cast()) };
            }
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            let from = row.wrapping_add(at);
            // SAFETY: masked lanes are not read, the others are numbers of this row; later tiles' rows follow these,
            // and a prefetch never faults. Both kinds of vector are 512 bits of plain numbers.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(next).cast());
                let stored = std::mem::transmute::<__m512i, __m512bh>(_mm512_maskz_loadu_epi16(mask, from.cast()));
                for (sum, x) in sums.iter_mut().zip(x) {
                    for x in x {
                        *sum = _mm512_dpbf16_ps(*sum, stored, std::mem::transmute::<__m512i, __m512bh>(x));
                    }
                }
            }
        }
    }
    let mut totals = [[0.0; COUNT]; TILE];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = _mm512_reduce_add_ps(sum);
        }
    }
    totals
}
