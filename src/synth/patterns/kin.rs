//! More of two tables: the parent of a child, conditions on both, children in order, parents counted another way.

use super::joins::{both_sides, family, labelled};
use super::lists::order_phrase;
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::Edge;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("parent of child", Medium, parent_of_child),
    pattern("parent of extreme child", Hard, parent_of_extreme),
    pattern("child with parent sorted", Medium, child_with_parent_sorted),
    pattern("child with chosen parent", Medium, child_with_chosen_parent),
    pattern("children of both", Hard, children_of_both),
    pattern("different per parent", Hard, different_per_parent),
    pattern("children per parent sorted", Hard, children_sorted),
    pattern("parents having sorted", Extra, having_sorted),
    pattern("sum with zero", Extra, sum_with_zero),
    pattern("parents beside children", Hard, beside_children),
    pattern("with both kinds", Extra, with_both_kinds),
    pattern("busiest month", Hard, busiest),
    pattern("aggregate per year", Hard, per_year),
    pattern("product per month", Extra, product_per_month),
];

/// Some columns of the parent of a child known by its label.
fn parent_of_child(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let name = maker.label(edge.child)?;
    if !maker.facts_of(edge.child, name).unique {
        return None;
    }
    let value = maker.draws.pick(&maker.facts_of(edge.child, name).values)?.clone();
    let shown = maker.shown_columns(edge.parent, true)?;
    let sql = format!(
        "SELECT {} FROM {} {} WHERE {} = {}",
        shown.sql,
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.dotted(edge.child, name),
        maker.style.literal(&value)
    );
    let phrase = family("parent of child", edge).with("columns", shown.columns?).value("value", value.said());
    Some(Draft::new(sql, phrase))
}

/// The parent of the child with the highest, lowest, latest or earliest something.
fn parent_of_extreme(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.sortable(edge.child)?;
    let high = maker.draws.chance(0.65);
    let word = if high { " DESC" } else { "" };
    let date = maker.facts_of(edge.child, column).role.is_date();
    let key = match (date, high) {
        (false, true) => "parent of highest",
        (false, false) => "parent of lowest",
        (true, true) => "parent of latest",
        (true, false) => "parent of earliest",
    };
    let by = maker.dotted(edge.child, column);
    let body = format!("FROM {} {} ORDER BY {by}{word} LIMIT", maker.name(edge.child), maker.join_parent(edge));
    let sql = format!("SELECT {} {body} 1", maker.dotted(edge.parent, label));
    let ties = format!("SELECT {by} {body} 2");
    let phrase = family(key, edge).column("label", edge.parent, label).column("column", edge.child, column);
    Some(Draft::new(sql, phrase).part(key).ties(ties, 1))
}

/// A column of the child and the label of its parent.
fn beside_parent(maker: &mut Maker<'_>) -> Option<(Edge, usize, usize)> {
    let (edge, label) = labelled(maker)?;
    let own = maker.column(edge.child, |column| !matches!(column.role, Role::Key | Role::Reference | Role::Other))?;
    Some((edge, label, own))
}

fn child_with_parent_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label, own) = beside_parent(maker)?;
    let by = maker.sortable(edge.child)?;
    let descending = maker.draws.chance(0.6);
    let sql = format!(
        "SELECT {}, {} FROM {} {} ORDER BY {}{}",
        maker.dotted(edge.child, own),
        maker.dotted(edge.parent, label),
        maker.name(edge.child),
        maker.join_parent(edge),
        maker.dotted(edge.child, by),
        if descending { " DESC" } else { "" }
    );
    let phrase = family("child with parent sorted", edge)
        .column("column", edge.child, own)
        .column("label", edge.parent, label)
        .phrase("order", order_phrase(maker, edge.child, by, descending));
    Some(Draft::new(sql, phrase).part(if descending { "desc" } else { "asc" }))
}

fn child_with_chosen_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label, own) = beside_parent(maker)?;
    let condition = maker.condition(edge.parent, true, &[label])?;
    let sql = format!(
        "SELECT {}, {} FROM {} {} WHERE {}",
        maker.dotted(edge.child, own),
        maker.dotted(edge.parent, label),
        maker.name(edge.child),
        maker.join_parent(edge),
        condition.sql
    );
    let phrase = family("child with chosen parent", edge)
        .column("column", edge.child, own)
        .column("label", edge.parent, label)
        .phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}

/// Children that meet one condition, of parents that meet another: counted, or some columns.
fn children_of_both(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let (test, parent, child, kind) = both_sides(maker, edge)?;
    let counted = maker.draws.chance(0.4);
    let (what, phrase) = if counted {
        ("COUNT(*)".to_owned(), family("count children of both", edge))
    } else {
        let shown = maker.shown_columns(edge.child, true)?;
        (shown.sql, family("columns of children of both", edge).with("columns", shown.columns?))
    };
    let sql = format!("SELECT {what} FROM {} {} WHERE {test}", maker.name(edge.child), maker.join_parent(edge));
    let phrase = phrase.phrase("where", parent).phrase("which", child);
    Some(Draft::new(sql, phrase).part(kind).part(if counted { "count" } else { "columns" }))
}

fn different_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.column(edge.child, |column| column.role == Role::Category && column.values.len() >= 2)?;
    let sql = format!(
        "SELECT {}, COUNT(DISTINCT {}) FROM {} {} GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.dotted(edge.child, column),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let phrase =
        family("different per parent", edge).column("label", edge.parent, label).column("column", edge.child, column);
    Some(Draft::new(sql, phrase))
}

