//! From what is to be said to a sentence, by the rules of one voice.
//!
//! Values and names keep between two marks while the sentence is made, so that nothing changes their letters.

use super::draft::{Phrase, Slot};
use super::draw::{Draws, text_key};
use super::facts::Facts;
use super::lexicon::{self, Noun};
use super::made_up::is_person;
use super::relation::{self, Relation};
use super::role::Role;
use super::rules::{Line, Piece, RuleFile, Rules};

/// Begins what must stay as it is.
const OPEN: char = '\u{e000}';
/// Ends it.
const CLOSE: char = '\u{e001}';

/// Share of the questions that put text values between quotes.
const QUOTED_VALUES: f64 = 0.35;

/// Share of the phrases about a column of a known kind that are worded for that kind: "older than" for an age.
const SPECIAL: f64 = 0.5;

/// Share of the days that are said with the month's name.
const DAYS_IN_WORDS: f64 = 0.3;

/// How a voice speaks about a database.
pub(super) struct Speaker<'a> {
    /// All rules.
    pub rules: &'a Rules,
    /// Whose lines are taken.
    pub file: &'a RuleFile,
    /// The database.
    pub facts: &'a Facts,
}

impl Speaker<'_> {
    /// The question, or none where the voice has no line that says it.
    pub fn say(&self, phrase: &Phrase, draws: &mut Draws) -> Option<String> {
        let quote = draws.chance(QUOTED_VALUES).then(|| if draws.chance(0.5) { '\'' } else { '"' });
        let (text, sentence) = self.expand(phrase, quote, draws)?;
        let text = if sentence { text } else { self.ask(&text, draws)? };
        Some(self.finish(&text))
    }

    /// The line of evidence beside a question, or none where the voice cannot say a part of it. It is written with care by
    /// whoever knows the database: no slips, nothing between quotes.
    pub fn evidence(&self, said: &[Phrase], draws: &mut Draws) -> Option<String> {
        let parts: Option<Vec<String>> =
            said.iter().map(|phrase| self.expand(phrase, None, draws).map(|(text, _)| text)).collect();
        let text = parts?.join("; ");
        Some(lexicon::contract(&text.split_whitespace().collect::<Vec<_>>().join(" "), &self.file.language))
    }

    /// A noun phrase put into one of the voice's questions.
    fn ask(&self, text: &str, draws: &mut Draws) -> Option<String> {
        let lines = self.rules.lines(self.file, "ask", &["what"]);
        let line = draws.pick(&lines)?;
        let mut asked = String::new();
        for piece in &line.pieces {
            match piece {
                Piece::Text(text) => asked.push_str(text),
                Piece::Slot { .. } => asked.push_str(text),
            }
        }
        Some(asked)
    }

    fn expand(&self, phrase: &Phrase, quote: Option<char>, draws: &mut Draws) -> Option<(String, bool)> {
        let mut filled: Vec<&str> = phrase.slots.iter().map(|(name, _)| *name).collect();
        let relation = self.relation(phrase, draws);
        if relation.is_some() {
            filled.extend(relation::SLOTS);
        }
        if subject(phrase).is_some() {
            filled.push("row");
        }
        let special = self.special(phrase, &filled);
        let lines = if !special.is_empty() && draws.chance(SPECIAL) {
            special
        } else if phrase.key.starts_with("evidence") {
            self.rules.lines_of(self.file, phrase.key, |line| line.sayable(&filled))
        } else {
            self.rules.lines(self.file, phrase.key, &filled)
        };
        let line: &Line = draws.pick(&lines)?;
        let mut text = String::new();
        for piece in &line.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Slot { name, plural, forms, .. } => {
                    let row = subject(phrase).filter(|_| name == "row").map(|(table, _)| Slot::Table(table));
                    let said = phrase.slots.iter().find(|(own, _)| own == name).map(|(_, slot)| slot);
                    let Some(slot) = said.or(row.as_ref()) else {
                        let form = |child| self.noun(child, true).map_or(0, |noun| noun.form);
                        let child =
                            phrase.slots.iter().find(|(own, _)| *own == "child").map_or(0, |(_, slot)| form(slot));
                        text.push_str(&relation.and_then(|relation| relation.said(name, child)).unwrap_or_default());
                        continue;
                    };
                    if forms.is_empty() {
                        text.push_str(&self.fill(slot, (*plural, name == "columns"), quote, draws)?);
                    } else {
                        let form = self.noun(slot, *plural).map_or(0, |noun| noun.form);
                        text.push_str(forms.get(form).or(forms.first())?);
                    }
                }
            }
        }
        Some((text, line.sentence))
    }

    /// Lines for the kind of column that a phrase is about.
    fn special(&self, phrase: &Phrase, filled: &[&str]) -> Vec<&Line> {
        let Some((table, column)) = subject(phrase) else { return Vec::new() };
        let Some(table) = self.facts.tables.get(table) else { return Vec::new() };
        let Some(said) = table.columns.get(column).map(|column| column.words.as_str()) else { return Vec::new() };
        let bare: Vec<&str> = filled.iter().copied().filter(|name| *name != "column").collect();
        let columns = table.columns.iter().map(|column| column.words.as_str());
        self.rules
            .special(self.file, phrase.key, |when| when.holds(said, columns.clone(), || is_person(&table.words)))
            .into_iter()
            .filter(|line| line.fits(&bare) || line.fits(filled))
            .collect()
    }

    /// How the child and the parent of a phrase are related.
    fn relation(&self, phrase: &Phrase, draws: &mut Draws) -> Option<&'static Relation> {
        let words = |wanted: &str| match phrase.slots.iter().find(|(name, _)| *name == wanted) {
            Some((_, Slot::Table(table) | Slot::Described { table, .. })) => {
                self.facts.tables.get(*table).map(|table| table.words.as_str())
            }
            _ => None,
        };
        let known = relation::between(words("child")?, words("parent")?, &self.file.language);
        draws.pick(&known).copied()
    }

    /// `listed`: columns come with their articles, as parts of a list.
    fn fill(
        &self,
        slot: &Slot,
        (plural, listed): (bool, bool),
        quote: Option<char>,
        draws: &mut Draws,
    ) -> Option<String> {
        Some(match slot {
            Slot::Phrase(phrase) => self.expand(phrase, quote, draws)?.0,
            Slot::Value(value) => {
                let number = value.chars().all(|c| c.is_ascii_digit() || ".-:".contains(c));
                let quote = quote.filter(|_| !number).map(String::from).unwrap_or_default();
                format!("{OPEN}{quote}{value}{quote}{CLOSE}")
            }
            Slot::Code(code) => format!("{OPEN}{code}{CLOSE}"),
            Slot::Day(day) => {
                let words = draws.chance(DAYS_IN_WORDS).then(|| draws.chance(0.5));
                let words = words.and_then(|american| lexicon::day(day, american, &self.file.language));
                format!("{OPEN}{}{CLOSE}", words.as_deref().unwrap_or(day))
            }
            Slot::Columns { columns, full } if listed || columns.len() > 1 => {
                let parts: Option<Vec<String>> = columns
                    .iter()
                    .map(|column| {
                        let one = Slot::Columns { columns: vec![*column], full: *full };
                        self.expand(&Phrase::new("listed column").with("column", one), quote, draws)
                            .map(|(text, _)| text)
                    })
                    .collect();
                let (last, first) = parts.as_deref()?.split_last()?;
                if first.is_empty() {
                    return Some(last.clone());
                }
                format!("{} {} {last}", first.join(", "), lexicon::and(&self.file.language))
            }
            Slot::Columns { .. } | Slot::Table(_) | Slot::Words(_) | Slot::Described { .. } => {
                self.noun(slot, plural)?.text
            }
        })
    }

    fn noun(&self, slot: &Slot, plural: bool) -> Option<Noun> {
        let language = self.file.language.as_str();
        Some(match slot {
            Slot::Table(table) => lexicon::noun(&self.facts.tables.get(*table)?.words, plural, language),
            Slot::Words(words) => lexicon::noun(words, plural, language),
            Slot::Columns { columns, full } => {
                let (table, column) = *columns.first()?;
                let table = self.facts.tables.get(table)?;
                let column = table.columns.get(column)?;
                let words = &column.words;
                // Half of the tables say "number of seats", the others "seats" as the column is called.
                let things = matches!(column.role, Role::Quantity | Role::Measure) && lexicon::counted(words);
                let said = format!("number of {words}");
                let words = if language == "en" && things && !plural && text_key(&table.name).is_multiple_of(2) {
                    &said
                } else {
                    words
                };
                let named = words.split(' ').any(|word| table.words.split(' ').any(|own| own == word));
                if *full && !named {
                    lexicon::noun(&format!("{} {words}", table.words), plural, language)
                } else {
                    lexicon::noun(words, plural, language)
                }
            }
            Slot::Described { table, adjective } => {
                let words = &self.facts.tables.get(*table)?.words;
                let adjective = if language == "en" { (*adjective).to_owned() } else { adjective.to_lowercase() };
                lexicon::noun(&format!("{adjective} {words}"), plural, language)
            }
            Slot::Phrase(_) | Slot::Value(_) | Slot::Code(_) | Slot::Day(_) => return None,
        })
    }

    /// Single spaces, contractions, a capital in front; the marks stay.
    fn finish(&self, text: &str) -> String {
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (from, to) in [(" ,", ","), (" .", "."), (" ?", "?")] {
            text = text.replace(from, to);
        }
        // A column that is itself called total.
        for (from, to) in [("total total", "total"), ("total de total ", "total "), ("average average", "average")] {
            text = text.replace(from, to);
        }
        let text = lexicon::contract(&text, &self.file.language);
        if self.file.lower { lower(&text) } else { capital(&text) }
    }
}

/// The one column that a phrase is about.
fn subject(phrase: &Phrase) -> Option<(usize, usize)> {
    match phrase.slots.iter().find(|(name, _)| *name == "column") {
        Some((_, Slot::Columns { columns, .. })) if columns.len() == 1 => columns.first().copied(),
        _ => None,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first != OPEN => first.to_uppercase().collect::<String>() + chars.as_str(),
        _ => text.to_owned(),
    }
}

/// Lower case, values as they are.
pub(super) fn lower(text: &str) -> String {
    outside(text, |words| words.to_lowercase())
}

/// Changes the text outside the marks.
pub(super) fn outside(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((words, after)) = rest.split_once(OPEN) {
        changed.push_str(&change(words));
        let (value, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        changed.push(OPEN);
        changed.push_str(value);
        changed.push(CLOSE);
        rest = after;
    }
    changed.push_str(&change(rest));
    changed
}

/// The text without the marks.
pub(super) fn plain(text: &str) -> String {
    text.replace([OPEN, CLOSE], "")
}
