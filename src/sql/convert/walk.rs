//! The walk over a statement: queries, their clauses and FROM, each with the names it can see. Rules live in the files
//! beside this one; the walk calls them where their construct stands.

use std::rc::Rc;

use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, NamedWindowExpr, ObjectName,
    ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, TableWithJoins,
};

use super::build;
use super::scope::{Alias, Columns, Relation, Scope};
use super::value_type::Ty;
use super::{Rewriter, Source, Stage, Target};
use crate::sql::schema::same;

/// Where an expression stands, as far as output aliases behave differently there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// The SELECT list, ON, VALUES and so on: no aliases.
    #[default]
    Plain,
    /// WHERE, HAVING, or inside an expression of GROUP BY or ORDER BY: aliases are replaced by what they stand for.
    Clause,
}

/// The columns a query gives.
pub(super) type Output = Rc<Vec<(Ident, Ty)>>;

impl<'s> Rewriter<'s> {
    /// Rewrites a query; returns its columns.
    pub fn query(&mut self, query: &mut Query, outer: Option<&Scope<'_, 's>>) -> Output {
        let place = std::mem::take(&mut self.place);
        let mut scope = Scope::inside(outer);
        if let Some(with) = &mut query.with {
            let recursive = with.recursive;
            for cte in &mut with.cte_tables {
                self.common_table(cte, recursive, &mut scope);
            }
        }
        self.before_query(query);
        let output = match &mut *query.body {
            SetExpr::Select(select) => self.select(select, query.order_by.as_mut(), Some(&scope)),
            body => {
                let output = self.arm(body, &scope);
                if let Some(order_by) = &mut query.order_by {
                    self.order_of_outputs(order_by, &output, &scope);
                }
                output
            }
        };
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                for expr in limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)) {
                    self.expr(expr, &scope);
                }
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.expr(offset, &scope);
                self.expr(limit, &scope);
            }
            None => {}
        }
        self.limit(query);
        self.after_query(query);
        self.place = place;
        output
    }

    fn common_table(&mut self, cte: &mut Cte, recursive: bool, scope: &mut Scope<'_, 's>) {
        self.new_name(&mut cte.alias.name);
        let name = cte.alias.name.value.clone();
        cte.alias.columns.iter_mut().for_each(|column| self.new_name(&mut column.name));
        let renames: Vec<Ident> = cte.alias.columns.iter().map(|column| column.name.clone()).collect();
        if recursive {
            scope.ctes.push((name.clone(), Columns::Open));
        }
        let output = self.query(&mut cte.query, Some(scope));
        if recursive {
            scope.ctes.pop();
        }
        scope.ctes.push((name, Columns::Query(renamed(output, &renames))));
    }

    /// Rewrites one side of a set operation, or anything else that may stand for a query.
    fn arm(&mut self, body: &mut SetExpr, scope: &Scope<'_, 's>) -> Output {
        match body {
            SetExpr::Select(select) => self.select(select, None, Some(scope)),
            SetExpr::Query(query) => self.query(query, Some(scope)),
            SetExpr::SetOperation { left, right, .. } => {
                let first = self.arm(left, scope);
                let second = self.arm(right, scope);
                let output = self.set_operation(left, &first, right, &second);
                self.wrap_limited_arm(left);
                self.wrap_limited_arm(right);
                output
            }
            SetExpr::Values(values) => {
                let mut types = Vec::new();
                for row in &mut values.rows {
                    types = row.content.iter_mut().map(|expr| self.expr(expr, scope)).collect();
                }
                let named = |(at, ty): (usize, Ty)| (Ident::new(format!("column{}", at + 1)), ty);
                Rc::new(types.into_iter().enumerate().map(named).collect())
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => {
                self.statement(statement);
                Output::default()
            }
            SetExpr::Table(_) => Output::default(),
        }
    }

    fn select(
        &mut self,
        select: &mut Select,
        mut order_by: Option<&mut OrderBy>,
        outer: Option<&Scope<'_, 's>>,
    ) -> Output {
        let mut scope = Scope::inside(outer);
        self.from(&mut select.from, &mut scope);
        let mut output = Vec::with_capacity(select.projection.len());
        let mut aliases = Vec::new();
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = implied_name(expr);
                    let ty = self.expr(expr, &scope);
                    output.push((name, ty));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let ty = self.expr(expr, &scope);
                    self.new_name(alias);
                    aliases.push(Alias { name: alias.clone(), expr: expr.clone(), ty });
                    output.push((alias.clone(), ty));
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    self.expr(expr, &scope);
                }
                SelectItem::Wildcard(_) => {
                    scope.relations.iter().for_each(|relation| columns_of(relation, self.source, &mut output));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.relation_name(name, &scope);
                    let owner = last(name).map(|ident| ident.value.clone()).unwrap_or_default();
                    if let Some(relation) = scope.relation(&owner) {
                        columns_of(relation, self.source, &mut output);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                    self.expr(expr, &scope);
                }
            }
        }
        scope.aliases = aliases;
        self.place = Place::Clause;
        if let Some(selection) = &mut select.selection {
            self.condition(selection, &scope);
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(|expr| self.group_key(expr, &scope));
        }
        if let Some(having) = &mut select.having {
            self.condition(having, &scope);
        }
        if let Some(qualify) = &mut select.qualify {
            self.condition(qualify, &scope);
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                self.window(spec, &scope);
            }
        }
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            exprs.iter_mut().for_each(|expr| {
                self.expr(expr, &scope);
            });
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(exprs), .. }) = order_by.as_deref_mut() {
            exprs.iter_mut().for_each(|by| self.order_key(by, &scope));
            if self.stage == Stage::FromPostgres(Target::MySql) {
                self.split_nulls(exprs, &scope);
            }
        }
        self.place = Place::Plain;
        self.grouping(select, order_by, &scope);
        self.select_done(select, &scope);
        Rc::new(output)
    }

    fn order_of_outputs(&mut self, order_by: &mut OrderBy, output: &Output, scope: &Scope<'_, 's>) {
        let mut outputs = Scope::inside(Some(scope));
        let columns = Columns::Query(Rc::clone(output));
        outputs.relations.push(Relation { name: Ident::new(""), columns, nullable: true });
        if let OrderByKind::Expressions(exprs) = &mut order_by.kind {
            for by in exprs.iter_mut() {
                // A qualified column of an arm: only its name is left behind a set operation.
                if let Expr::CompoundIdentifier(parts) = &by.expr
                    && self.source != Source::Postgres
                    && let Some(name) = parts.last()
                {
                    by.expr = Expr::Identifier(name.clone());
                }
                self.order_key(by, &outputs);
            }
            if self.stage == Stage::FromPostgres(Target::MySql) {
                self.split_nulls(exprs, &outputs);
            }
        }
    }

    /// A key of GROUP BY: ordinals and bare output aliases stay.
    fn group_key(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) {
        if let Expr::Identifier(ident) = expr
            && scope.column(None, &ident.value, self.source).is_none_or(|found| found.level > 0)
            && let Some(alias) = scope.alias(&ident.value)
        {
            *ident = alias.name.clone();
            return;
        }
        if build::digits(expr).is_none() {
            self.expr(expr, scope);
        }
    }

    /// A key of ORDER BY, with its NULLs where the source has them.
    pub fn order_key(&mut self, by: &mut OrderByExpr, scope: &Scope<'_, 's>) {
        let mut ty = Ty::Unknown;
        if let Expr::Identifier(ident) = &mut by.expr
            && let Some(alias) = scope.alias(&ident.value)
        {
            *ident = alias.name.clone();
            ty = alias.ty;
        } else if build::digits(&by.expr).is_none() {
            ty = self.expr(&mut by.expr, scope);
        }
        self.nulls(by, ty, scope);
    }

    fn from(&mut self, from: &mut Vec<TableWithJoins>, scope: &mut Scope<'_, 's>) {
        if let ([TableWithJoins { relation: TableFactor::Table { name, .. }, joins }], Source::MySql) =
            (from.as_slice(), self.source)
            && joins.is_empty()
            && last(name).is_some_and(|ident| ident.value.eq_ignore_ascii_case("dual"))
        {
            from.clear();
            self.did("dual-dropped");
        }
        self.comma_joins(from);
        for item in from.iter_mut() {
            self.table_with_joins(item, scope);
        }
    }

    /// One item of FROM with its joins.
    pub fn table_with_joins(&mut self, item: &mut TableWithJoins, scope: &mut Scope<'_, 's>) {
        let start = scope.relations.len();
        self.factor(&mut item.relation, scope);
        for join in &mut item.joins {
            let before = scope.relations.len();
            self.factor(&mut join.relation, scope);
            match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {
                    scope.relations[before..].iter_mut().for_each(|relation| relation.nullable = true);
                }
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => {
                    scope.relations[start..before].iter_mut().for_each(|relation| relation.nullable = true);
                }
                JoinOperator::FullOuter(_) => {
                    scope.relations[start..].iter_mut().for_each(|relation| relation.nullable = true);
                }
                _ => {}
            }
            self.join_operator(&mut join.join_operator);
            match constraint(&mut join.join_operator) {
                Some(JoinConstraint::On(on)) => self.condition(on, scope),
                Some(JoinConstraint::Using(names)) => {
                    for name in names {
                        if let Some(ident) = last_mut(name) {
                            self.column_name(ident, scope);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn factor(&mut self, factor: &mut TableFactor, scope: &mut Scope<'_, 's>) {
        self.factor_form(factor);
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let columns = self.table_name(name, scope);
                let mut shown = last(name).cloned().unwrap_or_else(|| Ident::new(""));
                if let Some(alias) = alias {
                    self.new_name(&mut alias.name);
                    shown = alias.name.clone();
                }
                scope.relations.push(Relation { name: shown, columns, nullable: false });
            }
            TableFactor::Derived { subquery, alias, lateral, .. } => {
                let output = if *lateral {
                    self.query(subquery, Some(scope))
                } else {
                    // Not lateral: the relations before it are not in sight, the common table expressions are.
                    let hidden = std::mem::take(&mut scope.relations);
                    let output = self.query(subquery, Some(scope));
                    scope.relations = hidden;
                    output
                };
                let (name, renames) = match alias {
                    Some(alias) => {
                        self.new_name(&mut alias.name);
                        let renames = alias.columns.iter().map(|column| column.name.clone()).collect();
                        (alias.name.clone(), renames)
                    }
                    None => (Ident::new(""), Vec::new()),
                };
                let known = !output.is_empty();
                let columns = if known { Columns::Query(renamed(output, &renames)) } else { Columns::Open };
                scope.relations.push(Relation { name, columns, nullable: false });
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.table_with_joins(table_with_joins, scope),
            other => {
                let name = match other {
                    TableFactor::Function { alias: Some(alias), .. }
                    | TableFactor::UNNEST { alias: Some(alias), .. }
                    | TableFactor::Table { alias: Some(alias), .. } => alias.name.clone(),
                    _ => Ident::new(""),
                };
                scope.relations.push(Relation { name, columns: Columns::Open, nullable: true });
            }
        }
    }

    /// Finds the columns behind a table's name and spells the name as the target needs it.
    pub fn table_name(&mut self, name: &mut ObjectName, scope: &Scope<'_, 's>) -> Columns<'s> {
        let Some(ident) = last_mut(name) else { return Columns::Open };
        if let Some(columns) = scope.cte(&ident.value).cloned() {
            self.new_name(ident);
            return columns;
        }
        let table = self.schema.and_then(|schema| schema.table(&ident.value));
        self.spell(ident, table.map(|table| &table.name));
        match table {
            Some(table) => Columns::Table(table),
            None => Columns::Open,
        }
    }
}

/// The name that PostgreSQL and the sources give a column without an alias.
fn implied_name(expr: &Expr) -> Ident {
    match expr {
        Expr::Identifier(ident) => ident.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().cloned().unwrap_or_else(|| Ident::new("")),
        Expr::Function(function) => Ident::new(build::function_name(function).to_ascii_lowercase()),
        _ => Ident::new(""),
    }
}

fn columns_of(relation: &Relation<'_>, source: Source, output: &mut Vec<(Ident, Ty)>) {
    match &relation.columns {
        Columns::Open => {}
        Columns::Table(table) => output.extend(
            table
                .columns
                .iter()
                .map(|column| (Ident::new(column.name.text()), Ty::of_column(column.data_type.as_deref(), source))),
        ),
        Columns::Query(columns) => output.extend(columns.iter().cloned()),
    }
}

fn renamed(output: Output, names: &[Ident]) -> Output {
    if names.is_empty() {
        return output;
    }
    let mut columns = output.to_vec();
    if columns.is_empty() {
        columns = names.iter().map(|name| (name.clone(), Ty::Unknown)).collect();
    }
    for ((ident, _), name) in columns.iter_mut().zip(names) {
        *ident = name.clone();
    }
    Rc::new(columns)
}

/// The condition of a join, if it can have one.
pub(super) fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(c)
        | J::Inner(c)
        | J::Left(c)
        | J::LeftOuter(c)
        | J::Right(c)
        | J::RightOuter(c)
        | J::FullOuter(c)
        | J::CrossJoin(c)
        | J::StraightJoin(c)
        | J::Semi(c)
        | J::Anti(c) => Some(c),
        _ => None,
    }
}

/// The last part of a dotted name.
pub(super) fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

/// The last part of a dotted name.
pub(super) fn last_mut(name: &mut ObjectName) -> Option<&mut Ident> {
    match name.0.last_mut() {
        Some(ObjectNamePart::Identifier(ident)) => Some(ident),
        _ => None,
    }
}

/// Whether two names are the same name.
pub(super) fn same_ident(a: &Ident, b: &Ident) -> bool {
    same(&a.value, &b.value)
}
