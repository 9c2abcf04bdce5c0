//! `--db`: `sqlite:PATH` or a PostgreSQL connection string.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Limits, QueryError, Rows, Value, postgres, sqlite};
use crate::error::{Problem, Result};
use crate::sql::{Column, Dialect, Name, Schema, Table};

/// A database named on the command line or in a row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(postgres::Address),
}

/// How long the samples of one column may take.
const SAMPLE_TIME: Duration = Duration::from_millis(500);

/// Bytes of the longest value that is shown as a sample.
const LONGEST_SAMPLE: usize = 80;

/// What to write instead.
const HINT: &str = "write --db sqlite:PATH or --db postgres://USER:PASSWORD@HOST/DATABASE";

impl FromStr for Source {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (scheme, rest) = match text.split_once(':') {
            // One letter is a drive, `C:\shop.db`.
            Some((scheme, rest)) if scheme.len() > 1 => (scheme.to_ascii_lowercase(), rest),
            _ => return Err(Problem::usage(format!("`{text}` does not say what kind of database it is")).hint(HINT)),
        };
        match scheme.as_str() {
            "sqlite" | "sqlite3" | "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err(Problem::usage(format!("`{text}` names no file")).hint(HINT));
                }
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            "postgres" | "postgresql" => postgres::Address::parse(rest).map(Self::Postgres),
            _ => Err(Problem::usage(format!("`{scheme}` databases are not supported")).hint(HINT)),
        }
    }
}

impl Source {
    /// The dialect it speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Its tables and views.
    pub fn schema(&self) -> Result<Schema> {
        match self {
            Self::Sqlite(path) => sqlite::read_schema(path),
            Self::Postgres(address) => postgres::read_schema(address),
        }
    }

    /// Runs one statement that reads, within the limits.
    pub fn query(&self, sql: &str, limits: &Limits) -> Result<Rows, QueryError> {
        match self {
            Self::Sqlite(path) => sqlite::read(path, sql, limits),
            Self::Postgres(address) => postgres::read(address, sql, limits),
        }
    }

    /// Up to `count` different values of every column of a table, in the order of its columns; empty for a column that
    /// holds none or cannot be read in time. Long values are left out: prompts show samples, and a page of text is none.
    pub fn samples(&self, table: &Table, count: usize) -> Vec<Vec<Value>> {
        let name = |name: &Name| format!("\"{}\"", name.text().replace('"', "\"\""));
        let from = table.namespace.iter().chain([&table.name]).map(name).collect::<Vec<_>>().join(".");
        let limits = Limits { time: SAMPLE_TIME, ..Limits::default() };
        let sample = |column: &Column| {
            let column = name(&column.name);
            // The first rows of a large table are enough, and all of a small one.
            let sql = format!(
                "SELECT DISTINCT {column} FROM (SELECT {column} FROM {from} WHERE {column} IS NOT NULL LIMIT 1000) AS s LIMIT {}",
                count * 4
            );
            let rows = self.query(&sql, &limits).map(|rows| rows.rows).unwrap_or_default();
            let values = rows.into_iter().flatten().filter(|value| value.size() <= LONGEST_SAMPLE);
            values.take(count).collect()
        };
        table.columns.iter().map(sample).collect()
    }
}

/// As `--db` takes it, without the password.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_short_different_and_in_the_order_of_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(
            "CREATE TABLE \"a b\" (x INT, \"y\"\"z\" TEXT, n TEXT);\
             INSERT INTO \"a b\" VALUES (1, 'p', NULL), (1, 'q', NULL), (2, printf('%.200c', 'r'), NULL), (3, 'p', NULL);",
        )
        .unwrap();
        let source = Source::Sqlite(path);
        let samples = source.samples(&source.schema().unwrap().tables()[0], 2);
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(samples, [vec![Value::Integer(1), Value::Integer(2)], vec![text("p"), text("q")], vec![]]);
    }

    #[test]
    fn what_can_be_written() {
        for (text, path) in [
            ("sqlite:shop.db", "shop.db"),
            ("sqlite:///tmp/shop.db", "/tmp/shop.db"),
            ("sqlite:/tmp/a:b?c.db", "/tmp/a:b?c.db"),
            ("SQLite3:C:\\shop.db", "C:\\shop.db"),
        ] {
            assert_eq!(text.parse::<Source>().unwrap(), Source::Sqlite(path.into()));
        }
        for (text, message) in [
            ("shop.db", "what kind"),
            ("C:\\shop.db", "what kind"),
            ("sqlite:", "names no file"),
            ("postgres://u:secret@h:x/db", "the port"),
            ("postgres:db", "does not begin with postgres://"),
            ("mysql://h/db", "`mysql` databases"),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert!(!error.to_string().contains("secret") && error.hint.is_some());
        }
    }
}
