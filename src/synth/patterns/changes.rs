//! INSERT, UPDATE and DELETE, made only when asked for. They are checked on a copy that is thrown away.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("insert", Medium, insert),
    pattern("update", Medium, update),
    pattern("raise", Hard, raise),
    pattern("delete", Medium, delete),
];

fn change(sql: String, phrase: Phrase) -> Draft {
    Draft { changes: true, ..Draft::new(sql, phrase) }
}

fn insert(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let columns: Vec<usize> =
        maker.columns(table, |column| column.role.is_text() || column.role.is_number() && !column.values.is_empty());
    let chosen: Vec<usize> = columns.into_iter().take(2).collect();
    let [a, b] = chosen.as_slice() else { return None };
    let first = maker.draws.pick(&maker.facts_of(table, *a).values)?.clone();
    let second = maker.draws.pick(&maker.facts_of(table, *b).values)?.clone();
    let sql = format!(
        "INSERT INTO {} ({}, {}) VALUES ({}, {})",
        maker.name(table),
        maker.bare(table, *a),
        maker.bare(table, *b),
        maker.style.literal(&first),
        maker.style.literal(&second)
    );
    let phrase = Phrase::new("insert")
        .table("table", table)
        .column("first", table, *a)
        .column("second", table, *b)
        .value("a", first.said())
        .value("b", second.said());
    Some(change(sql, phrase))
}

fn update(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
    let value = maker.draws.pick(&maker.facts_of(table, column).values)?.clone();
    let condition = maker.condition(table, false, &[column])?;
    let sql = format!(
        "UPDATE {} SET {} = {} WHERE {}",
        maker.name(table),
        maker.bare(table, column),
        maker.style.literal(&value),
        condition.sql
    );
    let phrase = Phrase::new("update")
        .table("table", table)
        .column("column", table, column)
        .value("value", value.said())
        .phrase("where", condition.phrase.clone());
    Some(change(sql, phrase).given(Some(&condition)))
}

fn raise(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.role == Role::Money)?;
    let condition = maker.condition(table, false, &[column])?;
    let percent = *maker.draws.pick(&[5, 10, 20])?;
    let name = maker.bare(table, column);
    let factor = format!("1.{percent:02}");
    let sql = format!(
        "UPDATE {} SET {name} = {name} * {} WHERE {}",
        maker.name(table),
        factor.trim_end_matches('0'),
        condition.sql
    );
    let phrase = Phrase::new("raise")
        .table("table", table)
        .column("column", table, column)
        .value("percent", percent)
        .phrase("where", condition.phrase.clone());
    Some(change(sql, phrase).given(Some(&condition)))
}

fn delete(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let condition = maker.condition(table, false, &[])?;
    let sql = format!("DELETE FROM {} WHERE {}", maker.name(table), condition.sql);
    let phrase = Phrase::new("delete").table("table", table).phrase("where", condition.phrase.clone());
    Some(change(sql, phrase).given(Some(&condition)))
}
