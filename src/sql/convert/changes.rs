//! Joins and limits of UPDATE and DELETE, which PostgreSQL says with FROM, USING and `ctid`.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, Ident, Join, JoinConstraint, JoinOperator, LimitClause, OrderBy, OrderByKind,
    Query, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins,
};

use super::Rewriter;
use super::build::{self, binary, take};
use super::scope::{Columns, Scope};
use super::walk::{constraint, last, last_mut};
use crate::sql::schema::same;

impl<'s> Rewriter<'s> {
    /// MySQL assigns from left to right: what is assigned already has its new value in what follows.
    pub(super) fn assignments_in_order(&mut self, assignments: &mut [Assignment]) {
        let mut done: Vec<(Ident, Expr)> = Vec::new();
        for assignment in assignments {
            let _ = crate::sql::walk::visit_expressions_mut(&mut assignment.value, |expr| {
                if let Expr::Identifier(column) = expr
                    && let Some((_, value)) = done.iter().find(|(name, _)| same(&name.value, &column.value))
                {
                    *expr = build::operand(value.clone());
                    self.did("update-order");
                }
                std::ops::ControlFlow::Continue(())
            });
            if let AssignmentTarget::ColumnName(name) = &assignment.target
                && let Some(column) = last(name)
            {
                done.push((column.clone(), assignment.value.clone()));
            }
        }
    }

    /// Joins as a list of relations and one condition; `first` is what stands before them.
    pub(super) fn joined(
        &mut self,
        joins: Vec<Join>,
        first: &TableFactor,
        scope: &Scope<'_, 's>,
    ) -> (Vec<TableWithJoins>, Option<Expr>) {
        let mut items = Vec::new();
        let mut conditions = None;
        for mut join in joins {
            if is_outer(&join.join_operator) {
                self.warn("an outer join of UPDATE or DELETE became an inner one");
            }
            let condition = match constraint(&mut join.join_operator) {
                Some(JoinConstraint::On(on)) => Some(take(on)),
                Some(JoinConstraint::Using(names)) => {
                    let names: Vec<Ident> = names.iter_mut().filter_map(|name| last_mut(name).cloned()).collect();
                    equal_columns(&names, first, &join.relation)
                }
                Some(JoinConstraint::Natural) => match common_columns(first, &join.relation, scope) {
                    Some(names) => equal_columns(&names, first, &join.relation),
                    None => {
                        self.warn("a natural join over columns that are not known");
                        None
                    }
                },
                _ => None,
            };
            conditions = and(conditions, condition);
            items.push(TableWithJoins { relation: join.relation, joins: Vec::new() });
        }
        (items, conditions)
    }
}

/// Whether rows without a partner stay.
pub(super) fn is_outer(operator: &JoinOperator) -> bool {
    use JoinOperator as J;
    matches!(operator, J::Left(_) | J::LeftOuter(_) | J::Right(_) | J::RightOuter(_) | J::FullOuter(_))
}

/// Whether an expression speaks of another relation than this one.
pub(super) fn speaks_of_others(expr: &Expr, own: &Ident) -> bool {
    let mut found = false;
    let _ = crate::sql::walk::visit_expressions(expr, |expr| {
        found |= match expr {
            Expr::CompoundIdentifier(parts) => {
                parts.iter().rev().nth(1).is_some_and(|owner| !same(&owner.value, &own.value))
            }
            Expr::Identifier(_) => true,
            _ => false,
        };
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// What a relation is called.
pub(super) fn shown(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => last(name).cloned(),
        _ => None,
    }
}

fn equal_columns(names: &[Ident], left: &TableFactor, right: &TableFactor) -> Option<Expr> {
    let (left, right) = (shown(left)?, shown(right)?);
    let column = |owner: &Ident, name: &Ident| Expr::CompoundIdentifier(vec![owner.clone(), name.clone()]);
    let equal =
        names.iter().map(|name| binary(column(&left, name), sqlparser::ast::BinaryOperator::Eq, column(&right, name)));
    equal.reduce(|a, b| binary(a, sqlparser::ast::BinaryOperator::And, b))
}

/// The columns that two tables of the schema share.
fn common_columns(left: &TableFactor, right: &TableFactor, scope: &Scope<'_, '_>) -> Option<Vec<Ident>> {
    let table = |factor: &TableFactor| {
        let name = shown(factor)?;
        match scope.relation(&name.value)?.columns {
            Columns::Table(table) => Some(table),
            _ => None,
        }
    };
    let (left, right) = (table(left)?, table(right)?);
    let common = left.columns.iter().filter(|column| right.column(column.name.text()).is_some());
    Some(common.map(|column| Ident::new(column.name.text())).collect())
}

/// Both conditions.
pub(super) fn and(a: Option<Expr>, b: Option<Expr>) -> Option<Expr> {
    match (a, b) {
        (Some(a), Some(b)) => Some(binary(a, sqlparser::ast::BinaryOperator::And, b)),
        (a, b) => a.or(b),
    }
}

/// `t.ctid IN (SELECT t.ctid FROM t LEFT JOIN k … WHERE …)`: the rows of one table of a join.
pub(super) fn rows_of_join(owner: &Ident, table: TableWithJoins, selection: Option<Expr>) -> Option<Expr> {
    let ctid = Expr::CompoundIdentifier(vec![owner.clone(), Ident::new("ctid")]);
    let mut query = shell()?;
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection = vec![SelectItem::UnnamedExpr(ctid.clone())];
        select.from = vec![table];
        select.selection = selection;
    }
    Some(Expr::InSubquery { expr: Box::new(ctid), subquery: query, negated: false })
}

fn shell() -> Option<Box<Query>> {
    let parsed = crate::sql::parse("SELECT ctid FROM t", crate::sql::Dialect::Postgres);
    match parsed.ok()?.pop()? {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

/// `ctid IN (SELECT ctid FROM t WHERE … ORDER BY … LIMIT n)`.
pub(super) fn only_rows(
    relation: &TableFactor,
    selection: &mut Option<Expr>,
    order_by: &mut Vec<sqlparser::ast::OrderByExpr>,
    limit: &mut Option<Expr>,
) -> Option<Expr> {
    let Some(mut query) = shell() else { return selection.take() };
    if let SetExpr::Select(select) = &mut *query.body {
        select.from = vec![TableWithJoins { relation: relation.clone(), joins: Vec::new() }];
        select.selection = selection.take();
    }
    set_order(&mut query, std::mem::take(order_by));
    if let Some(limit) = limit.take() {
        query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() });
    }
    Some(Expr::InSubquery { expr: Box::new(build::word("ctid")), subquery: query, negated: false })
}

fn set_order(query: &mut Query, order_by: Vec<sqlparser::ast::OrderByExpr>) {
    if !order_by.is_empty() {
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(order_by), interpolate: None });
    }
}
