//! The layers of the settings and how they become one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::keys;
use super::{AdapterType, MODULES, Metric, ScheduleArgs, Settings};
use crate::error::{Problem, Result};
use crate::model::Checkpointing;
use crate::train::optim::Rule;
use crate::train::schedule::Shape;

/// Ranks above this are refused: no published expert comes near, and the magnitudes of DoRA then cost more than W.
const LARGEST_RANK: usize = 1024;

/// Where a value came from, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// `training.config` of the manifest.
    Manifest,
    /// `training_overrides` of the manifest's base model entry.
    Override,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Manifest => "manifest",
            Self::Override => "override",
            Self::Flag => "flag",
        })
    }
}

/// The layers over the defaults, each an object with keys of `training.config`.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// `training.config`.
    pub manifest: Map<String, Value>,
    /// `base_models[].training_overrides`.
    pub overrides: Map<String, Value>,
    /// Flags and `--set`.
    pub flags: Map<String, Value>,
}

/// Settings with where they came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Origin of every key that somebody set.
    pub origins: BTreeMap<String, Origin>,
    /// Keys that change nothing, with the reason.
    pub unused: Vec<(String, String)>,
}

impl Resolved {
    /// What differs from the defaults: key, value and origin, in the order of [`Settings`].
    pub fn differing(&self) -> Vec<(String, String, Origin)> {
        let object = |settings: &Settings| match serde_json::to_value(settings) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (ours, defaults) = (object(&self.settings), object(&Settings::default()));
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(|i| i.as_str().unwrap_or("?")).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        ours.iter()
            .filter(|(key, value)| defaults.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), shown(value), self.origins.get(key).copied().unwrap_or(Origin::Default)))
            .collect()
    }
}

/// Reads `training.config.KEY=VALUE`; the value is JSON, or text if it is not.
pub fn parse_assignment(text: &str) -> Result<(String, Value)> {
    let bad = || {
        Problem::usage(format!("--set {text}: not of the form training.config.KEY=VALUE"))
            .hint("for example `--set training.config.learning_rate=1e-4`")
    };
    let (path, value) = text.split_once('=').ok_or_else(bad)?;
    let key = path.trim().strip_prefix("training.config.").ok_or_else(bad)?;
    let value = value.trim();
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    if let Some(reason) = keys::unused(key, &Value::Bool(true)) {
        return Err(Problem::usage(format!("--set training.config.{key} has no effect: {reason}")).into());
    }
    Ok((key.to_owned(), value))
}

