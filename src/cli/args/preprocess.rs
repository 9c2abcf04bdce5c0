//! What `preprocess` takes.

use std::path::PathBuf;

use super::convert::{Fidelity, OnUnsupported};

/// Flags of `preprocess`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File, folder or hub id (owner/name, `owner/name::split::config`) to read; default: the manifest's source, else
    /// gretelai/synthetic_text_to_sql
    #[arg(long, short, value_name = "PATH|HUB_ID")]
    pub dataset: Option<String>,
    /// Manifest to take the source, the mapping and the layout from [default: manifest.json if it is there]
    #[arg(long, short, value_name = "PATH")]
    pub manifest: Option<PathBuf>,
    /// Folder to publish; it is replaced as a whole
    #[arg(long, short, value_name = "DIR", default_value = "datasets/processed")]
    pub output: PathBuf,
    /// SQL dialect of the rows [default: the manifest's, else postgres]
    #[arg(long, value_parser = ["postgres", "mysql", "sqlite"])]
    pub dialect: Option<String>,
    /// Layout of the rows [default: the manifest's prompt_template, else chatml]
    #[arg(long, value_parser = ["chatml", "qwen3", "mistral", "alpaca", "llama2", "simple"])]
    pub format: Option<String>,
    /// Shortest row, in characters of its text [default: 10]
    #[arg(long, value_name = "N")]
    pub min_length: Option<usize>,
    /// Longest row, in characters of its text [default: 2048]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Keep rows that come twice
    #[arg(long, conflicts_with = "dedupe")]
    pub no_deduplicate: bool,
    /// Which rows count as the same [default: question-schema]
    #[arg(long, value_parser = ["question", "question-schema"])]
    pub dedupe: Option<String>,
    /// Keep only answers that parse and name what their schema has (the default)
    #[arg(long, overrides_with = "no_validate_sql")]
    pub validate_sql: bool,
    /// Do not look at the SQL
    #[arg(long)]
    pub no_validate_sql: bool,
    /// Share of the questions held out for validation
    #[arg(long, value_name = "F", default_value_t = 0.1, value_parser = share)]
    pub val_split: f64,
    /// Seed of the split
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Stop after N rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Print the first N rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub show: usize,
    /// Columns of a data set in no known shape: question=COL,schema=COL,answer=COL
    #[arg(long, value_name = "PART=COL,…")]
    pub map: Option<String>,
    /// Drop questions that are answered differently over the same schema
    #[arg(long)]
    pub drop_ambiguous: bool,
    /// Write question, schema and answer beside each text
    #[arg(long)]
    pub keep_fields: bool,
    /// Spider's tables.json, for rows that name a database [default: beside the data set]
    #[arg(long, value_name = "PATH")]
    pub tables: Option<PathBuf>,
    /// Base model whose tokenizer should know the layout's markers [default: the manifest's, if it is there]
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub base_model: Option<String>,
    /// How schemas are shown: CREATE TABLE text, M-Schema, or a line `Table t: c1, c2` each
    #[arg(long, value_name = "STYLE", default_value = "ddl", value_parser = ["ddl", "mschema", "short"])]
    pub schema_style: String,
    /// Most tokens of a schema, estimated: tables that neither question nor answer needs are left out
    #[arg(long, value_name = "TOKENS")]
    pub schema_budget: Option<usize>,
    /// Conversions with the same result in every case, or the SQL that people write
    #[arg(long, value_enum, default_value_t = Fidelity::Idiomatic)]
    pub fidelity: Fidelity,
    /// What to do with answers that cannot be carried over faithfully
    #[arg(long, value_enum, default_value_t = OnUnsupported::Keep)]
    pub on_unsupported: OnUnsupported,
    /// Several sources and their tasks: {"name": {"data_path", "sum_num", "task_name", "data_aug", "weight", "map"}}
    #[arg(long, value_name = "DATASETS.json", conflicts_with = "dataset")]
    pub config: Option<PathBuf>,
    /// Run each answer in SQLite on rows made for it, and drop what fails
    #[arg(long, conflicts_with = "no_validate_sql")]
    pub execute: bool,
    /// Database that must take every answer when it is prepared there, over the row's schema where the database lacks its
    /// tables: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`; with --db-config, a name in that file
    #[arg(long, value_name = "URL", conflicts_with = "no_validate_sql")]
    pub db: Option<String>,
    /// Connections as askGuru keeps them (db_conn.json)
    #[arg(long, value_name = "FILE", conflicts_with = "no_validate_sql")]
    pub db_config: Option<PathBuf>,
    /// Show schemas shuffled, filtered and permuted, questions and answers written another way, by chance
    #[arg(long, conflicts_with = "no_validate_sql")]
    pub augment: bool,
    /// Keep what is done beside the output until the run is through, and go on there after it was stopped: the same input
    /// and settings are recognised by their content
    #[arg(long)]
    pub resume: bool,
    /// Show N solved questions of the training side that are most like a row's own before it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub few_shot: usize,
    /// Tell the rows whose answers this grammar refuses (a GBNF file or sql-postgres, sql-sqlite, sql-mysql, json, cypher)
    /// in grammar-refused.jsonl beside the rows
    #[arg(long, value_name = "FILE|NAME")]
    pub check_grammar: Option<PathBuf>,
    /// Share of SELECT among the statements: SELECTs over it are left out (0.77: the original's)
    #[arg(long, value_name = "F", value_parser = share)]
    pub select_ratio: Option<f64>,
    /// Fail when more than this share of the records is unreadable or lacks its columns
    #[arg(long, value_name = "F", default_value_t = 0.2, value_parser = share)]
    pub max_bad: f64,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".into()),
    }
}
