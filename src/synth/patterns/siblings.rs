//! Tables of the same columns that each hold a part: a year, a quarter. UNION ALL puts them together.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;
use crate::synth::words::is_part;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("siblings listed", Medium, listed),
    pattern("siblings total", Hard, total),
    pattern("siblings per group", Hard, per_group),
    pattern("siblings per group", Extra, per_group),
    pattern("siblings top", Extra, top),
    pattern("siblings side by side", Extra, per_part),
];

/// All tables of one such family, and the words they share.
fn siblings(maker: &mut Maker<'_>) -> Option<(Vec<usize>, String)> {
    let front = |table: usize| {
        maker.table(table).words.rsplit_once(' ').filter(|(_, part)| is_part(part)).map(|(front, _)| front.to_owned())
    };
    let columns = |table: usize| maker.table(table).columns.iter().map(|column| &column.name).collect::<Vec<_>>();
    let mut families: Vec<(Vec<usize>, String)> = Vec::new();
    for table in 0..maker.facts.tables.len() {
        let Some(words) = front(table) else { continue };
        match families.iter_mut().find(|(known, own)| *own == words && columns(known[0]) == columns(table)) {
            Some((known, _)) => known.push(table),
            None => families.push((vec![table], words)),
        }
    }
    families.retain(|(tables, _)| tables.len() >= 2);
    maker.draws.pick(&families).cloned()
}

/// `SELECT … FROM a UNION ALL SELECT … FROM b`.
fn together(maker: &Maker<'_>, tables: &[usize], columns: &str, test: &str) -> String {
    let one = |table: &usize| format!("SELECT {columns} FROM {}{test}", maker.name(*table));
    tables.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

fn said(key: &'static str, words: &str) -> Phrase {
    Phrase::new(key).words("table", words)
}

/// A column that is of use in every one of the tables.
fn shared(maker: &mut Maker<'_>, tables: &[usize], wanted: impl Fn(&ColumnFacts) -> bool) -> Option<usize> {
    let all = maker.columns(tables[0], &wanted);
    let all: Vec<usize> =
        all.into_iter().filter(|at| tables.iter().all(|table| wanted(maker.facts_of(*table, *at)))).collect();
    maker.draws.pick(&all).copied()
}

fn adds_up(column: &ColumnFacts) -> bool {
    column.adds_up() && column.values.len() >= 2
}

fn groups(column: &ColumnFacts) -> bool {
    matches!(column.role, Role::Category | Role::Label | Role::Year | Role::Reference) && column.nulls == 0
}

fn listed(maker: &mut Maker<'_>) -> Option<Draft> {
    let (tables, words) = siblings(maker)?;
    let first = tables[0];
    let condition = maker.maybe(0.5, first, false, &[]).filter(|condition| !condition.loose);
    let test = condition.as_ref().map(|condition| format!(" WHERE {}", condition.sql)).unwrap_or_default();
    let shown = maker.shown(first, false)?;
    let sql = together(maker, &tables, &shown.sql, &test);
    let phrase = match shown.columns {
        Some(columns) => said("siblings columns", &words).with("columns", columns),
        None => said("siblings rows", &words),
    };
    Some(Draft::new(sql, phrase.given(condition.as_ref())).given(condition.as_ref()))
}

fn total(maker: &mut Maker<'_>) -> Option<Draft> {
    let (tables, words) = siblings(maker)?;
    if maker.draws.chance(0.3) {
        let sql = format!("SELECT COUNT(*) FROM ({}) AS all_parts", together(maker, &tables, "1", ""));
        return Some(Draft::new(sql, said("siblings count", &words)).part("count"));
    }
    let column = shared(maker, &tables, adds_up)?;
    let kind = *maker.draws.pick(&["sum", "sum", "avg", "max"])?;
    let measure = maker.aggregate_of(kind, tables[0], column, false);
    let parts = together(maker, &tables, &maker.bare(tables[0], column), "");
    let sql = format!("SELECT {} FROM ({parts}) AS all_parts", measure.sql);
    Some(Draft::new(sql, said("siblings total", &words).phrase("measure", measure.phrase)).part(kind))
}

/// What the tables are grouped by and summed up, and the SQL up to it.
struct Totals {
    tables: Vec<usize>,
    words: String,
    by: String,
    group: String,
    measure: Option<Phrase>,
    what: String,
    parts: String,
}

fn totals(maker: &mut Maker<'_>, counts: f64) -> Option<Totals> {
    let (tables, words) = siblings(maker)?;
    let group = shared(maker, &tables, groups)?;
    let by = maker.bare(tables[0], group);
    let said = &maker.facts_of(tables[0], group).words;
    let said = said.strip_suffix(" id").unwrap_or(said).to_owned();
    if maker.draws.chance(counts) {
        let parts = together(maker, &tables, &by, "");
        return Some(Totals { tables, words, by, group: said, measure: None, what: "COUNT(*)".into(), parts });
    }
    let column = shared(maker, &tables, adds_up)?;
    let measure = maker.aggregate_of("sum", tables[0], column, false);
    let parts = together(maker, &tables, &format!("{by}, {}", maker.bare(tables[0], column)), "");
    Some(Totals { tables, words, by, group: said, measure: Some(measure.phrase), what: measure.sql, parts })
}

fn per_group(maker: &mut Maker<'_>) -> Option<Draft> {
    let found = totals(maker, 0.25)?;
    let Totals { by, what, parts, .. } = &found;
    let sql = format!("SELECT {by}, {what} FROM ({parts}) AS all_parts GROUP BY {by}");
    let key = if found.measure.is_some() { "siblings per group" } else { "siblings counted per group" };
    let mut phrase = said(key, &found.words).words("group", found.group);
    if let Some(measure) = found.measure {
        phrase = phrase.phrase("measure", measure);
    }
    let told = said("evidence all parts", &found.words)
        .code("code", found.tables.iter().map(|table| maker.name(*table)).collect::<Vec<_>>().join(", "));
    let draft = Draft::new(sql, phrase).part(key);
    Some(if maker.draws.chance(0.35) { draft.evidence(told) } else { draft })
}

fn top(maker: &mut Maker<'_>) -> Option<Draft> {
    let found = totals(maker, 0.0)?;
    let Totals { by, what, parts, .. } = &found;
    let count = *maker.draws.pick(&[1, 1, 3, 5])?;
    let body = format!("FROM ({parts}) AS all_parts GROUP BY {by} ORDER BY {what} DESC LIMIT");
    let key = if count == 1 { "siblings best" } else { "siblings top" };
    let mut phrase = said(key, &found.words).words("group", &*found.group).phrase("measure", found.measure.clone()?);
    if count > 1 {
        phrase = phrase.value("n", count);
    }
    let ties = format!("SELECT {what} {body} {}", count + 1);
    Some(Draft::new(format!("SELECT {by} {body} {count}"), phrase).part(key).ties(ties, count))
}

/// One row for each table: its part and its figure.
fn per_part(maker: &mut Maker<'_>) -> Option<Draft> {
    let (tables, words) = siblings(maker)?;
    let column = shared(maker, &tables, adds_up)?;
    let measure = maker.aggregate_of("sum", tables[0], column, false);
    let one = |table: &usize| {
        let part = maker.table(*table).words.rsplit_once(' ').map_or("", |(_, part)| part).to_owned();
        format!("SELECT '{part}', {} FROM {}", measure.sql, maker.name(*table))
    };
    let sql = tables.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    Some(Draft::new(sql, said("siblings side by side", &words).phrase("measure", measure.phrase)))
}
