//! What `quickstart` takes.

use std::path::PathBuf;

/// Flags of `quickstart`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to work in; it must be empty or new [default: a new folder among the temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Optimiser steps of the training
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
}
