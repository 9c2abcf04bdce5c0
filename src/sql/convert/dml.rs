//! Statements that change rows: INSERT with conflicts, UPDATE and DELETE with joins or LIMIT; and the way from a
//! statement to its queries.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, DoUpdate, Expr, FromTable, Ident, Insert, ObjectName,
    OnConflict, OnConflictAction, OnInsert, SetExpr, SqliteOnConflict, Statement, TableFactor, TableObject,
    TableWithJoins, Update, UpdateTableFromKind, Value,
};

use super::build;
use super::changes::{and, is_outer, only_rows, rows_of_join, shown, speaks_of_others};
use super::scope::{Columns, Relation, Scope};
use super::value_type::Ty;
use super::walk::{last, last_mut};
use super::{Rewriter, Source, Stage};
use crate::sql::schema::{Table, same};

impl<'s> Rewriter<'s> {
    /// Rewrites all statements of a text.
    pub fn statements(&mut self, statements: &mut [Statement]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    /// Rewrites one statement.
    pub fn statement(&mut self, statement: &mut Statement) {
        let scope = Scope::default();
        match statement {
            Statement::Query(query) => drop(self.query(query, None)),
            Statement::Insert(insert) => self.insert(insert, &scope),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::CreateTable(table) => self.create_table(table),
            Statement::CreateView(view) => {
                if let Some(ident) = last_mut(&mut view.name) {
                    self.spell(ident, None);
                }
                self.query(&mut view.query, None);
            }
            Statement::CreateIndex(index) => self.create_index(index),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::Explain { statement, .. } => self.statement(statement),
            Statement::Drop { names, .. } => {
                for name in names {
                    self.table_name(name, &scope);
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, insert: &mut Insert, outer: &Scope<'_, 's>) {
        let mut scope = Scope::inside(None);
        let _ = outer;
        let mut table = None;
        if let TableObject::TableName(name) = &mut insert.table {
            let columns = self.table_name(name, &scope);
            if let Columns::Table(found) = &columns {
                table = Some(*found);
            }
            let name = last(name).cloned().unwrap_or_else(|| Ident::new(""));
            scope.relations.push(Relation { name, columns, nullable: false });
        }
        if self.source == Source::MySql && !insert.assignments.is_empty() {
            self.insert_set(insert);
        }
        for column in &mut insert.columns {
            if let Some(ident) = last_mut(column) {
                self.column_name(ident, &scope);
            }
        }
        let types: Vec<Ty> = match table {
            Some(table) if insert.columns.is_empty() => {
                table.columns.iter().map(|column| Ty::of_column(column.data_type.as_deref(), self.source)).collect()
            }
            _ => insert
                .columns
                .iter()
                .map(|name| last(name).and_then(|ident| scope.column(None, &ident.value, self.source)))
                .map(|found| found.map(|found| found.ty).unwrap_or_default())
                .collect(),
        };
        if let Some(source) = &mut insert.source {
            if let SetExpr::Values(values) = &mut *source.body {
                values.value_keyword = false;
                for row in &mut values.rows {
                    for (expr, ty) in row.content.iter_mut().zip(types.iter().chain(std::iter::repeat(&Ty::Unknown))) {
                        self.stored(expr, *ty);
                    }
                }
            }
            self.query(source, None);
        }
        if self.stage == Stage::ToPostgres && self.source != Source::Postgres {
            self.conflict(insert, table, &scope);
        } else if let Stage::FromPostgres(target) = self.stage {
            self.insert_from_postgres(insert, table, target);
        }
        if let Some(OnInsert::OnConflict(OnConflict { action: OnConflictAction::DoUpdate(update), .. })) =
            &mut insert.on
        {
            let columns = Columns::Open;
            scope.relations.push(Relation { name: Ident::new("excluded"), columns, nullable: true });
            for assignment in &mut update.assignments {
                self.string_hint(&mut assignment.value, &scope);
                self.expr(&mut assignment.value, &scope);
            }
            if let Some(selection) = &mut update.selection {
                self.condition(selection, &scope);
            }
            if self.stage == Stage::ToPostgres && self.source == Source::Sqlite {
                // A bare column is the row that is there; PostgreSQL wants to be told.
                let table = match &insert.table_alias {
                    Some(alias) => alias.alias.to_string(),
                    None => insert.table.to_string(),
                };
                let values = update.assignments.iter_mut().map(|assignment| &mut assignment.value);
                for value in values.chain(&mut update.selection) {
                    let before = value.clone();
                    excluded(value, None, &table);
                    if *value != before {
                        self.did("conflict-columns");
                    }
                }
            }
        }
    }

    /// A literal that is stored in a column.
    fn stored(&mut self, expr: &mut Expr, ty: Ty) {
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            return;
        }
        // `"x"` among values is a string: no column is in sight.
        if let Expr::Identifier(ident) = expr
            && ident.quote_style == Some('"')
        {
            *expr = build::text(&ident.value.replace("\"\"", "\""));
            self.did("double-quoted-strings");
        }
        if ty == Ty::Bool
            && let Some(digits) = build::digits(expr)
        {
            *expr = build::value(Value::Boolean(digits != "0"));
            self.did("flag-values");
        }
    }

    /// `INSERT INTO t SET a = 1`.
    fn insert_set(&mut self, insert: &mut Insert) {
        let mut row = Vec::new();
        for assignment in std::mem::take(&mut insert.assignments) {
            if let AssignmentTarget::ColumnName(name) = assignment.target {
                insert.columns.push(name);
                row.push(assignment.value);
            }
        }
        let list = row.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let parsed = crate::sql::parse(&format!("VALUES ({list})"), Source::MySql.dialect());
        if let Some(Statement::Query(query)) = parsed.ok().and_then(|mut statements| statements.pop()) {
            insert.source = Some(query);
            self.did("insert-set");
        }
    }

    /// What happens on a conflict with a key: ON CONFLICT with the key of the schema.
    fn conflict(&mut self, insert: &mut Insert, table: Option<&Table>, scope: &Scope<'_, 's>) {
        let replace = insert.replace_into || insert.or == Some(SqliteOnConflict::Replace);
        let ignore = insert.ignore || insert.or == Some(SqliteOnConflict::Ignore);
        insert.priority = None;
        let key = table.and_then(|table| conflict_key(table, &insert.columns));
        let key_columns = |rewriter: &mut Self| -> Option<Vec<Ident>> {
            let key = key?;
            Some(
                key.iter()
                    .map(|name| {
                        let mut ident = Ident::new(name.text());
                        rewriter.spell(&mut ident, Some(name));
                        ident
                    })
                    .collect(),
            )
        };
        if ignore {
            (insert.ignore, insert.or) = (false, None);
            let action = OnConflictAction::DoNothing;
            insert.on = Some(OnInsert::OnConflict(OnConflict { conflict_target: None, action }));
            self.did("insert-ignore");
        } else if replace {
            (insert.replace_into, insert.or) = (false, None);
            insert.into = true;
            let Some(key) = key_columns(self) else {
                self.warn("REPLACE needs the key of its table, which the schema does not give");
                self.did("insert-replace");
                return;
            };
            let mut columns: Vec<Ident> = insert.columns.iter().filter_map(|name| last(name).cloned()).collect();
            // REPLACE makes the row anew: columns that are not given get their defaults, which EXCLUDED has too.
            if let Some(table) = table.filter(|_| !self.idiomatic || columns.is_empty()) {
                columns.clear();
                for column in &table.columns {
                    let mut ident = Ident::new(column.name.text());
                    self.spell(&mut ident, Some(&column.name));
                    columns.push(ident);
                }
            }
            let assignments: Vec<Assignment> = columns
                .into_iter()
                .filter(|column| !key.iter().any(|part| same(&part.value, &column.value)))
                .map(|column| {
                    let value = Expr::CompoundIdentifier(vec![Ident::new("EXCLUDED"), column.clone()]);
                    Assignment { target: AssignmentTarget::ColumnName(ObjectName::from(vec![column])), value }
                })
                .collect();
            let action = if assignments.is_empty() {
                OnConflictAction::DoNothing
            } else {
                OnConflictAction::DoUpdate(DoUpdate { assignments, selection: None })
            };
            let conflict_target = Some(ConflictTarget::Columns(key));
            insert.on = Some(OnInsert::OnConflict(OnConflict { conflict_target, action }));
            self.did("insert-replace");
        } else if let Some(OnInsert::DuplicateKeyUpdate(assignments)) = &mut insert.on {
            let mut assignments = std::mem::take(assignments);
            let Some(key) = key_columns(self) else {
                self.warn("ON DUPLICATE KEY UPDATE needs the key of its table, which the schema does not give");
                insert.on = Some(OnInsert::DuplicateKeyUpdate(assignments));
                return;
            };
            let alias = insert.insert_alias.take().and_then(|alias| last(&alias.row_alias).cloned());
            for assignment in &mut assignments {
                unqualify(&mut assignment.target);
                excluded(&mut assignment.value, alias.as_ref(), insert.table.to_string().as_str());
                self.expr(&mut assignment.value, scope);
            }
            let action = OnConflictAction::DoUpdate(DoUpdate { assignments, selection: None });
            let conflict_target = Some(ConflictTarget::Columns(key));
            insert.on = Some(OnInsert::OnConflict(OnConflict { conflict_target, action }));
            self.did("on-duplicate-key");
        } else if insert.or.take().is_some() {
            self.did("insert-or");
        }
    }

    fn update(&mut self, update: &mut Update) {
        let mut scope = Scope::inside(None);
        self.table_with_joins(&mut update.table, &mut scope);
        if let Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) = &mut update.from {
            for item in from {
                self.table_with_joins(item, &mut scope);
            }
        }
        let own = scope.relations.first().map(|relation| relation.name.clone());
        if self.stage == Stage::ToPostgres && self.source == Source::MySql && update.table.joins.is_empty() {
            self.assignments_in_order(&mut update.assignments);
        }
        for assignment in &mut update.assignments {
            let mut ty = Ty::Unknown;
            if let AssignmentTarget::ColumnName(name) = &mut assignment.target {
                if let Some(ident) = last_mut(name) {
                    ty = scope.column(None, &ident.value, self.source).map(|found| found.ty).unwrap_or_default();
                    self.column_name(ident, &scope);
                }
                if self.source != Source::Postgres && name.0.len() > 1 {
                    name.0.drain(..name.0.len() - 1);
                    self.did("update-target");
                }
            }
            self.stored(&mut assignment.value, ty);
            self.string_hint(&mut assignment.value, &scope);
            self.expr(&mut assignment.value, &scope);
        }
        if let Some(selection) = &mut update.selection {
            self.condition(selection, &scope);
        }
        update.order_by.iter_mut().for_each(|by| self.order_key(by, &scope));
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            if let Stage::FromPostgres(target) = self.stage {
                self.update_from_postgres(update, target);
            }
            return;
        }
        if let Some(or) = update.or.take() {
            if matches!(or, SqliteOnConflict::Ignore | SqliteOnConflict::Replace) {
                self.warn("PostgreSQL has no UPDATE OR IGNORE or OR REPLACE");
            }
            self.did("update-or");
        }
        if update.limit.is_some() || !update.order_by.is_empty() {
            let only =
                only_rows(&update.table.relation, &mut update.selection, &mut update.order_by, &mut update.limit);
            update.selection = only;
            self.did("update-limit");
        }
        if let Some(own) = &own
            && update.table.joins.iter().any(|join| is_outer(&join.join_operator))
            && !update.assignments.iter().any(|assignment| speaks_of_others(&assignment.value, own))
        {
            let joined = update.table.clone();
            update.selection = rows_of_join(own, joined, update.selection.take());
            update.table.joins.clear();
            self.did("update-join");
        }
        if !update.table.joins.is_empty() {
            let joins = std::mem::take(&mut update.table.joins);
            let (from, conditions) = self.joined(joins, &update.table.relation, &scope);
            update.from = Some(UpdateTableFromKind::AfterSet(from));
            update.selection = and(conditions, update.selection.take());
            self.did("update-join");
        }
    }

    fn delete(&mut self, delete: &mut Delete) {
        let mut scope = Scope::inside(None);
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &mut delete.from;
        for item in from.iter_mut() {
            self.table_with_joins(item, &mut scope);
        }
        for item in delete.using.iter_mut().flatten() {
            self.table_with_joins(item, &mut scope);
        }
        if let Some(selection) = &mut delete.selection {
            self.condition(selection, &scope);
        }
        delete.order_by.iter_mut().for_each(|by| self.order_key(by, &scope));
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            if let Stage::FromPostgres(target) = self.stage {
                self.delete_from_postgres(delete, target);
            }
            return;
        }
        // `DELETE FROM t USING t JOIN k`: the table itself is not USED a second time.
        if let (Some(target), Some(using)) = (from.first(), &mut delete.using)
            && let Some(at) = using.iter().position(|item| item.relation == target.relation)
            && from.len() == 1
            && from[0].joins.is_empty()
        {
            from[0] = using.remove(at);
            delete.using = delete.using.take().filter(|items| !items.is_empty());
            if let TableFactor::Table { name, .. } = &from[0].relation {
                delete.tables = vec![name.clone()];
            }
        }
        let Some(first) = from.first_mut() else { return };
        if delete.limit.is_some() || !delete.order_by.is_empty() {
            delete.selection =
                only_rows(&first.relation, &mut delete.selection, &mut delete.order_by, &mut delete.limit);
            self.did("delete-limit");
        }
        if first.joins.iter().any(|join| is_outer(&join.join_operator)) {
            let wanted = delete.tables.first().and_then(last).cloned();
            let items = || std::iter::once(&first.relation).chain(first.joins.iter().map(|join| &join.relation));
            let named = wanted.and_then(|wanted| items().find(|item| goes_by(item, &wanted.value)));
            let target = named.unwrap_or(&first.relation).clone();
            if let Some(owner) = shown(&target) {
                delete.selection = rows_of_join(&owner, first.clone(), delete.selection.take());
                delete.tables.clear();
                delete.from = FromTable::WithFromKeyword(vec![TableWithJoins { relation: target, joins: Vec::new() }]);
                self.did("delete-join");
                return;
            }
        }
        if !first.joins.is_empty() {
            // DELETE t FROM a JOIN b: the table named before FROM stays, the other is USED.
            let mut items = vec![TableWithJoins { relation: first.relation.clone(), joins: Vec::new() }];
            let (mut others, mut conditions) = {
                let joins = std::mem::take(&mut first.joins);
                self.joined(joins, &first.relation, &scope)
            };
            items.append(&mut others);
            let wanted = delete.tables.first().and_then(last).map(|ident| ident.value.clone());
            let at =
                wanted.and_then(|wanted| items.iter().position(|item| goes_by(&item.relation, &wanted))).unwrap_or(0);
            let target = items.remove(at);
            if items.iter().any(|item| !item.joins.is_empty()) {
                conditions = None.or(conditions);
            }
            delete.tables.clear();
            delete.from = FromTable::WithFromKeyword(vec![target]);
            delete.using = Some(items);
            delete.selection = and(conditions, delete.selection.take());
            self.did("delete-join");
        } else if !delete.tables.is_empty() {
            delete.tables.clear();
            self.did("delete-join");
        }
    }
}

