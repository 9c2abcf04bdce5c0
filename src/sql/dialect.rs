//! The dialects that are spoken here and what differs between them lexically.

use sqlparser::dialect as parser;

/// A SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// PostgreSQL, the default.
    #[default]
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
    /// No particular one: the most permissive reading.
    Generic,
}

impl Dialect {
    /// The dialect that flags, manifests and data sets mean by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" | "pg" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" | "sqlite3" => Some(Self::Sqlite),
            "sql" | "generic" | "ansi" => Some(Self::Generic),
            _ => None,
        }
    }

    /// The name shown in prompts and taken by `--dialect`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
            Self::Generic => "sql",
        }
    }

    /// What `sqlparser` calls it.
    pub(super) fn parser(self) -> &'static dyn parser::Dialect {
        match self {
            Self::Postgres => &parser::PostgreSqlDialect {},
            Self::MySql => &parser::MySqlDialect {},
            Self::Sqlite => &parser::SQLiteDialect {},
            Self::Generic => &parser::GenericDialect {},
        }
    }

    /// The quote around names that need one.
    pub fn name_quote(self) -> char {
        if self == Self::MySql { '`' } else { '"' }
    }

    /// Whether `"x"` is a string where it is no name (SQLite falls back to it, MySQL always reads it so).
    pub(super) fn double_quotes_may_be_strings(self) -> bool {
        self != Self::Postgres
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Generic] {
            assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
        }
        assert_eq!(Dialect::from_name("PostgreSQL"), Some(Dialect::Postgres));
        assert_eq!(Dialect::from_name("cypher"), None);
    }
}
