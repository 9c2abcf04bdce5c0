//! Numbers as a pure function of what they are for: initial values and dropout masks do not depend on the order, the
//! batch or the thread in which they are drawn.

use rayon::prelude::*;

/// Mixes words into one well-distributed word (splitmix64's finaliser after each).
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x243f_6a88_85a3_08d3, |state, word| splitmix(state ^ *word))
}

fn splitmix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `index`-th number of this key, uniform in 0..1 (53 bits).
pub fn unit(key: u64, index: u64) -> f64 {
    (mix(&[key, index]) >> 11) as f64 / (1u64 << 53) as f64
}

/// `len` numbers uniform in −bound..bound for this key.
pub fn uniform(key: u64, len: usize, bound: f64) -> Vec<f32> {
    (0..len as u64).map(|i| ((2.0 * unit(key, i) - 1.0) * bound) as f32).collect()
}

/// `len` numbers from N(0, deviation²) for this key (Box–Muller).
pub fn normal(key: u64, len: usize, deviation: f64) -> Vec<f32> {
    normal_part(key, 0..len as u64, deviation)
}

/// Some of the numbers of [`normal`].
pub fn normal_part(key: u64, part: std::ops::Range<u64>, deviation: f64) -> Vec<f32> {
    let draw = |i: u64| {
        let radius = (-2.0 * (1.0 - unit(key, i & !1)).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(key, i | 1);
        let direction = if i.is_multiple_of(2) { angle.cos() } else { angle.sin() };
        (deviation * radius * direction) as f32
    };
    (part.start as usize..part.end as usize).into_par_iter().map(|i| draw(i as u64)).collect()
}

/// Multiplies a row by its dropout mask: 0 with probability `p`, else 1/(1−p).
pub fn drop_row(row: &mut [f32], key: u64, p: f64) {
    let threshold = (p * (1u64 << 32) as f64) as u64;
    let keep = (1.0 / (1.0 - p)) as f32;
    for (i, x) in row.iter_mut().enumerate() {
        // Two 32-bit draws from every word.
        let word = mix(&[key, i as u64 / 2]);
        let draw = if i % 2 == 0 { word >> 32 } else { word & 0xffff_ffff };
        *x = if draw < threshold { 0.0 } else { *x * keep };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_the_right_rate_and_mean_and_differ_by_key() {
        let mut row = vec![1.0f32; 100_000];
        drop_row(&mut row, mix(&[1, 2, 3]), 0.25);
        let zeros = row.iter().filter(|x| **x == 0.0).count() as f64 / row.len() as f64;
        assert!((zeros - 0.25).abs() < 0.01, "{zeros}");
        let mean = row.iter().sum::<f32>() / row.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let mut other = vec![1.0f32; 100_000];
        drop_row(&mut other, mix(&[1, 2, 4]), 0.25);
        let equal = row.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / row.len() as f64;
        assert!((equal - (0.75 * 0.75 + 0.25 * 0.25)).abs() < 0.01, "{equal}");
    }

    #[test]
    fn normal_has_its_mean_and_deviation() {
        let values = normal(3, 100_000, 2.0);
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.03 && (square - 4.0).abs() < 0.1, "{mean} {square}");
    }

    #[test]
    fn uniform_fills_its_interval() {
        let values = uniform(7, 10_000, 0.5);
        assert!(values.iter().all(|x| x.abs() <= 0.5));
        assert!(values.iter().any(|x| *x > 0.49) && values.iter().any(|x| *x < -0.49));
    }
}
