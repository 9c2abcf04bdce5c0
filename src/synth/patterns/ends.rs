//! Both ends of a group: its cheapest and dearest row by name, its first and its last.

use super::joins::{family, labelled};
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::{ColumnFacts, Edge};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("lowest and highest of group", Extra, ends_of_group),
    pattern("lowest and highest of parent", Extra, ends_of_parent),
    pattern("value of latest child", Extra, latest_value),
    pattern("latest of each group", Extra, latest_of_group),
];

/// A number that no two rows share: no tie at either end.
fn different(column: &ColumnFacts) -> bool {
    column.role.is_number() && column.nulls == 0 && column.unique && column.values.len() >= 3
}

fn ends_of_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.table_where(|table| table.label.is_some() && table.count(different) > 0)?;
    let (label, group) = (maker.label(table)?, maker.grouping(table)?);
    let column = maker.column(table, different)?;
    let (name, by, value) = (maker.bare(table, label), maker.bare(table, group), maker.bare(table, column));
    let sql = format!(
        "SELECT DISTINCT {by}, FIRST_VALUE({name}) OVER (PARTITION BY {by} ORDER BY {value}), \
         FIRST_VALUE({name}) OVER (PARTITION BY {by} ORDER BY {value} DESC) FROM {}",
        maker.name(table)
    );
    let phrase = Phrase::new("lowest and highest of group")
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .column("column", table, column);
    let told = Phrase { key: "evidence both ends", slots: phrase.slots.clone() };
    let draft = Draft::new(sql, phrase);
    Some(if maker.draws.chance(0.5) { draft.evidence(told) } else { draft })
}

fn ends_of_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let name = maker.label(edge.child)?;
    let column = maker.column(edge.child, different)?;
    let (by, key) = (maker.dotted(edge.parent, label), maker.dotted(edge.parent, edge.parent_column));
    let (name_sql, value) = (maker.dotted(edge.child, name), maker.dotted(edge.child, column));
    let sql = format!(
        "SELECT DISTINCT {by}, FIRST_VALUE({name_sql}) OVER (PARTITION BY {key} ORDER BY {value}), \
         FIRST_VALUE({name_sql}) OVER (PARTITION BY {key} ORDER BY {value} DESC) FROM {} {}",
        maker.name(edge.parent),
        maker.join_child(edge)
    );
    let phrase = family("lowest and highest of parent", edge)
        .column("label", edge.parent, label)
        .column("name", edge.child, name)
        .column("column", edge.child, column);
    let told = Phrase { key: "evidence both ends of parent", slots: phrase.slots.clone() };
    let draft = Draft::new(sql, phrase);
    Some(if maker.draws.chance(0.5) { draft.evidence(told) } else { draft })
}

/// The key and a day of a child, where both tell which came last.
fn dated_child(maker: &mut Maker<'_>, edge: Edge) -> Option<(usize, usize)> {
    let key = maker.table(edge.child).key.filter(|key| maker.facts_of(edge.child, *key).role == Role::Key)?;
    let date = maker.column(edge.child, |column| column.role.is_date() && column.nulls == 0)?;
    Some((key, date))
}

/// What the last child of every parent says; of two on the same day the one with the higher key.
fn latest_value(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let (key, date) = dated_child(maker, edge)?;
    let value = maker.column(edge.child, |column| column.role.is_number() || column.role == Role::Category)?;
    let last = maker.draws.chance(0.75);
    let word = if last { " DESC" } else { "" };
    let (day, id) = (maker.bare(edge.child, date), maker.bare(edge.child, key));
    let child = maker.name(edge.child);
    let sql = format!(
        "SELECT {}, {} FROM {} {} WHERE {} = (SELECT other.{id} FROM {child} AS other WHERE other.{} = {} \
         ORDER BY other.{day}{word}, other.{id}{word} LIMIT 1)",
        maker.dotted(edge.parent, label),
        maker.dotted(edge.child, value),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.dotted(edge.child, key),
        maker.bare(edge.child, edge.child_column),
        maker.dotted(edge.parent, edge.parent_column)
    );
    let key = if last { "value of latest child" } else { "value of first child" };
    let phrase = |key| family(key, edge).column("label", edge.parent, label).column("column", edge.child, value);
    if maker.draws.chance(0.5) {
        let evidence = if last { "evidence latest" } else { "evidence first" };
        let evidence = phrase(evidence).code("code", day).code("id", id);
        let told = if last { "value of latest child told" } else { "value of first child told" };
        return Some(Draft::new(sql, phrase(told)).part(told).evidence(evidence));
    }
    Some(Draft::new(sql, phrase(key).column("date", edge.child, date)).part(key))
}

fn latest_of_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let dated = |column: &ColumnFacts| column.role.is_date() && column.nulls == 0 && column.unique;
    let table = maker.table_where(|table| table.label.is_some() && table.count(dated) > 0)?;
    let (label, group) = (maker.label(table)?, maker.grouping(table)?);
    let date = maker.column(table, dated)?;
    let last = maker.draws.chance(0.6);
    let (word, key) = if last { (" DESC", "latest of each group") } else { ("", "earliest of each group") };
    let (name, by, day) = (maker.bare(table, label), maker.bare(table, group), maker.bare(table, date));
    let sql = format!(
        "SELECT {by}, {name}, {day} FROM (SELECT {by}, {name}, {day}, ROW_NUMBER() OVER (PARTITION BY {by} \
         ORDER BY {day}{word}) AS position FROM {}) AS ranked WHERE position = 1",
        maker.name(table)
    );
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .column("date", table, date);
    Some(Draft::new(sql, phrase).part(key))
}
