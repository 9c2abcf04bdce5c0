//! Statements other than queries: what they write to must exist, and what they create exists from then on.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, FromTable, Ident, Insert, ObjectName, ObjectType,
    OnConflictAction, OnInsert, Statement, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::Linter;
use super::expression::Aliases;
use super::query::{Environment, last};
use super::scope::{Columns, Relation, Scope};
use super::suggest::nearest;
use crate::sql::Schema;

impl Linter<'_> {
    /// Checks a statement.
    pub(super) fn statement(&mut self, statement: &Statement, environment: &Environment) {
        match statement {
            Statement::Query(query) => drop(self.query(query, environment, None)),
            Statement::Insert(insert) => self.insert(insert, environment),
            Statement::Update(update) => self.update(update, environment),
            Statement::Delete(delete) => self.delete(delete, environment),
            Statement::Explain { statement, .. } => self.statement(statement, environment),
            Statement::CreateTable(create) => {
                if let Some(query) = &create.query {
                    self.query(query, environment, None);
                }
                self.learn(&create.to_string());
            }
            Statement::CreateView(create) => {
                self.query(&create.query, environment, None);
                self.learn(&create.to_string());
            }
            Statement::CreateIndex(index) => drop(self.table_columns(&index.table_name, environment)),
            Statement::AlterTable(alter) => {
                if !alter.if_exists {
                    self.table_columns(&alter.name, environment);
                }
                // What it looks like afterwards is not followed.
                if let Some(table) = last(&alter.name).and_then(|name| self.schema.to_mut().table_mut(&name.value)) {
                    table.columns_known = false;
                }
            }
            Statement::Drop { object_type, if_exists, names, .. } => {
                for name in names {
                    if matches!(object_type, ObjectType::Table | ObjectType::View) {
                        if !if_exists {
                            self.table_columns(name, environment);
                        }
                        last(name).iter().for_each(|ident| self.schema.to_mut().remove(&ident.value));
                    }
                }
            }
            _ => {}
        }
    }

    fn learn(&mut self, create: &str) {
        if let Ok(created) = Schema::parse(create, self.dialect) {
            created.tables().iter().cloned().for_each(|table| self.schema.to_mut().add(table));
        }
    }

    fn insert(&mut self, insert: &Insert, environment: &Environment) {
        let TableObject::TableName(name) = &insert.table else { return };
        let columns = self.table_columns(name, environment);
        for column in insert.columns.iter().filter_map(last) {
            self.own_column(column, &columns);
        }
        if let Some(source) = &insert.source {
            self.query(source, environment, None);
        }
        let table = last(name).map(|ident| ident.value.clone()).unwrap_or_default();
        let alias = insert.table_alias.as_ref().map(|alias| alias.alias.value.clone());
        let mut scope = Scope::default();
        let relation = |name: String| Relation { name, table: Some(table.clone()), columns: columns.clone() };
        scope.relations.push(relation(alias.unwrap_or_else(|| table.clone())));
        if let Some(returning) = &insert.returning {
            self.projection(returning, &scope, environment);
        }
        self.assignments(&insert.assignments, &columns, &scope, environment);
        scope.relations.push(relation("excluded".into()));
        if let Some(aliases) = &insert.insert_alias {
            scope.relations.push(relation(aliases.row_alias.to_string()));
        }
        // Bare names in the update of a conflict mean the old row.
        scope.lenient = true;
        match &insert.on {
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => {
                self.assignments(assignments, &columns, &scope, environment);
            }
            Some(OnInsert::OnConflict(conflict)) => {
                if let Some(ConflictTarget::Columns(targets)) = &conflict.conflict_target {
                    targets.iter().for_each(|target| self.own_column(target, &columns));
                }
                if let OnConflictAction::DoUpdate(update) = &conflict.action {
                    self.assignments(&update.assignments, &columns, &scope, environment);
                    self.expressions(&update.selection, &scope, environment, Aliases::Hidden);
                }
            }
            _ => {}
        }
    }

    fn update(&mut self, update: &Update, environment: &Environment) {
        let mut scope = Scope::default();
        self.from(std::slice::from_ref(&update.table), &mut scope, environment);
        let several = scope.relations.len() > 1;
        let columns = match scope.relations.first() {
            Some(target) if !several => target.columns.clone(),
            _ => Columns::Open,
        };
        if let Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) = &update.from {
            self.from(tables, &mut scope, environment);
        }
        self.assignments(&update.assignments, &columns, &scope, environment);
        self.expressions(&update.selection, &scope, environment, Aliases::Hidden);
        if let Some(returning) = &update.returning {
            self.projection(returning, &scope, environment);
        }
    }

    fn delete(&mut self, delete: &Delete, environment: &Environment) {
        let mut scope = Scope::default();
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        self.from(tables, &mut scope, environment);
        if let Some(using) = &delete.using {
            // MySQL names the tables to delete from again: `DELETE FROM a USING a JOIN b …`.
            let again = |table: &TableWithJoins| match &table.relation {
                TableFactor::Table { name, .. } => tables.iter().any(|t| is_table(&t.relation, name)),
                _ => false,
            };
            if using.iter().any(again) {
                scope.relations.clear();
            }
            self.from(using, &mut scope, environment);
        }
        for target in delete.tables.iter().filter_map(last) {
            if scope.relation(&target.value).is_none() {
                self.unknown_relation(&target.value, &scope);
            }
        }
        self.expressions(&delete.selection, &scope, environment, Aliases::Hidden);
        if let Some(returning) = &delete.returning {
            self.projection(returning, &scope, environment);
        }
    }

    fn assignments(
        &mut self,
        assignments: &[Assignment],
        columns: &Columns,
        scope: &Scope<'_>,
        environment: &Environment,
    ) {
        for assignment in assignments {
            let targets = match &assignment.target {
                AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
                AssignmentTarget::Tuple(names) => names.as_slice(),
            };
            targets.iter().filter_map(last).for_each(|target| self.own_column(target, columns));
            self.expressions(&assignment.value, scope, environment, Aliases::Hidden);
        }
    }

    /// A column that is written to.
    fn own_column(&mut self, column: &Ident, columns: &Columns) {
        if !columns.may_have(&column.value) {
            let hint = nearest(&column.value, columns.names()).map(|near| format!("did you mean `{near}`?"));
            self.report(format!("unknown column `{}`", column.value), hint);
        }
    }
}

fn is_table(factor: &TableFactor, wanted: &ObjectName) -> bool {
    matches!(factor, TableFactor::Table { name, .. } if name == wanted)
}
