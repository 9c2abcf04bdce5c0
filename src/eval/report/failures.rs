//! The failures, folded by category; each with its question, SQL, gold, both results and the reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::eval::outcome::Outcome;
use crate::page::escape;

/// Failures on the page; all of them are in `outcomes.jsonl`. Price: about 2 KB of page each.
const SHOWN: usize = 600;

/// Letters of a cell that are shown.
const CELL: usize = 60;

/// `others`: the baseline's outcomes, in the same order.
pub(super) fn list(page: &mut String, outcomes: &[Outcome], others: Option<&[Outcome]>) {
    let mut groups: BTreeMap<&str, Vec<(&Outcome, bool)>> = BTreeMap::new();
    let mut count = 0;
    for (at, outcome) in outcomes.iter().enumerate().filter(|(_, outcome)| !outcome.verdict.right) {
        let lost = others.and_then(|others| others.get(at)).is_some_and(|other| other.verdict.right);
        count += 1;
        if count <= SHOWN {
            groups.entry(&outcome.category).or_default().push((outcome, lost));
        }
    }
    let _ = write!(page, "<h2>Failures <small>{count} of {}</small></h2>", outcomes.len());
    if count == 0 {
        page.push_str("<p>None.</p>");
    }
    reasons(page, outcomes);
    let alone = groups.len() == 1;
    for (category, failures) in groups {
        let name = if category.is_empty() { "all" } else { category };
        let open = if alone { " open" } else { "" };
        let _ = write!(
            page,
            "<details class=\"group\"{open}><summary>{} <small>{}</small></summary>",
            escape(name),
            failures.len()
        );
        for (outcome, lost) in failures {
            one(page, outcome, lost);
        }
        page.push_str("</details>");
    }
    if count > SHOWN {
        let _ = write!(page, "<p class=\"sub\">The first {SHOWN} are shown; outcomes.jsonl has all.</p>");
    }
}

/// How often which kind of reason.
fn reasons(page: &mut String, outcomes: &[Outcome]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.verdict.right) {
        *counts.entry(kind(outcome.verdict.reason.as_deref().unwrap_or(""))).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let said: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} × {}", escape(kind))).collect();
    if !said.is_empty() {
        let _ = write!(page, "<p class=\"sub\">{}</p>", said.join(" · "));
    }
}

/// The reason without what is only of one answer.
fn kind(reason: &str) -> String {
    match reason {
        reason if reason.contains(" rows instead of ") => "another number of rows".to_owned(),
        reason if reason.contains(" columns instead of ") => "another number of columns".to_owned(),
        reason => reason.split(':').next().unwrap_or(reason).to_owned(),
    }
}

fn one(page: &mut String, outcome: &Outcome, lost: bool) {
    let reason = outcome.verdict.reason.as_deref().unwrap_or("");
    let mark = if lost { " <span class=\"lost\">the baseline has it</span>" } else { "" };
    let _ = write!(
        page,
        "<details class=\"failure\"><summary><span>{}</span> <small>{} {} · {}</small>{mark}</summary>",
        escape(&outcome.question),
        escape(&outcome.id),
        escape(&outcome.language),
        escape(reason)
    );
    let sql = if outcome.sql.is_empty() { "(nothing)" } else { &outcome.sql };
    page.push_str("<div class=\"pair\">");
    side(page, "Answer", sql, outcome.verdict.rows.as_ref().and_then(|(own, _)| own.as_ref()));
    side(page, "Gold", &outcome.gold, outcome.verdict.rows.as_ref().map(|(_, gold)| gold));
    page.push_str("</div></details>");
}

fn side(page: &mut String, title: &str, sql: &str, rows: Option<&Json>) {
    let _ = write!(page, "<div><h3>{title}</h3><pre>{}</pre>", escape(sql));
    match rows {
        Some(rows) => table(page, rows),
        None => page.push_str("<p class=\"sub\">no result</p>"),
    }
    page.push_str("</div>");
}

fn table(page: &mut String, rows: &Json) {
    page.push_str("<div class=\"wide\"><table><thead><tr>");
    for column in rows["columns"].as_array().into_iter().flatten() {
        let _ = write!(page, "<th>{}</th>", escape(&cell(column)));
    }
    page.push_str("</tr></thead><tbody>");
    let shown = rows["rows"].as_array().map_or(&[][..], Vec::as_slice);
    for row in shown {
        page.push_str("<tr>");
        for value in row.as_array().into_iter().flatten() {
            let class = if value.is_number() { " class=\"n\"" } else { "" };
            let _ = write!(page, "<td{class}>{}</td>", escape(&cell(value)));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    let n = rows["n"].as_u64().unwrap_or(0);
    let more = n.saturating_sub(shown.len() as u64);
    let said = if more > 0 { format!("{n} rows, {more} not shown") } else { format!("{n} rows") };
    let _ = write!(page, "<p class=\"sub\">{said}</p>");
}

fn cell(value: &Json) -> String {
    let text = match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() > CELL { text.chars().take(CELL - 1).collect::<String>() + "…" } else { text }
}
