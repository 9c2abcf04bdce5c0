//! Trying an answer out: its schema in an in-memory SQLite, or in temporary tables of a PostgreSQL, with a few rows made
//! for it, the statement run there. What fails there names the database's own error; what SQLite merely lacks says
//! nothing about the answer.

mod rows;

use crate::db::sqlite::Scratch;
use crate::db::{Limits, QueryError, Rows, postgres};
use crate::sql::convert::{Fidelity, Source, Target, translate};
use crate::sql::{Dialect, Schema};

/// What became of a statement.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It ran; a change has no rows.
    Ran(Rows),
    /// It cannot be judged: SQLite has nothing like a part of it, or it took too long.
    Unjudged(String),
    /// It fails, with the database's own text.
    Failed(String),
}

/// Errors that say what SQLite lacks, not what is wrong.
const LACKS: &[&str] =
    &["no such function", "wrong number of arguments", "syntax error", "unrecognized token", "no such collation"];

/// A database of our own over one schema.
#[derive(Debug)]
pub struct Trial<'s> {
    place: Place<'s>,
    schema: &'s Schema,
    limits: Limits,
}

#[derive(Debug)]
enum Place<'s> {
    Sqlite(Box<Scratch>),
    Postgres(&'s mut postgres::Temporary),
}

impl<'s> Trial<'s> {
    /// The schema's tables with rows in which the `literals` of the statements to come occur; none: SQLite cannot hold
    /// the schema.
    pub fn new(schema: &'s Schema, literals: &[String], seed: u64) -> Option<Self> {
        let mut scratch = Scratch::with_schema(schema).ok()?;
        for (table, rows) in rows::for_schema(schema, literals, seed) {
            // A key that the made-up rows break leaves the table empty; statements still run.
            let _ = scratch.insert(&table, &rows);
        }
        Some(Self { place: Place::Sqlite(Box::new(scratch)), schema, limits: Self::limits() })
    }

    /// The same in temporary tables of a PostgreSQL; none: it does not take the schema.
    pub fn on_postgres(
        session: &'s mut postgres::Temporary,
        schema: &'s Schema,
        literals: &[String],
        seed: u64,
    ) -> Option<Self> {
        let tables: Vec<&crate::sql::Table> = schema.tables().iter().collect();
        let place = |name: &str| tables.iter().position(|table| table.name.text() == name);
        let made = rows::for_schema(schema, literals, seed);
        let rows: Vec<_> = made.into_iter().filter_map(|(name, rows)| Some((place(&name)?, rows))).collect();
        session.begin(&tables, &rows).ok()?;
        Some(Self { place: Place::Postgres(session), schema, limits: Self::limits() })
    }

    /// A statement's limits here: more rows would tell nothing more.
    pub fn limits() -> Limits {
        Limits { rows: 200, ..Limits::default() }
    }

    /// Runs a statement of this dialect. Changes are undone.
    pub fn run(&mut self, sql: &str, dialect: Dialect) -> Verdict {
        let scratch = match &mut self.place {
            Place::Sqlite(scratch) => scratch,
            Place::Postgres(session) => {
                return match session.run(sql) {
                    Ok(rows) => Verdict::Ran(rows),
                    Err(QueryError::Failed(error)) => Verdict::Failed(error),
                    Err(error) => Verdict::Unjudged(error.to_string()),
                };
            }
        };
        let native = dialect == Dialect::Sqlite;
        let text = match Source::from_name(dialect.name()).filter(|_| !native) {
            Some(source) => match translate(sql, source, Target::Sqlite, Some(self.schema), Fidelity::Exact) {
                Ok(done) if done.warnings.is_empty() => done.sql.into_owned(),
                Ok(done) => return Verdict::Unjudged(done.warnings.join("; ")),
                Err(error) => return Verdict::Unjudged(error.to_string()),
            },
            None => sql.to_owned(),
        };
        let reads = text.trim_start().get(..6).is_some_and(|word| {
            ["select", "values"].iter().any(|read| word.eq_ignore_ascii_case(read))
                || word.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("with"))
        });
        let limits = self.limits;
        let result = if reads {
            scratch.query(&text, &limits)
        } else {
            let none = || Rows { columns: Vec::new(), rows: Vec::new(), truncated: false, elapsed: Default::default() };
            let done = scratch.undone(|scratch| scratch.execute(&text, &limits));
            match done {
                Ok(result) => result.map(|_| none()),
                Err(error) => return Verdict::Unjudged(error.to_string()),
            }
        };
        match result {
            Ok(rows) => Verdict::Ran(rows),
            Err(QueryError::Failed(error)) if native || !LACKS.iter().any(|lack| error.contains(lack)) => {
                Verdict::Failed(error)
            }
            Err(error) => Verdict::Unjudged(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, born DATE); \
         CREATE TABLE orders (id INT PRIMARY KEY, user_id INT REFERENCES users(id), total REAL)";

    fn run(sql: &str, dialect: Dialect) -> Verdict {
        let schema = Schema::parse(SHOP, dialect).unwrap();
        let literals = crate::sql::parse(sql, dialect).map(|found| crate::sql::literals(&found)).unwrap_or_default();
        Trial::new(&schema, &literals, 1).unwrap().run(sql, dialect)
    }

    #[test]
    fn answers_find_rows() {
        for sql in [
            "SELECT name FROM users WHERE name = 'Ann Lee'",
            "SELECT u.name, SUM(o.total) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.name",
            "SELECT COUNT(*) FROM orders WHERE total > 120",
        ] {
            let Verdict::Ran(rows) = run(sql, Dialect::Sqlite) else { panic!("{sql}") };
            assert!(!rows.rows.is_empty(), "{sql}");
        }
        assert!(matches!(run("SELECT EXTRACT(YEAR FROM born) FROM users", Dialect::Postgres), Verdict::Ran(_)));
    }

    #[test]
    fn errors_are_the_databases_own() {
        let Verdict::Failed(error) = run("SELECT nmae FROM users", Dialect::Sqlite) else { panic!() };
        assert!(error.contains("no such column: nmae"), "{error}");
        let Verdict::Failed(error) = run("SELECT id FROM users, orders", Dialect::Postgres) else { panic!() };
        assert!(error.contains("ambiguous column name: id"), "{error}");
    }

    #[test]
    fn changes_run_and_what_sqlite_lacks_is_not_judged() {
        assert!(matches!(run("DELETE FROM users WHERE id = 1", Dialect::Sqlite), Verdict::Ran(_)));
        assert!(matches!(run("DELETE FROM nobody", Dialect::Sqlite), Verdict::Failed(_)));
        let odd = run("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders", Dialect::Postgres);
        assert!(matches!(odd, Verdict::Unjudged(_)), "{odd:?}");
    }
}
