//! The patterns: each draws a query and says what it asks. A pattern's name is its section in the phrasing rules.

mod absent;
mod chains;
mod changes;
mod classes;
mod counts;
mod dates;
mod ends;
mod figures;
mod groups;
mod joins;
mod kin;
mod links;
mod lists;
mod lookups;
mod nested;
mod rolling;
mod sets;
mod shares;
mod siblings;
mod texts;
mod trees;
mod windows;

use super::draft::{Difficulty, Draft};
use super::maker::Maker;

/// A pattern.
pub(super) struct Pattern {
    /// Its name, told in the rows.
    pub name: &'static str,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// Draws one; none where the database has nothing for it.
    pub make: fn(&mut Maker<'_>) -> Option<Draft>,
}

/// Patterns that are drawn so many times as often as others: the questions that people ask about a shop's or an office's
/// tables, most of which few made-up databases have the tables for.
const OFTEN: &[(&str, usize)] = &[
    ("siblings listed", 2),
    ("siblings total", 4),
    ("siblings per group", 4),
    ("siblings top", 6),
    ("siblings side by side", 5),
    ("recent rows", 3),
    ("parents by recent sum", 4),
    ("recent measure per parent", 2),
    ("recent per day", 3),
    ("old children", 4),
    ("balance", 6),
    ("two having", 3),
    ("lowest and highest of group", 6),
    ("lowest and highest of parent", 4),
    ("value of latest child", 3),
    ("latest of each parent", 2),
    ("latest of each group", 6),
    ("classes by two", 3),
    ("extra if", 10),
    ("search in two", 2),
    ("rows with parent columns", 2),
    ("two sums per group", 10),
    ("two sums per parent", 2),
    ("top parents with measure", 2),
    ("leaders", 3),
    ("share of own group", 7),
    ("share of group total", 3),
    ("rank of totals", 7),
    ("rank of parents", 3),
    ("measure across", 12),
    ("measure across four", 16),
    ("both without", 4),
    ("some far", 3),
    ("with its superior", 4),
    ("at the top", 3),
    ("directly under", 4),
    ("everything under", 4),
    ("levels", 6),
    ("deeper than", 4),
    ("count under each", 4),
    ("path up", 3),
    ("above superior", 3),
    ("superior with most", 3),
    ("inactive since", 2),
    ("duplicates", 2),
    ("duplicate rows", 2),
    ("product sum", 8),
    ("product of two tables", 8),
    ("product per month", 8),
    ("one column above another", 6),
    ("column difference", 3),
    ("distinct", 2),
    ("per month in year", 2),
    ("last days", 2),
    ("this month", 2),
    ("two keys", 6),
    ("top groups", 3),
    ("per day", 2),
    ("four tables", 4),
    ("linked pairs", 3),
    ("linked count", 3),
    ("linked most", 3),
    ("linked more than", 3),
    ("different per group", 4),
    ("side by side per group", 3),
    ("email domain", 3),
    ("both values", 3),
    ("computed", 3),
    ("top of each group", 3),
    ("three tables", 2),
];

/// How many times as often a pattern is drawn.
pub(super) fn weight(name: &str) -> usize {
    OFTEN.iter().find(|(own, _)| *own == name).map_or(1, |(_, weight)| *weight)
}

/// Shorthand for the tables below.
const fn pattern(name: &'static str, difficulty: Difficulty, make: fn(&mut Maker<'_>) -> Option<Draft>) -> Pattern {
    Pattern { name, difficulty, make }
}

/// All patterns that read.
pub(super) fn reading() -> impl Iterator<Item = &'static Pattern> {
    [
        lists::PATTERNS,
        counts::PATTERNS,
        groups::PATTERNS,
        dates::PATTERNS,
        texts::PATTERNS,
        figures::PATTERNS,
        joins::PATTERNS,
        kin::PATTERNS,
        links::PATTERNS,
        absent::PATTERNS,
        nested::PATTERNS,
        sets::PATTERNS,
        windows::PATTERNS,
        trees::PATTERNS,
        rolling::PATTERNS,
        ends::PATTERNS,
        classes::PATTERNS,
        lookups::PATTERNS,
        shares::PATTERNS,
        chains::PATTERNS,
        siblings::PATTERNS,
    ]
    .into_iter()
    .flatten()
}

/// The patterns that change data, made only when asked for.
pub(super) fn changing() -> impl Iterator<Item = &'static Pattern> {
    changes::PATTERNS.iter()
}
