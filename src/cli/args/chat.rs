//! What `chat` takes, and what it shares with `infer`.

use std::path::PathBuf;

/// Flags of `chat`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Examples:
  expert-cli chat --experts sql --context schema.sql --prompt \"How many users are there?\"
  expert-cli chat --experts sql --db sqlite:shop.db
  expert-cli chat --experts sql --db postgres://me@localhost/shop --run --prompt \"How many users are there?\"
  expert-cli chat --base-model models/Qwen3-0.6B --schema \"CREATE TABLE t (a INT)\"")]
pub struct Args {
    /// Who answers.
    #[command(flatten)]
    pub model: ModelArgs,
    /// About which tables.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Ask one question, print the SQL and leave (`-` reads the question from stdin); without it: a conversation
    #[arg(long, short, value_name = "QUESTION")]
    pub prompt: Option<String>,
    /// Whether answers are run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How many answers are drawn.
    #[command(flatten)]
    pub candidates: CandidateArgs,
    /// Let the keywords of the experts' manifests pick who of --experts answers
    #[arg(long, requires = "experts")]
    pub route: bool,
    /// Answer with the base model beside the expert
    #[arg(long, conflicts_with = "logits")]
    pub compare: bool,
    /// Add the prompt's ids and the logits of the first step to the JSON, to compare with other programs: without
    /// --grammar nothing is held to a grammar then
    #[arg(long, requires = "prompt")]
    pub logits: bool,
}

/// Who answers.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArgs {
    /// Installed expert: `sql` or `sql@0.3.0` (the newest without a version); without it the base model answers. In
    /// `chat` several, separated by commas: the first answers until /expert or --route picks another
    #[arg(long, visible_alias = "expert", value_name = "NAME[@VERSION]", conflicts_with = "adapter")]
    pub experts: Option<String>,
    /// Adapter folder of a training run, to try a checkpoint before it is packaged
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Folder, name or hub id of the base model; default: what the expert names
    #[arg(long, value_name = "DIR|ID")]
    pub base_model: Option<String>,
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// How to hold the base model's weights, over the expert's: quantised ones are made once and cached
    #[arg(long, value_name = "FORM", value_parser = ["int8", "int4", "nf4", "none"])]
    pub quantization: Option<String>,
    /// Quantise the embedding and the head too
    #[arg(long)]
    pub quantize_embeddings: bool,
    /// Compute prompts in f32 too. Without it their activations are rounded to bf16 where bf16 or quantised weights meet
    /// a processor with AVX-512-BF16, which is two to three times as fast; the tokens of an answer never are
    #[arg(long)]
    pub exact: bool,
    /// Whether beginnings of prompts are kept under EXPERT_HOME for the next run.
    #[arg(skip)]
    pub keeps_prompts: bool,
    /// Prompt layout, over the expert's: chatml, qwen3, mistral, alpaca, llama2, simple
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<String>,
    /// How rows are shown: table, csv, json, or sql for the statement alone; a layout's name means --layout
    #[arg(long, value_name = "FORMAT")]
    pub format: Vec<String>,
    /// Dialect named in the prompt and used for checks, over the expert's: postgres, mysql, sqlite
    #[arg(long, value_name = "DIALECT")]
    pub dialect: Option<String>,
}

/// The tables that questions are about.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SourceArgs {
    /// File with CREATE TABLE statements
    #[arg(long, value_name = "FILE", conflicts_with_all = ["schema", "db"])]
    pub context: Option<PathBuf>,
    /// CREATE TABLE statements
    #[arg(long, value_name = "DDL", conflicts_with = "db")]
    pub schema: Option<String>,
    /// Database whose schema is read: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`; with --db-config, a
    /// name in that file
    #[arg(long, value_name = "URL")]
    pub db: Option<String>,
    /// Connections as askGuru keeps them (db_conn.json)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["context", "schema"])]
    pub db_config: Option<PathBuf>,
}

/// Whether answers are run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RunArgs {
    /// Run the answer on the database of --db and show its rows; what writes is only printed
    #[arg(long)]
    pub run: bool,
    /// Run nothing, neither to show rows nor to choose between answers
    #[arg(long, conflicts_with = "run")]
    pub no_execute: bool,
}

