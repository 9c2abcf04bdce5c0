//! Products of quantised strips in AVX2: codes become f32 in registers; two vectors' lanes are the sixteen rows of a strip.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::{PANEL, Panel, STRIP, nf4, q4_k, q8_0};

/// Whether the functions below run here.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// The sums of one strip with `COUNT` rows of activations.
type Sums<const COUNT: usize> = [[f32; STRIP]; COUNT];

/// The two halves of a strip's rows.
type Halves = [__m256; 2];

/// Bytes ahead of which a strip is asked for: it comes from memory once.
const AHEAD: usize = 1024;

/// A block's sums: two for each half, which hide the latency of the multiply-adds.
type Partial = [[__m256; 2]; 2];

/// A Q8_0 strip times rows of activations.
pub(super) fn q8_0<const COUNT: usize>(strip: &[u8], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    let blocks = strip.len() / q8_0::BYTES;
    assert!(available() && strip.len().is_multiple_of(q8_0::BYTES));
    assert!(x.iter().all(|x| x.len() == blocks * q8_0::BLOCK));
    // SAFETY: the features were found, the lengths agree.
    unsafe { q8_0_strip(strip, x) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q8_0_strip<const COUNT: usize>(strip: &[u8], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    let mut totals = [[_mm256_setzero_ps(); 2]; COUNT];
    let sign = _mm256_set1_epi8(i8::MIN);
    for (index, block) in strip.chunks_exact(q8_0::BYTES).enumerate() {
        // SAFETY: thirty-two bytes of scales, sixteen vectors of codes, thirty-two activations.
        unsafe {
            let at = block.as_ptr();
            let d = halves(at);
            let x = x.map(|x| x.as_ptr().wrapping_add(index * q8_0::BLOCK));
            let mut sums = [[[_mm256_setzero_ps(); 2]; 2]; COUNT];
            for four in 0..PANEL / 4 {
                let codes = at.wrapping_add(q8_0::SCALES + four * 64);
                _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(AHEAD).cast());
                for half in 0..2 {
                    // The offset of 128 away: bytes with a sign.
                    let q = _mm256_xor_si256(load(codes.wrapping_add(half * 32)), sign);
                    let shifted =
                        [_mm256_slli_epi32::<24>(q), _mm256_slli_epi32::<16>(q), _mm256_slli_epi32::<8>(q), q];
                    for (i, shifted) in shifted.iter().enumerate() {
                        let q = _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(*shifted));
                        add(&mut sums, half, four * 4 + i, q, &x);
                    }
                }
            }
            for (total, sums) in totals.iter_mut().zip(&sums) {
                for half in 0..2 {
                    total[half] = _mm256_fmadd_ps(whole(sums[half]), d[half], total[half]);
                }
            }
        }
    }
    store(totals)
}

