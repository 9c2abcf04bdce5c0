//! The form of queries in MySQL, SQLite and Oracle.

use sqlparser::ast::{
    BinaryOperator, Expr, Fetch, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause, OffsetRows,
    OrderByExpr, OrderByOptions, OrderBySort, Query, Select, SetExpr, SetOperator, SetQuantifier, Statement,
    TableFactor, TableWithJoins,
};

use crate::sql::convert::build::{self, number};
use crate::sql::convert::operators::plain;
use crate::sql::convert::order::plain_order;
use crate::sql::convert::scope::Scope;
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::walk::last;
use crate::sql::convert::{Rewriter, Target};

/// MySQL's way to say "no limit".
const NO_LIMIT: u64 = u64::MAX;

impl<'s> Rewriter<'s> {
    /// Where NULLs sort, said where the target would sort them elsewhere.
    pub fn nulls_from_postgres(&mut self, by: &mut OrderByExpr, _ty: Ty, target: Target, ascending: bool) {
        let first = by.options.nulls_first.unwrap_or(!ascending);
        let default = match target {
            Target::Sqlite | Target::MySql => ascending,
            Target::Oracle | Target::Postgres => !ascending,
        };
        match target {
            Target::MySql => {
                // Kept for split_nulls, which has the room for a second key.
                if by.options.nulls_first.is_some() && first == default {
                    self.did("null-order");
                }
                by.options.nulls_first = (first != default).then_some(first);
            }
            Target::Sqlite if first != default && by.options.nulls_first.is_none() => {
                by.options.nulls_first = Some(first);
                self.did("null-order");
            }
            _ => {}
        }
    }

    /// MySQL sorts NULLs by a key of their own.
    pub fn split_nulls(&mut self, keys: &mut Vec<OrderByExpr>, scope: &Scope<'_, 's>) {
        if keys.iter().all(|by| by.options.nulls_first.is_none()) {
            return;
        }
        for mut by in std::mem::take(keys) {
            if let Some(first) = by.options.nulls_first.take()
                && build::digits(&by.expr).is_none()
                && !self.never_null(&by.expr, scope)
            {
                let is_null = Expr::IsNull(Box::new(build::operand(by.expr.clone())));
                let place = build::case(is_null, number(1), Some(number(0)));
                let sort = first.then_some(OrderBySort::Desc);
                keys.push(plain_order(place, OrderByOptions { sort, nulls_first: None }));
                self.did("null-order");
            }
            keys.push(by);
        }
    }

    /// Brackets that SQLite does not take around queries.
    pub fn flatten_query(&mut self, query: &mut Query) {
        while let SetExpr::Query(inner) = &mut *query.body {
            let free = inner.with.is_none()
                && inner.fetch.is_none()
                && (inner.order_by.is_none() || query.order_by.is_none())
                && (inner.limit_clause.is_none() && inner.order_by.is_none()
                    || query.order_by.is_none() && query.limit_clause.is_none()
                    || merges(query.limit_clause.as_ref(), inner.limit_clause.as_ref()) && query.order_by.is_none());
            if !free {
                break;
            }
            let (body, order_by) =
                (std::mem::replace(&mut inner.body, Box::new(SetExpr::Values(empty()))), inner.order_by.take());
            let limit = inner.limit_clause.take();
            query.body = body;
            if order_by.is_some() {
                query.order_by = order_by;
            }
            query.limit_clause = merged(query.limit_clause.take(), limit);
            self.did("query-brackets");
        }
        if let SetExpr::SetOperation { left, right, .. } = &mut *query.body {
            self.flatten_arm(left);
            self.flatten_arm(right);
        }
    }

    fn flatten_arm(&mut self, arm: &mut Box<SetExpr>) {
        match &mut **arm {
            SetExpr::Query(query) => {
                self.flatten_query(query);
                let bare = query.order_by.is_none() && query.limit_clause.is_none() && query.with.is_none();
                let simple = matches!(&*query.body, SetExpr::Select(_) | SetExpr::Values(_));
                if bare && simple {
                    **arm = std::mem::replace(&mut query.body, SetExpr::Values(empty()));
                    self.did("query-brackets");
                } else if let Some(select) = select_from(query) {
                    **arm = select;
                    self.did("query-brackets");
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.flatten_arm(left);
                self.flatten_arm(right);
            }
            _ => {}
        }
    }

    /// LIMIT and the like in the target's words.
    pub fn query_from_postgres(&mut self, query: &mut Query, target: Target) {
        self.distinct_on(query);
        if target == Target::MySql {
            self.full_join(query);
        }
        // Whether a common table expression is computed once is PostgreSQL's to say, and SQLite's.
        if target != Target::Sqlite
            && let Some(with) = &mut query.with
        {
            for cte in with.cte_tables.iter_mut().filter(|cte| cte.materialized.is_some()) {
                cte.materialized = None;
                self.did("materialized-dropped");
            }
        }
        if !query.locks.is_empty() && target == Target::Sqlite {
            query.locks.clear();
            self.did("locks-dropped");
        }
        if let (Some(fetch), Target::MySql | Target::Sqlite) =
            (query.fetch.take_if(|_| target != Target::Oracle), target)
        {
            let offset = match query.limit_clause.take() {
                Some(LimitClause::LimitOffset { offset, .. }) => offset,
                _ => None,
            };
            let limit = Some(fetch.quantity.unwrap_or_else(|| number(1)));
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
            self.did("fetch-first");
        }
        let with_oracle = target == Target::Oracle;
        if with_oracle {
            if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
                with.recursive = false;
                self.did("recursive-word");
            }
            if set_minus(&mut query.body) {
                self.did("minus");
            }
        }
        let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause else { return };
        if let Some(offset) = offset {
            offset.rows = OffsetRows::None;
        }
        match target {
            Target::Oracle => {
                if let Some(limit) = limit.take() {
                    query.fetch = Some(Fetch { with_ties: false, percent: false, quantity: Some(limit) });
                    self.did("fetch-first");
                }
                match offset {
                    Some(offset) => {
                        offset.rows = OffsetRows::Rows;
                        self.did("offset-rows");
                    }
                    None => query.limit_clause = None,
                }
            }
            Target::MySql | Target::Sqlite if limit.is_none() => {
                *limit = Some(if target == Target::MySql { number(NO_LIMIT) } else { number(-1) });
                self.did("limit-without-bound");
            }
            _ => {}
        }
    }

