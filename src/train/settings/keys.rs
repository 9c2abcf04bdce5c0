//! Every key of `training.config` this program knows: those it honours and those that have no meaning here, with the
//! reason. `resolve` refuses to pass over a key in silence.

use serde_json::Value;

use crate::manifest::did_you_mean;

/// Keys that are honoured.
pub const HONOURED: &[&str] = &[
    "method",
    "adapter_type",
    "rank",
    "alpha",
    "dropout",
    "target_modules",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "epochs",
    "max_steps",
    "learning_rate",
    "batch_size",
    "eval_batch_size",
    "gradient_accumulation_steps",
    "warmup_steps",
    "warmup_ratio",
    "lr_scheduler",
    "lr_scheduler_kwargs",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "save_dtype",
    "bf16",
    "max_grad_norm",
    "max_seq_length",
    "packing",
    "group_by_length",
    "train_on",
    "gradient_checkpointing",
    "quantize_embeddings",
    "seed",
    "logging_steps",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "evaluation_strategy",
    "eval_steps",
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
    "early_stopping_patience",
    "early_stopping_threshold",
];

/// Keys that shape an adapter: without one they say nothing.
pub const OF_ADAPTERS: &[&str] =
    &["rank", "alpha", "dropout", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern"];

/// Other spellings of honoured keys.
pub const ALIASES: &[(&str, &str)] = &[
    ("num_epochs", "epochs"),
    ("eval_strategy", "evaluation_strategy"),
    ("activation_checkpointing", "gradient_checkpointing"),
];

const PRECISION: &str = "bf16 rounds base weights to bfloat16; other arithmetic, and the adapter, are f32";
const ATTENTION: &str = "there is one attention here, exact and without padding";
const RECOMPUTE: &str =
    "gradient_checkpointing says whether layers run again for their backward, and there is one way to do it";
const COMPILED: &str = "nothing is compiled at run time";
const LOADER: &str = "token ids are held in memory, there are no loader processes";

/// Keys without a meaning here, and why.
const MEANINGLESS: &[(&str, &str)] = &[
    ("use_unsloth", "the trainer is built in"),
    ("fp16", PRECISION),
    ("use_tf32", PRECISION),
    ("use_sdpa", ATTENTION),
    ("flash_attention_2", ATTENTION),
    ("memory_efficient_attention", ATTENTION),
    ("gradient_checkpointing_kwargs", RECOMPUTE),
    ("torch_compile", COMPILED),
    ("torch_compile_backend", COMPILED),
    ("torch_compile_mode", COMPILED),
    ("use_cuda_graphs", COMPILED),
    ("cuda_graph_warmup_steps", COMPILED),
    ("memory_clear_every", "memory is given back as soon as it is not used"),
    ("dataloader_num_workers", LOADER),
    ("dataloader_pin_memory", LOADER),
    ("dataloader_prefetch_factor", LOADER),
    ("dataloader_persistent_workers", LOADER),
    ("pretokenized_cache", "token ids are cached by content under EXPERT_HOME, whatever the manifest says"),
    ("feedforward_modules", "only IA³ has them"),
];

/// Why this key changes nothing, or none if it is honoured or asks for nothing (false, null, 0, an empty list).
pub fn unused(key: &str, value: &Value) -> Option<String> {
    let asks_nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    };
    if key.starts_with('_') || HONOURED.contains(&key) || ALIASES.iter().any(|(alias, _)| *alias == key) {
        return None;
    }
    match MEANINGLESS.iter().find(|(name, _)| *name == key) {
        Some(_) if asks_nothing => None,
        Some((_, reason)) => Some((*reason).to_owned()),
        None => Some(match closest(key) {
            Some(name) => format!("unknown; did you mean `{name}`?"),
            None => "unknown".to_owned(),
        }),
    }
}

/// The known key that a misspelt one is nearest to, if it is near at all.
fn closest(key: &str) -> Option<&'static str> {
    did_you_mean(key, HONOURED.iter().copied().chain(MEANINGLESS.iter().map(|(name, _)| *name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_key_passes_in_silence() {
        assert_eq!(unused("rank", &json!(8)), None);
        assert_eq!(unused("_comment", &json!("x")), None);
        assert_eq!(unused("use_unsloth", &json!(false)), None);
        assert_eq!(unused("use_unsloth", &json!(true)), Some("the trainer is built in".into()));
        assert_eq!(unused("learning_rat", &json!(1)), Some("unknown; did you mean `learning_rate`?".into()));
        assert_eq!(unused("zebra", &json!(0)), Some("unknown".into()));
    }

    #[test]
    fn every_key_of_the_manifest_is_known() {
        for key in crate::manifest::TrainingConfig::KEYS {
            assert_ne!(unused(key, &json!(1)).as_deref(), Some("unknown"), "{key}");
            assert!(!unused(key, &json!(1)).is_some_and(|reason| reason.starts_with("unknown;")), "{key}");
        }
    }
}
