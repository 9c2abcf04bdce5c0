//! Tables of our own on a PostgreSQL server, for the length of a transaction that is always rolled back: a statement is
//! prepared or run over the schema that its row brings, and nothing of it stays.
//!
//! The tables are made from names and types that we write ourselves, as temporary ones, which come before the database's
//! own. Then the transaction is made READ ONLY, which temporary tables do not mind, and only then a statement that nobody
//! has looked at is sent: with the denied functions, the timeout and the bounds that every read has.

use std::time::Duration;

use super::session::{Bounds, Session};
use super::{Address, CONNECT, GRACE, denied_function};
use crate::db::{Limits, QueryError, Rows, Value};
use crate::sql::{Dialect, Name, Table};

/// First words of the types that PostgreSQL has; a column of any other type becomes TEXT.
const TYPES: &[&str] = &[
    "BIGINT",
    "BIGSERIAL",
    "BIT",
    "BOOL",
    "BOOLEAN",
    "BOX",
    "BYTEA",
    "CHAR",
    "CHARACTER",
    "CIDR",
    "CIRCLE",
    "DATE",
    "DEC",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "FLOAT4",
    "FLOAT8",
    "INET",
    "INT",
    "INT2",
    "INT4",
    "INT8",
    "INTEGER",
    "INTERVAL",
    "JSON",
    "JSONB",
    "LINE",
    "MACADDR",
    "MONEY",
    "NUMERIC",
    "OID",
    "POINT",
    "POLYGON",
    "REAL",
    "SERIAL",
    "SMALLINT",
    "SMALLSERIAL",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIMETZ",
    "TSQUERY",
    "TSVECTOR",
    "UUID",
    "VARBIT",
    "VARCHAR",
    "XML",
];

/// A session with tables of its own.
pub struct Temporary {
    session: Session,
    limits: Limits,
}

impl std::fmt::Debug for Temporary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Temporary").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Temporary {
    /// Connects.
    pub fn open(address: &Address, limits: &Limits) -> Result<Self, QueryError> {
        let session = Session::open(address, CONNECT, limits)?;
        Ok(Self { session, limits: *limits })
    }

    /// Begins anew with these tables, views among them, and with `rows` of made-up values (by the table's place). A
    /// table whose rows break its key stays empty; a view that the server refuses is left out.
    pub fn begin(&mut self, tables: &[&Table], rows: &[(usize, Vec<Vec<Value>>)]) -> Result<(), QueryError> {
        // Half a minute for our own statements: other work may hold the server.
        self.session.allow(Duration::from_secs(30), self.limits.time);
        self.session.run("ROLLBACK; BEGIN TRANSACTION READ WRITE")?;
        let milliseconds = self.limits.time.as_millis().max(1);
        self.session.run(&format!(
            "SET LOCAL client_min_messages = error; SET LOCAL TimeZone = 'UTC'; \
             SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}"
        ))?;
        let made: Vec<String> = tables.iter().filter(|table| table.query.is_none()).map(|t| create_table(t)).collect();
        self.session.run(&made.join(";\n"))?;
        for (at, rows) in rows {
            let Some(table) = tables.get(*at).filter(|_| !rows.is_empty()) else { continue };
            self.undone_if_failed(&insert(table, rows))?;
        }
        for view in tables {
            if let Some(query) = view.query.as_deref().filter(|query| denied_function(query).is_none()) {
                let name = spelled(&view.name);
                // One statement only, by the extended protocol: the text comes from the row.
                self.session.run("SAVEPOINT made")?;
                let bounds = Bounds { rows: 1, bytes: self.limits.result_bytes, columns_needed: false };
                let created = self.session.query(&format!("CREATE TEMP VIEW {name} AS {query}"), bounds);
                if created.is_err() {
                    self.session.run("ROLLBACK TO made")?;
                }
            }
        }
        self.session.run("SET TRANSACTION READ ONLY")
    }

    /// Whether the server takes the statement: it is parsed and its names and types are resolved, never run.
    pub fn prepare(&mut self, sql: &str) -> Result<(), QueryError> {
        self.guarded(sql, |session, _| session.prepare(sql))
    }

    /// Runs one statement; what it changed in the tables is undone.
    pub fn run(&mut self, sql: &str) -> Result<Rows, QueryError> {
        if !is_about_rows(sql) {
            return Err(QueryError::Refused("it neither reads nor changes rows".into()));
        }
        self.guarded(sql, |session, limits| {
            let bounds = Bounds { rows: limits.rows, bytes: limits.result_bytes, columns_needed: false };
            session.query(sql, bounds)
        })
    }

    fn guarded<T>(
        &mut self,
        sql: &str,
        work: impl FnOnce(&mut Session, &Limits) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        if let Some(name) = denied_function(sql) {
            return Err(QueryError::Refused(format!("the function {name} is not allowed")));
        }
        self.session.allow(self.limits.time + GRACE, self.limits.time);
        self.session.run("SAVEPOINT asked")?;
        let done = work(&mut self.session, &self.limits);
        self.session.allow(self.limits.time + GRACE, self.limits.time);
        self.session.run("ROLLBACK TO asked; RELEASE asked")?;
        done
    }

    fn undone_if_failed(&mut self, sql: &str) -> Result<(), QueryError> {
        self.session.run("SAVEPOINT made")?;
        if self.session.run(sql).is_err() {
            self.session.run("ROLLBACK TO made")?;
        }
        Ok(())
    }
}

