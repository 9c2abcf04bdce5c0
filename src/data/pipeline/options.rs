//! What `preprocess` can be asked for.

use serde_json::{Value, json};

use crate::data::shapes::Mapping;
use crate::data::tasks::Task;
use crate::data::template::Layout;
use crate::db::Source;
use crate::sql::convert::{Fidelity, Unsupported};
use crate::sql::{Dialect, Style};

/// Which rows count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedupe {
    /// Equal questions (case, spaces and end marks aside) over equal schemas.
    QuestionAndSchema,
    /// Exactly equal questions, whatever the schema: the original's rule. It loses rows that ask the same of another
    /// database.
    Question,
}

/// The settings of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The dialect of the rows.
    pub dialect: Dialect,
    /// The layout of the rows.
    pub layout: Layout,
    /// Shortest row, in characters of the rendered text.
    pub min_length: usize,
    /// Longest row, in characters of the rendered text.
    pub max_length: usize,
    /// None: rows may come twice.
    pub dedupe: Option<Dedupe>,
    /// Whether answers must parse and name what is in their schema.
    pub validate_sql: bool,
    /// Share of the questions that go to `val.jsonl`.
    pub val_split: f64,
    /// Seed of the split.
    pub seed: u64,
    /// Stop after this many rows.
    pub limit: Option<u64>,
    /// Drop questions that are answered differently over the same schema.
    pub drop_ambiguous: bool,
    /// Write question, schema and answer beside the text.
    pub keep_fields: bool,
    /// Which columns hold the parts.
    pub mapping: Mapping,
    /// The mapping as it was given, for the record.
    pub mapping_text: Option<String>,
    /// How schemas are shown.
    pub schema_style: Style,
    /// Most tokens of a schema, estimated; what the question does not need is left out. None: all of it.
    pub schema_budget: Option<usize>,
    /// How faithful conversions are.
    pub fidelity: Fidelity,
    /// What becomes of answers that cannot be carried over faithfully.
    pub unsupported: Unsupported,
    /// The language that prompts name instead of the dialect: answers are not checked then, and only carried over to
    /// `oracle`.
    pub language: Option<&'static str>,
    /// What rows are made of the records.
    pub task: Task,
    /// How many solved questions that are most like a row's own are shown before it.
    pub few_shot: usize,
    /// Whether the schema and the question are shown in other ways too, by chance.
    pub augment: bool,
    /// Whether answers must run on made-up rows.
    pub execute: bool,
    /// The database that must take every answer when it is prepared there.
    pub database: Option<Source>,
    /// Whether prepared rows are kept until the run is through, and taken from there by the next run of the same content.
    pub resume: bool,
    /// The run fails when a larger share of the records is unreadable or lacks its columns.
    pub max_bad: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dialect: Dialect::Postgres,
            layout: Layout::ChatMl,
            min_length: 10,
            max_length: 2048,
            dedupe: Some(Dedupe::QuestionAndSchema),
            validate_sql: true,
            val_split: 0.1,
            seed: 42,
            limit: None,
            drop_ambiguous: false,
            keep_fields: false,
            mapping: Mapping::default(),
            mapping_text: None,
            schema_style: Style::Ddl,
            schema_budget: None,
            fidelity: Fidelity::Idiomatic,
            unsupported: Unsupported::Keep,
            language: None,
            task: Task::Question,
            few_shot: 0,
            augment: false,
            execute: false,
            database: None,
            resume: false,
            max_bad: 0.2,
        }
    }
}

impl Dedupe {
    /// The name that `--dedupe` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuestionAndSchema => "question-schema",
            Self::Question => "question",
        }
    }
}

impl Options {
    /// Whether answers are run on made-up rows.
    pub fn tries_out(&self) -> bool {
        self.execute || self.augment || self.task != Task::Question
    }

    /// The settings as `metadata.json` records them.
    pub fn to_json(&self) -> Value {
        json!({
            "dialect": self.language.unwrap_or(self.dialect.name()),
            "format": self.layout.name(),
            "min_length": self.min_length,
            "max_length": self.max_length,
            "dedupe": self.dedupe.map(Dedupe::name),
            "validate_sql": self.validate_sql,
            "val_split": self.val_split,
            "seed": self.seed,
            "limit": self.limit,
            "drop_ambiguous": self.drop_ambiguous,
            "keep_fields": self.keep_fields,
            "map": self.mapping_text,
            "schema_style": self.schema_style.name(),
            "schema_budget": self.schema_budget,
            "fidelity": self.fidelity.name(),
            "on_unsupported": self.unsupported.name(),
            "task": self.task.name(),
            "few_shot": self.few_shot,
            "augment": self.augment,
            "execute": self.execute,
            "database": self.database.as_ref().map(ToString::to_string),
            "max_bad": self.max_bad,
        })
    }
}
