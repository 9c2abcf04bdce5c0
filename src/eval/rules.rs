//! When a result is the gold's: the suites' own rule, and Spider's and BIRD's definitions with the slips of their published
//! evaluators mended. [`MENDED`] says which.

use super::execution::soft_f1;
use super::python::{order, row_order};
use crate::db::{self, Order, Rows, TOLERANCE, Value};

/// Numbers are equal within this share of the larger: the suites' rule.
const RELATIVE: f64 = 1e-6;

/// Assignments of columns that are tried. Two results with a dozen columns that are alike, none of them right, would take hours.
const MOST_TRIES: usize = 5_000;

/// What the default does otherwise than the published evaluators, which `--official` reproduces.
pub const MENDED: [&str; 7] = [
    "Spider: DISTINCT counts; it is not taken out of both sides",
    "Spider: the order of rows counts where the gold's outermost query has ORDER BY, not where the words stand anywhere",
    "Spider: 1 and 1.0 are equal, numbers within 1e-9; `value` in an answer is not replaced by 1",
    "Spider: an answer is one statement: what stands behind the first is not cut off, but refused",
    "BIRD: numbers are equal within 1e-9",
    "BIRD soft F1: where the gold asks for no order, both results are sorted before rows are paired",
    "BIRD R-VES: equal times are a ratio of their own; the published evaluator trims them all and gives 0",
];

/// Whether a result is the gold's by the suites' rule: as many rows, the gold's columns among the answer's in any order, rows as
/// a bag or, `ordered`, one by one.
pub fn matches(gold: &Rows, answer: &Rows, ordered: bool, tolerance: f64) -> bool {
    if gold.rows.len() != answer.rows.len() || gold.columns.len() > answer.columns.len() {
        return false;
    }
    let same = |a: &Value, b: &Value| match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance.max(1e-9).max(RELATIVE * a.abs().max(b.abs())),
        (None, None) => a == b,
        _ => false,
    };
    assigned(gold, answer, &same, &|columns| {
        let row = |own: &[Value], gold: &[Value]| columns.iter().zip(gold).all(|(at, gold)| same(gold, &own[*at]));
        if ordered {
            return answer.rows.iter().zip(&gold.rows).all(|(own, gold)| row(own, gold));
        }
        let mut rest: Vec<&Vec<Value>> = answer.rows.iter().collect();
        gold.rows.iter().all(|gold| match rest.iter().position(|own| row(own, gold)) {
            Some(at) => {
                rest.swap_remove(at);
                true
            }
            None => false,
        })
    })
}

/// Spider's definition: the same bag of rows under some order of the answer's columns; one by one where `ordered`.
pub fn spider(gold: &Rows, answer: &Rows, ordered: bool) -> bool {
    if gold.rows.is_empty() && answer.rows.is_empty() {
        return true;
    }
    if gold.rows.len() != answer.rows.len() || gold.columns.len() != answer.columns.len() {
        return false;
    }
    let order = if ordered { Order::Kept } else { Order::Any };
    let same = |a: &Value, b: &Value| db::same_value(a, b, TOLERANCE);
    assigned(gold, answer, &same, &|columns| {
        let rows = answer.rows.iter().map(|row| columns.iter().map(|at| row[*at].clone()).collect()).collect();
        let turned = Rows { columns: gold.columns.clone(), rows, ..Rows::default() };
        db::same_rows(gold, &turned, order, TOLERANCE)
    })
}

/// BIRD's definition: the same set of rows, columns in order.
pub fn bird(gold: &Rows, answer: &Rows) -> bool {
    let set = |rows: &Rows| {
        let mut set = rows.clone();
        set.rows.sort_by(|a, b| row_order(a, b));
        set.rows.dedup_by(|a, b| row_order(a, b).is_eq());
        set
    };
    // Without rows the columns cannot be seen.
    if gold.rows.is_empty() || answer.rows.is_empty() {
        return gold.rows.is_empty() && answer.rows.is_empty();
    }
    db::same_rows(&set(gold), &set(answer), Order::Any, TOLERANCE)
}

/// BIRD's soft F1, rows paired in an order of their own where the gold asks for none.
pub fn soft(gold: &Rows, answer: &Rows, ordered: bool) -> f64 {
    if ordered {
        return soft_f1(&gold.rows, &answer.rows);
    }
    let sorted = |rows: &Rows| {
        let mut rows = rows.rows.clone();
        rows.sort_by(|a, b| row_order(a, b));
        rows
    };
    soft_f1(&sorted(gold), &sorted(answer))
}

/// Tries assignments of the gold's columns to different columns of the answer. A column is tried only where it holds the same
/// values, which leaves one or two assignments unless several columns are alike; after [`MOST_TRIES`] it is given up.
fn assigned(
    gold: &Rows,
    answer: &Rows,
    same: &dyn Fn(&Value, &Value) -> bool,
    test: &dyn Fn(&[usize]) -> bool,
) -> bool {
    let (gold, answer) = (sorted_columns(gold), sorted_columns(answer));
    let alike = |a: &[&Value], b: &[&Value]| a.iter().zip(b).all(|(a, b)| same(a, b));
    let may: Vec<Vec<usize>> =
        gold.iter().map(|column| (0..answer.len()).filter(|at| alike(column, &answer[*at])).collect()).collect();
    let mut tries = MOST_TRIES;
    assign(&may, &mut Vec::new(), &mut tries, test)
}

