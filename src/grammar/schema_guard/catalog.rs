//! The tables of a schema by their names' numbers.

use std::collections::HashMap;

use super::frames::{Frames, ListId};
use super::names::{NONE, NameId, Names};
use crate::sql::{Dialect, Schema};

/// A table: its namespace where it must be written, its name, its columns.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub namespace: NameId,
    pub name: NameId,
    pub columns: ListId,
}

/// All tables.
#[derive(Debug)]
pub struct Catalog {
    pub tables: Vec<Table>,
    /// Every column of every table, once.
    pub columns: Vec<NameId>,
    by_column: HashMap<NameId, Vec<usize>>,
    /// Namespaces that may be written in front of every table: `main`, `public`.
    pub default_namespace: NameId,
}

impl Catalog {
    pub fn new(schema: &Schema, dialect: Dialect, names: &mut Names, frames: &mut Frames) -> Self {
        let default_namespace = names.intern(if dialect == Dialect::Postgres { "public" } else { "main" });
        let mut tables: Vec<Table> = Vec::new();
        let (mut columns, mut by_column) = (Vec::new(), HashMap::<NameId, Vec<usize>>::new());
        // Whether its case counts where a dialect folds names: SQLite's own text has no quotes for that alone.
        let quoted = |name: &crate::sql::Name| name.to_sql(Dialect::Postgres).starts_with('"');
        for table in schema.tables() {
            let own: Vec<NameId> =
                table.columns.iter().map(|c| names.of_schema(c.name.text(), quoted(&c.name))).collect();
            let name = names.of_schema(table.name.text(), quoted(&table.name));
            let namespace = table.namespace.as_ref().map_or(NONE, |n| names.of_schema(n.text(), quoted(n)));
            let namespace = if namespace == default_namespace { NONE } else { namespace };
            for column in &own {
                by_column.entry(*column).or_default().push(tables.len());
            }
            columns.extend_from_slice(&own);
            tables.push(Table { namespace, name, columns: frames.list(&own) });
        }
        columns.sort_unstable();
        columns.dedup();
        Self { tables, columns, by_column, default_namespace }
    }

    /// The tables that have a column.
    pub fn with_column(&self, column: NameId) -> impl Iterator<Item = &Table> {
        self.by_column.get(&column).into_iter().flatten().map(|at| &self.tables[*at])
    }

    /// Whether some table has all of these columns.
    pub fn has_all(&self, columns: &[NameId], frames: &Frames) -> bool {
        match columns {
            [] => !self.tables.is_empty(),
            [first, rest @ ..] => {
                self.with_column(*first).any(|table| rest.iter().all(|c| frames.names(table.columns).contains(c)))
            }
        }
    }
}
