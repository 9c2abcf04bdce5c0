//! Evidence: lines that stand below a question and decide how it is read. A pattern brings some of its own; here drafts of
//! all patterns get more, by saying less in the question: a figure by a name that the line defines, a value in other words
//! than it is stored in, an order without its direction, a period without what it counts from.
//!
//! The SQL stays as it is. The words are those of the phrasing rules (`[evidence …]`); names of figures and other words
//! for values are in `evidence.txt`.

use std::sync::LazyLock;

use super::Cell;
use super::draft::{Draft, Phrase, Slot};
use super::draw::Draws;
use super::facts::{Facts, quoted};
use super::lexicon;
use super::role::Role;
use super::style::Style;

/// Share of the sums and averages that get a name.
const NAMED_FIGURES: f64 = 0.28;

/// Share of the values, where other words for them are known, that are said in these.
const OTHER_WORDS: f64 = 0.75;

/// Share of the orders that are left to the evidence.
const ORDERS: f64 = 0.4;

/// Share of the periods whose column is left to the evidence.
const PERIODS: f64 = 0.65;

/// Share of the drafts that a note fits which get it.
const NOTED: f64 = 0.4;

/// Notes on the form of the answer: the section of a question, the section of the evidence.
const NOTES: &[(&str, &str)] = &[
    ("per month", "evidence month form"),
    ("per month in year", "evidence month form"),
    ("aggregate per month", "evidence month form"),
    ("aggregate per month in year", "evidence month form"),
    ("running total per month", "evidence month form"),
    ("share", "evidence percentage"),
    ("share per group", "evidence percentage"),
    ("sum share per group", "evidence percentage"),
    ("share of total", "evidence percentage"),
    ("share of own group", "evidence percentage"),
    ("share of group total", "evidence percentage"),
    ("percentage of counts", "evidence percentage"),
    ("ratio of counts", "evidence decimal"),
    ("children per parent", "evidence left out"),
    ("measure per parent", "evidence left out"),
    ("count as column", "evidence zero"),
    ("sum with zero", "evidence zero"),
    ("all children per parent", "evidence zero"),
    ("inactive months", "evidence never"),
    ("inactive days", "evidence never"),
    ("label of inactive months", "evidence never"),
    ("label of inactive days", "evidence never"),
    ("rank", "evidence rank"),
    ("rank in group", "evidence rank"),
    ("levels", "evidence top level"),
    ("both conditions", "evidence once"),
    ("duplicates", "evidence duplicates"),
    ("duplicate rows", "evidence duplicate rows"),
];

static WORDS: LazyLock<Vec<(&'static str, Vec<&'static str>)>> = LazyLock::new(|| {
    let list = |text: &'static str| text.split(',').map(str::trim).collect();
    let lines = include_str!("evidence.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(':')).map(|(head, words)| (head.trim(), list(words))).collect()
});

/// The words of a line of `evidence.txt`.
pub(super) fn words(head: &str) -> &'static [&'static str] {
    WORDS.iter().find(|(own, _)| *own == head).map_or(&[], |(_, words)| words.as_slice())
}

/// For whom a draft is worded.
pub(super) struct Wording<'a> {
    /// The database.
    pub facts: &'a Facts,
    /// How SQL is written.
    pub style: Style,
    /// The language.
    pub language: &'a str,
}

/// Lets evidence say a part of what the question said, now and then.
pub(super) fn reword(draft: &mut Draft, wording: &Wording<'_>, draws: &mut Draws) {
    let mut evidence = Vec::new();
    if draft.evidence.is_empty()
        && let Some((_, note)) = NOTES.iter().find(|(key, _)| *key == draft.phrase.key)
        && draws.chance(NOTED)
    {
        evidence.push(Phrase { key: note, slots: draft.phrase.slots.clone() });
    }
    if !draft.changes {
        wording.describe(&mut draft.phrase, &mut evidence, draws);
        wording.walk(&mut draft.phrase, &mut evidence, draws);
    }
    draft.evidence.append(&mut evidence);
}

