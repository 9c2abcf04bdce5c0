//! Shares of the own group's total, ranks of totals, and sums over three and four tables with filters far away.

use super::joins::labelled;
use super::{Pattern, pattern};
use crate::synth::draft::{Condition, Difficulty::*, Draft, Phrase};
use crate::synth::facts::{ColumnFacts, Edge};
use crate::synth::maker::{Aggregate, Maker};
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("share of own group", Extra, share_of_own_group),
    pattern("share of group total", Extra, share_of_group_total),
    pattern("rank of totals", Extra, rank_of_totals),
    pattern("rank of parents", Extra, rank_of_parents),
    pattern("measure across", Extra, measure_across),
    pattern("measure across four", Extra, across_four),
];

fn share_of_own_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = summed(maker)?;
    let (label, group) = (maker.label(table)?, maker.grouping(table)?);
    let column = maker.column(table, |column| column.adds_up() && column.nulls == 0 && column.values.len() >= 3)?;
    let (name, by, value) = (maker.bare(table, label), maker.bare(table, group), maker.bare(table, column));
    let sql = format!(
        "SELECT {name}, {by}, 100.0 * {value} / SUM({value}) OVER (PARTITION BY {by}) FROM {}",
        maker.name(table)
    );
    let phrase = Phrase::new("share of own group")
        .table("table", table)
        .column("label", table, label)
        .column("group", table, group)
        .column("column", table, column);
    Some(Draft::new(sql, phrase))
}

/// A table with a column that adds up and one that makes groups.
fn summed(maker: &mut Maker<'_>) -> Option<usize> {
    maker.table_where(|table| {
        let sums = table.count(|column| column.adds_up() && column.nulls == 0);
        sums > 0 && table.count(|column| column.role == Role::Category && column.nulls == 0) > 0
    })
}

/// A sum over the children of a parent: of a column, or of pieces times price.
fn total(maker: &mut Maker<'_>, edge: Edge) -> Option<Aggregate> {
    if maker.draws.chance(0.6) {
        let priced = if maker.draws.chance(0.5) { edge.parent } else { edge.child };
        if let Some(product) = maker.product(edge.child, priced, true) {
            return Some(product);
        }
    }
    let column =
        maker.column(edge.child, |column| column.adds_up() && column.nulls == 0 && column.values.len() >= 2)?;
    Some(maker.aggregate_of("sum", edge.child, column, true))
}

/// Parents with a total and a group: a category of theirs, or the row above them by its label.
struct Grouped {
    edge: Edge,
    label: usize,
    group: String,
    by: String,
    joins: String,
    said: (usize, usize),
    part: &'static str,
}

fn grouped(maker: &mut Maker<'_>) -> Option<Grouped> {
    let (edge, label) = labelled(maker)?;
    let upper: Vec<Edge> = maker
        .facts
        .edges
        .iter()
        .copied()
        .filter(|upper| upper.child == edge.parent && upper.parent != upper.child && upper.parent != edge.child)
        .filter(|upper| maker.only_way(upper.child, upper.parent) && maker.label(upper.parent).is_some())
        .collect();
    let own = maker.dotted(edge.parent, label);
    if maker.draws.chance(0.5)
        && let Some(upper) = maker.draws.pick(&upper).copied()
    {
        let far = maker.label(upper.parent)?;
        let joins = format!("{} {} {}", maker.name(edge.parent), maker.join_parent(upper), maker.join_child(edge));
        let by = format!("{}, {}", maker.group_by_row(edge, label), maker.group_by_row(upper, far));
        let (group, said) = (maker.dotted(upper.parent, far), (upper.parent, far));
        return (own != group).then_some(Grouped { edge, label, group, by, joins, said, part: "above" });
    }
    let column = maker.grouping(edge.parent)?;
    let group = maker.dotted(edge.parent, column);
    let joins = format!("{} {}", maker.name(edge.parent), maker.join_child(edge));
    let by = format!("{}, {group}", maker.group_by_row(edge, label));
    Some(Grouped { edge, label, group, by, joins, said: (edge.parent, column), part: "category" })
}

impl Grouped {
    fn phrase(&self, key: &'static str, measure: Phrase) -> Phrase {
        Phrase::new(key)
            .table("child", self.edge.child)
            .table("parent", self.edge.parent)
            .column("label", self.edge.parent, self.label)
            .full("group", self.said.0, self.said.1)
            .phrase("measure", measure)
    }
}

fn share_of_group_total(maker: &mut Maker<'_>) -> Option<Draft> {
    let found = grouped(maker)?;
    let measure = total(maker, found.edge)?;
    let sql = format!(
        "WITH totals AS (SELECT {} AS own_name, {} AS group_name, {} AS total FROM {} GROUP BY {}) \
         SELECT own_name, group_name, 100.0 * total / SUM(total) OVER (PARTITION BY group_name) FROM totals",
        maker.dotted(found.edge.parent, found.label),
        found.group,
        measure.sql,
        found.joins,
        found.by
    );
    Some(Draft::new(sql, found.phrase("share of group total", measure.phrase)).part(found.part))
}

fn rank_of_parents(maker: &mut Maker<'_>) -> Option<Draft> {
    let found = grouped(maker)?;
    let measure = total(maker, found.edge)?;
    let sql = format!(
        "SELECT {}, {}, RANK() OVER (PARTITION BY {} ORDER BY {} DESC) FROM {} GROUP BY {}",
        found.group,
        maker.dotted(found.edge.parent, found.label),
        found.group,
        measure.sql,
        found.joins,
        found.by
    );
    let phrase = found.phrase("rank of parents", measure.phrase);
    let told = Phrase { key: "evidence rank of totals", slots: phrase.slots.clone() };
    let draft = Draft::new(sql, phrase).part(found.part);
    Some(if maker.draws.chance(0.4) { draft.evidence(told) } else { draft })
}

