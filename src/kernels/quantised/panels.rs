//! Decoding of panels in AVX-512, for the tiles of the larger products; a vector's lanes are the rows of a strip.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::avx512::{byte, unpack};
use super::{Panel, STRIP, nf4, q4_k, q8_0};
use crate::kernels::simd::{Level, level};

/// Whether the functions below run here.
pub(super) fn available() -> bool {
    level() == Level::Avx512
}

/// A block of Q8_0 in f32.
pub(super) fn q8_0(block: &[u8], into: &mut Panel) {
    assert!(block.len() == q8_0::BYTES && available());
    // SAFETY: the features were found, the length agrees.
    unsafe { q8_0_avx512(block, into) }
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q8_0_avx512(block: &[u8], into: &mut Panel) {
    let sign = _mm512_set1_epi8(i8::MIN);
    // SAFETY: thirty-two bytes of scales, eight vectors of codes, thirty-two vectors of the panel.
    unsafe {
        let d = _mm512_cvtph_ps(_mm256_loadu_si256(block.as_ptr().cast()));
        for (four, columns) in into.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let at = block.as_ptr().wrapping_add(q8_0::SCALES + four * 64);
            // The offset of 128 away: bytes with a sign.
            let q = _mm512_xor_si512(_mm512_loadu_si512(at.cast()), sign);
            let shifted = [_mm512_slli_epi32::<24>(q), _mm512_slli_epi32::<16>(q), _mm512_slli_epi32::<8>(q), q];
            for (column, shifted) in columns.iter_mut().zip(shifted) {
                let q = _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(shifted));
                _mm512_storeu_ps(column.as_mut_ptr(), _mm512_mul_ps(q, d));
            }
        }
    }
}

/// Block `index` of a super-block of Q4_K in f32.
pub(super) fn q4_k(block: &[u8], index: usize, into: &mut Panel) {
    assert!(block.len() == q4_k::BYTES && index < 8 && available());
    // SAFETY: the features were found, the length agrees.
    unsafe { q4_k_avx512(block, index, into) }
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q4_k_avx512(block: &[u8], index: usize, into: &mut Panel) {
    // SAFETY: all loads lie inside the block's bytes as `q4_k` lays them out; thirty-two vectors of the panel.
    unsafe {
        let at = block.as_ptr();
        let half = |offset: usize| _mm512_cvtph_ps(_mm256_loadu_si256(at.wrapping_add(offset).cast()));
        let (sc, m) = unpack(at.wrapping_add(q4_k::PACKED));
        let shift = _mm_cvtsi32_si128((index % 4 * 8) as i32);
        let scale = _mm512_mul_ps(half(0), byte(sc[index / 4], shift));
        let minimum = _mm512_mul_ps(half(q4_k::MINIMA), byte(m[index / 4], shift));
        let nibble = _mm_cvtsi32_si128((index % 2 * 4) as i32);
        let low = _mm512_set1_epi32(15);
        let codes = at.wrapping_add(q4_k::CODES + index / 2 * q4_k::PAIR);
        for (four, columns) in into.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let words = _mm512_srl_epi32(_mm512_loadu_si512(codes.wrapping_add(four * 64).cast()), nibble);
            let shifted =
                [words, _mm512_srli_epi32::<8>(words), _mm512_srli_epi32::<16>(words), _mm512_srli_epi32::<24>(words)];
            for (column, shifted) in columns.iter_mut().zip(shifted) {
                let q = _mm512_cvtepi32_ps(_mm512_and_si512(shifted, low));
                // Not fused, as the plain form has it.
                _mm512_storeu_ps(column.as_mut_ptr(), _mm512_sub_ps(_mm512_mul_ps(scale, q), minimum));
            }
        }
    }
}

/// 32 columns of NF4 codes in f32.
pub(super) fn nf4(codes: &[u8], scales: &[f32; STRIP], into: &mut Panel) {
    assert!(codes.len() == nf4::BYTES / 2 && available());
    // SAFETY: the feature was found, the length agrees.
    unsafe { nf4_avx512(codes, scales, into) }
}

#[target_feature(enable = "avx512f")]
unsafe fn nf4_avx512(codes: &[u8], scales: &[f32; STRIP], into: &mut Panel) {
    // SAFETY: four vectors of codes, sixteen levels and scales, thirty-two vectors of the panel.
    unsafe {
        let (levels, scales) = (_mm512_loadu_ps(nf4::LEVELS.as_ptr()), _mm512_loadu_ps(scales.as_ptr()));
        for (eight, columns) in into.chunks_exact_mut(8).enumerate() {
            let mut codes = _mm512_loadu_si512(codes.as_ptr().wrapping_add(eight * 64).cast());
            for column in columns {
                _mm512_storeu_ps(column.as_mut_ptr(), _mm512_mul_ps(_mm512_permutexvar_ps(codes, levels), scales));
                codes = _mm512_srli_epi32::<4>(codes);
            }
        }
    }
}
