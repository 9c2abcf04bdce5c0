//! How hard a query is by Spider's rule: counts of its components, of its nested queries, and of what goes beyond one.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, GroupByExpr, Query, Select, SetExpr, Statement, TableFactor};

use super::walk::visit_expressions;

/// Spider's four classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hardness {
    /// One component at most, nothing nested.
    Easy,
    /// Two components or three extras.
    Medium,
    /// Three components, or one nested query in a plain one.
    Hard,
    /// Everything beyond.
    Extra,
}

impl Hardness {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Medium => "medium",
            Self::Hard => "hard",
            Self::Extra => "extra",
        }
    }
}

/// The class of a statement; none: it is no query.
///
/// c1 counts WHERE, GROUP BY, ORDER BY, LIMIT, and each join, OR and LIKE; c2 nested queries (set operations among them);
/// o how many of these are more than one: aggregates, columns shown, conditions, grouping columns (Spider's
/// `eval_hardness`).
pub fn hardness(statement: &Statement) -> Option<Hardness> {
    let Statement::Query(query) = statement else { return None };
    let (select, nested) = first_select(&query.body)?;
    let c1 = components(query, select);
    let c2 = nested + subqueries(select);
    let o = extras(query, select);
    Some(match (c1, c2, o) {
        (0..=1, 0, 0) => Hardness::Easy,
        (0..=1, 0, 0..=2) | (0..=2, 0, 0..=1) => Hardness::Medium,
        (0..=2, 0, 3..) | (3, 0, 0..=2) | (0..=1, 0..=1, 0) => Hardness::Hard,
        _ => Hardness::Extra,
    })
}

/// The first SELECT of a query, and how many others a set operation adds.
fn first_select(body: &SetExpr) -> Option<(&Select, usize)> {
    match body {
        SetExpr::Select(select) => Some((select, 0)),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left).map(|(select, more)| (select, more + 1)),
        _ => None,
    }
}

fn components(query: &Query, select: &Select) -> usize {
    let tables: usize = select.from.iter().map(|item| 1 + item.joins.len()).sum();
    let mut count = usize::from(select.selection.is_some())
        + grouping(select).min(1)
        + usize::from(query.order_by.is_some())
        + usize::from(query.limit_clause.is_some() || query.fetch.is_some())
        + tables.saturating_sub(1);
    for condition in conditions(select) {
        let _ = own_expressions(condition, &mut |expr| match expr {
            Expr::BinaryOp { op: BinaryOperator::Or, .. } | Expr::Like { .. } | Expr::ILike { .. } => count += 1,
            _ => {}
        });
    }
    count
}

fn conditions(select: &Select) -> impl Iterator<Item = &Expr> {
    select.selection.iter().chain(select.having.iter())
}

fn grouping(select: &Select) -> usize {
    match &select.group_by {
        GroupByExpr::Expressions(keys, _) => keys.len(),
        GroupByExpr::All(_) => 1,
    }
}

/// Queries inside FROM and conditions.
fn subqueries(select: &Select) -> usize {
    let derived = |factor: &TableFactor| usize::from(matches!(factor, TableFactor::Derived { .. }));
    let mut count: usize = select
        .from
        .iter()
        .map(|item| derived(&item.relation) + item.joins.iter().map(|join| derived(&join.relation)).sum::<usize>())
        .sum();
    for condition in conditions(select) {
        let _ = own_expressions(condition, &mut |expr| {
            if matches!(expr, Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. }) {
                count += 1;
            }
        });
    }
    count
}

fn extras(query: &Query, select: &Select) -> usize {
    let mut aggregates = 0;
    let mut look = |expr: &Expr| {
        if let Expr::Function(function) = expr {
            let name = function.name.to_string().to_ascii_uppercase();
            aggregates += usize::from(matches!(name.as_str(), "COUNT" | "SUM" | "AVG" | "MIN" | "MAX"));
        }
    };
    for item in &select.projection {
        let _ = visit_expressions(item, |expr| {
            look(expr);
            ControlFlow::Continue(())
        });
    }
    for condition in conditions(select) {
        let _ = own_expressions(condition, &mut look);
    }
    if let Some(order_by) = &query.order_by {
        let _ = visit_expressions(order_by, |expr| {
            look(expr);
            ControlFlow::Continue(())
        });
    }
    let mut tests = usize::from(select.selection.is_some());
    if let Some(condition) = &select.selection {
        let _ = own_expressions(condition, &mut |expr| {
            if matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }) {
                tests += 1;
            }
        });
    }
    [aggregates, select.projection.len(), tests, grouping(select)].iter().filter(|&&count| count > 1).count()
}

/// The expressions of a condition, those of nested queries left out.
fn own_expressions(condition: &Expr, look: &mut impl FnMut(&Expr)) -> ControlFlow<()> {
    let mut stack = vec![condition];
    while let Some(expr) = stack.pop() {
        look(expr);
        match expr {
            Expr::BinaryOp { left, right, .. } => stack.extend([&**right, &**left]),
            Expr::UnaryOp { expr, .. } | Expr::Nested(expr) | Expr::Cast { expr, .. } => stack.push(expr),
            Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. } => stack.extend([&**pattern, &**expr]),
            Expr::InSubquery { expr, .. } | Expr::InList { expr, .. } | Expr::Between { expr, .. } => stack.push(expr),
            _ => {}
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, parse};

    #[test]
    fn the_classes_of_the_rule() {
        for (sql, wanted) in [
            ("SELECT COUNT(*) FROM t", Hardness::Easy),
            ("SELECT a FROM t WHERE b > 1", Hardness::Easy),
            ("SELECT a, b FROM t WHERE c > 1", Hardness::Medium),
            ("SELECT a FROM t WHERE c > 1 ORDER BY d", Hardness::Medium),
            ("SELECT a, COUNT(*) FROM t GROUP BY a", Hardness::Medium),
            ("SELECT a FROM t ORDER BY b DESC LIMIT 1", Hardness::Medium),
            ("SELECT a FROM t WHERE b = 1 ORDER BY c LIMIT 3", Hardness::Hard),
            ("SELECT a FROM t WHERE b IN (SELECT c FROM u)", Hardness::Hard),
            ("SELECT a FROM t EXCEPT SELECT a FROM u", Hardness::Hard),
            (
                "SELECT x.a, y.b FROM x JOIN y ON x.i = y.i WHERE x.c = 1 AND y.d = 2 GROUP BY x.a, y.b ORDER BY 1",
                Hardness::Extra,
            ),
            ("SELECT a FROM t WHERE b > (SELECT AVG(b) FROM t) AND c = 1 ORDER BY a LIMIT 2", Hardness::Extra),
        ] {
            let statements = parse(sql, Dialect::Sqlite).unwrap();
            assert_eq!(hardness(&statements[0]), Some(wanted), "{sql}");
        }
        assert_eq!(hardness(&parse("DELETE FROM t", Dialect::Sqlite).unwrap()[0]), None);
    }
}
