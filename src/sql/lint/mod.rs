//! Checks the names of a statement against a schema: tables, aliases, columns, with a suggestion where one is near.
//!
//! It never cries wolf: what cannot be decided from the text (views with unknown columns, table functions, system
//! catalogues, `"x"` where the dialect takes it for a string) is not reported. Case is not compared. Types, functions
//! and grouping are the database's business.

mod expression;
mod query;
mod scope;
mod statement;
mod suggest;

use std::borrow::Cow;

use super::{Dialect, Schema};
use query::Environment;

/// Something that the database would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issue {
    /// What is wrong, one line.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

/// What is wrong with the names in `sql`, in the order of reading; each thing once. Text that does not parse is one
/// issue.
pub fn lint(sql: &str, schema: &Schema, dialect: Dialect) -> Vec<Issue> {
    match super::parse(sql, dialect) {
        Ok(statements) => lint_statements(&statements, schema, dialect),
        Err(error) => vec![Issue { message: error.to_string(), hint: None }],
    }
}

/// [`lint`] of what is already parsed.
pub fn lint_statements(statements: &[sqlparser::ast::Statement], schema: &Schema, dialect: Dialect) -> Vec<Issue> {
    Linter::check(statements, schema, dialect).issues
}

/// The state of one check. The schema is copied once statements create or drop tables.
struct Linter<'s> {
    schema: Cow<'s, Schema>,
    dialect: Dialect,
    issues: Vec<Issue>,
}

impl<'s> Linter<'s> {
    fn check(statements: &[sqlparser::ast::Statement], schema: &'s Schema, dialect: Dialect) -> Self {
        let mut linter = Self { schema: Cow::Borrowed(schema), dialect, issues: Vec::new() };
        for statement in statements {
            linter.statement(statement, &Environment::default());
        }
        linter
    }

