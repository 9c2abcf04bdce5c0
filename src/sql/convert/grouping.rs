//! Columns beside GROUP BY, and DISTINCT sorted by something else: SQLite and MySQL take a value from some row of the
//! group, PostgreSQL wants to be told which.
//!
//! A column that the keys determine (through equalities and primary keys) joins the keys. Beside exactly one MIN or MAX
//! SQLite takes the row of the extreme; otherwise the smallest value stands for the group.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, BinaryOperator, Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr,
    GroupByWithModifier, Ident, JoinConstraint, JoinOperator, OrderBy, OrderByExpr, OrderByKind, OrderByOptions,
    OrderBySort, Query, Select, SelectItem, Subscript, TableWithJoins, VisitorMut,
};

use super::aggregates::Aggregates;
use super::build::{self, call, take};
use super::functions::{is_aggregate, key};
use super::scope::{Columns, Scope};
use super::value_type::Ty;
use super::{Rewriter, Source, Stage};
use crate::sql::walk::{walk, walk_mut};

type Column = (usize, String);

/// What is known of the groups of one SELECT.
struct Groups<'a, 'p, 's> {
    scope: &'a Scope<'p, 's>,
    source: Source,
    /// Texts of the keys that are no columns.
    texts: HashSet<String>,
    /// Columns that are keys.
    columns: HashSet<Column>,
    /// The columns that the statement groups by.
    own: HashSet<Column>,
    /// Whether columns that a primary key among the keys determines stay out of GROUP BY, as PostgreSQL allows.
    idiomatic: bool,
    /// Columns with one value in each group.
    determined: HashSet<Column>,
    /// Keys to add.
    added: Vec<Expr>,
    /// The one MIN or MAX of the query: its argument, and whether it is MAX.
    extreme: Option<(Expr, bool)>,
    /// Open skips: inside an aggregate, a key or a subquery nothing is replaced.
    stack: Vec<bool>,
    skip: usize,
    picked: bool,
    /// Whether PostgreSQL would refuse a column that joins the keys.
    refused: bool,
}

