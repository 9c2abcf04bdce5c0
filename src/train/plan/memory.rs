//! Peak memory of a run by arithmetic, without a step being taken.
//!
//! The decoder has a fixed shape and every buffer of a step a known length, so the sum is the sum of what `model/layer`
//! keeps, what its backward holds beside it, the logits of a chunk of targets, and what stays: weights, parameters,
//! gradients, moments, token ids, the program.

use serde::Serialize;

use crate::data::batches::Length;
use crate::kernels::cross_entropy::LOGIT_BYTES;
use crate::model::{Checkpointing, Config, Family};
use crate::train::settings::{AdapterType, Settings};

/// The program itself, threads, operand tiles of the products, in MiB; see the measurements in `docs/LOG.md`.
const PROGRAM_MIB: f64 = 24.0;
/// Bytes that the tokenizer holds for every id of its vocabulary: two maps of words and one of merges. An estimate, not
/// measured apart.
const TOKENIZER_BYTES: f64 = 600.0;

/// What the memory depends on besides the settings.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Shapes of the decoder.
    pub config: Config,
    /// Tokens of every row.
    pub lengths: Vec<Length>,
    /// Share of tokens that are targets.
    pub target_share: f64,
    /// Numbers of every trainable tensor.
    pub parameters: Vec<usize>,
    /// Bytes of the frozen weights' files.
    pub weight_bytes: u64,
    /// Ids of the tokenizer.
    pub vocabulary: usize,
}

/// An estimate of the peak memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Memory {
    /// The base model's files, mapped: the system may drop what is not in use. Nothing where all weights are trained.
    pub weights: f64,
    /// What is trained: values, gradients, the optimiser's moments, and a whole model's working copy.
    pub trained: f64,
    /// What the layers hold for their backward on the largest batch.
    pub activations: f64,
    /// What a step holds beside that: the logits of a chunk of targets, or a layer's backward.
    pub working: f64,
    /// Token ids, tokenizer, the program itself.
    pub program: f64,
    /// Everything.
    pub total: f64,
}

impl Memory {
    /// The estimate for a largest batch of this many tokens.
    pub fn estimate(settings: &Settings, sizes: &Sizes, tokens: usize) -> Self {
        let mib = |bytes: f64| (bytes / f64::from(1 << 20) * 10.0).round() / 10.0;
        let full = settings.adapter_type == AdapterType::Full;
        let weights = if full { 0.0 } else { mib(sizes.weight_bytes as f64) };
        let trained = mib(trained_bytes(settings, &sizes.parameters));
        let floats = Floats::new(settings, &sizes.config);
        let activations = mib(floats.kept(settings.gradient_checkpointing) * tokens as f64 * 4.0);
        let working = mib(floats.backward.mul_add(tokens as f64 * 4.0, 0.0).max(head_bytes(sizes, tokens)));
        let ids: usize = sizes.lengths.iter().map(|length| length.tokens * 4 + 48).sum();
        let program = PROGRAM_MIB + mib(ids as f64 + sizes.vocabulary as f64 * TOKENIZER_BYTES);
        let total = ((weights + trained + activations + working + program) * 10.0).round() / 10.0;
        Self { weights, trained, activations, working, program, total }
    }

    /// What cannot be given back to the system: all but the mapped weights.
    pub fn needed(&self) -> f64 {
        self.total - self.weights
    }
}

/// Value and gradient, moments, and of a whole model the decoder's copy.
fn trained_bytes(settings: &Settings, parameters: &[usize]) -> f64 {
    let copies = match settings.adapter_type {
        AdapterType::Full if settings.bf16 => 10,
        AdapterType::Full => 12,
        _ => 8,
    };
    parameters.iter().map(|&len| copies * len + settings.optim.state_bytes(len)).sum::<usize>() as f64
}

/// Logits of a chunk of targets; hidden states and gradients of all targets.
fn head_bytes(sizes: &Sizes, tokens: usize) -> f64 {
    let (vocab, hidden) = (sizes.config.vocab_size, sizes.config.hidden_size);
    let targets = (sizes.target_share * tokens as f64).ceil();
    let most = (LOGIT_BYTES / 4 / vocab).max(1) as f64;
    let chunk = (targets / (targets / most).ceil().max(1.0)).ceil();
    chunk * vocab as f64 * 4.0 + 4.0 * targets * hidden as f64 * 4.0
}

/// Floats a token.
struct Floats {
    layers: f64,
    hidden: f64,
    /// All that a layer's backward needs.
    whole: f64,
    /// What `selective` keeps of it.
    thin: f64,
    /// A layer's backward beside what is kept.
    backward: f64,
}

impl Floats {
    fn new(settings: &Settings, config: &Config) -> Self {
        let (hidden, mlp) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let out = |module: &str| match module {
            "q_proj" => q,
            "k_proj" | "v_proj" => kv,
            "gate_proj" | "up_proj" => mlp,
            _ => hidden,
        };
        let adapted: &[String] = match settings.adapter_type {
            AdapterType::Full => &[],
            AdapterType::Lora | AdapterType::Dora => &settings.target_modules,
        };
        let dora = settings.adapter_type == AdapterType::Dora;
        let saved = |wide: bool| -> usize {
            let of = |name: &&String| wide || !["gate_proj", "up_proj"].contains(&name.as_str());
            let each = |name: &String| settings.rank + if dora { out(name) } else { 0 };
            adapted.iter().filter(of).map(each).sum()
        };
        // Queries and keys before their norms (Qwen3 has some) and after rotation; values, output, log-sum-exp.
        let norms = config.family == Family::Qwen3;
        let attention = (q + kv) + kv + q + config.num_attention_heads;
        let narrow = 2 * hidden + 2 + if norms { config.num_attention_heads + config.num_key_value_heads } else { 0 };
        let thin = narrow + attention + saved(false);
        let again = 2 * hidden + if norms { q + kv } else { 0 } + 3 * mlp;
        let whole = narrow + attention + again + saved(true);
        let dropped = if settings.dropout > 0.0 && !adapted.is_empty() { 2 * mlp } else { 0 };
        Self {
            layers: config.num_hidden_layers as f64,
            hidden: hidden as f64,
            whole: whole as f64,
            thin: thin as f64,
            backward: (2 * hidden + mlp + dropped) as f64,
        }
    }

    fn kept(&self, how: Checkpointing) -> f64 {
        match how {
            Checkpointing::Off => self.layers * self.whole,
            Checkpointing::Selective => self.layers * self.thin + (self.whole - self.thin),
            Checkpointing::On => self.layers * self.hidden + self.whole,
        }
    }
}
