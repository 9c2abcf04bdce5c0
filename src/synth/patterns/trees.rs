//! Tables that refer to themselves: managers, parent categories. Self-joins and recursive common table expressions.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::Edge;
use crate::synth::maker::Maker;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("with its superior", Hard, with_superior),
    pattern("at the top", Medium, at_the_top),
    pattern("directly under", Hard, directly_under),
    pattern("everything under", Extra, everything_under),
    pattern("levels", Extra, levels),
    pattern("deeper than", Extra, deeper_than),
    pattern("count under each", Hard, count_under_each),
    pattern("path up", Extra, path_up),
    pattern("above superior", Extra, above_superior),
    pattern("superior with most", Extra, superior_with_most),
];

/// A table's key to itself and its label.
fn tree(maker: &mut Maker<'_>) -> Option<(Edge, usize)> {
    let edges: Vec<Edge> = maker.facts.edges.iter().copied().filter(|edge| edge.child == edge.parent).collect();
    let edge = *maker.draws.pick(&edges)?;
    Some((edge, maker.label(edge.parent)?))
}

struct Names {
    table: String,
    key: String,
    up: String,
    label: String,
}

fn names(maker: &Maker<'_>, edge: Edge, label: usize) -> Names {
    Names {
        table: maker.name(edge.parent),
        key: maker.bare(edge.parent, edge.parent_column),
        up: maker.bare(edge.child, edge.child_column),
        label: maker.bare(edge.parent, label),
    }
}

/// What the key to itself is called: `manager` of `manager_id`.
fn superior(maker: &Maker<'_>, edge: Edge) -> crate::synth::draft::Slot {
    let words = &maker.facts_of(edge.child, edge.child_column).words;
    let words = words.strip_suffix(" id").unwrap_or(words);
    crate::synth::draft::Slot::Words(words.to_owned())
}

fn say(maker: &Maker<'_>, key: &'static str, edge: Edge, label: usize) -> Phrase {
    Phrase::new(key)
        .table("table", edge.parent)
        .column("label", edge.parent, label)
        .with("superior", superior(maker, edge))
}

fn with_superior(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let all = maker.draws.chance(0.4);
    let (join, wording) = if all { ("LEFT JOIN", "all with superior") } else { ("JOIN", "with superior") };
    let sql = format!("SELECT a.{name}, b.{name} FROM {table} AS a {join} {table} AS b ON a.{up} = b.{key}");
    Some(Draft::new(sql, say(maker, wording, edge, label)).part(wording))
}

fn at_the_top(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let Names { table, up, label: name, .. } = names(maker, edge, label);
    let sql = format!("SELECT {name} FROM {table} WHERE {up} IS NULL");
    Some(Draft::new(sql, say(maker, "at the top", edge, label)))
}

/// A row that has others under it, by its label.
fn a_superior(maker: &mut Maker<'_>, edge: Edge, label: usize) -> Option<crate::synth::Cell> {
    if !maker.facts_of(edge.parent, label).unique {
        return None;
    }
    maker.draws.pick(&maker.facts.tables[edge.parent].columns[label].values).cloned()
}

fn directly_under(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let value = a_superior(maker, edge, label)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let sql = format!(
        "SELECT a.{name} FROM {table} AS a JOIN {table} AS b ON a.{up} = b.{key} WHERE b.{name} = {}",
        maker.style.literal(&value)
    );
    Some(Draft::new(sql, say(maker, "directly under", edge, label).value("value", value.said())))
}

fn everything_under(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let value = a_superior(maker, edge, label)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let counted = maker.draws.chance(0.3);
    let what = if counted { "COUNT(*)".to_owned() } else { name.clone() };
    let sql = format!(
        "WITH RECURSIVE tree AS (SELECT {key}, {name} FROM {table} WHERE {up} = (SELECT {key} FROM {table} WHERE {name} = {}) \
         UNION ALL SELECT {table}.{key}, {table}.{name} FROM {table} JOIN tree ON {table}.{up} = tree.{key}) \
         SELECT {what} FROM tree",
        maker.style.literal(&value)
    );
    let key = if counted { "count everything under" } else { "everything under" };
    Some(Draft::new(sql, say(maker, key, edge, label).value("value", value.said())).part(key))
}

