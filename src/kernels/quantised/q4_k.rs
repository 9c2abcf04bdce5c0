//! Q4_K (ggml): super-blocks of 256 weights in eight blocks of 32; w = d·sc·q − dmin·m with q of 4 bits, sc and m of 6.
//!
//! A super-block of a strip: sixteen d, sixteen dmin (f16), the twelve bytes of packed scales and minima as three words
//! of sixteen rows, then for every pair of blocks and every four columns a word of sixteen rows: the first block in the
//! low nibbles of its bytes, the second in the high ones.

use half::f16;

use super::{PANEL, Panel, STRIP, halves, word, words};
use crate::kernels::simd::{LANES, mul_add, multiversion, total};

/// Columns of a super-block.
pub(super) const BLOCK: usize = 256;

/// Bytes of a super-block of a strip.
pub(super) const BYTES: usize = CODES + BLOCK / 2 * STRIP;

/// Where its minima's scale begins.
pub(super) const MINIMA: usize = 2 * STRIP;

/// Where its packed scales begin.
pub(super) const PACKED: usize = 4 * STRIP;

/// Where its codes begin.
pub(super) const CODES: usize = PACKED + 3 * 4 * STRIP;

/// Bytes of the codes of a pair of blocks.
pub(super) const PAIR: usize = PANEL * STRIP;

/// The largest code.
const LARGEST: f32 = 15.0;

/// The largest scale or minimum of a block.
const LARGEST_SCALE: f32 = 63.0;

/// Scales that are tried for a block: 0.1 apart, from 14 codes over the range to 16 (ggml's `quantize_row_q4_K_ref`).
const TRIALS: usize = 21;

/// values [rows ≤ 16, cols] → a strip.
pub(super) fn quantise(values: &[f32], cols: usize, strip: &mut [u8]) {
    strip.fill(0);
    for (index, block) in strip.chunks_exact_mut(BYTES).enumerate() {
        for (row, values) in values.chunks_exact(cols).enumerate() {
            quantise_row(&values[index * BLOCK..][..BLOCK], row, block);
        }
    }
}

fn quantise_row(values: &[f32], row: usize, block: &mut [u8]) {
    let (mut scales, mut minima) = ([0.0f32; 8], [0.0f32; 8]);
    let (blocks, _) = values.as_chunks::<PANEL>();
    for ((scale, minimum), values) in scales.iter_mut().zip(&mut minima).zip(blocks) {
        (*scale, *minimum) = fit(values);
    }
    let largest = |of: &[f32; 8]| of.iter().fold(0.0f32, |m, x| m.max(*x));
    let (d, dmin) = (f16::from_f32(largest(&scales) / LARGEST_SCALE), f16::from_f32(largest(&minima) / LARGEST_SCALE));
    let six_bits = |x: f32, largest: f32| {
        let inverse = if largest > 0.0 { LARGEST_SCALE / largest } else { 0.0 };
        (x * inverse).round_ties_even().clamp(0.0, LARGEST_SCALE) as u8
    };
    let sc = scales.map(|x| six_bits(x, largest(&scales)));
    let m = minima.map(|x| six_bits(x, largest(&minima)));
    block[2 * row..2 * row + 2].copy_from_slice(&d.to_le_bytes());
    block[MINIMA + 2 * row..MINIMA + 2 * row + 2].copy_from_slice(&dmin.to_le_bytes());
    for (at, byte) in pack(sc, m).into_iter().enumerate() {
        block[PACKED + at / 4 * 64 + row * 4 + at % 4] = byte;
    }
    for (index, values) in blocks.iter().enumerate() {
        let (scale, minimum) = (d.to_f32() * f32::from(sc[index]), dmin.to_f32() * f32::from(m[index]));
        for (column, value) in values.iter().enumerate() {
            let q = if scale == 0.0 { 0.0 } else { ((value + minimum) / scale).round_ties_even().clamp(0.0, LARGEST) };
            let at = CODES + index / 2 * PAIR + column / 4 * 64 + row * 4 + column % 4;
            block[at] |= (q as u8) << (index % 2 * 4);
        }
    }
}

/// The twelve bytes of ggml: six bits of the first four scales and minima in the low bits of the first eight bytes;
/// of the last four the low nibbles in the last four bytes and the high bits above the first eight's.
fn pack(sc: [u8; 8], m: [u8; 8]) -> [u8; 12] {
    std::array::from_fn(|at| match at {
        0..4 => sc[at] | (sc[at + 4] >> 4) << 6,
        4..8 => m[at - 4] | (m[at] >> 4) << 6,
        _ => sc[at - 4] & 15 | (m[at - 4] & 15) << 4,
    })
}