    fn report(&mut self, message: String, hint: Option<String>) {
        let issue = Issue { message, hint };
        if !self.issues.contains(&issue) {
            self.issues.push(issue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "CREATE TABLE users (id INT PRIMARY KEY, name TEXT, email TEXT, age INT);
        CREATE TABLE orders (id INT PRIMARY KEY, user_id INT REFERENCES users(id), total NUMERIC, \"Order Date\" DATE);
        CREATE VIEW anything AS SELECT * FROM orders;";

    fn issues(sql: &str, dialect: Dialect) -> Vec<String> {
        let schema = Schema::parse(SHOP, dialect).unwrap();
        let text = |issue: Issue| match issue.hint {
            Some(hint) => format!("{} | {hint}", issue.message),
            None => issue.message,
        };
        lint(sql, &schema, dialect).into_iter().map(text).collect()
    }

    #[test]
    fn sound_statements_pass() {
        for sql in [
            "SELECT COUNT(*) FROM users WHERE age > 56",
            "SELECT u.name, SUM(o.total) AS s FROM users AS u JOIN orders o ON u.id = o.user_id GROUP BY u.name ORDER BY s DESC",
            "SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = u.id AND total > age)",
            "WITH t AS (SELECT user_id, SUM(total) AS s FROM orders GROUP BY user_id) SELECT name, s FROM users JOIN t ON t.user_id = users.id",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n",
            "WITH a AS (SELECT id FROM users), b AS (SELECT id AS bid FROM a) SELECT bid FROM b",
            "SELECT d.total FROM (SELECT total, user_id FROM orders) AS d WHERE d.user_id IN (SELECT id FROM users)",
            "SELECT t.x FROM (VALUES (1, 2)) AS t(x, y)",
            "SELECT name FROM users UNION SELECT email FROM users ORDER BY name",
            "SELECT id, name FROM users JOIN (SELECT id FROM orders) o USING (id) WHERE id > 1",
            "SELECT \"Order Date\" FROM orders ORDER BY 1",
            "SELECT u.* FROM users u CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.user_id = u.id LIMIT 1) x",
            "SELECT whatever FROM anything",
            "SELECT name, ROW_NUMBER() OVER w FROM users WINDOW w AS (PARTITION BY age ORDER BY id)",
            "SELECT EXTRACT(YEAR FROM \"Order Date\"), CURRENT_DATE FROM orders",
            "SELECT g FROM generate_series(1, 3) AS g",
            "INSERT INTO users (id, name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id",
            "UPDATE users SET age = age + 1 FROM orders WHERE orders.user_id = users.id",
            "DELETE FROM orders USING users WHERE users.id = orders.user_id",
            "CREATE TABLE extra (z INT); INSERT INTO extra (z) SELECT id FROM users; SELECT z FROM extra",
            "DROP TABLE IF EXISTS nothing",
            "SELECT table_name FROM information_schema.tables",
            "SELECT public.users.name FROM public.users",
            "SELECT count FROM (SELECT COUNT(*) FROM users) t",
        ] {
            assert_eq!(issues(sql, Dialect::Postgres), [""; 0], "{sql}");
        }
    }

    #[test]
    fn dialects_differ_in_strings_and_aliases() {
        let text = "SELECT name FROM users WHERE name = \"Ann\"";
        assert_eq!(issues(text, Dialect::Sqlite), [""; 0]);
        assert_eq!(issues(text, Dialect::MySql), [""; 0]);
        assert_eq!(issues(text, Dialect::Postgres).len(), 1);
        let alias = "SELECT age + 1 AS next FROM users WHERE next > 3";
        assert_eq!(issues(alias, Dialect::Sqlite), [""; 0]);
        assert_eq!(issues(alias, Dialect::Postgres), ["unknown column `next` | an output alias cannot be used here"]);
        let having = "SELECT age, COUNT(*) AS n FROM users GROUP BY age HAVING n > 1";
        assert_eq!(issues(having, Dialect::MySql), [""; 0]);
        assert_eq!(issues(having, Dialect::Postgres).len(), 1);
        assert_eq!(issues("SELECT rowid FROM users", Dialect::Sqlite), [""; 0]);
        let unit = "SELECT TIMESTAMPDIFF(YEAR, `Order Date`, NOW()) FROM orders";
        assert_eq!(issues(unit, Dialect::MySql), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (sql, expected) in [
            ("SELECT nmae FROM users", "unknown column `nmae` | did you mean `name`?"),
            ("SELECT u.emial FROM users u", "unknown column `u.emial` | did you mean `email`?"),
            ("SELECT 1 FROM user", "unknown table `user` | did you mean `users`?"),
            ("SELECT total FROM users", "unknown column `total` | it is a column of `orders`, which is not in FROM"),
            ("SELECT x.name FROM users u", "unknown table or alias `x`"),
            ("SELECT users.name FROM users u", "unknown table or alias `users` | it is called `u` here"),
            ("SELECT id FROM users, orders", "ambiguous column `id` | qualify it: `users.id` or `orders.id`"),
            (
                "SELECT name FROM users WHERE id IN (SELECT usr_id FROM orders)",
                "unknown column `usr_id` | did you mean `user_id`?",
            ),
            (
                "WITH t AS (SELECT id FROM users) SELECT name FROM t",
                "unknown column `name` | it is a column of `users`, which is not in FROM",
            ),
            ("SELECT d.name FROM (SELECT id FROM users) d", "unknown column `d.name`"),
            ("SELECT x.* FROM users", "unknown table or alias `x`"),
            ("SELECT 1 FROM users JOIN orders USING (name)", "unknown column `name` in USING"),
            ("INSERT INTO users (idd) VALUES (1)", "unknown column `idd` | did you mean `id`?"),
            ("UPDATE users SET nam = 1", "unknown column `nam` | did you mean `name`?"),
            ("DELETE FROM usrs WHERE id = 1", "unknown table `usrs` | did you mean `users`?"),
            ("SELECT name FROM users UNION SELECT email FROM users ORDER BY foo", "unknown column `foo`"),
            ("ALTER TABLE missing ADD COLUMN x INT", "unknown table `missing`"),
            (
                "SELECT id FROM users WHERE name = \"Ann\"",
                "unknown column `Ann` | strings stand in single quotes: 'Ann'",
            ),
        ] {
            assert_eq!(issues(sql, Dialect::Postgres), [expected], "{sql}");
        }
        assert_eq!(issues("SELECT FROM WHERE", Dialect::Postgres).len(), 1);
    }

    #[test]
    fn each_thing_is_said_once() {
        assert_eq!(issues("SELECT nmae FROM users WHERE nmae = 1 ORDER BY nmae", Dialect::Postgres).len(), 1);
    }
}
