//! Windows: ranks, running totals, shares, neighbours, the first few of each group.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("rank", Extra, rank),
    pattern("rank in group", Extra, rank_in_group),
    pattern("running total", Extra, running_total),
    pattern("share of total", Extra, share_of_total),
    pattern("beside group average", Extra, beside_group_average),
    pattern("previous value", Extra, previous_value),
    pattern("moving average", Extra, moving_average),
    pattern("top of each group", Extra, top_of_each_group),
    pattern("latest of each parent", Extra, latest_of_each_parent),
    pattern("running total per month", Extra, running_total_per_month),
];

fn ranked(maker: &mut Maker<'_>) -> Option<(usize, usize, usize)> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let column =
        maker.column(table, |column| column.role.is_number() && column.nulls == 0 && column.values.len() >= 3)?;
    Some((table, label, column))
}

fn said(key: &'static str, table: usize, label: usize, column: usize) -> Phrase {
    Phrase::new(key).table("table", table).column("label", table, label).column("column", table, column)
}

fn rank(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, label, column) = ranked(maker)?;
    let dense = maker.draws.chance(0.25);
    let (function, key) = if dense { ("DENSE_RANK", "rank without gaps") } else { ("RANK", "rank") };
    let (name, value) = (maker.bare(table, label), maker.bare(table, column));
    let sql = format!("SELECT {name}, {value}, {function}() OVER (ORDER BY {value} DESC) FROM {}", maker.name(table));
    Some(Draft::new(sql, said(key, table, label, column)).part(key))
}

fn rank_in_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, label, column) = ranked(maker)?;
    let group = maker.grouping(table)?;
    let (name, value, by) = (maker.bare(table, label), maker.bare(table, column), maker.bare(table, group));
    let sql = format!(
        "SELECT {name}, {by}, {value}, RANK() OVER (PARTITION BY {by} ORDER BY {value} DESC) FROM {}",
        maker.name(table)
    );
    Some(Draft::new(sql, said("rank in group", table, label, column).column("group", table, group)))
}

/// A table with a day and a number; the number and the day.
fn dated(maker: &mut Maker<'_>) -> Option<(usize, usize, usize)> {
    let table = maker.any_table()?;
    let date = maker.column(table, |column| column.role.is_date() && column.nulls == 0)?;
    let column = maker.column(table, |column| column.adds_up() && column.nulls == 0)?;
    Some((table, date, column))
}

fn dated_phrase(key: &'static str, table: usize, date: usize, column: usize) -> Phrase {
    Phrase::new(key).table("table", table).column("date", table, date).column("column", table, column)
}

fn running_total(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date, column) = dated(maker)?;
    if !maker.facts_of(table, date).unique {
        return None;
    }
    let (day, value) = (maker.bare(table, date), maker.bare(table, column));
    let sql = format!("SELECT {day}, {value}, SUM({value}) OVER (ORDER BY {day}) FROM {}", maker.name(table));
    Some(Draft::new(sql, dated_phrase("running total", table, date, column)))
}

fn running_total_per_month(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date, column) = dated(maker)?;
    let (month, value) = (maker.style.month(&maker.bare(table, date)), maker.bare(table, column));
    let sql = format!(
        "WITH monthly AS (SELECT {month} AS month, SUM({value}) AS total FROM {} GROUP BY {month}) \
         SELECT month, total, SUM(total) OVER (ORDER BY month) FROM monthly",
        maker.name(table)
    );
    Some(Draft::new(sql, dated_phrase("running total per month", table, date, column)))
}

fn share_of_total(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let column = maker.column(table, |column| column.adds_up() && column.nulls == 0 && column.values.len() >= 3)?;
    let value = maker.bare(table, column);
    let sql = format!(
        "SELECT {}, 100.0 * {value} / SUM({value}) OVER () FROM {}",
        maker.bare(table, label),
        maker.name(table)
    );
    Some(Draft::new(sql, said("share of total", table, label, column)))
}