/// The key that an INSERT into these columns may run into.
fn conflict_key<'t>(table: &'t Table, columns: &[ObjectName]) -> Option<&'t [crate::sql::Name]> {
    let given = |key: &&[crate::sql::Name]| {
        columns.is_empty()
            || key.iter().all(|part| columns.iter().filter_map(last).any(|column| part.is(&column.value)))
    };
    let primary = (!table.primary_key.is_empty()).then_some(table.primary_key.as_slice());
    let mut keys = primary.into_iter().chain(table.unique.iter().map(Vec::as_slice));
    keys.clone().find(given).or_else(|| keys.next())
}

fn unqualify(target: &mut AssignmentTarget) {
    if let AssignmentTarget::ColumnName(name) = target
        && name.0.len() > 1
    {
        name.0.drain(..name.0.len() - 1);
    }
}

/// `VALUES(a)` and `new.a` are EXCLUDED.a; a bare column is the row that is there.
fn excluded(expr: &mut Expr, alias: Option<&Ident>, table: &str) {
    use std::ops::ControlFlow;
    let alias = alias.cloned();
    let _ = crate::sql::walk::visit_expressions_mut(expr, |expr| {
        match expr {
            Expr::Function(function) if build::function_name(function) == "VALUES" => {
                let mut arguments = build::take_arguments(function);
                // The walk comes from within: the column has its table already.
                let column = match arguments.pop() {
                    Some(Expr::Identifier(column)) => Some(column),
                    Some(Expr::CompoundIdentifier(mut parts)) => parts.pop(),
                    _ => None,
                };
                if let Some(column) = column {
                    *expr = Expr::CompoundIdentifier(vec![Ident::new("EXCLUDED"), column]);
                }
            }
            Expr::CompoundIdentifier(parts) => {
                if let ([owner, _], Some(alias)) = (parts.as_mut_slice(), &alias)
                    && same(&owner.value, &alias.value)
                {
                    *owner = Ident::new("EXCLUDED");
                }
            }
            Expr::Identifier(column) if !table.contains(' ') => {
                *expr = Expr::CompoundIdentifier(vec![Ident::new(table), column.clone()]);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

fn goes_by(factor: &TableFactor, wanted: &str) -> bool {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            alias.as_ref().is_some_and(|alias| same(&alias.name.value, wanted))
                || last(name).is_some_and(|name| same(&name.value, wanted))
        }
        _ => false,
    }
}
