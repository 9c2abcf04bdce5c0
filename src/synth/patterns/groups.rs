//! Groups of one table: counts, aggregates, HAVING, shares, duplicates.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, where_clause};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("count per group", Medium, count_per_group),
    pattern("aggregate per group", Medium, aggregate_per_group),
    pattern("two per group", Hard, two_per_group),
    pattern("most common", Medium, most_common),
    pattern("group top", Hard, group_top),
    pattern("having count", Hard, having_count),
    pattern("having aggregate", Hard, having_aggregate),
    pattern("two keys", Hard, two_keys),
    pattern("share per group", Extra, share_per_group),
    pattern("duplicates", Hard, duplicates),
    pattern("duplicate rows", Extra, duplicate_rows),
    pattern("both values", Extra, both_values),
];

fn count_per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let condition = maker.maybe(0.35, table, false, &[group]);
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {name}, COUNT(*) FROM {}{filter} GROUP BY {name}", maker.name(table));
    let phrase = Phrase::new("count per group").table("table", table).column("group", table, group);
    Some(Draft::new(sql, phrase.given(condition.as_ref())).given(condition.as_ref()))
}

fn aggregate_per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let measure = maker.aggregate(table, false)?;
    let condition = maker.maybe(0.3, table, false, &[group]);
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {name}, {} FROM {}{filter} GROUP BY {name}", measure.sql, maker.name(table));
    let phrase = Phrase::new("aggregate per group")
        .table("table", table)
        .column("group", table, group)
        .phrase("measure", measure.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(measure.kind).given(condition.as_ref()))
}

fn two_per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let measure = maker.aggregate(table, false)?;
    let condition = maker.maybe(0.3, table, false, &[group]);
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {name}, COUNT(*), {} FROM {}{filter} GROUP BY {name}", measure.sql, maker.name(table));
    let phrase = Phrase::new("two per group")
        .table("table", table)
        .column("group", table, group)
        .phrase("measure", measure.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(measure.kind).given(condition.as_ref()))
}

fn most_common(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let condition = maker.maybe(0.2, table, false, &[group]);
    let most = maker.draws.chance(0.75);
    let (word, key) = if most { (" DESC", "most common") } else { ("", "least common") };
    let (name, from) = (maker.bare(table, group), maker.name(table));
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {name} FROM {from}{filter} GROUP BY {name} ORDER BY COUNT(*){word} LIMIT 1");
    let ties = format!("SELECT COUNT(*) FROM {from}{filter} GROUP BY {name} ORDER BY COUNT(*){word} LIMIT 2");
    let phrase = Phrase::new(key).table("table", table).column("group", table, group).given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()).ties(ties, 1))
}

fn group_top(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    // A group of nothing but NULL would come first or last, depending on the dialect.
    let complete = |column: &ColumnFacts| column.role.is_number() && column.nulls == 0 && column.values.len() >= 2;
    let column = maker.column(table, complete)?;
    let kind = if maker.facts_of(table, column).adds_up() && maker.draws.chance(0.5) { "sum" } else { "avg" };
    let measure = maker.aggregate_of(kind, table, column, false);
    let condition = maker.maybe(0.2, table, false, &[group]);
    let most = maker.draws.chance(0.7);
    let (word, key) = if most { (" DESC", "group with highest") } else { ("", "group with lowest") };
    let (name, from) = (maker.bare(table, group), maker.name(table));
    let filter = where_clause(condition.as_ref());
    let order = format!("ORDER BY {}{word}", measure.sql);
    let sql = format!("SELECT {name} FROM {from}{filter} GROUP BY {name} {order} LIMIT 1");
    let ties = format!("SELECT {} FROM {from}{filter} GROUP BY {name} {order} LIMIT 2", measure.sql);
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("group", table, group)
        .phrase("measure", measure.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).part(measure.kind).given(condition.as_ref()).ties(ties, 1))
}

fn having_count(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let condition = maker.maybe(0.2, table, false, &[group]);
    let count = maker.draws.between(1, 6);
    let more = maker.draws.chance(0.6);
    let (operator, key) = if more { (">", "having more") } else { (">=", "having at least") };
    let count = if more { count } else { count + 1 };
    let name = maker.bare(table, group);
    let filter = where_clause(condition.as_ref());
    let sql =
        format!("SELECT {name} FROM {}{filter} GROUP BY {name} HAVING COUNT(*) {operator} {count}", maker.name(table));
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("group", table, group)
        .value("n", count)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()))
}