/// How answers are drawn: flags win over the expert's manifest.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SamplingArgs {
    /// 0 takes the most probable token every time
    #[arg(long, value_name = "T", help_heading = "Sampling", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Only the smallest set of tokens whose probabilities reach P
    #[arg(long, value_name = "P", help_heading = "Sampling", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Only the K most probable tokens; 0: all
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub top_k: Option<usize>,
    /// Only tokens at least P times as probable as the most probable
    #[arg(long, value_name = "P", help_heading = "Sampling", allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Divide the logits of tokens seen before; 1: off
    #[arg(long, value_name = "X", help_heading = "Sampling", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f64>,
    /// Subtract once from the logits of tokens in the answer
    #[arg(long, value_name = "X", help_heading = "Sampling", allow_negative_numbers = true)]
    pub presence_penalty: Option<f64>,
    /// Subtract for every occurrence in the answer
    #[arg(long, value_name = "X", help_heading = "Sampling", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f64>,
    /// Same seed, same text
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub seed: Option<u64>,
    /// Most tokens of an answer
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", help_heading = "Sampling")]
    pub max_tokens: Option<usize>,
    /// Text that ends the answer, outside literals, quoted names and comments; may be given several times
    #[arg(long, value_name = "TEXT", help_heading = "Sampling")]
    pub stop: Vec<String>,
    /// What is checked: none; parser (tables and columns are named, broken SQL ends with exit 1); parser-strict (wrong
    /// names end with exit 1 too)
    #[arg(long, value_name = "MODE", help_heading = "Sampling",
        value_parser = crate::generate::validation::Mode::NAMES)]
    pub validation: Option<String>,
    /// Grammar that answers follow, over the expert's: a GBNF file or sql-postgres, sql-sqlite, sql-mysql, json, cypher
    #[arg(long, value_name = "FILE|NAME", help_heading = "Sampling", conflicts_with = "no_grammar")]
    pub grammar: Option<PathBuf>,
    /// Let answers be any text
    #[arg(long, help_heading = "Sampling")]
    pub no_grammar: bool,
    /// Let answers name what the schema does not have
    #[arg(long, help_heading = "Sampling")]
    pub no_schema_guard: bool,
    /// Mask what the grammar forbids before top-k and top-p, as transformers and vLLM do
    #[arg(long, help_heading = "Sampling")]
    pub mask_first: bool,
    /// Tell for every token how probable all allowed tokens were together
    #[arg(long, help_heading = "Sampling")]
    pub confidence: bool,
    /// Beams with which a greedy answer is looked for again that the grammar led away from what the model meant; 0: never,
    /// default 4
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub second_look: Option<usize>,
    /// Like values that stand in the question, or that have the compared column's type, no better than the model does
    #[arg(long, help_heading = "Sampling")]
    pub no_leaning: bool,
    /// Solved questions, rows {"question", "answer"}: those most like the question are shown before it, as preprocess
    /// --few-shot shows them
    #[arg(long, value_name = "ROWS", help_heading = "Sampling")]
    pub examples: Option<PathBuf>,
    /// How many of them
    #[arg(long, value_name = "N", help_heading = "Sampling", requires = "examples", default_value_t = 3)]
    pub few_shot: usize,
    /// Let the model think and show what it thought
    #[arg(long, help_heading = "Sampling")]
    pub show_reasoning: bool,
    /// Show every setting and where it came from
    #[arg(long, help_heading = "Sampling")]
    pub show_settings: bool,
}

/// How many answers are drawn for one question, and what happens to a faulty one.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Several answers")]
pub struct CandidateArgs {
    /// Draw K answers; with --db they are run and the largest group of equal results wins, else the commonest form
    #[arg(short = 'n', long, value_name = "K", value_parser = at_most_64)]
    pub candidates: Option<usize>,
    /// Search with K beams, which all stand for election
    #[arg(long, value_name = "K", value_parser = at_most_64)]
    pub beams: Option<usize>,
    /// Beams and samples together
    #[arg(long, value_name = "BEAMS,SAMPLES", num_args = 0..=1, require_equals = true, default_missing_value = "3,2",
        conflicts_with_all = ["candidates", "beams"])]
    pub hybrid: Option<String>,
    /// Give an answer that does not parse, resolve or run back with its error, at most N times, then draw five more;
    /// default 2 with a database, else 0
    #[arg(long, value_name = "N")]
    pub repair: Option<usize>,
    /// Installed expert that chooses between several answers, in place of the vote
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub critic: Option<String>,
}

fn at_most_64(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=64).contains(&number) => Ok(number),
        _ => Err("it must be 1 to 64".into()),
    }
}
