//! From an expert folder and flags to a run: which base model, which rows, which settings, where to write; what a
//! resumed run has to have in common with the one it continues.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Value, json};

use super::checkpoint::{self, Identity, Progress, TRAINING_ARGS};
use super::folder::{Resume, RunFolder};
use super::observer::Observer;
use super::optim::Optimizer;
use super::plan::Plan;
use super::rows;
use super::run::{Outcome, Run};
use super::settings::{Layers, Resolved, Settings, resolve};
use super::student::{AdapterOn, Student};
use crate::adapter::Adapter;
use crate::data::batches::{Batches, collate};
use crate::data::examples::Examples;
use crate::data::tokenizer::TextTokenizer;
use crate::error::{Problem, Result};
use crate::manifest::{BaseModel, Manifest, last_component, weights_dir_name};
use crate::model::{Decoder, Noise, identity, locate};

/// Settings that a checkpoint fixes: they shape its tensors or say where in the data it stands.
const FIXED: [&str; 14] = [
    "adapter_type",
    "rank",
    "alpha",
    "dropout",
    "target_modules",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "optim",
    "batch_size",
    "gradient_accumulation_steps",
    "packing",
    "group_by_length",
    "seed",
];

/// Settings that may change on the way without changing what is learned.
const FREE: [&str; 5] = ["logging_steps", "save_strategy", "save_steps", "save_total_limit", "gradient_checkpointing"];

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The manifest file or its folder.
    pub manifest: PathBuf,
    /// Rows instead of the manifest's.
    pub dataset: Option<PathBuf>,
    /// Where `<model>/` is made; none: `weights` beside the manifest.
    pub output: Option<PathBuf>,
    /// A base model folder or hub id instead of the entry's name.
    pub base_model: Option<String>,
    /// Which entry of the manifest.
    pub model: Option<String>,
    /// Keys of `training.config` given on the command line.
    pub flags: serde_json::Map<String, Value>,
    /// `EXPERT_HOME`.
    pub home: PathBuf,
}

/// A run whose settings are known and whose base model is found; nothing big is read yet.
#[derive(Debug)]
pub struct Job {
    /// The manifest.
    pub manifest: Manifest,
    /// Its entry.
    pub entry: BaseModel,
    /// The settings and where they came from.
    pub resolved: Resolved,
    /// Folder of the base model.
    pub base: PathBuf,
    /// `weights/<model>`.
    pub output: PathBuf,
    request: Request,
}

/// A run with everything in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The run's settings; the maximum length is that of the model where it was higher.
    pub settings: Settings,
    /// Where it writes.
    pub output: PathBuf,
    /// The arithmetic.
    pub plan: Plan,
    /// Things a person should know before it starts.
    pub notes: Vec<String>,
    decoder: Decoder,
    adapter: Adapter,
    examples: Examples,
    validation: Option<Examples>,
    batches: Batches,
    base: PathBuf,
    cache: PathBuf,
    training_args: Value,
}

impl Job {
    /// Reads the manifest, resolves the settings and finds the base model.
    pub fn new(request: Request) -> Result<Self> {
        let manifest = Manifest::load(&request.manifest)?;
        let entry = manifest.entry(request.model.as_deref())?.clone();
        let config = manifest.raw().pointer("/training/config").and_then(Value::as_object).cloned().unwrap_or_default();
        let layers =
            Layers { manifest: config, overrides: entry.training_overrides.clone(), flags: request.flags.clone() };
        let mut resolved = resolve(&layers)?;
        if let Some(quantization) = entry.quantization.as_deref().filter(|q| matches!(*q, "int4" | "int8" | "nf4")) {
            let reason = format!("{quantization} weights are not built; the base is used as it is stored");
            resolved.unused.push(("base_models[].quantization".into(), reason));
        }
        let base = match &request.base_model {
            Some(name) => locate(name, &request.home, true)?,
            None => {
                let beside = rows::inside(&manifest, &entry.name);
                let inside = beside.join("config.json").is_file();
                if inside { beside } else { locate(&entry.name, &request.home, false)? }
            }
        };
        let root = request.output.clone().unwrap_or_else(|| rows::inside(&manifest, "weights"));
        let output = root.join(weights_dir_name(&entry.name));
        Ok(Self { manifest, entry, resolved, base, output, request })
    }

