//! Foreign keys of a text with several CREATE TABLE: SQLite takes what PostgreSQL refuses. A key of a table that comes
//! later is added behind the tables; one that PostgreSQL cannot have (no key on the other side, types that do not
//! compare) is left out and reported. SQLite does not enforce foreign keys unless asked to, so results stay.

use sqlparser::ast::{
    ColumnOption, CreateTable, DataType, Expr, ForeignKeyConstraint, Ident, Statement, TableConstraint,
};

use super::value_type::Ty;
use super::walk::{last, same_ident};
use super::{Rewriter, Source};

/// What the keys are checked against: a table of the text.
struct Known {
    name: Ident,
    columns: Vec<(Ident, Ty)>,
    primary: Vec<Ident>,
    unique: Vec<Vec<Ident>>,
}

/// What becomes of a foreign key.
enum Fate {
    Stays,
    Later,
    Goes(&'static str),
}

impl Rewriter<'_> {
    /// Mends the foreign keys of a text whose tables are rewritten already.
    pub fn foreign_keys(&mut self, statements: &mut Vec<Statement>) {
        let known: Vec<Known> = statements.iter().filter_map(created).map(describe).collect();
        if known.len() < 2 {
            return;
        }
        let mut behind = Vec::new();
        let mut place = 0;
        for statement in statements.iter_mut() {
            let Statement::CreateTable(table) = statement else { continue };
            let at = place;
            place += 1;
            let mut constraints = Vec::with_capacity(table.constraints.len());
            for constraint in std::mem::take(&mut table.constraints) {
                let TableConstraint::ForeignKey(key) = &constraint else {
                    constraints.push(constraint);
                    continue;
                };
                match fate(key, &key.columns, at, &known) {
                    Fate::Stays => constraints.push(constraint),
                    Fate::Later => behind.push(format!("ALTER TABLE {} ADD {key}", table.name)),
                    Fate::Goes(why) => self.key_goes(&table.name.to_string(), key, why),
                }
            }
            table.constraints = constraints;
            let name = table.name.to_string();
            for column in &mut table.columns {
                let own = [column.name.clone()];
                let mut gone = Vec::new();
                column.options.retain(|option| {
                    let ColumnOption::ForeignKey(key) = &option.option else { return true };
                    match fate(key, &own, at, &known) {
                        Fate::Stays => true,
                        Fate::Later => {
                            let key = ForeignKeyConstraint { columns: own.to_vec(), ..key.clone() };
                            behind.push(format!("ALTER TABLE {name} ADD {key}"));
                            false
                        }
                        Fate::Goes(why) => {
                            gone.push((key.clone(), why));
                            false
                        }
                    }
                });
                gone.iter().for_each(|(key, why)| self.key_goes(&name, key, why));
            }
        }
        for text in behind {
            if let Ok(added) = crate::sql::parse(&text, Source::Postgres.dialect()) {
                statements.extend(added);
                self.did("foreign-keys-behind-tables");
            }
        }
    }

    fn key_goes(&mut self, table: &str, key: &ForeignKeyConstraint, why: &str) {
        self.did("foreign-keys-dropped");
        self.warn(&format!("the foreign key of {table} to {} is left out: {why}", key.foreign_table));
    }
}

fn created(statement: &Statement) -> Option<&CreateTable> {
    match statement {
        Statement::CreateTable(table) => Some(table),
        _ => None,
    }
}

fn describe(table: &CreateTable) -> Known {
    let ty = |data_type: &DataType| Ty::of_column(Some(&data_type.to_string()), Source::Postgres);
    let names = |columns: &[sqlparser::ast::IndexColumn]| -> Vec<Ident> {
        let name = |column: &sqlparser::ast::IndexColumn| match &column.column.expr {
            Expr::Identifier(ident) => Some(ident.clone()),
            _ => None,
        };
        columns.iter().filter_map(name).collect()
    };
    let mut known = Known {
        name: last(&table.name).cloned().unwrap_or_else(|| Ident::new("")),
        columns: table.columns.iter().map(|column| (column.name.clone(), ty(&column.data_type))).collect(),
        primary: Vec::new(),
        unique: Vec::new(),
    };
    for column in &table.columns {
        for option in &column.options {
            match &option.option {
                ColumnOption::PrimaryKey(_) => known.primary = vec![column.name.clone()],
                ColumnOption::Unique(_) => known.unique.push(vec![column.name.clone()]),
                _ => {}
            }
        }
    }
    for constraint in &table.constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => known.primary = names(&key.columns),
            TableConstraint::Unique(key) => known.unique.push(names(&key.columns)),
            _ => {}
        }
    }
    known
}

fn fate(key: &ForeignKeyConstraint, columns: &[Ident], at: usize, known: &[Known]) -> Fate {
    let Some(name) = last(&key.foreign_table) else { return Fate::Stays };
    let Some(other) = known.iter().position(|table| same_ident(&table.name, name)) else {
        return Fate::Goes("the text does not create that table");
    };
    let target = &known[other];
    let referred = if key.referred_columns.is_empty() { &target.primary } else { &key.referred_columns };
    if referred.len() != columns.len() || referred.is_empty() {
        return Fate::Goes("the columns of both sides do not pair");
    }
    let same_set = |list: &[Ident]| {
        list.len() == referred.len() && referred.iter().all(|name| list.iter().any(|own| same_ident(own, name)))
    };
    if !same_set(&target.primary) && !target.unique.iter().any(|list| same_set(list)) {
        return Fate::Goes("its columns are no key there");
    }
    let ty =
        |table: &Known, name: &Ident| table.columns.iter().find(|(own, _)| same_ident(own, name)).map(|(_, ty)| *ty);
    let compares = columns.iter().zip(referred).all(|(own, theirs)| match (ty(&known[at], own), ty(target, theirs)) {
        (Some(a), Some(b)) => a == b || a.is_number() && b.is_number() || a.is_temporal() && b.is_temporal(),
        _ => false,
    });
    match compares {
        false => Fate::Goes("its types do not compare"),
        true if other > at => Fate::Later,
        true => Fate::Stays,
    }
}
