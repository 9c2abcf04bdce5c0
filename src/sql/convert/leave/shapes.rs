//! Queries that MySQL, SQLite or Oracle write in another shape: DISTINCT ON, rows of values as a table, ROLLUP.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, GroupByWithModifier, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Statement, TableFactor, WindowType,
};

use crate::sql::Dialect;
use crate::sql::convert::build;
use crate::sql::convert::{Rewriter, Target};

/// What numbers the rows of a group; nobody calls a column so.
const NUMBER: &str = "_row_number";

impl Rewriter<'_> {
    /// `SELECT DISTINCT ON (a) …` is the first row of each group, numbered by a window.
    pub(super) fn distinct_on(&mut self, query: &mut Query) {
        let SetExpr::Select(select) = &mut *query.body else { return };
        let Some(Distinct::On(keys)) = &select.distinct else { return };
        let named = select.projection.iter().map(output_name).collect::<Option<Vec<Ident>>>();
        let (Some(names), None, None) = (named, &query.with, &query.limit_clause) else {
            self.warn("DISTINCT ON over outputs without names, or beside WITH or LIMIT");
            return;
        };
        let order = match query.order_by.take().map(|by| by.kind) {
            Some(OrderByKind::Expressions(order)) => order,
            _ => Vec::new(),
        };
        let keys: Vec<Expr> = keys.clone();
        let Some(mut window) = row_number() else { return };
        if let Expr::Function(function) = &mut window
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
        {
            spec.partition_by = keys.clone();
            spec.order_by = if order.is_empty() {
                keys.into_iter().map(|key| crate::sql::convert::order::plain_order(key, Default::default())).collect()
            } else {
                order.clone()
            };
        }
        select.distinct = None;
        for (item, name) in select.projection.iter_mut().zip(&names) {
            if let SelectItem::UnnamedExpr(expr) = item {
                *item = SelectItem::ExprWithAlias { expr: build::take(expr), alias: name.clone() };
            }
        }
        select.projection.push(SelectItem::ExprWithAlias { expr: window, alias: Ident::new(NUMBER) });
        let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let shell = format!("SELECT {listed} FROM (SELECT 1) AS _t WHERE {NUMBER} = 1");
        let Some(mut outer) = parsed(&shell, self.stage_dialect()) else { return };
        let SetExpr::Select(around) = &mut *outer.body else { return };
        let Some(TableFactor::Derived { subquery, .. }) = around.from.first_mut().map(|item| &mut item.relation) else {
            return;
        };
        std::mem::swap(&mut subquery.body, &mut query.body);
        // The order of the groups, where their keys are shown.
        let shown = |key: &sqlparser::ast::OrderByExpr| {
            crate::sql::walk::visit_expressions(&key.expr, |expr| match expr {
                Expr::Identifier(ident) if !names.iter().any(|name| name.value == ident.value) => {
                    ControlFlow::Break(())
                }
                Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .is_continue()
        };
        if self.has_schema() && !order.is_empty() && order.iter().all(shown) {
            outer.order_by = Some(OrderBy { kind: OrderByKind::Expressions(order), interpolate: None });
        }
        query.body = outer.body;
        query.order_by = outer.order_by;
        self.did("distinct-on");
    }

    /// `(VALUES (1, 'a')) AS v(x, y)` is a union of SELECTs; only there the columns can be named.
    pub(super) fn values_as_selects(&mut self, factor: &mut TableFactor) {
        let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor else { return };
        let SetExpr::Values(values) = &mut *subquery.body else { return };
        if alias.columns.is_empty() || values.rows.iter().any(|row| row.content.len() != alias.columns.len()) {
            return;
        }
        let names: Vec<Ident> = std::mem::take(&mut alias.columns).into_iter().map(|column| column.name).collect();
        let select = |(at, row): (usize, Vec<Expr>)| -> Option<SetExpr> {
            let SetExpr::Select(mut select) = *parsed("SELECT 1", Dialect::Postgres)?.body else { return None };
            let item = |(expr, name): (Expr, &Ident)| match at {
                0 => SelectItem::ExprWithAlias { expr, alias: name.clone() },
                _ => SelectItem::UnnamedExpr(expr),
            };
            select.projection = row.into_iter().zip(&names).map(item).collect();
            Some(SetExpr::Select(select))
        };
        let rows = std::mem::take(&mut values.rows).into_iter().map(|row| row.content).enumerate();
        let union = rows.filter_map(select).reduce(|left, right| SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left: Box::new(left),
            right: Box::new(right),
        });
        if let Some(union) = union {
            *subquery.body = union;
            self.did("values-as-selects");
        }
    }

    /// `GROUP BY ROLLUP (a, b)` is MySQL's `GROUP BY a, b WITH ROLLUP`; SQLite has nothing like it.
    pub(super) fn rollup(&mut self, select: &mut Select, target: Target) {
        let GroupByExpr::Expressions(keys, modifiers) = &mut select.group_by else { return };
        let sets = |key: &Expr| matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
        match (keys.as_mut_slice(), target) {
            ([Expr::Rollup(parts)], Target::MySql) if parts.iter().all(|part| part.len() == 1) => {
                *keys = std::mem::take(parts).into_iter().flatten().collect();
                modifiers.push(GroupByWithModifier::Rollup);
                self.did("rollup");
            }
            (keys, Target::MySql | Target::Sqlite) if keys.iter().any(sets) => {
                self.warn(&format!("{} has no GROUPING SETS", target.name()));
            }
            _ => {}
        }
    }

    fn stage_dialect(&self) -> Dialect {
        match self.stage {
            crate::sql::convert::Stage::FromPostgres(Target::MySql) => Dialect::MySql,
            _ => Dialect::Generic,
        }
    }
}

fn output_name(item: &SelectItem) -> Option<Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
        _ => None,
    }
}

fn parsed(text: &str, dialect: Dialect) -> Option<Box<Query>> {
    match crate::sql::parse(text, dialect).ok()?.pop()? {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

fn row_number() -> Option<Expr> {
    let query = parsed("SELECT ROW_NUMBER() OVER (ORDER BY a)", Dialect::Postgres)?;
    let SetExpr::Select(mut select) = *query.body else { return None };
    match select.projection.pop()? {
        SelectItem::UnnamedExpr(expr) => Some(expr),
        _ => None,
    }
}