/// Merges the layers and checks every value.
pub fn resolve(layers: &Layers) -> Result<Resolved> {
    let mut reader = Reader::new(layers);
    let d = Settings::default();
    let r = &mut reader;
    if let Some(method) = r.take::<String>("method")?.filter(|method| method != "sft") {
        return Err(r.refuse("method", &method, "only sft (supervised fine-tuning) is built").into());
    }
    let target_modules = r.target_modules()?.unwrap_or(d.target_modules);
    let lr_scheduler = r.one_of("lr_scheduler", &Shape::NAMES, d.lr_scheduler)?;
    let settings = Settings {
        adapter_type: r.adapter_type()?.unwrap_or(d.adapter_type),
        rank: r.within("rank", d.rank, 1, LARGEST_RANK)?,
        alpha: r.number("alpha", d.alpha, |x| x > 0.0, "above 0")?,
        dropout: r.number("dropout", d.dropout, |x| (0.0..1.0).contains(&x), "from 0 to below 1")?,
        target_modules,
        use_rslora: r.or("use_rslora", d.use_rslora)?,
        rank_pattern: r.or("rank_pattern", d.rank_pattern)?,
        alpha_pattern: r.or("alpha_pattern", d.alpha_pattern)?,
        epochs: r.number("epochs", d.epochs, |x| x > 0.0, "above 0")?,
        max_steps: r.take::<i64>("max_steps")?.filter(|steps| *steps > 0).map(i64::unsigned_abs),
        learning_rate: r.number("learning_rate", d.learning_rate, |x| x > 0.0, "above 0")?,
        batch_size: r.within("batch_size", d.batch_size, 1, 1 << 20)?,
        eval_batch_size: r.take("eval_batch_size")?.filter(|rows| *rows > 0),
        gradient_accumulation_steps: r.within(
            "gradient_accumulation_steps",
            d.gradient_accumulation_steps,
            1,
            1 << 20,
        )?,
        warmup_steps: r.or("warmup_steps", d.warmup_steps)?,
        warmup_ratio: r.optional_number("warmup_ratio", |x| (0.0..=1.0).contains(&x), "from 0 to 1")?,
        lr_scheduler,
        lr_scheduler_kwargs: r.schedule_args(lr_scheduler)?,
        optim: r.optim()?.unwrap_or(d.optim),
        weight_decay: r.number("weight_decay", d.weight_decay, |x| x >= 0.0, "0 or more")?,
        adam_beta1: r.number("adam_beta1", d.adam_beta1, |x| (0.0..1.0).contains(&x), "from 0 to below 1")?,
        adam_beta2: r.number("adam_beta2", d.adam_beta2, |x| (0.0..1.0).contains(&x), "from 0 to below 1")?,
        adam_epsilon: r.number("adam_epsilon", d.adam_epsilon, |x| x > 0.0, "above 0")?,
        max_grad_norm: r.number("max_grad_norm", d.max_grad_norm, |x| x >= 0.0, "0 (no clipping) or more")?,
        save_dtype: r.one_of("save_dtype", &["float32", "bfloat16"], d.save_dtype)?,
        bf16: r.or("bf16", d.bf16)?,
        max_seq_length: r.within("max_seq_length", d.max_seq_length, 2, 1 << 24)?,
        packing: r.or("packing", d.packing)?,
        group_by_length: r.or("group_by_length", d.group_by_length)?,
        train_on: r.one_of("train_on", &["answer", "question", "all"], d.train_on)?,
        gradient_checkpointing: r.gradient_checkpointing()?.unwrap_or(d.gradient_checkpointing),
        seed: r.or("seed", d.seed)?,
        logging_steps: r.within("logging_steps", d.logging_steps as usize, 1, usize::MAX)? as u64,
        save_strategy: r.one_of("save_strategy", STRATEGIES, d.save_strategy)?,
        save_steps: r.within("save_steps", d.save_steps as usize, 1, usize::MAX)? as u64,
        save_total_limit: r.save_total_limit(d.save_total_limit)?,
        evaluation_strategy: r.optional_of("evaluation_strategy", STRATEGIES)?,
        eval_steps: r.take("eval_steps")?.filter(|steps| *steps > 0),
        load_best_model_at_end: r.take("load_best_model_at_end")?,
        metric_for_best_model: r.metric()?.unwrap_or(d.metric_for_best_model),
        greater_is_better: r.take("greater_is_better")?,
        early_stopping_patience: r.take("early_stopping_patience")?.filter(|evaluations| *evaluations > 0),
        early_stopping_threshold: r.number("early_stopping_threshold", 0.0, |x| x >= 0.0, "0 or more")?,
    };
    if !lr_scheduler.warms_up() && (settings.warmup_steps > 0 || settings.warmup_ratio.unwrap_or(0.0) > 0.0) {
        let key = if settings.warmup_ratio.is_some() { "warmup_ratio" } else { "warmup_steps" };
        r.note(key, "lr_scheduler constant does not warm up, constant_with_warmup does");
    } else if settings.warmup_ratio.is_some() && settings.warmup_steps > 0 {
        r.note("warmup_steps", "warmup_ratio is given and wins");
    }
    let full = settings.adapter_type == AdapterType::Full;
    for key in keys::OF_ADAPTERS.iter().filter(|_| full) {
        if !r.origins.contains_key(*key) {
            continue;
        }
        r.note(key, "adapter_type full trains every weight, there is no adapter");
    }
    if !full && r.origins.contains_key("save_dtype") {
        r.note("save_dtype", "adapters are always stored in float32");
    }
    Ok(Resolved { settings, origins: reader.origins, unused: reader.unused })
}

const STRATEGIES: &[&str] = &["no", "steps", "epoch"];

/// The merged layers, with errors that name key and origin.
struct Reader {
    merged: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
    unused: Vec<(String, String)>,
}

