//! More figures about one table: several at once, differences, rounding, groups in order, groups counted.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, where_clause};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("count and aggregate", Medium, count_and_aggregate),
    pattern("three aggregates", Medium, three_aggregates),
    pattern("spread", Hard, spread),
    pattern("rounded average", Medium, rounded_average),
    pattern("groups counted", Extra, groups_counted),
    pattern("different per group", Hard, different_per_group),
    pattern("side by side per group", Extra, pivot),
    pattern("sum share per group", Extra, sum_share),
    pattern("count per group sorted", Hard, count_sorted),
    pattern("aggregate per group sorted", Hard, aggregate_sorted),
    pattern("top groups", Hard, top_groups),
    pattern("column difference", Hard, column_difference),
    pattern("one column above another", Hard, column_above),
    pattern("pairs with the same", Extra, pairs),
    pattern("groups without", Extra, groups_without),
    pattern("groups with both sides", Extra, both_sides),
];

fn count_and_aggregate(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let measure = maker.aggregate(table, false)?;
    let condition = maker.maybe(0.4, table, false, &[]);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT COUNT(*), {} FROM {}{filter}", measure.sql, maker.name(table));
    let phrase = Phrase::new("count and aggregate").table("table", table).phrase("measure", measure.phrase);
    Some(Draft::new(sql, phrase.given(condition.as_ref())).part(measure.kind).given(condition.as_ref()))
}

fn three_aggregates(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let kinds = *maker.draws.pick(&[["min", "avg", "max"], ["max", "min", "avg"], ["avg", "min", "max"]])?;
    let [a, b, c] = kinds.map(|kind| maker.aggregate_of(kind, table, column, false));
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {}, {}, {} FROM {}{filter}", a.sql, b.sql, c.sql, maker.name(table));
    let phrase = Phrase::new("three aggregates")
        .table("table", table)
        .phrase("a", a.phrase)
        .phrase("b", b.phrase)
        .phrase("c", c.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(kinds.join("+")).given(condition.as_ref()))
}

/// The highest less the lowest.
fn spread(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let name = maker.bare(table, column);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT MAX({name}) - MIN({name}) FROM {}{filter}", maker.name(table));
    let phrase = Phrase::new("spread").table("table", table).column("column", table, column).given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn rounded_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let filter = where_clause(condition.as_ref());
    let average = maker.style.rounded(&format!("AVG({})", maker.bare(table, column)), 2);
    let sql = format!("SELECT {average} FROM {}{filter}", maker.name(table));
    let phrase = Phrase::new("rounded average")
        .table("table", table)
        .column("column", table, column)
        .value("n", 2)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

/// In how many groups there are more than so many rows.
fn groups_counted(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let count = maker.draws.between(1, 5);
    let name = maker.bare(table, group);
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT {name} FROM {} GROUP BY {name} HAVING COUNT(*) > {count}) AS groups_found",
        maker.name(table)
    );
    let phrase = Phrase::new("groups counted").table("table", table).column("group", table, group).value("n", count);
    Some(Draft::new(sql, phrase))
}

fn different_per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
    if column == group {
        return None;
    }
    let (by, name) = (maker.bare(table, group), maker.bare(table, column));
    let sql = format!("SELECT {by}, COUNT(DISTINCT {name}) FROM {} GROUP BY {by}", maker.name(table));
    let phrase = Phrase::new("different per group")
        .table("table", table)
        .column("group", table, group)
        .column("column", table, column);
    Some(Draft::new(sql, phrase))
}

/// Two values of a category counted beside each other for every group.
fn pivot(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
    if column == group {
        return None;
    }
    let chosen = maker.draws.some(&maker.facts_of(table, column).values, 2);
    let [a, b] = chosen.as_slice() else { return None };
    let (by, name) = (maker.bare(table, group), maker.bare(table, column));
    let case = |value| format!("SUM(CASE WHEN {name} = {} THEN 1 ELSE 0 END)", maker.style.literal(value));
    let sql = format!("SELECT {by}, {}, {} FROM {} GROUP BY {by}", case(a), case(b), maker.name(table));
    let phrase = Phrase::new("side by side per group")
        .table("table", table)
        .column("group", table, group)
        .column("column", table, column)
        .value("a", a.said())
        .value("b", b.said());
    Some(Draft::new(sql, phrase))
}

fn sum_share(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.column(table, |column| column.adds_up() && column.values.len() >= 3)?;
    let (by, name, from) = (maker.bare(table, group), maker.bare(table, column), maker.name(table));
    let sql = format!("SELECT {by}, 100.0 * SUM({name}) / (SELECT SUM({name}) FROM {from}) FROM {from} GROUP BY {by}");
    let phrase = Phrase::new("sum share per group")
        .table("table", table)
        .column("group", table, group)
        .column("column", table, column);
    Some(Draft::new(sql, phrase))
}

fn count_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let condition = maker.maybe(0.25, table, false, &[group]);
    let most = maker.draws.chance(0.75);
    let (word, key) = if most { (" DESC", "count per group sorted") } else { ("", "count per group sorted up") };
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql =
        format!("SELECT {name}, COUNT(*) FROM {}{filter} GROUP BY {name} ORDER BY COUNT(*){word}", maker.name(table));
    let phrase = Phrase::new(key).table("table", table).column("group", table, group).given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()))
}

