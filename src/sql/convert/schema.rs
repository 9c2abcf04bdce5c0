//! The column types of a schema in the target's words, for the schema that a training row shows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Fidelity, Source, Target, translate};
use crate::sql::{Dialect, Schema, Table};

/// How many types are kept; data sets have a few hundred. Price: about 100 bytes each.
const TYPES_KEPT: usize = 4096;

/// First words of types that PostgreSQL does not have, or not with a width.
const NOT_POSTGRES: &[&str] = &[
    "BINARY",
    "BLOB",
    "CLOB",
    "DATETIME",
    "DOUBLE",
    "ENUM",
    "FIXED",
    "IMAGE",
    "LONGBLOB",
    "LONGTEXT",
    "MEDIUMBLOB",
    "MEDIUMINT",
    "MEDIUMTEXT",
    "NUMBER",
    "NVARCHAR",
    "SET",
    "STRING",
    "TINYBLOB",
    "TINYINT",
    "TINYTEXT",
    "VARBINARY",
    "VARCHAR2",
    "YEAR",
];

static TYPES: Mutex<Option<HashMap<String, Option<String>>>> = Mutex::new(None);

/// The schema with the types that PostgreSQL has, where `to` is PostgreSQL; else as it is. Columns without a type are
/// text: that is what all values can be kept as.
pub fn schema_for(schema: Schema, to: Dialect) -> Schema {
    if to != Dialect::Postgres {
        return schema;
    }
    let foreign = |table: &Table| {
        table.query.is_none() && table.columns.iter().any(|column| needs_change(column.data_type.as_deref()))
    };
    if !schema.tables().iter().any(foreign) {
        return schema;
    }
    let mut tables = schema.tables().to_vec();
    for table in tables.iter_mut().filter(|table| table.query.is_none()) {
        for column in &mut table.columns {
            match &column.data_type {
                None => column.data_type = Some("TEXT".into()),
                Some(declared) if needs_change(Some(declared)) => {
                    if let Some(wanted) = in_postgres(declared) {
                        column.data_type = Some(wanted);
                    }
                }
                Some(_) => {}
            }
        }
    }
    Schema::from_tables(schema.dialect(), tables)
}

fn needs_change(declared: Option<&str>) -> bool {
    let Some(declared) = declared else { return true };
    let word = declared.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    let with_width = matches!(word, "INT" | "INTEGER" | "BIGINT" | "SMALLINT") && declared.contains('(');
    with_width
        || declared.contains("UNSIGNED")
        || (NOT_POSTGRES.contains(&word) && !declared.starts_with("DOUBLE PRECISION"))
}

/// The type in PostgreSQL's words; none: it is not understood and stays.
fn in_postgres(declared: &str) -> Option<String> {
    let lock = || TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().as_ref().and_then(|types| types.get(declared)) {
        return known.clone();
    }
    let text = format!("CREATE TABLE t (c {declared})");
    let converted = [Source::MySql, Source::Sqlite].into_iter().find_map(|source| {
        let done = translate(&text, source, Target::Postgres, None, Fidelity::Exact).ok()?.sql.into_owned();
        let schema = Schema::parse(&done, Dialect::Postgres).ok()?;
        let found = schema.tables().first()?.columns.first()?.data_type.clone()?;
        (!needs_change(Some(&found))).then_some(found)
    });
    let mut types = lock();
    let types = types.get_or_insert_with(HashMap::new);
    if types.len() < TYPES_KEPT {
        types.insert(declared.to_owned(), converted.clone());
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_postgres_and_everything_else_stays() {
        let ddl = "CREATE TABLE t /* things */ (id INT(11) UNSIGNED PRIMARY KEY /* key */, a, b DATETIME NOT NULL, \
                   c MEDIUMTEXT, d DOUBLE, e ENUM('x','y'), f TINYINT(1), g DOUBLE PRECISION, h VARCHAR(9), i BLOB)";
        let schema = schema_for(Schema::parse(ddl, Dialect::Postgres).unwrap(), Dialect::Postgres);
        assert_eq!(
            schema.to_ddl(),
            "CREATE TABLE t /* things */ (id BIGINT PRIMARY KEY /* key */, a TEXT, b TIMESTAMP NOT NULL, c TEXT, \
             d DOUBLE PRECISION, e TEXT, f SMALLINT, g DOUBLE PRECISION, h VARCHAR(9), i BYTEA);"
        );
        let same = Schema::parse(ddl, Dialect::Sqlite).unwrap();
        assert_eq!(schema_for(same.clone(), Dialect::Sqlite), same);
    }
}
