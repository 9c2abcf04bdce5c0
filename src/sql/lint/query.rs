//! Queries: WITH, FROM, joins and the clauses of SELECT, each with the names it can see.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, NamedWindowExpr, ObjectName, OrderBy,
    OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor,
    TableWithJoins, With,
};

use super::Linter;
use super::expression::Aliases;
use super::scope::{Columns, Relation, Scope};
use super::suggest::nearest;
use crate::sql::schema::same;

/// The common table expressions in sight, the nearest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    tables: Vec<(String, Columns)>,
}

impl Linter<'_> {
    /// Checks a query; returns its columns.
    pub(super) fn query(&mut self, query: &Query, environment: &Environment, outer: Option<&Scope<'_>>) -> Columns {
        let own;
        let environment = match &query.with {
            Some(with) => {
                own = self.with(with, environment, outer);
                &own
            }
            None => environment,
        };
        let mut arms = Vec::new();
        let mut waiting = vec![&*query.body];
        while let Some(body) = waiting.pop() {
            match body {
                SetExpr::SetOperation { left, right, .. } => waiting.extend([&**right, &**left]),
                arm => arms.push(arm),
            }
        }
        let alone = arms.len() == 1;
        let mut columns = None;
        let mut all = Scope::inside(outer);
        for arm in arms {
            let (produced, scope) = self.arm(arm, environment, outer);
            if alone {
                all = scope;
            } else {
                all.lenient = true;
                all.aliases.extend(produced.names().map(str::to_owned));
                all.aliases.extend(scope.aliases);
                all.relations.extend(scope.relations);
            }
            columns.get_or_insert(produced);
        }
        if let Some(order_by) = &query.order_by {
            self.order_by(order_by, &all, environment);
        }
        columns.unwrap_or(Columns::Open)
    }

    fn with(&mut self, with: &With, environment: &Environment, outer: Option<&Scope<'_>>) -> Environment {
        let mut environment = environment.clone();
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            let renames = alias_columns(&cte.alias);
            let columns = if with.recursive {
                // Its own columns are not known before its query is read, unless it lists them.
                let mut inside = environment.clone();
                inside.tables.push((name.clone(), Columns::Open.renamed(&renames)));
                self.query(&cte.query, &inside, outer)
            } else {
                self.query(&cte.query, &environment, outer)
            };
            environment.tables.push((name, columns.renamed(&renames)));
        }
        environment
    }

    fn arm<'p>(
        &mut self,
        body: &SetExpr,
        environment: &Environment,
        outer: Option<&'p Scope<'p>>,
    ) -> (Columns, Scope<'p>) {
        let mut scope = Scope::inside(outer);
        let columns = match body {
            SetExpr::Select(select) => return self.select(select, environment, outer),
            SetExpr::Query(query) => self.query(query, environment, outer),
            SetExpr::Values(values) => {
                self.expressions(values, &scope, environment, Aliases::Hidden);
                let width = values.rows.first().map_or(0, |row| row.content.len());
                Columns::Known((0..width).map(|i| vec![format!("column{}", i + 1), format!("column_{i}")]).collect())
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => {
                self.statement(statement, environment);
                Columns::Open
            }
            SetExpr::SetOperation { .. } | SetExpr::Table(_) => Columns::Open,
        };
        scope.aliases = columns.names().map(str::to_owned).collect();
        if matches!(columns, Columns::Open) {
            scope.relations.push(Relation { name: String::new(), table: None, columns: Columns::Open });
        }
        (columns, scope)
    }

    fn select<'p>(
        &mut self,
        select: &Select,
        environment: &Environment,
        outer: Option<&'p Scope<'p>>,
    ) -> (Columns, Scope<'p>) {
        let mut scope = Scope::inside(outer);
        self.from(&select.from, &mut scope, environment);
        for view in &select.lateral_views {
            scope.relations.push(Relation {
                name: view.lateral_view_name.to_string(),
                table: None,
                columns: Columns::Open,
            });
        }
        scope.aliases = select
            .projection
            .iter()
            .filter_map(|item| if let SelectItem::ExprWithAlias { alias, .. } = item { Some(alias) } else { None })
            .map(|alias| alias.value.clone())
            .collect();
        let columns = self.projection(&select.projection, &scope, environment);
        if let Some(Distinct::On(expressions)) = &select.distinct {
            self.expressions(expressions, &scope, environment, Aliases::Visible);
        }
        let in_where = self.aliases_in(false);
        self.expressions(&select.prewhere, &scope, environment, in_where);
        self.expressions(&select.selection, &scope, environment, in_where);
        if let GroupByExpr::Expressions(expressions, _) = &select.group_by {
            self.expressions(expressions, &scope, environment, Aliases::Visible);
        }
        let in_having = self.aliases_in(true);
        self.expressions(&select.having, &scope, environment, in_having);
        self.expressions(&select.qualify, &scope, environment, Aliases::Visible);
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &window.1 {
                self.expressions(window, &scope, environment, Aliases::Hidden);
            }
        }
        (columns, scope)
    }

    /// Checks a SELECT or RETURNING list; returns its columns.
    pub(super) fn projection(&mut self, items: &[SelectItem], scope: &Scope<'_>, environment: &Environment) -> Columns {
        let mut columns = Some(Vec::new());
        let mut add = |more: Option<Vec<Vec<String>>>| match (&mut columns, more) {
            (Some(columns), Some(more)) => columns.extend(more),
            _ => columns = None,
        };
        let known = |columns: &Columns| if let Columns::Known(names) = columns { Some(names.clone()) } else { None };
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    self.expressions(expression, scope, environment, Aliases::Hidden);
                    add(Some(vec![implied_names(expression)]));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.expressions(expr, scope, environment, Aliases::Hidden);
                    add(Some(vec![vec![alias.value.clone()]]));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let owner = last(name).map_or(String::new(), |ident| ident.value.clone());
                    match scope.relation(&owner) {
                        Some(relation) => add(known(&relation.columns)),
                        None => {
                            self.unknown_relation(&owner, scope);
                            add(None);
                        }
                    }
                }
                SelectItem::Wildcard(_) => {
                    scope.relations.iter().for_each(|relation| add(known(&relation.columns)));
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => add(None),
            }
        }
        columns.map_or(Columns::Open, Columns::Known)
    }

    fn order_by(&mut self, order_by: &OrderBy, scope: &Scope<'_>, environment: &Environment) {
        if let OrderByKind::Expressions(expressions) = &order_by.kind {
            self.expressions(expressions, scope, environment, Aliases::Visible);
        }
    }

    /// Adds what stands in FROM to the scope and checks the joins.
    pub(super) fn from(&mut self, tables: &[TableWithJoins], scope: &mut Scope<'_>, environment: &Environment) {
        for table in tables {
            self.factor(&table.relation, scope, environment);
            for join in &table.joins {
                let before = scope.relations.len();
                self.factor(&join.relation, scope, environment);
                if let Some(constraint) = constraint(&join.join_operator) {
                    self.merge(constraint, before, scope);
                }
            }
        }
        // ON sees all of FROM: some systems let it name tables further right.
        for join in tables.iter().flat_map(|table| &table.joins) {
            if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                self.expressions(condition, scope, environment, Aliases::Hidden);
            }
        }
    }

    /// USING and NATURAL make one column of two: relations from `right` on are joined to those before.
    fn merge(&mut self, constraint: &JoinConstraint, right: usize, scope: &mut Scope<'_>) {
        let (left, joined) = scope.relations.split_at(right);
        let mut merged = Vec::new();
        match constraint {
            JoinConstraint::Using(columns) => {
                for ident in columns.iter().filter_map(last) {
                    let name = &ident.value;
                    let on_both =
                        [left, joined].iter().all(|side| side.iter().any(|relation| relation.columns.may_have(name)));
                    if !on_both {
                        self.report(format!("unknown column `{name}` in USING"), None);
                    }
                    merged.push(name.clone());
                }
            }
            JoinConstraint::Natural => {
                let shared = joined.iter().flat_map(|relation| relation.columns.names());
                let shared = shared.filter(|name| left.iter().any(|relation| relation.columns.may_have(name)));
                merged.extend(shared.map(str::to_owned));
            }
            JoinConstraint::On(_) | JoinConstraint::None => {}
        }
        scope.merged.extend(merged);
    }

    fn factor(&mut self, factor: &TableFactor, scope: &mut Scope<'_>, environment: &Environment) {
        let (name, columns, table, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let columns = self.table_columns(name, environment);
                let own = last(name).map(|ident| ident.value.clone());
                (own.clone(), columns, own, alias)
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let columns = if *lateral {
                    self.query(subquery, environment, Some(scope))
                } else {
                    self.query(subquery, environment, scope.outer)
                };
                (None, columns, None, alias)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                match alias {
                    None => self.from(std::slice::from_ref(table_with_joins), scope, environment),
                    Some(alias) => scope.relations.push(Relation {
                        name: alias.name.value.clone(),
                        table: None,
                        columns: Columns::Open,
                    }),
                }
                return;
            }
            TableFactor::Table { name, alias, .. } | TableFactor::Function { name, alias, .. } => {
                (last(name).map(|ident| ident.value.clone()), Columns::Open, None, alias)
            }
            TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::JsonTable { alias, .. }
            | TableFactor::OpenJsonTable { alias, .. }
            | TableFactor::Pivot { alias, .. }
            | TableFactor::Unpivot { alias, .. }
            | TableFactor::MatchRecognize { alias, .. } => (None, Columns::Open, None, alias),
            _ => (None, Columns::Open, None, &None),
        };
        let (name, columns) = match alias {
            Some(alias) => (alias.name.value.clone(), columns.renamed(&alias_columns(alias))),
            None => (name.unwrap_or_default(), columns),
        };
        scope.relations.push(Relation { name, table, columns });
    }

    /// The columns of the table or common table expression of this name; an unknown one is reported.
    pub(super) fn table_columns(&mut self, name: &ObjectName, environment: &Environment) -> Columns {
        let Some(ident) = last(name) else { return Columns::Open };
        let text = ident.value.as_str();
        if let Some((_, columns)) =
            environment.tables.iter().rev().find(|(known, _)| name.0.len() == 1 && same(known, text))
        {
            return columns.clone();
        }
        if let Some(table) = self.schema.table(text) {
            return match table.columns_known {
                true => Columns::named(table.columns.iter().map(|column| column.name.text())),
                false => Columns::Open,
            };
        }
        let full = name.to_string().to_ascii_lowercase();
        let system = ["sqlite_", "pragma_", "pg_", "information_schema.", "mysql.", "performance_schema.", "dual"];
        if !system.iter().any(|prefix| full.starts_with(prefix)) {
            let known = self.schema.tables().iter().map(|table| table.name.text());
            let known = known.chain(environment.tables.iter().map(|(name, _)| name.as_str()));
            let hint = nearest(text, known).map(|near| format!("did you mean `{near}`?"));
            self.report(format!("unknown table `{text}`"), hint);
        }
        Columns::Open
    }
}

