//! The tasks that rows teach and how each is asked. One place for training and for answering: what mends a statement in
//! `chat` must ask as the rows did.

use crate::db::Rows;
use crate::sql::Dialect;

/// What a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Task {
    /// The statement that answers a question.
    #[default]
    Question,
    /// The statement that should have been, after one that failed.
    SelfRefine,
    /// The right one of several statements with their results.
    Select,
}

/// What a `task_name` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The task.
    pub task: Task,
    /// The dialect of the rows, where the name says it.
    pub dialect: Option<Dialect>,
    /// The language that prompts name where it is none of our dialects: such answers are not checked.
    pub language: Option<&'static str>,
}

impl Named {
    /// Every name.
    pub const ALL: [&'static str; 9] = [
        "nl2sql",
        "nl2sqlite",
        "nl2postgresql",
        "nl2mysql",
        "nl2oracle",
        "nl2cypher",
        "nl2ngql",
        "self_refine",
        "sql_select",
    ];

    /// What this name means; none: nobody knows it. `questions` is the name of a mix.
    pub fn of(name: &str) -> Option<Self> {
        let question = |dialect, language| Self { task: Task::Question, dialect, language };
        Some(match name {
            "nl2sql" | "questions" => question(None, None),
            "nl2sqlite" => question(Some(Dialect::Sqlite), None),
            "nl2postgresql" => question(Some(Dialect::Postgres), None),
            "nl2mysql" => question(Some(Dialect::MySql), None),
            "nl2oracle" => question(None, Some("oracle")),
            "nl2cypher" => question(None, Some("cypher")),
            "nl2ngql" => question(None, Some("ngql")),
            "self_refine" => Self { task: Task::SelfRefine, dialect: None, language: None },
            "sql_select" => Self { task: Task::Select, dialect: None, language: None },
            _ => return None,
        })
    }
}

/// Rows of a result that a selection shows. More would cost tokens and rarely tell candidates apart.
const ROWS_SHOWN: usize = 5;

impl Task {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::Question, Self::SelfRefine, Self::Select];

    /// Its name in `metadata.json` and in a mix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "questions",
            Self::SelfRefine => "self_refine",
            Self::Select => "sql_select",
        }
    }

    /// The share of rows that it has in the default mix: 70/20/10 (askGuru-SQL's data).
    pub fn default_share(self) -> f64 {
        match self {
            Self::Question => 0.7,
            Self::SelfRefine => 0.2,
            Self::Select => 0.1,
        }
    }
}

/// What stands before solved questions.
const SOLVED: &str = "Solved before:";

/// Shows solved questions before a question.
pub fn with_examples(question: &str, solved: &[(&str, &str)]) -> String {
    if solved.is_empty() {
        return question.to_owned();
    }
    let mut text = SOLVED.to_owned();
    for (question, answer) in solved {
        text.push_str(&format!("\n{}\n{}\n", question.trim(), answer.trim()));
    }
    text.push_str(&format!("\n{question}"));
    text
}

/// Whether a text asks for the statement of a question: not to mend one, not to choose among some.
pub fn asks_a_question(text: &str) -> bool {
    !text.contains(FAILED) && !text.contains(CHOOSE)
}

const FAILED: &str = "\nThis statement failed:\n";
const CHOOSE: &str = "\nChoose the right statement.";

/// Asks to mend a statement that failed with this error.
pub fn refine(question: &str, failed: &str, error: Option<&str>) -> String {
    let error = error.filter(|error| !error.trim().is_empty());
    let error = error.map(|error| format!("\nError: {}", error.trim())).unwrap_or_default();
    format!("{question}{FAILED}{}{error}\nCorrect it.", failed.trim())
}

/// Asks for the right one of some candidates, each with its result or the database's error.
pub fn select(question: &str, candidates: &[(String, Result<Rows, String>)]) -> String {
    let mut text = format!("{question}{CHOOSE}");
    for (at, (sql, result)) in candidates.iter().enumerate() {
        text.push_str(&format!("\n[{}] {sql}\n", at + 1));
        text.push_str(&match result {
            Ok(rows) => shown(rows),
            Err(error) => format!("Error: {error}"),
        });
    }
    text
}

/// A result in a few lines.
fn shown(rows: &Rows) -> String {
    if rows.rows.is_empty() {
        return "Result: no rows".into();
    }
    let line = |row: &Vec<crate::db::Value>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    let mut lines: Vec<String> = rows.rows.iter().take(ROWS_SHOWN).map(line).collect();
    if rows.rows.len() > ROWS_SHOWN {
        lines.push(format!("({} rows)", rows.rows.len()));
    }
    format!("Result:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Value;

    #[test]
    fn each_task_has_its_words() {
        assert_eq!(
            refine("How many?", " SELECT x\n", Some("no such column: x")),
            "How many?\nThis statement failed:\nSELECT x\nError: no such column: x\nCorrect it."
        );
        assert_eq!(with_examples("q?", &[]), "q?");
        assert_eq!(
            with_examples("q?", &[("One?", "SELECT 1;"), ("Two? ", "SELECT 2")]),
            "Solved before:\nOne?\nSELECT 1;\n\nTwo?\nSELECT 2\n\nq?"
        );
        assert!(asks_a_question("q?") && !asks_a_question(&refine("q", "x", None)));
        assert!(!asks_a_question(&select("q", &[])));
        assert_eq!(refine("q", "SELECT x", None), "q\nThis statement failed:\nSELECT x\nCorrect it.");
        let rows = Rows {
            columns: vec!["a".into(), "b".into()],
            rows: (0..7).map(|n| vec![Value::Integer(n), Value::Null]).collect(),
            truncated: false,
            elapsed: Default::default(),
        };
        let asked = select("q", &[("SELECT 1".into(), Ok(rows)), ("SELECT 2".into(), Err("bad".into()))]);
        assert_eq!(
            asked,
            "q\nChoose the right statement.\n[1] SELECT 1\nResult:\n0 | NULL\n1 | NULL\n2 | NULL\n3 | NULL\n4 | NULL\n\
             (7 rows)\n[2] SELECT 2\nError: bad"
        );
    }

    #[test]
    fn shares_make_a_whole() {
        let sum: f64 = Task::ALL.iter().map(|task| task.default_share()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert!(Named::ALL.iter().all(|name| Named::of(name).is_some()));
        for task in Task::ALL {
            assert_eq!(Named::of(task.name()).unwrap().task, task);
        }
    }
}
