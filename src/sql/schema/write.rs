//! The canonical text of a schema: what every prompt shows, whatever the source looked like.

use super::{Column, ForeignKey, Name, Schema, Table};
use crate::sql::Dialect;

/// One statement a line.
pub(super) fn ddl(schema: &Schema) -> String {
    schema.tables.iter().map(|table| create(table, schema.dialect)).collect::<Vec<_>>().join("\n")
}

fn create(table: &Table, dialect: Dialect) -> String {
    let mut sql = String::from(if table.query.is_some() { "CREATE VIEW " } else { "CREATE TABLE " });
    if let Some(namespace) = &table.namespace {
        namespace.write(&mut sql, dialect);
        sql.push('.');
    }
    table.name.write(&mut sql, dialect);
    remark(&mut sql, table.comment.as_deref());
    let mut items: Vec<String> = table.columns.iter().map(|column| definition(column, table, dialect)).collect();
    if table.primary_key.len() > 1 {
        items.push(format!("PRIMARY KEY ({})", list(&table.primary_key, dialect)));
    }
    for key in table.unique.iter().filter(|key| key.len() > 1) {
        items.push(format!("UNIQUE ({})", list(key, dialect)));
    }
    items.extend(table.foreign_keys.iter().map(|key| reference(key, dialect)));
    items.extend(table.checks.iter().map(|check| format!("CHECK ({check})")));
    if !items.is_empty() || table.query.is_none() {
        sql.push_str(&format!(" ({})", items.join(", ")));
    }
    if let Some(query) = &table.query {
        sql.push_str(&format!(" AS {query}"));
    }
    sql.push(';');
    sql
}

fn definition(column: &Column, table: &Table, dialect: Dialect) -> String {
    let mut sql = column.name.to_sql(dialect);
    let mut word = |text: &str| {
        sql.push(' ');
        sql.push_str(text);
    };
    if let Some(data_type) = &column.data_type {
        word(data_type);
    }
    if column.not_null {
        word("NOT NULL");
    }
    if let Some(default) = &column.default {
        word(&format!("DEFAULT {default}"));
    }
    if table.primary_key.as_slice() == std::slice::from_ref(&column.name) {
        word("PRIMARY KEY");
    }
    if table.unique.iter().any(|key| key.as_slice() == std::slice::from_ref(&column.name)) {
        word("UNIQUE");
    }
    if let Some(check) = &column.check {
        word(&format!("CHECK ({check})"));
    }
    remark(&mut sql, column.comment.as_deref());
    sql
}

fn reference(key: &ForeignKey, dialect: Dialect) -> String {
    let mut sql = format!("FOREIGN KEY ({}) REFERENCES ", list(&key.columns, dialect));
    key.table.write(&mut sql, dialect);
    if !key.references.is_empty() {
        sql.push_str(&format!("({})", list(&key.references, dialect)));
    }
    sql
}

fn list(names: &[Name], dialect: Dialect) -> String {
    names.iter().map(|name| name.to_sql(dialect)).collect::<Vec<_>>().join(", ")
}

fn remark(sql: &mut String, comment: Option<&str>) {
    if let Some(comment) = comment {
        sql.push_str(&format!(" /* {comment} */"));
    }
}
