//! The manifest's `quality_metrics` and `packaging_checkpoint`, filled from what was measured and from nothing else.

use serde_json::{Value, json};

use super::answers::Course;
use super::sides::Sides;
use crate::cli::answering::manifest_above;
use crate::cli::ui::Ui;
use crate::db::Limits;
use crate::db::sqlite::Scratch;
use crate::error::{Problem, Result};
use crate::eval::{Score, compare};
use crate::manifest::Manifest;

/// Writes into the manifest that `--manifest` names, else the one above the adapter, and notes that in the body.
pub(super) fn write(course: &Course<'_>, sides: &Sides, body: &mut Value, ui: &Ui) -> Result<()> {
    let mut manifest = match (&course.args.manifest, &sides.adapter) {
        (Some(path), _) => Manifest::load(path)?,
        (None, Some(adapter)) => manifest_above(adapter)?.ok_or_else(|| {
            Problem::usage(format!("there is no manifest above {}", adapter.display())).hint("--manifest names one")
        })?,
        (None, None) => {
            return Err(Problem::usage("it is not clear which manifest the scores belong into")
                .hint("--manifest names one; of an adapter's folder or checkpoints it is the one above them")
                .into());
        }
    };
    let path = manifest.path().map(std::path::Path::to_owned).unwrap_or_default();
    let chosen = sides.best.and_then(|best| sides.checkpoints.get(best));
    if let Some(checkpoint) = chosen.filter(|_| course.args.select) {
        manifest.set("training.packaging_checkpoint", json!(checkpoint.name))?;
        body["packaging_checkpoint"] = json!(checkpoint.name);
    }
    let mut metrics = metrics(course, sides, body);
    metrics["checkpoint"] = match (chosen, &sides.adapter) {
        (Some(checkpoint), _) => json!(checkpoint.name),
        (None, Some(adapter)) => json!(adapter.file_name().map(|name| name.to_string_lossy().into_owned())),
        (None, None) => Value::Null,
    };
    metrics["training_steps"] = json!(chosen.and_then(|checkpoint| checkpoint.step));
    body["quality_metrics"] = metrics.clone();
    manifest.set("quality_metrics", metrics)?;
    manifest.save(&path)?;
    body["manifest"] = json!(path);
    ui.note(&format!("wrote the scores into {}", path.display()));
    if sides.baseline.is_none() {
        ui.note("without --baseline base the manifest does not say what the base model scores");
    }
    Ok(())
}

/// Scores are percent: upstream's keys, and what they rest on.
fn metrics(course: &Course<'_>, sides: &Sides, body: &Value) -> Value {
    let own = Score::execution(&sides.own.outcomes);
    let percent = |share: f64| (share * 1e4).round() / 1e2;
    let share = |value: &Value| value.as_f64().map(percent);
    let milliseconds = |value: &Value| value.as_f64().map(|seconds| (seconds * 1e4).round() / 10.0);
    let mut metrics = json!({
        "_comment": "written by `expert-cli eval`: scores are percent of the questions whose result is the gold's, improvement_percent is their difference in points",
        "benchmark_score": percent(own.share()),
        "low": share(&body["execution"]["low"]),
        "high": share(&body["execution"]["high"]),
        "suite": course.suite.name,
        "dialect": course.judge.dialect.name(),
        "test_queries": own.n,
        "sql_valid": share(&body["valid_sql"]["score"]),
        "schema_valid": share(&body["schema_valid"]["score"]),
        "latency_p50_ms": milliseconds(&body["latency_p50"]),
        "latency_p95_ms": milliseconds(&body["latency_p95"]),
        "test_date": today(),
    });
    if let Some(baseline) = &sides.baseline {
        let other = Score::execution(&baseline.outcomes);
        let compared = compare(&sides.own.outcomes, &baseline.outcomes);
        let decided = compared.only_first + compared.only_second;
        metrics["base_model_score"] = json!(percent(other.share()));
        metrics["improvement_percent"] = json!(percent(own.share() - other.share()));
        metrics["win_rate_vs_base"] = json!((decided > 0).then(|| compared.only_first as f64 / decided as f64));
        metrics["mcnemar_p"] = json!(compared.p);
    }
    metrics
}

/// Today in UTC, as SQLite says it.
fn today() -> Option<String> {
    let rows = Scratch::new().ok()?.query("SELECT date('now')", &Limits::default()).ok()?;
    Some(rows.rows.first()?.first()?.to_string())
}
