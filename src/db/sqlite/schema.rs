//! A SQLite file's tables and views, read without ever writing.
//!
//! The file's own CREATE TABLE text is what the prompt should show, so it is read first; what our reader cannot follow
//! (virtual tables, views without column names, exotic DDL) is asked of SQLite's `table_xinfo` and `foreign_key_list`.
//! SQLite's internal tables and the shadow tables of virtual ones are left out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use rusqlite::{Connection, ErrorCode};

use super::locks::Locks;
use super::missing;
use crate::error::{Problem, Result};
use crate::sql::{Column, Dialect, ForeignKey, Schema, Table};

/// The schema of a SQLite file. The file must be there, it is opened for reading only.
pub fn read_schema(path: &Path) -> Result<Schema> {
    let connection = open(path)?;
    let what = || format!("cannot read the schema of {}", path.display());
    let tables = entries(&connection)
        .and_then(|entries| entries.iter().map(|entry| table(&connection, entry)).collect::<rusqlite::Result<Vec<_>>>())
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => anyhow::Error::from(
                Problem::input(format!("{} is not a sound SQLite database", path.display())).detail(error.to_string()),
            ),
            _ => anyhow::Error::from(error),
        })
        .with_context(what)?;
    if tables.is_empty() {
        return Err(Problem::input(format!("{} has no tables", path.display())).into());
    }
    Ok(Schema::from_tables(Dialect::Sqlite, tables))
}

/// Opens a file for reading, with every lock that holds for a whole connection.
fn open(path: &Path) -> Result<Connection> {
    if !path.is_file() {
        return Err(missing(path).into());
    }
    Locks::ALL.open(path).with_context(|| format!("cannot open {} as a SQLite database", path.display()))
}

/// A row of `sqlite_master`.
struct Entry {
    name: String,
    is_view: bool,
    is_virtual: bool,
    sql: String,
}

/// Tables and views in the order of their creation.
fn entries(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut list = connection.prepare("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    for row in list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (name, kind) = row?;
        kinds.insert(name, kind);
    }
    let mut master = connection.prepare(
        "SELECT name, type = 'view', coalesce(sql, '') FROM sqlite_master \
         WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
    )?;
    let rows = master.query_map([], |row| {
        Ok(Entry { name: row.get(0)?, is_view: row.get(1)?, is_virtual: false, sql: row.get(2)? })
    })?;
    let mut entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    entries.retain(|entry| kinds.get(&entry.name).is_none_or(|kind| kind != "shadow"));
    for entry in &mut entries {
        entry.is_virtual = kinds.get(&entry.name).is_some_and(|kind| kind == "virtual");
    }
    Ok(entries)
}

fn table(connection: &Connection, entry: &Entry) -> rusqlite::Result<Table> {
    // A view over a table that is gone has no columns to tell: SQLite says so with an error.
    let (columns, primary_key) = match columns(connection, entry) {
        Ok(found) => found,
        Err(_) if entry.is_view => Default::default(),
        Err(error) => return Err(error),
    };
    if !entry.is_virtual
        && let Ok(read) = Schema::parse(&entry.sql, Dialect::Sqlite)
        && let [table] = read.tables()
        && table.name.is(&entry.name)
    {
        if entry.is_view {
            let known = !columns.is_empty();
            return Ok(Table { columns, columns_known: known, ..table.clone() });
        }
        let same = table.columns.len() == columns.len()
            && table.columns.iter().zip(&columns).all(|(read, told)| read.name.is(told.name.text()));
        if same {
            return Ok(table.clone());
        }
    }
    let mut table = Table { columns_known: !columns.is_empty(), columns, ..Table::new(&entry.name) };
    table.primary_key = primary_key.into_iter().map(|name| Column::new(name, None).name).collect();
    table.foreign_keys = foreign_keys(connection, &entry.name)?;
    Ok(table)
}

