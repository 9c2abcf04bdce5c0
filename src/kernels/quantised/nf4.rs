//! NF4 with double quantisation, as bitsandbytes has it (QLoRA, Dettmers et al. 2023): blocks of 64 weights along a
//! row, `w = level[code] · a` with a the block's largest magnitude; the a of a weight, less their mean, in groups of 256
//! with 8-bit codes of a dynamic map and one f32 scale.
//!
//! A block of a strip: for every eight columns a word of sixteen rows, column i in nibble i. Behind the strips: the
//! codes of a, [strips, blocks, 16], the groups' scales and the mean, all f32.

use std::sync::LazyLock;

use super::{PANEL, Panel, STRIP, word};

/// Columns of a block.
pub const BLOCK: usize = 64;

/// Bytes of a block of a strip.
pub(super) const BYTES: usize = BLOCK / 2 * STRIP;

/// Blocks of a group.
const GROUP: usize = 256;

/// The sixteen levels (bitsandbytes' `get_4bit_type("nf4")`).
pub const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Between two levels: above it the higher one is taken (bitsandbytes' `dQuantizeNF4`).
const BOUNDS: [f32; 15] = [
    -0.848_096_4,
    -0.610_632_9,
    -0.459_995_27,
    -0.339_679_43,
    -0.234_607_41,
    -0.137_911_73,
    -0.045_525_018,
    0.039_790_15,
    0.120_255_25,
    0.203_521_25,
    0.292_013_77,
    0.389_312_53,
    0.501_663_4,
    0.642_786_9,
    0.861_478_4,
];

/// bitsandbytes' signed dynamic map of 8 bits (`create_dynamic_map()`), ascending: for every decade 10⁻⁶…10⁰ the middles
/// of 1, 2, …, 64 equal parts of 0.1…1, their negatives, 0 and 1.
static DYNAMIC: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut map = vec![0.0, 1.0];
    for exponent in 0..7 {
        let parts = 1 << exponent;
        let bound = |i: usize| 0.1 + 0.9 * i as f64 / parts as f64;
        for i in 0..parts {
            let middle = 10f64.powi(exponent - 6) * (bound(i as usize) + bound(i as usize + 1)) / 2.0;
            map.extend([middle as f32, -middle as f32]);
        }
    }
    map.sort_by(f32::total_cmp);
    std::array::from_fn(|i| map[i])
});

/// values [rows ≤ 16, cols] → a strip's codes and the largest magnitudes [rows, cols / 64].
pub(super) fn quantise(values: &[f32], cols: usize, strip: &mut [u8], absmax: &mut [f32]) {
    let blocks = cols / BLOCK;
    // Level 0 everywhere: the rows that fill the strip stay so.
    strip.fill(0x77);
    for (row, (values, absmax)) in values.chunks_exact(cols).zip(absmax.chunks_exact_mut(blocks)).enumerate() {
        for (index, (values, absmax)) in values.chunks_exact(BLOCK).zip(absmax).enumerate() {
            *absmax = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let inverse = if *absmax == 0.0 { 0.0 } else { 1.0 / *absmax };
            for (column, pair) in values.chunks_exact(2).enumerate() {
                let code = |v: f32| BOUNDS.iter().filter(|bound| v * inverse > **bound).count() as u8;
                let at = index * BYTES + column / 4 * 64 + row * 4 + column % 4;
                strip[at] = code(pair[0]) | code(pair[1]) << 4;
            }
        }
    }
}