impl<'s> Rewriter<'s> {
    /// Makes the SELECT list, HAVING and ORDER BY agree with GROUP BY and DISTINCT.
    pub fn grouping(&mut self, select: &mut Select, mut order_by: Option<&mut OrderBy>, scope: &Scope<'_, 's>) {
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            return;
        }
        let GroupByExpr::Expressions(keys, modifiers) = &mut select.group_by else { return };
        if modifiers.as_slice() == [GroupByWithModifier::Rollup] {
            modifiers.clear();
            let sets = std::mem::take(keys).into_iter().map(|key| vec![key]).collect();
            keys.push(Expr::Rollup(sets));
            self.did("rollup");
            return;
        }
        let sets = |key: &Expr| {
            matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))
                || super::operators::is_call(key, &["ROLLUP", "CUBE"])
        };
        if keys.iter().any(sets) {
            return;
        }
        let mut aggregates = Aggregates::default();
        let _ = walk(&select.projection, &mut aggregates);
        let _ = walk(&select.having, &mut aggregates);
        if let Some(order_by) = &order_by {
            let _ = walk(&**order_by, &mut aggregates);
        }
        let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return };
        if keys.is_empty() && aggregates.count == 0 {
            if let Some(having) = select.having.take() {
                // MySQL's HAVING without groups is one more WHERE.
                select.selection = Some(match select.selection.take() {
                    Some(selection) => build::binary(selection, BinaryOperator::And, having),
                    None => having,
                });
                self.did("having-without-groups");
            }
            if let (Some(Distinct::Distinct), Some(order_by)) = (&select.distinct, order_by) {
                self.distinct_order(select, order_by, scope);
            }
            return;
        }
        let mut groups = Groups::new(scope, self.source, aggregates.extreme());
        groups.add_keys(&select.group_by, &select.projection);
        groups.idiomatic = self.idiomatic;
        groups.own.clone_from(&groups.columns);
        groups.close(&select.from, select.selection.as_ref());
        self.expand_wildcards(select, scope);
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = match &*expr {
                        Expr::Identifier(ident) => Some(ident.clone()),
                        Expr::CompoundIdentifier(parts) => parts.last().cloned(),
                        _ => None,
                    };
                    let before = groups.picked;
                    groups.picked = false;
                    let _ = walk_mut(expr, &mut groups);
                    if let (true, Some(alias)) = (groups.picked, name) {
                        *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
                    }
                    groups.picked |= before;
                }
                SelectItem::ExprWithAlias { expr, .. } => drop(walk_mut(expr, &mut groups)),
                _ => {}
            }
        }
        if let Some(having) = &mut select.having {
            let _ = walk_mut(having, &mut groups);
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(exprs), .. }) = order_by.as_deref_mut() {
            for by in exprs {
                let alias = matches!(&by.expr, Expr::Identifier(ident) if scope.alias(&ident.value).is_some());
                if !alias {
                    let _ = walk_mut(&mut by.expr, &mut groups);
                }
            }
        }
        let (added, picked, refused) = (groups.added, groups.picked, groups.refused);
        if let Some(order_by) = order_by
            && select.distinct.is_none()
        {
            self.order_of_groups(select, order_by, scope);
        }
        if !added.is_empty() {
            if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
                keys.extend(added);
            }
            self.did(if refused { "group-by-dependent" } else { "group-by-key" });
        }
        if picked {
            self.did("group-by-bare-column");
        }
    }

    /// SQLite makes its groups in the order of their keys and sorts them without mixing equals, so equals stay in that
    /// order; the keys take the directions of ORDER BY if there are as many of them (its select.c). PostgreSQL hashes.
    fn order_of_groups(&mut self, select: &Select, order_by: &mut OrderBy, scope: &Scope<'_, 's>) {
        let GroupByExpr::Expressions(keys, _) = &select.group_by else { return };
        let OrderByKind::Expressions(sorted) = &mut order_by.kind else { return };
        if self.idiomatic || self.source != Source::Sqlite || sorted.is_empty() {
            return;
        }
        let directions: Option<Vec<bool>> = (keys.len() == sorted.len())
            .then(|| sorted.iter().map(|by| matches!(by.options.sort, Some(OrderBySort::Desc))).collect());
        for (at, key) in keys.iter().enumerate() {
            let mut known = Groups::new(scope, self.source, None);
            for by in sorted.iter() {
                match &by.expr {
                    Expr::Identifier(ident) => match scope.alias(&ident.value) {
                        Some(alias) => known.add_key(&alias.expr),
                        None => known.add_key(&by.expr),
                    },
                    expr => known.add_key(expr),
                }
            }
            known.close(&select.from, select.selection.as_ref());
            let alias = match key {
                Expr::Identifier(ident) if known.column(key).is_none() => scope.alias(&ident.value),
                _ => None,
            };
            let meant = alias.map_or(key, |alias| &alias.expr);
            let settled = match known.column(meant) {
                Some((column, _)) => known.determined.contains(&column),
                None => known.has(meant),
            };
            if settled || matches!(key, Expr::Value(_)) {
                continue;
            }
            let descending = directions.as_ref().is_some_and(|directions| directions[at]);
            sorted.push(super::functions::key(
                key.clone(),
                OrderByOptions { sort: descending.then_some(OrderBySort::Desc), nulls_first: Some(!descending) },
            ));
            self.did("order-of-equal-groups");
        }
    }

    /// `SELECT DISTINCT a … ORDER BY b`: groups of a, sorted by their first b.
    fn distinct_order(&mut self, select: &mut Select, order_by: &mut OrderBy, scope: &Scope<'_, 's>) {
        let OrderByKind::Expressions(sorted) = &mut order_by.kind else { return };
        let mut groups = Groups::new(scope, self.source, None);
        let mut keys = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    groups.add_key(expr);
                    if !matches!(expr, Expr::Value(_)) {
                        keys.push(expr.clone());
                    }
                }
                _ => return,
            }
        }
        let outside = |by: &OrderByExpr| {
            let alias = matches!(&by.expr, Expr::Identifier(ident) if scope.alias(&ident.value).is_some());
            !alias && build::digits(&by.expr).is_none() && !groups.has(&by.expr)
        };
        if keys.is_empty() || !sorted.iter().any(outside) {
            return;
        }
        for by in sorted.iter_mut().filter(|by| outside(by)) {
            let descending = matches!(by.options.sort, Some(OrderBySort::Desc));
            by.expr = call(if descending { "MAX" } else { "MIN" }, vec![take(&mut by.expr)]);
        }
        select.distinct = None;
        select.group_by = GroupByExpr::Expressions(keys, Vec::new());
        self.did("distinct-order-by");
        self.order_of_groups(select, order_by, scope);
    }

    /// `*` of a grouped query, where all columns are known.
    fn expand_wildcards(&mut self, select: &mut Select, scope: &Scope<'_, 's>) {
        if !select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
            return;
        }
        let mut columns = Vec::new();
        for relation in &scope.relations {
            let names: Vec<Ident> = match &relation.columns {
                Columns::Open => return,
                Columns::Table(table) => table
                    .columns
                    .iter()
                    .map(|column| {
                        let mut ident = Ident::new(column.name.text());
                        self.spell(&mut ident, Some(&column.name));
                        ident
                    })
                    .collect(),
                Columns::Query(columns) => columns.iter().map(|(ident, _)| ident.clone()).collect(),
            };
            columns.extend(names.into_iter().map(|name| Expr::CompoundIdentifier(vec![relation.name.clone(), name])));
        }
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(_) => items.extend(columns.iter().cloned().map(SelectItem::UnnamedExpr)),
                item => items.push(item),
            }
        }
        select.projection = items;
    }
}

