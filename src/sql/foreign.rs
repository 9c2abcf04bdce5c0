//! What data sets of SQL hold that is no SQL: Cypher, SPARQL, nGQL, Gremlin, MongoDB calls, JSON, prose. Asked about texts
//! that do not parse, and about the few statements that prose happens to parse as (`SHOW me the users`). WITH, casts
//! and DESCRIBE are SQL.

use sqlparser::ast::Statement;

/// Words that SQL statements begin with, in any dialect.
const STARTS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DETACH",
    "DO",
    "DROP",
    "EXEC",
    "EXECUTE",
    "EXPLAIN",
    "FROM",
    "GRANT",
    "INSERT",
    "LOCK",
    "MERGE",
    "OPTIMIZE",
    "PRAGMA",
    "PREPARE",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "VACUUM",
    "VALUES",
    "WITH",
];

/// What a text that does not parse as SQL is written in instead; none: it looks like SQL with an error in it.
pub fn foreign_language(text: &str) -> Option<&'static str> {
    let text = without_comments(text);
    let first: String =
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>().to_uppercase();
    let upper = text.to_uppercase();
    let has = |piece: &str| upper.contains(piece);
    let behind = text[first.len().min(text.len())..].trim_start();
    let pattern = has(")-[") || has("]->") || has("<-[") || has(")--(") || has(")-->(");
    match first.as_str() {
        "MATCH" | "OPTIONAL" | "UNWIND" | "FOREACH" => return Some("Cypher"),
        "CREATE" | "MERGE" | "DETACH" if behind.starts_with('(') || pattern => return Some("Cypher"),
        "CALL" if has("YIELD") => return Some("Cypher"),
        "RETURN" | "WITH" if pattern || has("MATCH (") => return Some("Cypher"),
        "PREFIX" | "BASE" | "ASK" | "CONSTRUCT" => return Some("SPARQL"),
        "SELECT" | "DESCRIBE" if behind.starts_with(['?', '<']) || has("SELECT DISTINCT ?") => return Some("SPARQL"),
        "SELECT" | "INSERT" | "DELETE" if has("WHERE {") || has("DATA {") => return Some("SPARQL"),
        "GO" if has(" OVER ") => return Some("nGQL"),
        "FETCH" if has("PROP ON") => return Some("nGQL"),
        "LOOKUP" if has(" ON ") => return Some("nGQL"),
        "G" if behind.starts_with(".V(") || behind.starts_with(".E(") => return Some("Gremlin"),
        "DB" if behind.starts_with('.') => return Some("a MongoDB call"),
        _ => {}
    }
    if text.starts_with(['{', '[']) {
        return Some("JSON");
    }
    let sql = STARTS.contains(&first.as_str()) || text.starts_with('(');
    // `SELECT` behind a few words is an answer wrapped in prose, still none that a model should learn to give.
    if !sql || is_prose(text) { Some("prose") } else { None }
}

/// Whether a text that did parse is a sentence all the same.
pub fn parsed_prose(text: &str, statements: &[Statement]) -> Option<&'static str> {
    let odd = statements.iter().any(|statement| {
        matches!(
            statement,
            Statement::ShowVariable { .. }
                | Statement::Use(_)
                | Statement::Open(_)
                | Statement::Close { .. }
                | Statement::Return(_)
                | Statement::Print(_)
                | Statement::Raise(_)
                | Statement::Fetch { .. }
                | Statement::Kill { .. }
        )
    });
    let text = without_comments(text);
    let words = text.split_whitespace().count();
    let cypher = odd && text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("return"));
    match odd {
        true if cypher => Some("Cypher"),
        true if words > 3 => Some("prose"),
        _ => None,
    }
}

/// A sentence: it ends like one, and nothing in it is written as SQL is.
fn is_prose(text: &str) -> bool {
    let plain = !text.contains(['=', '*', '(', ';', '<', '>']);
    let words: Vec<&str> = text.split_whitespace().collect();
    let little = ["the", "an", "of", "are", "you", "your", "this", "that", "cannot"];
    let sentence = words.iter().filter(|word| little.contains(word)).count() >= 2;
    plain && words.len() > 3 && sentence && (text.ends_with(['.', '?', '!', ':']) || !text.contains('\''))
}

/// A text without the comments that stand before it.
pub(crate) fn without_comments(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let rest = if let Some(rest) = text.strip_prefix("--") {
            rest.split_once('\n').map(|(_, rest)| rest)
        } else if let Some(rest) = text.strip_prefix("/*") {
            rest.split_once("*/").map(|(_, rest)| rest)
        } else {
            return text;
        };
        match rest {
            Some(rest) => text = rest.trim_start(),
            None => return "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, parse};

    #[test]
    fn other_languages_are_named() {
        for (text, language) in [
            ("MATCH (p:Person)-[:KNOWS]->(q) RETURN q.name", "Cypher"),
            ("CREATE (n:Person {name: 'Ann'})", "Cypher"),
            ("CALL db.labels() YIELD label", "Cypher"),
            ("// all\nPREFIX", "prose"),
            ("PREFIX foaf: <http://xmlns.com/foaf/0.1/> SELECT ?n WHERE { ?p foaf:name ?n }", "SPARQL"),
            ("SELECT ?name WHERE { ?p <name> ?name }", "SPARQL"),
            ("DESCRIBE <http://example.org/x>", "SPARQL"),
            ("GO FROM 'a' OVER follow YIELD dst(edge)", "nGQL"),
            ("g.V().hasLabel('person')", "Gremlin"),
            ("db.users.find({age: 3})", "a MongoDB call"),
            ("{\"sql\": 1}", "JSON"),
            ("I cannot answer this question.", "prose"),
            ("Select the users who are older than 30 from the table.", "prose"),
        ] {
            assert_eq!(foreign_language(text), Some(language), "{text}");
        }
    }

    #[test]
    fn sql_with_an_error_in_it_is_sql() {
        for text in
            ["SELECT a FROM", "WITH t AS (SELECT 1 SELECT 2", "-- x\nSELECT a b c FROM t", "(SELECT 1", "DELETE t WHRE"]
        {
            assert_eq!(foreign_language(text), None, "{text}");
        }
    }

    #[test]
    fn what_parses_is_sql_but_for_sentences() {
        for (text, language) in [
            ("WITH t AS (SELECT 1 AS a) SELECT a::text FROM t", None),
            ("DESCRIBE users", None),
            ("SHOW TABLES", None),
            ("SHOW server_version", None),
            ("show me the names of all users", Some("prose")),
            ("RETURN 1", Some("Cypher")),
        ] {
            let statements = parse(text, Dialect::MySql).or_else(|_| parse(text, Dialect::Generic)).unwrap();
            assert_eq!(parsed_prose(text, &statements), language, "{text}");
        }
    }
}