fn hierarchy(names: &Names) -> String {
    let Names { table, key, up, label } = names;
    format!(
        "WITH RECURSIVE tree AS (SELECT {key}, {label}, {up}, 1 AS level FROM {table} WHERE {up} IS NULL \
         UNION ALL SELECT {table}.{key}, {table}.{label}, {table}.{up}, tree.level + 1 FROM {table} \
         JOIN tree ON {table}.{up} = tree.{key})"
    )
}

fn levels(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let names = names(maker, edge, label);
    if maker.draws.chance(0.5) {
        let (key, up) = (&names.key, &names.up);
        let sql = format!("{} SELECT {key}, {up}, level FROM tree", hierarchy(&names));
        let evidence = Phrase { key: "evidence hierarchy", ..say(maker, "levels told", edge, label) };
        let evidence = evidence.code("key", key).code("up", up);
        return Some(Draft::new(sql, say(maker, "levels told", edge, label)).part("told").evidence(evidence));
    }
    let sql = format!("{} SELECT {}, level FROM tree", hierarchy(&names), names.label);
    Some(Draft::new(sql, say(maker, "levels", edge, label)).part("label"))
}

fn deeper_than(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let names = names(maker, edge, label);
    let depth = maker.draws.between(2, 3);
    let exact = maker.draws.chance(0.5);
    let (operator, key) = if exact { ("=", "at level") } else { (">=", "from level") };
    let sql = format!(
        "{} SELECT {}, {}, level FROM tree WHERE level {operator} {depth}",
        hierarchy(&names),
        names.label,
        names.up
    );
    Some(Draft::new(sql, say(maker, key, edge, label).value("n", depth)).part(key))
}

fn count_under_each(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let sql = format!(
        "SELECT b.{name}, COUNT(*) FROM {table} AS a JOIN {table} AS b ON a.{up} = b.{key} GROUP BY b.{key}, b.{name}"
    );
    Some(Draft::new(sql, say(maker, "count under each", edge, label)))
}

/// From one row up to the top.
fn path_up(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let value = a_superior(maker, edge, label)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let sql = format!(
        "WITH RECURSIVE chain AS (SELECT {key}, {name}, {up} FROM {table} WHERE {name} = {} \
         UNION ALL SELECT {table}.{key}, {table}.{name}, {table}.{up} FROM {table} JOIN chain ON {table}.{key} = chain.{up}) \
         SELECT {name} FROM chain",
        maker.style.literal(&value)
    );
    Some(Draft::new(sql, say(maker, "path up", edge, label).value("value", value.said())))
}

/// Rows with more of something than the row above them.
fn above_superior(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let column = maker.number(edge.child)?;
    let value = maker.bare(edge.child, column);
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let sql =
        format!("SELECT a.{name} FROM {table} AS a JOIN {table} AS b ON a.{up} = b.{key} WHERE a.{value} > b.{value}");
    Some(Draft::new(sql, say(maker, "above superior", edge, label).column("column", edge.child, column)))
}

fn superior_with_most(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = tree(maker)?;
    let Names { table, key, up, label: name } = names(maker, edge, label);
    let body = format!(
        "FROM {table} AS a JOIN {table} AS b ON a.{up} = b.{key} GROUP BY b.{key}, b.{name} ORDER BY COUNT(*) DESC LIMIT"
    );
    let phrase = say(maker, "superior with most", edge, label);
    Some(Draft::new(format!("SELECT b.{name} {body} 1"), phrase).ties(format!("SELECT COUNT(*) {body} 2"), 1))
}
