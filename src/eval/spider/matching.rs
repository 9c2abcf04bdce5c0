//! Exact set match and hardness of Spider's evaluator, with values and DISTINCT disabled as it runs them.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{ColumnUnit, Operand, Query, TESTS, TableUnit, Tests, ValueUnit};

/// Which columns stand for which through foreign keys, both as `__table.column__`.
pub type ForeignKeys = BTreeMap<String, String>;

/// Compared without values and DISTINCT, foreign keys folded.
pub(super) fn comparable(mut query: Query, keys: &ForeignKeys) -> Query {
    blank_values(&mut query);
    let tables: BTreeSet<String> = query
        .tables
        .iter()
        .filter_map(|table| match table {
            TableUnit::Table(name) => name.strip_suffix("__").map(str::to_owned),
            TableUnit::Query(_) => None,
        })
        .collect();
    fold(&mut query, &tables, keys);
    query
}

/// Literals and columns on the right side are blanked; queries there are kept, blanked inside. Queries in FROM are not
/// looked into.
fn blank_values(query: &mut Query) {
    for tests in [&mut query.joins, &mut query.filter, &mut query.having] {
        for test in &mut tests.tests {
            for operand in [&mut test.first, &mut test.second] {
                match operand {
                    Some(Operand::Query(inner)) => blank_values(inner),
                    other => *other = None,
                }
            }
        }
    }
    for other in [&mut query.intersect, &mut query.except, &mut query.union].into_iter().flatten() {
        blank_values(other);
    }
}

fn fold(query: &mut Query, tables: &BTreeSet<String>, keys: &ForeignKeys) {
    let column = |unit: &mut ColumnUnit| {
        let own = unit.1.split_once('.').is_some_and(|(table, _)| tables.contains(table));
        if own && let Some(other) = keys.get(&unit.1) {
            unit.1.clone_from(other);
        }
        unit.2 = None;
    };
    let value = |unit: &mut ValueUnit| {
        column(&mut unit.1);
        unit.2.iter_mut().for_each(column);
    };
    query.distinct = None;
    query.select.iter_mut().for_each(|(_, unit)| value(unit));
    for tests in [&mut query.joins, &mut query.filter, &mut query.having] {
        tests.tests.iter_mut().for_each(|test| value(&mut test.left));
    }
    query.groups.iter_mut().for_each(column);
    if let Some((_, units)) = &mut query.order {
        units.iter_mut().for_each(value);
    }
    for other in [&mut query.intersect, &mut query.except, &mut query.union].into_iter().flatten() {
        fold(other, tables, keys);
    }
}

/// Whether two lists hold the same, each as often.
fn same_bag<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    let mut rest: Vec<&T> = b.iter().collect();
    a.len() == b.len()
        && a.iter().all(|item| match rest.iter().position(|other| *other == item) {
            Some(at) => {
                rest.swap_remove(at);
                true
            }
            None => false,
        })
}

/// Exact set match of two comparable queries.
pub(super) fn exact(predicted: &Query, gold: &Query) -> bool {
    let name = |unit: &ColumnUnit| unit.1.split_once('.').map_or(unit.1.as_str(), |(_, column)| column).to_owned();
    let names = |query: &Query| query.groups.iter().map(name).collect::<Vec<_>>();
    let whole = |query: &Query| query.groups.iter().map(|unit| unit.1.clone()).collect::<Vec<_>>();
    let words = |query: &Query| query.filter.words.iter().cloned().collect::<BTreeSet<_>>();
    let grouped = !predicted.groups.is_empty();
    let groups = grouped != gold.groups.is_empty()
        && (!grouped || (whole(predicted) == whole(gold) && predicted.having == gold.having));
    let orders = match (&predicted.order, &gold.order) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b && predicted.limit == gold.limit,
        _ => false,
    };
    let nested =
        [(&predicted.intersect, &gold.intersect), (&predicted.except, &gold.except), (&predicted.union, &gold.union)];
    // The three are counted together: as many on both sides, and all of them matched.
    let left = nested.iter().filter(|(own, _)| own.is_some()).count();
    let right = nested.iter().filter(|(_, other)| other.is_some()).count();
    let matched = nested.iter().filter(|(a, b)| matches!((a, b), (Some(a), Some(b)) if exact(a, b))).count();
    same_bag(&predicted.select, &gold.select)
        && same_bag(&predicted.filter.tests, &gold.filter.tests)
        && same_bag(&names(predicted), &names(gold))
        && groups
        && orders
        && words(predicted) == words(gold)
        && left == right
        && matched == left
        && keywords(predicted) == keywords(gold)
        && (gold.tables.is_empty() || same_bag(&predicted.tables, &gold.tables))
}

