//! What drawing a token asks of a row of logits: its highest, and the sum of its exponentials.

use super::simd::{LANES, exp, multiversion};

/// Numbers whose exponentials are added up in f32 before they join the sum in f64.
const CHUNK: usize = 64 * LANES;

multiversion! {
    /// The highest of the numbers; −∞ for none. NaN comes out where there is one.
    pub fn highest(x: &[f32]) -> f32 = highest_of
}

#[inline(always)]
fn highest_of<const FMA: bool>(x: &[f32]) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    // A sum with a NaN is NaN, and one of infinities of both kinds too: those are looked for one by one.
    let mut odd = [0.0f32; LANES];
    for vector in whole {
        for lane in 0..LANES {
            lanes[lane] = if vector[lane] > lanes[lane] { vector[lane] } else { lanes[lane] };
            odd[lane] += vector[lane] * 0.0;
        }
    }
    if odd.iter().any(|x| x.is_nan()) && x.iter().any(|x| x.is_nan()) {
        return f32::NAN;
    }
    let start = lanes.into_iter().fold(f32::NEG_INFINITY, |m, x| if x > m { x } else { m });
    rest.iter().fold(start, |m, x| if *x > m || x.is_nan() { *x } else { m })
}

multiversion! {
    /// Σ exp(x − highest), to about 3·10⁻⁷ of it.
    pub fn sum_exp(x: &[f32], highest: f32) -> f64 = sum_of
}

#[inline(always)]
fn sum_of<const FMA: bool>(x: &[f32], highest: f32) -> f64 {
    let mut sum = 0.0;
    for chunk in x.chunks(CHUNK) {
        let (whole, rest) = chunk.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for vector in whole {
            for lane in 0..LANES {
                lanes[lane] += exp::<FMA>(vector[lane] - highest);
            }
        }
        sum += lanes.iter().map(|x| f64::from(*x)).sum::<f64>();
        sum += rest.iter().map(|x| f64::from(exp::<FMA>(*x - highest))).sum::<f64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::random;

    #[test]
    fn equals_the_plain_sums() {
        for n in [1, 15, 16, 1000, 1025, 40_000] {
            let mut x: Vec<f32> = random(n, 3).iter().map(|x| x * 20.0).collect();
            let want = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(highest(&x), want);
            let sum: f64 = x.iter().map(|x| f64::from(x - want).exp()).sum();
            assert!((sum_exp(&x, want) / sum - 1.0).abs() < 1e-6);
            x[n / 2] = f32::NEG_INFINITY;
            let want = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(highest(&x), want, "one that is masked");
            x[n - 1] = f32::NAN;
            assert!(highest(&x).is_nan());
        }
        assert_eq!(highest(&[]), f32::NEG_INFINITY);
        assert_eq!(highest(&[1.0, f32::INFINITY]), f32::INFINITY);
    }
}
