//! The aggregates of a SELECT.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Visitor};

use super::build;
use super::functions::is_aggregate;

/// The aggregates of one SELECT, not of its subqueries.
#[derive(Default)]
pub(super) struct Aggregates {
    /// How many there are.
    pub count: usize,
    extremes: Vec<(Expr, bool)>,
    depth: usize,
}

impl Aggregates {
    /// The one MIN or MAX of the query: its argument, and whether it is MAX.
    pub fn extreme(mut self) -> Option<(Expr, bool)> {
        self.extremes.dedup();
        if self.extremes.len() == 1 { self.extremes.pop() } else { None }
    }
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Function(function) = expr
            && is_aggregate(function)
        {
            self.count += 1;
            let name = build::function_name(function);
            let argument = build::arguments(function).and_then(|arguments| arguments.first().copied().cloned());
            if let ("MIN" | "MAX", Some(argument)) = (name.as_str(), argument) {
                let found = (argument, name == "MAX");
                if !self.extremes.contains(&found) {
                    self.extremes.push(found);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