fn children_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let condition = maker.maybe(0.25, edge.child, true, &[]);
    let sql = format!(
        "SELECT {}, COUNT(*) FROM {} {}{} GROUP BY {} ORDER BY COUNT(*) DESC",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        crate::synth::draft::where_clause(condition.as_ref()),
        maker.group_by_row(edge, label)
    );
    let phrase =
        family("children per parent sorted", edge).column("label", edge.parent, label).given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn having_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let count = maker.draws.between(1, 3);
    let sql = format!(
        "SELECT {}, COUNT(*) FROM {} {} GROUP BY {} HAVING COUNT(*) > {count} ORDER BY COUNT(*) DESC",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    Some(Draft::new(sql, family("parents having sorted", edge).column("label", edge.parent, label).value("n", count)))
}

/// Sums of all parents, zero for those without children.
fn sum_with_zero(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.summable(edge.child)?;
    let measure = maker.aggregate_of("sum", edge.child, column, true);
    let sql = format!(
        "SELECT {}, COALESCE({}, 0) FROM {} LEFT {} GROUP BY {}",
        maker.dotted(edge.parent, label),
        measure.sql,
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let phrase = family("sum with zero", edge).column("label", edge.parent, label).phrase("measure", measure.phrase);
    Some(Draft::new(sql, phrase))
}

fn beside_children(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label, own) = beside_parent(maker)?;
    let sql = format!(
        "SELECT {}, {} FROM {} LEFT {}",
        maker.dotted(edge.parent, label),
        maker.dotted(edge.child, own),
        maker.name(edge.parent),
        maker.join_child(edge)
    );
    let phrase =
        family("parents beside children", edge).column("label", edge.parent, label).column("column", edge.child, own);
    Some(Draft::new(sql, phrase))
}

/// Parents with children in two tables, or in one of them only.
fn with_both_kinds(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let others: Vec<Edge> = maker
        .facts
        .edges
        .iter()
        .copied()
        .filter(|other| other.parent == edge.parent && other.child != edge.child && other.child != other.parent)
        .filter(|other| !maker.table(other.child).links && other.parent_column == edge.parent_column)
        .collect();
    let other = *maker.draws.pick(&others)?;
    if [edge, other].iter().any(|edge| maker.facts_of(edge.child, edge.child_column).nulls > 0) {
        return None;
    }
    let both = maker.draws.chance(0.5);
    let (word, key) = if both { ("IN", "with both kinds") } else { ("NOT IN", "with one kind only") };
    let key_sql = maker.bare(edge.parent, edge.parent_column);
    let keys =
        |edge: Edge| format!("(SELECT {} FROM {})", maker.bare(edge.child, edge.child_column), maker.name(edge.child));
    let sql = format!(
        "SELECT {} FROM {} WHERE {key_sql} IN {} AND {key_sql} {word} {}",
        maker.bare(edge.parent, label),
        maker.name(edge.parent),
        keys(edge),
        keys(other)
    );
    let phrase = Phrase::new(key).table("parent", edge.parent).table("a", edge.child).table("b", other.child).column(
        "label",
        edge.parent,
        label,
    );
    Some(Draft::new(sql, phrase).part(key))
}

/// The month or year with the most rows.
fn busiest(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let date = maker.date(table)?;
    if maker.facts_of(table, date).nulls > 0 {
        return None;
    }
    let yearly = maker.draws.chance(0.4);
    let name = maker.bare(table, date);
    let (by, key) =
        if yearly { (maker.style.year(&name), "busiest year") } else { (maker.style.month(&name), "busiest month") };
    let body = format!("FROM {} GROUP BY {by} ORDER BY COUNT(*) DESC LIMIT", maker.name(table));
    let phrase = Phrase::new(key).table("table", table).column("column", table, date);
    Some(Draft::new(format!("SELECT {by} {body} 1"), phrase).part(key).ties(format!("SELECT COUNT(*) {body} 2"), 1))
}

fn per_year(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let date = maker.date(table)?;
    if maker.facts_of(table, date).nulls > 0 {
        return None;
    }
    let measure = maker.aggregate(table, false)?;
    let by = maker.style.year(&maker.bare(table, date));
    let sql = format!("SELECT {by}, {} FROM {} GROUP BY {by}", measure.sql, maker.name(table));
    let phrase = Phrase::new("aggregate per year").table("table", table).column("date", table, date);
    Some(Draft::new(sql, phrase.phrase("measure", measure.phrase)).part(measure.kind))
}

/// Pieces times price, month by month.
fn product_per_month(maker: &mut Maker<'_>) -> Option<Draft> {
    let of = |role: Role| move |column: &crate::synth::facts::ColumnFacts| column.role == role;
    let table = maker.table_where(|table| {
        table.count(of(Role::Quantity)) > 0
            && table.count(of(Role::Money)) > 0
            && table.count(|column| column.role.is_date()) > 0
    })?;
    let date = maker.column(table, |column| column.role.is_date() && column.nulls == 0)?;
    let pieces = maker.column(table, |column| column.role == Role::Quantity && column.nulls == 0)?;
    let price = maker.column(table, |column| {
        column.role == Role::Money
            && column.nulls == 0
            && ["price", "cost", "fee", "rate"].iter().any(|word| column.words.ends_with(word))
    })?;
    let by = maker.style.month(&maker.bare(table, date));
    let sql = format!(
        "SELECT {by}, SUM({} * {}) FROM {} GROUP BY {by}",
        maker.bare(table, pieces),
        maker.bare(table, price),
        maker.name(table)
    );
    let phrase = Phrase::new("product per month")
        .table("table", table)
        .column("date", table, date)
        .column("pieces", table, pieces)
        .column("price", table, price);
    Some(Draft::new(sql, phrase))
}
