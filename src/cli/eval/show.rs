//! The scores on the terminal.

use serde_json::Value;

use crate::cli::ui::{Table, Ui, escape};
use crate::error::Result;
use crate::eval::Outcome;

/// Failures that are shown; all of them are in the report.
const SHOWN_FAILURES: usize = 5;

/// Groups of one kind that are shown; more are a matter of the report.
const SHOWN_GROUPS: usize = 24;

pub(super) fn show(body: &Value, outcomes: &[Outcome], ui: &Ui) -> Result<()> {
    let mut table = Table::new(["", "right", "of", "score", "95 % interval"]);
    let mut row = |name: &str, score: &Value| {
        if score.is_null() {
            return;
        }
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
    let form = body["suite_form"].as_str().unwrap_or_default();
    if form != "own" {
        row("Spider's execution", &body["spider_execution"]);
        row("BIRD's execution", &body["bird_execution"]);
        row("exact set match", &body["exact_match"]);
        row("logical form", &body["logical_form"]);
    }
    for group in ["by_language", "by_difficulty", "by_hardness", "by_category"] {
        let groups = body[group].as_object().filter(|groups| groups.len() > 1 && groups.len() <= SHOWN_GROUPS);
        for (name, score) in groups.into_iter().flatten() {
            row(name, score);
        }
    }
    if let Some(baseline) = body["baseline"].as_object() {
        row("baseline, execution", &baseline["scores"]["execution"]);
    }
    for checkpoint in body["checkpoints"].as_array().into_iter().flatten() {
        row(checkpoint["name"].as_str().unwrap_or_default(), checkpoint);
    }
    ui.data_untrusted(&table.render())?;
    notes(body, ui);
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_right()).take(SHOWN_FAILURES) {
        let reason = outcome.verdict.reason.as_deref().unwrap_or("");
        let text =
            format!("\n{} {}: {reason}\n  {}\n  {}", outcome.id, outcome.language, outcome.question, outcome.sql);
        ui.note(&escape(&text));
    }
    if let Some(report) = body["report"].as_str() {
        ui.note(&format!("\nevery answer is in {report}"));
    }
    if body["baseline"].is_null() && body["answers"]["adapter"] == true {
        ui.next("the same command with --baseline base compares with the base model");
    }
    Ok(())
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0))
}

fn notes(body: &Value, ui: &Ui) {
    if let Some(p) = body["baseline"]["mcnemar_p"].as_f64() {
        let (ours, theirs) = (&body["baseline"]["only_ours_right"], &body["baseline"]["only_baseline_right"]);
        ui.note(&format!("right here only: {ours}, right in the baseline only: {theirs}, McNemar p = {p:.2e}"));
    }
    if let (Some(p50), Some(p95)) = (body["latency_p50"].as_f64(), body["latency_p95"].as_f64()) {
        ui.note(&format!("an answer takes {:.0} ms (p50), {:.0} ms (p95)", p50 * 1e3, p95 * 1e3));
    }
    for (key, name) in [("soft_f1", "soft F1"), ("r_ves", "R-VES")] {
        if let Some(value) = body[key].as_f64().filter(|_| key == "r_ves" || body["suite_form"] == "bird") {
            ui.note(&format!("{name}: {value:.3}"));
        }
    }
    let nothing = body["gold_found_nothing"].as_u64().unwrap_or(0);
    if nothing > 0 {
        ui.note(&format!(
            "of {nothing} questions the gold finds no rows: any other query that finds none is right too"
        ));
    }
    let skipped = body["skipped"].as_array().map_or(0, Vec::len);
    if skipped > 0 {
        ui.note(&format!("{skipped} items are left out because their gold does not run"));
    }
    if let Some(best) = body["best"].as_str() {
        ui.note(&format!("the best checkpoint is {best}"));
    }
    match (body["official"] == true, body["suite_form"] == "own") {
        (true, _) => ui.note("judged as the published evaluators do, slips included"),
        (false, false) => {
            ui.note("slips of the published evaluators are mended, the report says which; --official keeps them")
        }
        (false, true) => {}
    }
}
