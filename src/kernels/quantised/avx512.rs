//! Products of quantised strips in AVX-512; a vector's lanes are the sixteen rows of a strip.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::digits::Block;
use super::{PANEL, STRIP, nf4, q4_k, q8_0};

/// Whether the integer products below run here.
pub(super) fn has_vnni() -> bool {
    use crate::kernels::simd::{Level, level};
    level() == Level::Avx512 && is_x86_feature_detected!("avx512vnni")
}

/// The sums of one strip with `COUNT` rows of activations.
pub(super) type Sums<const COUNT: usize> = [[f32; STRIP]; COUNT];

/// Blocks ahead of which a strip is asked for: it comes from memory once.
const AHEAD: usize = 1024;

/// A Q8_0 strip times rows of activations, each `blocks` blocks of digits.
pub(super) fn q8_0<const COUNT: usize>(strip: &[u8], x: [&[Block]; COUNT]) -> Sums<COUNT> {
    let blocks = strip.len() / q8_0::BYTES;
    assert!(has_vnni() && x.iter().all(|x| x.len() == blocks) && strip.len().is_multiple_of(q8_0::BYTES));
    // SAFETY: the features were found, the lengths agree.
    unsafe { q8_0_strip(strip, x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")]
unsafe fn q8_0_strip<const COUNT: usize>(strip: &[u8], x: [&[Block]; COUNT]) -> Sums<COUNT> {
    let mut totals = [_mm512_setzero_ps(); COUNT];
    for (index, block) in strip.chunks_exact(q8_0::BYTES).enumerate() {
        // SAFETY: thirty-two bytes of scales, then eight vectors of codes; digits are read in words of four.
        unsafe {
            let d = _mm512_cvtph_ps(_mm256_loadu_si256(block.as_ptr().cast()));
            let codes = block.as_ptr().wrapping_add(q8_0::SCALES);
            let mut sums = [[_mm512_setzero_si512(); 3]; COUNT];
            for (sums, x) in sums.iter_mut().zip(x) {
                // Codes are q + OFFSET: the sums begin at what that adds.
                *sums = x[index].sums.map(|sum| _mm512_set1_epi32(-q8_0::OFFSET * sum));
            }
            for four in 0..PANEL / 4 {
                let at = codes.wrapping_add(four * 64);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                let w = _mm512_loadu_si512(at.cast());
                for (sums, x) in sums.iter_mut().zip(x) {
                    accumulate(sums, w, &x[index], four);
                }
            }
            for ((total, sums), x) in totals.iter_mut().zip(sums).zip(x) {
                let scale = _mm512_mul_ps(d, _mm512_set1_ps(x[index].scale));
                *total = _mm512_fmadd_ps(whole(sums), scale, *total);
            }
        }
    }
    store(totals)
}

/// A Q4_K strip times rows of activations.
pub(super) fn q4_k<const COUNT: usize>(strip: &[u8], x: [&[Block]; COUNT]) -> Sums<COUNT> {
    let blocks = strip.len() / q4_k::BYTES;
    assert!(has_vnni() && x.iter().all(|x| x.len() == 8 * blocks) && strip.len().is_multiple_of(q4_k::BYTES));
    // SAFETY: the features were found, the lengths agree.
    unsafe { q4_k_strip(strip, x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")]
unsafe fn q4_k_strip<const COUNT: usize>(strip: &[u8], x: [&[Block]; COUNT]) -> Sums<COUNT> {
    let mut totals = [_mm512_setzero_ps(); COUNT];
    let low = _mm512_set1_epi8(15);
    for (index, block) in strip.chunks_exact(q4_k::BYTES).enumerate() {
        // SAFETY: all loads lie inside the block's bytes as `q4_k` lays them out.
        unsafe {
            let at = block.as_ptr();
            let d = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
            let dmin = _mm512_cvtph_ps(_mm256_loadu_si256(at.wrapping_add(q4_k::MINIMA).cast()));
            let (sc, m) = unpack(at.wrapping_add(q4_k::PACKED));
            for pair in 0..4 {
                let codes = at.wrapping_add(q4_k::CODES + pair * q4_k::PAIR);
                let x = x.map(|x| [&x[8 * index + 2 * pair], &x[8 * index + 2 * pair + 1]]);
                let mut sums = [[[_mm512_setzero_si512(); 3]; 2]; COUNT];
                for four in 0..PANEL / 4 {
                    let at = codes.wrapping_add(four * 64);
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                    let both = _mm512_loadu_si512(at.cast());
                    let first = _mm512_and_si512(both, low);
                    let second = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
                    for (sums, x) in sums.iter_mut().zip(x) {
                        accumulate(&mut sums[0], first, x[0], four);
                        accumulate(&mut sums[1], second, x[1], four);
                    }
                }
                for half in 0..2 {
                    let shift = _mm_cvtsi32_si128((pair % 2 * 16 + half * 8) as i32);
                    let scale = _mm512_mul_ps(d, byte(sc[pair / 2], shift));
                    let minimum = _mm512_mul_ps(dmin, byte(m[pair / 2], shift));
                    for ((total, sums), x) in totals.iter_mut().zip(&sums).zip(x) {
                        let own = _mm512_mul_ps(scale, _mm512_set1_ps(x[half].scale));
                        *total = _mm512_fmadd_ps(whole(sums[half]), own, *total);
                        *total = _mm512_fnmadd_ps(minimum, _mm512_set1_ps(x[half].sum), *total);
                    }
                }
            }
        }
    }
    store(totals)
}

/// A byte of every word in f32.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn byte(words: __m512i, shift: __m128i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(words, shift), _mm512_set1_epi32(255)))
}

/// The packed scales and minima of sixteen rows → of blocks 0..4 and 4..8, a byte each.
///
/// # Safety
/// 192 bytes must be readable.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) unsafe fn unpack(at: *const u8) -> ([__m512i; 2], [__m512i; 2]) {
    let word = |i: usize| {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(at.wrapping_add(i * 64).cast()) }
    };
    let (w0, w1, w2) = (word(0), word(1), word(2));
    let (six, four) = (_mm512_set1_epi32(0x3f3f_3f3f), _mm512_set1_epi32(0x0f0f_0f0f));
    let two = _mm512_set1_epi32(0x3030_3030);
    // Bits 6 and 7 of a byte go to its bits 4 and 5.
    let high = |w: __m512i| _mm512_and_si512(_mm512_srli_epi32::<2>(w), two);
    let sc = _mm512_or_si512(_mm512_and_si512(w2, four), high(w0));
    let m = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32::<4>(w2), four), high(w1));
    ([_mm512_and_si512(w0, six), sc], [_mm512_and_si512(w1, six), m])
}

/// An NF4 strip times rows of activations, each of all columns; `scales` has the magnitudes of each block.
pub(super) fn nf4<const COUNT: usize>(strip: &[u8], scales: &[[f32; STRIP]], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    assert!(has_vnni() && scales.len() * nf4::BYTES == strip.len());
    assert!(x.iter().all(|x| x.len() == scales.len() * nf4::BLOCK));
    // SAFETY: the features were found, the lengths agree.
    unsafe { nf4_strip(strip, scales, x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn nf4_strip<const COUNT: usize>(strip: &[u8], scales: &[[f32; STRIP]], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    let mut totals = [_mm512_setzero_ps(); COUNT];
    // SAFETY: sixteen levels; per block sixteen scales, eight vectors of codes and sixty-four activations.
    unsafe {
        let levels = _mm512_loadu_ps(nf4::LEVELS.as_ptr());
        for (index, (block, scales)) in strip.chunks_exact(nf4::BYTES).zip(scales).enumerate() {
            let x = x.map(|x| x[index * nf4::BLOCK..][..nf4::BLOCK].as_ptr());
            // Four sums a row hide the latency of the multiply-adds.
            let mut sums = [[_mm512_setzero_ps(); 4]; COUNT];
            for eight in 0..nf4::BLOCK / 8 {
                let at = block.as_ptr().wrapping_add(eight * 64);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                let codes = _mm512_loadu_si512(at.cast());
                // The lowest four bits of an index count.
                let codes = [
                    codes,
                    _mm512_srli_epi32::<4>(codes),
                    _mm512_srli_epi32::<8>(codes),
                    _mm512_srli_epi32::<12>(codes),
                    _mm512_srli_epi32::<16>(codes),
                    _mm512_srli_epi32::<20>(codes),
                    _mm512_srli_epi32::<24>(codes),
                    _mm512_srli_epi32::<28>(codes),
                ];
                for (i, codes) in codes.into_iter().enumerate() {
                    let w = _mm512_permutexvar_ps(codes, levels);
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let x = _mm512_set1_ps(x.wrapping_add(eight * 8 + i).read());
                        sums[i % 4] = _mm512_fmadd_ps(w, x, sums[i % 4]);
                    }
                }
            }
            let scales = _mm512_loadu_ps(scales.as_ptr());
            for (total, sums) in totals.iter_mut().zip(sums) {
                let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
                *total = _mm512_fmadd_ps(sum, scales, *total);
            }
        }
    }
    store(totals)
}

/// The magnitudes of all blocks of a strip: [`nf4::Scales::of`] for each.
pub(super) fn nf4_scales(scales: &nf4::Scales<'_>, strip: usize) -> Vec<[f32; STRIP]> {
    assert!(has_vnni());
    let (codes, groups, mean, map) = scales.parts(strip);
    let blocks = codes.len() / STRIP;
    // SAFETY: the features were found; `Scales` holds sixteen codes a block and at least one group.
    unsafe { nf4_scales_avx512((codes, groups, mean, map), strip * STRIP * blocks, blocks) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn nf4_scales_avx512(
    (codes, groups, mean, map): (&[u8], &[u8], f32, &[f32; 256]),
    first: usize,
    blocks: usize,
) -> Vec<[f32; STRIP]> {
    let last = _mm512_set1_epi32((groups.len() / 4 - 1) as i32);
    // Block 0 of the sixteen rows; rows follow one another by `blocks`.
    let rows: [i32; STRIP] = std::array::from_fn(|row| (first + row * blocks) as i32);
    let mut all = vec![[0.0; STRIP]; blocks];
    // SAFETY: sixteen rows; sixteen codes a block, all below 256; groups are clamped to the last one.
    unsafe {
        let rows = _mm512_loadu_si512(rows.as_ptr().cast());
        for (block, (into, codes)) in all.iter_mut().zip(codes.chunks_exact(STRIP)).enumerate() {
            let group = _mm512_srli_epi32::<8>(_mm512_add_epi32(rows, _mm512_set1_epi32(block as i32)));
            let largest = _mm512_i32gather_ps::<4>(_mm512_min_epi32(group, last), groups.as_ptr().cast());
            let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            let level = _mm512_i32gather_ps::<4>(codes, map.as_ptr().cast());
            // Not fused, as the plain form has it.
            let scale = _mm512_add_ps(_mm512_mul_ps(largest, level), _mm512_set1_ps(mean));
            _mm512_storeu_ps(into.as_mut_ptr(), scale);
        }
    }
    all
}

/// sums += codes of four columns · the digits of their activations.
///
/// # Safety
/// AVX-512-VNNI must be there.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
unsafe fn accumulate(sums: &mut [__m512i; 3], codes: __m512i, x: &Block, four: usize) {
    for (sum, digits) in sums.iter_mut().zip(&x.digits) {
        let four: [i8; 4] = digits.as_chunks::<4>().0[four];
        *sum = _mm512_dpbusd_epi32(*sum, codes, _mm512_set1_epi32(i32::from_le_bytes(four.map(|d| d as u8))));
    }
}

/// 65536·h + 256·m + l in f32.
#[target_feature(enable = "avx512f")]
#[inline]
fn whole([high, middle, low]: [__m512i; 3]) -> __m512 {
    let low = _mm512_fmadd_ps(_mm512_cvtepi32_ps(middle), _mm512_set1_ps(256.0), _mm512_cvtepi32_ps(low));
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), _mm512_set1_ps(65536.0), low)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store<const COUNT: usize>(totals: [__m512; COUNT]) -> Sums<COUNT> {
    totals.map(|total| {
        let mut lanes = [0.0; STRIP];
        // SAFETY: sixteen lanes.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), total) };
        lanes
    })
}
