//! Tables, views, columns, keys and comments from PostgreSQL's catalogues.

use std::collections::BTreeMap;

use super::address::Address;
use super::session::{Bounds, Session};
use super::{CONNECT, Locks, begin};
use crate::db::{Limits, QueryError, Rows, Value};
use crate::error::{Problem, Result};
use crate::sql::{Column, Dialect, ForeignKey, Name, Schema, Table};

/// Everything the role may read, outside the system's schemas and not made by an extension, in the order of creation.
/// Partitions stand behind their table.
const TABLES: &str = "\
SELECT c.oid, n.nspname, c.relname, pg_table_is_visible(c.oid), obj_description(c.oid, 'pg_class'), \
  CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
ORDER BY c.oid";

const COLUMNS: &str = "\
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
  pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum), \
  (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid) \
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "\
SELECT k.conrelid, k.contype, \
  array_to_json(ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY u(n, o) \
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o))::text, \
  f.relname, \
  array_to_json(ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY u(n, o) \
    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o))::text, \
  pg_get_constraintdef(k.oid) \
FROM pg_constraint k LEFT JOIN pg_class f ON f.oid = k.confrelid \
WHERE k.conrelid <> 0 AND k.contype IN ('p', 'u', 'f', 'c') AND k.conparentid = 0 ORDER BY k.oid";

/// Catalogues are read with more time than a question's query gets.
const TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// The tables and views of a database.
pub fn read_schema(address: &Address) -> Result<Schema> {
    let limits = Limits { time: TIME, ..Limits::default() };
    let read = || -> Result<(Rows, Rows, Rows), QueryError> {
        let mut session = Session::open(address, CONNECT, &limits)?;
        begin(&mut session, &limits, Locks::ALL)?;
        // Names in defaults and views are qualified where they must be for this path, which is the role's own.
        let all = Bounds { rows: 0, bytes: usize::MAX, columns_needed: true };
        let found = (session.query(TABLES, all)?, session.query(COLUMNS, all)?, session.query(KEYS, all)?);
        session.run("ROLLBACK")?;
        Ok(found)
    };
    let (tables, columns, keys) = read().map_err(|error| match error {
        QueryError::Unavailable(problem) => problem,
        error => Problem::failed(format!("cannot read the schema of {address}")).detail(error.to_string()),
    })?;
    if tables.rows.is_empty() {
        return Err(Problem::input(format!("{address} has no tables that {} may read", address.user))
            .hint("check the database's name, or GRANT SELECT on its tables")
            .into());
    }
    Ok(assemble(&tables, &columns, &keys))
}

fn assemble(tables: &Rows, columns: &Rows, keys: &Rows) -> Schema {
    let mut found: BTreeMap<i64, Table> = BTreeMap::new();
    for row in &tables.rows {
        let mut cells = Cells(row.iter());
        let (oid, namespace, name, visible) = (cells.number(), cells.text(), cells.text(), cells.flag());
        let mut table = Table::new(&name);
        table.name = exact(name);
        table.namespace = (!visible).then(|| exact(namespace));
        table.comment = cells.some_text();
        table.query = cells.some_text().map(|query| one_line(query.trim_end_matches(';')));
        table.columns_known = true;
        found.insert(oid, table);
    }
    for row in &columns.rows {
        let mut cells = Cells(row.iter());
        let Some(table) = found.get_mut(&cells.number()) else { continue };
        let (name, data_type, not_null) = (cells.text(), cells.text(), cells.flag());
        // `nextval` is what makes a serial column; prompts are better off without it.
        let default = cells.some_text().filter(|default| !default.starts_with("nextval("));
        let (comment, labels) = (cells.some_text(), cells.some_text());
        let is_view = table.query.is_some();
        let mut column = Column::new(&name, (!is_view).then(|| short_type(&data_type)));
        column.name = exact(name);
        column.not_null = not_null;
        column.default = default;
        column.comment = comment.or(labels.map(|labels| format!("one of {labels}")));
        table.columns.push(column);
    }
    for row in &keys.rows {
        let mut cells = Cells(row.iter());
        let Some(table) = found.get_mut(&cells.number()) else { continue };
        let (kind, own, other, theirs, definition) =
            (cells.text(), cells.names(), cells.some_text(), cells.names(), cells.text());
        match (kind.as_str(), other) {
            ("p", _) => table.primary_key = own,
            ("u", _) => table.unique.push(own),
            ("f", Some(other)) => {
                table.foreign_keys.push(ForeignKey { columns: own, table: exact(other), references: theirs });
            }
            ("c", _) => {
                let condition = definition.trim_start_matches("CHECK ").trim_end_matches(" NOT VALID");
                let inner = condition.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
                table.checks.push(one_line(inner.unwrap_or(condition)));
            }
            _ => {}
        }
    }
    Schema::from_tables(Dialect::Postgres, found.into_values())
}

/// A name as the catalogue has it: its case counts.
fn exact(name: String) -> Name {
    Name::new(name, true)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A type in the words that DDL is written with: `format_type` says `character varying(20)`.
fn short_type(data_type: &str) -> String {
    if data_type.contains('"') {
        return data_type.to_owned();
    }
    let short = [
        ("character varying", "varchar"),
        ("character(", "char("),
        ("timestamp without time zone", "timestamp"),
        ("timestamp with time zone", "timestamptz"),
        ("time without time zone", "time"),
    ];
    let text = short.iter().fold(data_type.to_owned(), |text, (long, short)| text.replace(long, short));
    text.to_uppercase()
}

/// Reads a row cell by cell.
struct Cells<'a>(std::slice::Iter<'a, Value>);

impl Cells<'_> {
    fn some_text(&mut self) -> Option<String> {
        self.0.next().filter(|value| **value != Value::Null).map(Value::to_string)
    }

    fn text(&mut self) -> String {
        self.some_text().unwrap_or_default()
    }

    fn number(&mut self) -> i64 {
        match self.0.next() {
            Some(Value::Integer(number)) => *number,
            _ => 0,
        }
    }

    fn flag(&mut self) -> bool {
        self.0.next() == Some(&Value::Boolean(true))
    }

    fn names(&mut self) -> Vec<Name> {
        let names: Vec<String> = serde_json::from_str(&self.text()).unwrap_or_default();
        names.into_iter().map(exact).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_short() {
        for (long, short) in [
            ("character varying(20)", "VARCHAR(20)"),
            ("timestamp(3) without time zone", "TIMESTAMP(3) WITHOUT TIME ZONE"),
            ("timestamp without time zone", "TIMESTAMP"),
            ("integer[]", "INTEGER[]"),
            ("\"Mood\"", "\"Mood\""),
            ("double precision", "DOUBLE PRECISION"),
        ] {
            assert_eq!(short_type(long), short);
        }
    }
}
