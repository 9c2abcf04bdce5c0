//! What `show` takes.

/// Flags of `show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which expert, as in sql or sql@0.3
    #[arg(value_name = "NAME[@VERSION]")]
    pub name: String,
}
