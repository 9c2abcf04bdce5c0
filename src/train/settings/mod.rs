//! What a run is made of: the layers default, manifest, `training_overrides` and flag resolved into one typed
//! [`Settings`], each value with its origin. Every key is honoured or named with the reason; a value that cannot be
//! honoured is an error that names its key.

mod keys;
mod layers;

pub use layers::{Layers, Origin, Resolved, parse_assignment, resolve};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model_folder::SaveDtype;
use super::optim::{Hyper, Rule};
use super::schedule::{Schedule, Shape};
use crate::adapter::AdapterConfig;
use crate::data::batches::Batching;
use crate::data::examples::TrainOn;
use crate::model::Checkpointing;

/// The linears that an adapter can stand beside.
pub const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Kinds of adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterType {
    /// Low-rank update.
    Lora,
    /// Low-rank update with a trained magnitude per output row.
    Dora,
    /// No adapter: every weight is trained.
    Full,
}

/// When something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Never.
    No,
    /// Every so many optimiser steps.
    Steps,
    /// At the end of every epoch.
    Epoch,
}

/// What the best checkpoint is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Mean negative log-likelihood per target.
    #[serde(rename = "eval_loss")]
    Loss,
    /// Share of targets with the highest logit.
    #[serde(rename = "eval_token_accuracy")]
    TokenAccuracy,
}

/// Numbers of `lr_scheduler_kwargs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleArgs {
    /// Of the cosines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_cycles: Option<f64>,
    /// Of the polynomial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    /// Of the polynomial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
}

/// The settings of a run. The field names are the manifest's keys; `Option` means: decided by the data or switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the keys of `training.config`, described in docs/ARCHITECTURE.md and the manifest")]
pub struct Settings {
    pub adapter_type: AdapterType,
    pub rank: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub target_modules: Vec<String>,
    pub use_rslora: bool,
    pub rank_pattern: BTreeMap<String, usize>,
    pub alpha_pattern: BTreeMap<String, f64>,
    pub epochs: f64,
    pub max_steps: Option<u64>,
    pub learning_rate: f64,
    pub batch_size: usize,
    pub eval_batch_size: Option<usize>,
    pub gradient_accumulation_steps: usize,
    pub warmup_steps: u64,
    pub warmup_ratio: Option<f64>,
    pub lr_scheduler: Shape,
    pub lr_scheduler_kwargs: ScheduleArgs,
    pub optim: Rule,
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    pub max_grad_norm: f64,
    pub save_dtype: SaveDtype,
    pub bf16: bool,
    pub max_seq_length: usize,
    pub packing: bool,
    pub group_by_length: bool,
    pub train_on: TrainOn,
    pub gradient_checkpointing: Checkpointing,
    pub seed: u64,
    pub logging_steps: u64,
    pub save_strategy: Strategy,
    pub save_steps: u64,
    pub save_total_limit: Option<usize>,
    pub evaluation_strategy: Option<Strategy>,
    pub eval_steps: Option<u64>,
    pub load_best_model_at_end: Option<bool>,
    pub metric_for_best_model: Metric,
    pub greater_is_better: Option<bool>,
    pub early_stopping_patience: Option<u64>,
    pub early_stopping_threshold: f64,
}

