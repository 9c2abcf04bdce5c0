//! Who answers: an expert, an adapter, a package, a base model alone, the checkpoints of a run; and whom they are compared
//! with.

use std::path::{Path, PathBuf};

use super::answers::{Course, Side};
use crate::cli::answering::{Loaded, find};
use crate::cli::args::chat::{ModelArgs, SamplingArgs};
use crate::cli::args::eval::Args;
use crate::cli::home::expert_home;
use crate::error::{Problem, Result};
use crate::eval::Score;
use crate::fsx;
use crate::package::{self, Package};

/// A checkpoint and its answers.
pub(super) struct Checkpoint {
    /// What its folder is called.
    pub name: String,
    /// Its step, where the name tells it.
    pub step: Option<u64>,
    /// Its answers.
    pub side: Side,
}

/// Everybody's answers.
pub(super) struct Sides {
    /// Those that are reported: of several checkpoints the best one's.
    pub own: Side,
    /// The adapter's folder, where there is one.
    pub adapter: Option<PathBuf>,
    /// All checkpoints, by step; empty where they were not asked for.
    pub checkpoints: Vec<Checkpoint>,
    /// The best checkpoint's place among them.
    pub best: Option<usize>,
    /// Whom they are compared with.
    pub baseline: Option<Side>,
}

/// Asks everybody.
pub(super) fn ask(course: &mut Course<'_>) -> Result<Sides> {
    let args = course.args;
    if let Some(file) = &args.predictions {
        let own = course.read(file)?;
        let baseline = baseline(course, None)?;
        return Ok(Sides { own, adapter: None, checkpoints: Vec::new(), best: None, baseline });
    }
    if !args.checkpoints.is_empty() {
        return checkpoints(course);
    }
    let unpacked = args.package.as_deref().map(unpack).transpose()?;
    let adapter = unpacked.as_ref().map(|folder| folder.path().to_owned()).or_else(|| args.model.adapter.clone());
    let mut loaded = load(course, adapter.as_deref(), None)?;
    if let Some(file) = &args.package {
        let manifest = crate::manifest::Manifest::load(unpacked.as_ref().map_or(file.as_path(), fsx::Staging::path))?;
        package::check_base(&manifest, loaded.base_dir(), Some(&expert_home().join("cache")))?;
        loaded.name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    }
    let own = course.ask(&loaded)?;
    let baseline = baseline(course, Some(&loaded))?;
    Ok(Sides { own, adapter: args.model.adapter.clone(), checkpoints: Vec::new(), best: None, baseline })
}

/// A package's files in a folder that goes with the value.
fn unpack(file: &Path) -> Result<fsx::Staging> {
    let mut package = Package::open(file)?;
    package.check_checksum_file()?;
    let folder = std::env::temp_dir().join(format!("expert-eval-package-{}", std::process::id()));
    let folder = fsx::Staging::new(&folder)?;
    package.extract(folder.path())?;
    Ok(folder)
}

/// Loads who the flags name, or an adapter; in the dialect that is judged. What a manifest would say of a grammar, where there
/// is none, is said here: answers are SQL of the dialect.
fn load(course: &Course<'_>, adapter: Option<&Path>, previous: Option<&Loaded>) -> Result<Loaded> {
    let model = model(course.args, course, adapter);
    let mut sampling = course.args.sampling.clone();
    hold_to_dialect(&model, &mut sampling, course)?;
    Loaded::new(&model, &sampling, previous, course.ui)
}

fn model(args: &Args, course: &Course<'_>, adapter: Option<&Path>) -> ModelArgs {
    let mut model = args.model.clone();
    if let Some(folder) = adapter {
        (model.adapter, model.experts) = (Some(folder.to_owned()), None);
    }
    model.dialect = Some(course.judge.dialect.name().to_owned());
    model
}

