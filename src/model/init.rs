//! Models from random numbers: a HF folder (config.json, generation_config.json, model.safetensors) given only shapes.
//! Their answers are noise; they serve for trying things out, for tests, and as the start of training from scratch.

use std::io::Write as _;
use std::path::Path;

use half::bf16;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::fsx;
use crate::kernels::random::{mix, normal_part};

/// Numbers drawn by one thread at once; even, as they come in pairs.
const PART: usize = 1 << 16;

/// Such parts held in memory.
const PARTS_AT_ONCE: usize = 64;

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
    let mut tensors = Vec::new();
    let mut gaussian = |name: String, rows: usize, cols: usize, deviation: f64| {
        tensors.push(Tensor { name, shape: vec![rows, cols], deviation: Some(deviation) });
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
    tensors.extend(ones.into_iter().map(|(name, len)| Tensor { name, shape: vec![len], deviation: None }));
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    write_tensors(&dir.join("model.safetensors"), model, &tensors)?;
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

/// A tensor to be made.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Of N(0, deviation²); none: all are 1.
    deviation: Option<f64>,
}

/// The safetensors file as the `safetensors` crate would write it, a part of a tensor in memory at a time.
fn write_tensors(path: &Path, model: &RandomModel, tensors: &[Tensor]) -> Result<()> {
    let element = if model.bf16 { 2 } else { 4 };
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut start = 0;
    for Tensor { name, shape, .. } in tensors {
        let end = start + shape.iter().product::<usize>() * element;
        let dtype = if model.bf16 { "BF16" } else { "F32" };
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
        start = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = fsx::AtomicFile::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for Tensor { name, shape, deviation } in tensors {
        let key = name.bytes().fold(mix(&[model.seed]), |key, byte| mix(&[key, u64::from(byte)]));
        let len = shape.iter().product::<usize>() as u64;
        for first in (0..len).step_by(PART * PARTS_AT_ONCE) {
            let parts: Vec<Vec<u8>> = (first..len.min(first + (PART * PARTS_AT_ONCE) as u64))
                .step_by(PART)
                .collect::<Vec<_>>()
                .into_par_iter()
                .map(|first| {
                    let part = first..len.min(first + PART as u64);
                    let values = match deviation {
                        Some(deviation) => normal_part(key, part, *deviation),
                        None => vec![1.0; (part.end - part.start) as usize],
                    };
                    if model.bf16 {
                        values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect()
                    } else {
                        values.iter().flat_map(|v| v.to_le_bytes()).collect()
                    }
                })
                .collect();
            for part in parts {
                file.write_all(&part)?;
            }
        }
    }
    file.commit()
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
