//! What `train` takes.

use std::path::PathBuf;

/// Flags of `train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest, or the folder it is in
    #[arg(long, value_name = "PATH", default_value = "manifest.json")]
    pub manifest: PathBuf,
    /// Training rows: a .jsonl file of {"text": …}, or a folder with train.jsonl (and val.jsonl) [default: the manifest's]
    #[arg(long, value_name = "PATH")]
    pub dataset: Option<PathBuf>,
    /// Folder for checkpoints and the result [default: weights beside the manifest]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Base model: a folder, or a hub id that is downloaded if need be [default: the manifest's]
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub base_model: Option<String>,
    /// Which base model of the manifest, if there are several
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Passes over the rows (fractions allowed); wins over the manifest's max_steps
    #[arg(long, value_name = "N")]
    pub epochs: Option<f64>,
    /// Optimiser steps
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Go on from a checkpoint
    #[arg(long, value_name = "PATH|latest", num_args = 0..=1, default_missing_value = "latest", conflicts_with = "restart")]
    pub resume: Option<String>,
    /// Delete the run that is there and start anew
    #[arg(long)]
    pub restart: bool,
    /// Seed of initialisation, order and dropout
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Make a tokenizer of at most SIZE ids from the rows, for training a whole model: one that starts from a config.json
    /// alone, or one with weights, whose knowledge of the old tokens is carried over
    #[arg(long, value_name = "SIZE")]
    pub new_tokenizer: Option<usize>,
    /// Set a key of the manifest's training.config (repeatable)
    #[arg(long, value_name = "training.config.KEY=VALUE")]
    pub set: Vec<String>,
    /// Start although the memory that is free is less than the run is expected to need
    #[arg(long)]
    pub ignore_memory: bool,
    /// Show steps, tokens, memory and time, write nothing
    #[arg(long, conflicts_with_all = ["resume", "restart"])]
    pub dry_run: bool,
}
