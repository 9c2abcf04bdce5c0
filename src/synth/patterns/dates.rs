//! Days: per month and year, since, the last days counted from today.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("last days", Medium, last_days),
    pattern("this month", Hard, this_month),
    pattern("per month", Hard, per_month),
    pattern("per year", Medium, per_year),
    pattern("per month in year", Hard, per_month_in_year),
    pattern("sum per month", Hard, sum_per_month),
    pattern("per day", Medium, per_day),
    pattern("days between", Hard, days_between),
    pattern("first and last day", Medium, first_and_last),
];

fn dated(maker: &mut Maker<'_>) -> Option<(usize, usize)> {
    let table = maker.any_table()?;
    Some((table, maker.date(table)?))
}

/// Rolling: so many days, months or years back from today, or this month. The test, what is said of it, its unit.
pub(super) fn period(
    maker: &mut Maker<'_>,
    table: usize,
    date: usize,
    dotted: bool,
) -> Option<(String, Phrase, &'static str)> {
    let (count, unit, key) = *maker.draws.pick(&[
        (7, "days", "last days"),
        (30, "days", "last days"),
        (90, "days", "last days"),
        (15, "days", "last days"),
        (7, "days", "last week"),
        (1, "months", "last month"),
        (3, "months", "last months"),
        (6, "months", "last months"),
        (1, "years", "last year"),
        (2, "years", "last years"),
        (0, "this month", "this month"),
    ])?;
    let mut period = Phrase::new(key).column("column", table, date);
    if !matches!(key, "last week" | "last month" | "last year" | "this month") {
        period = period.value("n", count);
    }
    let since = if count == 0 { maker.style.month_start() } else { maker.style.ago(count, unit) };
    Some((format!("{} >= {since}", maker.column_sql(table, date, dotted)), period, unit))
}

fn last_days(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    let shown = maker.draws.below(3);
    let (test, period, unit) = period(maker, table, date, false)?;
    let extra = maker.maybe(0.3, table, false, &[date]).filter(|extra| !extra.loose);
    let extra_sql = extra.as_ref().map(|extra| format!(" AND {}", extra.sql)).unwrap_or_default();
    let (what, key) = match shown {
        0 => ("COUNT(*)".to_owned(), "period count"),
        1 => ("*".to_owned(), "period rows"),
        _ => {
            let measure = maker.aggregate(table, false)?;
            let sql = format!("SELECT {} FROM {} WHERE {test}{extra_sql}", measure.sql, maker.name(table));
            let phrase = Phrase::new("period aggregate")
                .table("table", table)
                .phrase("measure", measure.phrase)
                .phrase("period", period)
                .given(extra.as_ref());
            return Some(Draft::new(sql, phrase).part(unit).part(measure.kind).given(extra.as_ref()).may_be_empty());
        }
    };
    let sql = format!("SELECT {what} FROM {} WHERE {test}{extra_sql}", maker.name(table));
    let phrase = Phrase::new(key).table("table", table).phrase("period", period).given(extra.as_ref());
    Some(Draft::new(sql, phrase).part(key).part(unit).given(extra.as_ref()).may_be_empty())
}

fn this_month(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    let test = format!("{} >= {}", maker.bare(table, date), maker.style.month_start());
    let period = Phrase::new("this month").column("column", table, date);
    let (what, phrase, part) = if maker.draws.chance(0.4) {
        ("COUNT(*)".to_owned(), Phrase::new("period count"), "count")
    } else {
        let measure = maker.aggregate(table, false)?;
        (measure.sql, Phrase::new("period aggregate").phrase("measure", measure.phrase), measure.kind)
    };
    let sql = format!("SELECT {what} FROM {} WHERE {test}", maker.name(table));
    Some(Draft::new(sql, phrase.table("table", table).phrase("period", period)).part(part).may_be_empty())
}

fn counted_by(maker: &mut Maker<'_>, key: &'static str, unit: fn(&Maker<'_>, &str) -> String) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    if maker.facts_of(table, date).nulls > 0 {
        return None;
    }
    let by = unit(maker, &maker.bare(table, date));
    let sql = format!("SELECT {by}, COUNT(*) FROM {} GROUP BY {by}", maker.name(table));
    Some(Draft::new(sql, Phrase::new(key).table("table", table).column("column", table, date)))
}

fn per_month(maker: &mut Maker<'_>) -> Option<Draft> {
    counted_by(maker, "per month", |maker, date| maker.style.month(date))
}

fn per_year(maker: &mut Maker<'_>) -> Option<Draft> {
    counted_by(maker, "per year", |maker, date| maker.style.year(date))
}

