//! What a benchmark measured, and how it is summed up.

use serde_json::{Value, json};

use crate::cli::ui::Table;

/// Times of one benchmark. Rates are tokens a second, one number a query.
#[derive(Debug, Default)]
pub(super) struct Measures {
    /// Seconds from the start to a model in memory, tokenizer and adapter included.
    pub load_s: f64,
    /// Seconds from the start to the first token.
    pub first_token_s: f64,
    pub prefill: Vec<f64>,
    pub decode: Vec<f64>,
    /// Seconds of a whole query.
    pub latency: Vec<f64>,
}

/// The value below which this share of the numbers lies.
pub(super) fn percentile(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

pub(super) fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

impl Measures {
    /// (what, median, unit).
    pub fn rows(&self, weight_bytes: usize) -> Vec<(&'static str, String, &'static str)> {
        let median = |of: &[f64]| percentile(of, 0.5);
        vec![
            ("loading", format!("{:.3}", self.load_s), "s"),
            ("start to first token", format!("{:.3}", self.first_token_s), "s"),
            ("prompt", format!("{:.1}", median(&self.prefill)), "tokens/s"),
            ("answer", format!("{:.1}", median(&self.decode)), "tokens/s"),
            ("weights read for it", format!("{:.1}", median(&self.decode) * weight_bytes as f64 / 1e9), "GB/s"),
            ("latency of a query", format!("{:.1}", median(&self.latency) * 1e3), "ms"),
        ]
    }

    /// Percentiles of what every query gave.
    pub fn percentiles(&self) -> Table {
        let mut table = Table::new(["", "p1", "p50", "p90", "p99", "unit"]);
        for (what, of, factor, unit) in [
            ("prompt", &self.prefill, 1.0, "tokens/s"),
            ("answer", &self.decode, 1.0, "tokens/s"),
            ("latency of a query", &self.latency, 1e3, "ms"),
        ] {
            let cell = |share| format!("{:.1}", percentile(of, share) * factor);
            table.row([what.to_owned(), cell(0.01), cell(0.5), cell(0.9), cell(0.99), unit.to_owned()]);
        }
        table
    }

    pub fn to_json(&self, detailed: bool) -> Value {
        let sum_up = |of: &[f64], factor: f64| {
            let at = |share| rounded(percentile(of, share) * factor);
            json!({"p1": at(0.01), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99)})
        };
        let mut body = json!({
            "load_s": rounded(self.load_s),
            "start_to_first_token_s": rounded(self.first_token_s),
            "prefill_tokens_per_s": rounded(percentile(&self.prefill, 0.5)),
            "decode_tokens_per_s": rounded(percentile(&self.decode, 0.5)),
            "latency_ms": sum_up(&self.latency, 1e3),
        });
        if detailed {
            body["detailed"] = json!({
                "prefill_tokens_per_s": sum_up(&self.prefill, 1.0),
                "decode_tokens_per_s": sum_up(&self.decode, 1.0),
                "queries": self.latency.iter().zip(&self.prefill).zip(&self.decode)
                    .map(|((latency, prefill), decode)| json!({
                        "latency_ms": rounded(latency * 1e3),
                        "prefill_tokens_per_s": rounded(*prefill),
                        "decode_tokens_per_s": rounded(*decode),
                    }))
                    .collect::<Vec<_>>(),
            });
        }
        body
    }
}

/// Memory of this process.
#[derive(Debug)]
pub(super) struct Memory {
    /// The highest resident size; none where the system does not say.
    pub peak_mib: Option<f64>,
}

impl Memory {
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        Self { peak_mib: kib.map(|kib| (kib / 1024.0 * 10.0).round() / 10.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_numbers() {
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.99), 3.0);
        assert!(percentile(&[], 0.5).is_nan());
        let measures = Measures { prefill: vec![5.0], decode: vec![2.0], latency: vec![0.5], ..Measures::default() };
        assert_eq!(measures.to_json(false)["latency_ms"]["p99"], 500.0);
        assert_eq!(measures.to_json(true)["detailed"]["queries"][0]["decode_tokens_per_s"], 2.0);
        assert!(
            measures
                .rows(1_000_000_000)
                .iter()
                .any(|(what, value, _)| *what == "weights read for it" && value == "2.0")
        );
    }
}
