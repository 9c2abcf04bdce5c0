//! Two keys in a row with conditions along the way: without any at the end, or with some.

use super::{Pattern, pattern};
use crate::synth::draft::{Condition, Difficulty::*, Draft, Phrase};
use crate::synth::facts::Edge;
use crate::synth::maker::Maker;

pub(super) const PATTERNS: &[Pattern] =
    &[pattern("both without", Extra, both_without), pattern("some far", Extra, some_far)];

fn said(key: &'static str, lower: Edge, upper: Edge, label: usize) -> Phrase {
    Phrase::new(key).table("child", lower.child).table("middle", lower.parent).table("parent", upper.parent).column(
        "label",
        upper.parent,
        label,
    )
}

/// A category that is equal to something, or else any one condition.
fn one(maker: &mut Maker<'_>, table: usize, avoid: &[usize]) -> Option<Condition> {
    if maker.draws.chance(0.6)
        && let Some(condition) = maker.equal(table, true)
    {
        return Some(condition);
    }
    maker.simple(table, true, avoid).map(|(condition, _)| condition)
}

fn link(maker: &Maker<'_>, edge: Edge) -> String {
    format!("{} = {}", maker.dotted(edge.child, edge.child_column), maker.dotted(edge.parent, edge.parent_column))
}

/// Rows on top and in the middle that meet conditions, the middle one with nothing below it.
fn both_without(maker: &mut Maker<'_>) -> Option<Draft> {
    let (lower, upper) = maker.chain()?;
    let label = maker.label(upper.parent)?;
    let top = one(maker, upper.parent, &[label])?;
    let middle = one(maker, lower.parent, &[])?;
    let sql = format!(
        "SELECT DISTINCT {} FROM {} {} WHERE {} AND {} AND NOT EXISTS (SELECT 1 FROM {} WHERE {})",
        maker.dotted(upper.parent, label),
        maker.name(upper.parent),
        maker.join_child(upper),
        top.sql,
        middle.sql,
        maker.name(lower.child),
        link(maker, lower)
    );
    let phrase = said("both without", lower, upper, label)
        .phrase("where", top.phrase.clone())
        .phrase("which", middle.phrase.clone());
    let told = said("evidence no row", lower, upper, label).code("code", maker.name(lower.child));
    let draft = Draft::new(sql, phrase).part(format!("{}&{}", top.kind, middle.kind));
    Some(if maker.draws.chance(0.4) { draft.evidence(told) } else { draft })
}

/// Rows on top that meet a condition and have, at the end of the chain, at least one that meets another.
fn some_far(maker: &mut Maker<'_>) -> Option<Draft> {
    let (lower, upper) = maker.chain()?;
    let label = maker.label(upper.parent)?;
    let top = if maker.draws.chance(0.75) { Some(one(maker, upper.parent, &[label])?) } else { None };
    let (below, _) = maker.simple(lower.child, true, &[])?;
    let first = top.as_ref().map(|top| format!("{} AND ", top.sql)).unwrap_or_default();
    let sql = format!(
        "SELECT {} FROM {} WHERE {first}EXISTS (SELECT 1 FROM {} {} WHERE {} AND {})",
        maker.dotted(upper.parent, label),
        maker.name(upper.parent),
        maker.name(lower.parent),
        maker.join_child(lower),
        link(maker, upper),
        below.sql
    );
    let phrase = said("some far", lower, upper, label).given(top.as_ref()).phrase("which", below.phrase.clone());
    let told = Phrase { key: "evidence once", slots: phrase.slots.clone() };
    let kind = top.map_or_else(|| "any".to_owned(), |top| top.kind);
    let draft = Draft::new(sql, phrase).part(format!("{kind}&{}", below.kind));
    Some(if maker.draws.chance(0.3) { draft.evidence(told) } else { draft })
}