multiversion! {
    /// (scale, −minimum) of a block: of [`TRIALS`] roundings the least-squares fit with the smallest error, weighed by
    /// magnitude (ggml's `make_qkx2_quants`).
    fn fit(x: &[f32; PANEL]) -> (f32, f32) = fit_block
}

/// Two vectors' sum, in the order of lanes.
#[inline(always)]
fn sum<const FMA: bool>(of: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (lane, sum) in lanes.iter_mut().enumerate() {
        *sum = of(lane) + of(lane + LANES);
    }
    total(lanes)
}

#[inline(always)]
fn fit_block<const FMA: bool>(x: &[f32; PANEL]) -> (f32, f32) {
    /// 1.5·2²³: adding and subtracting it rounds to the nearest integer, ties to even.
    const ROUND: f32 = 12_582_912.0;
    let average = (sum::<FMA>(|i| x[i] * x[i]) / PANEL as f32).sqrt();
    let weights: [f32; PANEL] = std::array::from_fn(|i| average + x[i].abs());
    let low = x.iter().fold(0.0f32, |m, v| if *v < m { *v } else { m });
    let high = x.iter().fold(low, |m, v| if *v > m { *v } else { m });
    if high == low {
        return (0.0, -low);
    }
    let (sum_w, sum_x) = (sum::<FMA>(|i| weights[i]), sum::<FMA>(|i| weights[i] * x[i]));
    let codes = |inverse: f32| -> [f32; PANEL] {
        std::array::from_fn(|i| {
            let q = (inverse * (x[i] - low) + ROUND) - ROUND;
            let q = if q > LARGEST { LARGEST } else { q };
            if q < 0.0 { 0.0 } else { q }
        })
    };
    let error = |q: &[f32; PANEL], scale: f32, minimum: f32| {
        sum::<FMA>(|i| {
            let e = mul_add::<FMA>(scale, q[i], minimum) - x[i];
            weights[i] * e * e
        })
    };
    let (mut scale, mut minimum) = ((high - low) / LARGEST, low);
    let mut best = error(&codes(1.0 / scale), scale, minimum);
    for trial in 0..TRIALS {
        let q = codes((LARGEST - 1.0 + 0.1 * trial as f32) / (high - low));
        let (sum_q, sum_qq) = (sum::<FMA>(|i| weights[i] * q[i]), sum::<FMA>(|i| weights[i] * q[i] * q[i]));
        let sum_xq = sum::<FMA>(|i| weights[i] * q[i] * x[i]);
        let determinant = sum_w * sum_qq - sum_q * sum_q;
        if determinant > 0.0 {
            let mut this_scale = (sum_w * sum_xq - sum_x * sum_q) / determinant;
            let mut this_minimum = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
            if this_minimum > 0.0 {
                (this_minimum, this_scale) = (0.0, sum_xq / sum_qq);
            }
            let this = error(&q, this_scale, this_minimum);
            if this < best {
                (best, scale, minimum) = (this, this_scale, this_minimum);
            }
        }
    }
    (scale, -minimum)
}

/// The 32 columns of block `index` of a super-block in f32.
pub(super) fn panel(block: &[u8], index: usize, into: &mut Panel) {
    #[cfg(target_arch = "x86_64")]
    if super::panels::available() {
        return super::panels::q4_k(block, index, into);
    }
    plain(block, index, into);
}

multiversion! { pub(super) fn plain(block: &[u8], index: usize, into: &mut Panel) = decode }

#[inline(always)]
fn decode<const FMA: bool>(block: &[u8], index: usize, into: &mut Panel) {
    let (d, dmin) = (halves(&block[..MINIMA]), halves(&block[MINIMA..PACKED]));
    let (mut scale, mut minimum) = ([0.0f32; STRIP], [0.0f32; STRIP]);
    let shift = 8 * (index % 4);
    for row in 0..STRIP {
        let packed = |w: usize| word(block, PACKED + w * 64 + row * 4) >> shift;
        let (low, middle, high) = (packed(0), packed(1), packed(2));
        let (sc, m) = if index < 4 {
            (low & 63, middle & 63)
        } else {
            (high & 15 | (low >> 6 & 3) << 4, high >> 4 & 15 | (middle >> 6 & 3) << 4)
        };
        (scale[row], minimum[row]) = (d[row] * sc as f32, dmin[row] * m as f32);
    }
    let codes = &block[CODES + index / 2 * PAIR..][..PAIR];
    let nibble = 4 * (index % 2);
    for four in 0..PANEL / 4 {
        let words = words(&codes[four * 64..][..64]);
        for i in 0..4 {
            for row in 0..STRIP {
                let q = words[row] >> (8 * i + nibble) & 15;
                into[four * 4 + i][row] = scale[row] * q as f32 - minimum[row];
            }
        }
    }
}
