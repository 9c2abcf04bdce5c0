//! CREATE TABLE and its relatives: types, automatic numbers, keys; what only concerns storage goes.

use sqlparser::ast::KeyOrIndexDisplay;
use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, ColumnOption, ColumnOptionDef, CreateIndex, CreateTable,
    CreateTableLikeKind, CreateTableOptions, DataType, Expr, GeneratedAs, GeneratedExpressionMode, Ident, IndexColumn,
    NullsDistinctOption, TableConstraint, UniqueConstraint, Value,
};
use sqlparser::tokenizer::Token;

use super::build;
use super::scope::Scope;
use super::value_type::Ty;
use super::walk::last_mut;
use super::{Rewriter, Source, Stage};

impl<'s> Rewriter<'s> {
    /// CREATE TABLE.
    pub fn create_table(&mut self, table: &mut CreateTable) {
        let scope = Scope::default();
        self.defined_name(&mut table.name);
        if let Some(query) = &mut table.query {
            self.query(query, None);
        }
        if let (Stage::ToPostgres, Some(CreateTableLikeKind::Plain(like))) = (self.stage, &mut table.like) {
            self.defined_name(&mut like.name);
            table.like = Some(CreateTableLikeKind::Parenthesized(like.clone()));
            self.did("create-table-like");
        }
        if let Stage::FromPostgres(target) = self.stage {
            table.columns.iter_mut().for_each(|column| self.column_from_postgres(column, target));
            table.constraints.iter_mut().for_each(|constraint| self.constraint_names(constraint, &scope));
            return;
        }
        if self.source == Source::Postgres {
            return;
        }
        table.columns.iter_mut().for_each(|column| self.column(column));
        for constraint in std::mem::take(&mut table.constraints) {
            if let Some(constraint) = self.table_constraint(constraint, &scope) {
                table.constraints.push(constraint);
            }
        }
        if !matches!(table.table_options, CreateTableOptions::None) || table.comment.is_some() {
            table.table_options = CreateTableOptions::None;
            table.comment = None;
            self.did("storage-options-dropped");
        }
        if table.without_rowid || table.strict {
            (table.without_rowid, table.strict) = (false, false);
            self.did("storage-options-dropped");
        }
    }

    fn column(&mut self, column: &mut ColumnDef) {
        self.defined_ident(&mut column.name);
        let unsigned = self.take_words(column, &["UNSIGNED"]);
        self.take_words(column, &["ZEROFILL"]);
        let automatic = self.take_words(column, &["AUTO_INCREMENT"]) | self.take_words(column, &["AUTOINCREMENT"]);
        let declared = column.data_type.clone();
        let mut wanted = self.plain_type(&declared);
        if matches!(declared, DataType::Unspecified) {
            // SQLite's untyped columns hold anything; text holds what all of it looks like.
            wanted = Some(DataType::Text);
        }
        if matches!(declared, DataType::TinyInt(Some(1))) {
            wanted = Some(DataType::SmallInt(None));
        }
        if unsigned {
            wanted = Some(match wanted.as_ref().unwrap_or(&declared) {
                DataType::SmallInt(_) => DataType::Int(None),
                DataType::BigInt(_) => DataType::Numeric(sqlparser::ast::ExactNumberInfo::Precision(20)),
                DataType::Int(_) | DataType::Integer(_) => DataType::BigInt(None),
                other => other.clone(),
            });
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != declared) {
            column.data_type = wanted;
            self.did("column-types");
        }
        let ty = Ty::of_column(Some(&column.data_type.to_string()), Source::Postgres);
        let mut options = Vec::with_capacity(column.options.len() + 1);
        if automatic {
            options.push(plain(ColumnOption::Generated {
                generated_as: GeneratedAs::ByDefault,
                sequence_options: Some(Vec::new()),
                generation_expr: None,
                generation_expr_mode: None,
                generated_keyword: true,
            }));
            self.did("identity");
            let says = |option: &ColumnOptionDef| matches!(option.option, ColumnOption::NotNull | ColumnOption::Null);
            if !column.options.iter().any(says) {
                options.push(plain(ColumnOption::NotNull));
            }
        }
        for mut option in std::mem::take(&mut column.options) {
            match &mut option.option {
                ColumnOption::Comment(_)
                | ColumnOption::CharacterSet(_)
                | ColumnOption::Collation(_)
                | ColumnOption::OnUpdate(_)
                | ColumnOption::Invisible
                | ColumnOption::OnConflict(_) => {
                    self.did("storage-options-dropped");
                    continue;
                }
                ColumnOption::Default(expr) => self.default_value(expr, ty),
                ColumnOption::Generated {
                    generation_expr: Some(expr),
                    generation_expr_mode,
                    generated_keyword,
                    ..
                } => {
                    self.expr(expr, &Scope::default());
                    if !*generated_keyword || *generation_expr_mode != Some(GeneratedExpressionMode::Stored) {
                        // PostgreSQL computes such columns when a row is written, and says so.
                        (*generated_keyword, *generation_expr_mode) = (true, Some(GeneratedExpressionMode::Stored));
                        self.did("generated-columns");
                    }
                }
                ColumnOption::Check(check) => {
                    self.condition(&mut check.expr, &Scope::default());
                }
                ColumnOption::ForeignKey(key) => {
                    self.table_name(&mut key.foreign_table, &Scope::default());
                    key.referred_columns.iter_mut().for_each(|column| self.defined_ident(column));
                }
                ColumnOption::DialectSpecific(tokens) if tokens.iter().all(|token| matches!(token, Token::Word(_))) => {
                    self.did("storage-options-dropped");
                    continue;
                }
                _ => {}
            }
            options.push(option);
        }
        column.options = options;
    }