/// The last part of a dotted name.
pub(super) fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

fn alias_columns(alias: &TableAlias) -> Vec<String> {
    alias.columns.iter().map(|column| column.name.value.clone()).collect()
}

/// The names that systems give an expression without an alias: the column's own, the function's, its text.
fn implied_names(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Identifier(ident) => vec![ident.value.clone()],
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()).into_iter().collect(),
        Expr::Function(function) => {
            vec![last(&function.name).map_or(String::new(), |ident| ident.value.clone()), expression.to_string()]
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => {
            let mut names = implied_names(expr);
            names.push(expression.to_string());
            names
        }
        Expr::Case { .. } => vec!["case".into(), expression.to_string()],
        _ => vec![expression.to_string()],
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) | J::Right(c) | J::RightOuter(c) | J::FullOuter(c) => {
            Some(c)
        }
        J::CrossJoin(c) | J::Semi(c) | J::LeftSemi(c) | J::RightSemi(c) | J::Anti(c) | J::LeftAnti(c) => Some(c),
        J::RightAnti(c) | J::StraightJoin(c) | J::AsOf { constraint: c, .. } => Some(c),
        J::CrossApply | J::OuterApply | J::ArrayJoin | J::LeftArrayJoin | J::InnerArrayJoin => None,
    }
}
