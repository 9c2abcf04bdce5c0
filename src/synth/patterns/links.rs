//! Tables that a third one links: pairs, counts, those linked to none.

use super::joins::bridge_joins;
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::Edge;
use crate::synth::maker::Maker;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("linked pairs", Medium, linked_pairs),
    pattern("linked count", Hard, linked_count),
    pattern("linked most", Extra, linked_most),
    pattern("linked to none", Hard, linked_to_none),
    pattern("linked where", Hard, linked_where),
    pattern("linked more than", Extra, linked_more),
];

/// The two keys of a link and the label of the left side.
fn linked(maker: &mut Maker<'_>) -> Option<(Edge, Edge, usize)> {
    let (left, right) = maker.bridge()?;
    Some((left, right, maker.label(left.parent)?))
}

/// The same where the link is nothing but a link: each pair stands in it once, so that its rows count partners.
fn mere_link(maker: &mut Maker<'_>) -> Option<(Edge, Edge, usize)> {
    let found = linked(maker)?;
    maker.table(found.0.child).links.then_some(found)
}

fn said(key: &'static str, left: Edge, right: Edge, label: usize) -> Phrase {
    Phrase::new(key).table("left", left.parent).table("right", right.parent).table("link", left.child).column(
        "label",
        left.parent,
        label,
    )
}

fn linked_pairs(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, first) = mere_link(maker)?;
    let second = maker.label(right.parent)?;
    let sql = format!(
        "SELECT {}, {} FROM {}",
        maker.dotted(left.parent, first),
        maker.dotted(right.parent, second),
        bridge_joins(maker, left, right)
    );
    let phrase = Phrase::new("linked pairs")
        .table("left", left.parent)
        .table("right", right.parent)
        .table("link", left.child)
        .column("first", left.parent, first)
        .column("second", right.parent, second);
    Some(Draft::new(sql, phrase))
}

/// `FROM left JOIN link … GROUP BY left`.
fn grouped(maker: &Maker<'_>, left: Edge, label: usize) -> String {
    format!("FROM {} {} GROUP BY {}", maker.name(left.parent), maker.join_child(left), maker.group_by_row(left, label))
}

fn linked_count(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, label) = mere_link(maker)?;
    let sql = format!("SELECT {}, COUNT(*) {}", maker.dotted(left.parent, label), grouped(maker, left, label));
    Some(Draft::new(sql, said("linked count", left, right, label)))
}

fn linked_most(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, label) = mere_link(maker)?;
    let body = format!("{} ORDER BY COUNT(*) DESC LIMIT", grouped(maker, left, label));
    let sql = format!("SELECT {} {body} 1", maker.dotted(left.parent, label));
    Some(Draft::new(sql, said("linked most", left, right, label)).ties(format!("SELECT COUNT(*) {body} 2"), 1))
}

fn linked_more(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, label) = mere_link(maker)?;
    let count = maker.draws.between(1, 3);
    let sql = format!(
        "SELECT {} {} HAVING COUNT(*) > {count}",
        maker.dotted(left.parent, label),
        grouped(maker, left, label)
    );
    Some(Draft::new(sql, said("linked more than", left, right, label).value("n", count)))
}

fn linked_to_none(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, label) = linked(maker)?;
    let sql = format!(
        "SELECT {} FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} = {})",
        maker.bare(left.parent, label),
        maker.name(left.parent),
        maker.name(left.child),
        maker.dotted(left.child, left.child_column),
        maker.dotted(left.parent, left.parent_column)
    );
    Some(Draft::new(sql, said("linked to none", left, right, label)))
}

/// Rows linked to some that meet a condition.
fn linked_where(maker: &mut Maker<'_>) -> Option<Draft> {
    let (left, right, label) = linked(maker)?;
    let condition = maker.condition(right.parent, true, &[])?;
    let sql = format!(
        "SELECT DISTINCT {} FROM {} WHERE {}",
        maker.dotted(left.parent, label),
        bridge_joins(maker, left, right),
        condition.sql
    );
    let phrase = said("linked where", left, right, label).phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}
