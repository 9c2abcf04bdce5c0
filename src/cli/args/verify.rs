//! What `verify` takes.

/// Flags of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .expert file, or an installed expert
    #[arg(value_name = "FILE|NAME[@VERSION]")]
    pub what: String,
    /// The base model: a folder or a hub id [default: the manifest's, if it is there]
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub base_model: Option<String>,
}
