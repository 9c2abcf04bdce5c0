//! Two to four tables along their keys.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, and_clause, where_clause};
use crate::synth::facts::{ColumnFacts, Edge};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("child with parent", Medium, child_with_parent),
    pattern("children of parent", Medium, children_of_parent),
    pattern("count children of parent", Medium, count_children_of_parent),
    pattern("children per parent", Medium, children_per_parent),
    pattern("all children per parent", Hard, all_children_per_parent),
    pattern("measure per parent", Medium, measure_per_parent),
    pattern("parent with most", Hard, parent_with_most),
    pattern("top parents", Hard, top_parents),
    pattern("parents having", Hard, parents_having),
    pattern("parents spending", Hard, parents_spending),
    pattern("per parent group", Hard, per_parent_group),
    pattern("product of two tables", Extra, product_of_two),
    pattern("three tables", Hard, three_tables),
    pattern("count over three", Extra, count_over_three),
    pattern("sum over three", Extra, sum_over_three),
    pattern("linked to", Hard, linked_to),
    pattern("linked to both", Extra, linked_to_both),
    pattern("four tables", Extra, four_tables),
    pattern("last per parent", Hard, last_per_parent),
];

/// A key whose parent has a label.
pub(super) fn labelled(maker: &mut Maker<'_>) -> Option<(Edge, usize)> {
    let edge = maker.pair()?;
    Some((edge, maker.label(edge.parent)?))
}

/// The tables of a phrase about a key.
pub(super) fn family(key: &'static str, edge: Edge) -> Phrase {
    Phrase::new(key).table("child", edge.child).table("parent", edge.parent)
}

/// The same where the parent shows in a column's full name: a line may leave it out.
fn owned(key: &'static str, edge: Edge) -> Phrase {
    Phrase::new(key).table("child", edge.child).table("owner", edge.parent)
}

fn child_with_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let own = maker.column(edge.child, |column| !matches!(column.role, Role::Key | Role::Reference | Role::Other))?;
    let condition = maker.maybe(0.35, edge.child, true, &[own]);
    let sql = format!(
        "SELECT {}, {} FROM {} {}{}",
        maker.dotted(edge.child, own),
        maker.dotted(edge.parent, label),
        maker.name(edge.child),
        maker.join_parent(edge),
        where_clause(condition.as_ref())
    );
    let phrase = family("child with parent", edge)
        .column("column", edge.child, own)
        .column("label", edge.parent, label)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn children_of_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let shown = maker.shown(edge.child, true)?;
    let condition = maker.condition(edge.parent, true, &[])?;
    let sql = format!(
        "SELECT {} FROM {} {} WHERE {}",
        shown.sql,
        maker.name(edge.child),
        maker.join_parent(edge),
        condition.sql
    );
    let phrase = match shown.columns {
        Some(columns) => family("columns of children of", edge).with("columns", columns),
        None => family("children of", edge),
    };
    Some(Draft::new(sql, phrase.phrase("where", condition.phrase.clone())).given(Some(&condition)))
}

fn count_children_of_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let condition = maker.condition(edge.parent, true, &[])?;
    let measure = maker.aggregate(edge.child, true).filter(|_| maker.draws.chance(0.5));
    let what = measure.as_ref().map_or("COUNT(*)", |measure| measure.sql.as_str());
    let sql =
        format!("SELECT {what} FROM {} {} WHERE {}", maker.name(edge.child), maker.join_parent(edge), condition.sql);
    let part = measure.as_ref().map_or("count", |measure| measure.kind);
    let phrase = match measure {
        Some(measure) => family("measure of children of", edge).phrase("measure", measure.phrase),
        None => family("count children of", edge),
    };
    Some(Draft::new(sql, phrase.phrase("where", condition.phrase.clone())).part(part).given(Some(&condition)))
}

fn children_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let condition = maker.maybe(0.3, edge.child, true, &[]);
    let sql = format!(
        "SELECT {}, COUNT(*) FROM {} {}{} GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        where_clause(condition.as_ref()),
        maker.group_by_row(edge, label)
    );
    let phrase = family("children per parent", edge).column("label", edge.parent, label).given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn all_children_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let key = maker.table(edge.child).key.unwrap_or(edge.child_column);
    let sql = format!(
        "SELECT {}, COUNT({}) FROM {} LEFT {} GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.dotted(edge.child, key),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    Some(Draft::new(sql, family("all children per parent", edge).column("label", edge.parent, label)))
}