impl<'a, 'p, 's> Groups<'a, 'p, 's> {
    fn new(scope: &'a Scope<'p, 's>, source: Source, extreme: Option<(Expr, bool)>) -> Self {
        Self {
            scope,
            source,
            texts: HashSet::new(),
            columns: HashSet::new(),
            own: HashSet::new(),
            idiomatic: false,
            refused: false,
            determined: HashSet::new(),
            added: Vec::new(),
            extreme,
            stack: Vec::new(),
            skip: 0,
            picked: false,
        }
    }

    fn column(&self, expr: &Expr) -> Option<(Column, Ty)> {
        let (owner, name) = match expr {
            Expr::Identifier(ident) => (None, &ident.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., owner, name] => (Some(owner.value.as_str()), &name.value),
                _ => return None,
            },
            Expr::Nested(inner) => return self.column(inner),
            _ => return None,
        };
        match self.scope.column(owner, name, self.source) {
            Some(found) => (found.level == 0).then(|| ((found.relation, name.to_lowercase()), found.ty)),
            None => {
                // A column of a relation whose columns are not known.
                let relation = match owner {
                    Some(owner) => {
                        self.scope.relations.iter().position(|r| r.name.value.eq_ignore_ascii_case(owner))?
                    }
                    None if self.scope.relations.len() == 1 => 0,
                    None => return None,
                };
                let open = matches!(self.scope.relations[relation].columns, Columns::Open);
                open.then(|| ((relation, name.to_lowercase()), Ty::Unknown))
            }
        }
    }

    fn add_keys(&mut self, group_by: &GroupByExpr, projection: &[SelectItem]) {
        let GroupByExpr::Expressions(keys, _) = group_by else { return };
        for key in keys {
            let ordinal = build::digits(key).and_then(|digits| digits.parse::<usize>().ok());
            let chosen = ordinal.and_then(|at| projection.get(at.checked_sub(1)?)).and_then(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
                _ => None,
            });
            let alias = match key {
                Expr::Identifier(ident) if self.column(key).is_none() => self.scope.alias(&ident.value),
                _ => None,
            };
            match (chosen, alias) {
                (Some(expr), _) => self.add_key(&expr),
                (None, Some(alias)) => self.add_key(&alias.expr),
                _ => self.add_key(key),
            }
        }
    }

    fn add_key(&mut self, key: &Expr) {
        match self.column(key) {
            Some((column, _)) => {
                self.columns.insert(column.clone());
                self.determined.insert(column);
            }
            None => {
                self.texts.insert(build::strip(key.clone()).to_string().to_lowercase());
            }
        }
    }

    /// Whether the statement groups by the whole primary key of a relation.
    fn keyed(&self, relation: usize) -> bool {
        match &self.scope.relations[relation].columns {
            Columns::Table(table) => {
                let has = |name: &crate::sql::Name| self.own.contains(&(relation, name.text().to_lowercase()));
                !table.primary_key.is_empty() && table.primary_key.iter().all(has)
            }
            _ => false,
        }
    }

    fn has(&self, expr: &Expr) -> bool {
        match self.column(expr) {
            Some((column, _)) => self.columns.contains(&column),
            None => !self.texts.is_empty() && self.texts.contains(&expr.to_string().to_lowercase()),
        }
    }

    /// Finds every column that the keys determine.
    fn close(&mut self, from: &[TableWithJoins], selection: Option<&Expr>) {
        let mut equal: Vec<(Column, Column)> = Vec::new();
        let mut conditions: Vec<&Expr> = selection.into_iter().collect();
        for join in from.iter().flat_map(|item| &item.joins) {
            if let JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) =
                &join.join_operator
            {
                conditions.push(on);
            }
        }
        while let Some(condition) = conditions.pop() {
            match condition {
                Expr::Nested(inner) => conditions.push(inner),
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => conditions.extend([&**left, &**right]),
                Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                    match (self.column(left), self.column(right)) {
                        (Some((a, _)), Some((b, _))) => equal.push((a, b)),
                        (Some((a, _)), None) if matches!(**right, Expr::Value(_)) => drop(self.determined.insert(a)),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        if self.columns.is_empty() {
            return;
        }
        let mut whole = vec![false; self.scope.relations.len()];
        loop {
            let before = (self.determined.len(), whole.iter().filter(|known| **known).count());
            for (at, relation) in self.scope.relations.iter().enumerate() {
                let Columns::Table(table) = &relation.columns else { continue };
                let has = |name: &crate::sql::Name| self.determined.contains(&(at, name.text().to_lowercase()));
                let keyed = !table.primary_key.is_empty() && table.primary_key.iter().all(has);
                if keyed && !whole[at] {
                    whole[at] = true;
                    self.determined.extend(table.columns.iter().map(|column| (at, column.name.text().to_lowercase())));
                }
            }
            for (a, b) in &equal {
                if self.determined.contains(a) {
                    self.determined.insert(b.clone());
                } else if self.determined.contains(b) {
                    self.determined.insert(a.clone());
                }
            }
            if before == (self.determined.len(), whole.iter().filter(|known| **known).count()) {
                return;
            }
        }
    }

    /// What stands for a column that has several values in a group.
    fn pick(&self, column: Expr, ty: Ty) -> Expr {
        let order = match &self.extreme {
            // A column that is the extreme itself needs no row.
            Some((argument, largest)) => vec![key(
                argument.clone(),
                OrderByOptions { sort: largest.then_some(OrderBySort::Desc), nulls_first: largest.then_some(false) },
            )],
            None if ty == Ty::Bool => Vec::new(),
            None => return call("MIN", vec![column]),
        };
        let mut all = call("ARRAY_AGG", vec![column]);
        if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut all
            && !order.is_empty()
        {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
        Expr::CompoundFieldAccess {
            root: Box::new(Expr::Nested(Box::new(all))),
            access_chain: vec![AccessExpr::Subscript(Subscript::Index { index: build::number(1) })],
        }
    }
}

impl VisitorMut for Groups<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.skip += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.skip -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let closed = match expr {
            Expr::Function(function) if is_aggregate(function) => true,
            expr => self.has(expr),
        };
        self.stack.push(closed);
        self.skip += usize::from(closed);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let closed = self.stack.pop().unwrap_or_default();
        self.skip -= usize::from(closed);
        if closed || self.skip > 0 || !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            return ControlFlow::Continue(());
        }
        let Some((column, ty)) = self.column(expr) else { return ControlFlow::Continue(()) };
        if self.determined.contains(&column) && !self.columns.is_empty() {
            if self.idiomatic && self.keyed(column.0) {
                return ControlFlow::Continue(());
            }
            self.refused |= !self.keyed(column.0);
            self.columns.insert(column);
            self.added.push(expr.clone());
        } else {
            *expr = self.pick(take(expr), ty);
            self.picked = true;
        }
        ControlFlow::Continue(())
    }
}