/// The largest magnitudes of a weight [rows, cols / 64] → the part behind the strips.
pub fn write_scales(absmax: &[f32], rows: usize, cols: usize, into: &mut [u8]) {
    let (blocks, strips) = (cols / BLOCK, rows.div_ceil(STRIP));
    assert!(absmax.len() == rows * blocks && into.len() == Scales::bytes(strips, rows, cols), "scales of nf4");
    let mean = (absmax.iter().map(|a| f64::from(*a)).sum::<f64>() / absmax.len().max(1) as f64) as f32;
    let (codes, floats) = into.split_at_mut(strips * blocks * STRIP);
    codes.fill(0);
    let (groups, last) = floats.split_at_mut(floats.len() - 4);
    last.copy_from_slice(&mean.to_le_bytes());
    for (index, (group, scale)) in absmax.chunks(GROUP).zip(groups.chunks_exact_mut(4)).enumerate() {
        let largest = group.iter().fold(0.0f32, |m, a| m.max((a - mean).abs()));
        scale.copy_from_slice(&largest.to_le_bytes());
        let inverse = if largest == 0.0 { 0.0 } else { 1.0 / largest };
        for (at, a) in group.iter().enumerate() {
            let (row, block) = ((index * GROUP + at) / blocks, (index * GROUP + at) % blocks);
            codes[(row / STRIP * blocks + block) * STRIP + row % STRIP] = nearest((a - mean) * inverse);
        }
    }
}

/// The code of the dynamic map nearest to `x`.
fn nearest(x: f32) -> u8 {
    let map = &*DYNAMIC;
    let above = map.partition_point(|level| *level < x).min(255);
    let below = above.saturating_sub(1);
    if x - map[below] < map[above] - x { below as u8 } else { above as u8 }
}

/// The quantised magnitudes of a weight.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scales<'a> {
    /// Blocks of a row.
    blocks: usize,
    codes: &'a [u8],
    groups: &'a [u8],
    mean: f32,
}

impl<'a> Scales<'a> {
    /// Bytes behind the strips.
    pub(super) fn bytes(strips: usize, rows: usize, cols: usize) -> usize {
        let blocks = cols / BLOCK;
        strips * blocks * STRIP + (rows * blocks).div_ceil(GROUP) * 4 + 4
    }

    pub(super) fn new(bytes: &'a [u8], rows: usize, cols: usize) -> Self {
        let blocks = cols / BLOCK;
        let (codes, floats) = bytes.split_at(rows.div_ceil(STRIP) * blocks * STRIP);
        let (groups, mean) = floats.split_at(floats.len() - 4);
        Self { blocks, codes, groups, mean: f32::from_bits(word(mean, 0)) }
    }

    /// The codes of a strip [blocks, 16], the groups, the mean and the dynamic map.
    pub(super) fn parts(&self, strip: usize) -> (&'a [u8], &'a [u8], f32, &'static [f32; 256]) {
        let width = self.blocks * STRIP;
        (&self.codes[strip * width..(strip + 1) * width], self.groups, self.mean, &DYNAMIC)
    }

    /// Of block `block` of the sixteen rows of `strip`.
    pub(super) fn of(&self, strip: usize, block: usize) -> [f32; STRIP] {
        let codes = &self.codes[(strip * self.blocks + block) * STRIP..][..STRIP];
        let map = &*DYNAMIC;
        std::array::from_fn(|row| {
            // The last strip's missing rows have no group.
            let group = (((strip * STRIP + row) * self.blocks + block) / GROUP * 4).min(self.groups.len() - 4);
            f32::from_bits(word(self.groups, group)) * map[usize::from(codes[row])] + self.mean
        })
    }
}

/// 32 columns of a block in f32.
pub(super) fn panel(block: &[u8], half: usize, scales: &[f32; STRIP], into: &mut Panel) {
    let codes = &block[half * BYTES / 2..][..BYTES / 2];
    #[cfg(target_arch = "x86_64")]
    if super::panels::available() {
        return super::panels::nf4(codes, scales, into);
    }
    #[cfg(target_arch = "x86_64")]
    if super::avx2::available() {
        return super::avx2::nf4_panel(codes, scales, into);
    }
    plain(codes, scales, into);
}

pub(super) fn plain(codes: &[u8], scales: &[f32; STRIP], into: &mut Panel) {
    for eight in 0..PANEL / 8 {
        for row in 0..STRIP {
            let codes = word(codes, eight * 64 + row * 4);
            for i in 0..8 {
                into[eight * 8 + i][row] = LEVELS[(codes >> (4 * i) & 15) as usize] * scales[row];
            }
        }
    }
}