fn measure_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let measure = maker.aggregate(edge.child, true)?;
    let condition = maker.maybe(0.25, edge.child, true, &[]);
    let sorted = maker.draws.chance(0.3);
    let order = if sorted { format!(" ORDER BY {} DESC", measure.sql) } else { String::new() };
    let sql = format!(
        "SELECT {}, {} FROM {} {}{} GROUP BY {}{order}",
        maker.dotted(edge.parent, label),
        measure.sql,
        maker.name(edge.parent),
        maker.join_child(edge),
        where_clause(condition.as_ref()),
        maker.group_by_row(edge, label)
    );
    let key = if sorted { "measure per parent sorted" } else { "measure per parent" };
    let phrase = family(key, edge)
        .column("label", edge.parent, label)
        .phrase("measure", measure.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).part(measure.kind).given(condition.as_ref()))
}

/// The parents ranked by the number of children or a sum over them: `count` of them. The parts are the wording's key,
/// the measure and the direction.
fn ranked(maker: &mut Maker<'_>, count: Option<usize>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let condition = maker.maybe(0.2, edge.child, true, &[]);
    let complete = |column: &ColumnFacts| column.adds_up() && column.nulls == 0 && column.values.len() >= 2;
    let sum = maker.column(edge.child, complete).filter(|_| maker.draws.chance(0.5));
    let most = maker.draws.chance(0.8);
    let word = if most { " DESC" } else { "" };
    let measure = sum.map(|column| maker.aggregate_of("sum", edge.child, column, true));
    let what = measure.as_ref().map_or("COUNT(*)", |measure| measure.sql.as_str());
    let limit = count.unwrap_or(1);
    let body = format!(
        "FROM {} {}{} GROUP BY {} ORDER BY {what}{word}",
        maker.name(edge.parent),
        maker.join_child(edge),
        where_clause(condition.as_ref()),
        maker.group_by_row(edge, label)
    );
    let sql = format!("SELECT {} {body} LIMIT {limit}", maker.dotted(edge.parent, label));
    let ties = format!("SELECT {what} {body} LIMIT {}", limit + 1);
    let key = match (count.is_some(), measure.is_some(), most) {
        (false, false, true) => "parent with most children",
        (false, false, false) => "parent with fewest children",
        (false, true, true) => "parent with highest measure",
        (false, true, false) => "parent with lowest measure",
        (true, false, true) => "parents with most children",
        (true, false, false) => "parents with fewest children",
        (true, true, true) => "parents with highest measure",
        (true, true, false) => "parents with lowest measure",
    };
    let mut phrase = family(key, edge).column("label", edge.parent, label).given(condition.as_ref());
    if let Some(measure) = measure {
        phrase = phrase.phrase("measure", measure.phrase);
    }
    if let Some(count) = count {
        phrase = phrase.value("n", count);
    }
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()).ties(ties, limit))
}

fn parent_with_most(maker: &mut Maker<'_>) -> Option<Draft> {
    ranked(maker, None)
}

fn top_parents(maker: &mut Maker<'_>) -> Option<Draft> {
    let count = *maker.draws.pick(&[2, 3, 3, 5, 5, 10])?;
    ranked(maker, Some(count))
}

fn parents_having(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let condition = maker.maybe(0.25, edge.child, true, &[]);
    let count = maker.draws.between(1, 4);
    let more = maker.draws.chance(0.6);
    let (operator, key, count) =
        if more { (">", "parents having more", count) } else { (">=", "parents having at least", count + 1) };
    let sql = format!(
        "SELECT {} FROM {} {}{} GROUP BY {} HAVING COUNT(*) {operator} {count}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        where_clause(condition.as_ref()),
        maker.group_by_row(edge, label)
    );
    let phrase = family(key, edge).column("label", edge.parent, label).value("n", count).given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()))
}

fn parents_spending(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.number(edge.child)?;
    let kind = if maker.facts_of(edge.child, column).adds_up() { "sum" } else { "avg" };
    let measure = maker.aggregate_of(kind, edge.child, column, true);
    let values = &maker.facts_of(edge.child, column).values;
    let middle = values.get(values.len() / 2).and_then(crate::synth::Cell::number)?;
    let scale = if kind == "sum" {
        (maker.table(edge.child).rows / maker.table(edge.parent).rows.max(1)).max(1) as f64
    } else {
        1.0
    };
    let bound = middle * scale;
    let bound = if bound >= 100.0 { (bound / 50.0).round() * 50.0 } else { bound.round().max(1.0) };
    let above = maker.draws.chance(0.75);
    let (operator, key) = if above { (">", "parents above") } else { ("<", "parents below") };
    let sql = format!(
        "SELECT {}, {1} FROM {2} {3} GROUP BY {4} HAVING {1} {operator} {bound}",
        maker.dotted(edge.parent, label),
        measure.sql,
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let phrase =
        family(key, edge).column("label", edge.parent, label).phrase("measure", measure.phrase).value("bound", bound);
    Some(Draft::new(sql, phrase).part(key).part(kind))
}

fn per_parent_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let group = maker.grouping(edge.parent)?;
    let measure = maker.aggregate(edge.child, true).filter(|_| maker.draws.chance(0.65));
    let condition = maker.maybe(0.25, edge.child, true, &[]);
    let what = measure.as_ref().map_or("COUNT(*)", |measure| measure.sql.as_str());
    let name = maker.dotted(edge.parent, group);
    let sql = format!(
        "SELECT {name}, {what} FROM {} {}{} GROUP BY {name}",
        maker.name(edge.child),
        maker.join_parent(edge),
        where_clause(condition.as_ref())
    );
    let part = measure.as_ref().map_or("count", |measure| measure.kind);
    let phrase = match measure {
        Some(measure) => owned("measure per parent group", edge).phrase("measure", measure.phrase),
        None => owned("children per parent group", edge),
    };
    let phrase = phrase.full("group", edge.parent, group).given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(part).given(condition.as_ref()))
}

