//! From an expert folder and flags to a run: which base model, which rows, which settings, where to write.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use serde_json::{Value, json};

use super::checkpoint::{self, Identity, Progress};
use super::folder::{Resume, RunFolder};
use super::group::{self, Group};
use super::model_folder::ModelFolder;
use super::moments;
use super::observer::Observer;
use super::optim::Optimizer;
use super::plan::{Plan, Quantised, Sizes};
use super::resume::{check_identity, check_settings};
use super::rows;
use super::run::{Outcome, Run};
use super::settings::{Layers, Resolved, Settings, resolve};
use super::start::{Start, start};
use super::student::{AdapterOn, AdapterThere, Student, WholeModel};
use super::trial::{self, Trial};
use crate::adapter::{Adapter, FullWeights, Param};
use crate::data::batches::Batches;
use crate::data::examples::Examples;
use crate::error::{Problem, Result};
use crate::manifest::{BaseModel, Manifest, last_component, weights_dir_name};
use crate::model::{Decoder, Quantisation, identity, locate};

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
    /// Ids of a tokenizer to make from the rows.
    pub new_tokenizer: Option<usize>,
    /// Keys of `training.config` given on the command line.
    pub flags: serde_json::Map<String, Value>,
    /// `EXPERT_HOME`.
    pub home: PathBuf,
    /// Whether nothing is to be written, caches included.
    pub read_only: bool,
    /// How many processes train together; each takes `batch_size` rows at a time. 0 is one.
    pub processes: usize,
    /// Where adapters are computed: a candle device; none: on the CPU by our own kernels.
    pub device: Option<Device>,
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
    cache: PathBuf,
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
    trained: Trained,
    examples: Examples,
    validation: Option<Examples>,
    batches: Batches,
    base: PathBuf,
    /// The identity of weights that came from no file.
    random: Option<String>,
    cache: PathBuf,
    device: Option<Device>,
    training_args: Value,
}

/// What is trained.
#[derive(Debug)]
enum Trained {
    Adapter(Adapter),
    Whole(FullWeights, ModelFolder),
}

impl Trained {
    fn params(&self) -> &[Param] {
        match self {
            Self::Adapter(adapter) => adapter.params(),
            Self::Whole(weights, _) => weights.params(),
        }
    }

    /// It and its decoder as the loop knows them.
    fn student<'a>(
        &'a mut self,
        decoder: &'a mut Decoder,
        settings: &Settings,
        device: Option<&Device>,
    ) -> Result<Box<dyn Student + 'a>> {
        Ok(match (self, device) {
            (Self::Adapter(adapter), None) => Box::new(AdapterOn { decoder, adapter }),
            (Self::Adapter(adapter), Some(device)) => {
                Box::new(AdapterThere::new(decoder, adapter, settings.gradient_checkpointing, device)?)
            }
            (Self::Whole(weights, folder), None) => {
                Box::new(WholeModel::new(decoder, weights, folder, settings.save_dtype))
            }
            (Self::Whole(..), Some(_)) => {
                return Err(Problem::resource("adapter_type full: all weights of a model are trained on the CPU only")
                    .hint("leave --device out")
                    .into());
            }
        })
    }
}

impl Job {
    /// Reads the manifest, resolves the settings and finds the base model.
    pub fn new(request: Request) -> Result<Self> {
        let manifest = Manifest::load(&request.manifest)?;
        let entry = manifest.entry(request.model.as_deref())?.clone();
        let config = manifest.raw().pointer("/training/config").and_then(Value::as_object).cloned().unwrap_or_default();
        let layers =
            Layers { manifest: config, overrides: entry.training_overrides.clone(), flags: request.flags.clone() };
        let resolved = resolve(&layers)?;
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
        Ok(Self { manifest, entry, resolved, base, output, cache: request.home.join("cache"), request })
    }

