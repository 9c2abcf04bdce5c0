//! What `list` takes.

/// Flags of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only experts of this base model
    #[arg(long, value_name = "NAME")]
    pub base_model: Option<String>,
}
