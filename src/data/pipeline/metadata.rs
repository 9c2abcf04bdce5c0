//! What a run counted, and the `metadata.json` that says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Options, Reason};
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
    /// Conversions of the kept rows.
    pub conversions: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts what a kept row is like.
    pub(super) fn add_kind<S: AsRef<str>>(&mut self, shape: &str, statement: Option<&str>, conversions: &[S]) {
        *self.shapes.entry(shape.to_owned()).or_default() += 1;
        if let Some(statement) = statement {
            *self.statements.entry(statement.to_owned()).or_default() += 1;
        }
        for conversion in conversions {
            *self.conversions.entry(conversion.as_ref().to_owned()).or_default() += 1;
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
            "conversions": self.conversions,
        })
    }
}

/// The content of `metadata.json`: the same for the same input and options. `folder` holds the finished files. The keys
/// of the original's file (`source_dataset` … `preprocessing`) come first.
pub(super) fn build(
    source: &Source,
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
    let inputs = source.files.iter().map(|(path, shown)| Ok(json!({"file": shown, "sha256": fsx::sha256_file(path)?})));
    let inputs = inputs.collect::<Result<Vec<Value>>>()?;
    let first: Vec<Value> = first
        .first(NAMED_DROPS)
        .map(|drop| json!({"at": drop.place.to_string(), "reason": drop.reason.name(), "detail": drop.detail}))
        .collect();
    Ok(json!({
        "source_dataset": source.name,
        "dialect": options.dialect.name(),
        "format": options.layout.name(),
        "tokenized": false,
        "num_examples": counts.train,
        "preprocessing": options.to_json(),
        "schema": "expert-cli.dataset/1",
        "version": env!("CARGO_PKG_VERSION"),
        "source": {"name": source.name, "kind": source.kind, "revision": source.revision, "files": inputs},
        "counts": counts.to_json(),
        "dropped": first,
        "outputs": outputs,
    }))
}
