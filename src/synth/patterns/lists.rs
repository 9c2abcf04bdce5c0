//! Rows of one table: all, filtered, sorted, the first few, the different values.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, where_clause};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("list", Easy, list),
    pattern("list filtered", Easy, filtered),
    pattern("list filtered", Medium, filtered),
    pattern("distinct", Easy, distinct),
    pattern("sorted", Medium, sorted),
    pattern("top n", Medium, top),
    pattern("superlative", Medium, superlative),
    pattern("in stock sorted", Medium, filtered_sorted),
    pattern("case label", Hard, case_label),
    pattern("case three", Extra, case_three),
    pattern("null replaced", Hard, null_replaced),
    pattern("computed", Hard, computed),
];

fn list(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let shown = maker.shown(table, false)?;
    let sql = format!("SELECT {} FROM {}", shown.sql, maker.name(table));
    let phrase = match shown.columns {
        Some(columns) => Phrase::new("list columns").with("columns", columns),
        None => Phrase::new("list rows"),
    };
    Some(Draft::new(sql, phrase.table("table", table)))
}

fn filtered(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let shown = maker.shown(table, false)?;
    let condition = maker.condition(table, false, &[]);
    condition.as_ref()?;
    let sql = format!("SELECT {} FROM {}{}", shown.sql, maker.name(table), where_clause(condition.as_ref()));
    let phrase = match shown.columns {
        Some(columns) => Phrase::new("list columns").with("columns", columns).given(condition.as_ref()),
        None => Phrase::new("list rows").given(condition.as_ref()),
    };
    Some(Draft::new(sql, phrase.table("table", table)).given(condition.as_ref()))
}

fn distinct(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker
        .column(table, |column| column.role == Role::Category && column.nulls == 0 || column.role == Role::Email)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let sql = format!(
        "SELECT DISTINCT {} FROM {}{}",
        maker.bare(table, column),
        maker.name(table),
        where_clause(condition.as_ref())
    );
    let phrase = Phrase::new("distinct").table("table", table).column("column", table, column);
    Some(Draft::new(sql, phrase.given(condition.as_ref())).given(condition.as_ref()))
}

/// `ASC` is not written: it is the default.
fn direction(maker: &mut Maker<'_>) -> (&'static str, bool) {
    if maker.draws.chance(0.6) { (" DESC", true) } else { ("", false) }
}

pub(super) fn order_phrase(maker: &Maker<'_>, table: usize, column: usize, descending: bool) -> Phrase {
    let role = maker.facts_of(table, column).role;
    let key = match (role.is_date(), role.is_text(), descending) {
        (true, _, true) => "order newest",
        (true, _, false) => "order oldest",
        (_, true, true) => "order reverse alphabetical",
        (_, true, false) => "order alphabetical",
        (_, _, true) => "order desc",
        (_, _, false) => "order asc",
    };
    Phrase::new(key).column("column", table, column)
}

/// The order, and the column that decides between equal ones, always upwards.
fn order_by(maker: &Maker<'_>, table: usize, (column, descending): (usize, bool), second: Option<usize>) -> Phrase {
    let first = order_phrase(maker, table, column, descending);
    match second {
        Some(second) => Phrase::new("order then").phrase("order", first).column("column", table, second),
        None => first,
    }
}

fn sorted_rows(maker: &mut Maker<'_>, filter: f64) -> Option<Draft> {
    let table = maker.any_table()?;
    let shown = maker.shown(table, false)?;
    let words = |column: &ColumnFacts| {
        matches!(column.role, Role::Label | Role::Category) && column.nulls == 0 && column.values.len() >= 3
    };
    let column = if maker.draws.chance(0.3) { maker.column(table, words)? } else { maker.sortable(table)? };
    let condition = maker.maybe(filter, table, false, &[column]);
    let (word, descending) = direction(maker);
    let second = maker.sortable(table).filter(|second| *second != column && maker.draws.chance(0.2));
    let then = second.map(|second| format!(", {}", maker.bare(table, second))).unwrap_or_default();
    let sql = format!(
        "SELECT {} FROM {}{} ORDER BY {}{word}{then}",
        shown.sql,
        maker.name(table),
        where_clause(condition.as_ref()),
        maker.bare(table, column)
    );
    let phrase = match shown.columns {
        Some(columns) => Phrase::new("sorted columns").with("columns", columns),
        None => Phrase::new("sorted rows"),
    };
    let phrase = phrase
        .table("table", table)
        .phrase("order", order_by(maker, table, (column, descending), second))
        .given(condition.as_ref());
    let part = if descending { "desc" } else { "asc" };
    Some(Draft::new(sql, phrase).part(part).given(condition.as_ref()))
}