    fn default_value(&mut self, expr: &mut Expr, ty: Ty) {
        if let Expr::Identifier(ident) = expr
            && ident.quote_style == Some('"')
        {
            *expr = build::text(&ident.value);
            self.did("double-quoted-strings");
            return;
        }
        let found = self.expr(expr, &Scope::default());
        if ty == Ty::Bool
            && let Some(digits) = build::digits(expr)
        {
            *expr = build::value(Value::Boolean(digits != "0"));
            self.did("flag-values");
        } else if ty == Ty::Text
            && found.is_number()
            && let Some(digits) = build::digits(expr)
        {
            *expr = build::text(&digits);
            self.did("number-beside-text");
        }
    }

    /// Takes bare words out of a column's options.
    fn take_words(&mut self, column: &mut ColumnDef, words: &[&str]) -> bool {
        let before = column.options.len();
        column.options.retain(|option| match &option.option {
            ColumnOption::DialectSpecific(tokens) => !tokens
                .iter()
                .zip(words)
                .all(|(token, word)| matches!(token, Token::Word(found) if found.value.eq_ignore_ascii_case(word))),
            _ => true,
        });
        before != column.options.len()
    }

    fn table_constraint(&mut self, constraint: TableConstraint, scope: &Scope<'_, 's>) -> Option<TableConstraint> {
        let mut constraint = match constraint {
            TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
                self.did("storage-options-dropped");
                return None;
            }
            TableConstraint::Unique(unique) => TableConstraint::Unique(UniqueConstraint {
                name: unique.name.or(unique.index_name),
                index_name: None,
                index_type_display: KeyOrIndexDisplay::None,
                index_type: None,
                index_options: Vec::new(),
                nulls_distinct: NullsDistinctOption::None,
                ..unique
            }),
            TableConstraint::PrimaryKey(mut key) => {
                if key.index_name.is_some() || key.index_type.is_some() || !key.index_options.is_empty() {
                    self.did("storage-options-dropped");
                }
                (key.index_name, key.index_type) = (None, None);
                key.index_options.clear();
                TableConstraint::PrimaryKey(key)
            }
            TableConstraint::ForeignKey(mut key) => {
                key.index_name = None;
                TableConstraint::ForeignKey(key)
            }
            other => other,
        };
        self.constraint_names(&mut constraint, scope);
        Some(constraint)
    }

    /// The names in a constraint.
    pub fn constraint_names(&mut self, constraint: &mut TableConstraint, scope: &Scope<'_, 's>) {
        match constraint {
            TableConstraint::Unique(unique) => {
                unique.name.iter_mut().for_each(|name| self.defined_ident(name));
                self.index_columns(&mut unique.columns);
            }
            TableConstraint::PrimaryKey(key) => {
                key.name.iter_mut().for_each(|name| self.defined_ident(name));
                self.index_columns(&mut key.columns);
            }
            TableConstraint::ForeignKey(key) => {
                key.name.iter_mut().for_each(|name| self.defined_ident(name));
                key.columns.iter_mut().for_each(|column| self.defined_ident(column));
                key.referred_columns.iter_mut().for_each(|column| self.defined_ident(column));
                self.table_name(&mut key.foreign_table, scope);
            }
            TableConstraint::Check(check) => self.condition(&mut check.expr, scope),
            _ => {}
        }
    }

    fn index_columns(&mut self, columns: &mut [IndexColumn]) {
        for column in columns {
            if let Expr::Identifier(ident) = &mut column.column.expr {
                self.defined_ident(ident);
            } else if let Expr::Function(function) = &column.column.expr
                && self.stage == Stage::ToPostgres
                && self.source == Source::MySql
            {
                // name(10): the prefix of a key.
                let ident = function.name.0.first().and_then(|part| part.as_ident().cloned());
                column.column.expr = ident.map_or_else(build::null, Expr::Identifier);
                self.did("storage-options-dropped");
                if let Expr::Identifier(ident) = &mut column.column.expr {
                    self.defined_ident(ident);
                }
            }
        }
    }

    /// CREATE INDEX: its keys sort NULLs as the source does.
    pub fn create_index(&mut self, index: &mut CreateIndex) {
        let scope = Scope::default();
        index.name.iter_mut().filter_map(last_mut).for_each(|name| self.defined_ident(name));
        self.table_name(&mut index.table_name, &scope);
        for column in &mut index.columns {
            self.expr(&mut column.column.expr, &scope);
            if !self.idiomatic {
                self.nulls(&mut column.column, Ty::Unknown, &scope);
            }
        }
        if let Some(predicate) = &mut index.predicate {
            self.condition(predicate, &scope);
        }
    }

    /// ALTER TABLE.
    pub fn alter_table(&mut self, alter: &mut AlterTable) {
        self.defined_name(&mut alter.name);
        for operation in &mut alter.operations {
            match operation {
                AlterTableOperation::AddColumn { column_def, column_position, .. } => match self.stage {
                    Stage::ToPostgres if self.source != Source::Postgres => {
                        self.column(column_def);
                        *column_position = None;
                    }
                    Stage::FromPostgres(target) => self.column_from_postgres(column_def, target),
                    Stage::ToPostgres => {}
                },
                AlterTableOperation::DropColumn { column_names, .. } => {
                    column_names.iter_mut().for_each(|name| self.defined_ident(name));
                }
                AlterTableOperation::AddConstraint { constraint, .. } => {
                    self.constraint_names(constraint, &Scope::default());
                }
                AlterTableOperation::ModifyColumn { col_name, data_type, .. } if self.stage == Stage::ToPostgres => {
                    let mut name = col_name.clone();
                    self.defined_ident(&mut name);
                    let data_type = self.plain_type(data_type).unwrap_or_else(|| data_type.clone());
                    *operation = AlterTableOperation::AlterColumn {
                        column_name: name,
                        op: sqlparser::ast::AlterColumnOperation::SetDataType {
                            data_type,
                            using: None,
                            had_set: false,
                        },
                    };
                    self.did("modify-column");
                }
                _ => {}
            }
        }
    }

    /// The name of a table or column where it is defined: the case it is quoted with counts.
    fn defined_name(&mut self, name: &mut sqlparser::ast::ObjectName) {
        if let Some(ident) = last_mut(name) {
            self.defined_ident(ident);
        }
    }

    pub(super) fn defined_ident(&mut self, ident: &mut Ident) {
        if self.stage == Stage::ToPostgres && self.source != Source::Postgres && ident.quote_style.is_some() {
            let name = crate::sql::Name::new(ident.value.clone(), true);
            self.spell(ident, Some(&name));
        } else {
            self.spell(ident, None);
        }
    }
}

fn plain(option: ColumnOption) -> ColumnOptionDef {
    ColumnOptionDef { name: None, option }
}
