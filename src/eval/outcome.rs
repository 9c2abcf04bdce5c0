//! What came of the answers to a suite, one by one and summed up.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::statistics::{mcnemar, quantile, wilson};
use super::suite::{Item, Suite};
use crate::db::{Rows, Value};

/// Rows of a result that are kept with a failure.
const SHOWN_ROWS: usize = 10;

/// An answer to be judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The statement.
    pub sql: String,
    /// Seconds it took, where somebody measured.
    pub seconds: Option<f64>,
    /// Why it is wrong whatever it says: it was cut off, or nobody answered.
    pub failed: Option<String>,
}

/// What the other measures say; none where one does not apply.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measures {
    /// Spider's execution match.
    pub spider: Option<bool>,
    /// BIRD's EX.
    pub bird: Option<bool>,
    /// BIRD-CRITIC's rule: BIRD's EX, and something was found.
    pub critic: Option<bool>,
    /// BIRD's soft F1.
    pub soft_f1: Option<f64>,
    /// Spider's exact set match.
    pub exact: Option<bool>,
    /// Spider's hardness of the gold.
    pub hardness: Option<&'static str>,
    /// WikiSQL's logical form.
    pub logical: Option<bool>,
    /// R-VES.
    pub ves: Option<f64>,
    /// Whether the gold found nothing on any database, so that another query that finds nothing is right too.
    pub gold_found_nothing: bool,
}

/// What judging an answer says.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Whether the result is the gold's, by the rule of the suite.
    pub right: bool,
    /// Whether the SQL parses.
    pub parses: bool,
    /// Whether it names only what is there.
    pub resolves: bool,
    /// Why it is not right.
    pub reason: Option<String>,
    /// Its rows, if it ran, and the gold's, of a wrong result.
    pub rows: Option<(Option<Json>, Json)>,
    /// The other measures.
    pub measures: Measures,
}

/// What came of one answer.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The item.
    pub id: String,
    /// Its category.
    pub category: String,
    /// Its pattern; empty where it has none.
    pub pattern: String,
    /// Its difficulty.
    pub difficulty: String,
    /// The language of the question.
    pub language: String,
    /// The question as it was put.
    pub question: String,
    /// The answer judged.
    pub sql: String,
    /// The first gold query.
    pub gold: String,
    /// Seconds that answering took, where the answer tells.
    pub seconds: Option<f64>,
    /// What judging says.
    pub verdict: Verdict,
}

impl Outcome {
    /// Of an answer to an item in a language.
    pub fn new(item: &Item, language: &str, answer: Answer, mut verdict: Verdict) -> Self {
        if let Some(failed) = answer.failed {
            let measures = Measures { hardness: verdict.measures.hardness, ..Measures::default() };
            let none = |known: Option<bool>| known.map(|_| false);
            verdict.measures = Measures {
                spider: none(verdict.measures.spider),
                bird: none(verdict.measures.bird),
                critic: none(verdict.measures.critic),
                exact: none(verdict.measures.exact),
                logical: none(verdict.measures.logical),
                soft_f1: verdict.measures.soft_f1.map(|_| 0.0),
                ves: verdict.measures.ves.map(|_| 0.0),
                ..measures
            };
            (verdict.right, verdict.reason) = (false, Some(failed));
        }
        Self {
            id: item.id.clone(),
            category: item.category.clone(),
            pattern: item.pattern.clone(),
            difficulty: item.difficulty.clone(),
            language: language.to_owned(),
            question: item.asked(language),
            sql: answer.sql,
            gold: item.gold.first().cloned().unwrap_or_default(),
            seconds: answer.seconds,
            verdict,
        }
    }

    /// Whether it is right.
    pub fn is_right(&self) -> bool {
        self.verdict.right
    }

    /// A line of `outcomes.jsonl`.
    pub fn to_json(&self) -> Json {
        let (verdict, measures) = (&self.verdict, &self.verdict.measures);
        json!({
            "id": self.id, "category": self.category, "pattern": self.pattern, "difficulty": self.difficulty,
            "language": self.language, "question": self.question, "sql": self.sql, "gold": self.gold,
            "right": verdict.right, "valid_sql": verdict.parses, "schema_valid": verdict.resolves,
            "reason": verdict.reason,
            "result": verdict.rows.as_ref().map(|(own, _)| own),
            "gold_result": verdict.rows.as_ref().map(|(_, gold)| gold),
            "seconds": self.seconds,
            "spider": measures.spider, "bird": measures.bird, "critic": measures.critic, "soft_f1": measures.soft_f1,
            "exact_match": measures.exact, "hardness": measures.hardness, "logical_form": measures.logical,
            "r_ves": measures.ves, "gold_found_nothing": measures.gold_found_nothing,
        })
    }
}

/// The first rows of a result, as failures keep them.
pub(super) fn shown(rows: &Rows) -> Json {
    let first: Vec<Vec<Json>> =
        rows.rows.iter().take(SHOWN_ROWS).map(|row| row.iter().map(Value::to_json).collect()).collect();
    json!({"columns": rows.columns, "rows": first, "n": rows.rows.len()})
}

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// How many are right.
    pub right: usize,
    /// Of how many.
    pub n: usize,
}