impl Reader {
    fn new(layers: &Layers) -> Self {
        let mut reader = Self { merged: Map::new(), origins: BTreeMap::new(), unused: Vec::new() };
        let ordered = [
            (Origin::Manifest, &layers.manifest),
            (Origin::Override, &layers.overrides),
            (Origin::Flag, &layers.flags),
        ];
        for (origin, layer) in ordered {
            for (key, value) in layer {
                let value = &whole(value);
                if let Some(reason) = keys::unused(key, value) {
                    reader.note(key, &reason);
                }
                let real = keys::ALIASES.iter().find(|(alias, _)| alias == key).map(|(_, name)| *name);
                if let Some(other) = real.and_then(|name| layer.get(name)) {
                    if whole(other) != *value {
                        reader.note(key, "the same key under its other name is given and wins");
                    }
                    continue;
                }
                let key = real.unwrap_or(key);
                reader.merged.insert(key.to_owned(), value.clone());
                reader.origins.insert(key.to_owned(), origin);
            }
        }
        // `--epochs` on the command line is meant, even where the manifest counts steps.
        let flagged = |reader: &Self, key: &str| reader.origins.get(key) == Some(&Origin::Flag);
        if flagged(&reader, "epochs") && !flagged(&reader, "max_steps") && reader.merged.remove("max_steps").is_some() {
            reader.origins.remove("max_steps");
            reader.note("max_steps", "`--epochs` is given and wins");
        }
        reader
    }

    fn note(&mut self, key: &str, reason: &str) {
        self.unused.retain(|(name, _)| name != key);
        self.unused.push((key.to_owned(), reason.to_owned()));
    }