    /// Reads the base model and the rows.
    pub fn load(self) -> Result<Loaded> {
        let mut settings = self.resolved.settings.clone();
        let mut notes = Vec::new();
        let mut decoder = Decoder::load(&self.base)?;
        decoder.set_gradient_checkpointing(settings.gradient_checkpointing);
        if settings.max_seq_length > decoder.max_positions() {
            let asked = self.resolved.origins.contains_key("max_seq_length");
            notes.extend(asked.then(|| {
                format!(
                    "max_seq_length {} is more than the model's {}",
                    settings.max_seq_length,
                    decoder.max_positions()
                )
            }));
            settings.max_seq_length = decoder.max_positions();
        }
        let tokenizer = TextTokenizer::load(&self.base)?;
        let source = rows::Source {
            dataset: self.request.dataset.as_deref(),
            manifest: &self.manifest,
            settings: &settings,
            template: self.entry.prompt_template.as_deref(),
        };
        let (examples, validation) = source.read(&tokenizer, &mut notes)?;
        for set in [Some(&examples), validation.as_ref()].into_iter().flatten() {
            if set.highest_id().is_some_and(|id| id as usize >= decoder.vocab_size()) {
                return Err(Problem::input(format!(
                    "the tokenizer of {} has ids beyond the model's {}",
                    self.base.display(),
                    decoder.vocab_size()
                ))
                .hint("the tokenizer and the weights must belong to the same model")
                .into());
            }
        }
        let name = self.request.base_model.as_deref().unwrap_or(&self.entry.name);
        let adapter = Adapter::new(settings.adapter(name), &decoder, settings.seed)?;
        let batches = Batches::new(&examples.lengths(), settings.batching());
        let parameters = adapter.params().iter().map(|param| param.value.len()).sum();
        let mut weight_bytes = 0;
        for file in crate::model::files(&self.base)? {
            weight_bytes += std::fs::metadata(&file).map(|meta| meta.len()).unwrap_or(0);
        }
        let mut plan =
            Plan::new(&settings, decoder.config(), &batches, examples.counts.clone(), parameters, weight_bytes);
        plan.validation = validation.as_ref().map(|set| set.counts.clone());
        let training_args = self.training_args(&settings, &plan, name);
        let (base, cache) = (self.base, self.request.home.join("cache"));
        let output = self.output;
        Ok(Loaded {
            settings,
            output,
            plan,
            notes,
            base,
            cache,
            decoder,
            adapter,
            examples,
            validation,
            batches,
            training_args,
        })
    }

    /// What is saved beside the weights. Packages carry it, so it names no folder of this machine.
    fn training_args(&self, settings: &Settings, plan: &Plan, base: &str) -> Value {
        let origins: serde_json::Map<String, Value> =
            self.resolved.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string().into())).collect();
        json!({
            "schema": "expert-cli.training-args/1",
            "expert": self.manifest.name(),
            "version": self.manifest.version(),
            "base_model": last_component(base),
            "settings": settings,
            "origins": origins,
            "layouts": plan.rows.layouts,
            "rows": plan.rows.used,
            "total_steps": plan.total_steps,
            "trainable_parameters": plan.trainable_parameters,
        })
    }
}

impl Loaded {
    /// Seconds per token, over the first batches of the run (the first one warms up and does not count). Nothing is
    /// learned and nothing written.
    pub fn seconds_per_token(&mut self) -> Result<f64> {
        let epoch = self.batches.epoch(0);
        let mut student = AdapterOn { decoder: &self.decoder, adapter: &mut self.adapter };
        let (mut seconds, mut tokens) = (0.0, 0);
        let batches = (0..self.plan.steps_per_epoch).flat_map(|step| epoch.step(step));
        for (index, indices) in batches.take(4).enumerate() {
            let (batch, targets) = collate(&self.examples, &indices, 0);
            student.zero_grad();
            let start = Instant::now();
            student.loss_backward(&batch, &targets, Noise::default())?;
            if index > 0 || self.plan.packed_rows <= self.settings.batch_size {
                seconds += start.elapsed().as_secs_f64();
                tokens += batch.len();
            }
        }
        Ok(seconds / tokens as f64)
    }

