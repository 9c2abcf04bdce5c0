//! `report.html`: the scores of a suite in one file that opens offline: bars by group, the baseline beside them, the curve of
//! checkpoints, and every failure with its question, SQL, gold, both results and the reason.

mod bars;
mod failures;

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::outcome::{Comparison, Outcome, Score, by};
use super::statistics::wilson;
use crate::page::chart::{Line, draw};
use crate::page::{escape, shell};
use bars::{Bar, Group};

/// The report's name inside its folder.
pub const FILE: &str = "report.html";

/// What a page shows.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The suite.
    pub suite: &'a str,
    /// Who answered.
    pub name: &'a str,
    /// What else is known of them, one phrase each.
    pub remarks: Vec<String>,
    /// What [`super::summary`] says of the outcomes.
    pub summary: &'a Json,
    /// The outcomes.
    pub outcomes: &'a [Outcome],
    /// Whom they are compared with.
    pub baseline: Option<Baseline<'a>>,
    /// Name, step and score of every checkpoint, by step; empty where they were not asked for.
    pub checkpoints: Vec<(String, Option<u64>, Score)>,
    /// Which of them the outcomes are of.
    pub best: Option<usize>,
    /// What is judged otherwise than by the published evaluators; empty: nothing.
    pub mended: &'a [&'a str],
}

/// Whom answers are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Baseline<'a> {
    /// Who.
    pub name: &'a str,
    /// Their outcomes, in the same order.
    pub outcomes: &'a [Outcome],
    /// Their [`super::summary`].
    pub summary: &'a Json,
    /// The paired comparison.
    pub compared: Comparison,
}

/// The page.
pub fn render(report: &Report<'_>) -> String {
    let mut page = String::new();
    headline(&mut page, report);
    measures(&mut page, report);
    groups(&mut page, report);
    checkpoints(&mut page, report);
    failures::list(&mut page, report.outcomes, report.baseline.map(|baseline| baseline.outcomes));
    rules(&mut page, report);
    shell(&format!("{} on {}", report.name, report.suite), include_str!("style.css"), &page)
}

fn headline(page: &mut String, report: &Report<'_>) {
    let remarks: Vec<String> = report.remarks.iter().map(|remark| escape(remark)).collect();
    let _ = write!(page, "<p class=\"sub\">{}</p>", remarks.join(" · "));
    let score = Score::execution(report.outcomes);
    let (low, high) = wilson(score.right, score.n);
    let _ = write!(
        page,
        "<p class=\"score\"><strong>{}</strong> <span>{} of {} right, 95 % interval {} to {}</span></p>",
        percent(score.share()),
        score.right,
        score.n,
        percent(low),
        percent(high)
    );
    if let Some(baseline) = &report.baseline {
        let other = Score::execution(baseline.outcomes);
        let points = (score.share() - other.share()) * 100.0;
        let Comparison { only_first, only_second, p } = baseline.compared;
        let _ = write!(
            page,
            "<p>{} points over {} ({}): {only_first} questions only this one answers, {only_second} only the other; \
             McNemar p {}</p>",
            signed(points),
            escape(baseline.name),
            percent(other.share()),
            if p < 1e-4 { format!("= {p:.1e}").replace('-', "−") } else { format!("= {p:.4}") }
        );
    }
}

