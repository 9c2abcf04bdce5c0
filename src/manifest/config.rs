//! `training.config`: every key, as it is written in the manifest.

use serde_json::{Map, Value};

/// Reads a value of the manifest; `None` when it is absent, null or of another type (the check names those).
pub(super) trait FromJson: Sized {
    /// The value, if it is of this type.
    fn from_json(value: &Value) -> Option<Self>;
}

impl FromJson for bool {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromJson for f64 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl FromJson for u64 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64().or_else(|| value.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64))
    }
}

impl FromJson for usize {
    fn from_json(value: &Value) -> Option<Self> {
        u64::from_json(value).and_then(|n| usize::try_from(n).ok())
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromJson for Value {
    fn from_json(value: &Value) -> Option<Self> {
        (!value.is_null()).then(|| value.clone())
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_array().map(|list| list.iter().filter_map(T::from_json).collect())
    }
}

/// A struct of optional keys that knows their names.
macro_rules! keys {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            /// Keys that are none of the above (without `_comment…`), in their order.
            pub unknown: Vec<String>,
        }

        impl $name {
            /// The names of all keys.
            pub const KEYS: &[&str] = &[$(stringify!($field)),*];

            /// Reads the keys from a JSON object.
            pub fn from_object(object: &serde_json::Map<String, serde_json::Value>) -> Self {
                Self {
                    $($field: object.get(stringify!($field)).and_then($crate::manifest::config::FromJson::from_json),)*
                    unknown: object
                        .keys()
                        .filter(|key| !Self::KEYS.contains(&key.as_str()) && !key.starts_with("_comment"))
                        .cloned()
                        .collect(),
                }
            }
        }
    };
}
pub(super) use keys;

