//! How sure a score is: Wilson's interval of a share, McNemar's test of two answers to the same questions.

/// The 95 % quantile of the normal distribution, two-sided.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of `right` out of `n`, as shares; the whole range where `n` is 0.
pub fn wilson(right: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (share, n) = (right as f64 / n as f64, n as f64);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// McNemar's exact two-sided p: `only_a` questions that only one side answered right, `only_b` only the other.
pub fn mcnemar(only_a: usize, only_b: usize) -> f64 {
    let (n, few) = (only_a + only_b, only_a.min(only_b));
    if n == 0 {
        return 1.0;
    }
    // Sum of binomial terms in logarithms: n may be thousands.
    let mut term = n as f64 * 0.5f64.ln();
    let mut sum = term.exp();
    for k in 1..=few {
        term += ((n - k + 1) as f64).ln() - (k as f64).ln();
        sum += term.exp();
    }
    (2.0 * sum).min(1.0)
}

/// The `share` quantile (0 to 1) of some numbers, the nearest rank; none of none.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Brown, Cai, DasGupta 2001; R's binom.test and mcnemar.exact.
        let (low, high) = wilson(8, 10);
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert!((mcnemar(1, 9) - 0.021484375).abs() < 1e-9);
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(5, 5), 1.0);
        assert!(mcnemar(0, 3000) < 1e-100);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.95), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
