//! What `install` takes.

use std::path::PathBuf;

/// Flags of `install`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .expert file or an expert folder
    #[arg(value_name = "FILE|DIR")]
    pub source: PathBuf,
    /// Put it in the place of the same version
    #[arg(long)]
    pub force: bool,
    /// Register the folder where it is instead of copying it
    #[arg(long)]
    pub dev: bool,
}
