//! Checkpoints: what is in one, writing it whole, telling a complete one from a broken one.
//!
//! `checkpoint-N/` holds PEFT's adapter files (or a whole model's HF folder), `optimizer.safetensors` (see `moments`),
//! `training_args.json` and `progress.json`, which carries the hash of every other file: a checkpoint whose hashes do
//! not fit is no checkpoint. It is written aside, synced and renamed; nothing half-written ever has its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moments;
use super::optim::{Optimizer, Rule};
use super::student::Student;
use crate::error::{Exit, Problem, Result, classify};
use crate::fsx;

/// The file that makes a folder a checkpoint.
pub const PROGRESS: &str = "progress.json";
/// The moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// The settings of the run.
pub const TRAINING_ARGS: &str = "training_args.json";
/// What was trained: an adapter, or a whole model.
const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "model.safetensors"];
/// What every folder name begins with.
const PREFIX: &str = "checkpoint-";

/// Version of `progress.json`.
const FORMAT: u32 = 1;

/// What a run is made of, as hashes: a checkpoint continues only with the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Content hash of the base model's weights.
    pub base_model: String,
    /// Hash of the training examples as ids and targets.
    pub train_data: String,
    /// Hash of the validation examples.
    pub validation_data: Option<String>,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// Its metric.
    #[serde(with = "exact")]
    pub value: f64,
}

/// Where a run stands. Everything that the next step depends on and that is no tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this file.
    pub format: u32,
    /// Optimiser steps done; with the seed it gives order, dropout and learning rate of the next.
    pub step: u64,
    /// Passes over the data done.
    pub epoch: f64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// Whether logging and evaluation of `step` are done.
    pub closed: bool,
    /// Targets trained on.
    pub target_tokens: u64,
    /// Sum of the loss since the last line of metrics.
    #[serde(with = "exact")]
    pub window_nll: f64,
    /// Targets since the last line of metrics.
    pub window_targets: u64,
    /// Norm of the last gradient before clipping.
    #[serde(with = "exact")]
    pub grad_norm: f64,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Evaluations since the best one.
    pub stale_evaluations: u64,
    /// What the run is made of.
    pub identity: Identity,
    /// SHA-256 of the other files.
    pub files: BTreeMap<String, String>,
}

/// An f64 as text, because a JSON reader may miss its last bit.
mod exact {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The folder of step `step` inside a run's folder.
pub fn folder(run: &Path, step: u64) -> PathBuf {
    run.join(format!("{PREFIX}{step}"))
}

/// The step a checkpoint folder's name says.
pub fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Writes the checkpoint of `progress.step` into the run's folder.
pub fn write(
    run: &Path,
    student: &dyn Student,
    optimizer: &Optimizer,
    mut progress: Progress,
    training_args: &Value,
) -> Result<PathBuf> {
    if let Some(param) = student.params().iter().find(|param| !param.value.iter().all(|value| value.is_finite())) {
        return Err(
            Problem::failed(format!("{} is not finite, so step {} is not saved", param.name, progress.step)).into()
        );
    }
    let target = folder(run, progress.step);
    let written = (|| {
        let staging = fsx::Staging::new(&target)?;
        let dir = staging.path();
        student.save(dir)?;
        fsx::failpoint("train.adapter_saved");
        moments::write(&dir.join(OPTIMIZER), student.params(), optimizer)?;
        write_json(&dir.join(TRAINING_ARGS), training_args)?;
        progress.format = FORMAT;
        progress.files = hashes(dir)?;
        write_json(&dir.join(PROGRESS), &progress)?;
        fsx::failpoint("train.before_publish");
        staging.publish()
    })();
    written.map_err(|error| not_saved(&error, &target, student, optimizer.hyper.rule))?;
    Ok(target)
}

/// Explains a failed save; a full disk with what is needed.
fn not_saved(error: &anyhow::Error, target: &Path, student: &dyn Student, rule: Rule) -> Problem {
    let (exit, hint) = classify(error);
    let params = student.params().iter().map(|param| param.value.len());
    let bytes = params.map(|len| len * 4 + rule.state_bytes(len)).sum::<usize>();
    let mut problem =
        Problem::new(exit, format!("{} could not be saved", target.display())).detail(format!("{error:#}"));
    if exit == Exit::Resource {
        problem =
            problem.detail(format!("a checkpoint of this run takes {:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    }
    problem.hint = hint;
    problem
}

/// Writes a JSON file with two spaces of indentation.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    fsx::write_atomic(path, (serde_json::to_string_pretty(value)? + "\n").as_bytes())
}

fn hashes(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for path in fsx::list_dir(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != PROGRESS {
            files.insert(name, fsx::sha256_file(&path)?);
        }
    }
    Ok(files)
}

/// The progress of a complete checkpoint; an error says what is broken.
pub fn inspect(dir: &Path) -> Result<Progress> {
    let name = dir.display();
    let text = fsx::read_text(&dir.join(PROGRESS))?;
    let progress: Progress =
        serde_json::from_str(&text).map_err(|error| Problem::input(format!("{name}/{PROGRESS}: {error}")))?;
    if progress.format != FORMAT {
        return Err(Problem::input(format!("{name} was written by another version of expert-cli")).into());
    }
    for (file, hash) in &progress.files {
        let found = fsx::sha256_file(&dir.join(file))?;
        if found != *hash {
            return Err(Problem::input(format!("{name}/{file} is damaged: its hash does not fit")).into());
        }
    }
    for any in [&[OPTIMIZER][..], &WEIGHTS] {
        if !any.iter().any(|file| progress.files.contains_key(*file)) {
            return Err(Problem::input(format!("{name} has no {}", any[0])).into());
        }
    }
    Ok(progress)
}
