//! Statements prepared on a SQLite file, never run, over the file's own tables and, beside them, tables that only a row's
//! schema has: temporary ones, which live in memory.

use std::path::Path;
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Batch, Connection};

use super::locks::Locks;
use super::{missing, query, scratch};
use crate::db::{Limits, QueryError};
use crate::error::Problem;
use crate::sql::{Dialect, Table};

/// A file opened for reading, with tables of our own beside its own.
#[derive(Debug)]
pub struct Temporary {
    connection: Connection,
    limits: Limits,
    made: Vec<String>,
}

impl Temporary {
    /// Opens the file.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, QueryError> {
        if !path.is_file() {
            return Err(QueryError::Unavailable(missing(path)));
        }
        let connection = Locks::ALL.open(path).map_err(|error| {
            let problem = Problem::input(format!("cannot open {} as a SQLite database", path.display()));
            QueryError::Unavailable(problem.detail(query::message(&error)))
        })?;
        Ok(Self { connection, limits: *limits, made: Vec::new() })
    }

    /// Begins anew with these tables beside the file's own. A view that SQLite refuses is left out.
    pub fn begin(&mut self, tables: &[&Table]) -> Result<(), QueryError> {
        let limits = self.limits;
        let fail = |error: rusqlite::Error| query::failure(&error, None, &limits);
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(fail)?;
        self.connection.progress_handler(0, None::<fn() -> bool>).map_err(fail)?;
        self.connection.pragma_update(None, "query_only", false).map_err(fail)?;
        for drop in std::mem::take(&mut self.made) {
            self.connection.execute_batch(&drop).map_err(fail)?;
        }
        for table in tables {
            let name = scratch::quoted(table.name.text());
            let (make, kind) = match &table.query {
                Some(query) => (format!("CREATE TEMP VIEW {name} AS {query}"), "VIEW"),
                None => (scratch::create_table(table, true).replacen("CREATE", "CREATE TEMP", 1), "TABLE"),
            };
            // The text of a view comes from the row: only a single statement is made of it.
            if kind == "VIEW" && !matches!(crate::sql::parse(&make, Dialect::Sqlite), Ok(found) if found.len() == 1) {
                continue;
            }
            match self.connection.execute_batch(&make) {
                Ok(()) => self.made.push(format!("DROP {kind} temp.{name}")),
                Err(_) if table.query.is_some() => {}
                Err(error) => return Err(fail(error)),
            }
        }
        self.connection.pragma_update(None, "query_only", true).map_err(fail)?;
        self.connection.authorizer(Some(harmless)).map_err(fail)
    }

    /// Whether SQLite takes the statement.
    pub fn prepare(&mut self, sql: &str) -> Result<(), QueryError> {
        use rusqlite::fallible_iterator::FallibleIterator as _;
        if sql.contains('\0') {
            return Err(QueryError::Refused("the text contains a NUL character".into()));
        }
        let begun = Instant::now();
        let limits = self.limits;
        let fail = |error: rusqlite::Error| query::failure(&error, None, &limits);
        self.connection.progress_handler(1_000, Some(move || begun.elapsed() >= limits.time)).map_err(fail)?;
        let mut batch = Batch::new(&self.connection, sql);
        match batch.next().map_err(fail)? {
            None => Err(QueryError::Refused("there is no statement".into())),
            Some(_) if matches!(batch.next(), Ok(None)) => Ok(()),
            Some(_) => Err(QueryError::Refused("there is more than one statement".into())),
        }
    }
}

/// What may be prepared: everything but what reaches outside or takes effect while it is prepared, as PRAGMA does.
fn harmless(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Pragma { .. } => Authorization::Deny,
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}
