//! Typed views of the manifest's blocks.

use serde_json::{Map, Value};

use super::config::keys;

/// One base model and the adapters trained for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BaseModel {
    /// Name, hub id or path.
    pub name: String,
    /// Content hash, 64 hex digits.
    pub sha256: Option<String>,
    /// `int4`, `int8`, `nf4`, `fp16`, `bf16` or `none`.
    pub quantization: Option<String>,
    /// Whether the embedding and the head are quantised too; `training.config.quantize_embeddings` where the entry is
    /// silent.
    pub quantize_embeddings: Option<bool>,
    /// A name or an object.
    pub rope_scaling: Option<Value>,
    /// The chat layout its rows were trained with.
    pub prompt_template: Option<String>,
    /// The adapters; of a v1 manifest those of the root.
    pub adapters: Vec<AdapterEntry>,
    /// Keys of `training.config` that differ for this model.
    pub training_overrides: Map<String, Value>,
}

/// What the manifest says of one adapter; its own `adapter_config.json` decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdapterEntry {
    /// `lora`, `dora`, `ia3`, `lokr`, `adalora` or `full`.
    pub kind: String,
    /// Names of the linears.
    pub target_modules: Vec<String>,
    /// Rank.
    pub r: Option<usize>,
    /// α.
    pub alpha: Option<f64>,
    /// Where old manifests put it.
    pub path: Option<String>,
    /// Size of the weights.
    pub size_bytes: Option<u64>,
    /// Hash of the weights, 64 hex digits; upstream writes "" for none.
    pub sha256: Option<String>,
}

/// The `training` block without `config` and `decoding`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Training {
    /// Which checkpoint to pack: `checkpoint-N`, `final` or `adapter`.
    pub packaging_checkpoint: Option<String>,
    /// The rows.
    pub dataset: Dataset,
}

/// The `training.dataset` block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// A file, a folder or `id::split::config`.
    pub path: Option<String>,
    /// Rows for evaluation in a file of their own.
    pub validation_path: Option<String>,
    /// Rows that nobody trains on.
    pub test_path: Option<String>,
    /// Share of the rows taken for evaluation where there is no `validation_path`.
    pub validation_split: Option<f64>,
    /// `single` or `multi_task`.
    pub kind: Option<String>,
    /// `jsonl`, `huggingface`, `csv`, `parquet` or `arrow`: a hint.
    pub format: Option<String>,
    /// The column that holds the whole text.
    pub text_field: Option<String>,
    /// Part → column, in the manifest's order.
    pub field_mapping: Vec<(String, String)>,
    /// Read on demand.
    pub streaming: bool,
    /// Where the rows came from, for people and for `preprocess`.
    pub source: Option<String>,
}

/// The parts of `id::split::config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetReference {
    /// A path or a hub id.
    pub id: String,
    /// `train`, `train[:1000]`.
    pub split: Option<String>,
    /// The data set's configuration.
    pub config: Option<String>,
}

impl DatasetReference {
    /// Splits at `::`; what is empty is absent.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, "::").map(str::trim);
        let id = parts.next().unwrap_or_default().to_owned();
        let mut part = || parts.next().filter(|p| !p.is_empty()).map(str::to_owned);
        Self { id, split: part(), config: part() }
    }
}

impl Dataset {
    /// The parts of `path`.
    pub fn reference(&self) -> Option<DatasetReference> {
        self.path.as_deref().map(DatasetReference::parse)
    }
}

keys! {
    /// The `training.decoding` block.
    Decoding {
        /// 0 is greedy.
        temperature: f64,
        /// Nucleus.
        top_p: f64,
        /// Number of candidates.
        top_k: usize,
        /// Least share of the best candidate's probability.
        min_p: f64,
        /// Divides the logits of tokens seen before.
        repetition_penalty: f64,
        /// Most tokens of an answer.
        max_new_tokens: usize,
        /// The same under its other name.
        max_tokens: usize,
        /// Seed of sampling.
        seed: u64,
        /// Texts that end the answer.
        stop_sequences: Vec<String>,
        /// Whether the grammar is used.
        use_grammar: bool,
        /// `gbnf`, `sql-postgres`, …
        grammar_type: String,
        /// The grammar's file in the package.
        grammar_file: String,
        /// `parser`, `parser-strict`, `none`, …
        validation: String,
        /// Upstream's command for checking.
        validation_cmd: String,
        /// Whether thinking blocks are wanted.
        enable_thinking: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_reference_has_up_to_three_parts() {
        let parts = |text: &str| {
            let r = DatasetReference::parse(text);
            (r.id, r.split, r.config)
        };
        assert_eq!(parts("data/train.jsonl"), ("data/train.jsonl".into(), None, None));
        assert_eq!(parts("a/b::train[:1000]"), ("a/b".into(), Some("train[:1000]".into()), None));
        assert_eq!(parts("a/b::::en"), ("a/b".into(), None, Some("en".into())));
        assert_eq!(parts(r"C:\data\x.jsonl"), (r"C:\data\x.jsonl".into(), None, None));
    }
}