fn aggregate_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let measure = maker.aggregate(table, false)?;
    let condition = maker.maybe(0.25, table, false, &[group]);
    let most = maker.draws.chance(0.75);
    let (word, key) =
        if most { (" DESC", "aggregate per group sorted") } else { ("", "aggregate per group sorted up") };
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql = format!(
        "SELECT {name}, {0} FROM {1}{filter} GROUP BY {name} ORDER BY {0}{word}",
        measure.sql,
        maker.name(table)
    );
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("group", table, group)
        .phrase("measure", measure.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).part(measure.kind).given(condition.as_ref()))
}

/// The few groups with the most rows, with or without their number.
fn top_groups(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let count = *maker.draws.pick(&[2usize, 3, 3, 5])?;
    let counted = maker.draws.chance(0.5);
    let (name, from) = (maker.bare(table, group), maker.name(table));
    let (what, key) = if counted { (", COUNT(*)", "top groups counted") } else { ("", "top groups") };
    let order = format!("FROM {from} GROUP BY {name} ORDER BY COUNT(*) DESC LIMIT");
    let sql = format!("SELECT {name}{what} {order} {count}");
    let ties = format!("SELECT COUNT(*) {order} {}", count + 1);
    let phrase = Phrase::new(key).table("table", table).column("group", table, group).value("n", count);
    Some(Draft::new(sql, phrase).part(key).ties(ties, count))
}

/// Two amounts of money of one table.
fn two_amounts(maker: &mut Maker<'_>) -> Option<(usize, usize, usize)> {
    let role = *maker.draws.pick(&[Role::Money, Role::Quantity, Role::Measure])?;
    let amount = |column: &ColumnFacts| column.role == role && column.nulls == 0;
    let table = maker.table_where(|table| table.count(amount) >= 2)?;
    let columns = maker.columns(table, amount);
    let chosen = maker.draws.some(&columns, 2);
    let [a, b] = chosen.as_slice() else { return None };
    Some((table, *a, *b))
}

fn column_difference(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, a, b) = two_amounts(maker)?;
    let label = maker.label(table)?;
    let sql = format!(
        "SELECT {}, {} - {} FROM {}",
        maker.bare(table, label),
        maker.bare(table, a),
        maker.bare(table, b),
        maker.name(table)
    );
    let phrase = Phrase::new("column difference")
        .table("table", table)
        .column("label", table, label)
        .column("a", table, a)
        .column("b", table, b);
    Some(Draft::new(sql, phrase))
}

fn column_above(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, a, b) = two_amounts(maker)?;
    let shown = maker.shown(table, false)?;
    let sql = format!(
        "SELECT {} FROM {} WHERE {} > {}",
        shown.sql,
        maker.name(table),
        maker.bare(table, a),
        maker.bare(table, b)
    );
    let phrase = match shown.columns {
        Some(columns) => Phrase::new("columns where above").with("columns", columns),
        None => Phrase::new("rows where above"),
    };
    Some(Draft::new(sql, phrase.table("table", table).column("a", table, a).column("b", table, b)))
}

/// Two rows of the same group, each pair once.
fn pairs(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let (label, group) = (maker.label(table)?, maker.grouping(table)?);
    let key = maker.table(table).key?;
    let (name, by, key, from) =
        (maker.bare(table, label), maker.bare(table, group), maker.bare(table, key), maker.name(table));
    let sql =
        format!("SELECT a.{name}, b.{name} FROM {from} AS a JOIN {from} AS b ON a.{by} = b.{by} AND a.{key} < b.{key}");
    let phrase = Phrase::new("pairs with the same")
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group);
    Some(Draft::new(sql, phrase))
}

/// Groups none of whose rows meets a condition.
fn groups_without(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let (condition, _) = maker.simple(table, false, &[group])?;
    let (name, from) = (maker.bare(table, group), maker.name(table));
    let sql = format!("SELECT {name} FROM {from} EXCEPT SELECT {name} FROM {from} WHERE {}", condition.sql);
    let phrase = Phrase::new("groups without")
        .table("table", table)
        .column("group", table, group)
        .phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}

/// Groups that have rows above one bound and rows below another.
fn both_sides(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.number(table)?;
    let numbers: Vec<f64> =
        maker.facts_of(table, column).values.iter().filter_map(crate::synth::Cell::number).collect();
    let (low, high) = (numbers.get(numbers.len() / 3)?.round(), numbers.get(numbers.len() * 2 / 3)?.round());
    if low >= high {
        return None;
    }
    let (name, value, from) = (maker.bare(table, group), maker.bare(table, column), maker.name(table));
    let sql = format!(
        "SELECT {name} FROM {from} WHERE {value} > {high} INTERSECT SELECT {name} FROM {from} WHERE {value} < {low}"
    );
    let phrase = Phrase::new("groups with both sides")
        .table("table", table)
        .column("group", table, group)
        .column("column", table, column)
        .value("high", high)
        .value("low", low);
    Some(Draft::new(sql, phrase))
}
