//! Activations as whole numbers of 24 bits, in three signed bytes each: f32 products with 8-bit and 4-bit codes on the
//! integer dot products of AVX-512-VNNI.
//!
//! A block of 32 activations shares a power of two s with max|x| ≤ s·LARGEST; x = s·(65536·h + 256·m + l) to half a
//! unit, at most 2⁻²³ of the block's largest: what f32 arithmetic itself would lose. Nothing is rounded to 8 bits.

use super::PANEL;
use crate::kernels::simd::multiversion;

/// 127·65536 + 127·256 + 127: the largest number whose digits are all at most 127.
const LARGEST: f32 = 8_355_711.0;

/// The smallest exponent of a block's largest that counts: smaller ones keep fewer bits.
const SMALLEST: i32 = -100;

/// Thirty-two activations.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Block {
    /// Signed digits of 65536, 256 and 1.
    pub digits: [[i8; PANEL]; 3],
    /// The sums of each.
    pub sums: [i32; 3],
    /// x = scale · number.
    pub scale: f32,
    /// Σ x, of the numbers as they are.
    pub sum: f32,
}

const EMPTY: Block = Block { digits: [[0; PANEL]; 3], sums: [0; 3], scale: 0.0, sum: 0.0 };

/// x, whole blocks of 32.
pub(super) fn digits(x: &[f32]) -> Vec<Block> {
    let (blocks, rest) = x.as_chunks::<PANEL>();
    assert!(rest.is_empty(), "activations in blocks of {PANEL}");
    let mut out = vec![EMPTY; blocks.len()];
    for (x, block) in blocks.iter().zip(&mut out) {
        split(x, block);
    }
    out
}

multiversion! { fn split(x: &[f32; PANEL], into: &mut Block) = split_block }

#[inline(always)]
fn split_block<const FMA: bool>(x: &[f32; PANEL], into: &mut Block) {
    /// 1.5·2²³: adding it leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = 0.0f32;
    for v in x {
        // NaN stays, and makes the scale and with it the result NaN.
        largest = if v.abs() <= largest { largest } else { v.abs() };
    }
    let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
    // largest < 2^(exponent + 1), so that 22 bits less sign hold it; 23 if it is below what the digits hold.
    let exponent = ((largest.to_bits() >> 23) as i32 - 127).clamp(SMALLEST, 126);
    let bits = if largest * power(22 - exponent) <= LARGEST { 22 } else { 21 };
    let inverse = power(bits - exponent);
    into.scale = if largest.is_finite() { power(exponent - bits) } else { f32::NAN };
    let mut sums = [0i32; 3];
    for (i, v) in x.iter().enumerate() {
        // Two steps: the sum with ROUND holds integers up to 2²² only.
        let scaled = v * inverse;
        let high = (scaled * (1.0 / 65536.0) + ROUND) - ROUND;
        let rest = scaled - high * 65536.0;
        let middle = (rest * (1.0 / 256.0) + ROUND) - ROUND;
        let low = ((rest - middle * 256.0) + ROUND) - ROUND;
        // The nearest multiple may leave ±128 below: 128 is −128 and a carry.
        let number = high as i32 * 65536 + middle as i32 * 256 + low as i32;
        let l = (number << 24) >> 24;
        let rest = (number - l) >> 8;
        let m = (rest << 24) >> 24;
        let h = (rest - m) >> 8;
        into.digits[0][i] = h as i8;
        into.digits[1][i] = m as i8;
        into.digits[2][i] = l as i8;
        sums[0] += h;
        sums[1] += m;
        sums[2] += l;
    }
    into.sums = sums;
    let whole = f64::from(sums[0]) * 65536.0 + f64::from(sums[1] * 256 + sums[2]);
    into.sum = (whole * f64::from(into.scale)) as f32;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::random;

    #[test]
    fn digits_hold_24_bits() {
        let mut x = random(64 * PANEL, 1);
        for (i, block) in x.chunks_exact_mut(PANEL).enumerate() {
            let factor = 10f32.powi(i as i32 % 40 - 20);
            block.iter_mut().for_each(|v| *v *= factor);
        }
        x[..PANEL].fill(0.0);
        x[PANEL..2 * PANEL].fill(-3.5);
        for (x, block) in x.chunks_exact(PANEL).zip(digits(&x)) {
            let largest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let mut sum = 0.0;
            for (i, x) in x.iter().enumerate() {
                let [h, m, l] = block.digits.map(|d| f64::from(d[i]));
                let back = (h * 65536.0 + m * 256.0 + l) * f64::from(block.scale);
                let error = (back - f64::from(*x)).abs();
                assert!(error <= f64::from(largest) * 1.2e-7, "{x} became {back}");
                sum += back;
            }
            assert!((sum - f64::from(block.sum)).abs() <= f64::from(largest) * 4e-6);
            assert_eq!(block.sums, block.digits.map(|d| d.iter().map(|v| i32::from(*v)).sum::<i32>()));
        }
        assert!(digits(&[f32::NAN; PANEL])[0].scale.is_nan());
    }
}
