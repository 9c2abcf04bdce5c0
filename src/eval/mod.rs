//! Scores of answers: metrics by their published definitions, statistics, suites, and the judging of predictions.
//!
//! [`official`] reproduces the evaluators of Spider and BIRD, slips included; [`judge_item`] is the default rule, that of the
//! suites' README: the gold's columns may be any subset of the answer's, in any order. Nothing here talks to a model.

pub mod execution;
pub mod official;
mod python;
mod score;
pub mod spider;
pub mod statistics;
mod suite;

pub use score::{Outcome, Score, Verdict, judge_item, matches, score, summary};
pub use suite::{Item, Suite};
