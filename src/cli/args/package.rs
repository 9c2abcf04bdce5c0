//! What `package` takes.

use std::path::PathBuf;

/// Flags of `package`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest, or the folder that holds it
    #[arg(long, short, value_name = "PATH", default_value = "manifest.json")]
    pub manifest: PathBuf,
    /// Where training put its checkpoints [default: weights beside the manifest]
    #[arg(long, short, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Which base model's adapter, if the manifest names several
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Which checkpoint: checkpoint-N, final or adapter [default: the manifest's packaging_checkpoint, else final]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
    /// The base model: a folder or a hub id [default: the manifest's]
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub base_model: Option<String>,
    /// The package's file (ending in .expert), or the folder for it [default: the current folder]
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Say what would be packed and write nothing
    #[arg(long)]
    pub list_contents: bool,
    /// Pack the files of tests/ too
    #[arg(long)]
    pub include_tests: bool,
    /// Pack absolute paths, home folders and secrets that stand in text files
    #[arg(long)]
    pub allow_paths: bool,
}