/// The columns as SQLite tells them, and the names of those that make the primary key. Hidden columns of virtual
/// tables are left out, generated ones are not.
fn columns(connection: &Connection, entry: &Entry) -> rusqlite::Result<(Vec<Column>, Vec<String>)> {
    let mut statement = connection
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut columns = Vec::new();
    let mut rows = statement.query([&entry.name])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let data_type: String = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        let data_type = (!data_type.is_empty() && !entry.is_view).then_some(data_type);
        columns.push(Column { not_null: row.get(2)?, default: row.get(3)?, ..Column::new(&name, data_type) });
        let position: i64 = row.get(4)?;
        if position > 0 {
            key.push((position, name));
        }
    }
    key.sort();
    Ok((columns, key.into_iter().map(|(_, name)| name).collect()))
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let name = |text: String| Column::new(text, None).name;
    let mut statement = connection
        .prepare("SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq")?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if keys.last().is_none_or(|(last, _)| *last != id) {
            keys.push((id, ForeignKey { table: name(row.get(1)?), ..ForeignKey::default() }));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(name(row.get(2)?));
            key.references.extend(row.get::<_, Option<String>>(3)?.map(name));
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sql: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Connection::open(dir.path().join("shop.db")).unwrap().execute_batch(sql).unwrap();
        dir
    }

    fn ddl(sql: &str) -> String {
        read_schema(&file(sql).path().join("shop.db")).unwrap().to_ddl()
    }

    #[test]
    fn tables_are_what_their_text_says() {
        let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, \"full name\" TEXT NOT NULL);\n\
                   CREATE TABLE orders (id INT, user_id INT REFERENCES users(id), PRIMARY KEY (id, user_id));";
        let expected = Schema::parse(sql, Dialect::Sqlite).unwrap().to_ddl();
        assert_eq!(ddl(sql), expected);
        // ALTER TABLE changes the stored text too.
        let changed = ddl(&format!("{sql} ALTER TABLE users ADD COLUMN age INT; ALTER TABLE users RENAME TO people;"));
        assert!(changed.contains("people") && changed.contains("age INT"), "{changed}");
    }

    #[test]
    fn views_have_columns_and_internal_tables_are_left_out() {
        let dir = file(
            "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT); CREATE INDEX i ON a(x);\
             INSERT INTO a (x) VALUES ('y'); ANALYZE;\
             CREATE VIEW v AS SELECT id AS number, upper(x) FROM a; CREATE VIEW w (p, q) AS SELECT * FROM a;\
             CREATE TABLE gone (z INT); CREATE VIEW broken AS SELECT z FROM gone; DROP TABLE gone;\
             CREATE VIRTUAL TABLE notes USING fts5(title, body);",
        );
        let schema = read_schema(&dir.path().join("shop.db")).unwrap();
        let shown: Vec<String> = schema
            .tables()
            .iter()
            .map(|t| {
                format!("{}({})", t.name.text(), t.columns.iter().map(|c| c.name.text()).collect::<Vec<_>>().join(","))
            })
            .collect();
        assert_eq!(shown, ["a(id,x)", "v(number,upper(x))", "w(p,q)", "broken()", "notes(title,body)"]);
        assert!(schema.table("v").unwrap().columns_known && !schema.table("broken").unwrap().columns_known);
        assert_eq!(Schema::parse(&schema.to_ddl(), Dialect::Sqlite).unwrap().tables().len(), 5);
    }

    #[test]
    fn reading_writes_nothing_and_creates_nothing() {
        let dir = file("CREATE TABLE a (b INT)");
        let path = dir.path().join("shop.db");
        let before = std::fs::read(&path).unwrap();
        let connection = open(&path).unwrap();
        for sql in ["INSERT INTO a VALUES (1)", "CREATE TABLE c (d)", "PRAGMA user_version = 3", "DROP TABLE a"] {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
        }
        drop(connection);
        read_schema(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let missing = dir.path().join("none.db");
        let error = read_schema(&missing).unwrap_err();
        assert!(error.to_string().contains("no database file") && !missing.exists(), "{error}");
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        crate::fsx::write_atomic(&path, &[b'x'; 4096]).unwrap();
        let error = format!("{:#}", read_schema(&path).unwrap_err());
        assert!(error.contains("not a sound SQLite database") || error.contains("cannot open"), "{error}");
        crate::fsx::write_atomic(&path, b"").unwrap();
        assert!(read_schema(&path).unwrap_err().to_string().contains("no tables"));
    }

    #[test]
    fn odd_names_and_composite_foreign_keys_survive() {
        let text = ddl("CREATE TABLE [a b] ([x\"y] INT, 'q' TEXT, PRIMARY KEY ([x\"y], q));\
             CREATE TABLE c (d INT, e TEXT, FOREIGN KEY (d, e) REFERENCES [a b] ([x\"y], q));");
        let schema = Schema::parse(&text, Dialect::Sqlite).unwrap();
        assert_eq!(schema.tables()[0].columns[0].name.text(), "x\"y");
        assert_eq!(schema.tables()[0].columns.len(), 2, "{text}");
        assert_eq!(schema.table("c").unwrap().foreign_keys[0].columns.len(), 2, "{text}");
    }
}
