//! Scores of answers: suites, the databases they run on, metrics by their published definitions, statistics, the report.
//!
//! A [`Suite`] holds questions and gold queries, [`Databases`] makes what they run on, a [`Judge`] says what an answer is
//! worth, [`summary`] and [`compare`] what many are. The default rules mend the slips of the published evaluators
//! ([`MENDED`]); [`official`] reproduces them to the letter. Nothing here talks to a model.

mod databases;
pub mod execution;
mod judge;
pub mod official;
mod outcome;
mod python;
pub mod report;
mod rules;
pub mod spider;
pub mod statistics;
mod suite;

pub use databases::{Databases, Opened, ROW_SEEDS};
pub use judge::{Judge, LIMITS, OFFICIAL_LIMITS};
pub use outcome::{Answer, Comparison, Measures, Outcome, Score, Verdict, about, by, compare, spread, summary};
pub use rules::{MENDED, matches};
pub use suite::{Content, Database, Form, Item, Request, Suite};

#[cfg(test)]
mod tests;