/// A Q4_K strip times rows of activations, each with the sums of its panels.
pub(super) fn q4_k<const COUNT: usize>(strip: &[u8], x: [(&[f32], &[f32]); COUNT]) -> Sums<COUNT> {
    let blocks = strip.len() / q4_k::BYTES;
    assert!(available() && strip.len().is_multiple_of(q4_k::BYTES));
    assert!(x.iter().all(|(x, sums)| x.len() == blocks * q4_k::BLOCK && sums.len() == x.len() / PANEL));
    // SAFETY: the features were found, the lengths agree.
    unsafe { q4_k_strip(strip, x) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_k_strip<const COUNT: usize>(strip: &[u8], x: [(&[f32], &[f32]); COUNT]) -> Sums<COUNT> {
    let mut totals = [[_mm256_setzero_ps(); 2]; COUNT];
    let low = _mm256_set1_epi32(15);
    for (index, block) in strip.chunks_exact(q4_k::BYTES).enumerate() {
        // SAFETY: all loads lie inside the block's bytes as `q4_k` lays them out, and inside 256 activations.
        unsafe {
            let at = block.as_ptr();
            let (d, dmin) = (halves(at), halves(at.wrapping_add(q4_k::MINIMA)));
            let packed = [unpack(at.wrapping_add(q4_k::PACKED)), unpack(at.wrapping_add(q4_k::PACKED + 32))];
            for panel in 0..8 {
                let codes = at.wrapping_add(q4_k::CODES + panel / 2 * q4_k::PAIR);
                let nibble = _mm_cvtsi32_si128((panel % 2 * 4) as i32);
                let first = index * q4_k::BLOCK + panel * PANEL;
                let activations = x.map(|(x, _)| x.as_ptr().wrapping_add(first));
                let mut sums = [[[_mm256_setzero_ps(); 2]; 2]; COUNT];
                for four in 0..PANEL / 4 {
                    let codes = codes.wrapping_add(four * 64);
                    _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(AHEAD).cast());
                    for half in 0..2 {
                        let words = _mm256_srl_epi32(load(codes.wrapping_add(half * 32)), nibble);
                        let shifted = [
                            words,
                            _mm256_srli_epi32::<8>(words),
                            _mm256_srli_epi32::<16>(words),
                            _mm256_srli_epi32::<24>(words),
                        ];
                        for (i, shifted) in shifted.iter().enumerate() {
                            let q = _mm256_cvtepi32_ps(_mm256_and_si256(*shifted, low));
                            add(&mut sums, half, four * 4 + i, q, &activations);
                        }
                    }
                }
                let shift = _mm_cvtsi32_si128((panel % 4 * 8) as i32);
                for half in 0..2 {
                    let (sc, m) = packed[half];
                    let scale = _mm256_mul_ps(d[half], byte(sc[panel / 4], shift));
                    let minimum = _mm256_mul_ps(dmin[half], byte(m[panel / 4], shift));
                    for ((total, sums), (_, of_x)) in totals.iter_mut().zip(&sums).zip(&x) {
                        let x = _mm256_set1_ps(of_x[first / PANEL]);
                        total[half] = _mm256_fmadd_ps(whole(sums[half]), scale, total[half]);
                        total[half] = _mm256_fnmadd_ps(minimum, x, total[half]);
                    }
                }
            }
        }
    }
    store(totals)
}

/// An NF4 strip times rows of activations; `scales` has the magnitudes of each block.
pub(super) fn nf4<const COUNT: usize>(strip: &[u8], scales: &[[f32; STRIP]], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    assert!(available() && scales.len() * nf4::BYTES == strip.len());
    assert!(x.iter().all(|x| x.len() == scales.len() * nf4::BLOCK));
    // SAFETY: the features were found, the lengths agree.
    unsafe { nf4_strip(strip, scales, x) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nf4_strip<const COUNT: usize>(strip: &[u8], scales: &[[f32; STRIP]], x: [&[f32]; COUNT]) -> Sums<COUNT> {
    let mut totals = [[_mm256_setzero_ps(); 2]; COUNT];
    // SAFETY: sixteen levels; per block sixteen scales, sixteen vectors of codes and sixty-four activations.
    unsafe {
        let levels = [_mm256_loadu_ps(nf4::LEVELS.as_ptr()), _mm256_loadu_ps(nf4::LEVELS.as_ptr().wrapping_add(8))];
        for (index, (block, scales)) in strip.chunks_exact(nf4::BYTES).zip(scales).enumerate() {
            let x = x.map(|x| x.as_ptr().wrapping_add(index * nf4::BLOCK));
            let mut sums = [[[_mm256_setzero_ps(); 2]; 2]; COUNT];
            for eight in 0..nf4::BLOCK / 8 {
                let at = block.as_ptr().wrapping_add(eight * 64);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                for half in 0..2 {
                    let mut codes = load(at.wrapping_add(half * 32));
                    for i in 0..8 {
                        // The lowest three bits choose among eight levels, the fourth between the halves.
                        add(&mut sums, half, eight * 8 + i, nf4_levels(levels, codes), &x);
                        codes = _mm256_srli_epi32::<4>(codes);
                    }
                }
            }
            for (total, sums) in totals.iter_mut().zip(&sums) {
                for half in 0..2 {
                    let scales = _mm256_loadu_ps(scales.as_ptr().wrapping_add(half * 8));
                    total[half] = _mm256_fmadd_ps(whole(sums[half]), scales, total[half]);
                }
            }
        }
    }
    store(totals)
}

/// sums += weights of one column and half · its activations.
///
/// # Safety
/// `x` must be readable at `column`.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn add<const COUNT: usize>(
    sums: &mut [Partial; COUNT],
    half: usize,
    column: usize,
    w: __m256,
    x: &[*const f32; COUNT],
) {
    for (sums, x) in sums.iter_mut().zip(x) {
        // SAFETY: the caller's.
        let x = _mm256_set1_ps(unsafe { x.wrapping_add(column).read() });
        sums[half][column % 2] = _mm256_fmadd_ps(w, x, sums[half][column % 2]);
    }
}

/// # Safety
/// Thirty-two bytes must be readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(at: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// Sixteen f16 in f32.
///
/// # Safety
/// Thirty-two bytes must be readable.
#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn halves(at: *const u8) -> Halves {
    let half = |at: *const u8| {
        // SAFETY: the caller's.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    };
    [half(at), half(at.wrapping_add(16))]
}

/// The packed scales and minima of eight rows → of blocks 0..4 and 4..8, a byte each.
///
/// # Safety
/// 160 bytes must be readable: eight words in each third of 64.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn unpack(at: *const u8) -> ([__m256i; 2], [__m256i; 2]) {
    // SAFETY: the caller's.
    let (w0, w1, w2) = unsafe { (load(at), load(at.wrapping_add(64)), load(at.wrapping_add(128))) };
    let (six, four) = (_mm256_set1_epi32(0x3f3f_3f3f), _mm256_set1_epi32(0x0f0f_0f0f));
    let two = _mm256_set1_epi32(0x3030_3030);
    // Bits 6 and 7 of a byte go to its bits 4 and 5.
    let high = |w: __m256i| _mm256_and_si256(_mm256_srli_epi32::<2>(w), two);
    let sc = _mm256_or_si256(_mm256_and_si256(w2, four), high(w0));
    let m = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32::<4>(w2), four), high(w1));
    ([_mm256_and_si256(w0, six), sc], [_mm256_and_si256(w1, six), m])
}

