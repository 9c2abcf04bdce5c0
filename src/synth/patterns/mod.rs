//! The patterns: each draws a query and says what it asks. A pattern's name is its section in the phrasing rules.

mod absent;
mod changes;
mod counts;
mod dates;
mod figures;
mod groups;
mod joins;
mod kin;
mod links;
mod lists;
mod nested;
mod sets;
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
    ]
    .into_iter()
    .flatten()
}

/// The patterns that change data, made only when asked for.
pub(super) fn changing() -> impl Iterator<Item = &'static Pattern> {
    changes::PATTERNS.iter()
}
