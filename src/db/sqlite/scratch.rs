//! Databases in memory that we make ourselves: to run generated SQL, to judge answers, to fill with made-up rows.
//!
//! Statements may change everything inside and nothing outside: ATTACH, VACUUM INTO and loading extensions are refused,
//! and every statement has the deadline and the sizes of [`Limits`].

use std::path::Path;
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::locks::{self, Locks};
use super::query;
use crate::db::{Limits, QueryError, Rows, Value};
use crate::error::{Problem, Result};
use crate::sql::{Dialect, Schema, Table};

/// A SQLite database in memory.
#[derive(Debug)]
pub struct Scratch {
    connection: Connection,
}

impl Scratch {
    /// An empty one. Foreign keys are not enforced.
    pub fn new() -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.pragma_update(None, "foreign_keys", false)?;
        Ok(Self { connection })
    }

    /// One with the tables of a schema of any dialect: names, types and primary keys, no other constraints. Views whose
    /// query SQLite understands are made too.
    pub fn with_schema(schema: &Schema) -> Result<Self> {
        let scratch = Self::new()?;
        for table in schema.tables().iter().filter(|table| table.query.is_none()) {
            let typed = create_table(table, true);
            let created = scratch.connection.execute_batch(&typed);
            // A type that SQLite's grammar does not take as one.
            created.or_else(|_| scratch.connection.execute_batch(&create_table(table, false))).map_err(|error| {
                Problem::input(format!("SQLite cannot make the table {}", table.name.text()))
                    .detail(query::message(&error))
            })?;
        }
        for view in schema.tables() {
            if let Some(text) = &view.query {
                let name = view.name.to_sql(Dialect::Sqlite);
                let _ = scratch.connection.execute_batch(&format!("CREATE VIEW {name} AS {text}"));
            }
        }
        Ok(scratch)
    }

    /// Appends rows to a table, all or none.
    pub fn insert(&mut self, table: &str, rows: &[Vec<Value>]) -> Result<(), QueryError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let limits = Limits::default();
        let fail = |error: rusqlite::Error| query::failure(&error, None, &limits);
        self.lift().map_err(fail)?;
        let marks = vec!["?"; first.len()].join(", ");
        let sql = format!("INSERT INTO \"{}\" VALUES ({marks})", table.replace('"', "\"\""));
        let transaction = self.connection.transaction().map_err(fail)?;
        {
            let mut statement = transaction.prepare(&sql).map_err(fail)?;
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row)).map_err(fail)?;
            }
        }
        transaction.commit().map_err(fail)
    }

    /// Runs any number of statements; the number of rows they changed.
    pub fn execute(&mut self, sql: &str, limits: &Limits) -> Result<u64, QueryError> {
        let begun = Instant::now();
        let fail = |error: rusqlite::Error| query::failure(&error, None, limits);
        self.lift().map_err(fail)?;
        let time = limits.time;
        self.connection.progress_handler(1_000, Some(move || begun.elapsed() >= time)).map_err(fail)?;
        self.connection.authorizer(Some(inside)).map_err(fail)?;
        let before = self.connection.total_changes();
        self.connection.execute_batch(sql).map_err(fail)?;
        Ok(self.connection.total_changes() - before)
    }

    /// Runs one statement that reads, with all the locks that hold in memory.
    pub fn query(&mut self, sql: &str, limits: &Limits) -> Result<Rows, QueryError> {
        let begun = Instant::now();
        let fail = |error: rusqlite::Error| query::failure(&error, None, limits);
        self.lift().map_err(fail)?;
        let gate = Locks::ALL.close(&mut self.connection, limits, begun).map_err(fail)?;
        query::run(&self.connection, sql, limits, Locks::ALL, &gate, begun)
    }

    /// Writes it to a file that is not there yet: a database like any other from then on.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.lift()?;
        self.connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
        Ok(())
    }

    /// Runs `work` and undoes what it changed. `work` must leave no transaction open.
    pub fn undone<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T> {
        self.lift()?;
        self.connection.execute_batch("SAVEPOINT undone")?;
        let done = work(self);
        self.lift()?;
        self.connection.execute_batch("ROLLBACK TO undone; RELEASE undone")?;
        Ok(done)
    }

    /// Takes the locks of the last query off.
    fn lift(&mut self) -> rusqlite::Result<()> {
        locks::widen(&self.connection)?;
        self.connection.progress_handler(0, None::<fn() -> bool>)?;
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
    }
}

