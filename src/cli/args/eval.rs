//! What `eval` takes.

use std::path::PathBuf;

use super::chat::{CandidateArgs, ModelArgs, SamplingArgs};
use crate::db::Source;

/// Flags of `eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  expert-cli eval --experts sql --suite smoke --suites experts/expert-sql/suites --baseline base
  expert-cli eval --adapter weights/Qwen3-0.6B/final --suite datasets/synthesized/held-out.jsonl --db sqlite:shop.db
  expert-cli eval --checkpoints weights/Qwen3-0.6B --suite held-out.jsonl --select
  expert-cli eval --experts sql --suite spider:spider --db-dir spider/database --official
  expert-cli eval --predictions answers.jsonl --suite real-world --baseline other-answers.jsonl
Exactly as in `chat`, --experts, --adapter or --base-model alone say who answers, -n, --beams, --hybrid and --repair how many answers are
drawn; every answer is greedy, alone and not mended unless a flag says otherwise.")]
pub struct Args {
    /// Judge these answers instead of asking: JSON lines {\"id\", \"sql\", \"language\"?, \"seconds\"?}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["experts", "adapter", "package", "checkpoints"])]
    pub predictions: Option<PathBuf>,
    /// Ask the expert of a package that is not installed
    #[arg(long, value_name = "FILE.expert", conflicts_with_all = ["experts", "adapter", "checkpoints"])]
    pub package: Option<PathBuf>,
    /// Ask every checkpoint of a run, or these checkpoints, and rank them
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["experts", "adapter"])]
    pub checkpoints: Vec<PathBuf>,
    /// With --checkpoints: write the best one into the manifest as what is packaged, and its scores as quality_metrics
    #[arg(long, requires = "checkpoints")]
    pub select: bool,
    /// Write the scores into the manifest as quality_metrics
    #[arg(long, conflicts_with_all = ["predictions", "package"])]
    pub write_metrics: bool,
    /// The manifest that is written to [default: the one above the adapter]
    #[arg(long, value_name = "PATH")]
    pub manifest: Option<PathBuf>,
    /// The questions: a file of JSON lines (a suite, or pairs as `synthesize` writes them), the name of one in --suites,
    /// or spider:DIR, bird:DIR, wikisql:FILE
    #[arg(long, value_name = "SUITE")]
    pub suite: String,
    /// Where suites are found by name
    #[arg(long, value_name = "DIR", default_values = ["suites", "experts/expert-sql/suites"])]
    pub suites: Vec<PathBuf>,
    /// Where the database files of Spider and BIRD are
    #[arg(long, value_name = "DIR")]
    pub db_dir: Option<PathBuf>,
    /// The database that pairs are about; of postgres://…, the server where a suite of ours is run, in a schema of its own
    #[arg(long, value_name = "URL")]
    pub db: Option<Source>,
    /// Only the questions about these databases, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only_databases: Vec<String>,
    /// Whom to compare with (McNemar's test): `base`, an installed expert, an adapter's folder, or a file of answers
    #[arg(long, value_name = "base|EXPERT|DIR|FILE")]
    pub baseline: Option<String>,
    /// Languages of the questions, with commas between them
    #[arg(long, value_name = "LANGS", value_delimiter = ',', default_value = "en,pt")]
    pub lang: Vec<String>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Only 40 questions, spread evenly over the suite
    #[arg(long)]
    pub quick: bool,
    /// Judge as the published evaluators do, to the letter; the default mends their slips
    #[arg(long)]
    pub official: bool,
    /// Run each right answer and its gold N times by turns and add R-VES
    #[arg(long, value_name = "N")]
    pub ves: Option<usize>,
    /// How often rows are made up for tables without any: an answer must be right each time
    #[arg(long, value_name = "N", default_value_t = crate::eval::ROW_SEEDS)]
    pub row_seeds: usize,
    /// Where report.html, outcomes.jsonl and summary.json go [default: evaluations/SUITE]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Who answers.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// How many answers are drawn.
    #[command(flatten)]
    pub candidates: CandidateArgs,
}
