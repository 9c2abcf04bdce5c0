//! What `bench` takes.

use std::path::PathBuf;

use super::chat::ModelArgs;

/// Flags of `bench`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Examples:
  expert-cli bench --experts sql
  expert-cli bench --base-model models/Qwen3-0.6B --quantization int4 --quantize-embeddings
  expert-cli bench --experts sql --along train.jsonl --iterations 20 --detailed
  expert-cli bench --make-model 0.6b-shape --base-model models/random-0.6b")]
pub struct Args {
    /// Who is measured.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Queries to time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: u32,
    /// Tokens of a query's prompt
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub prompt_tokens: u32,
    /// Tokens of a query's answer
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..))]
    pub answer_tokens: u32,
    /// Rows with `question`, `context` and right SQL (`answer` or `sql`): decode along it, at most --iterations rows, and
    /// tell what grammar and guard cost a token
    #[arg(long, value_name = "ROWS.jsonl")]
    pub along: Option<PathBuf>,
    /// Grammar for --along, over the expert's: a GBNF file or sql-postgres, sql-sqlite, sql-mysql, json, cypher
    #[arg(long, value_name = "FILE|NAME", requires = "along")]
    pub grammar: Option<PathBuf>,
    /// Show percentiles of every measure and what the weights are held in
    #[arg(long)]
    pub detailed: bool,
    /// Write a model of random numbers into the folder --base-model names, and leave
    #[arg(long, value_name = "SHAPE", value_parser = ["30m", "0.6b-shape"], requires = "base_model", conflicts_with_all = ["experts", "adapter"])]
    pub make_model: Option<String>,
}
