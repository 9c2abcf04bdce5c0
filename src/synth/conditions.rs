//! The conditions on one column: what is compared with what, and what that is called.

use super::Cell;
use super::draft::{Condition, Phrase, Slot};
use super::facts::ColumnFacts;
use super::lexicon::MONTHS;
use super::maker::Maker;
use super::role::Role;
use super::style::plain_number;

/// Share of the drawn conditions `name = …` on a column of different values that are kept.
const SINGLE_ROW: f64 = 0.3;

impl Maker<'_> {
    /// A category that is one of its values.
    pub(super) fn equal(&mut self, table: usize, dotted: bool) -> Option<Condition> {
        let column = self.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
        let value = self.draws.pick(&self.facts_of(table, column).values)?;
        let test = format!("{} = {}", self.column_sql(table, column, dotted), self.style.literal(value));
        Some(single(test, Phrase::new("where.eq").column("column", table, column).value("value", value.said())))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, table: usize, column: usize, name: &str) -> Condition {
        let yes = self.draws.chance(0.6);
        let words = &self.facts_of(table, column).words;
        let has = words.starts_with("has ");
        let said = words.split_once(' ').filter(|(first, _)| ["is", "has", "was"].contains(first));
        let said = said.map_or(words.as_str(), |(_, rest)| rest);
        let key = match (has, yes) {
            (false, true) => "where.is",
            (false, false) => "where.is.not",
            (true, true) => "where.has",
            (true, false) => "where.has.not",
        };
        single(self.style.flag(name, yes), Phrase::new(key).with("flag", Slot::Words(said.to_owned())))
    }

    /// A number compared.
    pub(super) fn number_condition(
        &mut self,
        name: &str,
        facts: &ColumnFacts,
        said: impl Fn(&'static str) -> Phrase,
    ) -> Option<Condition> {
        let whole = facts.values.iter().all(|cell| matches!(cell, Cell::Integer(_)));
        let value = |maker: &mut Self| {
            let number = maker.draws.pick(&facts.values).and_then(Cell::number)?;
            Some(if whole || facts.role == Role::Year { plain_number(number) } else { plain_number(rounded(number)) })
        };
        if facts.role == Role::Year && self.draws.chance(0.5) || whole && self.draws.chance(0.15) {
            let value = value(self)?;
            return Some(single(format!("{name} = {value}"), said("where.eq.number").value("value", value)));
        }
        if self.draws.chance(0.2) {
            let (a, b) = (value(self)?, value(self)?);
            let (low, high) = if a.parse::<f64>().ok()? <= b.parse::<f64>().ok()? { (a, b) } else { (b, a) };
            if low == high {
                return None;
            }
            let phrase = said("where.between").value("low", &low).value("high", &high);
            return Some(single(format!("{name} BETWEEN {low} AND {high}"), phrase));
        }
        let (operator, key) = [
            (">", "where.gt"),
            (">=", "where.ge"),
            ("<", "where.lt"),
            ("<=", "where.le"),
            (">", "where.gt"),
            ("<", "where.lt"),
        ][self.draws.below(6)];
        let value = value(self)?;
        Some(single(format!("{name} {operator} {value}"), said(key).value("value", value)))
    }

    /// A day compared.
    pub(super) fn date_condition(
        &mut self,
        name: &str,
        facts: &ColumnFacts,
        said: impl Fn(&'static str) -> Phrase,
    ) -> Option<Condition> {
        let day = |maker: &mut Self| match maker.draws.pick(&facts.values) {
            Some(Cell::Text(text)) => text.get(..10).map(str::to_owned),
            _ => None,
        };
        let first = day(self)?;
        let whole_days = facts.role == Role::Date;
        Some(match self.draws.below(9) {
            5 if whole_days => single(format!("{name} >= '{first}'"), said("where.since").day("value", first)),
            6 if whole_days => single(format!("{name} <= '{first}'"), said("where.until").day("value", first)),
            7 if whole_days => single(format!("{name} = '{first}'"), said("where.on").day("value", first)),
            8 => {
                let month = MONTHS.get(first.get(5..7)?.parse::<usize>().ok()?.checked_sub(1)?)?;
                let phrase = said("where.month").with("month", Slot::Words((*month).to_owned()));
                let phrase = phrase.value("value", first.get(..4)?);
                single(format!("{} = '{}'", self.style.month(name), first.get(..7)?), phrase)
            }
            0 | 1 => {
                let year: i64 = first.get(..4)?.parse().ok()?;
                single(self.style.year_is(name, year), said("where.year").value("value", year))
            }
            2 => single(format!("{name} > '{first}'"), said("where.after").day("value", first)),
            3 => single(format!("{name} < '{first}'"), said("where.before").day("value", first)),
            _ => {
                let second = day(self)?;
                let (low, high) = if first < second { (first, second) } else { (second, first) };
                if low == high || facts.role == Role::Timestamp {
                    return None;
                }
                let phrase = said("where.between.dates").day("low", &low).day("high", &high);
                single(format!("{name} BETWEEN '{low}' AND '{high}'"), phrase)
            }
        })
    }

    /// Text compared.
    pub(super) fn text_condition(
        &mut self,
        name: &str,
        facts: &ColumnFacts,
        said: impl Fn(&'static str) -> Phrase,
    ) -> Option<Condition> {
        let text = |maker: &mut Self| match maker.draws.pick(&facts.values) {
            Some(Cell::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let value = text(self)?;
        let category = facts.role == Role::Category;
        // One row is seldom what people filter for.
        let one_row = facts.unique && !self.draws.chance(SINGLE_ROW);
        let words: Vec<&str> = value.split(' ').filter(|word| word.len() >= 3).collect();
        let end = words.last().filter(|word| word.chars().all(char::is_alphabetic)).map(|word| (*word).to_owned());
        Some(match self.draws.below(if category { 11 } else { 10 }) {
            8 if !category => {
                let end = end?.to_lowercase();
                single(self.style.like(name, &format!("%{end}")), said("where.ends").value("value", end))
            }
            9 if !category => {
                let word = end?;
                let test = self.style.unlike(name, &format!("%{word}%"));
                single(test, said("where.not.contains").value("value", word))
            }
            10 if category => {
                let other = text(self)?;
                if other == value || facts.values.len() < 3 {
                    return None;
                }
                let list = [&value, &other].map(|text| self.style.literal(&Cell::Text(text.clone()))).join(", ");
                single(format!("{name} NOT IN ({list})"), said("where.not.in").value("a", value).value("b", other))
            }
            0 if !category => {
                let start: String = value.chars().take(1).collect();
                let start = start.to_uppercase();
                if !start.chars().all(char::is_alphabetic) {
                    return None;
                }
                let phrase = said("where.starts").value("value", &start);
                single(self.style.like(name, &format!("{start}%")), phrase)
            }
            1 | 2 if !category => {
                let word = (*self.draws.pick(&words)?).to_owned();
                if !word.chars().all(char::is_alphanumeric) {
                    return None;
                }
                single(self.style.like(name, &format!("%{word}%")), said("where.contains").value("value", word))
            }
            3 if category => single(
                format!("{name} <> {}", self.style.literal(&Cell::Text(value.clone()))),
                said("where.ne").value("value", value),
            ),
            4 | 5 if category => {
                let other = text(self)?;
                if other == value {
                    return None;
                }
                let list = [&value, &other].map(|text| self.style.literal(&Cell::Text(text.clone()))).join(", ");
                single(format!("{name} IN ({list})"), said("where.in").value("a", value).value("b", other))
            }
            6 if category && facts.values.len() >= 4 => {
                let chosen = self.draws.some(&facts.values, 3);
                let [a, b, c] = chosen.as_slice() else { return None };
                let list = [a, b, c].map(|value| self.style.literal(value)).join(", ");
                let phrase = said("where.in.three").value("a", a.said()).value("b", b.said()).value("c", c.said());
                single(format!("{name} IN ({list})"), phrase)
            }
            _ if one_row => return None,
            _ => single(
                format!("{name} = {}", self.style.literal(&Cell::Text(value.clone()))),
                said("where.eq").value("value", value),
            ),
        })
    }
}

/// A condition of one kind.
pub(super) fn single(sql: String, phrase: Phrase) -> Condition {
    let kind = phrase.key.to_owned();
    Condition { sql, phrase, kind, loose: false }
}

/// A number people would say: two digits and zeros for large ones.
fn rounded(number: f64) -> f64 {
    if number.abs() < 10.0 {
        return (number * 10.0).round() / 10.0;
    }
    let step = 10f64.powi(number.abs().log10().floor() as i32 - 1);
    (number / step).round() * step
}
