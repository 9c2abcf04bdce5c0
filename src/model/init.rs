//! Models from random numbers: a HF folder (config.json, generation_config.json, model.safetensors) given only shapes.
//! Their answers are noise; they serve for trying things out, for tests, and as the start of training from scratch.

use std::collections::HashMap;
use std::path::Path;

use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::error::Result;
use crate::fsx;
use crate::kernels::random::{mix, normal};

/// Shapes of a Qwen3 model with tied embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomModel {
    /// Rows of the embedding; at least the tokenizer's ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest context.
    pub max_positions: usize,
    /// End-of-sequence id.
    pub eos_token_id: u32,
    /// Padding id.
    pub pad_token_id: u32,
    /// Store bf16 instead of f32.
    pub bf16: bool,
    /// Seed of the numbers.
    pub seed: u64,
}

impl Default for RandomModel {
    /// About a quarter of a million parameters.
    fn default() -> Self {
        Self {
            vocab_size: 1024,
            hidden_size: 64,
            intermediate_size: 160,
            layers: 3,
            heads: 4,
            kv_heads: 2,
            head_dim: 32,
            max_positions: 1024,
            eos_token_id: 2,
            pad_token_id: 0,
            bf16: false,
            seed: 0,
        }
    }
}

impl RandomModel {
    /// Number of parameters, the tied embedding counted once.
    pub fn parameters(&self) -> usize {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let linears = self.hidden_size * (2 * q + 2 * kv + 3 * self.intermediate_size);
        let norms = 2 * self.hidden_size + 2 * self.head_dim;
        self.vocab_size * self.hidden_size + self.layers * (linears + norms) + self.hidden_size
    }
}

/// Writes the folder. Linears are N(0, 1/in), the embedding N(0, 4/hidden) so that logits have a deviation of about 2
/// and an adapter can reach any of them; norms are 1.
pub fn write_random(dir: &Path, model: &RandomModel) -> Result<()> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut gaussian = |name: String, rows: usize, cols: usize, deviation: f64| {
        let key = name.bytes().fold(mix(&[model.seed]), |key, byte| mix(&[key, u64::from(byte)]));
        tensors.push((name, vec![rows, cols], normal(key, rows * cols, deviation)));
    };
    let (hidden, mlp) = (model.hidden_size, model.intermediate_size);
    let (q, kv) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
    gaussian("model.embed_tokens.weight".into(), model.vocab_size, hidden, 2.0 / (hidden as f64).sqrt());
    let mut ones = vec![("model.norm.weight".to_owned(), hidden)];
    for layer in 0..model.layers {
        let path = format!("model.layers.{layer}");
        for (name, out, inner) in [
            ("self_attn.q_proj", q, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, q),
            ("mlp.gate_proj", mlp, hidden),
            ("mlp.up_proj", mlp, hidden),
            ("mlp.down_proj", hidden, mlp),
        ] {
            gaussian(format!("{path}.{name}.weight"), out, inner, 1.0 / (inner as f64).sqrt());
        }
        ones.push((format!("{path}.input_layernorm.weight"), hidden));
        ones.push((format!("{path}.post_attention_layernorm.weight"), hidden));
        ones.push((format!("{path}.self_attn.q_norm.weight"), model.head_dim));
        ones.push((format!("{path}.self_attn.k_norm.weight"), model.head_dim));
    }
    tensors.extend(ones.into_iter().map(|(name, len)| (name, vec![len], vec![1.0; len])));

    let bytes = |values: &[f32]| -> Vec<u8> {
        if model.bf16 {
            values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|v| v.to_le_bytes()).collect()
        }
    };
    let dtype = if model.bf16 { Dtype::BF16 } else { Dtype::F32 };
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| Ok((name.clone(), TensorView::new(dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let file = safetensors::serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())])))?;
    fsx::write_atomic(&dir.join("model.safetensors"), &file)?;
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "eos_token_id": model.eos_token_id,
        "head_dim": model.head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": mlp,
        "max_position_embeddings": model.max_positions,
        "max_window_layers": model.layers,
        "model_type": "qwen3",
        "num_attention_heads": model.heads,
        "num_hidden_layers": model.layers,
        "num_key_value_heads": model.kv_heads,
        "pad_token_id": model.pad_token_id,
        "rms_norm_eps": 1e-6,
        "rope_scaling": null,
        "rope_theta": 1_000_000.0,
        "sliding_window": null,
        "tie_word_embeddings": true,
        "torch_dtype": if model.bf16 { "bfloat16" } else { "float32" },
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": model.vocab_size,
    });
    let generation = json!({"eos_token_id": model.eos_token_id, "pad_token_id": model.pad_token_id});
    for (name, value) in [("config.json", config), ("generation_config.json", generation)] {
        fsx::write_atomic(&dir.join(name), format!("{value:#}\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Decoder, NoAdapters};

    /// A bf16 model's exact logits are those of the same numbers held in f32.
    #[test]
    fn exact_activations_give_the_logits_of_f32() {
        let dir = tempfile::tempdir().unwrap();
        write_random(dir.path(), &RandomModel { bf16: true, ..RandomModel::default() }).unwrap();
        let exact = Decoder::load(dir.path()).unwrap().with_exact_activations();
        let mut wide = Decoder::load(dir.path()).unwrap();
        wide.visit_tensors(&mut |_, tensor| {
            let values = tensor.to_f32();
            tensor.set(&values);
        });
        let mut batch = Batch::default();
        batch.push(&(0..40).map(|i| i * 23 % 1000).collect::<Vec<u32>>());
        let logits = |decoder: &Decoder| decoder.logits(&batch, &NoAdapters).unwrap();
        let worst = logits(&exact).iter().zip(logits(&wide)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst}");
    }

    #[test]
    fn a_random_model_loads_and_its_logits_spread() {
        for bf16 in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            write_random(dir.path(), &RandomModel { bf16, ..RandomModel::default() }).unwrap();
            let decoder = Decoder::load(dir.path()).unwrap();
            let mut batch = Batch::default();
            batch.push(&[1, 5, 1023, 7]);
            let logits = decoder.logits(&batch, &NoAdapters).unwrap();
            let deviation = (logits.iter().map(|x| x * x).sum::<f32>() / logits.len() as f32).sqrt();
            assert!((1.0..4.0).contains(&deviation), "{deviation}");
        }
    }
}
