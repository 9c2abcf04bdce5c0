//! `preprocess`: from the records of a data set to checked training rows, published as one folder.
//!
//! Each record goes through these steps, in this order; the first that fails drops it, with its reason, its file and
//! line:
//! 1. **unreadable**: it is a JSON object, a CSV row of the right width, UTF-8;
//! 2. **columns**: question, schema and answer are found by the columns' names or the mapping;
//! 3. **empty**: question and answer are not empty; **marker**: no part holds a marker of the layout;
//! 4. **schema**: CREATE TABLE text is rewritten canonically (other schema text is kept as it is);
//! 5. **not-sql**: the answer is SQL; **unsupported**: it can be carried over from the dialect it is found to be in;
//!    **parse**: it parses then; **names**: its tables and columns are in the schema (4 and 5 only with validation);
//!    **execution**: on request, it runs in SQLite on made-up rows; **database**: on request, a real database takes it
//!    when it is prepared there; **task**: what the task needs (a mistake that
//!    fails, other candidates) can be made of it;
//! 6. **short**, **long**: the rendered text has `min_length` to `max_length` characters;
//! 7. **duplicate**: the first of equal questions over equal schemas stays;
//! 8. **ambiguous**: on request, what has equal question and schema but different answers goes altogether;
//! 9. **balance**: what is more than the shares of sources, tasks and statements have room for.
//!
//! What stays is split by a seeded hash of the question, so that a question is never on both sides. Records stream
//! through in chunks that are worked on in parallel and written in order: memory grows only with the dedupe set (16
//! bytes and a little a row), and the output does not depend on the number of threads.

mod flow;
mod judged;
mod keys;
mod lesson;
mod metadata;
mod options;
mod resume;
mod row;
mod run;
mod schema_text;
mod selection;

pub use metadata::{Counts, Drop, FirstDrops};
pub use options::{Dedupe, Options};
pub use run::{Job, Outcome, Progress, run, run_jobs};
pub use selection::{Mix, Portion};

/// Why a record is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// No JSON object, wrong width, not UTF-8.
    Unreadable,
    /// Question or answer not found.
    Columns,
    /// Question or answer empty.
    Empty,
    /// A part holds a marker of the layout.
    Marker,
    /// The CREATE TABLE text cannot be read.
    Schema,
    /// The answer is in another language, or prose.
    NotSql,
    /// The answer cannot be carried over to the dialect faithfully.
    Unsupported,
    /// The answer does not parse.
    Parse,
    /// The answer names what the schema does not have.
    Names,
    /// The answer does not run on made-up rows.
    Execution,
    /// The database of `--db` does not take the answer.
    Database,
    /// The row that the task asks for cannot be made of it.
    Task,
    /// Fewer characters than wanted.
    Short,
    /// More characters than wanted.
    Long,
    /// Seen before.
    Duplicate,
    /// Answered differently elsewhere.
    Ambiguous,
    /// More than the mix has room for.
    Balance,
}

impl Reason {
    /// Every reason, in the order of the steps.
    pub const ALL: [Self; 17] = [
        Self::Unreadable,
        Self::Columns,
        Self::Empty,
        Self::Marker,
        Self::Schema,
        Self::NotSql,
        Self::Unsupported,
        Self::Parse,
        Self::Names,
        Self::Execution,
        Self::Database,
        Self::Task,
        Self::Short,
        Self::Long,
        Self::Duplicate,
        Self::Ambiguous,
        Self::Balance,
    ];

    /// Its name in `metadata.json` and `dropped.jsonl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Columns => "columns",
            Self::Empty => "empty",
            Self::Marker => "marker",
            Self::Schema => "schema",
            Self::NotSql => "not-sql",
            Self::Unsupported => "unsupported",
            Self::Parse => "parse",
            Self::Names => "names",
            Self::Execution => "execution",
            Self::Database => "database",
            Self::Task => "task",
            Self::Short => "short",
            Self::Long => "long",
            Self::Duplicate => "duplicate",
            Self::Ambiguous => "ambiguous",
            Self::Balance => "balance",
        }
    }

    /// Whether it says that the data set, not one row of it, may be the wrong one.
    fn is_defect_of_the_file(self) -> bool {
        matches!(self, Self::Unreadable | Self::Columns)
    }
}
