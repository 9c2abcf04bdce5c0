//! The manifest's fields as a table: key, shape, and who needs it. Read by the check and by `set`.
//!
//! Taken from upstream's JSON schema and Rust structs together; where they contradict each other both are allowed.
//! Fields that only inform people are `soft`: whatever is wrong with them is a warning.

/// The shape of a value. Null counts as absent.
#[derive(Debug)]
pub(super) enum Kind {
    /// Anything.
    Any,
    /// A string.
    Text,
    /// A string that is not empty.
    NonEmpty,
    /// `true` or `false`.
    Bool,
    /// A whole number from … to ….
    Int(u64, u64),
    /// A number from … to ….
    Number(f64, f64),
    /// A number above 0.
    Positive,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, others draw a warning.
    Usually(&'static [&'static str]),
    /// 64 hex digits, with or without `sha256:`, or empty.
    Hash,
    /// A list.
    List(&'static Kind),
    /// A list with at least one item.
    NonEmptyList(&'static Kind),
    /// An object whose keys are free.
    Map(&'static Kind),
    /// An object with these keys.
    Object(&'static [Field]),
    /// Either shape, told apart by the JSON type.
    Either(&'static Kind, &'static Kind),
}

/// Who needs a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nobody.
    Optional,
    /// Upstream's parser or schema: its absence is a warning.
    Wanted,
    /// We: its absence is an error.
    Must,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    /// Its key.
    pub key: &'static str,
    /// Another name it goes by.
    pub alias: Option<&'static str>,
    /// Its shape.
    pub kind: Kind,
    /// Who needs it.
    pub need: Need,
    /// Whether all that is wrong in it is but a warning.
    pub soft: bool,
}

impl Field {
    /// Whether `key` names this field.
    pub fn is(&self, key: &str) -> bool {
        self.key == key || self.alias == Some(key)
    }

    const fn need(mut self, need: Need) -> Self {
        self.need = need;
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }
}

const fn f(key: &'static str, kind: Kind) -> Field {
    Field { key, alias: None, kind, need: Need::Optional, soft: false }
}

const fn must(key: &'static str, kind: Kind) -> Field {
    f(key, kind).need(Need::Must)
}

const fn wanted(key: &'static str, kind: Kind) -> Field {
    f(key, kind).need(Need::Wanted)
}

const fn soft(key: &'static str, kind: Kind) -> Field {
    Field { key, alias: None, kind, need: Need::Optional, soft: true }
}

/// Highest rank (upstream's schema stops at 256; askGuru trains with 512).
pub(super) const MAX_RANK: u64 = 1024;

const ANY_INT: Kind = Kind::Int(0, u64::MAX);
const COUNT: Kind = Kind::Int(1, u64::MAX);
const SHARE: Kind = Kind::Number(0.0, 1.0);
const TEXTS: Kind = Kind::List(&Kind::Text);
const ADAPTER_TYPES: &[&str] = &["lora", "dora", "ia3", "lokr", "adalora", "full"];
const STRATEGIES: Kind = Kind::OneOf(&["no", "steps", "epoch"]);
const SELECTIVE: Kind = Kind::Either(&Kind::Bool, &Kind::OneOf(&["selective", "on", "off"]));

/// The linears of a layer that adapters are trained on; others may come in adapters trained elsewhere.
const MODULE: Kind = Kind::Usually(&["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]);
/// PEFT's word for all of them, or a list.
const MODULES: Kind = Kind::Either(&Kind::OneOf(&["all-linear"]), &Kind::NonEmptyList(&MODULE));

/// The whole manifest.
pub(super) static ROOT: Kind = Kind::Object(&[
    must("name", Kind::NonEmpty),
    must("version", Kind::NonEmpty),
    f("schema_version", Kind::Usually(&["1.0", "2.0"])),
    f("$schema", Kind::Text),
    wanted("description", Kind::Text),
    soft("author", Kind::Any),
    soft("homepage", Kind::Text),
    soft("repository", Kind::Any),
    soft("license", Kind::Text).need(Need::Wanted),
    soft("tags", TEXTS),
    soft("limitations", Kind::List(&Kind::Either(&Kind::Text, &Kind::Map(&Kind::Any)))),
    wanted("capabilities", Kind::List(&Kind::Text)),
    f("soft_prompts", Kind::List(&Kind::Object(SOFT_PROMPT))),
    f("base_model", Kind::Object(BASE_MODEL_V1)),
    f("adapters", Kind::List(&Kind::Object(ADAPTER))),
    f("base_models", Kind::List(&Kind::Object(BASE_MODEL))),
    soft("routing", Kind::Object(ROUTING)),
    soft("constraints", Kind::Object(CONSTRAINTS)).need(Need::Wanted),
    soft("perf", Kind::Map(&Kind::Any)),
    soft("runtime", Kind::Map(&Kind::Any)),
    soft("evaluation", Kind::Object(EVALUATION)),
    soft("quality_metrics", Kind::Map(&Kind::Any)),
    soft("integrity", Kind::Object(INTEGRITY)),
    f("package", Kind::Map(&Kind::Any)),
    must("training", Kind::Object(TRAINING)),
]);

const SOFT_PROMPT: &[Field] = &[
    must("name", Kind::NonEmpty),
    must("path", Kind::NonEmpty),
    f("tokens", Kind::Int(1, 512)),
    f("init_method", Kind::Usually(&["random", "text", "vocab_sample"])),
    f("init_text", Kind::Text),
    f("purpose", Kind::Text),
];

const QUANTIZATION: Kind = Kind::Usually(&["int4", "int8", "nf4", "fp16", "bf16", "fp32", "none"]);
const ROPE_SCALING: Kind = Kind::Either(&Kind::Text, &Kind::Map(&Kind::Any));

const BASE_MODEL_V1: &[Field] = &[
    must("name", Kind::NonEmpty),
    f("sha256", Kind::Hash),
    f("quantization", QUANTIZATION),
    f("quantize_embeddings", Kind::Bool),
    f("rope_scaling", ROPE_SCALING),
    f("prompt_template", TEMPLATE),
    f("training_overrides", Kind::Object(CONFIG_OPTIONAL)),
];

const TEMPLATE: Kind = Kind::Usually(&[
    "chatml", "qwen3", "qwen", "llama2", "llama", "mistral", "alpaca", "vicuna", "simple", "custom", "",
]);

const BASE_MODEL: &[Field] = &[
    must("name", Kind::NonEmpty),
    f("sha256", Kind::Hash),
    f("quantization", QUANTIZATION),
    f("quantize_embeddings", Kind::Bool),
    f("rope_scaling", ROPE_SCALING),
    f("prompt_template", TEMPLATE),
    must("adapters", Kind::NonEmptyList(&Kind::Object(ADAPTER))),
    f("training_overrides", Kind::Object(CONFIG_OPTIONAL)),
];

const ADAPTER: &[Field] = &[
    must("type", Kind::OneOf(ADAPTER_TYPES)),
    wanted("target_modules", Kind::Either(&Kind::OneOf(&["all-linear"]), &Kind::List(&MODULE))),
    f("feedforward_modules", TEXTS),
    f("r", Kind::Int(1, MAX_RANK)),
    f("alpha", Kind::Positive),
    f("scaling", Kind::Usually(&["default", "standard", "dora", "learned"])),
    f("dropout", SHARE),
    f("use_dora", Kind::Bool),
    f("use_rslora", Kind::Bool),
    f("checkpoint_step", ANY_INT),
    f("path", Kind::Text),
    f("size_bytes", ANY_INT),
    f("sha256", Kind::Hash),
];

const ROUTING: &[Field] =
    &[f("keywords", TEXTS), f("exclude_keywords", TEXTS), f("router_hint", Kind::Text), f("priority", SHARE)];

const CONSTRAINTS: &[Field] = &[
    f("max_chain", COUNT),
    wanted("load_order", ANY_INT),
    wanted("incompatible_with", TEXTS),
    wanted("requires", TEXTS),
];

/// Upstream's schema: test_cases, suite, metrics as map or list; its Rust: test_set_size, metrics as map.
const EVALUATION: &[Field] = &[
    f("test_cases", Kind::Any),
    f("suite", Kind::Any),
    f("test_set_size", ANY_INT),
    f("metrics", Kind::Either(&Kind::Map(&Kind::Any), &Kind::List(&Kind::Any))),
];

/// Upstream's schema: timestamp, public_key, signature; its Rust: the rest.
const INTEGRITY: &[Field] = &[
    f("timestamp", Kind::Text),
    f("public_key", Kind::Text),
    f("signature", Kind::Text),
    f("created_at", Kind::Text),
    f("publisher", Kind::Text),
    f("pubkey", Kind::Text),
    f("signature_algorithm", Kind::Text),
    f("files", Kind::Map(&Kind::Text)),
];

const TRAINING: &[Field] = &[
    f("packaging_checkpoint", Kind::NonEmpty),
    f("dataset", Kind::Object(DATASET)),
    must("config", Kind::Object(CONFIG)),
    f("decoding", Kind::Object(DECODING)),
    soft("metadata", Kind::Map(&Kind::Any)),
    soft("trained_on", Kind::Any),
    soft("base_model_version", Kind::Any),
    soft("checkpoint", Kind::Any),
    soft("quality_score", Kind::Any),
    soft("test_scenarios", Kind::Any),
    soft("alternative_checkpoints", Kind::Any),
    soft("training_time_hours", Kind::Any),
    soft("gpu", Kind::Any),
];

const DATASET: &[Field] = &[
    f("path", Kind::NonEmpty),
    f("validation_path", Kind::NonEmpty),
    f("test_path", Kind::NonEmpty),
    f("validation_split", SHARE),
    f("type", Kind::Usually(&["single", "multi_task", "huggingface"])),
    f("format", Kind::Usually(&["jsonl", "json", "huggingface", "csv", "parquet", "arrow"])),
    f("field_mapping", Kind::Map(&Kind::Text)),
    f("text_field", Kind::NonEmpty),
    f("tasks", Kind::Map(&Kind::Any)),
    soft("validation", Kind::Map(&Kind::Any)),
    soft("augmentation", Kind::Map(&Kind::Any)),
    f("streaming", Kind::Bool),
    f("max_in_memory_samples", COUNT),
    f("use_pretokenized", Kind::Bool),
    soft("generation", Kind::Map(&Kind::Any)),
    soft("source", Kind::Any),
    soft("sources", Kind::Any),
    soft("preprocessing", Kind::Any),
    soft("format_distribution", Kind::Any),
    soft("task_distribution", Kind::Any),
    soft("splits", Kind::Any),
    soft("description", Kind::Any),
    soft("size", Kind::Any),
];

const DECODING: &[Field] = &[
    f("temperature", Kind::Number(0.0, 2.0)),
    f("top_p", SHARE),
    f("top_k", ANY_INT),
    f("min_p", SHARE),
    f("repetition_penalty", Kind::Positive),
    f("max_new_tokens", COUNT),
    f("max_tokens", COUNT),
    f("seed", ANY_INT),
    f("stop_sequences", TEXTS),
    f("use_grammar", Kind::Bool),
    f(
        "grammar_type",
        Kind::Usually(&[
            "json",
            "gbnf",
            "sql",
            "sql-postgres",
            "sql-mysql",
            "sql-sqlite",
            "cypher",
            "typescript",
            "python",
        ]),
    ),
    f("grammar_file", Kind::Text),
    f("validation", Kind::Usually(&["parser", "parser-strict", "tsc", "explain", "none"])),
    f("validation_cmd", Kind::Text),
    f("enable_thinking", Kind::Bool),
];

/// `training.config`.
pub(super) const CONFIG: &[Field] = &config(true);
/// `training_overrides`: the same keys, none of them needed.
pub(super) const CONFIG_OPTIONAL: &[Field] = &config(false);

const fn config(needed: bool) -> [Field; 65] {
    let want = if needed { Need::Wanted } else { Need::Optional };
    [
        // Others may be trained elsewhere and run here, so a method is no reason to refuse a manifest.
        f("method", Kind::Usually(&["sft"])).need(want),
        f("adapter_type", Kind::OneOf(ADAPTER_TYPES)).need(want),
        f("rank", Kind::Int(1, MAX_RANK)),
        f("alpha", Kind::Positive),
        f("target_modules", MODULES).need(want),
        f("feedforward_modules", TEXTS),
        f("rank_pattern", Kind::Map(&Kind::Int(1, MAX_RANK))),
        f("alpha_pattern", Kind::Map(&Kind::Positive)),
        f("use_rslora", Kind::Bool),
        f("epochs", Kind::Positive).alias("num_epochs").need(want),
        f("max_steps", COUNT),
        f("learning_rate", Kind::Positive).need(want),
        f("batch_size", COUNT).need(want),
        f("eval_batch_size", COUNT),
        f("gradient_accumulation_steps", COUNT).need(want),
        f("warmup_steps", ANY_INT),
        f("warmup_ratio", SHARE),
        f(
            "lr_scheduler",
            Kind::OneOf(&[
                "linear",
                "cosine",
                "constant",
                "polynomial",
                "cosine_with_restarts",
                "constant_with_warmup",
            ]),
        )
        .need(want),
        f("lr_scheduler_kwargs", Kind::Map(&Kind::Any)),
        f("dropout", SHARE),
        f("weight_decay", Kind::Number(0.0, f64::MAX)),
        f("max_grad_norm", Kind::Number(0.0, f64::MAX)),
        f("adam_beta1", SHARE),
        f("adam_beta2", SHARE),
        f("adam_epsilon", Kind::Positive),
        f("train_on", Kind::OneOf(&["answer", "question", "all"])),
        f("seed", ANY_INT),
        f("use_unsloth", Kind::Bool),
        f("max_seq_length", COUNT),
        f("packing", Kind::Bool),
        f("fp16", Kind::Bool),
        f("bf16", Kind::Bool),
        f("use_tf32", Kind::Bool),
        f("use_sdpa", Kind::Bool),
        f("flash_attention_2", Kind::Bool),
        f("memory_efficient_attention", Kind::Bool),
        f("activation_checkpointing", SELECTIVE),
        f("torch_compile", Kind::Bool),
        f("torch_compile_backend", Kind::Text),
        f("torch_compile_mode", Kind::Text),
        f("use_cuda_graphs", Kind::Bool),
        f("cuda_graph_warmup_steps", ANY_INT),
        f("memory_clear_every", ANY_INT),
        f("optim", Kind::Text),
        f("group_by_length", Kind::Bool),
        f("dataloader_num_workers", ANY_INT),
        f("dataloader_pin_memory", Kind::Bool),
        f("dataloader_prefetch_factor", ANY_INT),
        f("dataloader_persistent_workers", Kind::Bool),
        f("logging_steps", COUNT),
        f("save_strategy", STRATEGIES),
        f("save_steps", COUNT),
        f("save_total_limit", ANY_INT),
        f("evaluation_strategy", STRATEGIES).alias("eval_strategy"),
        f("eval_steps", COUNT),
        f("load_best_model_at_end", Kind::Bool),
        f("metric_for_best_model", Kind::Text),
        f("greater_is_better", Kind::Bool),
        f("early_stopping_patience", COUNT),
        f("early_stopping_threshold", Kind::Number(0.0, f64::MAX)),
        f("gradient_checkpointing", SELECTIVE),
        f("gradient_checkpointing_kwargs", Kind::Map(&Kind::Any)),
        f("save_dtype", Kind::OneOf(&["float32", "bfloat16"])),
        f("pretokenized_cache", Kind::Text),
        f("quantize_embeddings", Kind::Bool),
    ]
}
