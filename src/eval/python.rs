//! Values as Python compares and prints them: the published evaluators are Python programs, and their slips live there.

use std::cmp::Ordering;

use crate::db::Value;

/// Whether two cells are equal as Python objects: numbers by value, text by letters, NULL to NULL.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    order(a, b) == Ordering::Equal
}

/// An order in which equal cells, and no others, are equal.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) | Value::Boolean(_) => 1,
        Value::Blob(_) => 3,
        _ => 2,
    };
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => match (a.as_number(), b.as_number()) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b)),
            _ if rank(a) == 2 && rank(b) == 2 => a.to_string().cmp(&b.to_string()),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

/// The order of rows.
pub(super) fn row_order(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| order(a, b)).find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// `str(x) + str(type(x))`: what the evaluator sorts the cells of a row by.
pub(super) fn sort_key(value: &Value) -> String {
    match value {
        Value::Null => "None<class 'NoneType'>".into(),
        Value::Integer(number) => format!("{number}<class 'int'>"),
        Value::Boolean(flag) => format!("{}<class 'int'>", u8::from(*flag)),
        Value::Real(number) => format!("{}<class 'float'>", float(*number)),
        Value::Blob(bytes) => format!("{bytes:?}<class 'bytes'>"),
        other => format!("{other}<class 'str'>"),
    }
}

/// `repr` of a float.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        return format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    format!("{number:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value_and_text_is_not() {
        let text = |text: &str| Value::Text(text.into());
        assert!(equal(&Value::Integer(1), &Value::Real(1.0)));
        assert!(!equal(&Value::Integer(1), &text("1")));
        assert!(equal(&Value::Null, &Value::Null) && !equal(&Value::Null, &text("")));
        assert_eq!(sort_key(&Value::Real(1e16)), "1e+16<class 'float'>");
        assert_eq!(sort_key(&Value::Real(0.00001)), "1e-05<class 'float'>");
        assert_eq!(sort_key(&Value::Real(2.0)), "2.0<class 'float'>");
    }
}