fn sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    sorted_rows(maker, 0.0)
}

fn filtered_sorted(maker: &mut Maker<'_>) -> Option<Draft> {
    sorted_rows(maker, 1.0)
}

fn top(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let shown = maker.shown(table, false)?;
    let column = maker.sortable(table)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let (word, descending) = direction(maker);
    let count = *maker.draws.pick(&[2usize, 3, 3, 5, 5, 10])?;
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {} FROM {from}{filter} ORDER BY {name}{word} LIMIT {count}", shown.sql);
    let date = maker.facts_of(table, column).role.is_date();
    let key = match (shown.columns.is_some(), date, descending) {
        (true, false, true) => "top columns",
        (true, false, false) => "bottom columns",
        (true, true, true) => "latest columns",
        (true, true, false) => "earliest columns",
        (false, false, true) => "top rows",
        (false, false, false) => "bottom rows",
        (false, true, true) => "latest rows",
        (false, true, false) => "earliest rows",
    };
    let mut phrase = Phrase::new(key)
        .table("table", table)
        .column("column", table, column)
        .value("n", count)
        .given(condition.as_ref());
    if let Some(columns) = shown.columns {
        phrase = phrase.with("columns", columns);
    }
    let ties = format!("SELECT {name} FROM {from}{filter} ORDER BY {name}{word} LIMIT {}", count + 1);
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()).ties(ties, count))
}

fn superlative(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let column = maker.sortable(table)?;
    let condition = maker.maybe(0.25, table, false, &[column, label]);
    let (word, descending) = direction(maker);
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {} FROM {from}{filter} ORDER BY {name}{word} LIMIT 1", maker.bare(table, label));
    let date = maker.facts_of(table, column).role.is_date();
    let key = match (date, descending) {
        (false, true) => "which highest",
        (false, false) => "which lowest",
        (true, true) => "which latest",
        (true, false) => "which earliest",
    };
    let phrase = Phrase::new(key)
        .table("table", table)
        .column("column", table, column)
        .column("label", table, label)
        .given(condition.as_ref());
    let ties = format!("SELECT {name} FROM {from}{filter} ORDER BY {name}{word} LIMIT 2");
    Some(Draft::new(sql, phrase).part(key).given(condition.as_ref()).ties(ties, 1))
}

/// Two bounds of a number, low and high, as people would say them.
pub(super) fn bounds(maker: &mut Maker<'_>, table: usize, column: usize) -> Option<(String, String)> {
    use crate::synth::style::plain_number;
    let values = &maker.facts_of(table, column).values;
    if values.len() < 6 {
        return None;
    }
    let numbers: Vec<f64> = values.iter().filter_map(crate::synth::Cell::number).collect();
    let low = numbers.get(numbers.len() / 3)?.round();
    let high = numbers.get(numbers.len() * 2 / 3)?.round();
    (low < high).then(|| (plain_number(low), plain_number(high)))
}

/// Words for two and three classes.
const CLASSES: &[(&str, &str, &str)] =
    &[("low", "medium", "high"), ("small", "medium", "large"), ("bronze", "silver", "gold"), ("C", "B", "A")];