fn assign(may: &[Vec<usize>], chosen: &mut Vec<usize>, tries: &mut usize, test: &dyn Fn(&[usize]) -> bool) -> bool {
    let Some(places) = may.get(chosen.len()) else {
        *tries = tries.saturating_sub(1);
        return test(chosen);
    };
    for &at in places {
        if chosen.contains(&at) || *tries == 0 {
            continue;
        }
        chosen.push(at);
        if assign(may, chosen, tries, test) {
            return true;
        }
        chosen.pop();
    }
    false
}

/// The cells of every column by value.
fn sorted_columns(rows: &Rows) -> Vec<Vec<&Value>> {
    let column = |at: usize| {
        let mut cells: Vec<&Value> = rows.rows.iter().map(|row| &row[at]).collect();
        cells.sort_by(|a, b| order(a, b));
        cells
    };
    (0..rows.columns.len()).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: usize, cells: &[&[i64]]) -> Rows {
        Rows {
            columns: vec![String::new(); columns],
            rows: cells.iter().map(|row| row.iter().map(|cell| Value::Integer(*cell)).collect()).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn columns_may_be_a_subset_in_any_order() {
        let gold = rows(2, &[&[1, 10], &[2, 20]]);
        for (answer, ordered, same) in [
            (rows(2, &[&[1, 10], &[2, 20]]), true, true),
            (rows(2, &[&[20, 2], &[10, 1]]), false, true),
            (rows(2, &[&[20, 2], &[10, 1]]), true, false),
            (rows(3, &[&[7, 10, 1], &[7, 20, 2]]), true, true),
            (rows(1, &[&[1], &[2]]), false, false),
            (rows(2, &[&[1, 20], &[2, 10]]), false, false),
            (rows(2, &[&[1, 10]]), false, false),
        ] {
            assert_eq!(matches(&gold, &answer, ordered, 0.0), same, "{answer:?}");
        }
        let near = Rows { rows: vec![vec![Value::Real(33.3)]], ..rows(1, &[]) };
        let exact = Rows { rows: vec![vec![Value::Real(33.3333)]], ..rows(1, &[]) };
        assert!(matches(&exact, &near, false, 0.05) && !matches(&exact, &near, false, 0.0));
    }

    #[test]
    fn wide_results_whose_columns_are_alike_are_told_apart_in_time() {
        let wide = |last: i64| rows(14, &[&[0; 14], &[[0; 13].as_slice(), &[last]].concat(), &[last; 14]]);
        assert!(matches(&wide(1), &wide(1), false, 0.0) && spider(&wide(1), &wide(1), false));
        assert!(!matches(&wide(1), &wide(2), false, 0.0));
        // The same values in every column, but in rows that do not fit.
        let turned = |shift: usize| {
            let row = |own: usize| (0..14).map(|at| ((at * shift + own) % 14) as i64).collect::<Vec<_>>();
            let all: Vec<Vec<i64>> = (0..14).map(row).collect();
            rows(14, &all.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        assert!(!spider(&turned(1), &turned(0), false));
    }

    #[test]
    fn definitions_differ_where_they_should() {
        let gold = rows(2, &[&[1, 10], &[1, 10], &[2, 20]]);
        for (answer, ordered, by_spider, by_bird) in [
            (rows(2, &[&[2, 20], &[1, 10], &[1, 10]]), false, true, true),
            (rows(2, &[&[2, 20], &[1, 10], &[1, 10]]), true, false, true),
            (rows(2, &[&[10, 1], &[10, 1], &[20, 2]]), true, true, false),
            (rows(2, &[&[1, 10], &[2, 20]]), false, false, true),
            (rows(3, &[&[1, 10, 0], &[1, 10, 0], &[2, 20, 0]]), false, false, false),
        ] {
            assert_eq!(spider(&gold, &answer, ordered), by_spider, "{answer:?}");
            assert_eq!(bird(&gold, &answer), by_bird, "{answer:?}");
        }
        let one = |value: Value| Rows { rows: vec![vec![value]], ..rows(1, &[]) };
        let (whole, real) = (one(Value::Integer(1)), one(Value::Real(1.0 + 1e-12)));
        assert!(spider(&whole, &real, true) && bird(&whole, &real));
        assert!(!spider(&whole, &one(Value::Text("1".into())), true));
        assert!(bird(&rows(1, &[]), &rows(2, &[])) && !bird(&rows(1, &[]), &rows(1, &[&[0]])));
    }

    #[test]
    fn soft_f1_pairs_rows_that_belong_together() {
        let (gold, turned) = (rows(2, &[&[1, 2], &[3, 4]]), rows(2, &[&[3, 4], &[1, 2]]));
        assert_eq!(soft(&gold, &turned, false), 1.0);
        assert_eq!(soft(&gold, &turned, true), 0.0);
    }
}
