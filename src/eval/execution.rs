//! Whether two results are the same, by Spider's and BIRD's definitions; soft F1; R-VES.

use std::cmp::Ordering;

use super::python::{equal, order, row_order, sort_key};
use crate::db::Value;

/// The rows of a result.
pub type Table = [Vec<Value>];

/// Most columns that are tried in every order; beyond, only the order given. The evaluator itself samples.
const PERMUTED_COLUMNS: usize = 8;

/// Spider's result equality (test-suite-sql-eval, `result_eq`): bags of rows under some order of the prediction's columns;
/// the order of rows counts where `ordered`.
pub fn spider_equal(gold: &Table, predicted: &Table, ordered: bool) -> bool {
    if gold.is_empty() && predicted.is_empty() {
        return true;
    }
    let (Some(first), Some(other)) = (gold.first(), predicted.first()) else { return false };
    if gold.len() != predicted.len() || first.len() != other.len() {
        return false;
    }
    if !quick(gold, predicted, ordered) {
        return false;
    }
    let columns = first.len();
    let column = |table: &Table, at: usize| {
        let mut cells: Vec<Value> = table.iter().map(|row| row[at].clone()).collect();
        cells.sort_by(order);
        cells.dedup_by(|a, b| equal(a, b));
        cells
    };
    let sets: Vec<Vec<Value>> = (0..columns).map(|at| column(gold, at)).collect();
    let others: Vec<Vec<Value>> = (0..columns).map(|at| column(predicted, at)).collect();
    let may = |own: usize, other: usize| {
        columns > PERMUTED_COLUMNS && own == other
            || columns <= PERMUTED_COLUMNS
                && sets[own].len() == others[other].len()
                && sets[own].iter().zip(&others[other]).all(|(a, b)| equal(a, b))
    };
    let mut sorted: Vec<&Vec<Value>> = gold.iter().collect();
    if !ordered {
        sorted.sort_by(|a, b| row_order(a, b));
    }
    let mut chosen = Vec::with_capacity(columns);
    permuted(columns, &may, &mut chosen, &|permutation| {
        let mut rows: Vec<Vec<Value>> =
            predicted.iter().map(|row| permutation.iter().map(|at| row[*at].clone()).collect()).collect();
        if !ordered {
            rows.sort_by(|a, b| row_order(a, b));
        }
        sorted.iter().zip(&rows).all(|(a, b)| row_order(a, b) == Ordering::Equal)
    })
}

fn permuted(
    columns: usize,
    may: &dyn Fn(usize, usize) -> bool,
    chosen: &mut Vec<usize>,
    test: &dyn Fn(&[usize]) -> bool,
) -> bool {
    if chosen.len() == columns {
        return test(chosen);
    }
    for other in 0..columns {
        if chosen.contains(&other) || !may(chosen.len(), other) {
            continue;
        }
        chosen.push(other);
        if permuted(columns, may, chosen, test) {
            return true;
        }
        chosen.pop();
    }
    false
}

/// The evaluator's quick rejection: rows with their cells sorted by their text and type. `1` and `1.0` sort apart, which is
/// one of its slips.
fn quick(gold: &Table, predicted: &Table, ordered: bool) -> bool {
    let unordered = |table: &Table| {
        let mut rows: Vec<Vec<Value>> = table
            .iter()
            .map(|row| {
                let mut row = row.clone();
                row.sort_by_key(sort_key);
                row
            })
            .collect();
        if !ordered {
            rows.sort_by(|a, b| row_order(a, b));
            rows.dedup_by(|a, b| row_order(a, b) == Ordering::Equal);
        }
        rows
    };
    let (a, b) = (unordered(gold), unordered(predicted));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| row_order(a, b) == Ordering::Equal)
}

/// BIRD's EX: equal sets of rows, columns in order.
pub fn bird_equal(gold: &Table, predicted: &Table) -> bool {
    let set = |table: &Table| {
        let mut rows = table.to_vec();
        rows.sort_by(|a, b| row_order(a, b));
        rows.dedup_by(|a, b| row_order(a, b) == Ordering::Equal);
        rows
    };
    let (a, b) = (set(gold), set(predicted));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| row_order(a, b) == Ordering::Equal)
}

