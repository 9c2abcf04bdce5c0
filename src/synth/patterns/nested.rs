//! Scalar and correlated subqueries.

use super::joins::{family, labelled};
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, where_clause};
use crate::synth::maker::Maker;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("above average", Hard, above_average),
    pattern("count above average", Hard, count_above_average),
    pattern("extreme rows", Hard, extreme_rows),
    pattern("above group average", Extra, above_group_average),
    pattern("best of group", Extra, best_of_group),
    pattern("above parent average", Extra, above_parent_average),
    pattern("count as column", Extra, count_as_column),
    pattern("second highest", Extra, second_highest),
    pattern("same as", Extra, same_as),
    pattern("cte above average", Extra, cte_above_average),
    pattern("cte average of counts", Extra, cte_average_of_counts),
    pattern("cte two steps", Extra, cte_two_steps),
];

fn above_average_of(maker: &mut Maker<'_>, counted: bool) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let above = maker.draws.chance(0.65);
    let condition = maker.maybe(0.2, table, false, &[column]).filter(|condition| !condition.loose);
    let (operator, word) = if above { (">", "above") } else { ("<", "below") };
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let extra = condition.as_ref().map(|condition| format!(" AND {}", condition.sql)).unwrap_or_default();
    let test = format!("{name} {operator} (SELECT AVG({name}) FROM {from}){extra}");
    let (what, key, columns) = if counted {
        let key = if above { "count above average" } else { "count below average" };
        ("COUNT(*)".to_owned(), key, None)
    } else {
        let shown = maker.shown(table, false)?;
        let key = match (shown.columns.is_some(), above) {
            (true, true) => "columns above average",
            (true, false) => "columns below average",
            (false, true) => "rows above average",
            (false, false) => "rows below average",
        };
        (shown.sql, key, shown.columns)
    };
    let sql = format!("SELECT {what} FROM {from} WHERE {test}");
    let mut phrase = Phrase::new(key).table("table", table).column("column", table, column).given(condition.as_ref());
    if let Some(columns) = columns {
        phrase = phrase.with("columns", columns);
    }
    Some(Draft::new(sql, phrase).part(word).given(condition.as_ref()))
}

fn above_average(maker: &mut Maker<'_>) -> Option<Draft> {
    above_average_of(maker, false)
}

fn count_above_average(maker: &mut Maker<'_>) -> Option<Draft> {
    above_average_of(maker, true)
}

fn extreme_rows(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let highest = maker.draws.chance(0.6);
    let (function, key) = if highest { ("MAX", "all with highest") } else { ("MIN", "all with lowest") };
    let shown = maker.shown_columns(table, false)?;
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let sql = format!("SELECT {} FROM {from} WHERE {name} = (SELECT {function}({name}) FROM {from})", shown.sql);
    let phrase = Phrase::new(key).table("table", table).column("column", table, column).with("columns", shown.columns?);
    Some(Draft::new(sql, phrase).part(key))
}

/// A subquery over the same table needs names: `a` is the row looked at, `b` the others.
fn above_group_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let (label, group, column) = (maker.label(table)?, maker.grouping(table)?, maker.number(table)?);
    let above = maker.draws.chance(0.7);
    let (operator, key) = if above { (">", "above group average") } else { ("<", "below group average") };
    let (name, by, from) = (maker.bare(table, column), maker.bare(table, group), maker.name(table));
    let sql = format!(
        "SELECT a.{} FROM {from} AS a WHERE a.{name} {operator} (SELECT AVG(b.{name}) FROM {from} AS b WHERE b.{by} = a.{by})",
        maker.bare(table, label)
    );
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .column("column", table, column);
    Some(Draft::new(sql, phrase).part(key))
}

fn best_of_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let (label, group, column) = (maker.label(table)?, maker.grouping(table)?, maker.number(table)?);
    let highest = maker.draws.chance(0.7);
    let (function, key) = if highest { ("MAX", "highest of group") } else { ("MIN", "lowest of group") };
    let (name, by, from) = (maker.bare(table, column), maker.bare(table, group), maker.name(table));
    let sql = format!(
        "SELECT a.{by}, a.{} FROM {from} AS a WHERE a.{name} = (SELECT {function}(b.{name}) FROM {from} AS b WHERE b.{by} = a.{by})",
        maker.bare(table, label)
    );
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .column("column", table, column);
    Some(Draft::new(sql, phrase).part(key))
}

/// Children above the average of their own parent's children.
fn above_parent_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let column = maker.number(edge.child)?;
    let above = maker.draws.chance(0.7);
    let (operator, key) = if above { (">", "above parent average") } else { ("<", "below parent average") };
    let (name, by) = (maker.bare(edge.child, column), maker.bare(edge.child, edge.child_column));
    let from = maker.name(edge.child);
    let sql = format!(
        "SELECT a.* FROM {from} AS a WHERE a.{name} {operator} (SELECT AVG(b.{name}) FROM {from} AS b WHERE b.{by} = a.{by})"
    );
    Some(Draft::new(sql, family(key, edge).column("column", edge.child, column)).part(key))
}