/// A byte of every word in f32.
#[target_feature(enable = "avx2")]
#[inline]
fn byte(words: __m256i, shift: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(words, shift), _mm256_set1_epi32(255)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn whole(sums: [__m256; 2]) -> __m256 {
    _mm256_add_ps(sums[0], sums[1])
}

#[target_feature(enable = "avx2")]
#[inline]
fn store<const COUNT: usize>(totals: [Halves; COUNT]) -> Sums<COUNT> {
    totals.map(|halves| {
        let mut lanes = [0.0; STRIP];
        for (lanes, half) in lanes.chunks_exact_mut(8).zip(halves) {
            // SAFETY: eight lanes.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), half) };
        }
        lanes
    })
}

/// The levels of the lowest four bits of eight words.
#[target_feature(enable = "avx2")]
#[inline]
fn nf4_levels(levels: [__m256; 2], codes: __m256i) -> __m256 {
    let [lower, upper] = levels.map(|levels| _mm256_permutevar8x32_ps(levels, codes));
    _mm256_blendv_ps(lower, upper, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(codes)))
}

/// 32 columns of NF4 codes in f32. (The panels of the other forms are plain loops, which compilers make vectors of; a table is
/// looked up number by number there.)
pub(super) fn nf4_panel(codes: &[u8], scales: &[f32; STRIP], into: &mut Panel) {
    assert!(codes.len() == nf4::BYTES / 2 && available());
    // SAFETY: the features were found, the length agrees.
    unsafe { nf4_panel_avx2(codes, scales, into) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nf4_panel_avx2(codes: &[u8], scales: &[f32; STRIP], into: &mut Panel) {
    // SAFETY: sixteen levels and scales; four times two vectors of codes; thirty-two times two vectors of the panel.
    unsafe {
        let levels = [_mm256_loadu_ps(nf4::LEVELS.as_ptr()), _mm256_loadu_ps(nf4::LEVELS.as_ptr().wrapping_add(8))];
        for half in 0..2 {
            let scales = _mm256_loadu_ps(scales.as_ptr().wrapping_add(half * 8));
            for (eight, columns) in into.chunks_exact_mut(8).enumerate() {
                let mut codes = load(codes.as_ptr().wrapping_add(eight * 64 + half * 32));
                for column in columns {
                    let to = column.as_mut_ptr().wrapping_add(half * 8);
                    _mm256_storeu_ps(to, _mm256_mul_ps(nf4_levels(levels, codes), scales));
                    codes = _mm256_srli_epi32::<4>(codes);
                }
            }
        }
    }
}
