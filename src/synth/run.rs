//! The loop: draw a pattern, run its SQL, word it, keep it if it is new, true and balanced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::draft::{Difficulty, Draft};
use super::draw::{Draws, text_key};
use super::evidence::{self, Wording};
use super::facts::Facts;
use super::maker::Maker;
use super::patterns::{self, Pattern};
use super::rules::RuleFile;
use super::speak::{Speaker, plain};
use super::style::Style;
use super::{Counts, Given, Options, Pair, World, noise};
use crate::db::sqlite::Scratch;
use crate::db::{Limits, Rows, Value};
use crate::error::{Problem, Result};
use crate::sql::Dialect;

/// How often one statement may be asked, each time in other words.
const WORDINGS: usize = 6;

/// A pattern that drew nothing new this often in a row has nothing more for this database; up to four times as often for
/// patterns that are drawn often.
const DRY: usize = 40;

/// Share of the pairs whose result may be empty.
const EMPTY: f64 = 0.08;

/// One in so many statements is kept for the held-out part.
const HELD_OUT_SQL: u64 = 8;

/// One in so many combinations of a pattern's parts is never trained on.
const HELD_OUT_COMBINATION: u64 = 8;

/// What one statement may cost: the tables are small, so that anything slow is a mistake of ours. The time is a wall clock's,
/// and on a busy machine a statement of a millisecond may stand still for a second: the bound is for circles, not for speed.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), rows: 400, value_bytes: 1 << 16, result_bytes: 1 << 20 };

/// Makes pairs over one database.
pub(super) struct Writer<'a> {
    facts: &'a Facts,
    scratch: &'a mut Scratch,
    given: &'a Given,
    options: &'a Options,
    schema: Arc<str>,
    draws: Draws,
    /// Statements and how often they were asked; 0: not fit.
    known: HashMap<String, usize>,
    asked: HashMap<String, String>,
    names: Vec<String>,
    rows_seed: Option<u64>,
    counts: &'a mut Counts,
}

/// What a voice made of a draft.
struct Worded {
    question: String,
    evidence: Option<String>,
    voice: String,
    typing: &'static str,
}

/// A pattern and what came of it.
struct Source {
    pattern: &'static Pattern,
    weight: usize,
    made: usize,
    dry: usize,
}

impl<'a> Writer<'a> {
    /// For a database.
    pub fn new(
        world: &'a mut World,
        given: &'a Given,
        options: &'a Options,
        seed: u64,
        counts: &'a mut Counts,
    ) -> Self {
        let World { facts, scratch, rows_seed } = world;
        let (facts, rows_seed) = (&*facts, *rows_seed);
        let schema = crate::sql::Schema::from_tables(options.dialect, facts.schema.tables().iter().cloned());
        let names = facts
            .tables
            .iter()
            .flat_map(|table| std::iter::once(&table.words).chain(table.columns.iter().map(|column| &column.words)))
            .cloned()
            .collect();
        Self {
            facts,
            scratch,
            given,
            options,
            schema: schema.to_ddl().into(),
            draws: Draws::new(&[seed, 0x73_79_6e]),
            known: HashMap::new(),
            asked: HashMap::new(),
            names,
            rows_seed,
            counts,
        }
    }