fn having_aggregate(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.number(table)?;
    let adds_up = maker.facts_of(table, column).adds_up();
    let kind = if adds_up && maker.draws.chance(0.5) { "sum" } else { "avg" };
    let measure = maker.aggregate_of(kind, table, column, false);
    let values = &maker.facts_of(table, column).values;
    let middle = values.get(values.len() / 2).and_then(crate::synth::Cell::number)?;
    let groups = maker.facts_of(table, group).values.len().max(1);
    let scale = if kind == "sum" { (maker.table(table).rows / groups).max(1) as f64 } else { 1.0 };
    let bound = middle * scale;
    let bound = if bound >= 100.0 { (bound / 10.0).round() * 10.0 } else { bound.round() };
    let above = maker.draws.chance(0.65);
    let (operator, key) = if above { (">", "having above") } else { ("<", "having below") };
    let name = maker.bare(table, group);
    let sql = format!(
        "SELECT {name}, {0} FROM {1} GROUP BY {name} HAVING {0} {operator} {bound}",
        measure.sql,
        maker.name(table)
    );
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("group", table, group)
        .phrase("measure", measure.phrase)
        .value("bound", bound);
    Some(Draft::new(sql, phrase).part(key).part(kind))
}

fn two_keys(maker: &mut Maker<'_>) -> Option<Draft> {
    let table =
        maker.table_where(|table| table.count(|column| matches!(column.role, Role::Category | Role::Year)) >= 2)?;
    let a = maker.grouping(table)?;
    let b = maker.grouping(table)?;
    if a == b {
        return None;
    }
    let (a_sql, b_sql) = (maker.bare(table, a), maker.bare(table, b));
    let counted = maker.draws.chance(0.5);
    let phrase = Phrase::new(if counted { "count per two" } else { "aggregate per two" })
        .table("table", table)
        .column("a", table, a)
        .column("b", table, b);
    let (measure, phrase, part) = if counted {
        ("COUNT(*)".to_owned(), phrase, "count")
    } else {
        let measure = maker.aggregate(table, false)?;
        (measure.sql, phrase.phrase("measure", measure.phrase), measure.kind)
    };
    let sql = format!("SELECT {a_sql}, {b_sql}, {measure} FROM {} GROUP BY {a_sql}, {b_sql}", maker.name(table));
    Some(Draft::new(sql, phrase).part(part))
}

fn share_per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let (name, from) = (maker.bare(table, group), maker.name(table));
    let sql = format!("SELECT {name}, 100.0 * COUNT(*) / (SELECT COUNT(*) FROM {from}) FROM {from} GROUP BY {name}");
    Some(Draft::new(sql, Phrase::new("share per group").table("table", table).column("group", table, group)))
}

fn may_repeat(maker: &mut Maker<'_>, table: usize) -> Option<usize> {
    maker.column(table, |column| {
        !column.unique
            && column.nulls == 0
            && matches!(column.role, Role::Label | Role::Email | Role::Code | Role::Phone | Role::Text)
    })
}

fn duplicates(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = may_repeat(maker, table)?;
    let name = maker.bare(table, column);
    let sql = format!("SELECT {name}, COUNT(*) FROM {} GROUP BY {name} HAVING COUNT(*) > 1", maker.name(table));
    let phrase = Phrase::new("duplicates").table("table", table).column("column", table, column);
    Some(Draft::new(sql, phrase).may_be_empty())
}

fn duplicate_rows(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = may_repeat(maker, table)?;
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let sql =
        format!("SELECT * FROM {from} WHERE {name} IN (SELECT {name} FROM {from} GROUP BY {name} HAVING COUNT(*) > 1)");
    let phrase = Phrase::new("duplicate rows").table("table", table).column("column", table, column);
    Some(Draft::new(sql, phrase).may_be_empty())
}

/// Groups that hold both of two values.
fn both_values(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let group = maker.grouping(table)?;
    let column = maker.grouping(table)?;
    let role = maker.facts_of(table, column).role;
    if group == column || role != Role::Category {
        return None;
    }
    let chosen = maker.draws.some(&maker.facts_of(table, column).values, 2);
    let [a, b] = chosen.as_slice() else { return None };
    let (name, value, from) = (maker.bare(table, group), maker.bare(table, column), maker.name(table));
    let (a_sql, b_sql) = (maker.style.literal(a), maker.style.literal(b));
    let sql = format!(
        "SELECT {name} FROM {from} WHERE {value} = {a_sql} INTERSECT SELECT {name} FROM {from} WHERE {value} = {b_sql}"
    );
    let phrase = Phrase::new("both values")
        .table("table", table)
        .column("group", table, group)
        .column("column", table, column)
        .value("a", a.said())
        .value("b", b.said());
    Some(Draft::new(sql, phrase))
}
