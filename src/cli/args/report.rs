//! What `report` takes.

use std::path::PathBuf;

/// Flags of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs: `weights/MODEL` folders, or an expert's folder with one run; the others are laid over the first
    #[arg(value_name = "RUN", default_value = ".")]
    pub runs: Vec<PathBuf>,
    /// Where the page is written [default: report.html in the first run's folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