    /// Up to `count` pairs of one part. Fewer where the database has no more to ask. `before`: pairs that other databases
    /// gave; difficulties and languages go on taking turns from there.
    pub fn write(&mut self, count: usize, held_out: bool, before: usize) -> Result<Vec<Pair>> {
        let mut sources: Vec<Source> = patterns::reading()
            .chain(patterns::changing().filter(|_| self.options.changes))
            .map(|pattern| Source { pattern, weight: patterns::weight(pattern.name), made: 0, dry: 0 })
            .collect();
        let levels = Difficulty::ALL.len();
        let mut made: HashMap<Difficulty, usize> =
            Difficulty::ALL.iter().rev().enumerate().map(|(at, level)| (*level, (before + at) / levels)).collect();
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let Some(at) = self.next(&sources, &made) else { break };
            let pattern = sources[at].pattern;
            // The languages take turns within each difficulty: the difficulties take turns too, and in step with them one
            // language would get the easy questions and the other the hard ones.
            let turn = made.get(&pattern.difficulty).copied().unwrap_or(0);
            match self.pair(pattern, held_out, turn)? {
                Some(pair) => {
                    sources[at].made += 1;
                    sources[at].dry = 0;
                    *made.entry(pattern.difficulty).or_default() += 1;
                    pairs.push(pair);
                }
                None => sources[at].dry += 1,
            }
        }
        Ok(pairs)
    }

    /// The difficulty that lags behind, and of its patterns the least used, by their weights, of two drawn.
    fn next(&mut self, sources: &[Source], made: &HashMap<Difficulty, usize>) -> Option<usize> {
        let alive = |difficulty: Difficulty| {
            (0..sources.len())
                .filter(|at| {
                    sources[*at].pattern.difficulty == difficulty && sources[*at].dry < DRY * sources[*at].weight.min(4)
                })
                .flat_map(|at| std::iter::repeat_n(at, sources[at].weight))
                .collect::<Vec<usize>>()
        };
        let mut levels: Vec<(usize, Vec<usize>)> = Difficulty::ALL
            .iter()
            .map(|difficulty| (made.get(difficulty).copied().unwrap_or(0), alive(*difficulty)))
            .filter(|(_, alive)| !alive.is_empty())
            .collect();
        levels.sort_by_key(|(made, _)| *made);
        let (_, alive) = levels.first()?;
        let (a, b) = (*self.draws.pick(alive)?, *self.draws.pick(alive)?);
        let lags = sources[a].made * sources[b].weight <= sources[b].made * sources[a].weight;
        Some(if lags { a } else { b })
    }

    fn pair(&mut self, pattern: &'static Pattern, held_out: bool, turn: usize) -> Result<Option<Pair>> {
        self.counts.drawn += 1;
        let before = self.draws.clone();
        let sqlite = Style { dialect: Dialect::Sqlite };
        let mut maker = Maker { facts: self.facts, draws: before.clone(), style: sqlite };
        let draft = (pattern.make)(&mut maker);
        // The stream goes on where the pattern left it.
        self.draws = maker.draws;
        let Some(draft) = draft else { return Ok(None) };
        let Some(unseen) = self.part_of(pattern, &draft, held_out) else { return Ok(None) };
        match self.known.get(&draft.sql) {
            Some(0) => return Ok(None),
            Some(asked) if *asked > WORDINGS => return Ok(None),
            Some(_) => {}
            None => {
                let fit = self.runs(&draft)?;
                self.known.insert(draft.sql.clone(), usize::from(fit));
                if !fit {
                    return Ok(None);
                }
            }
        }
        let run = draft.sql.clone();
        let style = Style { dialect: self.options.dialect };
        let mut draft = if style.dialect == Dialect::Sqlite {
            draft
        } else {
            match (pattern.make)(&mut Maker { facts: self.facts, draws: before, style }) {
                Some(draft) => draft,
                None => return Ok(None),
            }
        };
        let language = &self.options.languages[turn % self.options.languages.len()];
        evidence::reword(&mut draft, &Wording { facts: self.facts, style, language }, &mut self.draws);
        let Some(Worded { question, evidence, voice, typing }) = self.words(&draft, language, held_out) else {
            return Ok(None);
        };
        if self.given.excluded.touches(&question) {
            self.counts.excluded += 1;
            return Ok(None);
        }
        let normal = normal(&format!("{question} {}", evidence.as_deref().unwrap_or_default()));
        if let Some(known) = self.asked.get(&normal) {
            // Asked before: the same pair again, or a question that means two things.
            if *known != run {
                self.counts.ambiguous += 1;
            }
            return Ok(None);
        }
        if let Some(asked) = self.known.get_mut(&run) {
            *asked += 1;
        }
        self.asked.insert(normal, run);
        Ok(Some(Pair {
            question,
            evidence,
            schema: self.schema.clone(),
            answer: draft.sql,
            pattern: pattern.name,
            difficulty: pattern.difficulty,
            language: language.clone(),
            voice,
            typing,
            unseen,
            rows_seed: self.rows_seed,
        }))
    }

    /// Whether a draft may be used in this part, and what of it the other part never sees.
    fn part_of(&self, pattern: &Pattern, draft: &Draft, held_out: bool) -> Option<&'static str> {
        let mut parts = draft.parts.clone();
        parts.sort();
        let combined = parts.len() >= 2 || parts.iter().any(|part| part.contains(['+', '&']));
        let combination = text_key(&format!("{}|{}", pattern.name, parts.join("|")));
        let rare = combined && combination.is_multiple_of(HELD_OUT_COMBINATION);
        let kept = text_key(&draft.sql).is_multiple_of(HELD_OUT_SQL);
        match (held_out, rare, kept) {
            (false, false, false) => Some("none"),
            (true, true, _) => Some("phrasing, combination"),
            (true, false, true) => Some("phrasing"),
            _ => None,
        }
    }

    /// Whether the statement runs, finds something (mostly) and cuts no tie.
    fn runs(&mut self, draft: &Draft) -> Result<bool> {
        self.counts.executed += 1;
        if draft.changes {
            let changed = self.scratch.undone(|scratch| scratch.execute(&draft.sql, &LIMITS))?;
            return Ok(changed.is_ok_and(|changed| changed > 0));
        }
        let rows = match self.scratch.query(&draft.sql, &LIMITS) {
            Ok(rows) => rows,
            Err(error) => {
                // A pattern that writes SQL which does not run is a defect of ours: never silent.
                return Err(Problem::failed(format!("the statement {} does not run: {error}", draft.sql)).into());
            }
        };
        if let Some((sql, count)) = &draft.ties {
            let keys = self.scratch.query(sql, &LIMITS).map_err(Problem::from)?;
            let tied = keys.rows.windows(2).any(|pair| pair[0] == pair[1]);
            if tied || keys.rows.len() < *count {
                return Ok(false);
            }
        }
        if says_nothing(&rows) && !draft.may_be_empty {
            if (self.counts.empty as f64) >= EMPTY * (self.counts.kept as f64 + 10.0) {
                return Ok(false);
            }
            self.counts.empty += 1;
        }
        self.counts.kept += 1;
        Ok(true)
    }

    /// The question in a voice of the part.
    fn words(&mut self, draft: &Draft, language: &str, held_out: bool) -> Option<Worded> {
        let voices: Vec<&RuleFile> = self
            .given
            .rules
            .voices(language, held_out)
            .into_iter()
            .flat_map(|file| std::iter::repeat_n(file, file.weight))
            .collect();
        let file = *self.draws.pick(&voices)?;
        let speaker = Speaker { rules: &self.given.rules, file, facts: self.facts };
        let question = speaker.say(&draft.phrase, &mut self.draws)?;
        let (question, typing) =
            if held_out { (question, "none") } else { noise::typed(&question, &self.names, &mut self.draws) };
        let evidence = match draft.evidence.as_slice() {
            [] => None,
            said => Some(plain(&speaker.evidence(said, &mut self.draws)?)),
        };
        Some(Worded { question: plain(&question), evidence, voice: file.voice.clone(), typing })
    }
}

/// No rows, or one row of nothing but NULL and 0.
fn says_nothing(rows: &Rows) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        value => value.as_number() == Some(0.0),
    };
    match rows.rows.as_slice() {
        [] => true,
        [only] => only.iter().all(nothing),
        _ => false,
    }
}

/// A question without case, punctuation and spaces that do not matter.
pub(super) fn normal(question: &str) -> String {
    let letters: String = question
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() || "<>=%@".contains(c) { c } else { ' ' })
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}
