//! Numbers as people read them, and the round values an axis is marked with.

/// Four significant digits, thousands with a thin space, very small ones with an exponent.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        return "0".into();
    }
    if size >= 10_000.0 {
        let whole = format!("{:.0}", size);
        let mut text = String::new();
        for (i, digit) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                text.push('\u{202f}');
            }
            text.push(digit);
        }
        return if x < 0.0 { format!("−{text}") } else { text };
    }
    if size < 1e-3 {
        let text = format!("{x:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.')).replace('-', "−");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

/// Round values (1, 2 or 5 times a power of ten) within low..=high, about `count` of them.
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if span <= 0.0 || !span.is_finite() {
        return vec![low];
    }
    let raw = span / count.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw).unwrap_or(raw);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (3.217_49, "3.217"),
            (0.05, "0.05"),
            (1234.5, "1234"),
            (12_345.6, "12\u{202f}346"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (2e-4, "2e−4"),
            (1.25e-5, "1.25e−5"),
            (-0.5, "−0.5"),
        ] {
            assert_eq!(short(x), text, "{x}");
        }
    }

    #[test]
    fn axes_are_marked_at_round_values() {
        assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(1.3, 2.9, 4), [1.5, 2.0, 2.5]);
        assert_eq!(ticks(7.0, 7.0, 4), [7.0]);
    }
}
