//! The form of queries: where NULLs sort, LIMIT, set operations, joins and derived tables.

use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, LimitClause, Offset, OffsetRows, OrderByExpr, OrderByOptions,
    OrderBySort, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
};

use super::build::{self, take};
use super::scope::Scope;
use super::value_type::Ty;
use super::walk::{Output, constraint};
use super::{Rewriter, Source, Stage, Target};

impl<'s> Rewriter<'s> {
    /// NULLs sort as the smallest value in SQLite and MySQL, as the largest in PostgreSQL and Oracle.
    pub fn nulls(&mut self, by: &mut OrderByExpr, ty: Ty, scope: &Scope<'_, 's>) {
        let ascending = !matches!(by.options.sort, Some(OrderBySort::Desc));
        match self.stage {
            Stage::ToPostgres => {
                if by.options.nulls_first.is_some() || (self.idiomatic && self.never_null(&by.expr, scope)) {
                    return;
                }
                by.options.nulls_first = Some(ascending);
                self.did("null-order");
            }
            Stage::FromPostgres(target) => self.nulls_from_postgres(by, ty, target, ascending),
        }
    }

    /// Whether an expression cannot be NULL.
    pub fn never_null(&self, expr: &Expr, scope: &Scope<'_, 's>) -> bool {
        match expr {
            Expr::Identifier(ident) => match scope.alias(&ident.value) {
                Some(alias) => self.never_null_alias(&alias.expr, scope),
                None => scope.column(None, &ident.value, self.source).is_some_and(|found| !found.nullable),
            },
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., owner, column] => {
                    scope.column(Some(&owner.value), &column.value, self.source).is_some_and(|found| !found.nullable)
                }
                _ => false,
            },
            other => self.never_null_alias(other, scope),
        }
    }

    fn never_null_alias(&self, expr: &Expr, scope: &Scope<'_, 's>) -> bool {
        match expr {
            Expr::Function(function) => matches!(
                build::function_name(function).as_str(),
                "COUNT" | "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "RANDOM" | "NOW"
            ),
            Expr::Identifier(ident) => {
                scope.column(None, &ident.value, self.source).is_some_and(|found| !found.nullable)
            }
            Expr::CompoundIdentifier(_) => self.never_null(expr, scope),
            Expr::Nested(inner) => self.never_null(inner, scope),
            Expr::Value(literal) => !matches!(literal.value, sqlparser::ast::Value::Null),
            _ => false,
        }
    }

    /// LIMIT in the target's words.
    pub fn limit(&mut self, query: &mut Query) {
        let Some(clause) = &mut query.limit_clause else { return };
        if let LimitClause::OffsetCommaLimit { offset, limit } = clause {
            let (offset, limit) = (take(offset), take(limit));
            *clause = LimitClause::LimitOffset {
                limit: Some(limit),
                offset: Some(Offset { value: offset, rows: OffsetRows::None }),
                limit_by: Vec::new(),
            };
            self.did("limit-comma");
        }
        if let (Stage::ToPostgres, LimitClause::LimitOffset { limit, offset, .. }) = (self.stage, &mut *clause) {
            // A negative limit means none.
            let unbounded =
                |digits: String| digits.starts_with('-') || digits.parse::<u64>().is_ok_and(|n| n > i64::MAX as u64);
            if limit.as_ref().and_then(build::digits).is_some_and(unbounded) {
                *limit = None;
                self.did("limit-without-bound");
                if offset.is_none() {
                    query.limit_clause = None;
                }
            }
        }
    }

    /// Before the clauses are read.
    pub fn before_query(&mut self, query: &mut Query) {
        if self.stage == Stage::FromPostgres(Target::Sqlite) {
            self.flatten_query(query);
        }
    }

    /// When a query is done.
    pub fn after_query(&mut self, query: &mut Query) {
        if let Stage::FromPostgres(target) = self.stage {
            self.query_from_postgres(query, target);
        }
    }

    /// When a SELECT is done.
    pub fn select_done(&mut self, select: &mut Select, scope: &Scope<'_, 's>) {
        if let Stage::FromPostgres(target) = self.stage {
            self.select_from_postgres(select, target, scope);
        }
    }

    /// `(SELECT … LIMIT 1) UNION …`: an arm with its own ORDER BY or LIMIT needs brackets, which it has as a query.
    pub fn wrap_limited_arm(&mut self, _arm: &mut SetExpr) {}

    /// The two sides of a set operation must agree in their types.
    pub fn set_operation(
        &mut self,
        left: &mut SetExpr,
        first: &Output,
        right: &mut SetExpr,
        second: &Output,
    ) -> Output {
        if self.stage != Stage::ToPostgres || first.len() != second.len() {
            return Output::clone(first);
        }
        let mut output = first.to_vec();
        for (at, ((_, a), (_, b))) in first.iter().zip(second.iter()).enumerate() {
            let (number, side) = match (*a, *b) {
                (Ty::Text, b) if b.is_number() => (true, &mut *right),
                (a, Ty::Text) if a.is_number() => (true, &mut *left),
                _ => (false, &mut *left),
            };
            if number && cast_output(side, at) {
                output[at].1 = Ty::Text;
                self.did("set-operation-types");
            }
        }
        Output::new(output)
    }

    /// SQLite reads `a, b JOIN c` from left to right; elsewhere JOIN binds tighter than the comma.
    pub fn comma_joins(&mut self, from: &mut Vec<TableWithJoins>) {
        if self.source != Source::Sqlite || from.len() < 2 || from[1..].iter().all(|item| item.joins.is_empty()) {
            return;
        }
        let mut items = std::mem::take(from).into_iter();
        let Some(mut first) = items.next() else { return };
        for item in items {
            first.joins.push(sqlparser::ast::Join {
                relation: item.relation,
                global: false,
                join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
            });
            first.joins.extend(item.joins);
        }
        from.push(first);
        self.did("comma-joins");
    }

    /// JOIN without a condition is a CROSS JOIN; CROSS JOIN with one is a JOIN.
    pub fn join_operator(&mut self, operator: &mut JoinOperator) {
        use JoinOperator as J;
        if self.source == Source::Postgres {
            return;
        }
        let bare = constraint(operator).is_some_and(|constraint| matches!(constraint, JoinConstraint::None));
        match operator {
            J::Join(_) | J::Inner(_) | J::StraightJoin(_) if bare => *operator = J::CrossJoin(JoinConstraint::None),
            J::Left(_) | J::LeftOuter(_) if bare => {
                let always = build::value(sqlparser::ast::Value::Boolean(true));
                *operator = J::LeftOuter(JoinConstraint::On(always));
            }
            J::StraightJoin(condition) => *operator = J::Join(std::mem::replace(condition, JoinConstraint::None)),
            J::CrossJoin(condition) if !bare => *operator = J::Join(std::mem::replace(condition, JoinConstraint::None)),
            _ => return,
        }
        self.did("join-without-on");
    }

    /// The form of a relation in FROM: a derived table needs an alias (before PostgreSQL 16).
    pub fn factor_form(&mut self, factor: &mut TableFactor) {
        if self.stage != Stage::ToPostgres {
            if let Stage::FromPostgres(target) = self.stage {
                self.factor_from_postgres(factor, target);
            }
            return;
        }
        match factor {
            TableFactor::Derived { alias: alias @ None, .. } => {
                self.derived += 1;
                let name = if self.derived == 1 { "_q".to_owned() } else { format!("_q{}", self.derived) };
                *alias = Some(TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
                self.did("derived-table-alias");
            }
            TableFactor::Table { index_hints, .. } if !index_hints.is_empty() => {
                index_hints.clear();
                self.did("index-hints-dropped");
            }
            _ => {}
        }
    }
}

/// Casts one output column of a query to text.
fn cast_output(body: &mut SetExpr, at: usize) -> bool {
    match body {
        SetExpr::Select(select) => match select.projection.get_mut(at) {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
                *expr = build::to_text(take(expr));
                true
            }
            _ => false,
        },
        SetExpr::Query(query) => cast_output(&mut query.body, at),
        SetExpr::SetOperation { left, right, .. } => cast_output(left, at) & cast_output(right, at),
        _ => false,
    }
}

/// Casts the only output column of a query to text.
pub(super) fn cast_only_output(query: &mut Query) -> bool {
    cast_output(&mut query.body, 0)
}

/// ORDER BY without direction or NULLs.
pub(super) fn plain_order(expr: Expr, options: OrderByOptions) -> OrderByExpr {
    OrderByExpr { expr, options, with_fill: None }
}