keys! {
    /// Every key of `training.config` (and so of `training_overrides`). What is not said is `None`: defaults are the
    /// trainer's business. The aliases `num_epochs` and `eval_strategy` are read as `epochs` and `evaluation_strategy`.
    TrainingConfig {
        /// `sft`.
        method: String,
        /// `lora`, `dora`, `ia3`, `lokr`, `adalora` or `full`.
        adapter_type: String,
        /// Rank of the adapter, 1–1024.
        rank: usize,
        /// α; the branch is scaled by α / rank.
        alpha: f64,
        /// Names of the linears that get an adapter.
        target_modules: Vec<String>,
        /// IA³ only.
        feedforward_modules: Vec<String>,
        /// Ranks of single modules, pattern → rank (PEFT).
        rank_pattern: Value,
        /// α of single modules, pattern → α (PEFT).
        alpha_pattern: Value,
        /// rsLoRA: scale by α / √rank.
        use_rslora: bool,
        /// Passes over the data; fractions allowed.
        epochs: f64,
        /// Optimiser steps; wins over `epochs`.
        max_steps: usize,
        /// Highest learning rate.
        learning_rate: f64,
        /// Examples per forward pass.
        batch_size: usize,
        /// Examples per forward pass of the evaluation.
        eval_batch_size: usize,
        /// Forward passes per optimiser step.
        gradient_accumulation_steps: usize,
        /// Steps of linear warm-up.
        warmup_steps: usize,
        /// Warm-up as a share of all steps; wins over `warmup_steps`.
        warmup_ratio: f64,
        /// `linear`, `cosine`, `constant`, `polynomial` or `cosine_with_restarts`.
        lr_scheduler: String,
        /// Arguments of the scheduler: `num_cycles`, `power`, `lr_end`.
        lr_scheduler_kwargs: Value,
        /// Dropout before the adapter's branch, 0–1.
        dropout: f64,
        /// AdamW's decay.
        weight_decay: f64,
        /// Gradients are scaled down to this norm.
        max_grad_norm: f64,
        /// AdamW's β₁.
        adam_beta1: f64,
        /// AdamW's β₂.
        adam_beta2: f64,
        /// AdamW's ε.
        adam_epsilon: f64,
        /// `answer`, `question` (with the answer) or `all`: the tokens the loss is taken over.
        train_on: String,
        /// Seed of initialisation, order and dropout.
        seed: u64,
        /// Upstream's training library; no meaning here.
        use_unsloth: bool,
        /// Longest sequence in tokens.
        max_seq_length: usize,
        /// Several examples per row.
        packing: bool,
        /// Half precision.
        fp16: bool,
        /// bfloat16.
        bf16: bool,
        /// NVIDIA's TF32.
        use_tf32: bool,
        /// Fused attention.
        use_sdpa: bool,
        /// Flash attention.
        flash_attention_2: bool,
        /// Memory-efficient attention.
        memory_efficient_attention: bool,
        /// Recompute activations: a bool, or upstream's `"selective"`.
        activation_checkpointing: Value,
        /// Python's compiler; no meaning here.
        torch_compile: bool,
        /// Python's compiler; no meaning here.
        torch_compile_backend: String,
        /// Python's compiler; no meaning here.
        torch_compile_mode: String,
        /// CUDA graphs.
        use_cuda_graphs: bool,
        /// CUDA graphs.
        cuda_graph_warmup_steps: usize,
        /// Python's allocator; no meaning here.
        memory_clear_every: usize,
        /// Name of the optimiser.
        optim: String,
        /// Batches of similar length.
        group_by_length: bool,
        /// Python's data loader; no meaning here.
        dataloader_num_workers: usize,
        /// Python's data loader; no meaning here.
        dataloader_pin_memory: bool,
        /// Python's data loader; no meaning here.
        dataloader_prefetch_factor: usize,
        /// Python's data loader; no meaning here.
        dataloader_persistent_workers: bool,
        /// A line of metrics every so many steps.
        logging_steps: usize,
        /// `no`, `steps` or `epoch`.
        save_strategy: String,
        /// A checkpoint every so many steps.
        save_steps: usize,
        /// Checkpoints kept; 0 stands for "all" (written as `null` upstream).
        save_total_limit: usize,
        /// `no`, `steps` or `epoch`.
        evaluation_strategy: String,
        /// An evaluation every so many steps.
        eval_steps: usize,
        /// `final` is the best checkpoint, not the last.
        load_best_model_at_end: bool,
        /// What decides the best checkpoint, `eval_loss`.
        metric_for_best_model: String,
        /// Whether more of it is better.
        greater_is_better: bool,
        /// Stop after so many evaluations without a better one.
        early_stopping_patience: usize,
        /// What counts as better.
        early_stopping_threshold: f64,
        /// Recompute activations: a bool, or upstream's `"selective"` (which it treats as true).
        gradient_checkpointing: Value,
        /// Python's arguments; no meaning here.
        gradient_checkpointing_kwargs: Value,
        /// Numbers that a whole model is stored in: `float32` or `bfloat16`.
        save_dtype: String,
        /// Upstream's Arrow cache.
        pretokenized_cache: String,
        /// Quantise the embedding and the head like the linears (`base_models[].quantization`).
        quantize_embeddings: bool,
    }
}

/// The name of a key without its aliases.
pub(super) fn canonical_key(key: &str) -> &str {
    match key {
        "num_epochs" => "epochs",
        "eval_strategy" => "evaluation_strategy",
        other => other,
    }
}

/// The object with aliases replaced; the real name wins where both stand. A null limit of checkpoints becomes 0.
pub(super) fn canonical_keys(object: &Map<String, Value>) -> Map<String, Value> {
    let mut canonical = Map::new();
    for (key, value) in object {
        let name = canonical_key(key);
        if name != key && object.contains_key(name) {
            continue;
        }
        let value = if name == "save_total_limit" && value.is_null() { Value::from(0) } else { value.clone() };
        canonical.insert(name.to_owned(), value);
    }
    canonical
}
