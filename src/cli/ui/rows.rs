//! The rows of a query as a table, as CSV and as JSON.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::Table;
use crate::db::{Rows, Value};
use crate::error::Result;

/// How rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowFormat {
    /// With box characters, long cells cut in the middle.
    #[default]
    Table,
    /// RFC 4180; NULL is an empty field.
    Csv,
    /// A list of objects, one a row.
    Json,
    /// Not at all: the statement alone.
    Sql,
}

impl RowFormat {
    /// The names that `--format` takes.
    pub const NAMES: [&'static str; 4] = ["table", "csv", "json", "sql"];

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "sql" => Self::Sql,
            _ => return None,
        })
    }
}

/// Rows as text; nothing for [`RowFormat::Sql`]. Cells of a table are escaped, those of the other formats are raw.
pub fn render(rows: &Rows, format: RowFormat) -> Result<String> {
    match format {
        RowFormat::Table => {
            let mut table = Table::new(rows.columns.iter().map(String::as_str));
            for row in &rows.rows {
                table.row(row.iter().map(Value::to_string));
            }
            Ok(table.render() + "\n")
        }
        RowFormat::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&rows.columns)?;
            for row in &rows.rows {
                writer.write_record(row.iter().map(|value| match value {
                    Value::Null => String::new(),
                    value => value.to_string(),
                }))?;
            }
            Ok(String::from_utf8_lossy(&writer.into_inner()?).into_owned())
        }
        RowFormat::Json => {
            let names = distinct(&rows.columns);
            let objects: Vec<Json> = rows
                .rows
                .iter()
                .map(|row| {
                    let fields = names.iter().cloned().zip(row.iter().map(Value::to_json));
                    Json::Object(fields.collect::<Map<_, _>>())
                })
                .collect();
            Ok(serde_json::to_string_pretty(&objects)? + "\n")
        }
        RowFormat::Sql => Ok(String::new()),
    }
}

/// The names of columns with a number behind those that came before: `id`, `id_2`.
fn distinct(columns: &[String]) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let number = |name| {
        let count = seen.entry(name).or_default();
        *count += 1;
        if *count == 1 { String::from(name) } else { format!("{name}_{count}") }
    };
    columns.iter().map(String::as_str).map(number).collect()
}

/// `3 rows in 1.2 ms`, and whether there are more.
pub fn footer(rows: &Rows) -> String {
    let count = rows.rows.len();
    let what = if count == 1 { "row" } else { "rows" };
    let milliseconds = rows.elapsed.as_secs_f64() * 1e3;
    match rows.truncated {
        true => format!("the first {count} {what} in {milliseconds:.1} ms; there are more"),
        false => format!("{count} {what} in {milliseconds:.1} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_every_format() {
        let text = |text: &str| Value::Text(text.into());
        let rows = Rows {
            columns: vec!["id".into(), "name".into(), "id".into()],
            rows: vec![
                vec![Value::Integer(1), text("a,\u{1b}[2J\nb"), Value::Null],
                vec![Value::Integer(20), text(&"x".repeat(60)), Value::Real(0.5)],
            ],
            ..Rows::default()
        };
        let table = render(&rows, RowFormat::Table).unwrap();
        assert!(table.contains(" id │ name"), "{table}");
        assert!(table.contains("a,\\u{1b}[2J↵b") && table.contains("NULL") && table.contains('…'), "{table}");
        assert!(!table.contains('\u{1b}'));
        let csv = render(&rows, RowFormat::Csv).unwrap();
        assert_eq!(csv, format!("id,name,id\n1,\"a,\u{1b}[2J\nb\",\n20,{},0.5\n", "x".repeat(60)));
        let json: Json = serde_json::from_str(&render(&rows, RowFormat::Json).unwrap()).unwrap();
        assert_eq!(json[0], serde_json::json!({"id": 1, "name": "a,\u{1b}[2J\nb", "id_2": null}));
        assert_eq!(render(&rows, RowFormat::Sql).unwrap(), "");
        assert!(footer(&Rows { truncated: true, ..rows.clone() }).contains("there are more"));
        assert!(footer(&rows).starts_with("2 rows in "));
    }

    #[test]
    fn every_name_is_a_format() {
        assert!(RowFormat::NAMES.iter().all(|name| RowFormat::from_name(name).is_some()));
    }
}
