//! Names of tables and columns, and when they need quotes.

use std::fmt::Write as _;

use super::super::Dialect;

/// A name as it is written in the canonical text: quoted only where it must be, so that two spellings of the same name
/// are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Name {
    text: String,
    quotes: Quotes,
}

/// Where a name needs quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
enum Quotes {
    #[default]
    Never,
    /// Where a name without them would fold to lower case: it was written with capitals behind quotes.
    WhereCaseCounts,
    Always,
}

/// Words that some dialect takes nowhere as a bare name.
const RESERVED: [&str; 78] = [
    "add",
    "all",
    "alter",
    "and",
    "any",
    "as",
    "asc",
    "autoincrement",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "commit",
    "constraint",
    "create",
    "cross",
    "default",
    "deferrable",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "false",
    "for",
    "foreign",
    "from",
    "full",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "key",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "nothing",
    "notnull",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "set",
    "table",
    "then",
    "to",
    "transaction",
    "true",
    "union",
    "unique",
    "update",
    "using",
    "values",
    "when",
    "where",
];

impl Name {
    /// A name; `quoted` says whether its source had quotes around it, which matters for upper-case letters only.
    pub fn new(text: impl Into<String>, quoted: bool) -> Self {
        let text = text.into();
        let mut chars = text.chars();
        let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let reserved = RESERVED.iter().any(|word| word.eq_ignore_ascii_case(&text));
        let quotes = match () {
            () if !plain || reserved => Quotes::Always,
            () if quoted && text.chars().any(char::is_uppercase) => Quotes::WhereCaseCounts,
            () => Quotes::Never,
        };
        Self { text, quotes }
    }

    /// The name without quotes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it means `other`, without regard to case.
    pub fn is(&self, other: &str) -> bool {
        same(&self.text, other)
    }

    /// The name as SQL.
    pub fn to_sql(&self, dialect: Dialect) -> String {
        let mut sql = String::with_capacity(self.text.len() + 2);
        self.write(&mut sql, dialect);
        sql
    }

    pub(super) fn write(&self, sql: &mut String, dialect: Dialect) {
        let bare = match self.quotes {
            Quotes::Never => true,
            // Neither SQLite nor MySQL folds names; a dialect that is not known may.
            Quotes::WhereCaseCounts => matches!(dialect, Dialect::Sqlite | Dialect::MySql),
            Quotes::Always => false,
        };
        if bare {
            sql.push_str(&self.text);
            return;
        }
        let quote = dialect.name_quote();
        sql.push(quote);
        for c in self.text.chars() {
            if c == quote {
                sql.push(quote);
            }
            sql.push(c);
        }
        let _ = sql.write_char(quote);
    }
}

/// Whether two names mean the same, without regard to case.
pub(in crate::sql) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stand_only_where_they_must() {
        for (name, quoted, sql) in [
            ("users", true, "users"),
            ("Users", false, "Users"),
            ("Users", true, "Users"),
            ("Home Town", true, "\"Home Town\""),
            ("2020", false, "\"2020\""),
            ("order", false, "\"order\""),
            ("a\"b", true, "\"a\"\"b\""),
            ("größe", false, "\"größe\""),
        ] {
            assert_eq!(Name::new(name, quoted).to_sql(Dialect::Sqlite), sql);
        }
        assert_eq!(Name::new("Users", true).to_sql(Dialect::Postgres), "\"Users\"");
        assert_eq!(Name::new("Users", false).to_sql(Dialect::Postgres), "Users");
        assert_eq!(Name::new("a`b", true).to_sql(Dialect::MySql), "`a``b`");
        assert!(Name::new("GRÖSSE", true).is("grösse"));
    }
}
