//! What `infer` takes.

use std::path::PathBuf;

use super::chat::{CandidateArgs, ModelArgs, SamplingArgs, SourceArgs};

/// Flags of `infer`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
A row is a JSON object with `question` (or `sql_prompt`, `prompt`) and, unless a flag gives them, the tables as
`context`, `schema` or `sql_context` (CREATE TABLE text) or `db` (sqlite:PATH); `evidence` is added. Its keys are carried through; the answer
stands beside them as `predicted_sql`. A run that was stopped goes on where it ended.")]
pub struct Args {
    /// Questions, one JSON object a line
    #[arg(long, short, value_name = "Q.jsonl")]
    pub input: PathBuf,
    /// Answers, one JSON object a line, in the order of the input
    #[arg(long, short, value_name = "P.jsonl")]
    pub output: PathBuf,
    /// Questions answered at once
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub batch_size: u64,
    /// Answer only the first N questions
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Begin anew even if the output has answers
    #[arg(long)]
    pub force: bool,
    /// Who answers.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tables of rows that have none of their own.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// How many answers are drawn.
    #[command(flatten)]
    pub candidates: CandidateArgs,
    /// Run nothing to choose between answers
    #[arg(long)]
    pub no_execute: bool,
}