impl Default for Settings {
    /// Upstream's defaults where it has some; rank, α and modules are those of the published expert-sql.
    fn default() -> Self {
        Self {
            adapter_type: AdapterType::Dora,
            rank: 12,
            alpha: 24.0,
            dropout: 0.05,
            target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"].map(String::from).into(),
            use_rslora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            epochs: 1.0,
            max_steps: None,
            learning_rate: 2e-4,
            batch_size: 4,
            eval_batch_size: None,
            gradient_accumulation_steps: 4,
            warmup_steps: 0,
            warmup_ratio: None,
            lr_scheduler: Shape::Linear,
            lr_scheduler_kwargs: ScheduleArgs::default(),
            optim: Rule::AdamW,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            save_dtype: SaveDtype::Float32,
            bf16: false,
            max_seq_length: 2048,
            packing: false,
            group_by_length: false,
            train_on: TrainOn::Answer,
            gradient_checkpointing: Checkpointing::Off,
            seed: 42,
            logging_steps: 10,
            save_strategy: Strategy::Epoch,
            save_steps: 500,
            save_total_limit: Some(3),
            evaluation_strategy: None,
            eval_steps: None,
            load_best_model_at_end: None,
            metric_for_best_model: Metric::Loss,
            greater_is_better: None,
            early_stopping_patience: None,
            early_stopping_threshold: 0.0,
        }
    }
}

impl Settings {
    /// The adapter to start from.
    pub fn adapter(&self, base_model: &str) -> AdapterConfig {
        AdapterConfig {
            r: self.rank,
            lora_alpha: self.alpha,
            lora_dropout: self.dropout,
            use_dora: self.adapter_type == AdapterType::Dora,
            use_rslora: self.use_rslora,
            target_modules: self.target_modules.clone(),
            rank_pattern: self.rank_pattern.clone().into_iter().collect(),
            alpha_pattern: self.alpha_pattern.clone().into_iter().collect(),
            base_model_name_or_path: Some(base_model.to_owned()),
            target_is_pattern: false,
        }
    }

    /// The numbers of the optimiser.
    pub fn hyper(&self) -> Hyper {
        Hyper {
            rule: self.optim,
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// How examples become batches.
    pub fn batching(&self) -> Batching {
        Batching {
            seed: self.seed,
            batch_size: self.batch_size,
            accumulation: self.gradient_accumulation_steps,
            packing: self.packing.then_some(self.max_seq_length),
            // Masks of dropout differ between examples, so nothing of them is alike.
            share: self.dropout == 0.0 || self.adapter_type == AdapterType::Full,
            group_by_length: self.group_by_length,
        }
    }

    /// Optimiser steps of the run: `max_steps` if given, else ⌈epochs · steps per epoch⌉.
    pub fn total_steps(&self, steps_per_epoch: usize) -> u64 {
        self.max_steps.unwrap_or_else(|| (self.epochs * steps_per_epoch as f64).ceil() as u64)
    }

    /// The learning-rate schedule; `warmup_ratio` wins over `warmup_steps`.
    pub fn schedule(&self, total_steps: u64) -> Schedule {
        let ScheduleArgs { num_cycles, lr_end, power } = self.lr_scheduler_kwargs;
        Schedule {
            shape: self.lr_scheduler,
            learning_rate: self.learning_rate,
            warmup_steps: self
                .warmup_ratio
                .map_or(self.warmup_steps, |ratio| (ratio * total_steps as f64).ceil() as u64),
            total_steps,
            num_cycles,
            lr_end,
            power,
        }
    }

    /// When to evaluate: as asked, else after every epoch if there is something to evaluate on.
    pub fn evaluation(&self, has_validation: bool) -> Strategy {
        if has_validation { self.evaluation_strategy.unwrap_or(Strategy::Epoch) } else { Strategy::No }
    }

    /// Whether `final` is the best checkpoint rather than the last state.
    pub fn keeps_best(&self, has_validation: bool) -> bool {
        self.evaluation(has_validation) != Strategy::No && self.load_best_model_at_end.unwrap_or(true)
    }

    /// Whether a higher metric is better: as asked, else what the metric means.
    pub fn higher_is_better(&self) -> bool {
        self.greater_is_better.unwrap_or(self.metric_for_best_model == Metric::TokenAccuracy)
    }

    /// Steps between evaluations of [`Strategy::Steps`]: as asked, else as often as a checkpoint is saved.
    pub fn evaluation_interval(&self) -> u64 {
        self.eval_steps.unwrap_or(self.save_steps)
    }
}
