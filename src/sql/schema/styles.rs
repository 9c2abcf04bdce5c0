//! Other texts of a schema than its DDL: M-Schema, as askGuru's prompts show it, and one short line per table.

use super::{Name, Schema, Table};

/// How a schema is shown to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// The canonical CREATE TABLE text.
    #[default]
    Ddl,
    /// M-Schema: a line per column with type, key, remark and sample values; foreign keys at the end.
    MSchema,
    /// `Table t: c1, c2`.
    Short,
}

/// Values of a column to show beside it; none: no examples.
pub type Samples<'a> = &'a dyn Fn(&Table, &str) -> Vec<String>;

impl Style {
    /// The style of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "ddl" => Some(Self::Ddl),
            "mschema" | "m-schema" => Some(Self::MSchema),
            "short" => Some(Self::Short),
            _ => None,
        }
    }

    /// The name that `--schema-style` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddl => "ddl",
            Self::MSchema => "mschema",
            Self::Short => "short",
        }
    }
}

impl Schema {
    /// The schema as text. `name` is the database's; only M-Schema shows it, and only it shows `samples`.
    pub fn show(&self, style: Style, name: Option<&str>, samples: Samples<'_>) -> String {
        match style {
            Style::Ddl => self.to_ddl(),
            Style::MSchema => mschema(self, name, samples),
            Style::Short => self.tables().iter().map(short).collect::<Vec<_>>().join("\n"),
        }
    }
}

fn short(table: &Table) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.text()).collect();
    format!("Table {}: {}", table.name.text(), columns.join(", "))
}

fn mschema(schema: &Schema, name: Option<&str>, samples: Samples<'_>) -> String {
    let mut text = String::new();
    if let Some(name) = name {
        text.push_str(&format!("【DB_ID】 {name}\n"));
    }
    text.push_str("【Schema】\n");
    let mut keys = Vec::new();
    for table in schema.tables() {
        text.push_str(&format!("# Table: {}", table.name.text()));
        if let Some(comment) = &table.comment {
            text.push_str(&format!(", {comment}"));
        }
        text.push_str("\n[\n");
        let lines: Vec<String> = table.columns.iter().map(|column| line(table, column, samples)).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]\n");
        for key in &table.foreign_keys {
            let other = schema.table(key.table.text());
            let own_key: &[Name] = other.map(|other| other.primary_key.as_slice()).unwrap_or_default();
            let referred = if key.references.is_empty() { own_key } else { &key.references };
            for (own, theirs) in key.columns.iter().zip(referred) {
                keys.push(format!("{}.{}={}.{}", table.name.text(), own.text(), key.table.text(), theirs.text()));
            }
        }
    }
    if !keys.is_empty() {
        text.push_str("【Foreign keys】\n");
        text.push_str(&keys.join("\n"));
    }
    text.trim_end().to_owned()
}

fn line(table: &Table, column: &super::Column, samples: Samples<'_>) -> String {
    let mut line = format!("({}", column.name.text());
    if let Some(data_type) = &column.data_type {
        line.push_str(&format!(":{data_type}"));
    }
    if table.primary_key.contains(&column.name) {
        line.push_str(", Primary Key");
    }
    if let Some(comment) = &column.comment {
        line.push_str(&format!(", {comment}"));
    }
    let examples = samples(table, column.name.text());
    if !examples.is_empty() {
        line.push_str(&format!(", Examples: [{}]", examples.join(", ")));
    }
    line.push(')');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    const SHOP: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT /* full name */); \
         CREATE TABLE orders (id INTEGER, user_id INT REFERENCES users, PRIMARY KEY (id))";

    #[test]
    fn every_style_shows_the_same_tables() {
        let schema = Schema::parse(SHOP, Dialect::Sqlite).unwrap();
        let none: Samples<'_> = &|_, _| Vec::new();
        assert_eq!(schema.show(Style::Ddl, None, none), schema.to_ddl());
        assert_eq!(schema.show(Style::Short, None, none), "Table users: id, name\nTable orders: id, user_id");
        let samples: Samples<'_> =
            &|_, column| if column == "name" { vec!["Ann".into(), "Bob".into()] } else { Vec::new() };
        assert_eq!(
            schema.show(Style::MSchema, Some("shop"), samples),
            "【DB_ID】 shop\n【Schema】\n# Table: users\n[\n(id:INTEGER, Primary Key),\n\
             (name:TEXT, full name, Examples: [Ann, Bob])\n]\n# Table: orders\n[\n(id:INTEGER, Primary Key),\n\
             (user_id:INT)\n]\n【Foreign keys】\norders.user_id=users.id"
        );
        for style in [Style::Ddl, Style::MSchema, Style::Short] {
            assert_eq!(Style::from_name(style.name()), Some(style));
        }
    }
}
