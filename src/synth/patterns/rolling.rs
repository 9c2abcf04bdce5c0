//! Parents and days by what happened lately: rolling periods together with joins, HAVING and a balance.

use super::dates::period;
use super::joins::{family, labelled};
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::evidence;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("recent rows", Hard, recent_rows),
    pattern("parents by recent sum", Extra, parents_by_recent_sum),
    pattern("recent measure per parent", Extra, recent_measure),
    pattern("recent per day", Hard, recent_per_day),
    pattern("old children", Extra, old_children),
    pattern("balance", Extra, balance),
    pattern("two having", Extra, two_having),
];

/// Rows of a period that meet a condition.
fn recent_rows(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let date = maker.date(table)?;
    let shown = maker.shown(table, false)?;
    let condition = maker.equal(table, false)?;
    let (test, period, unit) = period(maker, table, date, false)?;
    let sql = format!("SELECT {} FROM {} WHERE {} AND {test}", shown.sql, maker.name(table), condition.sql);
    let phrase = match shown.columns {
        Some(columns) => Phrase::new("period columns").with("columns", columns),
        None => Phrase::new("period rows"),
    };
    let phrase = phrase.table("table", table).phrase("period", period).given(Some(&condition));
    Some(Draft::new(sql, phrase).part(unit).may_be_empty())
}

/// What `count` rows of a table sum up to, as people would say it.
fn bound(maker: &Maker<'_>, table: usize, column: usize, count: usize) -> Option<f64> {
    let values = &maker.facts_of(table, column).values;
    let middle = values.get(values.len() / 2).and_then(crate::synth::Cell::number)?;
    let bound = middle * count.max(1) as f64;
    Some(if bound >= 100.0 { (bound / 50.0).round() * 50.0 } else { bound.round().max(1.0) })
}

fn parents_by_recent_sum(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let date = maker.date(edge.child)?;
    let column = maker.summable(edge.child)?;
    let measure = maker.aggregate_of("sum", edge.child, column, true);
    let bound = bound(maker, edge.child, column, 2)?;
    let (test, period, unit) = period(maker, edge.child, date, true)?;
    let sql = format!(
        "SELECT {} FROM {} {} WHERE {test} GROUP BY {} HAVING {} > {bound}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label),
        measure.sql
    );
    let phrase = family("parents by recent sum", edge)
        .column("label", edge.parent, label)
        .phrase("measure", measure.phrase)
        .phrase("period", period)
        .value("bound", bound);
    Some(Draft::new(sql, phrase).part(unit).may_be_empty())
}

fn recent_measure(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let date = maker.date(edge.child)?;
    let measure = maker.aggregate(edge.child, true)?;
    let (test, period, unit) = period(maker, edge.child, date, true)?;
    let sql = format!(
        "SELECT {}, {} FROM {} {} WHERE {test} GROUP BY {}",
        maker.dotted(edge.parent, label),
        measure.sql,
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let phrase = family("recent measure per parent", edge)
        .column("label", edge.parent, label)
        .phrase("measure", measure.phrase)
        .phrase("period", period);
    Some(Draft::new(sql, phrase).part(unit).part(measure.kind).may_be_empty())
}

fn recent_per_day(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let date = maker.date(table)?;
    let name = maker.bare(table, date);
    let by = if maker.facts_of(table, date).role == Role::Timestamp { maker.style.day(&name) } else { name };
    let measure = maker.aggregate(table, false).filter(|measure| measure.kind == "sum");
    let (test, period, unit) = period(maker, table, date, false)?;
    let (what, phrase) = match measure {
        Some(measure) => (measure.sql, Phrase::new("recent sum per day").phrase("measure", measure.phrase)),
        None => ("COUNT(*)".into(), Phrase::new("recent count per day")),
    };
    let sql = format!("SELECT {by}, {what} FROM {} WHERE {test} GROUP BY {by}", maker.name(table));
    let key = phrase.key;
    Some(Draft::new(sql, phrase.table("table", table).phrase("period", period)).part(unit).part(key).may_be_empty())
}

/// Parents with a child of one kind that is older than so many days.
fn old_children(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let date = maker.date(edge.child)?;
    let condition = maker.equal(edge.child, true)?;
    let count = *maker.draws.pick(&[3, 7, 10, 14, 15, 30, 60])?;
    let sql = format!(
        "SELECT DISTINCT {} FROM {} {} WHERE {} AND {} < {}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        condition.sql,
        maker.dotted(edge.child, date),
        maker.style.ago(count, "days")
    );
    let phrase = family("old children", edge)
        .column("label", edge.parent, label)
        .column("date", edge.child, date)
        .value("n", count)
        .given(Some(&condition));
    Some(Draft::new(sql, phrase))
}

/// Parents with more than so many children whose money of one kind outweighs the rest.
fn balance(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let child = edge.child;
    let money = maker.column(child, |column| column.adds_up() && column.nulls == 0 && column.values.len() >= 2)?;
    let kind = maker.column(child, |column| column.role == Role::Category && column.values.len() >= 2)?;
    let value = maker.draws.pick(&maker.facts_of(child, kind).values)?;
    let count = maker.draws.between(1, 3);
    let (sum, case, literal) = (maker.dotted(child, money), maker.dotted(child, kind), maker.style.literal(value));
    let dated = maker.draws.chance(0.4);
    let period = if dated {
        let date = maker.date(child)?;
        Some(period(maker, child, date, true)?)
    } else {
        None
    };
    let filter = period.as_ref().map(|(test, ..)| format!(" WHERE {test}")).unwrap_or_default();
    let sql = format!(
        "SELECT {} FROM {} {}{filter} GROUP BY {} HAVING COUNT(*) > {count} \
         AND SUM(CASE WHEN {case} = {literal} THEN {sum} ELSE -{sum} END) > 0",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let term = *maker.draws.pick(evidence::words("balance"))?;
    let told = Phrase::new("evidence balance")
        .words("term", term)
        .code("money", maker.bare(child, money))
        .code("kind", maker.bare(child, kind))
        .code("code", literal);
    let key = if dated { "balance in period" } else { "balance" };
    let mut phrase = family(key, edge).column("label", edge.parent, label).value("n", count).words("term", term);
    if let Some((_, period, _)) = period {
        phrase = phrase.phrase("period", period);
    }
    let draft = Draft::new(sql, phrase).part(key).evidence(told);
    Some(if dated { draft.may_be_empty() } else { draft })
}

fn two_having(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.summable(edge.child)?;
    let measure = maker.aggregate_of("sum", edge.child, column, true);
    let count = maker.draws.between(1, 3);
    let bound = bound(maker, edge.child, column, count as usize)?;
    let sql = format!(
        "SELECT {} FROM {} {} GROUP BY {} HAVING COUNT(*) > {count} AND {} > {bound}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label),
        measure.sql
    );
    let phrase = family("two having", edge)
        .column("label", edge.parent, label)
        .phrase("measure", measure.phrase)
        .value("n", count)
        .value("bound", bound);
    Some(Draft::new(sql, phrase))
}
