//! `metrics.jsonl`: one object per logged step, appended as the run goes, cut back when a run resumes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fsx;

/// The file's name inside the run's folder.
pub const FILE: &str = "metrics.jsonl";

/// One line. What was not measured at this step is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the data done.
    pub epoch: f64,
    /// Mean loss per target since the line before.
    pub loss: Option<f64>,
    /// Mean loss per target of the validation rows.
    pub eval_loss: Option<f64>,
    /// Share of validation targets that have the highest logit.
    pub eval_token_accuracy: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: Option<f64>,
    /// Norm of the step's gradient before clipping.
    pub grad_norm: Option<f64>,
    /// Tokens trained on per second since the line before.
    pub tokens_per_s: Option<f64>,
    /// Targets trained on since the run began.
    pub target_tokens: u64,
    /// Resident memory of the process in MiB.
    pub rss_mib: Option<f64>,
}

/// The file of one run.
#[derive(Debug)]
pub struct Metrics {
    /// None: another process writes them.
    path: Option<PathBuf>,
}

impl Metrics {
    /// The file in the run's folder, cut back to the lines of `step` and before (at step 0: to nothing). A torn line goes
    /// too.
    pub fn open(folder: &Path, step: u64) -> Result<Self> {
        let path = folder.join(FILE);
        if path.exists() {
            let text = fsx::read_text(&path)?;
            let kept: String = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .filter(|line| serde_json::from_str::<Record>(line).is_ok_and(|record| record.step <= step && step > 0))
                .collect();
            if kept.len() != text.len() {
                fsx::write_atomic(&path, kept.as_bytes())?;
            }
        }
        Ok(Self { path: Some(path) })
    }

    /// Metrics that are not written.
    pub fn nowhere() -> Self {
        Self { path: None }
    }

    /// Appends a line.
    pub fn append(&self, record: &Record) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        fsx::append(path, &line)
    }
}

/// Resident memory of this process in MiB, where the system tells (Linux).
pub fn rss_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most this process has held so far, in MiB, where the system tells (Linux).
pub fn peak_rss_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// What of it is no mapped file, in MiB.
pub fn anonymous_mib() -> Option<f64> {
    status_mib("RssAnon:")
}

fn status_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_forgets_what_came_after_its_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::open(dir.path(), 0).unwrap();
        for step in [1, 5, 10, 15] {
            metrics.append(&Record { step, loss: Some(0.1), ..Record::default() }).unwrap();
        }
        fsx::append(&dir.path().join(FILE), b"{\"step\": 1").unwrap();
        Metrics::open(dir.path(), 10).unwrap().append(&Record { step: 11, ..Record::default() }).unwrap();
        let text = fsx::read_text(&dir.path().join(FILE)).unwrap();
        let steps: Vec<u64> = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().step).collect();
        assert_eq!(steps, [1, 5, 10, 11]);
        assert!(text.starts_with(r#"{"step":1,"epoch":0.0,"loss":0.1,"eval_loss":null"#), "{text}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_measured() {
        let (now, most) = (rss_mib().unwrap(), peak_rss_mib().unwrap());
        assert!(now > 1.0 && most >= now && anonymous_mib().unwrap() > 0.1, "{now} {most}");
    }
}
