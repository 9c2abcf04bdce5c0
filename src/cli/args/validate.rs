//! What `validate` takes.

use std::path::PathBuf;

/// Flags of `validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest, or the folder that holds it
    #[arg(value_name = "PATH", default_value = "./manifest.json")]
    pub path: PathBuf,
}