    /// Trains. Takes the run's lock, so one process at a time; `restart` deletes the run that is there.
    pub fn train(
        mut self,
        resume: Option<&Resume>,
        restart: bool,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let folder = RunFolder::open(&self.output)?;
        if restart {
            folder.clear()?;
        }
        let identity = Identity {
            base_model: identity::content_hash(&self.base, Some(&self.cache))?,
            train_data: self.examples.digest(),
            validation_data: self.validation.as_ref().map(Examples::digest),
        };
        self.training_args["identity"] = serde_json::to_value(&identity)?;
        let mut student = AdapterOn { decoder: &self.decoder, adapter: &mut self.adapter };
        let mut optimizer = Optimizer::new(self.settings.hyper(), student.params());
        let mut progress = Progress {
            total_steps: self.plan.total_steps,
            seed: self.settings.seed,
            identity: identity.clone(),
            ..Progress::default()
        };
        if let Some(resume) = resume {
            let (path, found) = folder.find(resume, &mut |text| observer.note(text))?;
            check_identity(&found.identity, &identity, &path)?;
            check_settings(&path, &self.settings, observer)?;
            student.load(&path)?;
            checkpoint::read_moments(&path, &student, &mut optimizer, found.step)?;
            observer.note(&format!("going on from {} of {} steps", path.display(), self.plan.total_steps));
            progress = Progress { total_steps: self.plan.total_steps, ..found };
            let best = progress.best.map(|best| checkpoint::folder(folder.path(), best.step));
            if let Some(gone) = best.filter(|best| self.settings.keeps_best(true) && !best.is_dir() && *best != path) {
                observer.note(&format!("{} is gone: the best is looked for anew", gone.display()));
                progress.best = None;
            }
        } else {
            folder.must_be_empty()?;
        }
        checkpoint::write_json(&folder.path().join(TRAINING_ARGS), &self.training_args)?;
        Run {
            student: &mut student,
            optimizer,
            examples: &self.examples,
            batches: &self.batches,
            validation: self.validation.as_ref(),
            settings: &self.settings,
            schedule: self.settings.schedule(self.plan.total_steps),
            folder: &folder,
            training_args: &self.training_args,
            progress,
            observer,
            stop,
            saved: None,
        }
        .train()
    }
}

/// A checkpoint goes on only with the base model and the rows it came from.
fn check_identity(saved: &Identity, now: &Identity, path: &Path) -> Result<()> {
    let pairs = [
        ("base model", Some(&saved.base_model), Some(&now.base_model)),
        ("training rows", Some(&saved.train_data), Some(&now.train_data)),
        ("validation rows", saved.validation_data.as_ref(), now.validation_data.as_ref()),
    ];
    for (what, before, after) in pairs {
        if before != after {
            let shown = |hash: Option<&String>| hash.map_or("none".to_owned(), Clone::clone);
            return Err(Problem::input(format!("{} was trained with other {what}", path.display()))
                .detail(format!("then  {}", shown(before)))
                .detail(format!("now   {}", shown(after)))
                .hint("give the same --dataset and --base-model, or start anew with --restart or another --output")
                .into());
        }
    }
    Ok(())
}

/// Compares the settings with those of the checkpoint: some must be the same, of the others each change is named.
fn check_settings(path: &Path, settings: &Settings, observer: &mut dyn Observer) -> Result<()> {
    let text = crate::fsx::read_text(&path.join(TRAINING_ARGS))?;
    let saved: Value = serde_json::from_str(&text)
        .map_err(|error| Problem::input(format!("{}/{TRAINING_ARGS}: {error}", path.display())))?;
    let now = serde_json::to_value(settings)?;
    let fields = now.as_object().into_iter().flatten();
    let changed: Vec<(&String, String)> = fields
        .filter(|(key, value)| saved["settings"].get(key.as_str()) != Some(*value))
        .filter(|(key, _)| !FREE.contains(&key.as_str()))
        .map(|(key, value)| (key, format!("{key} {} → {value}", saved["settings"][key.as_str()])))
        .collect();
    let fixed: Vec<&String> =
        changed.iter().filter(|(key, _)| FIXED.contains(&key.as_str())).map(|(_, change)| change).collect();
    if !fixed.is_empty() {
        let mut problem = Problem::input(format!("{} cannot go on with other settings", path.display()));
        for change in fixed {
            problem = problem.detail(change);
        }
        return Err(problem.hint("give the same settings, or start anew with --restart or another --output").into());
    }
    if !changed.is_empty() {
        let changes: Vec<String> = changed.into_iter().map(|(_, change)| change).collect();
        observer
            .note(&format!("resumed with other settings, so not the run it would have been: {}", changes.join(", ")));
    }
    Ok(())
}
