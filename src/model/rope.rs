//! Rotary frequencies as `config.json` names them: default, linear, llama3, yarn. Others are refused by name.

use std::f64::consts::PI;

use serde_json::Value;

use crate::error::Problem;
use crate::kernels::rope::Table;

/// How positions become angles.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians per position for each pair of a head, `[head_dim / 2]`.
    pub frequencies: Vec<f64>,
    /// Multiplies cos and sin (YaRN's attention factor), else 1.
    pub magnitude: f64,
}

impl Rope {
    /// Reads `rope_theta` with `rope_scaling` (flat style) or `rope_parameters` (transformers 5).
    pub fn from_config(config: &Value, head_dim: usize, max_positions: usize) -> Result<Self, Problem> {
        let parameters = config.get("rope_parameters").or_else(|| config.get("rope_scaling")).filter(|v| v.is_object());
        let find = |key: &str| parameters.and_then(|p| p.get(key)).filter(|v| !v.is_null());
        let number = |key: &str| find(key).and_then(Value::as_f64);
        let need = |key: &str, kind: &str| {
            number(key).ok_or_else(|| Problem::input(format!("rope type {kind:?} needs {key}")))
        };
        let theta =
            config.get("rope_theta").and_then(Value::as_f64).or_else(|| number("rope_theta")).unwrap_or(10_000.0);
        let plain: Vec<f64> = (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        let kind = find("rope_type").or_else(|| find("type")).and_then(Value::as_str).unwrap_or("default");
        match kind {
            "default" => Ok(Self { frequencies: plain, magnitude: 1.0 }),
            "linear" => {
                let factor = need("factor", kind)?;
                Ok(Self { frequencies: plain.iter().map(|f| f / factor).collect(), magnitude: 1.0 })
            }
            "llama3" => {
                let factor = need("factor", kind)?;
                let (low, high) = (need("low_freq_factor", kind)?, need("high_freq_factor", kind)?);
                let original = need("original_max_position_embeddings", kind)?;
                let frequencies = plain.iter().map(|f| llama3(*f, factor, low, high, original)).collect();
                Ok(Self { frequencies, magnitude: 1.0 })
            }
            "yarn" => {
                for key in ["mscale", "mscale_all_dim"] {
                    if find(key).is_some() {
                        return Err(Problem::input(format!("rope type \"yarn\" with {key} is not implemented")));
                    }
                }
                let original = number("original_max_position_embeddings").unwrap_or(max_positions as f64);
                let factor = number("factor").unwrap_or(max_positions as f64 / original);
                let bounds = (number("beta_fast").unwrap_or(32.0), number("beta_slow").unwrap_or(1.0));
                let truncate = find("truncate").and_then(Value::as_bool).unwrap_or(true);
                let magnitude =
                    number("attention_factor").unwrap_or(if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 });
                Ok(Self { frequencies: yarn(&plain, theta, factor, original, bounds, truncate), magnitude })
            }
            other => Err(Problem::input(format!("rope type {other:?} is not implemented"))
                .hint("implemented are default, linear, llama3 and yarn")),
        }
    }

    /// cos and sin for positions `0..positions`.
    pub fn table(&self, positions: usize) -> Table {
        Table::new(&self.frequencies, positions, self.magnitude)
    }
}

/// Llama 3's smoothing between interpolated low and untouched high frequencies (transformers `modeling_rope_utils`).
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// YaRN's ramp between interpolation and extrapolation (Peng et al. 2023, transformers `modeling_rope_utils`).
fn yarn(plain: &[f64], theta: f64, factor: f64, original: f64, (fast, slow): (f64, f64), truncate: bool) -> Vec<f64> {
    let dim = 2.0 * plain.len() as f64;
    let correction = |rotations: f64| dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (correction(fast), correction(slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001;
    }
    let mix = |(i, f): (usize, &f64)| {
        let interpolated = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
        f / factor * interpolated + f * (1.0 - interpolated)
    };
    plain.iter().enumerate().map(mix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Values printed by transformers' `ROPE_INIT_FUNCTIONS` formulas, worked out by hand at the ends of the spectrum.
    #[test]
    fn scaled_kinds_keep_high_and_divide_low_frequencies() {
        let base = Rope::from_config(&json!({"rope_theta": 500000.0}), 128, 8192).unwrap();
        for scaling in [
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}),
            json!({"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192}),
        ] {
            let config = json!({"rope_theta": 500000.0, "rope_scaling": scaling});
            let scaled = Rope::from_config(&config, 128, 65536).unwrap();
            assert_eq!(scaled.frequencies[0], base.frequencies[0]);
            let (last, plain) = (scaled.frequencies[63], base.frequencies[63]);
            assert!((last * 8.0 - plain).abs() < 1e-12 * plain, "{last} {plain}");
            assert!(scaled.frequencies.windows(2).all(|w| w[0] > w[1]));
        }
        let linear = json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}});
        assert_eq!(Rope::from_config(&linear, 4, 64).unwrap().frequencies, [0.5, 0.005]);
    }

    #[test]
    fn yarn_has_the_attention_factor_of_the_paper() {
        let config =
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}});
        let rope = Rope::from_config(&config, 128, 131_072).unwrap();
        assert!((rope.magnitude - 1.138_629_436_111_989).abs() < 1e-12);
    }
}
