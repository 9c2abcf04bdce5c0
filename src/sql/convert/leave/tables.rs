//! Tables and the rows in them for MySQL, SQLite and Oracle.

use sqlparser::ast::{
    AssignmentTarget, CharacterLength, ColumnDef, ColumnOption, ColumnOptionDef, DataType, Delete, ExactNumberInfo,
    Expr, FromTable, Insert, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OnConflict,
    OnConflictAction, OnInsert, Update, UpdateTableFromKind, Value,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

use super::casts::oracle_type;
use crate::sql::convert::build;
use crate::sql::convert::changes::shown;
use crate::sql::convert::{Rewriter, Target};
use crate::sql::schema::{Table, same};

impl Rewriter<'_> {
    /// A column of CREATE TABLE.
    pub fn column_from_postgres(&mut self, column: &mut ColumnDef, target: Target) {
        self.defined_ident(&mut column.name);
        let serial = matches!(&column.data_type, DataType::Custom(name, _) if name.to_string().to_ascii_uppercase().contains("SERIAL"));
        let identity = serial
            || column
                .options
                .iter()
                .any(|option| matches!(&option.option, ColumnOption::Generated { generation_expr: None, .. }));
        if serial {
            column.data_type = DataType::Int(None);
        }
        let wanted = match target {
            Target::MySql => mysql_type(&column.data_type),
            Target::Sqlite => sqlite_type(&column.data_type),
            Target::Oracle => oracle_type(&column.data_type),
            Target::Postgres => None,
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != column.data_type) {
            column.data_type = wanted;
            self.did("column-types");
        }
        if !identity || target == Target::Oracle {
            return;
        }
        column
            .options
            .retain(|option| !matches!(&option.option, ColumnOption::Generated { generation_expr: None, .. }));
        let words = |text: &str, keyword| {
            let word = Word { value: text.to_owned(), quote_style: None, keyword };
            ColumnOptionDef { name: None, option: ColumnOption::DialectSpecific(vec![Token::Word(word)]) }
        };
        match target {
            Target::MySql => column.options.push(words("AUTO_INCREMENT", Keyword::AUTO_INCREMENT)),
            _ => {
                // SQLite numbers INTEGER PRIMARY KEY by itself.
                column.data_type = DataType::Integer(None);
            }
        }
        self.did("identity");
    }

    /// INSERT … ON CONFLICT.
    pub fn insert_from_postgres(&mut self, insert: &mut Insert, _table: Option<&Table>, target: Target) {
        if target == Target::Sqlite {
            return;
        }
        let Some(OnInsert::OnConflict(OnConflict { action, .. })) = &mut insert.on else { return };
        if target == Target::Oracle {
            self.warn("Oracle says ON CONFLICT by MERGE");
            return;
        }
        match action {
            OnConflictAction::DoNothing => {
                insert.ignore = true;
                insert.on = None;
                self.did("insert-ignore");
            }
            OnConflictAction::DoUpdate(update) if update.selection.is_none() => {
                let mut assignments = std::mem::take(&mut update.assignments);
                for assignment in &mut assignments {
                    values_of_new_row(&mut assignment.value);
                }
                insert.on = Some(OnInsert::DuplicateKeyUpdate(assignments));
                self.did("on-duplicate-key");
            }
            OnConflictAction::DoUpdate(_) => self.warn("MySQL has no ON CONFLICT … WHERE"),
        }
    }

    /// UPDATE … FROM.
    pub fn update_from_postgres(&mut self, update: &mut Update, target: Target) {
        if target == Target::MySql
            && let Some(UpdateTableFromKind::AfterSet(from)) = update.from.take_if(|from| matches!(from, UpdateTableFromKind::AfterSet(items) if items.iter().all(|item| item.joins.is_empty())))
        {
            // The tables are joined first; the columns that are set say whose they are.
            if let Some(owner) = shown(&update.table.relation) {
                for assignment in &mut update.assignments {
                    if let AssignmentTarget::ColumnName(name) = &mut assignment.target
                        && name.0.len() == 1
                    {
                        name.0.insert(0, ObjectNamePart::Identifier(owner.clone()));
                    }
                }
            }
            let all = || JoinConstraint::On(build::value(Value::Boolean(true)));
            update.table.joins.extend(from.into_iter().map(|item| Join {
                relation: item.relation,
                global: false,
                join_operator: JoinOperator::Join(all()),
            }));
            self.did("update-join");
        }
        if update.from.is_some() && target != Target::Sqlite {
            self.warn(&format!("{} has no UPDATE … FROM", target.name()));
        }
        if update.returning.is_some() && target == Target::MySql {
            self.warn("MySQL has no RETURNING");
        }
    }

    /// DELETE … USING.
    pub fn delete_from_postgres(&mut self, delete: &mut Delete, target: Target) {
        if target == Target::MySql
            && let Some(using) = delete.using.take_if(|items| items.iter().all(|item| item.joins.is_empty()))
        {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &mut delete.from;
            if let Some(first) = from.first_mut()
                && let Some(owner) = shown(&first.relation)
            {
                delete.tables = vec![ObjectName::from(vec![owner])];
                first.joins.extend(using.into_iter().map(|item| Join {
                    relation: item.relation,
                    global: false,
                    join_operator: JoinOperator::Join(JoinConstraint::On(build::value(Value::Boolean(true)))),
                }));
                self.did("delete-join");
            }
        }
        if delete.using.is_some() && target != Target::MySql {
            self.warn(&format!("{} has no DELETE … USING", target.name()));
        }
    }
}

/// EXCLUDED.a is VALUES(a).
fn values_of_new_row(expr: &mut Expr) {
    use std::ops::ControlFlow;
    let _ = crate::sql::walk::visit_expressions_mut(expr, |expr| {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [owner, column] = parts.as_slice()
            && same(&owner.value, "excluded")
        {
            *expr = build::call("VALUES", vec![Expr::Identifier(column.clone())]);
        }
        ControlFlow::Continue(())
    });
}

fn mysql_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::Timestamp(..) => D::Datetime(None),
        D::DoublePrecision | D::Float8 => D::Double(ExactNumberInfo::None),
        D::Real | D::Float4 => D::Float(ExactNumberInfo::None),
        D::Bytea => D::Blob(None),
        D::JSONB => D::JSON,
        D::Uuid => D::Char(Some(CharacterLength::IntegerLength { length: 36, unit: None })),
        D::Varchar(None) | D::CharacterVarying(None) => D::Text,
        D::CharacterVarying(Some(length)) => D::Varchar(Some(*length)),
        D::Array(_) => D::JSON,
        _ => return None,
    })
}

fn sqlite_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::DoublePrecision | D::Float8 | D::Float4 => D::Real,
        D::Varchar(_) | D::CharacterVarying(_) | D::Char(_) | D::Character(_) | D::Uuid | D::JSON | D::JSONB => D::Text,
        D::SmallInt(_) | D::BigInt(_) | D::Int(_) | D::Int2(_) | D::Int4(_) | D::Int8(_) => D::Integer(None),
        D::Bytea => D::Blob(None),
        D::Array(_) => D::Text,
        _ => return None,
    })
}
