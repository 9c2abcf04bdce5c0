//! What a query gives: columns, typed rows, and whether that is all of it.

use std::fmt;
use std::time::Duration;

use serde_json::{Value as Json, json};

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number. PostgreSQL's booleans are their own kind.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// PostgreSQL's `numeric`, with the digits it prints (`12.50`); SQLite has none.
    Decimal(String),
    /// A boolean; SQLite has none.
    Boolean(bool),
    /// Text. What is not UTF-8 comes with replacement characters; dates, intervals, arrays and every other type of
    /// PostgreSQL come as it prints them.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Bytes it holds, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) | Self::Boolean(_) => 8,
            Self::Text(text) | Self::Decimal(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }

    /// The number it is, if it is one; booleans count as 0 and 1, as they do in SQLite.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            Self::Decimal(digits) => digits.parse().ok(),
            Self::Boolean(flag) => Some(f64::from(u8::from(*flag))),
            Self::Null | Self::Text(_) | Self::Blob(_) => None,
        }
    }

    /// As JSON: blobs as hexadecimal text behind `\x`, numbers that JSON cannot hold as text.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(number) => json!(number),
            Self::Real(number) if number.is_finite() => json!(number),
            Self::Boolean(flag) => json!(flag),
            Self::Decimal(digits) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => json!(number),
                _ => json!(digits),
            },
            Self::Real(_) | Self::Text(_) | Self::Blob(_) => json!(self.to_string()),
        }
    }
}

/// As people read it: NULL in capitals, blobs as `\x` and hexadecimal digits.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) if number.is_finite() && (number.abs() >= 1e16 || is_tiny(*number)) => {
                write!(f, "{number:e}")
            }
            // `1.0`, so that a real is told from an integer.
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Text(text) | Self::Decimal(text) => f.write_str(text),
            Self::Blob(bytes) => {
                f.write_str("\\x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn is_tiny(number: f64) -> bool {
    number != 0.0 && number.abs() < 1e-5
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The names of the columns; two may be the same.
    pub columns: Vec<String>,
    /// The rows, in the order they came; each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than the limits let through.
    pub truncated: bool,
    /// Wall time from the statement's preparation to its last row.
    pub elapsed: Duration,
}

impl Rows {
    /// `columns`, `rows`, `truncated` and `seconds` of a JSON object.
    pub fn to_json(&self) -> Json {
        let rows: Vec<Vec<Json>> = self.rows.iter().map(|row| row.iter().map(Value::to_json).collect()).collect();
        json!({
            "columns": self.columns,
            "rows": rows,
            "truncated": self.truncated,
            "seconds": self.elapsed.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_as_people_and_as_json_see_them() {
        for (value, shown, as_json) in [
            (Value::Null, "NULL", json!(null)),
            (Value::Integer(-3), "-3", json!(-3)),
            (Value::Real(2.0), "2.0", json!(2.0)),
            (Value::Real(0.1), "0.1", json!(0.1)),
            (Value::Real(1e300), "1e300", json!(1e300)),
            (Value::Decimal("12.50".into()), "12.50", json!(12.5)),
            (Value::Real(f64::INFINITY), "inf", json!("inf")),
            (Value::Boolean(true), "true", json!(true)),
            (Value::Text("NULL".into()), "NULL", json!("NULL")),
            (Value::Blob(vec![0, 255]), "\\x00ff", json!("\\x00ff")),
        ] {
            assert_eq!((value.to_string().as_str(), value.to_json()), (shown, as_json));
        }
    }
}
