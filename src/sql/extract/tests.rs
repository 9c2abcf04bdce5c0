//! Cases of statement extraction: what real models write, and what an earlier tool destroyed.

use super::*;
use proptest::prelude::*;

/// Answers that are one valid statement: nothing may be cut.
const WHOLE: &[&str] = &[
    "SELECT * FROM users;",
    "SELECT * FROM users",
    "select name from users where age > 30;",
    "SELECT name, created_at\nFROM orders\nWHERE status = 'open'\nORDER BY created_at DESC;",
    "SELECT updated_by, deleted_at FROM select_log ORDER BY created_at DESC;",
    "WITH recent AS (\n  SELECT id FROM orders\n)\nSELECT * FROM recent;",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t",
    "SELECT 'a;b' FROM t WHERE c = 'it''s; fine';",
    "SELECT \"a;b\" FROM t -- not; here\nWHERE x = 1;",
    "SELECT a /* one; two */ FROM t;",
    "SELECT a\n\nFROM t\n\nWHERE b = 1;",
    "SELECT EXTRACT(YEAR FROM order_date) AS y, COUNT(*) FROM orders GROUP BY 1;",
    "INSERT INTO t (a, b) VALUES (1, 'Explanation: this is a text.\nThis query returns all.');",
    "UPDATE users SET name = 'select' WHERE id = 1;",
    "DELETE FROM users WHERE id IN (SELECT user_id FROM bans);",
    "CREATE TABLE a (id INT PRIMARY KEY, b TEXT);",
    "(SELECT a FROM t) UNION (SELECT b FROM u);",
    "-- names of all users\nSELECT name FROM users;",
    "SELECT price::numeric FROM items WHERE created_at > now() - INTERVAL '1 day';",
    "SELECT $$a;b$$;",
    "SELECT `a;b` FROM `t`;",
    "SELECT '```' FROM t;",
    "VALUES (1), (2);",
    "EXPLAIN SELECT 1;",
    "CREATE PROCEDURE p AS SELECT 1",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a;",
    "BEGIN; UPDATE a SET b = 1; COMMIT;",
    "START TRANSACTION; DELETE FROM a; ROLLBACK;",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END;",
    "CREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql;",
    "CREATE PROCEDURE p()\nBEGIN\n  IF x THEN SELECT 1; END IF;\n  SELECT 2;\nEND;",
    // Not known to the parser: kept whole all the same.
    "SELECT a FROM t WEIRDLY ORDERED (SELECT c FROM d) AND MORE;",
    "SELECT a FROM t\nTABLESAMPLE ODDLY 10 PERCENT THERE\nWHERE x = 1;",
    "PRAGMA foreign_key_check;",
];

#[test]
fn a_valid_statement_is_never_cut() {
    for statement in WHOLE {
        assert_eq!(extract_statement(statement), *statement);
        assert_eq!(extract_statement(&format!("\n  {statement}\n\n")), *statement);
    }
}

#[test]
fn fences_go() {
    for statement in WHOLE {
        for (before, after) in [
            ("```sql\n", "\n```"),
            ("```\n", "\n```"),
            ("Here's the query:\n\n```sql\n", "\n```\nIt's short."),
            ("```sql\n", ""),
        ] {
            assert_eq!(extract_statement(&format!("{before}{statement}{after}")), *statement);
        }
    }
    assert_eq!(extract_statement("```sql SELECT 1```"), "SELECT 1");
    assert_eq!(extract_statement("```json\n{}\n```\nthen\n```sql\nSELECT 1\n```"), "SELECT 1");
    assert_eq!(extract_statement("SELECT a FROM t\n```\nDone; really."), "SELECT a FROM t");
}

#[test]
fn leading_prose_goes() {
    for lead in [
        "Here is the query: ",
        "Here's what you asked for:\n\n",
        "SQL: ",
        "Answer:\n",
        "The user wants the totals, so I join with orders and select the sum.\n\n",
        "Select all users of the shop: ",
        "With this query you get them:\n",
        "Sure! I'll create a query with a join.\n",
    ] {
        for statement in &WHOLE[..12] {
            assert_eq!(extract_statement(&format!("{lead}{statement}")), *statement, "{lead}");
        }
    }
    assert_eq!(extract_statement("Use `SELECT a FROM t` here."), "SELECT a FROM t");
}

