//! What one query may cost, and why it may end without rows.

use std::time::Duration;

use crate::error::Problem;

/// What a query may cost. The default is for SQL that nobody has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time. Default 2 s. Price: a slower report must be run elsewhere.
    pub time: Duration,
    /// Rows that are fetched; the rest is only known to exist. Default 1,000.
    pub rows: usize,
    /// Bytes of one value, also of one that is only computed on the way. Default 1 MiB: functions that compare two
    /// texts byte by byte take time with the square of it, and nothing can stop them halfway. Price: a query that
    /// fetches a photo fails and must name other columns.
    pub value_bytes: usize,
    /// Bytes of all cells together. Default 32 MiB.
    pub result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), rows: 1_000, value_bytes: 1 << 20, result_bytes: 32 << 20 }
    }
}

/// Why a query gave no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is no single read: it was not run.
    #[error("not run: {0}")]
    Refused(String),
    /// The database does not accept it, in the database's own words.
    #[error("{0}")]
    Failed(String),
    /// It took too long and was stopped.
    #[error("stopped after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// A value was larger than the limits let through.
    #[error("{0}")]
    TooLarge(String),
    /// The database cannot be reached or read at all.
    #[error("{0}")]
    Unavailable(Problem),
}

impl QueryError {
    /// One lower-case word for JSON: `refused`, `failed`, `timeout`, `too_large`, `unavailable`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::TimedOut(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(problem) => problem,
            QueryError::Refused(_) => {
                Problem::input(error.to_string()).hint("only a single statement that reads is run")
            }
            QueryError::TooLarge(_) => {
                Problem::failed(error.to_string()).hint("name the columns you need instead of *")
            }
            QueryError::Failed(_) | QueryError::TimedOut(_) => Problem::failed(error.to_string()),
        }
    }
}