fn count_as_column(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let condition = maker.maybe(0.6, edge.child, true, &[]);
    let also = crate::synth::draft::and_clause(condition.as_ref());
    let sql = format!(
        "SELECT {}, (SELECT COUNT(*) FROM {} WHERE {} = {}{also}) FROM {}",
        maker.bare(edge.parent, label),
        maker.name(edge.child),
        maker.dotted(edge.child, edge.child_column),
        maker.dotted(edge.parent, edge.parent_column),
        maker.name(edge.parent)
    );
    let phrase = family("count as column", edge).column("label", edge.parent, label).given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn second_highest(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let highest = maker.draws.chance(0.7);
    let (function, operator, key) =
        if highest { ("MAX", "<", "second highest") } else { ("MIN", ">", "second lowest") };
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let sql = format!(
        "SELECT {function}({name}) FROM {from} WHERE {name} {operator} (SELECT {function}({name}) FROM {from})"
    );
    Some(Draft::new(sql, Phrase::new(key).table("table", table).column("column", table, column)).part(key))
}

/// Others with the same category as a named row.
fn same_as(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let (label, group) = (maker.label(table)?, maker.grouping(table)?);
    if !maker.facts_of(table, label).unique {
        return None;
    }
    let value = maker.draws.pick(&maker.facts_of(table, label).values)?.clone();
    let (name, by, from) = (maker.bare(table, label), maker.bare(table, group), maker.name(table));
    let literal = maker.style.literal(&value);
    let sql = format!(
        "SELECT {name} FROM {from} WHERE {by} = (SELECT {by} FROM {from} WHERE {name} = {literal}) AND {name} <> {literal}"
    );
    let phrase = Phrase::new("same as")
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .value("value", value.said());
    Some(Draft::new(sql, phrase))
}

/// Parents whose total is above the average of all totals.
fn cte_above_average(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let sum = maker.summable(edge.child).filter(|_| maker.draws.chance(0.6));
    let measure = sum.map(|column| maker.aggregate_of("sum", edge.child, column, true));
    let what = measure.as_ref().map_or("COUNT(*)", |measure| measure.sql.as_str());
    let name = maker.bare(edge.parent, label);
    let sql = format!(
        "WITH totals AS (SELECT {}, {what} AS total FROM {} {} GROUP BY {}) \
         SELECT {name}, total FROM totals WHERE total > (SELECT AVG(total) FROM totals)",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let (phrase, part) = match measure {
        Some(measure) => (family("cte measure above average", edge).phrase("measure", measure.phrase), "sum"),
        None => (family("cte count above average", edge), "count"),
    };
    Some(Draft::new(sql, phrase.column("label", edge.parent, label)).part(part))
}

/// The average number of children, those with none left out.
fn cte_average_of_counts(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    if maker.facts_of(edge.child, edge.child_column).nulls > 0 {
        return None;
    }
    let condition = maker.maybe(0.25, edge.child, false, &[]);
    let by = maker.bare(edge.child, edge.child_column);
    let sum = maker.summable(edge.child).filter(|_| maker.draws.chance(0.5));
    let measure = sum.map(|column| maker.aggregate_of("sum", edge.child, column, false));
    let what = measure.as_ref().map_or("COUNT(*)", |measure| measure.sql.as_str());
    let sql = format!(
        "WITH totals AS (SELECT {by}, {what} AS total FROM {}{} GROUP BY {by}) SELECT AVG(total) FROM totals",
        maker.name(edge.child),
        where_clause(condition.as_ref())
    );
    let (phrase, part) = match measure {
        Some(measure) => (family("average of sums", edge).phrase("measure", measure.phrase), "sum"),
        None => (family("average of counts", edge), "count"),
    };
    Some(Draft::new(sql, phrase.given(condition.as_ref())).part(part).given(condition.as_ref()))
}

/// First the totals, then the best of a group of parents.
fn cte_two_steps(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.summable(edge.child)?;
    let (condition, _) = maker.simple(edge.parent, false, &[label])?;
    let measure = maker.aggregate_of("sum", edge.child, column, false);
    let by = maker.bare(edge.child, edge.child_column);
    let parent = maker.name(edge.parent);
    let key = maker.bare(edge.parent, edge.parent_column);
    let sql = format!(
        "WITH totals AS (SELECT {by} AS totals_key, {} AS total FROM {} GROUP BY {by}), \
         chosen AS (SELECT {key} AS chosen_key, {} AS chosen_name FROM {parent} WHERE {}) \
         SELECT chosen.chosen_name, totals.total FROM chosen JOIN totals ON totals.totals_key = chosen.chosen_key",
        measure.sql,
        maker.name(edge.child),
        maker.bare(edge.parent, label),
        condition.sql
    );
    let phrase = family("cte two steps", edge)
        .column("label", edge.parent, label)
        .phrase("measure", measure.phrase)
        .phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}
