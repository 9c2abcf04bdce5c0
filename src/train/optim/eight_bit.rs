//! Moments in 8 bit: blocks of 256 numbers, each a code of a fixed table times the block's largest magnitude.
//!
//! Table and blocks are those of bitsandbytes (`create_dynamic_map`; Dettmers et al. 2022, "8-bit Optimizers via
//! Block-wise Quantization"): seven decades, the more numbers the larger the magnitude. One thing differs: a second
//! moment that is not zero never becomes zero, since the update divides by its root. There the smallest code stands in,
//! and the step gets smaller rather than huge.

use std::sync::LazyLock;

/// Numbers that share a scale. bitsandbytes' size for optimisers. Price: 4 bytes for each block of 256.
pub const BLOCK: usize = 256;

/// Tensors with fewer numbers keep their moments in f32, as bitsandbytes has it (`min_8bit_size`): they cost little and
/// are the ones that suffer (norms, magnitudes).
pub const SMALLEST: usize = 4096;

/// Numbers as codes with a scale a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// One code a number.
    pub codes: Vec<u8>,
    /// The largest magnitude of every block.
    pub absmax: Vec<f32>,
}

/// Which numbers a table stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// First moments.
    Signed,
    /// Second moments.
    Unsigned,
}

impl Sign {
    fn table(self) -> &'static Table {
        static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| [Table::new(true), Table::new(false)]);
        &TABLES[usize::from(self == Self::Unsigned)]
    }
}

/// 256 values in rising order.
struct Table {
    values: [f32; 256],
    /// Above `between[i]` value i + 1 is nearer than value i.
    between: [f32; 255],
    /// The code of 0.
    zero: u8,
}

impl Table {
    /// Decade i of 7 (from 1e-6 to 1) holds 2ⁱ values a sign, or 2ⁱ⁺¹ without signs, evenly from 0.1 to 1 of it; then 0
    /// and 1.
    fn new(signed: bool) -> Self {
        let mut all = vec![0.0, 1.0];
        for decade in 0..7 {
            let count = if signed { 1 << decade } else { 2 << decade };
            let scale = 10f64.powi(decade - 6);
            for k in 0..count {
                let value = scale * (0.1 + 0.9 * (f64::from(k) + 0.5) / f64::from(count));
                all.push(value);
                if signed {
                    all.push(-value);
                }
            }
        }
        all.sort_by(f64::total_cmp);
        let mut values = [0.0; 256];
        values.iter_mut().zip(&all).for_each(|(to, from)| *to = *from as f32);
        let mut between = [0.0; 255];
        between.iter_mut().enumerate().for_each(|(i, b)| *b = 0.5 * (values[i] + values[i + 1]));
        let zero = values.iter().position(|v| *v == 0.0).unwrap_or(0) as u8;
        Self { values, between, zero }
    }

    /// The code of the nearest value.
    fn nearest(&self, x: f32) -> u8 {
        self.between.partition_point(|between| *between < x) as u8
    }
}

impl Blocks {
    /// `len` zeros.
    pub fn zeros(len: usize, sign: Sign) -> Self {
        Self { codes: vec![sign.table().zero; len], absmax: vec![0.0; len.div_ceil(BLOCK)] }
    }
}

/// The numbers of one block.
pub fn read(codes: &[u8], absmax: f32, sign: Sign, into: &mut [f32]) {
    let table = sign.table();
    into.iter_mut().zip(codes).for_each(|(to, code)| *to = table.values[usize::from(*code)] * absmax);
}

/// Replaces the numbers of one block; returns its new scale.
pub fn write(numbers: &[f32], sign: Sign, codes: &mut [u8]) -> f32 {
    let table = sign.table();
    let absmax = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let inverse = if absmax > 0.0 { 1.0 / absmax } else { 0.0 };
    for (code, x) in codes.iter_mut().zip(numbers) {
        *code = table.nearest(*x * inverse);
        if sign == Sign::Unsigned && *code == table.zero && *x > 0.0 {
            *code += 1;
        }
    }
    absmax
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{mix, normal};

    #[test]
    fn the_tables_are_bitsandbytes() {
        // `bitsandbytes.functional.create_dynamic_map(signed)`, version 0.45: ends, neighbours of zero, a value within.
        let (signed, unsigned) = (Sign::Signed.table(), Sign::Unsigned.table());
        assert_eq!((signed.zero, unsigned.zero), (127, 0));
        for (found, expected) in [
            (signed.values[0], -0.992_968_75),
            (signed.values[255], 1.0),
            (signed.values[254], 0.992_968_75),
            (signed.values[128], 5.5e-7),
            (signed.values[126], -5.5e-7),
            (unsigned.values[1], 3.25e-7),
            (unsigned.values[2], 7.75e-7),
            (unsigned.values[254], 0.996_484_4),
            (unsigned.values[255], 1.0),
        ] {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} {expected}");
        }
        assert!(signed.values.is_sorted() && unsigned.values.is_sorted());
    }

    #[test]
    fn numbers_come_back_within_half_a_step_and_second_moments_never_vanish() {
        let mut numbers = normal(mix(&[1]), BLOCK, 3e-3);
        numbers[3] = 0.0;
        let mut blocks = Blocks::zeros(BLOCK, Sign::Signed);
        blocks.absmax[0] = write(&numbers, Sign::Signed, &mut blocks.codes);
        let mut back = vec![0.0; BLOCK];
        read(&blocks.codes, blocks.absmax[0], Sign::Signed, &mut back);
        for (x, y) in numbers.iter().zip(&back) {
            let step = (x.abs() * 0.5).max(blocks.absmax[0] * 1e-6);
            assert!(
                (x - y).abs() <= step && (x.abs() < 0.1 * blocks.absmax[0] || (x - y).abs() < 0.08 * x.abs()),
                "{x} {y}"
            );
        }
        assert_eq!(back[3], 0.0);
        let squares = [1.0f32, 1e-12, 0.0];
        let mut codes = [9; 3];
        let absmax = write(&squares, Sign::Unsigned, &mut codes);
        assert_eq!((absmax, codes[2]), (1.0, 0));
        assert_eq!(codes[1], 1, "not zero, so not the code of zero");
    }
}
