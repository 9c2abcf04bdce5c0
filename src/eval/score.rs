//! The default rule, the judging of predictions over a suite, and what comes of it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::statistics::{quantile, wilson};
use super::suite::{Item, Suite};
use crate::db::sqlite::Scratch;
use crate::db::{Limits, Rows, Value};
use crate::error::Result;
use crate::sql::{Dialect, Schema, lint};

/// Numbers are equal within this share of the larger: the suites' rule.
const RELATIVE: f64 = 1e-6;

/// Rows of a result that are kept with a failure.
const SHOWN_ROWS: usize = 10;

/// What came of one answer.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The item.
    pub id: String,
    /// Its category.
    pub category: String,
    /// Its difficulty.
    pub difficulty: String,
    /// The language of the question.
    pub language: String,
    /// The question.
    pub question: String,
    /// The answer judged.
    pub sql: String,
    /// The first gold query.
    pub gold: String,
    /// Whether its result is the gold's.
    pub right: bool,
    /// Whether it parses.
    pub parses: bool,
    /// Whether it names only what the schema has.
    pub resolves: bool,
    /// Why it is not right.
    pub reason: Option<String>,
    /// Its rows and the gold's, of a failure.
    pub rows: Option<(Json, Json)>,
    /// Seconds that answering took, where the prediction tells.
    pub seconds: Option<f64>,
}

impl Outcome {
    /// A line of `outcomes.jsonl`.
    pub fn to_json(&self) -> Json {
        json!({
            "id": self.id, "category": self.category, "difficulty": self.difficulty, "language": self.language,
            "question": self.question, "sql": self.sql, "gold": self.gold, "right": self.right,
            "valid_sql": self.parses, "schema_valid": self.resolves, "reason": self.reason,
            "result": self.rows.as_ref().map(|(own, _)| own), "gold_result": self.rows.as_ref().map(|(_, gold)| gold),
            "seconds": self.seconds,
        })
    }
}

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// How many are right.
    pub right: usize,
    /// Of how many.
    pub n: usize,
}

impl Score {
    fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, right: impl Fn(&Outcome) -> bool) -> Self {
        let mut score = Self { right: 0, n: 0 };
        for outcome in outcomes {
            score.n += 1;
            score.right += usize::from(right(outcome));
        }
        score
    }

    /// As JSON: `right`, `n`, `score` and Wilson's 95 % interval.
    pub fn to_json(self) -> Json {
        let (low, high) = wilson(self.right, self.n);
        let share = if self.n == 0 { None } else { Some(self.right as f64 / self.n as f64) };
        json!({"right": self.right, "n": self.n, "score": share, "low": low, "high": high})
    }
}

/// Whether a result is the gold's by the suites' rule: as many rows, the gold's columns among the answer's in any order, rows as
/// a bag or, `ordered`, one by one.
pub fn matches(gold: &Rows, answer: &Rows, ordered: bool, tolerance: f64) -> bool {
    if gold.rows.len() != answer.rows.len() || gold.columns.len() > answer.columns.len() {
        return false;
    }
    let same = |a: &Value, b: &Value| match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance.max(1e-9).max(RELATIVE * a.abs().max(b.abs())),
        (None, None) => a == b,
        _ => false,
    };
    assigned(gold, answer, &mut Vec::new(), &|columns| {
        let row = |own: &[Value], gold: &[Value]| columns.iter().zip(gold).all(|(at, gold)| same(gold, &own[*at]));
        if ordered {
            return answer.rows.iter().zip(&gold.rows).all(|(own, gold)| row(own, gold));
        }
        let mut rest: Vec<&Vec<Value>> = answer.rows.iter().collect();
        gold.rows.iter().all(|gold| match rest.iter().position(|own| row(own, gold)) {
            Some(at) => {
                rest.swap_remove(at);
                true
            }
            None => false,
        })
    })
}

/// Tries every assignment of the gold's columns to different columns of the answer. A column is tried only where its
/// first cells can be found at all, which leaves a handful even for wide results.
fn assigned(gold: &Rows, answer: &Rows, chosen: &mut Vec<usize>, test: &dyn Fn(&[usize]) -> bool) -> bool {
    let own = chosen.len();
    if own == gold.columns.len() {
        return test(chosen);
    }
    for at in 0..answer.columns.len() {
        let kind = |rows: &Rows, at: usize| {
            let nulls = rows.rows.iter().filter(|row| row[at] == Value::Null).count();
            let numbers = rows.rows.iter().filter(|row| row[at].as_number().is_some()).count();
            (nulls, numbers)
        };
        if chosen.contains(&at) || kind(gold, own) != kind(answer, at) {
            continue;
        }
        chosen.push(at);
        if assigned(gold, answer, chosen, test) {
            return true;
        }
        chosen.pop();
    }
    false
}

