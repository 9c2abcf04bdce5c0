//! The page: numbers of every run, the charts, the settings.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::RunRecord;
use crate::page::chart::{Line, draw};
use crate::page::{STYLES, escape, shell, short};
use crate::train::metrics::Record;

type Measure = fn(&Record) -> Option<f64>;

/// What is drawn: title, unit, value, whether the points are few and marked.
const CHARTS: [(&str, &str, Measure, bool); 7] = [
    ("Loss", "nats per target", |r| r.loss, false),
    ("Validation loss", "nats per target", |r| r.eval_loss, true),
    ("Validation accuracy", "share of targets", |r| r.eval_token_accuracy, true),
    ("Learning rate", "", |r| r.learning_rate, false),
    ("Gradient norm", "before clipping", |r| r.grad_norm, false),
    ("Speed", "tokens a second", |r| r.tokens_per_s, false),
    ("Memory", "MiB resident", |r| r.rss_mib, false),
];

pub(super) fn render(runs: &[RunRecord]) -> String {
    let mut page = String::new();
    if let Some(run) = runs.first() {
        let _ = write!(page, "<p class=\"sub\">{}</p>", subtitle(run));
    }
    numbers(&mut page, runs);
    page.push_str("<h2>Curves</h2><div class=\"charts\">");
    for (title, unit, value, dots) in CHARTS {
        let of = |(index, run): (usize, &RunRecord)| Line { run: index % STYLES, points: run.points(value), dots };
        let lines: Vec<Line> = runs.iter().enumerate().map(of).filter(|line| !line.points.is_empty()).collect();
        page.push_str(&draw(title, unit, &lines));
    }
    page.push_str("</div>");
    settings(&mut page, runs);
    shell(&runs.first().map_or_else(String::new, title), "", &page)
}

fn title(run: &RunRecord) -> String {
    let text = |key: &str| run.training_args[key].as_str().unwrap_or_default().to_owned();
    let named = [text("expert"), text("version")].join(" ");
    if named.trim().is_empty() { run.name.clone() } else { named.trim().to_owned() }
}

fn subtitle(run: &RunRecord) -> String {
    let args = &run.training_args;
    let mut parts = Vec::new();
    if let Some(base) = args["base_model"].as_str() {
        parts.push(format!("on {}", escape(base)));
    }
    for (key, words) in [("rows", "rows"), ("total_steps", "steps"), ("trainable_parameters", "trainable parameters")] {
        if let Some(number) = args[key].as_f64() {
            parts.push(format!("{} {words}", short(number)));
        }
    }
    parts.join(" · ")
}

/// The table of results, which is the key to the curves too.
fn numbers(page: &mut String, runs: &[RunRecord]) {
    page.push_str("<div class=\"wide\"><table><thead><tr><th></th><th>run</th>");
    for head in ["steps", "loss", "best validation", "at step", "tokens/s", "memory MiB", "targets"] {
        let _ = write!(page, "<th class=\"n\">{head}</th>");
    }
    page.push_str("</tr></thead><tbody>");
    for (index, run) in runs.iter().enumerate() {
        let s = run.summary();
        let style = index % STYLES;
        let _ = write!(
            page,
            "<tr><td><svg class=\"key\" viewBox=\"0 0 36 12\" aria-hidden=\"true\"><path class=\"r{style}\" d=\"M0 6H36\"/></svg></td><td>{}</td>",
            escape(&run.name)
        );
        let cells = [
            Some(s.steps as f64),
            s.loss,
            s.best_eval_loss,
            s.best_step.map(|step| step as f64),
            s.tokens_per_s,
            s.rss_mib,
            Some(s.target_tokens as f64),
        ];
        for cell in cells {
            let _ = write!(page, "<td class=\"n\">{}</td>", cell.map_or_else(|| "–".to_owned(), short));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}

/// Every setting of every run; of several runs, those in which they differ first and marked.
fn settings(page: &mut String, runs: &[RunRecord]) {
    let known: BTreeSet<&String> = runs
        .iter()
        .filter_map(|run| run.training_args["settings"].as_object())
        .flat_map(|fields| fields.keys())
        .collect();
    if known.is_empty() {
        return;
    }
    let value = |run: &RunRecord, key: &str| shown(&run.training_args["settings"][key]);
    let differs = |key: &str| runs.windows(2).any(|pair| value(&pair[0], key) != value(&pair[1], key));
    let (first, rest): (Vec<&String>, Vec<&String>) = known.into_iter().partition(|key| differs(key));
    page.push_str("<h2>Settings</h2><div class=\"wide\"><table><thead><tr><th>setting</th>");
    for run in runs {
        let _ = write!(page, "<th>{}</th>", if runs.len() == 1 { "value".to_owned() } else { escape(&run.name) });
    }
    page.push_str(if runs.len() == 1 { "<th>from</th></tr></thead><tbody>" } else { "</tr></thead><tbody>" });
    for (keys, class) in [(first, " class=\"differs\""), (rest, "")] {
        for key in keys {
            let _ = write!(page, "<tr{class}><td>{}</td>", escape(key));
            for run in runs {
                let _ = write!(page, "<td>{}</td>", escape(&value(run, key)));
            }
            if let [only] = runs {
                let from = only.training_args["origins"][key.as_str()].as_str().unwrap_or("default");
                let _ = write!(page, "<td class=\"from\">{}</td>", escape(from));
            }
            page.push_str("</tr>");
        }
    }
    page.push_str("</tbody></table></div>");
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "–".into(),
        other => other.to_string(),
    }
}