/// Pieces in one table times the price in the other.
fn product_of_two(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let pieces = maker.column(edge.child, |column| column.role == Role::Quantity && column.nulls == 0)?;
    if maker.columns(edge.child, |column| column.role == Role::Money).len() > 1 {
        return None;
    }
    let price = maker.column(edge.parent, |column| {
        column.role == Role::Money
            && column.nulls == 0
            && ["price", "cost", "fee", "rate"].iter().any(|word| column.words.ends_with(word))
    })?;
    let product = format!("SUM({} * {})", maker.dotted(edge.child, pieces), maker.dotted(edge.parent, price));
    let group = maker.grouping(edge.parent).filter(|_| maker.draws.chance(0.5));
    let label = maker.label(edge.parent);
    let join = format!("{} {}", maker.name(edge.child), maker.join_parent(edge));
    let phrase = |key| family(key, edge).column("pieces", edge.child, pieces).column("price", edge.parent, price);
    if let Some(group) = group {
        let name = maker.dotted(edge.parent, group);
        let sql = format!("SELECT {name}, {product} FROM {join} GROUP BY {name}");
        return Some(Draft::new(sql, phrase("product per group").column("group", edge.parent, group)).part("group"));
    }
    if maker.draws.chance(0.3) {
        return Some(Draft::new(format!("SELECT {product} FROM {join}"), phrase("product total")).part("total"));
    }
    let label = label?;
    let sql = format!(
        "SELECT {}, {product} FROM {join} GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.group_by_row(edge, label)
    );
    Some(Draft::new(sql, phrase("product per parent").column("label", edge.parent, label)).part("parent"))
}

/// FROM far JOIN middle JOIN near, from the top of a chain down.
fn chain_joins(maker: &Maker<'_>, lower: Edge, upper: Edge) -> String {
    format!("{} {} {}", maker.name(upper.parent), maker.join_child(upper), maker.join_child(lower))
}

fn chained(key: &'static str, lower: Edge, upper: Edge) -> Phrase {
    Phrase::new(key).table("child", lower.child).table("middle", lower.parent).table("parent", upper.parent)
}

fn three_tables(maker: &mut Maker<'_>) -> Option<Draft> {
    let (lower, upper) = maker.chain()?;
    let shown = maker.shown_columns(lower.child, true)?;
    let condition = maker.condition(upper.parent, true, &[])?;
    let sql = format!(
        "SELECT {} FROM {} {} {} WHERE {}",
        shown.sql,
        maker.name(lower.child),
        maker.join_parent(lower),
        maker.join_parent(upper),
        condition.sql
    );
    let phrase =
        chained("three tables", lower, upper).with("columns", shown.columns?).phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}

fn count_over_three(maker: &mut Maker<'_>) -> Option<Draft> {
    let (lower, upper) = maker.chain()?;
    let label = maker.label(upper.parent)?;
    let sql = format!(
        "SELECT {}, COUNT(*) FROM {} GROUP BY {}",
        maker.dotted(upper.parent, label),
        chain_joins(maker, lower, upper),
        maker.group_by_row(upper, label)
    );
    Some(Draft::new(sql, chained("count over three", lower, upper).column("label", upper.parent, label)))
}

fn sum_over_three(maker: &mut Maker<'_>) -> Option<Draft> {
    let (lower, upper) = maker.chain()?;
    let measure = maker.aggregate(lower.child, true)?;
    let group = maker.grouping(upper.parent).filter(|_| maker.draws.chance(0.4));
    let joins = chain_joins(maker, lower, upper);
    let (sql, phrase, part) = match group {
        Some(group) => {
            let name = maker.dotted(upper.parent, group);
            let sql = format!("SELECT {name}, {} FROM {joins} GROUP BY {name}", measure.sql);
            (sql, chained("measure over three by group", lower, upper).full("group", upper.parent, group), "group")
        }
        None => {
            let label = maker.label(upper.parent)?;
            let by = maker.group_by_row(upper, label);
            let name = maker.dotted(upper.parent, label);
            let sql = format!("SELECT {name}, {} FROM {joins} GROUP BY {by}", measure.sql);
            (sql, chained("measure over three", lower, upper).column("label", upper.parent, label), "label")
        }
    };
    Some(Draft::new(sql, phrase.phrase("measure", measure.phrase)).part(part).part(measure.kind))
}

