//! Whether two results are the same.

use std::collections::HashMap;

use super::{Rows, Value};

/// Whether the order of rows counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Rows are compared one by one.
    Kept,
    /// Rows are compared as a bag: each as often, in any order.
    Any,
}

/// How two floating-point numbers may differ and still be the same, relative to the larger. Sums taken in another order
/// differ in the last of their 16 digits only; 1e-9 leaves room for a million of them.
pub const TOLERANCE: f64 = 1e-9;

/// Whether two results hold the same rows. Columns are compared by position, their names do not count. Numbers are
/// compared as numbers whatever their kind (`1`, `1.0` and `true` are the same), within `tolerance` relative to the
/// larger unless both are integers; NULL equals NULL. Results that were cut off are the same only as far as they are
/// known, so a caller looks at `truncated` first.
pub fn same_rows(a: &Rows, b: &Rows, order: Order, tolerance: f64) -> bool {
    if a.columns.len() != b.columns.len() || a.rows.len() != b.rows.len() {
        return false;
    }
    match order {
        Order::Kept => a.rows.iter().zip(&b.rows).all(|(a, b)| same_row(a, b, tolerance)),
        Order::Any => same_bag(&a.rows, &b.rows, tolerance),
    }
}

/// Whether two cells are the same.
pub fn same_value(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Null, Value::Null) => true,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Blob(a), Value::Blob(b)) => a == b,
        _ => match (a.as_number(), b.as_number()) {
            (Some(a), Some(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs())
            }
            _ => false,
        },
    }
}

fn same_row(a: &[Value], b: &[Value], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b, tolerance))
}

/// Rows are first taken away by what must be equal exactly, numbers by their value; what is left differs in its last
/// digits at most, so it is matched within the rows whose other cells agree.
fn same_bag(a: &[Vec<Value>], b: &[Vec<Value>], tolerance: f64) -> bool {
    let mut counts: HashMap<String, i64> = HashMap::new();
    for row in a {
        *counts.entry(key(row, true)).or_default() += 1;
    }
    let mut left_b: HashMap<String, Vec<&Vec<Value>>> = HashMap::new();
    for row in b {
        match counts.get_mut(&key(row, true)).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => left_b.entry(key(row, false)).or_default().push(row),
        }
    }
    for row in a {
        let Some(count) = counts.get_mut(&key(row, true)).filter(|count| **count > 0) else { continue };
        *count -= 1;
        let Some(bucket) = left_b.get_mut(&key(row, false)) else { return false };
        let Some(at) = bucket.iter().position(|other| same_row(row, other, tolerance)) else { return false };
        bucket.swap_remove(at);
    }
    left_b.values().all(Vec::is_empty)
}

/// A row as text that is the same for equal rows; with `numbers` off, all numbers look the same.
fn key(row: &[Value], numbers: bool) -> String {
    use std::fmt::Write as _;
    let mut key = String::new();
    for value in row {
        let _ = match (value, value.as_number()) {
            (Value::Text(text), _) => write!(key, "t{}:{text};", text.len()),
            (Value::Blob(bytes), _) => write!(key, "b{}:{bytes:?};", bytes.len()),
            (_, Some(_)) if !numbers => write!(key, "d;"),
            (Value::Integer(number), _) => write!(key, "d{number};"),
            (_, Some(number)) if number.fract() == 0.0 && number.abs() < 9e15 => write!(key, "d{};", number as i64),
            (_, Some(number)) => write!(key, "r{number:?};"),
            (_, None) => write!(key, "n;"),
        };
    }
    key
}

#[cfg(test)]
mod tests {
    use super::Value::{Blob, Boolean, Integer, Null, Real};
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn rows(rows: &[&[Value]]) -> Rows {
        Rows {
            columns: rows.first().map(|row| vec![String::new(); row.len()]).unwrap_or_default(),
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn order_counts_only_where_it_is_asked_for() {
        let a = rows(&[&[Integer(1), text("x")], &[Integer(2), text("y")], &[Integer(1), text("x")]]);
        let b = rows(&[&[Integer(2), text("y")], &[Integer(1), text("x")], &[Integer(1), text("x")]]);
        let c = rows(&[&[Integer(2), text("y")], &[Integer(2), text("y")], &[Integer(1), text("x")]]);
        assert!(same_rows(&a, &b, Order::Any, TOLERANCE) && !same_rows(&a, &b, Order::Kept, TOLERANCE));
        assert!(!same_rows(&a, &c, Order::Any, TOLERANCE), "a bag, not a set");
        assert!(same_rows(&a, &a, Order::Kept, TOLERANCE));
    }

    #[test]
    fn numbers_are_numbers_and_text_is_not() {
        for (a, b, same) in [
            (Integer(1), Real(1.0), true),
            (Boolean(true), Integer(1), true),
            (Value::Decimal("12.50".into()), Real(12.5), true),
            (Value::Decimal("12.50".into()), text("12.50"), false),
            (Real(0.1 + 0.2), Real(0.3), true),
            (Real(1e9), Real(1e9 + 10.0), false),
            (Integer(i64::MAX), Integer(i64::MAX - 1), false),
            (Real(0.0), Real(-0.0), true),
            (Real(f64::NAN), Real(f64::NAN), true),
            (Integer(1), text("1"), false),
            (Null, text(""), false),
            (Null, Null, true),
            (Null, Integer(0), false),
            (Blob(vec![65]), text("A"), false),
        ] {
            let (left, right) = (rows(&[std::slice::from_ref(&a)]), rows(&[std::slice::from_ref(&b)]));
            for order in [Order::Any, Order::Kept] {
                assert_eq!(same_rows(&left, &right, order, TOLERANCE), same, "{a:?} {b:?} {order:?}");
            }
        }
    }

    #[test]
    fn bags_of_almost_equal_numbers_match() {
        // Sorting would pair the wrong rows: the last digits decide the order of the first column.
        let a = rows(&[&[Real(0.3), text("x")], &[Real(0.1 + 0.2), text("y")]]);
        let b = rows(&[&[Real(0.1 + 0.2), text("x")], &[Real(0.3), text("y")]]);
        assert!(same_rows(&a, &b, Order::Any, TOLERANCE) && !same_rows(&a, &b, Order::Any, 0.0));
        let c = rows(&[&[Real(0.3), text("x")], &[Real(0.4), text("y")]]);
        assert!(!same_rows(&a, &c, Order::Any, TOLERANCE));
    }

    #[test]
    fn shapes_must_agree() {
        let empty = |columns: usize| Rows { columns: vec![String::new(); columns], ..Rows::default() };
        assert!(same_rows(&empty(2), &empty(2), Order::Any, TOLERANCE));
        assert!(!same_rows(&empty(1), &empty(2), Order::Any, TOLERANCE));
        assert!(!same_rows(&rows(&[&[Null]]), &empty(1), Order::Any, TOLERANCE));
        // What lies on the border between two cells does not move.
        let (a, b) = (rows(&[&[text("a;t1:b"), text("c")]]), rows(&[&[text("a"), text("b;t1:c")]]));
        assert!(!same_rows(&a, &b, Order::Any, TOLERANCE));
    }
}