fn per_day(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    if maker.facts_of(table, date).nulls > 0 {
        return None;
    }
    let name = maker.bare(table, date);
    let by = if maker.facts_of(table, date).role == Role::Timestamp { maker.style.day(&name) } else { name };
    let measure = maker.summable(table).filter(|_| maker.draws.chance(0.6));
    let phrase = Phrase::new(if measure.is_some() { "sum per day" } else { "per day" });
    let phrase = phrase.table("table", table).column("date", table, date);
    let (what, phrase) = match measure {
        Some(column) => {
            let sum = maker.aggregate_of("sum", table, column, false);
            (sum.sql, phrase.phrase("measure", sum.phrase))
        }
        None => ("COUNT(*)".into(), phrase),
    };
    let sql = format!("SELECT {by}, {what} FROM {} GROUP BY {by}", maker.name(table));
    Some(Draft::new(sql, phrase).part(if measure.is_some() { "sum" } else { "count" }))
}

fn a_year(maker: &mut Maker<'_>, table: usize, date: usize) -> Option<i64> {
    match maker.draws.pick(&maker.facts.tables[table].columns[date].values) {
        Some(crate::synth::Cell::Text(text)) => text.get(..4)?.parse().ok(),
        _ => None,
    }
}

fn per_month_in_year(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    let year = a_year(maker, table, date)?;
    let name = maker.bare(table, date);
    let (by, test) = (maker.style.month(&name), maker.style.year_is(&name, year));
    let sql = format!("SELECT {by}, COUNT(*) FROM {} WHERE {test} GROUP BY {by}", maker.name(table));
    let phrase =
        Phrase::new("per month in year").table("table", table).column("column", table, date).value("year", year);
    Some(Draft::new(sql, phrase))
}

fn sum_per_month(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    if maker.facts_of(table, date).nulls > 0 {
        return None;
    }
    let measure = maker.aggregate(table, false)?;
    let name = maker.bare(table, date);
    let year = if maker.draws.chance(0.4) { Some(a_year(maker, table, date)?) } else { None };
    let by = maker.style.month(&name);
    let filter = year.map(|year| format!(" WHERE {}", maker.style.year_is(&name, year))).unwrap_or_default();
    let sql = format!("SELECT {by}, {} FROM {}{filter} GROUP BY {by}", measure.sql, maker.name(table));
    let phrase = Phrase::new(if year.is_some() { "aggregate per month in year" } else { "aggregate per month" });
    let mut phrase = phrase.table("table", table).column("date", table, date).phrase("measure", measure.phrase);
    if let Some(year) = year {
        phrase = phrase.value("year", year);
    }
    Some(Draft::new(sql, phrase).part(measure.kind).part(if year.is_some() { "year" } else { "all" }))
}

fn days_between(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let dates = maker.columns(table, |column| column.role.is_date());
    let label = maker.label(table).or(maker.table(table).key)?;
    let starts = |column: usize| {
        let words = &maker.facts_of(table, column).words;
        [
            "start",
            "hire",
            "check in",
            "order",
            "purchase",
            "begin",
            "open",
            "loan",
            "borrow",
            "departure",
            "admission",
            "sent",
        ]
        .iter()
        .any(|word| words.starts_with(word))
    };
    let ends = |column: usize| {
        let words = &maker.facts_of(table, column).words;
        ["end", "check out", "ship", "return", "close", "due", "arrival", "delivery", "discharge", "finish", "received"]
            .iter()
            .any(|word| words.starts_with(word))
    };
    let from = *dates.iter().find(|column| starts(**column))?;
    let to = *dates.iter().find(|column| ends(**column))?;
    let days = maker.style.days_between(&maker.bare(table, from), &maker.bare(table, to));
    let average = maker.draws.chance(0.4);
    let (sql, key) = if average {
        (format!("SELECT AVG({days}) FROM {}", maker.name(table)), "average days between")
    } else {
        (format!("SELECT {}, {days} FROM {}", maker.bare(table, label), maker.name(table)), "days between")
    };
    let mut phrase = Phrase::new(key).table("table", table).column("from", table, from).column("to", table, to);
    if !average {
        phrase = phrase.column("label", table, label);
    }
    Some(Draft::new(sql, phrase).part(key))
}

fn first_and_last(maker: &mut Maker<'_>) -> Option<Draft> {
    let (table, date) = dated(maker)?;
    let name = maker.bare(table, date);
    let (sql, key) = match maker.draws.below(3) {
        0 => (format!("MIN({name}), MAX({name})"), "first and last day"),
        1 => (format!("MIN({name})"), "first day"),
        _ => (format!("MAX({name})"), "last day"),
    };
    let sql = format!("SELECT {sql} FROM {}", maker.name(table));
    Some(Draft::new(sql, Phrase::new(key).table("table", table).column("column", table, date)).part(key))
}