/// `left JOIN link JOIN right`.
pub(super) fn bridge_joins(maker: &Maker<'_>, left: Edge, right: Edge) -> String {
    format!("{} {} {}", maker.name(left.parent), maker.join_child(left), maker.join_parent(right))
}

fn linked(key: &'static str, left: Edge, right: Edge) -> Phrase {
    Phrase::new(key).table("left", left.parent).table("right", right.parent).table("link", left.child)
}

fn linked_to(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right) = maker.bridge()?;
    let (left_label, right_label) = (maker.label(left.parent)?, maker.label(right.parent)?);
    let value = maker.draws.pick(&maker.facts_of(right.parent, right_label).values)?.clone();
    let sql = format!(
        "SELECT DISTINCT {} FROM {} WHERE {} = {}",
        maker.dotted(left.parent, left_label),
        bridge_joins(maker, left, right),
        maker.dotted(right.parent, right_label),
        maker.style.literal(&value)
    );
    let phrase = linked("linked to", left, right).column("label", left.parent, left_label).value("value", value.said());
    Some(Draft::new(sql, phrase))
}

fn linked_to_both(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right) = maker.bridge()?;
    let (left_label, right_label) = (maker.label(left.parent)?, maker.label(right.parent)?);
    let chosen = maker.draws.some(&maker.facts_of(right.parent, right_label).values, 2);
    let [a, b] = chosen.as_slice() else { return None };
    let half = |value| {
        format!(
            "SELECT {} FROM {} WHERE {} = {}",
            maker.dotted(left.parent, left_label),
            bridge_joins(maker, left, right),
            maker.dotted(right.parent, right_label),
            maker.style.literal(value)
        )
    };
    let sql = format!("{} INTERSECT {}", half(a), half(b));
    let phrase = linked("linked to both", left, right)
        .column("label", left.parent, left_label)
        .value("a", a.said())
        .value("b", b.said());
    Some(Draft::new(sql, phrase))
}

/// Two parents of a link, and a parent of one of them.
fn four_tables(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right) = maker.bridge()?;
    let upper: Vec<Edge> = maker
        .facts
        .edges
        .iter()
        .copied()
        .filter(|edge| edge.child == right.parent && edge.parent != left.parent && edge.parent != edge.child)
        .collect();
    let upper = *maker.draws.pick(&upper)?;
    let (left_label, far_label) = (maker.label(left.parent)?, maker.label(upper.parent)?);
    let value = maker.draws.pick(&maker.facts_of(upper.parent, far_label).values)?.clone();
    let sql = format!(
        "SELECT DISTINCT {} FROM {} {} WHERE {} = {}",
        maker.dotted(left.parent, left_label),
        bridge_joins(maker, left, right),
        maker.join_parent(upper),
        maker.dotted(upper.parent, far_label),
        maker.style.literal(&value)
    );
    let phrase = linked("four tables", left, right)
        .table("far", upper.parent)
        .column("label", left.parent, left_label)
        .value("value", value.said());
    Some(Draft::new(sql, phrase))
}

fn last_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let date = maker.date(edge.child)?;
    let last = maker.draws.chance(0.7);
    let (function, key) = if last { ("MAX", "last per parent") } else { ("MIN", "first per parent") };
    let condition = maker.maybe(0.2, edge.child, true, &[date]);
    let sql = format!(
        "SELECT {}, {function}({}) FROM {} {} {}GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.dotted(edge.child, date),
        maker.name(edge.parent),
        maker.join_child(edge),
        condition.as_ref().map(|condition| format!("WHERE {} ", condition.sql)).unwrap_or_default(),
        maker.group_by_row(edge, label)
    );
    let phrase = family(key, edge)
        .column("label", edge.parent, label)
        .column("date", edge.child, date)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()))
}

/// A condition on parent and child together: `WHERE parent… AND child…`.
pub(super) fn both_sides(maker: &mut Maker<'_>, edge: Edge) -> Option<(String, Phrase, Phrase, String)> {
    let (parent, _) = maker.simple(edge.parent, true, &[])?;
    let (child, _) = maker.simple(edge.child, true, &[])?;
    let sql = format!("{}{}", parent.sql, and_clause(Some(&child)));
    Some((sql, parent.phrase, child.phrase, format!("{}&{}", parent.kind, child.kind)))
}
