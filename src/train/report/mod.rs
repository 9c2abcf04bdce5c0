//! `report.html`: the curves and the settings of a run in one file that opens offline, other runs laid over it.
//!
//! Reads `metrics.jsonl` and `training_args.json` as they lie in a run's folder; knows nothing of a run in memory.

mod page;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::checkpoint::TRAINING_ARGS;
use super::metrics::{self, Record};
use crate::error::{Problem, Result};
use crate::fsx;

/// The report's name inside the run's folder.
pub const FILE: &str = "report.html";

/// One run as its folder tells it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// What it is called in the report.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// The lines of its metrics.
    pub records: Vec<Record>,
    /// Its settings; null where the file is not there.
    pub training_args: Value,
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The last step.
    pub steps: u64,
    /// Loss of the last line that has one.
    pub loss: Option<f64>,
    /// The lowest validation loss and its step.
    pub best_eval_loss: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Median over the lines.
    pub tokens_per_s: Option<f64>,
    /// The highest of the lines, in MiB.
    pub rss_mib: Option<f64>,
    /// Targets trained on.
    pub target_tokens: u64,
}

impl RunRecord {
    /// Reads a run: its folder, its metrics file, or a folder above (an expert's, or its `weights`) that holds one run.
    pub fn read(path: &Path) -> Result<Self> {
        let folder = find(path)?;
        let file = folder.join(metrics::FILE);
        let text = fsx::read_text(&file)?;
        // A run that was killed may have torn its last line.
        let records: Vec<Record> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if records.is_empty() {
            return Err(Problem::input(format!("{} holds no line of metrics yet", file.display()))
                .hint("the first line is written after the first step")
                .into());
        }
        let args = folder.join(TRAINING_ARGS);
        let training_args = if args.is_file() {
            serde_json::from_str(&fsx::read_text(&args)?)
                .map_err(|error| Problem::input(format!("{} is not JSON", args.display())).detail(error.to_string()))?
        } else {
            Value::Null
        };
        Ok(Self { name: folder.display().to_string(), path: folder, records, training_args })
    }

    /// What it came to.
    pub fn summary(&self) -> Summary {
        let best = self.points(|r| r.eval_loss).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let mut speeds: Vec<f64> = self.points(|r| r.tokens_per_s).into_iter().map(|(_, speed)| speed).collect();
        speeds.sort_by(f64::total_cmp);
        let last = self.records.last();
        Summary {
            steps: last.map_or(0, |r| r.step),
            loss: self.points(|r| r.loss).last().map(|(_, loss)| *loss),
            best_eval_loss: best.map(|(_, loss)| loss),
            best_step: best.map(|(step, _)| step),
            tokens_per_s: speeds.get(speeds.len() / 2).copied(),
            rss_mib: self.points(|r| r.rss_mib).into_iter().map(|(_, mib)| mib).max_by(f64::total_cmp),
            target_tokens: last.map_or(0, |r| r.target_tokens),
        }
    }

    /// (step, value) of every line that has a finite one.
    fn points(&self, value: impl Fn(&Record) -> Option<f64>) -> Vec<(u64, f64)> {
        let finite = |r: &Record| value(r).filter(|v| v.is_finite()).map(|v| (r.step, v));
        self.records.iter().filter_map(finite).collect()
    }
}

/// The run's folder.
fn find(path: &Path) -> Result<PathBuf> {
    let holds = |folder: &Path| folder.join(metrics::FILE).is_file();
    if holds(path) {
        return Ok(path.to_owned());
    }
    if path.is_file() && path.file_name().is_some_and(|name| name == metrics::FILE) {
        return Ok(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned());
    }
    let mut inside = Vec::new();
    for above in [path.to_owned(), path.join("weights")] {
        if above.is_dir() {
            inside.extend(fsx::list_dir(&above)?.into_iter().filter(|folder| holds(folder)));
        }
    }
    match inside.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Problem::input(format!("there is no run in {}", path.display()))
            .detail(format!("a run's folder holds {}", metrics::FILE))
            .hint("`expert-cli train` makes weights/<model>; name that folder")
            .into()),
        several => {
            let names: Vec<String> = several.iter().map(|folder| folder.display().to_string()).collect();
            Err(Problem::input(format!("{} holds several runs", path.display()))
                .detail(names.join(", "))
                .hint("name the ones you mean; several are laid over each other")
                .into())
        }
    }
}

/// The page of these runs, the first one on top.
pub fn render(runs: &[RunRecord]) -> String {
    page::render(runs)
}

/// Writes the report of the run in a folder beside its metrics.
pub fn write(folder: &Path) -> Result<()> {
    let mut run = RunRecord::read(folder)?;
    // The page may be shown to others: it names no folder of this machine.
    run.name = folder.file_name().map_or_else(|| run.name.clone(), |name| name.to_string_lossy().into_owned());
    fsx::write_atomic(&folder.join(FILE), render(&[run]).as_bytes())
}

#[cfg(test)]
mod tests;