fn keywords(query: &Query) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let all = [&query.joins, &query.filter, &query.having];
    let any = |test: &dyn Fn(&Tests) -> bool| all.iter().any(|tests| test(tests));
    let uses = |word: &str| any(&|tests| tests.tests.iter().any(|test| TESTS[test.operator] == word));
    let mut add = |present: bool, word: &str| {
        if present {
            found.insert(word.to_owned());
        }
    };
    add(query.filter.len() > 0, "where");
    add(!query.groups.is_empty(), "group");
    add(query.having.len() > 0, "having");
    if let Some((direction, _)) = &query.order {
        add(true, direction);
        add(true, "order");
    }
    add(query.limit, "limit");
    add(query.except.is_some(), "except");
    add(query.union.is_some(), "union");
    add(query.intersect.is_some(), "intersect");
    add(any(&|tests| tests.words.iter().any(|word| word == "or")), "or");
    add(any(&|tests| tests.tests.iter().any(|test| test.not)), "not");
    add(uses("in"), "in");
    add(uses("like"), "like");
    found
}

/// `easy`, `medium`, `hard` or `extra`, by the counts of the evaluator.
pub(super) fn hardness(query: &Query) -> &'static str {
    let all = [&query.joins, &query.filter, &query.having];
    let likes = |tests: &&Tests| tests.tests.iter().filter(|test| TESTS[test.operator] == "like").count();
    let first = usize::from(query.filter.len() > 0)
        + usize::from(!query.groups.is_empty())
        + usize::from(query.order.is_some())
        + usize::from(query.limit)
        + query.tables.len().saturating_sub(1)
        + all.iter().map(|tests| tests.words.iter().filter(|word| *word == "or").count()).sum::<usize>()
        + all.iter().map(likes).sum::<usize>();
    let queries = |tests: &&Tests| {
        let is_query = |operand: &Option<Operand>| matches!(operand, Some(Operand::Query(_)));
        tests
            .tests
            .iter()
            .map(|test| usize::from(is_query(&test.first)) + usize::from(is_query(&test.second)))
            .sum::<usize>()
    };
    let second = all.iter().map(queries).sum::<usize>()
        + [&query.intersect, &query.except, &query.union].iter().filter(|other| other.is_some()).count();
    // A NOT counts as an aggregate, and so does every word between the conditions of HAVING: the evaluator looks at the
    // first item of whatever it is given.
    let mut aggregates = query.select.iter().filter(|(aggregate, _)| *aggregate != 0).count()
        + query.filter.tests.iter().filter(|test| test.not).count()
        + query.groups.iter().filter(|unit| unit.0 != 0).count()
        + query.having.tests.iter().filter(|test| test.not).count()
        + query.having.words.len();
    if let Some((_, units)) = &query.order {
        aggregates += units.iter().filter(|unit| unit.1.0 != 0).count();
        aggregates += units.iter().filter(|unit| unit.2.as_ref().is_some_and(|other| other.0 != 0)).count();
    }
    let others = usize::from(aggregates > 1)
        + usize::from(query.select.len() > 1)
        + usize::from(query.filter.len() > 1)
        + usize::from(query.groups.len() > 1);
    match (first, others, second) {
        (0..=1, 0, 0) => "easy",
        (0..=1, 0..=2, 0) | (0..=2, 0..=1, 0) => "medium",
        (0..=2, 3.., 0) | (3, 0..=2, 0) | (0..=1, 0, 0..=1) => "hard",
        _ => "extra",
    }
}
