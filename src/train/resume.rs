//! What a resumed run has to have in common with the one it continues.

use std::path::Path;

use serde_json::Value;

use super::checkpoint::{Identity, TRAINING_ARGS};
use super::observer::Observer;
use super::settings::Settings;
use crate::error::{Problem, Result};

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
const FREE: [&str; 6] =
    ["logging_steps", "save_strategy", "save_steps", "save_total_limit", "save_dtype", "gradient_checkpointing"];

/// A checkpoint goes on only with the base model and the rows it came from.
pub(super) fn check_identity(saved: &Identity, now: &Identity, path: &Path) -> Result<()> {
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
                .hint("give the same --dataset, --base-model and --new-tokenizer, or start anew with --restart or another --output")
                .into());
        }
    }
    Ok(())
}

/// Compares the settings, and the form of the base (`args`), with those of the checkpoint: some must be the same, of the others each change is named.
pub(super) fn check_settings(
    path: &Path,
    settings: &Settings,
    args: &Value,
    observer: &mut dyn Observer,
) -> Result<()> {
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
    let held =
        |args: &Value| (args["quantization"]["quantization"].clone(), args["quantization"]["embeddings"].clone());
    if held(&saved) != held(args) {
        return Err(Problem::input(format!("{} was trained with its base quantised otherwise", path.display()))
            .detail(format!("then  {}", saved["quantization"]["quantization"]))
            .detail(format!("now   {}", args["quantization"]["quantization"]))
            .hint("give the same `quantization`, or start anew with --restart or another --output")
            .into());
    }
    let processes = |args: &Value| args["processes"].as_u64().unwrap_or(1);
    if processes(&saved) != processes(args) {
        return Err(Problem::input(format!("{} was trained by another number of processes", path.display()))
            .detail(format!("then {}, now {}", processes(&saved), processes(args)))
            .hint("a step has that many times batch_size × gradient_accumulation_steps rows: start as many processes")
            .into());
    }
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
