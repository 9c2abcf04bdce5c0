//! `config.json` of a decoder: both HF styles (flat, and `rope_parameters` as transformers 5 writes it), and the nested
//! `text_config` of multimodal checkpoints. What is not implemented is refused by name.

use std::path::Path;

use serde_json::Value;

use super::rope::Rope;
use crate::error::{Problem, Result};
use crate::fsx;

/// The families that are implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen3: RMSNorm on every query and key head.
    Qwen3,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Llama 2 and 3.
    Llama,
    /// Mistral, and the text part of `mistral3`.
    Mistral,
}

/// Shapes and constants of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which family.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f32,
    /// Rotary embedding.
    pub rope: Rope,
    /// Longest context, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// Bias on o.
    pub o_bias: bool,
    /// Biases on gate, up and down.
    pub mlp_bias: bool,
    /// The sliding window of each layer, where it has one, `[layers]`.
    pub windows: Vec<Option<usize>>,
    /// End-of-sequence ids of config.json.
    pub eos_token_ids: Vec<u32>,
    /// Begin-of-sequence id of config.json.
    pub bos_token_id: Option<u32>,
}

impl Config {
    /// Reads `config.json` of a model folder.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        if !path.is_file() {
            return Err(Problem::input(format!("{} has no config.json", dir.display()))
                .hint("give the folder of a Hugging Face model: config.json, tokenizer.json and *.safetensors")
                .into());
        }
        let value: Value = serde_json::from_str(&fsx::read_text(&path)?)
            .map_err(|error| Problem::input(format!("{} is not JSON", path.display())).detail(error.to_string()))?;
        Self::from_value(&value).map_err(|problem| {
            Problem { message: format!("{}: {}", path.display(), problem.message), ..problem }.into()
        })
    }

    /// Reads the parsed file.
    pub fn from_value(root: &Value) -> Result<Self, Problem> {
        // Multimodal checkpoints (mistral3) keep the decoder in text_config; flags such as tied embeddings may stand
        // outside it.
        let text = root.get("text_config").filter(|v| v.is_object());
        let fields = Fields { own: text.unwrap_or(root), outer: root };
        let model_type = fields.own.get("model_type").or(root.get("model_type")).and_then(Value::as_str).unwrap_or("");
        let family = match model_type {
            "qwen3" => Family::Qwen3,
            "qwen2" => Family::Qwen2,
            "llama" => Family::Llama,
            "mistral" | "mistral3" | "ministral3" => Family::Mistral,
            other => {
                return Err(Problem::input(format!("model_type {other:?} is not implemented"))
                    .hint("implemented are qwen3, qwen2, llama, mistral (and mistral3's text part)"));
            }
        };
        let hidden_size = fields.size("hidden_size")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let num_key_value_heads = fields.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads);
        let head_dim = fields.optional_size("head_dim")?.unwrap_or(hidden_size / num_attention_heads.max(1));
        let num_hidden_layers = fields.size("num_hidden_layers")?;
        let max_position_embeddings = fields.optional_size("max_position_embeddings")?.unwrap_or(2048);
        let attention_bias = fields.flag("attention_bias")?.unwrap_or(false);
        let config = Self {
            family,
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope: Rope::from_config(fields.own, head_dim, max_position_embeddings)?,
            max_position_embeddings,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: attention_bias || family == Family::Qwen2,
            o_bias: attention_bias && family != Family::Qwen2,
            mlp_bias: fields.flag("mlp_bias")?.unwrap_or(false),
            windows: windows(&fields, family, num_hidden_layers)?,
            eos_token_ids: token_ids(fields.own.get("eos_token_id").or(root.get("eos_token_id"))),
            bos_token_id: fields.own.get("bos_token_id").and_then(Value::as_u64).map(|id| id as u32),
        };
        config.refuse_what_is_not_implemented(&fields)?;
        Ok(config)
    }

    fn refuse_what_is_not_implemented(&self, fields: &Fields<'_>) -> Result<(), Problem> {
        let activation = fields.own.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
        if activation != "silu" {
            return Err(Problem::input(format!("hidden_act {activation:?} is not implemented (only \"silu\")")));
        }
        for (key, neutral) in
            [("partial_rotary_factor", 1.0), ("attention_multiplier", 0.0), ("final_logit_softcapping", 0.0)]
        {
            if fields.number(key)?.is_some_and(|value| value != neutral) {
                return Err(Problem::input(format!("{key} is not implemented")));
            }
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim == 0 {
            return Err(Problem::input(format!("head_dim {} is not an even number", self.head_dim)));
        }
        if self.num_key_value_heads == 0 || !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(Problem::input(format!(
                "num_attention_heads {} is not a multiple of num_key_value_heads {}",
                self.num_attention_heads, self.num_key_value_heads
            )));
        }
        Ok(())
    }
}