    /// MySQL's FULL JOIN: the left join, and the rows of the right side that match nothing.
    fn full_join(&mut self, query: &mut Query) {
        let SetExpr::Select(select) = &mut *query.body else { return };
        let [TableWithJoins { relation, joins }] = select.from.as_mut_slice() else { return };
        let [Join { relation: other, join_operator: JoinOperator::FullOuter(constraint), .. }] = joins.as_mut_slice()
        else {
            return;
        };
        let (Some(left), Some(right)) = (shown(relation), shown(other)) else { return };
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        if grouped || select.distinct.is_some() || select.selection.is_some() || query.with.is_some() {
            self.warn("MySQL has no FULL JOIN");
            return;
        }
        let condition = match constraint {
            JoinConstraint::On(on) => on.clone(),
            JoinConstraint::Using(columns) => {
                let equal = columns.iter().filter_map(last).map(|column| {
                    let side = |owner: &Ident| Expr::CompoundIdentifier(vec![owner.clone(), column.clone()]);
                    plain(side(&left), BinaryOperator::Eq, side(&right))
                });
                equal.reduce(|a, b| plain(a, BinaryOperator::And, b)).unwrap_or_else(build::null)
            }
            _ => return,
        };
        let parsed = crate::sql::parse("SELECT 1 FROM t", crate::sql::Dialect::MySql);
        let Some(Statement::Query(mut rest)) = parsed.ok().and_then(|mut statements| statements.pop()) else { return };
        if let SetExpr::Select(inner) = &mut *rest.body {
            inner.from = vec![TableWithJoins { relation: relation.clone(), joins: Vec::new() }];
            inner.selection = Some(condition);
        }
        let (first, second) = (constraint.clone(), constraint.clone());
        let mut unmatched = select.clone();
        unmatched.selection = Some(Expr::Exists { subquery: rest, negated: true });
        select.from[0].joins[0].join_operator = JoinOperator::LeftOuter(first);
        unmatched.from[0].joins[0].join_operator = JoinOperator::RightOuter(second);
        let left = std::mem::replace(&mut query.body, Box::new(SetExpr::Values(empty())));
        *query.body = SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left,
            right: Box::new(SetExpr::Select(unmatched)),
        };
        self.did("full-join");
    }

    /// What a SELECT has that the target lacks.
    pub fn select_from_postgres(&mut self, select: &mut Select, target: Target, _scope: &Scope<'_, 's>) {
        self.rollup(select, target);
    }

    /// Aliases of tables: Oracle takes no AS.
    pub fn factor_from_postgres(&mut self, factor: &mut TableFactor, target: Target) {
        self.values_as_selects(factor);
        if target != Target::Oracle {
            return;
        }
        if let TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } = factor
            && alias.explicit
        {
            alias.explicit = false;
            self.did("table-alias-word");
        }
    }
}

fn shown(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => last(name).cloned(),
        _ => None,
    }
}

fn set_minus(body: &mut SetExpr) -> bool {
    let SetExpr::SetOperation { op, left, right, set_quantifier } = body else { return false };
    let found = *op == SetOperator::Except && *set_quantifier != SetQuantifier::All;
    if found {
        *op = SetOperator::Minus;
    }
    set_minus(left) | set_minus(right) | found
}

fn empty() -> sqlparser::ast::Values {
    sqlparser::ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }
}

/// Whether two LIMIT clauses of nested queries say together what one can say.
fn merges(outer: Option<&LimitClause>, inner: Option<&LimitClause>) -> bool {
    matches!(
        (outer, inner),
        (None, _)
            | (_, None)
            | (
                Some(LimitClause::LimitOffset { limit: None, offset: Some(_), .. }),
                Some(LimitClause::LimitOffset { limit: Some(_), offset: None, .. }),
            )
    )
}

fn merged(outer: Option<LimitClause>, inner: Option<LimitClause>) -> Option<LimitClause> {
    match (outer, inner) {
        (
            Some(LimitClause::LimitOffset { offset, .. }),
            Some(LimitClause::LimitOffset { limit, offset: None, limit_by }),
        ) => Some(LimitClause::LimitOffset { limit, offset, limit_by }),
        (outer, inner) => outer.or(inner),
    }
}

/// `SELECT * FROM (query)`.
fn select_from(query: &mut Query) -> Option<SetExpr> {
    let parsed = crate::sql::parse("SELECT * FROM (SELECT 1)", crate::sql::Dialect::Sqlite).ok()?;
    let Some(sqlparser::ast::Statement::Query(mut shell)) = parsed.into_iter().next() else { return None };
    let SetExpr::Select(select) = &mut *shell.body else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else { return None };
    std::mem::swap(&mut **subquery, query);
    Some(*shell.body)
}