fn beside_group_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, label, column) = ranked(maker)?;
    let group = maker.grouping(table)?;
    let (name, value, by) = (maker.bare(table, label), maker.bare(table, column), maker.bare(table, group));
    let sql = format!("SELECT {name}, {value}, AVG({value}) OVER (PARTITION BY {by}) FROM {}", maker.name(table));
    Some(Draft::new(sql, said("beside group average", table, label, column).column("group", table, group)))
}

fn previous_value(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date, column) = dated(maker)?;
    if !maker.facts_of(table, date).unique {
        return None;
    }
    let difference = maker.draws.chance(0.5);
    let (day, value) = (maker.bare(table, date), maker.bare(table, column));
    let (what, key) = if difference {
        (format!("{value} - LAG({value}) OVER (ORDER BY {day})"), "change from previous")
    } else {
        (format!("LAG({value}) OVER (ORDER BY {day})"), "previous value")
    };
    let sql = format!("SELECT {day}, {value}, {what} FROM {}", maker.name(table));
    Some(Draft::new(sql, dated_phrase(key, table, date, column)).part(key))
}

fn moving_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date, column) = dated(maker)?;
    if !maker.facts_of(table, date).unique {
        return None;
    }
    let rows = *maker.draws.pick(&[3, 5, 7])?;
    let (day, value) = (maker.bare(table, date), maker.bare(table, column));
    let sql = format!(
        "SELECT {day}, AVG({value}) OVER (ORDER BY {day} ROWS BETWEEN {} PRECEDING AND CURRENT ROW) FROM {}",
        rows - 1,
        maker.name(table)
    );
    Some(Draft::new(sql, dated_phrase("moving average", table, date, column).value("n", rows)))
}

fn top_of_each_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, label, column) = ranked(maker)?;
    let group = maker.grouping(table)?;
    let values = maker.facts_of(table, column);
    if !values.unique {
        return None;
    }
    let count = *maker.draws.pick(&[1, 2, 3, 3])?;
    let (name, value, by) = (maker.bare(table, label), maker.bare(table, column), maker.bare(table, group));
    let sql = format!(
        "SELECT {by}, {name}, {value} FROM (SELECT {by}, {name}, {value}, \
         ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {value} DESC) AS position FROM {}) AS ranked WHERE position <= {count}",
        maker.name(table)
    );
    let key = if count == 1 { "top one of each group" } else { "top of each group" };
    let phrase = said(key, table, label, column).column("group", table, group);
    let phrase = if count == 1 { phrase } else { phrase.value("n", count) };
    Some(Draft::new(sql, phrase).part(key))
}

/// The latest child of every parent; of two on the same day the one with the highest key.
fn latest_of_each_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let key = maker.table(edge.child).key?;
    let date = maker.column(edge.child, |column| column.role.is_date() && column.nulls == 0)?;
    if maker.facts_of(edge.child, key).role != Role::Key || maker.facts_of(edge.child, edge.child_column).nulls > 0 {
        return None;
    }
    let (by, day, key) =
        (maker.bare(edge.child, edge.child_column), maker.bare(edge.child, date), maker.bare(edge.child, key));
    let others: Vec<String> = maker
        .columns(edge.child, |column| column.role.is_number())
        .into_iter()
        .take(1)
        .map(|column| maker.bare(edge.child, column))
        .collect();
    let shown = [vec![by.clone(), key.clone(), day.clone()], others].concat().join(", ");
    let sql = format!(
        "SELECT {shown} FROM (SELECT {shown}, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {day} DESC, {key} DESC) \
         AS position FROM {}) AS ranked WHERE position = 1",
        maker.name(edge.child)
    );
    let phrase = Phrase::new("latest of each parent")
        .table("child", edge.child)
        .table("parent", edge.parent)
        .column("date", edge.child, date);
    Some(Draft::new(sql, phrase))
}