/// One id or a list of ids, as `eos_token_id` comes in both shapes.
pub(crate) fn token_ids(value: Option<&Value>) -> Vec<u32> {
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_u64).map(|id| id as u32).collect(),
        Some(value) => value.as_u64().map(|id| id as u32).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The window of each layer: `layer_types` decides where it is given; Qwen has `use_sliding_window` and
/// `max_window_layers`, Mistral the bare `sliding_window`.
fn windows(fields: &Fields<'_>, family: Family, layers: usize) -> Result<Vec<Option<usize>>, Problem> {
    let enabled = match family {
        Family::Qwen2 | Family::Qwen3 => fields.flag("use_sliding_window")?.unwrap_or(false),
        Family::Mistral => true,
        Family::Llama => false,
    };
    let window = fields.optional_size("sliding_window")?.filter(|_| enabled);
    if let Some(types) = fields.own.get("layer_types").and_then(Value::as_array) {
        if types.len() != layers {
            return Err(Problem::input(format!("layer_types has {} entries for {layers} layers", types.len())));
        }
        return types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                other => Err(Problem::input(format!("layer type {:?} is not implemented", other.unwrap_or("?")))),
            })
            .collect();
    }
    let first = match family {
        Family::Qwen2 | Family::Qwen3 => fields.optional_size("max_window_layers")?.unwrap_or(layers),
        _ => 0,
    };
    Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect())
}

/// Typed access that names the field in every error.
struct Fields<'a> {
    own: &'a Value,
    outer: &'a Value,
}

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.own.get(key).or_else(|| self.outer.get(key)).filter(|v| !v.is_null())
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>, Problem> {
        self.get(key)
            .map(|v| {
                v.as_u64()
                    .and_then(|n| usize::try_from(n).ok())
                    .filter(|n| (1..1 << 31).contains(n))
                    .ok_or_else(|| Problem::input(format!("{key} must be a positive whole number, found {v}")))
            })
            .transpose()
    }

    fn size(&self, key: &str) -> Result<usize, Problem> {
        self.optional_size(key)?.ok_or_else(|| Problem::input(format!("{key} is missing")))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Problem> {
        self.get(key)
            .map(|v| v.as_f64().ok_or_else(|| Problem::input(format!("{key} must be a number, found {v}"))))
            .transpose()
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        self.get(key)
            .map(|v| v.as_bool().ok_or_else(|| Problem::input(format!("{key} must be true or false, found {v}"))))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen3() -> Value {
        json!({"model_type": "qwen3", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 256, "tie_word_embeddings": true,
            "hidden_act": "silu", "eos_token_id": [2, 3]})
    }

    fn refusal(mut edit: impl FnMut(&mut Value)) -> String {
        let mut value = qwen3();
        edit(&mut value);
        Config::from_value(&value).unwrap_err().message
    }

    #[test]
    fn both_styles_read_the_same() {
        let flat = Config::from_value(&qwen3()).unwrap();
        let mut five = qwen3();
        five.as_object_mut().unwrap().remove("rope_theta");
        five["rope_parameters"] = json!({"rope_theta": 1e6, "rope_type": "default"});
        five["layer_types"] = json!(["full_attention", "full_attention", "full_attention"]);
        assert_eq!(Config::from_value(&five).unwrap(), flat);
        assert_eq!(flat.eos_token_ids, [2, 3]);
    }

    #[test]
    fn mistral3_keeps_its_decoder_in_text_config() {
        let mut text = qwen3();
        text["model_type"] = "mistral".into();
        text["sliding_window"] = 8.into();
        text.as_object_mut().unwrap().remove("tie_word_embeddings");
        let config =
            Config::from_value(&json!({"model_type": "mistral3", "text_config": text, "tie_word_embeddings": false}));
        let config = config.unwrap();
        assert_eq!((config.family, config.tie_word_embeddings), (Family::Mistral, false));
        assert_eq!(config.windows, vec![Some(8); 3]);
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        for (refused, name) in [
            (refusal(|v| v["model_type"] = "mamba".into()), "mamba"),
            (refusal(|v| v["hidden_act"] = "gelu".into()), "gelu"),
            (refusal(|v| v["rope_scaling"] = json!({"rope_type": "longrope", "factor": 2.0})), "longrope"),
            (refusal(|v| v["partial_rotary_factor"] = json!(0.5)), "partial_rotary_factor"),
            (refusal(|v| v["num_key_value_heads"] = 3.into()), "num_key_value_heads"),
            (refusal(|v| v["hidden_size"] = "64".into()), "hidden_size"),
            (
                refusal(|v| v["layer_types"] = json!(["chunked_attention", "full_attention", "full_attention"])),
                "chunked_attention",
            ),
        ] {
            assert!(refused.contains(name), "{refused}");
        }
    }
}
