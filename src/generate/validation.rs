//! Is the answer SQL, and does it only name what the schema has? Says what is wrong; decides nothing.

use serde_json::{Value, json};

use crate::sql::{Dialect, Issue, Schema, lint, parse};

/// How strictly an answer is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    None,
    /// Parsed and linted, and what is wrong is said; an answer that is no whole statement is refused.
    Parser,
    /// The same, and an answer with names that the schema does not have is refused too.
    ParserStrict,
}

impl Mode {
    /// The names in the order of strictness.
    pub const NAMES: [&'static str; 3] = ["none", "parser", "parser-strict"];

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "parser" => Some(Self::Parser),
            "parser-strict" => Some(Self::ParserStrict),
            _ => None,
        }
    }

    /// Whether an answer is one that this mode does not let pass: it is printed, and the command ends with exit code 1.
    pub fn refuses(self, verdict: &Verdict) -> bool {
        match self {
            Self::None => false,
            Self::Parser => !(verdict.parses && verdict.complete),
            Self::ParserStrict => !verdict.is_valid(),
        }
    }

    /// The name in manifests and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => Self::NAMES[0],
            Self::Parser => Self::NAMES[1],
            Self::ParserStrict => Self::NAMES[2],
        }
    }
}

/// What the checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the model ended the answer itself.
    pub complete: bool,
    /// Whether the answer is a statement of its dialect.
    pub parses: bool,
    /// Whether a schema was there to check names against.
    pub linted: bool,
    /// Everything that is wrong.
    pub issues: Vec<Issue>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_valid(&self) -> bool {
        self.parses && self.issues.is_empty()
    }

    /// `{valid, complete, parses, linted, issues: [{message, hint}]}`.
    pub fn to_json(&self) -> Value {
        let issues: Vec<Value> =
            self.issues.iter().map(|issue| json!({"message": issue.message, "hint": issue.hint})).collect();
        json!({"valid": self.is_valid(), "complete": self.complete, "parses": self.parses, "linted": self.linted,
            "issues": issues})
    }
}

/// Checks an answer. `complete`: the model ended it itself; a cut answer is never valid, even if it parses.
pub fn validate(sql: &str, complete: bool, schema: Option<&Schema>, dialect: Dialect) -> Verdict {
    let mut issues = Vec::new();
    if !complete {
        issues.push(Issue {
            message: "the answer is incomplete: it was cut before the model ended it".into(),
            hint: Some("--max-tokens gives it more room".into()),
        });
    }
    let parses = match parse(sql, dialect) {
        Ok(_) => true,
        Err(error) => {
            issues.push(Issue { message: error.to_string(), hint: None });
            false
        }
    };
    let linted = parses && schema.is_some();
    if let Some(schema) = schema.filter(|_| parses) {
        issues.extend(lint(sql, schema, dialect));
    }
    Verdict { complete, parses, linted, issues }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let schema = Schema::parse("CREATE TABLE users (id INT, name TEXT)", Dialect::Postgres).unwrap();
        let check = |sql: &str, complete| validate(sql, complete, Some(&schema), Dialect::Postgres);
        assert!(check("SELECT name FROM users", true).is_valid());
        let unknown = check("SELECT nmae FROM users", true);
        assert!(unknown.parses && !unknown.is_valid(), "{unknown:?}");
        assert!(unknown.issues[0].message.contains("nmae"), "{unknown:?}");
        let broken = check("SELECT name FORM users WHERE", true);
        assert!(!broken.parses && !broken.linted && !broken.issues.is_empty());
        assert!(!check("SELECT name FROM users", false).is_valid());
        assert!(!check("", true).is_valid());
        for (sql, complete, parser, strict) in [
            ("SELECT name FROM users", true, false, false),
            ("SELECT nmae FROM users", true, false, true),
            ("SELECT name FROM users", false, true, true),
            ("SELECT name FORM users WHERE", true, true, true),
        ] {
            let verdict = check(sql, complete);
            assert!(!Mode::None.refuses(&verdict), "{sql}");
            assert_eq!(
                (Mode::Parser.refuses(&verdict), Mode::ParserStrict.refuses(&verdict)),
                (parser, strict),
                "{sql}"
            );
        }
    }

    #[test]
    fn without_a_schema_only_the_syntax_is_checked() {
        let verdict = validate("SELECT x FROM nowhere", true, None, Dialect::Postgres);
        assert!(verdict.is_valid() && !verdict.linted);
    }
}