/// Everything but what reaches outside.
fn inside(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Authorization::Deny,
        AuthAction::Pragma { pragma_name, .. } if pragma_name.to_ascii_lowercase().contains("directory") => {
            Authorization::Deny
        }
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table by names, types and primary key.
pub(super) fn create_table(table: &Table, typed: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let key: Vec<&str> = table.primary_key.iter().map(|name| name.text()).collect();
    for column in &table.columns {
        let mut part = quoted(column.name.text());
        if let Some(data_type) = column.data_type.as_deref().filter(|_| typed) {
            let words: String =
                data_type.chars().take_while(|c| c.is_ascii_alphanumeric() || " _".contains(*c)).collect();
            part.push(' ');
            part.push_str(words.trim_end());
        }
        // Only this makes the column the row's number, so that rows without it get one.
        if let [only] = key[..]
            && column.name.is(only)
        {
            part.push_str(" PRIMARY KEY");
        }
        parts.push(part);
    }
    if key.len() > 1 {
        parts.push(format!("PRIMARY KEY ({})", key.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")));
    }
    if parts.is_empty() {
        parts.push("\"?\"".to_owned());
    }
    format!("CREATE TABLE {} ({})", quoted(table.name.text()), parts.join(", "))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Boolean(flag) => ValueRef::Integer(i64::from(*flag)),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) | Self::Decimal(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::default()
    }

    fn shop() -> Scratch {
        let ddl = "CREATE TABLE shop (id SERIAL PRIMARY KEY, \"Full Name\" VARCHAR(20) NOT NULL, tags TEXT[], price NUMERIC(8,2));\
                   CREATE TABLE pair (a INT, b INT, PRIMARY KEY (a, b), FOREIGN KEY (a) REFERENCES gone(id));\
                   CREATE VIEW cheap AS SELECT id FROM shop WHERE price < 2;";
        let mut scratch = Scratch::with_schema(&Schema::parse(ddl, Dialect::Postgres).unwrap()).unwrap();
        let row =
            |id, name: &str, price| vec![Value::Integer(id), Value::Text(name.into()), Value::Null, Value::Real(price)];
        scratch.insert("shop", &[row(1, "a", 1.5), row(2, "b", 2.0)]).unwrap();
        scratch
    }

    #[test]
    fn rows_come_back_with_their_types() {
        let mut scratch = shop();
        let rows = scratch.query("SELECT * FROM shop ORDER BY id", &limits()).unwrap();
        assert_eq!(rows.columns, ["id", "Full Name", "tags", "price"]);
        assert_eq!(rows.rows[0], [Value::Integer(1), Value::Text("a".into()), Value::Null, Value::Real(1.5)]);
        assert_eq!(scratch.query("SELECT count(*) FROM cheap", &limits()).unwrap().rows, [[Value::Integer(1)]]);
        assert!(scratch.insert("shop", &[vec![Value::Integer(3)]]).is_err());
        assert!(
            matches!(scratch.query("SELECT nobody FROM shop", &limits()), Err(QueryError::Failed(m)) if m == "no such column: nobody")
        );
    }

    #[test]
    fn queries_only_read_and_statements_stay_inside() {
        let mut scratch = shop();
        for sql in ["DELETE FROM shop", "DELETE FROM shop RETURNING id", "PRAGMA user_version", "SELECT 1; SELECT 2"] {
            assert!(matches!(scratch.query(sql, &limits()), Err(QueryError::Refused(_))), "{sql}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        for sql in [format!("ATTACH '{}' AS x", file.display()), format!("VACUUM INTO '{}'", file.display())] {
            assert!(matches!(scratch.execute(&sql, &limits()), Err(QueryError::Refused(_))), "{sql}");
        }
        assert!(!file.exists());
        assert_eq!(scratch.execute("UPDATE shop SET price = 0; DELETE FROM shop WHERE id = 1", &limits()).unwrap(), 3);
    }

    #[test]
    fn changes_can_be_undone() {
        let mut scratch = shop();
        let count = "SELECT count(*) FROM shop";
        let during = scratch
            .undone(|scratch| {
                scratch.execute("DELETE FROM shop WHERE id = 1", &limits()).unwrap();
                scratch.query(count, &limits()).unwrap().rows
            })
            .unwrap();
        assert_eq!(during, [[Value::Integer(1)]]);
        assert_eq!(scratch.query(count, &limits()).unwrap().rows, [[Value::Integer(2)]]);
    }

    #[test]
    fn a_saved_one_is_a_database_like_any_other() {
        let (mut scratch, dir) = (shop(), tempfile::tempdir().unwrap());
        // The locks of a query must not stand in the way.
        scratch.query("SELECT 1", &limits()).unwrap();
        let path = dir.path().join("it's.sqlite");
        scratch.save(&path).unwrap();
        let rows = crate::db::sqlite::read(&path, "SELECT id FROM cheap", &limits()).unwrap();
        assert_eq!(rows.rows, [[Value::Integer(1)]]);
        assert!(scratch.save(&path).is_err(), "nothing is written over");
    }

    #[test]
    fn a_loop_ends_and_the_next_query_runs() {
        let mut scratch = shop();
        let short = Limits { time: std::time::Duration::from_millis(30), ..limits() };
        let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
        assert_eq!(scratch.query(endless, &short), Err(QueryError::TimedOut(short.time)));
        let endless = format!("INSERT INTO shop (price) {endless}");
        assert_eq!(scratch.execute(&endless, &short), Err(QueryError::TimedOut(short.time)));
        assert_eq!(scratch.query("SELECT count(*) FROM shop", &short).unwrap().rows, [[Value::Integer(2)]]);
    }
}
