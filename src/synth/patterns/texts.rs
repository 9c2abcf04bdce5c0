//! Text: length, case, parts, putting together.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("changed case", Medium, changed_case),
    pattern("text length", Medium, text_length),
    pattern("longest text", Hard, longest_text),
    pattern("longer than", Medium, longer_than),
    pattern("put together", Hard, put_together),
    pattern("first letters", Hard, first_letters),
    pattern("replaced text", Hard, replaced_text),
    pattern("email domain", Hard, email_domain),
];

fn texted(maker: &mut Maker<'_>) -> Option<(usize, usize)> {
    let table = maker.any_table()?;
    let column =
        maker.column(table, |column| column.role.is_text() && column.nulls == 0 && !column.values.is_empty())?;
    Some((table, column))
}

fn said(key: &'static str, table: usize, column: usize) -> Phrase {
    Phrase::new(key).table("table", table).column("column", table, column)
}

fn changed_case(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let upper = maker.draws.chance(0.6);
    let (function, key) = if upper { ("UPPER", "upper case") } else { ("LOWER", "lower case") };
    let sql = format!("SELECT {function}({}) FROM {}", maker.bare(table, column), maker.name(table));
    Some(Draft::new(sql, said(key, table, column)).part(key))
}

fn text_length(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let name = maker.bare(table, column);
    let sql = format!("SELECT {name}, {} FROM {}", maker.style.length(&name), maker.name(table));
    Some(Draft::new(sql, said("text length", table, column)))
}

fn longest_text(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let longest = maker.draws.chance(0.6);
    let (word, key) = if longest { (" DESC", "longest text") } else { ("", "shortest text") };
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let length = maker.style.length(&name);
    let sql = format!("SELECT {name} FROM {from} ORDER BY {length}{word} LIMIT 1");
    let ties = format!("SELECT {length} FROM {from} ORDER BY {length}{word} LIMIT 2");
    Some(Draft::new(sql, said(key, table, column)).part(key).ties(ties, 1))
}

fn longer_than(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let count = maker.draws.between(4, 20);
    let name = maker.bare(table, column);
    let sql = format!("SELECT {name} FROM {} WHERE {} > {count}", maker.name(table), maker.style.length(&name));
    Some(Draft::new(sql, said("longer than", table, column).value("n", count)))
}

fn put_together(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let first = maker.column(table, |column| column.words == "first name")?;
    let last = maker.column(table, |column| column.words == "last name" || column.words == "surname")?;
    let condition = maker.maybe(0.4, table, false, &[first, last]);
    let (a, b) = (maker.bare(table, first), maker.bare(table, last));
    let filter = crate::synth::draft::where_clause(condition.as_ref());
    let sql = format!("SELECT {} FROM {}{filter}", maker.style.concat(&[&a, "' '", &b]), maker.name(table));
    let phrase = Phrase::new("full name")
        .table("table", table)
        .column("first", table, first)
        .column("last", table, last)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn first_letters(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let count = *maker.draws.pick(&[1, 2, 3, 3, 4])?;
    let name = maker.bare(table, column);
    let sql = format!("SELECT SUBSTR({name}, 1, {count}) FROM {}", maker.name(table));
    let key = if count == 1 { "first letter" } else { "first letters" };
    let phrase = said(key, table, column);
    let phrase = if count == 1 { phrase } else { phrase.value("n", count) };
    Some(Draft::new(sql, phrase).part(key))
}

fn replaced_text(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, column) = texted(maker)?;
    let (a, b) = *maker.draws.pick(&[(" ", "-"), (" ", "_")])?;
    let name = maker.bare(table, column);
    let sql = format!("SELECT REPLACE({name}, '{a}', '{b}') FROM {}", maker.name(table));
    let key = if b == "-" { "spaces to hyphens" } else { "spaces to underscores" };
    Some(Draft::new(sql, said(key, table, column)).part(key))
}

fn email_domain(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.role == Role::Email && !column.values.is_empty())?;
    let value = maker.draws.pick(&maker.facts.tables[table].columns[column].values)?.said();
    let domain = value.split_once('@')?.1.to_owned();
    let label = maker.label(table)?;
    let sql = format!(
        "SELECT {} FROM {} WHERE {}",
        maker.bare(table, label),
        maker.name(table),
        maker.style.like(&maker.bare(table, column), &format!("%@{domain}"))
    );
    let phrase = said("email domain", table, column).column("label", table, label).value("domain", domain);
    Some(Draft::new(sql, phrase))
}
