//! What `convert` takes.

use std::path::PathBuf;

use clap::ValueEnum;

/// Flags of `convert`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The dialect of the input; auto: found for each text from the text and its schema
    #[arg(long, value_enum, default_value_t = From::Auto)]
    pub from: From,
    /// The dialect of the output
    #[arg(long, value_enum, default_value_t = To::Postgres)]
    pub to: To,
    /// CREATE TABLE text that the SQL is written for
    #[arg(long, value_name = "FILE")]
    pub context: Option<PathBuf>,
    /// Rows {"sql", "context"?, …}, one JSON object a line, instead of SQL on stdin
    #[arg(long, value_name = "ROWS.jsonl")]
    pub input: Option<PathBuf>,
    /// Where the converted rows go (stdout without it)
    #[arg(long, value_name = "OUT.jsonl", requires = "input")]
    pub output: Option<PathBuf>,
    /// Name every rule that fired, on stderr
    #[arg(long)]
    pub explain: bool,
    /// Same result in every case, or the SQL that people write
    #[arg(long, value_enum, default_value_t = Fidelity::Exact)]
    pub fidelity: Fidelity,
    /// What to do with SQL that cannot be carried over faithfully
    #[arg(long, value_enum, default_value_t = OnUnsupported::Keep)]
    pub on_unsupported: OnUnsupported,
}

/// Values of `--from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// Found from the text and its schema
    Auto,
    /// MySQL and MariaDB
    Mysql,
    /// SQLite
    Sqlite,
    /// PostgreSQL
    #[value(alias = "postgresql")]
    Postgres,
}

/// Values of `--to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// PostgreSQL
    #[value(alias = "postgresql")]
    Postgres,
    /// SQLite
    Sqlite,
    /// MySQL
    Mysql,
    /// Oracle
    Oracle,
}

/// Values of `--fidelity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fidelity {
    /// The same result in every case
    Exact,
    /// What people write
    Idiomatic,
}

/// Values of `--on-unsupported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnUnsupported {
    /// Convert as far as possible and say what is left
    Keep,
    /// Leave the row out and count it
    Drop,
    /// Stop (exit 3)
    Error,
}
