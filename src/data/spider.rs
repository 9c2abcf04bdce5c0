//! Spider's `tables.json` (BIRD's has the same form): the schemas that rows name by `db_id`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::records::{self, Read};
use crate::error::{Problem, Result};
use crate::sql::{Column, Dialect, ForeignKey, Name, Schema, Table};

/// Schemas as canonical DDL, by database.
#[derive(Debug, Clone, Default)]
pub struct Databases {
    schemas: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Database {
    db_id: String,
    table_names_original: Vec<String>,
    column_names_original: Vec<(i64, String)>,
    #[serde(default)]
    column_types: Vec<String>,
    #[serde(default)]
    primary_keys: Vec<Key>,
    #[serde(default)]
    foreign_keys: Vec<(usize, usize)>,
}

/// BIRD writes composite keys as lists.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    One(usize),
    Several(Vec<usize>),
}

impl Databases {
    /// Reads `tables.json` (also .gz).
    pub fn load(path: &Path, dialect: Dialect) -> Result<Self> {
        let mut schemas = HashMap::new();
        for read in records::open(path, &path.display().to_string())? {
            let (place, database) = match read? {
                Read::Record(record) => {
                    (record.place, serde_json::from_value::<Database>(serde_json::Value::Object(record.fields)))
                }
                Read::Bad(place, reason) => return Err(not_tables(&format!("{place}: {reason}"))),
            };
            let database = database.map_err(|error| not_tables(&format!("{place}: {error}")))?;
            let ddl = schema(&database, dialect).to_ddl();
            schemas.insert(database.db_id, ddl);
        }
        Ok(Self { schemas })
    }

    /// The schema of a database.
    pub fn ddl(&self, database: &str) -> Option<&str> {
        self.schemas.get(database).map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }
}

fn not_tables(detail: &str) -> anyhow::Error {
    Problem::input("this is not a tables.json as Spider and BIRD have it")
        .detail(detail)
        .hint("it is an array of {db_id, table_names_original, column_names_original, …}")
        .into()
}

fn schema(database: &Database, dialect: Dialect) -> Schema {
    let mut tables: Vec<Table> = database.table_names_original.iter().map(Table::new).collect();
    let place = |column: usize| -> Option<(usize, Name)> {
        let (table, name) = database.column_names_original.get(column)?;
        Some((usize::try_from(*table).ok()?, Name::new(name.clone(), false)))
    };
    for (index, (table, name)) in database.column_names_original.iter().enumerate() {
        let Some(table) = usize::try_from(*table).ok().and_then(|table| tables.get_mut(table)) else { continue };
        let data_type = match database.column_types.get(index).map(String::as_str) {
            Some("number" | "integer") => "INT",
            Some("real") => "REAL",
            // `time` too: Spider's databases hold such values as text.
            Some("boolean") => "BOOLEAN",
            _ => "TEXT",
        };
        table.columns.push(Column::new(name, Some(data_type.into())));
    }
    for key in &database.primary_keys {
        let columns = match key {
            Key::One(column) => std::slice::from_ref(column),
            Key::Several(columns) => columns,
        };
        for (table, name) in columns.iter().copied().filter_map(place) {
            if let Some(table) = tables.get_mut(table) {
                table.primary_key.push(name);
            }
        }
    }
    for (from, to) in &database.foreign_keys {
        let (Some((table, column)), Some((other, referenced))) = (place(*from), place(*to)) else { continue };
        let Some(other) = tables.get(other).map(|table| table.name.clone()) else { continue };
        if let Some(table) = tables.get_mut(table) {
            table.foreign_keys.push(ForeignKey { columns: vec![column], table: other, references: vec![referenced] });
        }
    }
    Schema::from_tables(dialect, tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_ddl() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tables.json");
        let text = serde_json::json!([{
            "db_id": "shop", "table_names_original": ["a", "b"],
            "column_names_original": [[-1, "*"], [0, "id"], [0, "Home Town"], [1, "a_id"], [1, "n"]],
            "column_types": ["text", "number", "text", "number", "time"],
            "primary_keys": [1, [3, 4]], "foreign_keys": [[3, 1]],
        }]);
        crate::fsx::write_atomic(&path, text.to_string().as_bytes()).unwrap();
        let databases = Databases::load(&path, Dialect::Sqlite).unwrap();
        assert_eq!(
            databases.ddl("shop"),
            Some(
                "CREATE TABLE a (id INT PRIMARY KEY, \"Home Town\" TEXT);\nCREATE TABLE b (a_id INT, n TEXT, PRIMARY KEY (a_id, n), FOREIGN KEY (a_id) REFERENCES a(id));"
            )
        );
        assert_eq!(databases.ddl("other"), None);
        crate::fsx::write_atomic(&path, b"[{\"x\": 1}]").unwrap();
        assert!(Databases::load(&path, Dialect::Sqlite).is_err());
    }
}
