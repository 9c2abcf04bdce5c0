//! Whether a database takes a statement: prepared there, never run, with the tables of the row's own schema beside those
//! that the database has. The database's own tables come first; what only the row's schema has is made for the check.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Limits, QueryError, Source, postgres, sqlite};
use crate::error::Result;
use crate::sql::{Schema, Table};

/// Checks on one database from any number of threads; each has a connection of its own.
#[derive(Debug)]
pub struct Checks {
    source: Source,
    /// The database's own tables, in small letters.
    own: HashSet<String>,
    idle: Mutex<Vec<Check>>,
}

/// A connection, and the schema that it has made tables of.
#[derive(Debug)]
struct Check {
    connection: Connection,
    /// Canonical DDL; none: nothing is made yet.
    made: Option<String>,
}

#[derive(Debug)]
enum Connection {
    Sqlite(sqlite::Temporary),
    Postgres(postgres::Temporary),
}

impl Checks {
    /// Connects once, so that a database that cannot be reached is known before any work.
    pub fn open(source: &Source) -> Result<Self> {
        let tables = source.schema().map(|schema| schema.tables().to_vec()).or_else(none_there)?;
        let visible = tables.iter().filter(|table| table.namespace.is_none());
        let own = visible.map(|table| table.name.text().to_lowercase()).collect();
        let checks = Self { source: source.clone(), own, idle: Mutex::default() };
        let first = checks.connect()?;
        checks.give_back(first);
        Ok(checks)
    }

    /// Whether the database takes the statement over the row's schema, if it has one. [`QueryError::Failed`] holds the
    /// database's own words.
    pub fn check(&self, sql: &str, schema: Option<&Schema>) -> Result<(), QueryError> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut check = match waiting {
            Some(check) => check,
            None => self.connect()?,
        };
        let done = self.check_with(&mut check, sql, schema);
        // A connection that failed to do our own part is not used again.
        if !matches!(done, Err(QueryError::Unavailable(_))) {
            self.give_back(check);
        }
        done
    }

    fn check_with(&self, check: &mut Check, sql: &str, schema: Option<&Schema>) -> Result<(), QueryError> {
        let wanted = schema.map(Schema::to_ddl).unwrap_or_default();
        if check.made.as_deref() != Some(wanted.as_str()) {
            check.made = None;
            let all = schema.map(Schema::tables).unwrap_or_default();
            let lacking = |table: &&Table| !self.own.contains(&table.name.text().to_lowercase());
            let tables: Vec<&Table> = all.iter().filter(lacking).collect();
            match &mut check.connection {
                Connection::Sqlite(file) => file.begin(&tables),
                Connection::Postgres(session) => session.begin(&tables, &[]),
            }
            .map_err(|error| match error {
                QueryError::Failed(reason) => QueryError::Failed(format!("the schema is not taken: {reason}")),
                other => other,
            })?;
            check.made = Some(wanted);
        }
        match &mut check.connection {
            Connection::Sqlite(file) => file.prepare(sql),
            Connection::Postgres(session) => session.prepare(sql),
        }
    }

    fn connect(&self) -> Result<Check, QueryError> {
        let limits = Limits::default();
        let connection = match &self.source {
            Source::Sqlite(path) => Connection::Sqlite(sqlite::Temporary::open(path, &limits)?),
            Source::Postgres(address) => Connection::Postgres(postgres::Temporary::open(address, &limits)?),
        };
        Ok(Check { connection, made: None })
    }

    fn give_back(&self, check: Check) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }
}

/// An empty database is good enough to prepare on; one that cannot be reached is none.
fn none_there(error: anyhow::Error) -> Result<Vec<Table>> {
    if error.to_string().contains("no table") { Ok(Vec::new()) } else { Err(error) }
}
