//! `eval`: answers judged by execution over a suite.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::args::eval::Args;
use super::ui::{Table, Ui};
use crate::db::Limits;
use crate::error::{Problem, Result};
use crate::eval::{self, Outcome, Suite, statistics};
use crate::fsx;

/// Answers by item and language: the SQL and the seconds it took.
type Predictions = BTreeMap<(String, String), (String, Option<f64>)>;

/// Failures that are shown; all of them are in `--outcomes`.
const SHOWN_FAILURES: usize = 5;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let suite = Suite::load(&args.suite, &args.suites)?;
    let limits = Limits::default();
    let judged = |file: &Path| -> Result<Vec<Outcome>> {
        let predictions = predictions(file, &suite, &args.lang)?;
        eval::score(&suite, &args.lang, &predictions, &limits)
    };
    let outcomes = judged(&args.predictions)?;
    if outcomes.is_empty() {
        return Err(Problem::usage(format!("the suite asks nothing in {}", args.lang.join(", "))).into());
    }
    let mut body = eval::summary(&outcomes);
    body["suite"] = json!(suite.name);
    body["predictions"] = json!(args.predictions);
    if let Some(file) = &args.baseline {
        let others = judged(file)?;
        let only = |a: &[Outcome], b: &[Outcome]| a.iter().zip(b).filter(|(a, b)| a.right && !b.right).count();
        let (ours, theirs) = (only(&outcomes, &others), only(&others, &outcomes));
        body["baseline"] = json!({
            "predictions": file,
            "scores": eval::summary(&others),
            "only_ours_right": ours,
            "only_baseline_right": theirs,
            "mcnemar_p": statistics::mcnemar(ours, theirs),
        });
    }
    if let Some(path) = &args.outcomes {
        let lines: String = outcomes.iter().map(|outcome| outcome.to_json().to_string() + "\n").collect();
        fsx::write_atomic(path, lines.as_bytes())?;
        body["outcomes"] = json!(path);
    }
    if ui.is_json() {
        return ui.json("expert-cli.eval/1", body);
    }
    show(&body, &outcomes, ui)?;
    if args.outcomes.is_none() {
        ui.next("the same command with --outcomes outcomes.jsonl keeps every failure with both results");
    }
    Ok(())
}

/// Reads predictions; an id that the suite does not know is an error, so that a wrong file is not a score of 0.
fn predictions(file: &Path, suite: &Suite, languages: &[String]) -> Result<Predictions> {
    let mut found = Predictions::new();
    for (number, line) in fsx::read_text(file)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: &str| {
            Problem::input(format!("{}:{}: {why}", file.display(), number + 1))
                .hint("one JSON object a line: {\"id\": …, \"sql\": …, \"language\": \"en\"}")
        };
        let row: Value = serde_json::from_str(line).map_err(|error| wrong(&format!("no JSON: {error}")))?;
        let id = row["id"].as_str().ok_or_else(|| wrong("no `id`"))?;
        let sql = row["sql"].as_str().or_else(|| row["answer"].as_str()).ok_or_else(|| wrong("no `sql`"))?;
        if !suite.items.iter().any(|item| item.id == id) {
            return Err(wrong(&format!("the suite {} has no item `{id}`", suite.name)).into());
        }
        let seconds = row["seconds"].as_f64();
        let languages = match row["language"].as_str() {
            Some(language) => vec![language.to_owned()],
            None => languages.to_vec(),
        };
        for language in languages {
            if found.insert((id.to_owned(), language), (sql.to_owned(), seconds)).is_some() {
                return Err(wrong(&format!("a second answer to `{id}`")).into());
            }
        }
    }
    Ok(found)
}

fn show(body: &Value, outcomes: &[Outcome], ui: &Ui) -> Result<()> {
    let mut table = Table::new(["", "right", "of", "score", "95 % interval"]);
    let percent = |value: &Value| value.as_f64().map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0));
    let mut row = |name: &str, score: &Value| {
        let interval = format!("{} – {}", percent(&score["low"]), percent(&score["high"]));
        table.row([
            name.to_owned(),
            score["right"].to_string(),
            score["n"].to_string(),
            percent(&score["score"]),
            interval,
        ]);
    };
    row("execution", &body["execution"]);
    row("valid SQL", &body["valid_sql"]);
    row("schema-valid SQL", &body["schema_valid"]);
    for group in ["by_language", "by_difficulty", "by_category"] {
        for (name, score) in body[group].as_object().into_iter().flatten() {
            row(name, score);
        }
    }
    if let Some(baseline) = body["baseline"].as_object() {
        row("baseline, execution", &baseline["scores"]["execution"]);
    }
    ui.data_untrusted(&table.render())?;
    if let Some(p) = body["baseline"]["mcnemar_p"].as_f64() {
        let (ours, theirs) = (&body["baseline"]["only_ours_right"], &body["baseline"]["only_baseline_right"]);
        ui.note(&format!("right here only: {ours}, right in the baseline only: {theirs}, McNemar p = {p:.2e}"));
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.right).take(SHOWN_FAILURES) {
        let reason = outcome.reason.as_deref().unwrap_or("");
        let text =
            format!("\n{} {}: {reason}\n  {}\n  {}", outcome.id, outcome.language, outcome.question, outcome.sql);
        ui.note(&super::ui::escape(&text));
    }
    Ok(())
}