/// Within the groups of one column the values of another by what they sum up to.
fn rank_of_totals(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = summed(maker)?;
    let outer = maker.grouping(table)?;
    let inner = |column: &ColumnFacts| {
        matches!(column.role, Role::Category | Role::Label | Role::Text)
            && column.nulls == 0
            && column.values.len() >= 2
    };
    let inner = maker.column(table, inner)?;
    if inner == outer {
        return None;
    }
    let column = maker.column(table, |column| column.adds_up() && column.nulls == 0 && column.values.len() >= 2)?;
    let measure = maker.aggregate_of("sum", table, column, false);
    let (by, name) = (maker.bare(table, outer), maker.bare(table, inner));
    let sql = format!(
        "SELECT {by}, {name}, RANK() OVER (PARTITION BY {by} ORDER BY {} DESC) FROM {} GROUP BY {by}, {name}",
        measure.sql,
        maker.name(table)
    );
    let phrase = Phrase::new("rank of totals")
        .table("table", table)
        .column("group", table, outer)
        .column("inner", table, inner)
        .phrase("measure", measure.phrase);
    let told = Phrase { key: "evidence rank of totals", slots: phrase.slots.clone() };
    let draft = Draft::new(sql, phrase);
    Some(if maker.draws.chance(0.4) { draft.evidence(told) } else { draft })
}

/// Two parents of one child: `(to the grouped one, to the filtered one)`.
fn fork(maker: &mut Maker<'_>) -> Option<(Edge, Edge)> {
    let edges = &maker.facts.edges;
    let mut forks = Vec::new();
    for right in edges {
        for left in edges {
            if left.child == right.child
                && left.parent != right.parent
                && left.child != left.parent
                && right.child != right.parent
                && !maker.table(left.child).links
                && maker.only_way(left.child, left.parent)
                && maker.only_way(right.child, right.parent)
            {
                forks.push((*right, *left));
            }
        }
    }
    maker.draws.pick(&forks).copied()
}

/// A group of `right`'s parent, by a category or its label.
fn group_of(maker: &mut Maker<'_>, right: Edge) -> Option<(String, String, usize)> {
    match maker.grouping(right.parent).filter(|_| maker.draws.chance(0.7)) {
        Some(group) => {
            let name = maker.dotted(right.parent, group);
            Some((name.clone(), name, group))
        }
        None => {
            let label = maker.label(right.parent)?;
            Some((maker.dotted(right.parent, label), maker.group_by_row(right, label), label))
        }
    }
}

fn year(maker: &mut Maker<'_>, table: usize) -> Option<Condition> {
    let date = maker.column(table, |column| column.role.is_date() && !column.values.is_empty())?;
    let day = maker.draws.pick(&maker.facts_of(table, date).values)?.said();
    let value: i64 = day.get(..4)?.parse().ok()?;
    let sql = maker.style.year_is(&maker.dotted(table, date), value);
    let phrase = Phrase::new("where.year").column("column", table, date).value("value", value);
    Some(Condition { sql, phrase, kind: "where.year".into(), loose: false })
}

/// A sum over the child by a group of one parent, for those of the other parent that meet a condition.
fn measure_across(maker: &mut Maker<'_>) -> Option<Draft> {
    let (right, left) = fork(maker)?;
    let measure = total(maker, right)?;
    let (group, by, said) = group_of(maker, right)?;
    let condition = if maker.draws.chance(0.5) { maker.equal(left.parent, true) } else { year(maker, left.parent) }?;
    let sql = format!(
        "SELECT {group}, {} FROM {} {} {} WHERE {} GROUP BY {by}",
        measure.sql,
        maker.name(right.child),
        maker.join_parent(left),
        maker.join_parent(right),
        condition.sql
    );
    let phrase = Phrase::new("measure across")
        .table("child", right.child)
        .table("parent", left.parent)
        .full("group", right.parent, said)
        .phrase("measure", measure.phrase)
        .phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}

/// The same with the condition one table further, and at times a year in between.
fn across_four(maker: &mut Maker<'_>) -> Option<Draft> {
    let (right, left) = fork(maker)?;
    let upper: Vec<Edge> = maker
        .facts
        .edges
        .iter()
        .copied()
        .filter(|upper| upper.child == left.parent && ![left.parent, right.parent, right.child].contains(&upper.parent))
        .filter(|upper| maker.only_way(upper.child, upper.parent))
        .collect();
    let upper = *maker.draws.pick(&upper)?;
    let measure = total(maker, right)?;
    let (group, by, said) = group_of(maker, right)?;
    let condition = maker.equal(upper.parent, true)?;
    let dated = if maker.draws.chance(0.5) { year(maker, left.parent) } else { None };
    let also = dated.as_ref().map(|year| format!(" AND {}", year.sql)).unwrap_or_default();
    let sql = format!(
        "SELECT {group}, {} FROM {} {} {} {} WHERE {}{also} GROUP BY {by}",
        measure.sql,
        maker.name(right.child),
        maker.join_parent(left),
        maker.join_parent(upper),
        maker.join_parent(right),
        condition.sql
    );
    let key = if dated.is_some() { "measure across four in" } else { "measure across four" };
    let mut phrase = Phrase::new(key)
        .table("child", right.child)
        .table("middle", left.parent)
        .table("parent", upper.parent)
        .full("group", right.parent, said)
        .phrase("measure", measure.phrase)
        .phrase("where", condition.phrase.clone());
    if let Some(year) = &dated {
        phrase = phrase.phrase("which", year.phrase.clone());
    }
    Some(Draft::new(sql, phrase).part(key).given(Some(&condition)))
}
