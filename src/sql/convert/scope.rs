//! What names mean at one place of a statement while it is rewritten: relations in FROM with the types of their
//! columns, the aliases of the SELECT list, and the queries around.

use std::rc::Rc;

use sqlparser::ast::{Expr, Ident};

use super::Source;
use super::value_type::Ty;
use crate::sql::schema::{Name, Table, same};

/// The columns of something in FROM.
#[derive(Debug, Clone)]
pub(super) enum Columns<'s> {
    /// Not known.
    Open,
    /// Those of a table of the schema.
    Table(&'s Table),
    /// Those of a query, with their types.
    Query(Rc<Vec<(Ident, Ty)>>),
}

/// Something that stands in FROM.
#[derive(Debug, Clone)]
pub(super) struct Relation<'s> {
    /// The name it goes by.
    pub name: Ident,
    /// Its columns.
    pub columns: Columns<'s>,
    /// Whether an outer join may fill it with NULL.
    pub nullable: bool,
}

/// An alias of the SELECT list.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    /// The alias as it is written in the target.
    pub name: Ident,
    /// What it stands for, in the target's words.
    pub expr: Expr,
    /// Its type.
    pub ty: Ty,
}

/// The names visible in one SELECT.
#[derive(Debug, Default)]
pub(super) struct Scope<'p, 's> {
    /// The scope of the query around.
    pub outer: Option<&'p Scope<'p, 's>>,
    /// FROM.
    pub relations: Vec<Relation<'s>>,
    /// The aliases seen so far.
    pub aliases: Vec<Alias>,
    /// The common table expressions in sight, the nearest last.
    pub ctes: Vec<(String, Columns<'s>)>,
}

/// A column that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// How many scopes further out.
    pub level: usize,
    /// Its relation's place in FROM.
    pub relation: usize,
    /// How the schema writes it.
    pub name: Option<&'a Name>,
    /// How the query that made it writes it.
    pub ident: Option<&'a Ident>,
    /// Its type.
    pub ty: Ty,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl<'p, 's> Scope<'p, 's> {
    /// An empty scope inside `outer`.
    pub fn inside(outer: Option<&'p Scope<'p, 's>>) -> Self {
        Self { outer, ..Self::default() }
    }

    /// The columns of a common table expression.
    pub fn cte(&self, name: &str) -> Option<&Columns<'s>> {
        let here = self.ctes.iter().rev().find(|(known, _)| same(known, name)).map(|(_, columns)| columns);
        here.or_else(|| self.outer.and_then(|outer| outer.cte(name)))
    }

    /// The column of this name, owned by `owner` if given; nearest scope first.
    pub fn column(&self, owner: Option<&str>, name: &str, source: Source) -> Option<Found<'_>> {
        let mut scope = Some(self);
        let mut level = 0;
        while let Some(here) = scope {
            for (at, relation) in here.relations.iter().enumerate() {
                if owner.is_some_and(|owner| !same(&relation.name.value, owner)) {
                    continue;
                }
                if let Some(mut found) = relation.column(name, source) {
                    found.level = level;
                    found.relation = at;
                    return Some(found);
                }
                if owner.is_some() {
                    return None;
                }
            }
            scope = here.outer;
            level += 1;
        }
        None
    }

    /// Whether a name that is not found might still be a column.
    pub fn is_open(&self) -> bool {
        let open = |relation: &Relation<'_>| match &relation.columns {
            Columns::Open => true,
            Columns::Table(table) => !table.columns_known,
            Columns::Query(_) => false,
        };
        self.relations.iter().any(open) || self.outer.is_some_and(|outer| outer.is_open())
    }

    /// The relation of this name.
    pub fn relation(&self, name: &str) -> Option<&Relation<'s>> {
        let here = self.relations.iter().find(|relation| same(&relation.name.value, name));
        here.or_else(|| self.outer.and_then(|outer| outer.relation(name)))
    }

    /// The alias of this name in this SELECT.
    pub fn alias(&self, name: &str) -> Option<&Alias> {
        self.aliases.iter().find(|alias| same(&alias.name.value, name))
    }
}

impl Relation<'_> {
    fn column(&self, name: &str, source: Source) -> Option<Found<'_>> {
        let mut found = Found { level: 0, relation: 0, name: None, ident: None, ty: Ty::Unknown, nullable: true };
        match &self.columns {
            Columns::Open => None,
            Columns::Table(table) => {
                let column = table.column(name)?;
                found.name = Some(&column.name);
                found.ty = Ty::of_column(column.data_type.as_deref(), source);
                let key = table.primary_key.contains(&column.name);
                found.nullable = self.nullable || !(key || column.not_null);
                Some(found)
            }
            Columns::Query(columns) => {
                let (ident, ty) = columns.iter().find(|(ident, _)| same(&ident.value, name))?;
                found.ident = Some(ident);
                found.ty = *ty;
                Some(found)
            }
        }
    }
}
