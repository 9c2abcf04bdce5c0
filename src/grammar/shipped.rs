//! The grammars that come with the program (`grammars/`), by the name that a manifest's `grammar_type` gives them.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("sql-postgres", include_str!("../../grammars/sql-postgres.gbnf")),
    ("sql-sqlite", include_str!("../../grammars/sql-sqlite.gbnf")),
    ("sql-mysql", include_str!("../../grammars/sql-mysql.gbnf")),
    ("json", include_str!("../../grammars/json.gbnf")),
    ("cypher", include_str!("../../grammars/cypher.gbnf")),
];

/// The text of a shipped grammar; the suffix `.gbnf` may be given.
pub fn shipped(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".gbnf").unwrap_or(name);
    SHIPPED.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}