fn hold_to_dialect(model: &ModelArgs, sampling: &mut SamplingArgs, course: &Course<'_>) -> Result<()> {
    let said = sampling.no_grammar || sampling.grammar.is_some() || model.experts.is_some();
    if !said && find(model)?.manifest.is_none() {
        sampling.grammar = Some(format!("sql-{}", course.judge.dialect.name()).into());
    }
    Ok(())
}

/// Whom `--baseline` names. `own`: who was asked, whose base model `base` is.
fn baseline(course: &mut Course<'_>, own: Option<&Loaded>) -> Result<Option<Side>> {
    let Some(named) = course.args.baseline.clone() else { return Ok(None) };
    let path = Path::new(&named);
    if named == "base" {
        let loaded = match own {
            Some(own) if own.has_adapter() => own.base_alone(),
            Some(_) => {
                return Err(Problem::usage("--baseline base needs an expert to compare its base model with")
                    .hint("--experts NAME or --adapter DIR names one")
                    .into());
            }
            None => load(course, None, None)?,
        };
        course.ui.note(&format!("the base model {}:", loaded.name));
        return course.ask(&loaded).map(Some);
    }
    if path.is_file() {
        return course.read(path).map(Some);
    }
    let mut model = model(course.args, course, path.is_dir().then_some(path));
    if !path.is_dir() {
        (model.experts, model.adapter) = (Some(named.clone()), None);
    }
    let mut sampling = course.args.sampling.clone();
    hold_to_dialect(&model, &mut sampling, course)?;
    let loaded = Loaded::new(&model, &sampling, own, course.ui)?;
    course.ui.note(&format!("{}:", loaded.name));
    course.ask(&loaded).map(Some)
}

fn checkpoints(course: &mut Course<'_>) -> Result<Sides> {
    let folders = folders(&course.args.checkpoints)?;
    let mut done: Vec<Checkpoint> = Vec::new();
    let mut previous: Option<Loaded> = None;
    for (name, step, folder) in &folders {
        let mut loaded = load(course, Some(folder), previous.as_ref())?;
        loaded.name.clone_from(name);
        course.ui.note(&format!("{name}:"));
        done.push(Checkpoint { name: name.clone(), step: *step, side: course.ask(&loaded)? });
        previous = Some(loaded);
    }
    let baseline = baseline(course, previous.as_ref())?;
    let right = |at: usize| Score::execution(&done[at].side.outcomes).right;
    // The earliest of those that are equally good: it was trained least.
    let best = (0..done.len()).rev().max_by_key(|at| right(*at)).unwrap_or_default();
    let own = &done[best].side;
    let own = Side { name: own.name.clone(), outcomes: own.outcomes.clone(), who: own.who.clone() };
    let adapter = folders.get(best).map(|(.., folder)| folder.clone());
    Ok(Sides { own, adapter, checkpoints: done, best: Some(best), baseline })
}

/// The checkpoints in some folders, each a checkpoint or a run that holds several: name, step, folder; by step, `final` last.
fn folders(named: &[PathBuf]) -> Result<Vec<(String, Option<u64>, PathBuf)>> {
    let holds = |folder: &Path| folder.join("adapter_config.json").is_file();
    let mut found = Vec::new();
    for folder in named {
        let inside = match holds(folder) {
            true => vec![folder.clone()],
            false => fsx::list_dir(folder)?.into_iter().filter(|folder| holds(folder)).collect(),
        };
        if inside.is_empty() {
            return Err(Problem::input(format!("there is no checkpoint in {}", folder.display()))
                .hint("a run writes them to weights/<model>/checkpoint-N")
                .into());
        }
        for folder in inside {
            let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let step = name.strip_prefix("checkpoint-").and_then(|step| step.parse().ok());
            found.push((name, step, folder));
        }
    }
    found.sort_by_key(|(name, step, _)| (step.unwrap_or(u64::MAX), name.clone()));
    found.dedup_by(|a, b| a.2 == b.2);
    Ok(found)
}
