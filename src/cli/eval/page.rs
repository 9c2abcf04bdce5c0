//! What `report.html` is told.

use serde_json::Value;

use super::sides::Sides;
use crate::eval::report::{self, Baseline, Report};
use crate::eval::{self, Score, Suite};
use crate::manifest::last_component;

/// The page about everybody's answers; `body`: the JSON of this run.
pub(super) fn render(suite: &Suite, sides: &Sides, body: &Value) -> String {
    let own = &sides.own;
    let official = body["official"] == true;
    let mut remarks =
        vec![format!("{} questions in {}", own.outcomes.len(), body["dialect"].as_str().unwrap_or_default())];
    let who = &own.who;
    // The page may be shown to others: it names no folder of this machine.
    if let Some(base) = who["base_model"].as_str() {
        remarks.push(format!("on {}", last_component(base)));
    }
    for (key, what) in [("grammar", "grammar"), ("schema_guard", "schema guard"), ("temperature", "temperature")] {
        let value = &who["settings"][key]["value"];
        if !value.is_null() {
            remarks
                .push(format!("{what} {}", value.as_str().map_or_else(|| value.to_string(), last_component_of_text)));
        }
    }
    if let Some(several) = who["several"].as_object() {
        remarks.push(format!("{} beams, {} samples, vote", several["beams"], several["samples"]));
    }
    let skipped = body["skipped"].as_array().map_or(0, Vec::len);
    if skipped > 0 {
        remarks.push(format!("{skipped} items left out, whose gold does not run"));
    }
    let baseline = sides.baseline.as_ref().map(|other| Baseline {
        name: last_component(&other.name),
        outcomes: &other.outcomes,
        summary: &body["baseline"]["scores"],
        compared: eval::compare(&own.outcomes, &other.outcomes),
    });
    let checkpoints = sides
        .checkpoints
        .iter()
        .map(|checkpoint| (checkpoint.name.clone(), checkpoint.step, Score::execution(&checkpoint.side.outcomes)))
        .collect();
    report::render(&Report {
        suite: &suite.name,
        name: last_component(&own.name),
        remarks,
        summary: body,
        outcomes: &own.outcomes,
        baseline,
        checkpoints,
        best: sides.best,
        mended: if official { &[] } else { &eval::MENDED },
    })
}

fn last_component_of_text(text: &str) -> String {
    last_component(text).to_owned()
}
