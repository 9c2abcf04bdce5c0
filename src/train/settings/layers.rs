//! The layers of the settings and how they become one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::keys;
use super::{AdapterType, MODULES, Metric, ScheduleArgs, Settings};
use crate::error::{Problem, Result};
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
        max_seq_length: r.within("max_seq_length", d.max_seq_length, 2, 1 << 24)?,
        packing: r.or("packing", d.packing)?,
        group_by_length: r.or("group_by_length", d.group_by_length)?,
        train_on: r.one_of("train_on", &["answer", "all"], d.train_on)?,
        gradient_checkpointing: r.gradient_checkpointing()?,
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
                if real.is_some_and(|name| layer.contains_key(name)) {
                    reader.note(key, "the same key under its other name is given and wins");
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
            None | Some("lora" | "dora") => return self.take("adapter_type"),
            Some("ia3") => "IA³ is not built; dora and lora are",
            Some("lokr") => "LoKr is not built; dora and lora are",
            Some("adalora") => "AdaLoRA is not built; dora and lora are",
            Some("full") => "training all weights is not built; dora and lora are",
            Some(_) => "has to be dora or lora",
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

    /// A bool, or upstream's "selective", which upstream treats as true.
    fn gradient_checkpointing(&self) -> Result<bool> {
        let key = "gradient_checkpointing";
        if self.merged.get(key).and_then(Value::as_str) == Some("selective") { Ok(true) } else { self.or(key, false) }
    }

    fn optim(&mut self) -> Result<Option<Rule>> {
        Ok(Some(match self.take::<String>("optim")?.as_deref() {
            None => return Ok(None),
            Some("adamw_torch" | "adamw_torch_fused") => Rule::AdamW,
            Some("sgd") => Rule::Sgd,
            Some(name @ ("adamw_bnb_8bit" | "adamw_8bit" | "paged_adamw_8bit")) => {
                self.note("optim", &format!("{name} is AdamW with moments in 8 bit; here they are f32"));
                Rule::AdamW
            }
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
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn from_manifest(config: Value) -> Result<Resolved> {
        resolve(&Layers { manifest: map(config), ..Layers::default() })
    }

    #[test]
    fn flags_win_over_overrides_over_the_manifest() {
        let layers = Layers {
            manifest: map(json!({"rank": 8, "alpha": 16, "learning_rate": 1e-4, "num_epochs": 2})),
            overrides: map(json!({"alpha": 32, "learning_rate": 2e-4})),
            flags: map(json!({"learning_rate": 3e-4})),
        };
        let found = resolve(&layers).unwrap();
        let s = &found.settings;
        assert_eq!((s.rank, s.alpha, s.learning_rate, s.epochs), (8, 32.0, 3e-4, 2.0));
        assert_eq!(
            found.differing(),
            [
                ("rank".into(), "8".into(), Origin::Manifest),
                ("alpha".into(), "32.0".into(), Origin::Override),
                ("epochs".into(), "2.0".into(), Origin::Manifest),
                ("learning_rate".into(), "0.0003".into(), Origin::Flag),
            ]
        );
        assert!(found.unused.is_empty());
    }

    #[test]
    fn what_has_no_meaning_is_named_once_with_its_reason() {
        let found = from_manifest(json!({
            "_comment": "x", "use_unsloth": true, "torch_compile": false, "dataloader_num_workers": 8, "lr_warmup": 1,
            "optim": "adamw_bnb_8bit", "lr_scheduler": "cosine", "lr_scheduler_kwargs": {"num_cycles": 1, "power": 2},
            "warmup_steps": 5, "warmup_ratio": 0.1,
        }))
        .unwrap();
        let keys: Vec<&str> = found.unused.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "use_unsloth",
            "dataloader_num_workers",
            "lr_warmup",
            "optim",
            "lr_scheduler_kwargs.power",
            "warmup_steps",
        ];
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        let mut wanted = expected.to_vec();
        wanted.sort_unstable();
        assert_eq!(sorted, wanted);
    }

    #[test]
    fn refusals_name_the_key_and_its_origin() {
        for (config, words) in [
            (json!({"adapter_type": "ia3"}), "training.config.adapter_type = ia3 (manifest): IA³ is not built"),
            (json!({"adapter_type": "full"}), "training all weights is not built"),
            (json!({"method": "dpo"}), "training.config.method = dpo"),
            (json!({"rank": 0}), "has to be from 1 to 1024"),
            (json!({"rank": "many"}), "training.config.rank = \"many\""),
            (json!({"learning_rate": -1}), "has to be above 0"),
            (json!({"dropout": 1}), "has to be from 0 to below 1"),
            (json!({"target_modules": ["q_proj", "qproj"]}), "no such linear"),
            (json!({"target_modules": []}), "nothing would be trained"),
            (json!({"lr_scheduler": "cosin"}), "has to be one of linear, cosine"),
            (json!({"optim": "lion"}), "has to be adamw_torch"),
            (json!({"metric_for_best_model": "bleu"}), "has to be eval_loss"),
            (json!({"save_strategy": "best"}), "has to be one of no, steps, epoch"),
            (json!({"train_on": "question"}), "has to be one of answer, all"),
        ] {
            let error = from_manifest(config.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{config}: {error}");
        }
    }

    #[test]
    fn whole_floats_limits_and_modules() {
        let found =
            from_manifest(json!({"rank": 4.0, "save_total_limit": null, "target_modules": "all-linear"})).unwrap();
        assert_eq!((found.settings.rank, found.settings.save_total_limit), (4, None));
        assert_eq!(found.settings.target_modules.len(), 7);
        let found = from_manifest(json!({"target_modules": ["down_proj", "q_proj", "q_proj"]})).unwrap();
        assert_eq!(found.settings.target_modules, ["q_proj", "down_proj"]);
        assert_eq!(found.settings.save_total_limit, Some(3));
    }

    #[test]
    fn epochs_on_the_command_line_win_over_steps_in_the_manifest() {
        let layers =
            Layers { manifest: map(json!({"max_steps": 10})), flags: map(json!({"epochs": 2})), ..Layers::default() };
        let found = resolve(&layers).unwrap();
        assert_eq!((found.settings.max_steps, found.settings.epochs), (None, 2.0));
        assert_eq!(found.settings.total_steps(7), 14);
        assert_eq!(Settings { epochs: 1.5, ..found.settings }.total_steps(7), 11);
    }

    #[test]
    fn the_ratio_of_warm_up_wins() {
        let found = from_manifest(json!({"warmup_steps": 5, "warmup_ratio": 0.03})).unwrap();
        assert_eq!(found.settings.schedule(101).warmup_steps, 4);
    }

    #[test]
    fn assignments() {
        assert_eq!(parse_assignment("training.config.rank=8").unwrap(), ("rank".into(), json!(8)));
        assert_eq!(parse_assignment("training.config.optim=sgd").unwrap(), ("optim".into(), json!("sgd")));
        for (text, words) in [
            ("rank=8", "not of the form"),
            ("training.config.rank", "not of the form"),
            ("training.config.rnk=8", "did you mean `rank`"),
            ("training.config.use_unsloth=true", "the trainer is built in"),
        ] {
            let error = parse_assignment(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