fn case_label(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let column = maker.number(table)?;
    if maker.facts_of(table, column).nulls > 0 {
        return None;
    }
    let (_, high) = bounds(maker, table, column)?;
    let (low_word, _, high_word) = *maker.draws.pick(CLASSES)?;
    let name = maker.bare(table, column);
    let sql = format!(
        "SELECT {}, CASE WHEN {name} >= {high} THEN '{high_word}' ELSE '{low_word}' END FROM {}",
        maker.bare(table, label),
        maker.name(table)
    );
    let said = |key| {
        Phrase::new(key)
            .table("table", table)
            .column("label", table, label)
            .column("column", table, column)
            .value("above", high_word)
            .value("below", low_word)
    };
    if maker.draws.chance(0.5) {
        let bounds = said("evidence two classes").code("code", name).code("bound", high);
        return Some(Draft::new(sql, said("case label told")).evidence(bounds));
    }
    Some(Draft::new(sql, said("case label").value("bound", high)))
}

fn case_three(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    if maker.facts_of(table, column).nulls > 0 {
        return None;
    }
    let (low, high) = bounds(maker, table, column)?;
    let (low_word, middle, high_word) = *maker.draws.pick(CLASSES)?;
    let (name, from) = (maker.bare(table, column), maker.name(table));
    let case = format!(
        "CASE WHEN {name} >= {high} THEN '{high_word}' WHEN {name} >= {low} THEN '{middle}' ELSE '{low_word}' END"
    );
    let counted = maker.draws.chance(0.5);
    let (sql, key) = if counted {
        (format!("SELECT {case} AS bracket, COUNT(*) FROM {from} GROUP BY bracket"), "case three counted")
    } else {
        let label = maker.label(table)?;
        (format!("SELECT {}, {case} FROM {from}", maker.bare(table, label)), "case three")
    };
    let mut phrase = Phrase::new(key).table("table", table).column("column", table, column);
    if !counted {
        phrase = phrase.column("label", table, maker.label(table)?);
    }
    let phrase = phrase.value("below", low_word).value("middle", middle).value("above", high_word);
    if maker.draws.chance(0.5) {
        let bounds = Phrase { key: "evidence three classes", slots: phrase.slots.clone() };
        let bounds = bounds.code("code", name).code("low", low).code("high", high);
        let key = if counted { "case three counted told" } else { "case three told" };
        return Some(Draft::new(sql, Phrase { key, ..phrase }).part(key).evidence(bounds));
    }
    Some(Draft::new(sql, phrase.value("low", low).value("high", high)).part(key))
}

fn null_replaced(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let text = |role: Role| role.is_text() || matches!(role, Role::Email | Role::Phone);
    let column = maker.column(table, |column| column.nulls > 0 && text(column.role))?;
    if column == label {
        return None;
    }
    let word = *maker.draws.pick(&["unknown", "n/a", "none", "not given"])?;
    let sql = format!(
        "SELECT {}, COALESCE({}, '{word}') FROM {}",
        maker.bare(table, label),
        maker.bare(table, column),
        maker.name(table)
    );
    let phrase = Phrase::new("null replaced")
        .table("table", table)
        .column("label", table, label)
        .column("column", table, column)
        .value("word", word);
    Some(Draft::new(sql, phrase))
}

/// A number raised or lowered by a percentage.
fn computed(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let label = maker.label(table)?;
    let column = maker.column(table, |column| column.role == Role::Money && column.nulls == 0)?;
    let percent = *maker.draws.pick(&[5, 10, 15, 20, 25])?;
    let up = maker.draws.chance(0.6);
    let factor = if up { 100 + percent } else { 100 - percent };
    let factor = format!("{}.{:02}", factor / 100, factor % 100);
    let factor = factor.trim_end_matches('0');
    let sql = format!(
        "SELECT {}, {} * {factor} FROM {}",
        maker.bare(table, label),
        maker.bare(table, column),
        maker.name(table)
    );
    let phrase = Phrase::new(if up { "raised" } else { "lowered" })
        .table("table", table)
        .column("label", table, label)
        .column("column", table, column)
        .value("percent", percent);
    Some(Draft::new(sql, phrase).part(if up { "raised" } else { "lowered" }))
}
