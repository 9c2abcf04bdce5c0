//! Q8_0 (ggml): blocks of 32 weights with one f16 scale d = max|w| / 127; w = d·q.
//!
//! A block of a strip: sixteen scales, then for every four columns a word of sixteen rows, whose bytes are q + 128 of
//! the four columns: unsigned, as `vpdpbusd` wants them.

use half::f16;

use super::{PANEL, Panel, STRIP, halves, words};
use crate::kernels::simd::multiversion;

/// Columns of a block.
pub(super) const BLOCK: usize = 32;

/// Bytes of a block of a strip: scales, codes.
pub(super) const BYTES: usize = SCALES + BLOCK * STRIP;

/// Bytes of its scales.
pub(super) const SCALES: usize = 2 * STRIP;

/// Added to a code so that it is a byte without sign.
pub(super) const OFFSET: i32 = 128;

/// values [rows ≤ 16, cols] → a strip.
pub(super) fn quantise(values: &[f32], cols: usize, strip: &mut [u8]) {
    for (index, block) in strip.chunks_exact_mut(BYTES).enumerate() {
        block[..SCALES].fill(0);
        block[SCALES..].fill(OFFSET as u8);
        for (row, values) in values.chunks_exact(cols).enumerate() {
            let values = &values[index * BLOCK..][..BLOCK];
            let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let d = largest / 127.0;
            let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
            block[2 * row..2 * row + 2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
            for (column, value) in values.iter().enumerate() {
                let q = (value * inverse).round().clamp(-127.0, 127.0) as i32;
                block[SCALES + column / 4 * 64 + row * 4 + column % 4] = (q + OFFSET) as u8;
            }
        }
    }
}

/// A block's columns in f32.
pub(super) fn panel(block: &[u8], into: &mut Panel) {
    #[cfg(target_arch = "x86_64")]
    if super::panels::available() {
        return super::panels::q8_0(block, into);
    }
    plain(block, into);
}

multiversion! { pub(super) fn plain(block: &[u8], into: &mut Panel) = decode }

#[inline(always)]
fn decode<const FMA: bool>(block: &[u8], into: &mut Panel) {
    let d = halves(&block[..SCALES]);
    let codes = &block[SCALES..];
    for four in 0..PANEL / 4 {
        let words = words(&codes[four * 64..][..64]);
        for i in 0..4 {
            for row in 0..STRIP {
                let q = ((words[row] >> (8 * i)) & 255) as i32 - OFFSET;
                into[four * 4 + i][row] = d[row] * q as f32;
            }
        }
    }
}
