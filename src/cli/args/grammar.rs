//! What `grammar` takes.

use std::path::PathBuf;

/// Flags of `grammar`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with a grammar.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Check a grammar, or whether a text is in its language
    Check(Check),
    /// Measure a grammar on a vocabulary: states, memory, time per token
    Stats(Stats),
}

/// Flags of `grammar check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// A GBNF file, or the name of a grammar that ships with the program (sql-sqlite, sql-postgres, sql-mysql, json, cypher)
    #[arg(value_name = "FILE")]
    pub grammar: PathBuf,
    /// The text to check, byte for byte
    #[arg(long, value_name = "T", conflicts_with = "input")]
    pub text: Option<String>,
    /// A file with the text to check, byte for byte (its last line break included); - for stdin
    #[arg(long, value_name = "F")]
    pub input: Option<PathBuf>,
    /// Take each line of --input as a text of its own
    #[arg(long, requires = "input")]
    pub lines: bool,
    /// A tokenizer.json or its folder: for grammars with token literals
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
}

/// Flags of `grammar stats`.
#[derive(Debug, clap::Args)]
pub struct Stats {
    /// A GBNF file, or the name of a grammar that ships with the program
    #[arg(value_name = "FILE")]
    pub grammar: PathBuf,
    /// A tokenizer.json, or the folder that holds it
    #[arg(long, value_name = "DIR")]
    pub tokenizer: PathBuf,
    /// A file with one text of the language on each line, to walk along
    #[arg(long, value_name = "F")]
    pub input: Option<PathBuf>,
}