/// Whether a statement reads or changes rows: one about transactions or the session would leave the locks behind.
fn is_about_rows(sql: &str) -> bool {
    const WORDS: &[&str] = &["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE"];
    let bare = crate::sql::without_comments(sql).trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let word: String = bare.chars().take_while(char::is_ascii_alphabetic).collect();
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn create_table(table: &Table) -> String {
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} {}", spelled(&column.name), type_of(column.data_type.as_deref())))
        .collect();
    let listed = |names: &[Name]| names.iter().map(spelled).collect::<Vec<_>>().join(", ");
    let known = |names: &[Name]| !names.is_empty() && names.iter().all(|name| table.column(name.text()).is_some());
    if known(&table.primary_key) {
        parts.push(format!("PRIMARY KEY ({})", listed(&table.primary_key)));
    }
    parts.extend(table.unique.iter().filter(|key| known(key)).map(|key| format!("UNIQUE ({})", listed(key))));
    format!("CREATE TEMP TABLE {} ({})", spelled(&table.name), parts.join(", "))
}

/// A name in quotes, so that no word of the server's gets in its way; without quotes it would fold to small letters.
fn spelled(name: &Name) -> String {
    let written = name.to_sql(Dialect::Postgres);
    if written.starts_with('"') { written } else { format!("\"{}\"", written.to_lowercase()) }
}

/// A type as we write it: words, and numbers in brackets.
fn type_of(declared: Option<&str>) -> String {
    let Some(declared) = declared else { return "TEXT".into() };
    let first = declared.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || " _(),[]".contains(c);
    let brackets = declared.matches('(').count() <= 1 && declared.matches('(').count() == declared.matches(')').count();
    let known = TYPES.iter().any(|known| first.eq_ignore_ascii_case(known));
    let inside = declared.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let numbers = inside.chars().all(|c| c.is_ascii_digit() || c == ',' || c == ' ');
    let words = declared.to_ascii_uppercase();
    let harmless = !["DEFAULT", "CHECK", "REFERENCES", "GENERATED"].iter().any(|word| words.contains(word));
    if known && brackets && numbers && harmless && declared.chars().all(plain) { words } else { "TEXT".into() }
}

fn insert(table: &Table, rows: &[Vec<Value>]) -> String {
    let row = |row: &Vec<Value>| format!("({})", row.iter().map(literal).collect::<Vec<_>>().join(", "));
    format!("INSERT INTO {} VALUES {}", spelled(&table.name), rows.iter().map(row).collect::<Vec<_>>().join(", "))
}

/// A value as a literal whose type the column decides.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Blob(bytes) => {
            format!("'\\x{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        // With a backslash in it, the string is read alike whatever standard_conforming_strings says.
        other => {
            let text = other.to_string().replace('\'', "''");
            if text.contains('\\') { format!("E'{}'", text.replace('\\', "\\\\")) } else { format!("'{text}'") }
        }
    }
}
