//! UNION, INTERSECT, EXCEPT.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("union of two tables", Hard, union_tables),
    pattern("in both tables", Extra, in_both_tables),
    pattern("in first table only", Extra, in_first_only),
    pattern("labels of both kinds", Hard, union_labels),
];

/// Two tables with a column that means the same.
fn shared_column(maker: &mut Maker<'_>) -> Option<(usize, usize, usize, usize)> {
    let a = maker.any_table()?;
    let b = maker.any_table()?;
    if a == b {
        return None;
    }
    let column = maker.column(a, |column| {
        column.role == Role::Category
            && column.nulls == 0
            && !column.words.contains("status")
            && !column.words.ends_with("type")
    })?;
    let words = maker.facts_of(a, column).words.clone();
    let other =
        maker.column(b, |column| column.words == words && column.role == Role::Category && column.nulls == 0)?;
    Some((a, column, b, other))
}

fn combined(maker: &mut Maker<'_>, operator: &str, key: &'static str) -> Option<Draft> {
    let (a, column, b, other) = shared_column(maker)?;
    let sql = format!(
        "SELECT {} FROM {} {operator} SELECT {} FROM {}",
        maker.bare(a, column),
        maker.name(a),
        maker.bare(b, other),
        maker.name(b)
    );
    Some(Draft::new(sql, Phrase::new(key).table("a", a).table("b", b).column("column", a, column)))
}

fn union_tables(maker: &mut Maker<'_>) -> Option<Draft> {
    combined(maker, "UNION", "union of two tables")
}

fn in_both_tables(maker: &mut Maker<'_>) -> Option<Draft> {
    combined(maker, "INTERSECT", "in both tables")
}

fn in_first_only(maker: &mut Maker<'_>) -> Option<Draft> {
    combined(maker, "EXCEPT", "in first table only")
}

/// The labels of two tables in one list, repeats kept or not.
fn union_labels(maker: &mut Maker<'_>) -> Option<Draft> {
    let a = maker.any_table()?;
    let b = maker.any_table()?;
    if a == b {
        return None;
    }
    let (first, second) = (maker.label(a)?, maker.label(b)?);
    let all = maker.draws.chance(0.4);
    let (operator, key) = if all { ("UNION ALL", "labels of both with repeats") } else { ("UNION", "labels of both") };
    let sql = format!(
        "SELECT {} FROM {} {operator} SELECT {} FROM {}",
        maker.bare(a, first),
        maker.name(a),
        maker.bare(b, second),
        maker.name(b)
    );
    let phrase = Phrase::new(key).table("a", a).table("b", b).column("first", a, first).column("second", b, second);
    Some(Draft::new(sql, phrase).part(key))
}
