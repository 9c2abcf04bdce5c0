//! What `eval` takes.

use std::path::PathBuf;

/// Flags of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Answers to judge: JSON lines {"id", "sql", "language"?, "seconds"?}
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// The questions: a file of JSON lines, or the name of one in --suites
    #[arg(long, value_name = "SUITE")]
    pub suite: String,
    /// Where suites are found by name
    #[arg(long, value_name = "DIR", default_value = "suites")]
    pub suites: Vec<PathBuf>,
    /// Other answers to the same questions, to compare with (McNemar's test)
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Languages of the questions, with commas between them
    #[arg(long, value_name = "LANGS", value_delimiter = ',', default_value = "en,pt")]
    pub lang: Vec<String>,
    /// Write every outcome, failures with both results and the reason, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub outcomes: Option<PathBuf>,
}
