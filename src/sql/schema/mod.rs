//! The schema of a database as prompts show it and as checks use it: tables, columns, keys, comments.
//!
//! [`Schema::parse`] reads CREATE TABLE text as people and dumps write it; [`Schema::to_ddl`] writes one canonical line
//! per table, and reading that gives the same schema again. What only concerns storage (engines, collations, indexes,
//! auto-increment, ON DELETE actions) is not kept.

mod cursor;
mod name;
mod prune;
mod read;
mod statement;
mod styles;
#[cfg(test)]
mod tests;
mod write;

pub use name::Name;
pub(in crate::sql) use name::same;
pub use styles::{Samples, Style};

use super::Dialect;
use crate::error::Result;

/// The tables of a database, in the order of their text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    dialect: Dialect,
    tables: Vec<Table>,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The namespace it was qualified with, if any.
    pub namespace: Option<Name>,
    /// Its name.
    pub name: Name,
    /// Its columns, in order. Of a view: those that its text names.
    pub columns: Vec<Column>,
    /// The columns of the primary key.
    pub primary_key: Vec<Name>,
    /// The other keys, each a list of columns.
    pub unique: Vec<Vec<Name>>,
    /// What refers to other tables.
    pub foreign_keys: Vec<ForeignKey>,
    /// CHECK conditions of the whole table.
    pub checks: Vec<String>,
    /// The query behind a view (or CREATE TABLE … AS); its columns may then be unknown.
    pub query: Option<String>,
    /// Whether `columns` is all there is: false for views whose columns their text does not name.
    pub columns_known: bool,
    /// A remark for the reader.
    pub comment: Option<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Column {
    /// Its name.
    pub name: Name,
    /// Its type, words in upper case; none where the text gives none.
    pub data_type: Option<String>,
    /// NOT NULL.
    pub not_null: bool,
    /// The DEFAULT expression.
    pub default: Option<String>,
    /// The CHECK condition.
    pub check: Option<String>,
    /// A remark for the reader.
    pub comment: Option<String>,
}

/// A reference to another table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForeignKey {
    /// The referring columns.
    pub columns: Vec<Name>,
    /// The table referred to.
    pub table: Name,
    /// Its columns; empty: its primary key.
    pub references: Vec<Name>,
}

impl Schema {
    /// Reads CREATE TABLE, CREATE VIEW, ALTER TABLE … ADD and COMMENT ON statements; every other statement (INSERTs
    /// beside the DDL, SET, indexes) is skipped. A table that comes twice is merged, a column that comes twice is kept
    /// once. Text without any table is an error.
    pub fn parse(ddl: &str, dialect: Dialect) -> Result<Self> {
        read::schema(ddl, dialect)
    }

    /// A schema made of tables, with the merging of [`Schema::parse`].
    pub fn from_tables(dialect: Dialect, tables: impl IntoIterator<Item = Table>) -> Self {
        let mut schema = Self { dialect, tables: Vec::new() };
        for table in tables {
            schema.add(table);
        }
        schema
    }

    /// The canonical text: one statement per table on a line of its own, each ending in `;`.
    pub fn to_ddl(&self) -> String {
        write::ddl(self)
    }

    /// The tables and views.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The dialect whose quotes the text uses.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The table of this name, compared without regard to case; a dotted name is looked up by its last part too.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.is(name))
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.name.is(name))
    }

    /// Adds a table, merging it into one of the same name and namespace.
    pub(super) fn add(&mut self, table: Table) {
        let mut table = table;
        table.columns = table.columns.into_iter().fold(Vec::new(), |mut columns, column| {
            if !columns.iter().any(|known: &Column| known.name.is(column.name.text())) {
                columns.push(column);
            }
            columns
        });
        statement::table_body::normalise(&mut table);
        let same = |known: &Table| known.name.is(table.name.text()) && known.namespace == table.namespace;
        match self.tables.iter().position(same) {
            Some(at) => {
                self.tables[at].merge(table);
                statement::table_body::normalise(&mut self.tables[at]);
            }
            None => self.tables.push(table),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.tables.retain(|table| !table.name.is(name));
    }
}

impl Table {
    /// A table of this name without columns.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Name::new(name, false), columns_known: true, ..Self::default() }
    }

    /// The column of this name, compared without regard to case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.is(name))
    }

    /// Writes every name anew.
    pub fn rename(&mut self, new: impl Fn(&Name) -> Name) {
        let own = self
            .namespace
            .iter_mut()
            .chain([&mut self.name])
            .chain(self.columns.iter_mut().map(|column| &mut column.name));
        let keys = self.primary_key.iter_mut().chain(self.unique.iter_mut().flatten());
        let foreign = self
            .foreign_keys
            .iter_mut()
            .flat_map(|key| key.columns.iter_mut().chain([&mut key.table]).chain(&mut key.references));
        own.chain(keys).chain(foreign).for_each(|name| *name = new(name));
    }

    fn merge(&mut self, other: Self) {
        for column in other.columns {
            if self.column(column.name.text()).is_none() {
                self.columns.push(column);
            }
        }
        if self.primary_key.is_empty() {
            self.primary_key = other.primary_key;
        }
        for key in other.unique {
            if !self.unique.contains(&key) {
                self.unique.push(key);
            }
        }
        for key in other.foreign_keys {
            if !self.foreign_keys.contains(&key) {
                self.foreign_keys.push(key);
            }
        }
        for check in other.checks {
            if !self.checks.contains(&check) {
                self.checks.push(check);
            }
        }
        self.columns_known &= other.columns_known;
        self.query = self.query.take().or(other.query);
        self.comment = self.comment.take().or(other.comment);
    }
}

impl Column {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, data_type: Option<String>) -> Self {
        Self { name: Name::new(name, false), data_type, ..Self::default() }
    }
}