    /// The value of a key; null counts as not given.
    fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.merged.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(value) {
                Ok(found) => Ok(Some(found)),
                Err(error) => Err(self.refuse(key, &value.to_string(), &error.to_string()).into()),
            },
        }
    }

    fn refuse(&self, key: &str, value: &str, reason: &str) -> Problem {
        let origin = self.origins.get(key).copied().unwrap_or(Origin::Default);
        let message = format!("training.config.{key} = {value} ({origin}): {reason}");
        if origin == Origin::Flag { Problem::usage(message) } else { Problem::input(message) }
            .hint(format!("`--set training.config.{key}=…` overrides the manifest"))
    }

    fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.take(key)?.unwrap_or(default))
    }

    fn within(&self, key: &str, default: usize, low: usize, high: usize) -> Result<usize> {
        let value = self.or(key, default)?;
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        let range = if high == usize::MAX { format!("{low} or more") } else { format!("from {low} to {high}") };
        Err(self.refuse(key, &value.to_string(), &format!("has to be {range}")).into())
    }

    fn number(&self, key: &str, default: f64, allowed: impl Fn(f64) -> bool, range: &str) -> Result<f64> {
        Ok(self.optional_number(key, allowed, range)?.unwrap_or(default))
    }

    fn optional_number(&self, key: &str, allowed: impl Fn(f64) -> bool, range: &str) -> Result<Option<f64>> {
        match self.take::<f64>(key)? {
            Some(value) if !allowed(value) || !value.is_finite() => {
                Err(self.refuse(key, &value.to_string(), &format!("has to be {range}")).into())
            }
            found => Ok(found),
        }
    }

    fn optional_of<T: DeserializeOwned>(&self, key: &str, names: &[&str]) -> Result<Option<T>> {
        let Some(name) = self.take::<String>(key)? else { return Ok(None) };
        match names.contains(&name.as_str()) {
            true => self.take(key),
            false => Err(self.refuse(key, &name, &format!("has to be one of {}", names.join(", "))).into()),
        }
    }

    fn one_of<T: DeserializeOwned>(&self, key: &str, names: &[&str], default: T) -> Result<T> {
        Ok(self.optional_of(key, names)?.unwrap_or(default))
    }

    fn adapter_type(&self) -> Result<Option<AdapterType>> {
        let reason = match self.take::<String>("adapter_type")?.as_deref() {
            None | Some("lora" | "dora" | "full") => return self.take("adapter_type"),
            Some("ia3") => "IA³ is not built; dora, lora and full are",
            Some("lokr") => "LoKr is not built; dora, lora and full are",
            Some("adalora") => "AdaLoRA is not built; dora, lora and full are",
            Some(_) => "has to be dora, lora or full",
        };
        let value = self.or("adapter_type", String::new())?;
        Err(self.refuse("adapter_type", &value, reason).into())
    }

    fn target_modules(&self) -> Result<Option<Vec<String>>> {
        let all = || MODULES.map(String::from).to_vec();
        if self.merged.get("target_modules").and_then(Value::as_str) == Some("all-linear") {
            return Ok(Some(all()));
        }
        let Some(mut names) = self.take::<Vec<String>>("target_modules")? else { return Ok(None) };
        if let Some(name) = names.iter().find(|name| !MODULES.contains(&name.as_str())) {
            let reason = format!("no such linear; known are {}", MODULES.join(", "));
            return Err(self.refuse("target_modules", name, &reason).into());
        }
        names.sort_by_key(|name| MODULES.iter().position(|known| known == name));
        names.dedup();
        match names.is_empty() {
            true => Err(self.refuse("target_modules", "[]", "nothing would be trained").into()),
            false => Ok(Some(names)),
        }
    }

    fn schedule_args(&mut self, shape: Shape) -> Result<ScheduleArgs> {
        let args = self.or("lr_scheduler_kwargs", ScheduleArgs::default())?;
        let names: Vec<String> = match self.merged.get("lr_scheduler_kwargs") {
            Some(Value::Object(fields)) => fields.keys().cloned().collect(),
            _ => Vec::new(),
        };
        for name in names.iter().filter(|name| !shape.kwargs().contains(&name.as_str())) {
            let shape = serde_json::to_value(shape).unwrap_or_default();
            let shape = shape.as_str().unwrap_or_default();
            self.note(&format!("lr_scheduler_kwargs.{name}"), &format!("lr_scheduler {shape} does not take it"));
        }
        Ok(args)
    }

    /// A bool, or `off`, `selective`, `on` (and `full`, which means `on`).
    fn gradient_checkpointing(&self) -> Result<Option<Checkpointing>> {
        let key = "gradient_checkpointing";
        let known = "has to be true, false, \"off\", \"selective\" or \"on\"";
        Ok(Some(match self.merged.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Bool(on)) => {
                if *on {
                    Checkpointing::On
                } else {
                    Checkpointing::Off
                }
            }
            Some(value) => match value.as_str() {
                Some("off") => Checkpointing::Off,
                Some("selective") => Checkpointing::Selective,
                Some("on" | "full") => Checkpointing::On,
                _ => return Err(self.refuse(key, &value.to_string(), known).into()),
            },
        }))
    }

    fn optim(&self) -> Result<Option<Rule>> {
        Ok(Some(match self.take::<String>("optim")?.as_deref() {
            None => return Ok(None),
            Some("adamw_torch" | "adamw_torch_fused") => Rule::AdamW,
            Some("sgd") => Rule::Sgd,
            Some("adamw_bnb_8bit" | "adamw_8bit" | "paged_adamw_8bit") => Rule::AdamW8Bit,
            Some(other) => {
                let known = "has to be adamw_torch, adamw_torch_fused, adamw_bnb_8bit or sgd";
                return Err(self.refuse("optim", other, known).into());
            }
        }))
    }

    fn metric(&self) -> Result<Option<Metric>> {
        Ok(Some(match self.take::<String>("metric_for_best_model")?.as_deref() {
            None => return Ok(None),
            Some("eval_loss" | "loss") => Metric::Loss,
            Some("eval_token_accuracy" | "token_accuracy") => Metric::TokenAccuracy,
            Some(other) => {
                let known = "has to be eval_loss or eval_token_accuracy";
                return Err(self.refuse("metric_for_best_model", other, known).into());
            }
        }))
    }

    /// An explicit null or 0 keeps every checkpoint, as upstream's manifests mean it.
    fn save_total_limit(&self, default: Option<usize>) -> Result<Option<usize>> {
        match self.merged.get("save_total_limit") {
            None => Ok(default),
            Some(_) => Ok(self.take("save_total_limit")?.filter(|limit| *limit > 0)),
        }
    }
}

/// A number written as `2.0` where a whole one is wanted.
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).into(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests;
