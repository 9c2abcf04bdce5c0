//! Classes by two columns together, and a second figure that depends on a third.

use super::lists::bounds;
use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] =
    &[pattern("classes by two", Extra, by_two), pattern("extra if", Extra, extra_if)];

/// Lowest, middle and highest class.
const CLASSES: &[(&str, &str, &str)] = &[
    ("Bronze", "Silver", "Gold"),
    ("Starter", "Regular", "Expert"),
    ("low", "medium", "high"),
    ("C", "B", "A"),
    ("Small", "Medium", "Large"),
    ("Trainee", "Specialist", "Lead"),
    ("basic", "plus", "premium"),
];

fn complete(column: &ColumnFacts) -> bool {
    column.role.is_number() && column.nulls == 0 && column.values.len() >= 6
}

/// `low`, `middle` and `high` of two numbers that both have to be reached, at times with an extra beside it.
fn by_two(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.table_where(|table| table.label.is_some() && table.count(complete) >= 2)?;
    let label = maker.label(table)?;
    let columns = maker.columns(table, complete);
    let [a, b] = maker.draws.some(&columns, 2).try_into().ok()?;
    let ((a_low, a_high), (b_low, b_high)) = (bounds(maker, table, a)?, bounds(maker, table, b)?);
    let (below, middle, above) = *maker.draws.pick(CLASSES)?;
    let (a_sql, b_sql, name) = (maker.bare(table, a), maker.bare(table, b), maker.bare(table, label));
    let case = format!(
        "CASE WHEN {a_sql} >= {a_high} AND {b_sql} >= {b_high} THEN '{above}' \
         WHEN {a_sql} >= {a_low} AND {b_sql} >= {b_low} THEN '{middle}' ELSE '{below}' END"
    );
    let said = |key| {
        Phrase::new(key)
            .table("table", table)
            .column("label", table, label)
            .column("a", table, a)
            .column("b", table, b)
            .value("above", above)
            .value("middle", middle)
            .value("below", below)
    };
    let told = Phrase::new("evidence classes by two")
        .code("a", a_sql)
        .code("b", b_sql)
        .code("a high", a_high)
        .code("b high", b_high)
        .code("a low", a_low)
        .code("b low", b_low)
        .code("above", above)
        .code("middle", middle)
        .code("below", below);
    let from = maker.name(table);
    if maker.draws.chance(0.5)
        && let Some(extra) = extra(maker, table)
    {
        let sql = format!("SELECT {name}, {case}, {} FROM {from}", extra.sql);
        let phrase = said("classes by two and extra")
            .column("test", table, extra.test)
            .value("bound", &extra.bound)
            .column("money", table, extra.money);
        return Some(Draft::new(sql, phrase).part("extra").evidence(told).evidence(extra.told));
    }
    Some(Draft::new(format!("SELECT {name}, {case} FROM {from}"), said("classes by two")).part("plain").evidence(told))
}

/// A part of an amount of money for those above a bound, 0 for the others.
struct Extra {
    sql: String,
    test: usize,
    money: usize,
    bound: String,
    percent: i64,
    told: Phrase,
}

fn extra(maker: &mut Maker<'_>, table: usize) -> Option<Extra> {
    let money = maker.column(table, |column| column.role == Role::Money && column.nulls == 0)?;
    let test = maker.column(table, complete).filter(|test| *test != money)?;
    let (_, bound) = bounds(maker, table, test)?;
    let percent = *maker.draws.pick(&[5, 10, 15, 20])?;
    let (money_sql, test_sql) = (maker.bare(table, money), maker.bare(table, test));
    let sql = format!("CASE WHEN {test_sql} > {bound} THEN {money_sql} * 0.{percent:02} ELSE 0 END");
    let told = Phrase::new("evidence extra")
        .code("money", money_sql)
        .code("test", test_sql)
        .code("bound", &bound)
        .code("percent", percent.to_string());
    Some(Extra { sql, test, money, bound, percent, told })
}

fn extra_if(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.table_where(|table| table.label.is_some() && table.count(complete) >= 2)?;
    let label = maker.label(table)?;
    let extra = extra(maker, table)?;
    let sql = format!("SELECT {}, {} FROM {}", maker.bare(table, label), extra.sql, maker.name(table));
    let phrase = |key| {
        Phrase::new(key)
            .table("table", table)
            .column("label", table, label)
            .column("test", table, extra.test)
            .column("money", table, extra.money)
            .value("bound", &extra.bound)
    };
    if maker.draws.chance(0.5) {
        return Some(Draft::new(sql, phrase("extra told")).part("told").evidence(extra.told));
    }
    Some(Draft::new(sql, phrase("extra if").value("percent", extra.percent)).part("said"))
}
