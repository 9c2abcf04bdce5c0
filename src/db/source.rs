//! `--db`: `sqlite:PATH` or a PostgreSQL connection string.

use std::path::PathBuf;
use std::str::FromStr;

use super::sqlite;
use crate::error::{Problem, Result};
use crate::sql::{Dialect, Schema};

/// A database named on the command line or in a row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// What to write instead.
const HINT: &str = "write --db sqlite:PATH";

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
            "postgres" | "postgresql" => Err(Problem::usage("PostgreSQL connections are not in this build yet")
                .detail("SQLite files work: --db sqlite:PATH")
                .hint("write the schema with `pg_dump --schema-only` into a file and give it as --context FILE")),
            _ => Err(Problem::usage(format!("`{scheme}` databases are not supported")).hint(HINT)),
        }
    }
}

impl Source {
    /// The dialect it speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Its tables and views.
    pub fn schema(&self) -> Result<Schema> {
        match self {
            Self::Sqlite(path) => sqlite::read_schema(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("postgres://u:secret@h/db", "not in this build"),
            ("mysql://h/db", "`mysql` databases"),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert!(!error.to_string().contains("secret") && error.hint.is_some());
        }
    }
}
