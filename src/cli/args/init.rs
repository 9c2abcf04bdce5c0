//! What `init` takes.

use std::path::PathBuf;

/// Flags of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the expert, or the path of its folder; the expert is called `expert-…`
    pub name: PathBuf,
    /// Base model: a folder or a hub id
    #[arg(long, value_name = "DIR|HUB_ID", default_value = "Qwen/Qwen3-0.6B")]
    pub base_model: String,
    /// SQL dialect that the expert speaks
    #[arg(long, value_parser = ["postgres", "mysql", "sqlite"], default_value = "postgres")]
    pub dialect: String,
    /// Write over the files of an existing folder
    #[arg(long)]
    pub force: bool,
}
