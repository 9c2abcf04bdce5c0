//! What `quickstart` takes.

use std::path::PathBuf;

use crate::db::Source;

/// Flags of `quickstart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  expert-cli quickstart
  expert-cli quickstart --db sqlite:shop.db --full
  expert-cli quickstart --db postgres://me@localhost/shop --base-model models/Qwen3-0.6B")]
pub struct Args {
    /// Folder to work in; it must be empty or new [default: a new folder among the temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A database of your own in place of the little shop; it is only read
    #[arg(long, value_name = "URL")]
    pub db: Option<Source>,
    /// Base model [default: the embedded tiny-sql]
    #[arg(long, value_name = "DIR|ID")]
    pub base_model: Option<String>,
    /// Train longer on more questions
    #[arg(long)]
    pub full: bool,
    /// Optimiser steps of the training [default: what fits into 100 s, 60 to 240; 1500 with --full]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// Questions that training never sees, to score expert and base with
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub questions: u64,
}
