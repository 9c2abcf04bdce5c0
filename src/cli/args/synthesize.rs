//! What `synthesize` takes.

use std::path::PathBuf;

use crate::db::Source;

/// Flags of `synthesize`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The database to write questions for: sqlite:PATH
    #[arg(long, value_name = "DB", conflicts_with = "context")]
    pub db: Option<Source>,
    /// CREATE TABLE text to write questions for; rows are made up
    #[arg(long, value_name = "FILE")]
    pub context: Option<PathBuf>,
    /// Write for this many small databases made up from nothing instead (to train a base model)
    #[arg(long, value_name = "N", conflicts_with_all = ["db", "context"])]
    pub schemas: Option<usize>,
    /// Pairs to train on
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub count: usize,
    /// Pairs of the held-out part (default: a twentieth of --count, at least 200)
    #[arg(long, value_name = "N")]
    pub held_out: Option<usize>,
    /// The dialect of the SQL (default: sqlite for --db sqlite:…, else postgres)
    #[arg(long, value_name = "DIALECT")]
    pub dialect: Option<String>,
    /// Languages of the questions, with commas between them
    #[arg(long, value_name = "LANGS", value_delimiter = ',', default_value = "en,pt")]
    pub lang: Vec<String>,
    /// Where train.jsonl, held-out.jsonl and metadata.json go
    #[arg(long, value_name = "DIR", default_value = "datasets/synthesized")]
    pub output: PathBuf,
    /// Seed: the same gives the same files
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Also INSERT, UPDATE and DELETE
    #[arg(long)]
    pub changes: bool,
    /// Write no question of this file (JSON lines with `question`), nor one that shares six words in a row with it
    #[arg(long, value_name = "FILE")]
    pub exclude: Vec<PathBuf>,
    /// A folder with phrasing rules (*.txt) beside those that come with the program
    #[arg(long, value_name = "DIR")]
    pub phrasing: Option<PathBuf>,
}
