//! Horizontal bars, one row a group: the score, the baseline's below it, both with their intervals.

use std::fmt::Write as _;

use crate::eval::outcome::Score;
use crate::eval::statistics::wilson;
use crate::page::escape;

const WIDTH: f64 = 420.0;
/// Room for the names.
const LEFT: f64 = 164.0;
/// Room for the numbers.
const RIGHT: f64 = 74.0;
const BAR: f64 = 11.0;
const GAP: f64 = 9.0;

/// Letters of a name that fit beside the bars; the whole name shows when pointed at.
const LETTERS: usize = 20;

/// Rows of one picture; longer lists are several.
const ROWS: usize = 18;

/// A share with its interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    score: Score,
    low: f64,
    high: f64,
}

impl Bar {
    pub fn of(score: Score) -> Self {
        let (low, high) = wilson(score.right, score.n);
        Self { score, low, high }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub name: String,
    pub own: Bar,
    pub other: Option<Bar>,
}

/// The picture, or several of a long list.
pub(super) fn draw(title: &str, groups: &[Group]) -> String {
    let pictures = groups.len().div_ceil(ROWS);
    let rows = groups.len().div_ceil(pictures.max(1)).max(1);
    let picture = |(at, part): (usize, &[Group])| match at {
        0 => one(title, part),
        at => one(&format!("{title}, {} of {pictures}", at + 1), part),
    };
    groups.chunks(rows).enumerate().map(picture).collect()
}

fn one(title: &str, groups: &[Group]) -> String {
    let paired = groups.iter().any(|group| group.other.is_some());
    let step = if paired { 2.0 * BAR + GAP } else { BAR + GAP };
    let bottom = 4.0 + step * groups.len() as f64;
    let height = bottom + 20.0;
    let mut svg = format!("<figure><figcaption>{}</figcaption>", escape(title));
    let _ = write!(svg, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", spoken(title, groups));
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let x = place(share);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} 2V{bottom}\"/>");
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>",
            bottom + 15.0,
            share * 100.0
        );
    }
    for (at, group) in groups.iter().enumerate() {
        let top = 4.0 + step * at as f64;
        let middle = top + (step - GAP) / 2.0 + 4.5;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}<title>{}</title></text>",
            LEFT - 8.0,
            escape(&fitting(&group.name)),
            escape(&group.name)
        );
        bar(&mut svg, "own", &group.own, top);
        if let Some(other) = &group.other {
            bar(&mut svg, "other", other, top + BAR);
        }
        let _ = write!(
            svg,
            "<text class=\"value\" x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}/{}</text>",
            WIDTH - 2.0,
            group.own.score.right,
            group.own.score.n
        );
    }
    svg.push_str("</svg></figure>");
    svg
}

fn place(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn bar(svg: &mut String, class: &str, bar: &Bar, top: f64) {
    let Score { right, n } = bar.score;
    let length = place(bar.score.share()) - LEFT;
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{}\"><title>{right} of {n}, {:.1} %</title></rect>",
        BAR - 1.0,
        bar.score.share() * 100.0
    );
    let middle = top + (BAR - 1.0) / 2.0;
    let _ = write!(svg, "<path class=\"whisker\" d=\"M{:.1} {middle:.1}H{:.1}\"/>", place(bar.low), place(bar.high));
}

fn fitting(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    name.chars().take(LETTERS - 1).collect::<String>() + "…"
}

/// The picture in words.
fn spoken(title: &str, groups: &[Group]) -> String {
    let said: Vec<String> =
        groups.iter().map(|group| format!("{} {:.0} %", group.name, group.own.score.share() * 100.0)).collect();
    escape(&format!("{title}: {}", said.join(", ")))
}