    /// Reads the base model and the rows.
    pub fn load(self) -> Result<Loaded> {
        let mut settings = self.resolved.settings.clone();
        let mut notes = Vec::new();
        let quantisation = self.quantisation()?;
        let found = {
            let (new, source) = (self.request.new_tokenizer, self.source(&settings));
            start(&self.base, &settings, new, &source, (quantisation, &self.cache), &mut notes)?
        };
        let Start { mut decoder, tokenizer, folder, random, held_otherwise } = found;
        let quantisation = quantisation.filter(|_| folder.is_none());
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
        let (examples, validation) = self.source(&settings).read(&tokenizer, &mut notes)?;
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
        let mut narrowed = false;
        let trained = match folder {
            Some(folder) => {
                let masters = FullWeights::new(&mut decoder);
                if settings.bf16 {
                    decoder.round_to_bf16();
                }
                Trained::Whole(masters, folder)
            }
            None => {
                narrowed = settings.bf16 && decoder.narrow_to_bf16();
                Trained::Adapter(Adapter::new(settings.adapter(name), &decoder, settings.seed)?)
            }
        };
        let batches = Batches::new(&examples.lengths(), settings.batching().across(self.request.processes.max(1)));
        let sizes = Sizes {
            config: decoder.config().clone(),
            lengths: examples.lengths(),
            target_share: examples.counts.targets as f64 / examples.counts.tokens as f64,
            parameters: trained.params().iter().map(|param| param.value.len()).collect(),
            weight_bytes: match (&random, quantisation) {
                (Some(_), _) => 0,
                (None, _) if narrowed || quantisation.is_some() => decoder.weight_bytes() as u64,
                (None, _) => weight_bytes(&self.base)?,
            },
            vocabulary: tokenizer.vocab_size(),
        };
        let mut plan = Plan::new(&settings, &batches, examples.counts.clone(), &sizes);
        plan.quantization = quantisation.map(|how| Quantised {
            quantization: how.name().to_owned(),
            embeddings: how.embeddings,
            held_otherwise,
        });
        plan.validation = validation.as_ref().map(|set| set.counts.clone());
        let training_args = self.training_args(&settings, &plan, name);
        let Self { base, cache, output, request, .. } = self;
        Ok(Loaded {
            device: request.device,
            settings,
            output,
            plan,
            notes,
            base,
            cache,
            random,
            decoder,
            trained,
            examples,
            validation,
            batches,
            training_args,
        })
    }

    /// How the base's weights are to be held; a flag wins over the manifest.
    fn quantisation(&self) -> Result<Option<Quantisation>> {
        let (name, embeddings) = self.manifest.quantization(&self.entry);
        let embeddings = match self.request.flags.get("quantize_embeddings") {
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                let found = format!("quantize_embeddings has to be true or false, found {other}");
                return Err(Problem::usage(found).into());
            }
            None => embeddings,
        };
        Ok(Quantisation::from_manifest(name, embeddings))
    }

    /// Where rows come from.
    fn source<'a>(&'a self, settings: &'a Settings) -> rows::Source<'a> {
        rows::Source {
            dataset: self.request.dataset.as_deref(),
            manifest: &self.manifest,
            settings,
            template: self.entry.prompt_template.as_deref(),
            cache: (&self.cache, !self.request.read_only),
        }
    }

    /// What is saved beside the weights. Packages carry it, so it names no folder of this machine.
    fn training_args(&self, settings: &Settings, plan: &Plan, base: &str) -> Value {
        let origins: serde_json::Map<String, Value> =
            self.resolved.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string().into())).collect();
        let mut args = json!({
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
            "quantization": plan.quantization,
        });
        if self.request.processes > 1 {
            args["processes"] = self.request.processes.into();
        }
        args
    }
}

/// Bytes of the files that hold the weights.
fn weight_bytes(base: &Path) -> Result<u64> {
    let files = crate::model::files(base)?;
    Ok(files.iter().map(|file| file.metadata().map_or(0, |meta| meta.len())).sum())
}

impl Loaded {
    /// Times three steps of the run. Nothing is learned and nothing written.
    pub fn trial(&mut self) -> Result<Trial> {
        let mut student = self.trained.student(&mut self.decoder, &self.settings, self.device.as_ref())?;
        trial::time(&mut *student, &self.settings, &self.examples, &self.batches)
    }

    /// Trains, as one of the group's processes. The first of them takes the run's lock, so one group at a time; `restart`
    /// deletes the run that is there.
    pub fn train(
        mut self,
        resume: Option<&Resume>,
        restart: bool,
        group: &dyn Group,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let folder = RunFolder::open_for(group, &self.output)?;
        if restart {
            folder.clear()?;
        }
        let identity = Identity {
            base_model: match &self.random {
                Some(random) => random.clone(),
                None => identity::content_hash(&self.base, Some(&self.cache))?,
            },
            train_data: self.examples.digest(),
            validation_data: self.validation.as_ref().map(Examples::digest),
        };
        self.training_args["identity"] = serde_json::to_value(&identity)?;
        group::same(group, "settings, rows or base model", self.training_args.to_string().as_bytes())?;
        let mut student = self.trained.student(&mut self.decoder, &self.settings, self.device.as_ref())?;
        let mut optimizer = Optimizer::new(self.settings.hyper(), student.params());
        let mut progress = Progress {
            total_steps: self.plan.total_steps,
            seed: self.settings.seed,
            identity: identity.clone(),
            ..Progress::default()
        };
        if let Some(resume) = resume {
            let (path, found) = folder.find_for(group, resume, &mut |text| observer.note(text))?;
            check_identity(&found.identity, &identity, &path)?;
            check_settings(&path, &self.settings, &self.training_args, observer)?;
            student.load(&path)?;
            moments::read(&path.join(checkpoint::OPTIMIZER), student.params(), &mut optimizer, found.step)?;
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
        folder.write_settings(&self.training_args)?;
        group::share_values(group, &mut *student)?;
        Run {
            student: &mut *student,
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
            group,
            stop,
            saved: None,
        }
        .train()
    }
}