#[test]
fn trailing_explanation_goes() {
    for tail in [
        " This returns all users; it's simple.",
        "\n\nThis query returns all users; it's simple.",
        "\nExplanation: we join.",
        "\n\n**Note** that it is slow.",
        "\n-- done\nSELECT 2;",
        "\nSELECT 2;",
    ] {
        assert_eq!(extract_statement(&format!("SELECT a FROM t;{tail}")), "SELECT a FROM t;", "{tail}");
    }
    for tail in [
        "\n\nThis query returns all users; it's simple.",
        "\n\nthis query returns all users",
        "\nExplanation:\n1. one",
        "\nNote that it doesn't sort.",
        "\n\nIn this query, the rows are counted.",
        "\n\nTo get the names we read the table.",
        "\n\n### Explanation\nx",
    ] {
        let sql = "SELECT a\nFROM t\nWHERE b = 'x'";
        assert_eq!(extract_statement(&format!("{sql}{tail}")), sql, "{tail}");
    }
}

#[test]
fn more_statements_are_announced() {
    assert!(extract("SELECT 1; SELECT 2;", Dialect::Generic).has_more());
    assert!(!extract("SELECT 1; That is all.", Dialect::Generic).has_more());
    assert!(!extract("SELECT 1;", Dialect::Generic).has_more());
}

#[test]
fn a_text_without_sql_comes_back() {
    for text in ["", "I cannot answer that.", "42", "não sei"] {
        assert_eq!(extract_statement(text), text);
    }
}

#[test]
fn the_dialect_decides_what_a_backslash_means() {
    assert_eq!(extract(r"SELECT 'a\'; b'; x", Dialect::MySql).statement, r"SELECT 'a\'; b';");
    assert_eq!(extract(r"SELECT 'a\'; b", Dialect::Postgres).statement, r"SELECT 'a\';");
}

/// A small generator of valid queries with quotes, comments, blank lines and keywords in odd places.
fn statement() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "created_at", "select_list", "\"Order; by\"", "from_date", "updates"]);
    let literal =
        prop::sample::select(vec!["1", "'x;y'", "'it''s'", "'SELECT'", "'-- no'", "'This is it.\nYes.'", "NULL"]);
    let gap = prop::sample::select(vec![" ", "\n", "\n\n", " /* a; 'b */ ", " -- it's; c\n", "\n  "]);
    let table = prop::sample::select(vec!["t", "users", "deleted", "\"with\"", "public.orders"]);
    let end = prop::sample::select(vec!["", ";", " ;"]);
    let tail =
        prop::sample::select(vec!["", " ORDER BY created_at DESC", " LIMIT 5", " GROUP BY 1 HAVING count(*) > 1"]);
    let cte = any::<bool>();
    (name, literal, gap, table, tail, end, cte).prop_map(|(name, literal, gap, table, tail, end, cte)| {
        let select = format!("SELECT {name}{gap}FROM {table}{gap}WHERE {name} = {literal}{tail}");
        let lead = if cte { format!("WITH c AS{gap}({select}){gap}") } else { String::new() };
        format!("{lead}{select}{end}")
    })
}

proptest! {
    #[test]
    fn extraction_of_a_valid_statement_is_identity(statement in statement()) {
        prop_assert!(parses(&statement), "{statement}");
        prop_assert_eq!(extract_statement(&statement), statement.as_str());
        let fenced = format!("Here's the query:\n```sql\n{statement}\n```\nIt's done; enjoy.");
        prop_assert_eq!(extract_statement(&fenced), statement.trim());
    }

    #[test]
    fn nothing_panics_and_the_result_is_part_of_the_text(text in "(?s).{0,60}", sql in "[a-zA-Z ;'\"`$()\n#*/-]{0,60}") {
        for text in [text.as_str(), sql.as_str(), &format!("SELECT {sql}"), &format!("CREATE TRIGGER {sql}")] {
            prop_assert!(text.contains(extract_statement(text)));
        }
    }
}