impl Score {
    /// Over the outcomes that the measure applies to; none where it applies to no one.
    fn of<'a>(
        outcomes: impl IntoIterator<Item = &'a Outcome>,
        right: impl Fn(&Outcome) -> Option<bool>,
    ) -> Option<Self> {
        let mut score = Self { right: 0, n: 0 };
        for right in outcomes.into_iter().filter_map(right) {
            score.n += 1;
            score.right += usize::from(right);
        }
        (score.n > 0).then_some(score)
    }

    /// Of some outcomes, by the suite's rule.
    pub fn execution<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        Self::of(outcomes, |outcome| Some(outcome.verdict.right)).unwrap_or(Self { right: 0, n: 0 })
    }

    /// The share of those that are right.
    pub fn share(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.right as f64 / self.n as f64 }
    }

    /// As JSON: `right`, `n`, `score` and Wilson's 95 % interval.
    pub fn to_json(self) -> Json {
        let (low, high) = wilson(self.right, self.n);
        let share = (self.n > 0).then(|| self.share());
        json!({"right": self.right, "n": self.n, "score": share, "low": low, "high": high})
    }
}

/// All scores of some outcomes: by the suite's rule over all and by group, valid SQL, schema-valid SQL, the other measures
/// where they apply, and latency.
pub fn summary(outcomes: &[Outcome]) -> Json {
    let of = |right: fn(&Outcome) -> Option<bool>| Score::of(outcomes, right).map(Score::to_json);
    let mean = |value: fn(&Outcome) -> Option<f64>| {
        let values: Vec<f64> = outcomes.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let seconds: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.seconds).collect();
    let nothing = outcomes.iter().filter(|outcome| outcome.verdict.measures.gold_found_nothing);
    json!({
        "execution": Score::execution(outcomes).to_json(),
        "valid_sql": of(|outcome| Some(outcome.verdict.parses)),
        "schema_valid": of(|outcome| Some(outcome.verdict.resolves)),
        "spider_execution": of(|outcome| outcome.verdict.measures.spider),
        "bird_execution": of(|outcome| outcome.verdict.measures.bird),
        "bird_critic": of(|outcome| outcome.verdict.measures.critic),
        "exact_match": of(|outcome| outcome.verdict.measures.exact),
        "logical_form": of(|outcome| outcome.verdict.measures.logical),
        "soft_f1": mean(|outcome| outcome.verdict.measures.soft_f1),
        "r_ves": mean(|outcome| outcome.verdict.measures.ves),
        "gold_found_nothing": nothing.count(),
        "by_category": groups(outcomes, |outcome| Some(&outcome.category)),
        "by_pattern": groups(outcomes, |outcome| Some(&outcome.pattern)),
        "by_difficulty": groups(outcomes, |outcome| Some(&outcome.difficulty)),
        "by_hardness": groups(outcomes, |outcome| outcome.verdict.measures.hardness),
        "by_language": groups(outcomes, |outcome| Some(&outcome.language)),
        "latency_p50": quantile(&seconds, 0.5),
        "latency_p95": quantile(&seconds, 0.95),
    })
}

/// Scores by the suite's rule of the outcomes that share a word, in the order of the words; a group without a name is none.
pub fn by<'a>(outcomes: &'a [Outcome], key: impl Fn(&'a Outcome) -> Option<&'a str>) -> Vec<(&'a str, Score)> {
    let mut groups: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        if let Some(name) = key(outcome).filter(|name| !name.is_empty()) {
            groups.entry(name).or_default().push(outcome);
        }
    }
    groups.into_iter().map(|(name, group)| (name, Score::execution(group))).collect()
}

fn groups(outcomes: &[Outcome], key: fn(&Outcome) -> Option<&str>) -> Json {
    Json::Object(by(outcomes, key).into_iter().map(|(name, score)| (name.to_owned(), score.to_json())).collect())
}

/// Two sides that answered the same questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Questions that only the first side answered right.
    pub only_first: usize,
    /// Questions that only the second side answered right.
    pub only_second: usize,
    /// McNemar's exact two-sided p.
    pub p: f64,
}

/// Compares outcomes of the same questions, in the same order.
pub fn compare(first: &[Outcome], second: &[Outcome]) -> Comparison {
    let only =
        |a: &[Outcome], b: &[Outcome]| a.iter().zip(b).filter(|(a, b)| a.verdict.right && !b.verdict.right).count();
    let (only_first, only_second) = (only(first, second), only(second, first));
    Comparison { only_first, only_second, p: mcnemar(only_first, only_second) }
}

/// An evenly spread part of the questions, `count` of them: the same every time.
pub fn spread<T: Clone>(tasks: &[T], count: usize) -> Vec<T> {
    if tasks.len() <= count {
        return tasks.to_vec();
    }
    (0..count).map(|at| tasks[at * tasks.len() / count].clone()).collect()
}

/// What a report says about a suite.
pub fn about(suite: &Suite) -> Json {
    json!({"name": suite.name, "form": suite.form.name(), "dialect": suite.dialect.name(), "items": suite.items.len()})
}
