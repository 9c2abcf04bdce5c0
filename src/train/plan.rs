//! The arithmetic of a run before it starts: steps, tokens, parameters, memory.

use serde::Serialize;

use super::settings::{AdapterType, Settings};
use crate::data::batches::Batches;
use crate::data::examples::Counts;
use crate::model::Config;

/// Room for what the estimate does not count: the program, tokens, operand tiles of the products. Measured peaks of the
/// resident set were 14 to 18 MiB above the rest of the estimate (f32 models of 0.2, 25 and 189 million parameters,
/// batches of 356 tokens).
const OVERHEAD_MIB: f64 = 32.0;

/// What a run will do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Rows of the training file: used, truncated, dropped with their reasons.
    pub rows: Counts,
    /// The same of the validation rows.
    pub validation: Option<Counts>,
    /// Rows that go through the decoder, after packing.
    pub packed_rows: usize,
    /// Optimiser steps of one pass over the data.
    pub steps_per_epoch: usize,
    /// Optimiser steps of the run.
    pub total_steps: u64,
    /// Tokens the run goes through.
    pub total_tokens: u64,
    /// Trainable parameters.
    pub trainable_parameters: usize,
    /// Tokens of the largest batch.
    pub largest_batch: usize,
    /// What it takes, in MiB.
    pub memory: Memory,
}

/// An estimate of the peak memory in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// The base model's files, mapped: the system may drop what is not in use.
    pub weights: f64,
    /// Adapter values, gradients and moments: 16 bytes a parameter.
    pub adapter: f64,
    /// What the layers keep for their backward on the largest batch.
    pub activations: f64,
    /// Everything.
    pub total: f64,
}

impl Plan {
    /// The plan of a run.
    pub fn new(
        settings: &Settings,
        config: &Config,
        batches: &Batches,
        rows: Counts,
        parameters: usize,
        weight_bytes: u64,
    ) -> Self {
        let steps_per_epoch = batches.steps_per_epoch();
        let total_steps = settings.total_steps(steps_per_epoch);
        let epochs = total_steps as f64 / steps_per_epoch as f64;
        let mib = |bytes: f64| (bytes / f64::from(1 << 20) * 10.0).round() / 10.0;
        let weights = mib(weight_bytes as f64);
        let adapter = mib(parameters as f64 * 16.0);
        let activations = mib(kept_floats(settings, config) * batches.largest_batch() as f64 * 4.0);
        Self {
            total_tokens: (epochs * rows.tokens as f64) as u64,
            rows,
            validation: None,
            packed_rows: batches.rows(),
            steps_per_epoch,
            total_steps,
            trainable_parameters: parameters,
            largest_batch: batches.largest_batch(),
            memory: Memory { weights, adapter, activations, total: weights + adapter + activations + OVERHEAD_MIB },
        }
    }

    /// The cheapest change first, for whoever has less memory than that.
    pub fn advice(&self, settings: &Settings) -> Vec<String> {
        let mut advice = Vec::new();
        if settings.batch_size > 1 {
            advice.push(format!(
                "batch_size {} and gradient_accumulation_steps {}: the same updates, activations {:.0} MiB",
                settings.batch_size.div_ceil(2),
                settings.gradient_accumulation_steps * 2,
                self.memory.activations / 2.0
            ));
        }
        if !settings.gradient_checkpointing {
            advice.push(
                "gradient_checkpointing true: the same updates, slower, since every layer runs forward twice"
                    .to_owned(),
            );
        }
        if self.rows.longest > 256 {
            advice.push(format!("max_seq_length {}: longer rows are cut", self.rows.longest / 2));
        }
        advice
    }
}

/// Floats per token that a pass keeps: per layer the inputs and outputs of its norms, rotated and unrotated queries and
/// keys, values, attention output, the three widths of the MLP, and of every adapted linear the product before the
/// magnitude (DoRA) and the low-rank input; above that the widths of one layer's backward.
fn kept_floats(settings: &Settings, config: &Config) -> f64 {
    let hidden = config.hidden_size;
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    let mlp = config.intermediate_size;
    let out = |module: &str| match module {
        "q_proj" => q,
        "k_proj" | "v_proj" => kv,
        "gate_proj" | "up_proj" => mlp,
        _ => hidden,
    };
    let dora = settings.adapter_type == AdapterType::Dora;
    let adapted: usize =
        settings.target_modules.iter().map(|name| settings.rank + if dora { out(name) } else { 0 }).sum();
    let layer = 4 * hidden + 3 * q + 3 * kv + 3 * mlp + config.num_attention_heads + adapted;
    let backward = 3 * hidden + 2 * q + 2 * kv + 4 * mlp;
    let layers = config.num_hidden_layers;
    let kept = if settings.gradient_checkpointing { layers * hidden + layer } else { layers * layer };
    (kept + backward) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batches::Batching;

    fn plan(settings: &Settings) -> Plan {
        let config = serde_json::json!({
            "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 512, "hidden_size": 64,
            "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 32, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 512,
            "tie_word_embeddings": true, "hidden_act": "silu", "attention_bias": false,
        });
        let config = Config::from_value(&config).unwrap();
        let batches = Batches::new(&[100, 50, 80, 30, 10], Batching { ..settings.batching() });
        let rows = Counts { tokens: 270, longest: 100, ..Counts::default() };
        Plan::new(settings, &config, &batches, rows, 1000, 1 << 20)
    }

    #[test]
    fn steps_tokens_and_memory_follow_from_the_settings() {
        let settings = Settings { batch_size: 2, gradient_accumulation_steps: 2, epochs: 2.0, ..Settings::default() };
        let found = plan(&settings);
        assert_eq!(
            (found.steps_per_epoch, found.total_steps, found.total_tokens, found.largest_batch),
            (2, 4, 540, 180)
        );
        // Of every layer 4·64 + 3·128 + 3·64 + 3·160 + 4 and DoRA's 6·12 + 128 + 64 + 64 + 64 + 160 + 64 floats a token.
        let floats = 3 * (256 + 384 + 192 + 480 + 4 + 616) + (192 + 256 + 128 + 640);
        let expected = f64::from(floats) * 180.0 * 4.0 / 1048576.0;
        assert!((found.memory.activations - expected).abs() < 0.06, "{} {expected}", found.memory.activations);
        let less = plan(&Settings { gradient_checkpointing: true, ..settings.clone() });
        assert!(less.memory.activations < found.memory.activations);
        assert!(found.advice(&settings)[0].starts_with("batch_size 1 and gradient_accumulation_steps 4"));
    }
}