/// BIRD's soft F1: different rows compared by position, cells by membership in the other row.
pub fn soft_f1(gold: &Table, predicted: &Table) -> f64 {
    if gold.is_empty() && predicted.is_empty() {
        return 1.0;
    }
    let (gold, predicted) = (different(gold), different(predicted));
    let (mut matched, mut extra, mut missed) = (0.0, 0.0, 0.0);
    for (at, row) in gold.iter().enumerate() {
        let Some(other) = predicted.get(at) else {
            missed += 1.0;
            continue;
        };
        let columns = row.len().max(1) as f64;
        let among = |cell: &Value, row: &[Value]| row.iter().any(|own| equal(own, cell));
        let found = other.iter().filter(|cell| among(cell, row)).count() as f64;
        matched += found / columns;
        extra += (other.len() as f64 - found) / columns;
        missed += row.iter().filter(|cell| !among(cell, other)).count() as f64 / columns;
    }
    extra += predicted.len().saturating_sub(gold.len()) as f64;
    let precision = if matched + extra > 0.0 { matched / (matched + extra) } else { 0.0 };
    let recall = if matched + missed > 0.0 { matched / (matched + missed) } else { 0.0 };
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// The rows without repeats, in the order they came first.
fn different(table: &Table) -> Vec<&Vec<Value>> {
    let mut seen = std::collections::BTreeSet::new();
    table
        .iter()
        .filter(|row| seen.insert(row.iter().map(|cell| sort_key(&as_python(cell))).collect::<Vec<_>>()))
        .collect()
}

/// `1` and `1.0` are one key of a Python dictionary.
fn as_python(cell: &Value) -> Value {
    match cell {
        Value::Integer(number) => Value::Real(*number as f64),
        Value::Boolean(flag) => Value::Real(f64::from(u8::from(*flag))),
        other => other.clone(),
    }
}

/// BIRD's R-VES of one right answer: the reward for how its times compare with the gold's, each ratio gold over
/// predicted. Ratios outside three standard deviations are cut; where nothing is left (all equal, a single run), the
/// published evaluator divides by zero and gives 0.
pub fn ves_reward(ratios: &[f64], official: bool) -> f64 {
    let count = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / count;
    let deviation = (ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / count).sqrt();
    let inside = |ratio: &&f64| **ratio < mean + 3.0 * deviation && **ratio > mean - 3.0 * deviation;
    let mut kept: Vec<f64> = ratios.iter().filter(inside).copied().collect();
    if kept.is_empty() && !official {
        kept = ratios.to_vec();
    }
    if kept.is_empty() {
        return 0.0;
    }
    let ratio = kept.iter().sum::<f64>() / kept.len() as f64;
    match ratio {
        r if r >= 2.0 => 1.25,
        r if r >= 1.0 => 1.0,
        r if r >= 0.5 => 0.75,
        r if r >= 0.25 => 0.5,
        r if r.is_nan() => 0.0,
        _ => 0.25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[i64]]) -> Vec<Vec<Value>> {
        rows.iter().map(|row| row.iter().map(|cell| Value::Integer(*cell)).collect()).collect()
    }

    #[test]
    fn spider_takes_any_order_of_columns_and_bird_does_not() {
        let (a, b) = (table(&[&[1, 2], &[3, 4]]), table(&[&[4, 3], &[2, 1]]));
        assert!(spider_equal(&a, &b, false) && !spider_equal(&a, &b, true) && !bird_equal(&a, &b));
        let (a, b) = (table(&[&[1], &[1], &[2]]), table(&[&[2], &[1]]));
        assert!(!spider_equal(&a, &b, false) && bird_equal(&a, &b), "bags and sets");
        assert!(spider_equal(&[], &[], true) && !spider_equal(&[], &a, false));
    }

    #[test]
    fn soft_f1_counts_cells_by_position() {
        let gold = table(&[&[1, 2], &[3, 4]]);
        assert_eq!(soft_f1(&gold, &gold), 1.0);
        assert_eq!(soft_f1(&gold, &table(&[&[2, 1], &[4, 3]])), 1.0);
        assert_eq!(soft_f1(&gold, &[]), 0.0);
        let half = soft_f1(&gold, &table(&[&[1, 9], &[3, 9]]));
        assert!((half - 0.5).abs() < 1e-12, "{half}");
        assert_eq!(soft_f1(&[], &[]), 1.0);
    }

    #[test]
    fn rewards() {
        for (ratios, reward) in
            [(&[1.5, 2.5][..], 1.25), (&[0.5, 1.5], 1.0), (&[0.25, 0.75], 0.75), (&[0.001, 0.002], 0.25)]
        {
            assert_eq!(ves_reward(ratios, true), reward);
        }
        assert_eq!(ves_reward(&[1.0, 1.0], true), 0.0);
        assert_eq!(ves_reward(&[1.0, 1.0], false), 1.0);
    }
}
