//! Rows with and without partners: IN, EXISTS, NOT EXISTS, LEFT JOIN … IS NULL, EXCEPT.

use super::joins::{both_sides, family, labelled};
use super::{Pattern, pattern};
use crate::synth::draft::{Condition, Difficulty::*, Draft, Phrase, and_clause};
use crate::synth::facts::Edge;
use crate::synth::maker::Maker;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("never", Hard, never),
    pattern("without", Hard, without),
    pattern("not among", Hard, not_among),
    pattern("with any", Medium, with_any),
    pattern("exists", Hard, exists),
    pattern("count without", Hard, count_without),
    pattern("both conditions", Hard, both_conditions),
    pattern("inactive since", Extra, inactive),
    pattern("all of them", Extra, all_of_them),
];

/// What a query shows of the parent: whole rows or its label.
fn parent_shown(maker: &mut Maker<'_>, edge: Edge, dotted: bool) -> Option<(String, Option<usize>)> {
    if maker.draws.chance(0.45) {
        let sql = if dotted { format!("{}.*", maker.name(edge.parent)) } else { "*".into() };
        return Some((sql, None));
    }
    let label = maker.label(edge.parent)?;
    Some((maker.column_sql(edge.parent, label, dotted), Some(label)))
}

fn say(keys: (&'static str, &'static str), edge: Edge, label: Option<usize>, condition: Option<&Condition>) -> Phrase {
    match label {
        Some(label) => family(keys.1, edge).column("label", edge.parent, label).given(condition),
        None => family(keys.0, edge).given(condition),
    }
}

fn link(maker: &Maker<'_>, edge: Edge) -> String {
    format!("{} = {}", maker.dotted(edge.child, edge.child_column), maker.dotted(edge.parent, edge.parent_column))
}

fn never(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let (shown, label) = parent_shown(maker, edge, false)?;
    let condition = maker.maybe(0.3, edge.child, true, &[]);
    let sql = format!(
        "SELECT {shown} FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {}{})",
        maker.name(edge.parent),
        maker.name(edge.child),
        link(maker, edge),
        and_clause(condition.as_ref())
    );
    let phrase = say(("never", "label of never"), edge, label, condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn without(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let (shown, label) = parent_shown(maker, edge, true)?;
    let sql = format!(
        "SELECT {shown} FROM {} LEFT {} WHERE {} IS NULL",
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.dotted(edge.child, edge.child_column)
    );
    Some(Draft::new(sql, say(("without", "label of without"), edge, label, None)))
}

fn not_among(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    if maker.facts_of(edge.child, edge.child_column).nulls > 0 {
        return None;
    }
    let (shown, label) = parent_shown(maker, edge, false)?;
    let condition = maker.maybe(0.5, edge.child, false, &[]);
    let sql = format!(
        "SELECT {shown} FROM {} WHERE {} NOT IN (SELECT {} FROM {}{})",
        maker.name(edge.parent),
        maker.bare(edge.parent, edge.parent_column),
        maker.bare(edge.child, edge.child_column),
        maker.name(edge.child),
        crate::synth::draft::where_clause(condition.as_ref())
    );
    let phrase = say(("not among", "label of not among"), edge, label, condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn with_any(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let (shown, label) = parent_shown(maker, edge, false)?;
    let condition = maker.maybe(0.7, edge.child, false, &[]);
    let sql = format!(
        "SELECT {shown} FROM {} WHERE {} IN (SELECT {} FROM {}{})",
        maker.name(edge.parent),
        maker.bare(edge.parent, edge.parent_column),
        maker.bare(edge.child, edge.child_column),
        maker.name(edge.child),
        crate::synth::draft::where_clause(condition.as_ref())
    );
    let phrase = say(("with any", "label of with any"), edge, label, condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn exists(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let (shown, label) = parent_shown(maker, edge, false)?;
    let condition = maker.maybe(0.6, edge.child, true, &[]);
    let sql = format!(
        "SELECT {shown} FROM {} WHERE EXISTS (SELECT 1 FROM {} WHERE {}{})",
        maker.name(edge.parent),
        maker.name(edge.child),
        link(maker, edge),
        and_clause(condition.as_ref())
    );
    let phrase = say(("exists", "label of exists"), edge, label, condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn count_without(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let none = maker.draws.chance(0.6);
    let (word, key) = if none { ("NOT EXISTS", "count without") } else { ("EXISTS", "count with") };
    let condition = maker.maybe(0.3, edge.child, true, &[]);
    let sql = format!(
        "SELECT COUNT(*) FROM {} WHERE {word} (SELECT 1 FROM {} WHERE {}{})",
        maker.name(edge.parent),
        maker.name(edge.child),
        link(maker, edge),
        and_clause(condition.as_ref())
    );
    Some(Draft::new(sql, family(key, edge).given(condition.as_ref())).part(key).given(condition.as_ref()))
}

fn both_conditions(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let (test, parent, child, kind) = both_sides(maker, edge)?;
    let sql = format!(
        "SELECT DISTINCT {} FROM {} {} WHERE {test}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge)
    );
    let phrase = family("both conditions", edge)
        .column("label", edge.parent, label)
        .phrase("where", parent)
        .phrase("which", child);
    Some(Draft::new(sql, phrase).part(kind))
}

/// Nothing for so long, those that never had any included.
fn inactive(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let date = maker.date(edge.child)?;
    let (shown, label) = parent_shown(maker, edge, false)?;
    let (count, unit) =
        *maker.draws.pick(&[(6, "months"), (3, "months"), (12, "months"), (30, "days"), (90, "days")])?;
    let since = maker.style.ago(count, unit);
    let sql = format!(
        "SELECT {shown} FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} AND {} >= {since})",
        maker.name(edge.parent),
        maker.name(edge.child),
        link(maker, edge),
        maker.dotted(edge.child, date)
    );
    let keys = match unit {
        "months" => ("inactive months", "label of inactive months"),
        _ => ("inactive days", "label of inactive days"),
    };
    Some(Draft::new(sql, say(keys, edge, label, None).value("n", count)).part(unit).may_be_empty())
}

/// Parents all of whose children meet a condition, having at least one.
fn all_of_them(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let (condition, column) = maker.simple(edge.child, true, &[])?;
    if maker.facts_of(edge.child, column).nulls > 0 {
        return None;
    }
    if condition.kind != "where.gt" && condition.kind != "where.lt" && condition.kind != "where.ge" {
        return None;
    }
    let (column, operator, bound) = {
        let mut words = condition.sql.splitn(3, ' ');
        (words.next()?, words.next()?, words.next()?)
    };
    let function = if operator == "<" { "MAX" } else { "MIN" };
    let sql = format!(
        "SELECT {} FROM {} {} GROUP BY {} HAVING {function}({column}) {operator} {bound}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let phrase = family("all of them", edge).column("label", edge.parent, label).given(Some(&condition));
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}
