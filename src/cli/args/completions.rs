//! What `completions` takes.

use std::path::PathBuf;

use clap::ValueEnum as _;

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell (bash, elvish, fish, powershell, zsh), or `man` for the manual pages
    #[arg(value_name = "SHELL|man", value_parser = what)]
    pub what: What,
    /// A file for the script [default: stdout], or a folder for the manual pages [default: man]
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// The completion script of a shell.
    Shell(clap_complete::Shell),
    /// The manual pages.
    Man,
}

fn what(word: &str) -> Result<What, String> {
    match word {
        "man" => Ok(What::Man),
        _ => clap_complete::Shell::from_str(word, true).map(What::Shell),
    }
}