/// Every measure, the baseline beside it.
fn measures(page: &mut String, report: &Report<'_>) {
    const SCORES: [(&str, &str); 8] = [
        ("execution", "Execution"),
        ("valid_sql", "Valid SQL"),
        ("schema_valid", "Names that exist"),
        ("spider_execution", "Spider's execution"),
        ("bird_execution", "BIRD's execution"),
        ("bird_critic", "BIRD-CRITIC: right and not empty"),
        ("exact_match", "Exact set match"),
        ("logical_form", "WikiSQL's logical form"),
    ];
    let other = report.baseline.map(|baseline| baseline.summary);
    page.push_str("<h2>Measures</h2><div class=\"wide\"><table><thead><tr><th></th><th class=\"n\">score</th><th class=\"n\">right of</th><th class=\"n\">95 % interval</th>");
    if let Some(baseline) = &report.baseline {
        let _ = write!(page, "<th class=\"n\">{}</th>", escape(baseline.name));
    }
    page.push_str("</tr></thead><tbody>");
    let share = |value: &Json| value.as_f64().map_or_else(|| "–".into(), percent);
    for (key, name) in SCORES {
        let own = &report.summary[key];
        if own.is_null() {
            continue;
        }
        let _ = write!(
            page,
            "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{} of {}</td><td class=\"n\">{} – {}</td>",
            share(&own["score"]),
            own["right"],
            own["n"],
            share(&own["low"]),
            share(&own["high"])
        );
        if let Some(other) = other {
            let _ = write!(page, "<td class=\"n\">{}</td>", share(&other[key]["score"]));
        }
        page.push_str("</tr>");
    }
    let milliseconds = |value: f64| format!("{:.0} ms", value * 1e3);
    let plain = |value: f64| format!("{value:.3}");
    type Written<'a> = &'a dyn Fn(f64) -> String;
    let numbers: [(&str, &str, Written<'_>); 4] = [
        ("soft_f1", "BIRD's soft F1", &plain),
        ("r_ves", "BIRD's R-VES", &plain),
        ("latency_p50", "Time of an answer, p50", &milliseconds),
        ("latency_p95", "Time of an answer, p95", &milliseconds),
    ];
    for (key, name, shown) in numbers {
        let Some(own) = report.summary[key].as_f64() else { continue };
        let _ = write!(page, "<tr><td>{name}</td><td class=\"n\">{}</td><td></td><td></td>", shown(own));
        if let Some(other) = other {
            let text = other[key].as_f64().map_or_else(|| "–".into(), shown);
            let _ = write!(page, "<td class=\"n\">{text}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    let nothing = report.summary["gold_found_nothing"].as_u64().unwrap_or(0);
    if nothing > 0 {
        let _ = write!(
            page,
            "<p class=\"sub\">Of {nothing} questions the gold finds no rows: any other query that finds none is right too.</p>"
        );
    }
}

/// The scores by something an outcome has.
type Key = fn(&Outcome) -> Option<&str>;

fn groups(page: &mut String, report: &Report<'_>) {
    let kinds: [(&str, Key); 5] = [
        ("Difficulty", |outcome| Some(&outcome.difficulty)),
        ("Hardness (Spider)", |outcome| outcome.verdict.measures.hardness),
        ("Language", |outcome| Some(&outcome.language)),
        ("Category", |outcome| Some(&outcome.category)),
        ("Pattern", |outcome| if outcome.pattern == outcome.category { None } else { Some(&outcome.pattern) }),
    ];
    let mut drawn = String::new();
    for (title, key) in kinds {
        let own = by(report.outcomes, key);
        if own.len() < 2 {
            continue;
        }
        let other = report.baseline.map(|baseline| by(baseline.outcomes, key)).unwrap_or_default();
        let of = |name: &str| other.iter().find(|(known, _)| *known == name).map(|(_, score)| Bar::of(*score));
        let groups: Vec<Group> = in_order(own)
            .into_iter()
            .map(|(name, score)| Group { name: name.to_owned(), own: Bar::of(score), other: of(name) })
            .collect();
        drawn.push_str(&bars::draw(title, &groups));
    }
    if drawn.is_empty() {
        return;
    }
    page.push_str("<h2>By group</h2>");
    if let Some(baseline) = &report.baseline {
        let key = |class: &str| {
            format!(
                "<svg class=\"swatch\" viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"12\" height=\"12\"/></svg>"
            )
        };
        let _ = write!(
            page,
            "<p class=\"sub\">{} {} &nbsp; {} {} &nbsp; thin lines: 95 % intervals</p>",
            key("own"),
            escape(report.name),
            key("other"),
            escape(baseline.name)
        );
    }
    let _ = write!(page, "<div class=\"groups\">{drawn}</div>");
}

/// Difficulties from easy to hard, everything else as it is.
fn in_order(mut groups: Vec<(&str, Score)>) -> Vec<(&str, Score)> {
    const WORDS: [&str; 12] = [
        "easy",
        "simple",
        "basic",
        "medium",
        "moderate",
        "intermediate",
        "hard",
        "challenging",
        "advanced",
        "extra",
        "expert",
        "complex",
    ];
    let rank = |name: &str| WORDS.iter().position(|word| *word == name);
    if groups.iter().all(|(name, _)| rank(name).is_some()) {
        groups.sort_by_key(|(name, _)| rank(name));
    }
    groups
}

fn checkpoints(page: &mut String, report: &Report<'_>) {
    if report.checkpoints.is_empty() {
        return;
    }
    page.push_str("<h2>Checkpoints</h2>");
    let points: Vec<(u64, f64)> =
        report.checkpoints.iter().filter_map(|(_, step, score)| Some(((*step)?, score.share() * 100.0))).collect();
    if points.len() > 1 {
        let line = Line { run: 0, points, dots: true };
        let _ = write!(page, "<div class=\"charts\">{}</div>", draw("Execution by step", "%", &[line]));
    }
    page.push_str("<div class=\"wide\"><table><thead><tr><th>checkpoint</th><th class=\"n\">score</th><th class=\"n\">right of</th><th class=\"n\">95 % interval</th></tr></thead><tbody>");
    for (at, (name, _, score)) in report.checkpoints.iter().enumerate() {
        let (low, high) = wilson(score.right, score.n);
        let class = if report.best == Some(at) { " class=\"differs\"" } else { "" };
        let _ = write!(
            page,
            "<tr{class}><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} of {}</td><td class=\"n\">{} – {}</td></tr>",
            escape(name),
            percent(score.share()),
            score.right,
            score.n,
            percent(low),
            percent(high)
        );
    }
    page.push_str("</tbody></table></div><p class=\"sub\">The marked one is the best, of equals the earliest; what else is on this page is about it.</p>");
}

fn rules(page: &mut String, report: &Report<'_>) {
    page.push_str("<h2>Rules</h2>");
    if report.mended.is_empty() {
        page.push_str("<p>Judged as the published evaluators do, slips included (<code>--official</code>).</p>");
        return;
    }
    page.push_str("<p>Otherwise than in the published evaluators, which <code>--official</code> reproduces to the letter:</p><ul>");
    for rule in report.mended {
        let _ = write!(page, "<li>{}</li>", escape(rule));
    }
    page.push_str("</ul>");
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn signed(points: f64) -> String {
    format!("{points:+.1}").replace('-', "−")
}

#[cfg(test)]
mod tests;
