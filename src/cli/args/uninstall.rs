//! What `uninstall` takes.

/// Flags of `uninstall`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which expert, as in sql or sql@0.3.0
    #[arg(value_name = "NAME[@VERSION]")]
    pub name: String,
}
