//! A few rows for every table: keys that match across tables, and the literals of the statement among the values, so
//! that its conditions hold for some rows and not for others.

use crate::data::draws::Draws;
use crate::db::Value;
use crate::sql::{Column, Schema, Table};

/// Rows of a table. More would only cost time: joins match and groups form with this many.
const ROWS: usize = 8;

/// Rows for every table of the schema that is no view.
pub(super) fn for_schema(schema: &Schema, literals: &[String], seed: u64) -> Vec<(String, Vec<Vec<Value>>)> {
    schema
        .tables()
        .iter()
        .filter(|table| table.query.is_none() && !table.columns.is_empty())
        .map(|table| {
            let mut draws = Draws::of(seed, &[table.name.text()]);
            let rows = (0..ROWS).map(|at| row(table, at, literals, &mut draws)).collect();
            (table.name.text().to_owned(), rows)
        })
        .collect()
}

fn row(table: &Table, at: usize, literals: &[String], draws: &mut Draws) -> Vec<Value> {
    let cell = |column: &Column| {
        let single_key = table.primary_key.len() == 1 && table.primary_key[0] == column.name
            || table.unique.iter().any(|key| key.len() == 1 && key[0] == column.name);
        let refers = table.foreign_keys.iter().any(|key| key.columns.contains(&column.name));
        let composite = table.primary_key.len() > 1 && table.primary_key.contains(&column.name);
        let kind = Kind::of(column);
        match (single_key, refers || composite) {
            (true, _) => kind.key(at + 1),
            // The first column of a composite key counts up, so that rows differ.
            (_, true) if composite && table.primary_key[0] == column.name => kind.key(at + 1),
            (_, true) => kind.key(1 + draws.below(ROWS)),
            _ if !column.not_null && draws.chance(0.1) => Value::Null,
            _ => kind.value(literals, draws),
        }
    };
    table.columns.iter().map(cell).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Flag,
    Date,
    Moment,
    Text,
}

const WORDS: &[&str] = &["alpha", "Bravo", "charlie", "Delta", "echo", "Foxtrot", "golf", "Hotel"];

impl Kind {
    fn of(column: &Column) -> Self {
        let declared = column.data_type.as_deref().unwrap_or_default().to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["BOOL"]) {
            Self::Flag
        } else if has(&["INTERVAL"]) {
            Self::Text
        } else if has(&["INT", "SERIAL", "YEAR"]) {
            Self::Integer
        } else if has(&["DEC", "NUMER", "REAL", "DOUB", "FLOA", "MONEY"]) {
            Self::Number
        } else if has(&["DATETIME", "TIMESTAMP"]) {
            Self::Moment
        } else if has(&["DATE"]) {
            Self::Date
        } else {
            Self::Text
        }
    }

    /// The n-th value of a key: the same for the same n in every table.
    fn key(self, n: usize) -> Value {
        let n = i64::try_from(n).unwrap_or(1);
        match self {
            Self::Integer | Self::Flag => Value::Integer(n),
            Self::Number => Value::Real(n as f64),
            Self::Date => Value::Text(format!("2021-01-{n:02}")),
            Self::Moment => Value::Text(format!("2021-01-{n:02} 10:00:00")),
            Self::Text => Value::Text(n.to_string()),
        }
    }

    fn value(self, literals: &[String], draws: &mut Draws) -> Value {
        let numbers = || literals.iter().filter_map(|text| text.parse::<f64>().ok()).collect::<Vec<f64>>();
        match self {
            Self::Flag => Value::Integer(i64::from(draws.chance(0.5))),
            Self::Integer | Self::Number => {
                let numbers = numbers();
                let near = draws.chance(0.6).then(|| draws.pick(&numbers).copied()).flatten();
                let step = [-1.0, 0.0, 0.0, 1.0][draws.below(4)];
                let value = near.map_or_else(|| draws.below(100) as f64, |number| number + step);
                if self == Self::Integer { Value::Integer(value as i64) } else { Value::Real(value + 0.5 * step) }
            }
            Self::Date | Self::Moment => {
                let dates: Vec<&String> = literals.iter().filter(|text| is_date(text)).collect();
                let date = match draws.chance(0.5).then(|| draws.pick(&dates).copied()).flatten() {
                    Some(date) => date[..10].to_owned(),
                    None => format!("20{}-{:02}-{:02}", 18 + draws.below(7), 1 + draws.below(12), 1 + draws.below(28)),
                };
                Value::Text(if self == Self::Moment { format!("{date} 12:30:00") } else { date })
            }
            Self::Text => {
                let literal = draws.chance(0.6).then(|| draws.pick(literals)).flatten();
                // What LIKE looks for, without its wildcards, is inside of a value.
                let text = literal.map(|text| text.replace(['%', '_'], "a"));
                Value::Text(text.unwrap_or_else(|| WORDS[draws.below(WORDS.len())].to_owned()))
            }
        }
    }
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10 && text.is_ascii() && bytes[4] == b'-' && bytes[7] == b'-' && bytes[0].is_ascii_digit()
}
