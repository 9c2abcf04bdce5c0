//! A cell of a table, in an order and with a hash of its own, so that different values can be counted.

use std::cmp::Ordering;

use super::style::plain_number;
use crate::db::Value;

/// A cell.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
}

impl Cell {
    /// The cell as a question says it.
    pub fn said(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Integer(number) => number.to_string(),
            Self::Real(number) => plain_number(*number),
            Self::Text(text) => text.clone(),
        }
    }

    /// The number it is.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// For the database.
    pub fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Real(number) => Value::Real(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }

    /// From the database; bytes are nothing we speak about.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null | Value::Blob(_) => Self::Null,
            Value::Integer(number) => Self::Integer(*number),
            Value::Boolean(flag) => Self::Integer(i64::from(*flag)),
            Value::Real(number) => Self::Real(*number),
            other => Self::Text(other.to_string()),
        }
    }
}

/// NULL, numbers by their value, text.
impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |cell: &Self| match cell {
            Self::Null => 0,
            Self::Integer(_) | Self::Real(_) => 1,
            Self::Text(_) => 2,
        };
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => rank(self).cmp(&rank(other)),
            },
        }
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}
