//! What names mean at one place of a statement: the relations in FROM, around them those of the enclosing queries.

use crate::sql::schema::same;

/// The columns of a relation.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// Not known: any name may be one.
    Open,
    /// All of them, in order; each under every name that some dialect gives it.
    Known(Vec<Vec<String>>),
}

/// Something that stands in FROM.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The name it goes by here.
    pub name: String,
    /// The table's own name, where it is one.
    pub table: Option<String>,
    /// Its columns.
    pub columns: Columns,
}

/// The names visible in one SELECT.
#[derive(Debug, Default)]
pub(super) struct Scope<'p> {
    /// The scope of the enclosing query.
    pub outer: Option<&'p Scope<'p>>,
    /// FROM.
    pub relations: Vec<Relation>,
    /// The aliases that the SELECT list gives.
    pub aliases: Vec<String>,
    /// Columns that USING or NATURAL made one.
    pub merged: Vec<String>,
    /// Whether a name in two relations is no fault (ORDER BY behind UNION sees all arms).
    pub lenient: bool,
}

/// What a bare column name was found to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A column, or possibly one.
    Yes,
    /// A column of each of these relations.
    Ambiguous(Vec<String>),
    /// Nothing.
    No,
}

impl Columns {
    /// Known columns with one name each.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Known(names.into_iter().map(|name| vec![name.to_owned()]).collect())
    }

    /// Whether a column of this name is or may be among them.
    pub fn may_have(&self, name: &str) -> bool {
        self.has(name).unwrap_or(true)
    }

    /// Whether a column of this name is among them; none: not known.
    pub fn has(&self, name: &str) -> Option<bool> {
        match self {
            Self::Open => None,
            Self::Known(columns) => Some(columns.iter().flatten().any(|known| same(known, name))),
        }
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let known = if let Self::Known(columns) = self { columns.as_slice() } else { &[] };
        known.iter().flatten().map(String::as_str)
    }

    /// The columns under the names that an alias list gives the first of them.
    pub fn renamed(self, names: &[String]) -> Self {
        match self {
            Self::Known(mut columns) => {
                for (column, name) in columns.iter_mut().zip(names) {
                    *column = vec![name.clone()];
                }
                Self::Known(columns)
            }
            Self::Open if names.is_empty() => Self::Open,
            Self::Open => Self::named(names.iter().map(String::as_str)),
        }
    }
}

impl<'p> Scope<'p> {
    /// An empty scope inside `outer`.
    pub fn inside(outer: Option<&'p Scope<'p>>) -> Self {
        Self { outer, ..Self::default() }
    }

    /// The relation that goes by this name here or further out.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        let here = self.relations.iter().find(|relation| same(&relation.name, name));
        here.or_else(|| self.outer.and_then(|outer| outer.relation(name)))
    }

    /// What the bare name of a column means; `aliases`: whether this SELECT's output aliases count.
    pub fn column(&self, name: &str, aliases: bool) -> Found {
        if aliases && self.aliases.iter().any(|alias| same(alias, name)) {
            return Found::Yes;
        }
        let holders: Vec<&Relation> = self.relations.iter().filter(|r| r.columns.has(name) == Some(true)).collect();
        let merged = self.lenient || self.merged.iter().any(|column| same(column, name));
        match holders.as_slice() {
            [_] => return Found::Yes,
            [] => {}
            _ if merged => return Found::Yes,
            several => return Found::Ambiguous(several.iter().map(|relation| relation.name.clone()).collect()),
        }
        let open = self.relations.iter().any(|relation| matches!(relation.columns, Columns::Open));
        // The name of a relation may stand for its whole row (PostgreSQL) or its search column (SQLite).
        if open || self.relations.iter().any(|relation| same(&relation.name, name)) {
            return Found::Yes;
        }
        self.outer.map_or(Found::No, |outer| outer.column(name, true))
    }

    /// Every column name in sight.
    pub fn all_columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.relations.iter().flat_map(|relation| relation.columns.names()).collect();
        names.extend(self.outer.iter().flat_map(|outer| outer.all_columns()));
        names
    }

    /// Every relation in sight.
    pub fn all_relations(&self) -> Vec<&Relation> {
        let mut relations: Vec<&Relation> = self.relations.iter().collect();
        relations.extend(self.outer.iter().flat_map(|outer| outer.all_relations()));
        relations
    }
}
