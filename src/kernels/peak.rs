//! What a core can do at most, measured with loops that touch registers only: the yardstick of the benches.
//!
//! They exist for AVX-512 only: left to the compiler's vectoriser such a loop reaches a fiftieth of the peak.

/// Vectors of sums: enough to hide the latency of a multiply-add.
const SUMS: usize = 16;

/// Operations (a multiplication or an addition) of one round of [`f32_rounds`].
pub const F32_OPERATIONS: usize = SUMS * 16 * 2;

/// Operations of one round of [`bf16_rounds`].
pub const BF16_OPERATIONS: usize = SUMS * 16 * 4;

/// Runs `rounds` of f32 multiply-adds s ← s + factor² in every lane and returns the sum; none without AVX-512.
pub fn f32_rounds(rounds: usize, factor: f32) -> Option<f32> {
    #[cfg(target_arch = "x86_64")]
    if super::simd::level() == super::simd::Level::Avx512 {
        // SAFETY: the features were detected.
        #[expect(unsafe_code, reason = "calling a function compiled for detected features")]
        return Some(unsafe { avx512::f32_loop(rounds, factor) });
    }
    let _ = (rounds, factor);
    None
}

/// Runs `rounds` of bf16 dot products s ← s + 2·factor² in every lane and returns the sum; none without AVX-512-BF16.
pub fn bf16_rounds(rounds: usize, factor: f32) -> Option<f32> {
    #[cfg(target_arch = "x86_64")]
    if super::gemm::bf16::available() {
        // SAFETY: the features were detected.
        #[expect(unsafe_code, reason = "calling a function compiled for detected features")]
        return Some(unsafe { avx512::bf16_loop(rounds, factor) });
    }
    let _ = (rounds, factor);
    None
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::SUMS;

    #[target_feature(enable = "avx512f")]
    pub(super) fn f32_loop(rounds: usize, factor: f32) -> f32 {
        let factors = _mm512_set1_ps(factor);
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(factors, factors, *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn bf16_loop(rounds: usize, factor: f32) -> f32 {
        let factors = _mm512_cvtne2ps_pbh(_mm512_set1_ps(factor), _mm512_set1_ps(factor));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, factors, factors);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f")]
    fn total(sums: [__m512; SUMS]) -> f32 {
        let mut total = 0.0;
        for sum in sums {
            total += _mm512_reduce_add_ps(sum);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loops_compute() {
        let lanes = 256.0;
        assert!(f32_rounds(4, 0.5).is_none_or(|sum| sum == 4.0 * 0.25 * lanes));
        assert!(bf16_rounds(4, 0.5).is_none_or(|sum| sum == 4.0 * 0.5 * lanes));
    }
}