impl Wording<'_> {
    /// A column's name in SQL.
    fn code(&self, (table, column): (usize, usize)) -> String {
        quoted(&self.facts.tables[table].columns[column].name, self.style.dialect)
    }

    /// `country is Brazil` in front of the noun: Brazilian customers.
    fn describe(&self, phrase: &mut Phrase, evidence: &mut Vec<Phrase>, draws: &mut Draws) {
        let Some(Slot::Phrase(condition)) = phrase.slot("where") else { return };
        let Some((at, column, value)) = self.stored(condition) else { return };
        let Some(adjective) = words("adjectives").iter().find_map(|pair| {
            pair.split_once('=').filter(|(own, _)| own.trim() == value).map(|(_, adjective)| adjective.trim())
        }) else {
            return;
        };
        let table = &self.facts.tables[at];
        let origin =
            ["country", "nationality", "nation"].iter().any(|word| table.columns[column].words.ends_with(word));
        let plain = !table.words.contains(' ') && lexicon::knows(&table.words, self.language);
        if !origin || !plain || !draws.chance(OTHER_WORDS) {
            return;
        }
        let Some(slot) = phrase.slots.iter().position(|(_, slot)| matches!(slot, Slot::Table(own) if *own == at))
        else {
            return;
        };
        let stored = self.stored_as(at, column, &value);
        phrase.slots[slot].1 = Slot::Described { table: at, adjective };
        phrase.slots.retain(|(name, _)| *name != "where");
        evidence.push(stored);
    }

    fn stored_as(&self, table: usize, column: usize, value: &str) -> Phrase {
        let code = self.style.literal(&Cell::Text(value.to_owned()));
        Phrase::new("evidence stored").column("column", table, column).code("code", code)
    }

    /// The column and value of `where x is y`.
    fn stored(&self, condition: &Phrase) -> Option<(usize, usize, String)> {
        let (table, column) = condition.one_column("column")?;
        match (condition.key, condition.slot("value")) {
            ("where.eq", Some(Slot::Value(value))) => Some((table, column, value.clone())),
            _ => None,
        }
    }

    /// Every phrase within a phrase, each kind reworded once at most.
    fn walk(&self, phrase: &mut Phrase, evidence: &mut Vec<Phrase>, draws: &mut Draws) {
        let has = |evidence: &[Phrase], key: &str| evidence.iter().any(|known| known.key == key);
        match phrase.key {
            "sum" | "average" | "product" if !has(evidence, "evidence term") && draws.chance(NAMED_FIGURES) => {
                self.name(phrase, evidence, draws);
            }
            "where.eq" if !has(evidence, "evidence stored") => self.other_words(phrase, evidence, draws),
            "where.contains" if draws.chance(ORDERS) => evidence.push(Phrase::new("evidence case")),
            "order desc" | "order asc" | "order newest" | "order oldest" if draws.chance(ORDERS) => {
                let key = match phrase.key {
                    "order desc" => "evidence order desc",
                    "order asc" => "evidence order asc",
                    "order newest" => "evidence order newest",
                    _ => "evidence order oldest",
                };
                evidence.push(Phrase { key, slots: phrase.slots.clone() });
                phrase.key = "order told";
            }
            "last days" | "last week" | "last month" | "last months" | "last year" | "last years" | "this month"
                if draws.chance(PERIODS) =>
            {
                self.period(phrase, evidence);
            }
            _ => {}
        }
        for (_, slot) in &mut phrase.slots {
            if let Slot::Phrase(inner) = slot {
                self.walk(inner, evidence, draws);
            }
        }
    }

    /// A name for a figure.
    fn name(&self, phrase: &mut Phrase, evidence: &mut Vec<Phrase>, draws: &mut Draws) {
        let (list, code) = if phrase.key == "product" {
            let (Some(pieces), Some(price)) = (phrase.one_column("pieces"), phrase.one_column("price")) else { return };
            ("product", format!("SUM({} * {})", self.code(pieces), self.code(price)))
        } else {
            let Some((table, column)) = phrase.one_column("column") else { return };
            let money = self.facts.tables[table].columns[column].role == Role::Money;
            match (phrase.key, money) {
                ("sum", true) => ("sum of money", format!("SUM({})", self.code((table, column)))),
                ("sum", false) => ("sum", format!("SUM({})", self.code((table, column)))),
                (_, true) => ("average of money", format!("AVG({})", self.code((table, column)))),
                (_, false) => ("average", format!("AVG({})", self.code((table, column)))),
            }
        };
        let Some(term) = draws.pick(words(list)).copied() else { return };
        // A name that the database gives to something else would decide nothing.
        let taken = |said: &str| term.split(' ').any(|word| said.split(' ').any(|own| own == word));
        if self.facts.tables.iter().any(|table| table.columns.iter().any(|column| taken(&column.words))) {
            return;
        }
        *phrase = Phrase::new("term").words("term", term);
        evidence.push(Phrase::new("evidence term").words("term", term).code("code", code));
    }

    /// A value in other words than it is stored in.
    fn other_words(&self, phrase: &mut Phrase, evidence: &mut Vec<Phrase>, draws: &mut Draws) {
        let Some((table, column, value)) = self.stored(phrase) else { return };
        let facts = &self.facts.tables[table].columns[column];
        let head = format!("{} {value}", self.language);
        let Some(other) = draws.pick(words(&head)).copied() else { return };
        let known = |cell: &Cell| cell.said().eq_ignore_ascii_case(other);
        if facts.role != Role::Category || facts.values.iter().any(known) || !draws.chance(OTHER_WORDS) {
            return;
        }
        for (name, slot) in &mut phrase.slots {
            if *name == "value" {
                *slot = Slot::Value(other.to_owned());
            }
        }
        evidence.push(self.stored_as(table, column, &value));
    }

    /// The last 30 days without what they are counted by.
    fn period(&self, phrase: &mut Phrase, evidence: &mut Vec<Phrase>) {
        let Some((table, column)) = phrase.one_column("column") else { return };
        let (told, key) = match phrase.key {
            "last days" => ("days told", "evidence days"),
            "last week" => ("week told", "evidence week"),
            "last month" => ("past month told", "evidence past month"),
            "last months" => ("months told", "evidence months"),
            "last year" => ("year told", "evidence past year"),
            "last years" => ("years told", "evidence years"),
            _ => ("this month told", "evidence this month"),
        };
        // Who was born lately is not asked like that.
        if self.facts.tables[table].columns[column].words.contains("birth") {
            return;
        }
        evidence.push(Phrase { key, slots: phrase.slots.clone() });
        let days = self.facts.tables[table].columns.iter().filter(|column| column.role.is_date()).count();
        if days > 1 {
            evidence.push(Phrase::new("evidence counts").code("code", self.code((table, column))));
        }
        phrase.key = told;
        phrase.slots.retain(|(name, _)| *name != "column");
    }
}
