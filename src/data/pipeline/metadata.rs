//! What a run counted, and the `metadata.json` that says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Job, Options, Reason};
use crate::data::records::Place;
use crate::data::source::Source;
use crate::error::Result;
use crate::fsx;

/// How many dropped rows of each reason `metadata.json` names; `dropped.jsonl` names all.
const NAMED_DROPS: usize = 5;

/// A dropped row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// Where it stood.
    pub place: Place,
    /// Why.
    pub reason: Reason,
    /// What exactly.
    pub detail: String,
}

/// The first dropped rows of each reason.
#[derive(Debug, Clone, Default)]
pub struct FirstDrops {
    by_reason: BTreeMap<Reason, Vec<Drop>>,
}

impl FirstDrops {
    pub(super) fn add(&mut self, drop: Drop) {
        let named = self.by_reason.entry(drop.reason).or_default();
        if named.len() < NAMED_DROPS {
            named.push(drop);
        }
    }

    /// The first `count` rows of each reason.
    pub fn first(&self, count: usize) -> impl Iterator<Item = &Drop> {
        self.by_reason.values().flat_map(move |drops| drops.iter().take(count))
    }
}

/// What a row is like, for the counts.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Kind {
    pub shape: String,
    pub task: String,
    pub statement: Option<String>,
    pub source: Option<String>,
    pub hardness: Option<String>,
    pub executed: Option<usize>,
    pub conversions: Vec<String>,
}

/// What a run counted. `read` is `train + val + dropped`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records and what was none.
    pub read: u64,
    /// Rows in `train.jsonl`.
    pub train: u64,
    /// Rows in `val.jsonl`.
    pub val: u64,
    /// Dropped, by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// Shapes of the kept rows.
    pub shapes: BTreeMap<String, u64>,
    /// Kinds of statement of the kept rows.
    pub statements: BTreeMap<String, u64>,
    /// Dialects that the answers of the kept rows were written in.
    pub dialects: BTreeMap<String, u64>,
    /// How hard the queries of the kept rows are, by Spider's rule.
    pub hardness: BTreeMap<String, u64>,
    /// Rows of each task.
    pub tasks: BTreeMap<String, u64>,
    /// Kept answers that ran on made-up rows; of them, those that gave rows.
    pub executed: [u64; 2],
    /// Conversions of the kept rows.
    pub conversions: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts what a kept row is like.
    pub(super) fn add_kind(&mut self, kind: &Kind) {
        let count = |counts: &mut BTreeMap<String, u64>, name: &str| *counts.entry(name.to_owned()).or_default() += 1;
        count(&mut self.shapes, &kind.shape);
        count(&mut self.tasks, &kind.task);
        kind.statement.iter().for_each(|name| count(&mut self.statements, name));
        kind.source.iter().for_each(|name| count(&mut self.dialects, name));
        kind.hardness.iter().for_each(|name| count(&mut self.hardness, name));
        kind.conversions.iter().for_each(|name| count(&mut self.conversions, name));
        if let Some(rows) = kind.executed {
            self.executed[0] += 1;
            self.executed[1] += u64::from(rows > 0);
        }
    }

    /// Rows that stayed.
    pub fn kept(&self) -> u64 {
        self.train + self.val
    }

    /// Rows that went.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// The counts as JSON.
    pub fn to_json(&self) -> Value {
        let dropped: Map<String, Value> =
            self.dropped.iter().map(|(reason, count)| (reason.name().to_owned(), (*count).into())).collect();
        json!({
            "read": self.read,
            "kept": self.kept(),
            "train": self.train,
            "val": self.val,
            "dropped": self.dropped_total(),
            "dropped_by_reason": dropped,
            "shapes": self.shapes,
            "statements": self.statements,
            "dialects": self.dialects,
            "hardness": self.hardness,
            "tasks": self.tasks,
            "executed": {"ran": self.executed[0], "gave_rows": self.executed[1]},
            "conversions": self.conversions,
        })
    }
}

/// The content of `metadata.json`: the same for the same input and options. `folder` holds the finished files. The keys
/// of the original's file (`source_dataset` … `preprocessing`) come first.
pub(super) fn build(
    jobs: &[Job<'_>],
    options: &Options,
    counts: &Counts,
    first: &FirstDrops,
    folder: &Path,
) -> Result<Value> {
    let mut outputs = Map::new();
    for (name, rows) in
        [("train.jsonl", counts.train), ("val.jsonl", counts.val), ("dropped.jsonl", counts.dropped_total())]
    {
        let path = folder.join(name);
        if path.exists() {
            outputs.insert(name.into(), json!({"rows": rows, "sha256": fsx::sha256_file(&path)?}));
        }
    }
    let described = |source: &Source| -> Result<Value> {
        let inputs =
            source.files.iter().map(|(path, shown)| Ok(json!({"file": shown, "sha256": fsx::sha256_file(path)?})));
        let inputs = inputs.collect::<Result<Vec<Value>>>()?;
        Ok(json!({"name": source.name, "kind": source.kind, "revision": source.revision, "files": inputs}))
    };
    let mut sources = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut described = described(job.source)?;
        if jobs.len() > 1 {
            described["preprocessing"] = job.options.to_json();
            described["sum_num"] = job.portion.rows.into();
            described["weight"] = job.portion.weight.into();
        }
        sources.push(described);
    }
    let name = jobs.iter().map(|job| job.source.name.as_str()).collect::<Vec<_>>().join(", ");
    let source = if sources.len() == 1 { sources.remove(0) } else { Value::Array(sources) };
    let first: Vec<Value> = first
        .first(NAMED_DROPS)
        .map(|drop| json!({"at": drop.place.to_string(), "reason": drop.reason.name(), "detail": drop.detail}))
        .collect();
    Ok(json!({
        "source_dataset": name,
        "dialect": options.dialect.name(),
        "format": options.layout.name(),
        "tokenized": false,
        "num_examples": counts.train,
        "preprocessing": options.to_json(),
        "schema": "expert-cli.dataset/1",
        "version": env!("CARGO_PKG_VERSION"),
        "source": source,
        "counts": counts.to_json(),
        "dropped": first,
        "outputs": outputs,
    }))
}