/// Judges one answer to an item, over its database.
pub fn judge_item(item: &Item, sql: &str, database: &mut Scratch, limits: &Limits) -> Result<Verdict> {
    let schema = Schema::parse(&item.schema, Dialect::Sqlite)?;
    let parses = crate::sql::parse(sql, Dialect::Sqlite).is_ok();
    let issues = if parses { lint(sql, &schema, Dialect::Sqlite) } else { Vec::new() };
    let golds = item.answers(database, limits)?;
    let mut verdict = Verdict { right: false, parses, resolves: parses && issues.is_empty(), reason: None, rows: None };
    match database.query(sql, limits) {
        Err(error) => verdict.reason = Some(format!("{}: {error}", error.kind())),
        Ok(rows) if rows.truncated => verdict.reason = Some("its result was cut off".into()),
        Ok(rows) => {
            verdict.right = golds.iter().any(|gold| matches(gold, &rows, item.ordered, item.tolerance));
            if !verdict.right {
                let (gold, own) = (&golds[0], &rows);
                verdict.reason = Some(difference(gold, own));
                verdict.rows = Some((shown(own), shown(gold)));
            }
        }
    }
    Ok(verdict)
}

/// What [`judge_item`] says.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whether the result is the gold's.
    pub right: bool,
    /// Whether the SQL parses.
    pub parses: bool,
    /// Whether it names only what is there.
    pub resolves: bool,
    /// Why it is not right.
    pub reason: Option<String>,
    /// Its rows and the gold's, of a wrong result.
    pub rows: Option<(Json, Json)>,
}

fn difference(gold: &Rows, own: &Rows) -> String {
    if own.rows.len() != gold.rows.len() {
        format!("{} rows instead of {}", own.rows.len(), gold.rows.len())
    } else if own.columns.len() < gold.columns.len() {
        format!("{} columns instead of {}", own.columns.len(), gold.columns.len())
    } else {
        "other values".to_owned()
    }
}

fn shown(rows: &Rows) -> Json {
    let first: Vec<Vec<Json>> =
        rows.rows.iter().take(SHOWN_ROWS).map(|row| row.iter().map(Value::to_json).collect()).collect();
    json!({"columns": rows.columns, "rows": first, "n": rows.rows.len()})
}

/// Judges predictions, by item and language; a question without one is wrong.
pub fn score(
    suite: &Suite,
    languages: &[String],
    predictions: &BTreeMap<(String, String), (String, Option<f64>)>,
    limits: &Limits,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for item in &suite.items {
        let mut database = item.database()?;
        for (language, question) in item.question.iter().filter(|(language, _)| languages.contains(language)) {
            let found = predictions.get(&(item.id.clone(), language.clone()));
            let (sql, seconds) = found.cloned().unwrap_or_default();
            let verdict = if found.is_some() {
                judge_item(item, &sql, &mut database, limits)?
            } else {
                let reason = Some("no prediction".to_owned());
                Verdict { right: false, parses: false, resolves: false, reason, rows: None }
            };
            outcomes.push(Outcome {
                id: item.id.clone(),
                category: item.category.clone(),
                difficulty: item.difficulty.clone(),
                language: language.clone(),
                question: question.clone(),
                sql,
                gold: item.gold[0].clone(),
                right: verdict.right,
                parses: verdict.parses,
                resolves: verdict.resolves,
                reason: verdict.reason,
                rows: verdict.rows,
                seconds,
            });
        }
    }
    Ok(outcomes)
}

/// All scores of some outcomes: overall, valid SQL, schema-valid SQL, by category, difficulty and language, and latency.
pub fn summary(outcomes: &[Outcome]) -> Json {
    let by = |key: fn(&Outcome) -> &str| {
        let mut groups: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
        for outcome in outcomes {
            groups.entry(key(outcome)).or_default().push(outcome);
        }
        let scores = groups
            .into_iter()
            .map(|(name, group)| (name.to_owned(), Score::of(group, |outcome| outcome.right).to_json()));
        Json::Object(scores.collect())
    };
    let seconds: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.seconds).collect();
    json!({
        "execution": Score::of(outcomes, |outcome| outcome.right).to_json(),
        "valid_sql": Score::of(outcomes, |outcome| outcome.parses).to_json(),
        "schema_valid": Score::of(outcomes, |outcome| outcome.resolves).to_json(),
        "by_category": by(|outcome| &outcome.category),
        "by_difficulty": by(|outcome| &outcome.difficulty),
        "by_language": by(|outcome| &outcome.language),
        "latency_p50": quantile(&seconds, 0.5),
        "latency_p95": quantile(&seconds, 0.95),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: usize, cells: &[&[i64]]) -> Rows {
        Rows {
            columns: vec![String::new(); columns],
            rows: cells.iter().map(|row| row.iter().map(|cell| Value::Integer(*cell)).collect()).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn columns_may_be_a_subset_in_any_order() {
        let gold = rows(2, &[&[1, 10], &[2, 20]]);
        for (answer, ordered, same) in [
            (rows(2, &[&[1, 10], &[2, 20]]), true, true),
            (rows(2, &[&[20, 2], &[10, 1]]), false, true),
            (rows(2, &[&[20, 2], &[10, 1]]), true, false),
            (rows(3, &[&[7, 10, 1], &[7, 20, 2]]), true, true),
            (rows(1, &[&[1], &[2]]), false, false),
            (rows(2, &[&[1, 20], &[2, 10]]), false, false),
            (rows(2, &[&[1, 10]]), false, false),
        ] {
            assert_eq!(matches(&gold, &answer, ordered, 0.0), same, "{answer:?}");
        }
        let near = Rows { rows: vec![vec![Value::Real(33.3)]], ..rows(1, &[]) };
        let exact = Rows { rows: vec![vec![Value::Real(33.3333)]], ..rows(1, &[]) };
        assert!(matches(&exact, &near, false, 0.05) && !matches(&exact, &near, false, 0.0));
    }
}
