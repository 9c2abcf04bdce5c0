//! The questions of a file: JSON objects, one a line, empty lines left out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::answering::context_of_db;
use crate::cli::answering::database::source_named;
use crate::cli::ui::Ui;
use crate::db::Source;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::generate::conversation::{Context, Question};
use crate::sql::Dialect;

/// Keys that hold the question, in the order in which they are looked for.
const QUESTION: [&str; 3] = ["question", "sql_prompt", "prompt"];

/// Keys that hold CREATE TABLE text.
const SCHEMA: [&str; 3] = ["context", "schema", "sql_context"];

/// A line of the input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Number of the line in the file, from 1.
    line: usize,
    /// Its keys, or why it has none.
    keys: Result<Map<String, Value>, String>,
}

/// The rows of a file, in order.
pub(super) struct Rows {
    path: PathBuf,
    lines: BufReader<File>,
    line: usize,
}

/// Number of rows.
pub(super) fn count(path: &Path) -> Result<usize> {
    let mut rows = Rows::open(path)?;
    let mut count = 0;
    while let Some(text) = rows.text()? {
        drop(text);
        count += 1;
    }
    if count == 0 {
        return Err(Problem::input(format!("{} has no questions", path.display())).into());
    }
    Ok(count)
}

impl Rows {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), lines: BufReader::new(fsx::open(path)?), line: 0 })
    }

    /// The next line that is not empty.
    fn text(&mut self) -> Result<Option<String>> {
        loop {
            let mut bytes = Vec::new();
            self.line += 1;
            if self.lines.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            let text = String::from_utf8(bytes).map_err(|_| {
                Problem::input(format!("{}:{} is not UTF-8 text", self.path.display(), self.line))
                    .hint("save the file as UTF-8")
            })?;
            let text = text.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let text = self.text().transpose()?;
        Some(text.map(|text| {
            let keys =
                serde_json::from_str::<Map<String, Value>>(&text).map_err(|error| format!("no JSON object: {error}"));
            Row { line: self.line, keys }
        }))
    }
}

impl Row {
    /// What it asks.
    pub fn question(&self, tables: &mut Tables, ui: &Ui) -> Result<Question> {
        let keys = self.keys.as_ref().map_err(|reason| Problem::input(format!("line {}: {reason}", self.line)))?;
        let text =
            |names: &[&str]| names.iter().find_map(|name| keys.get(*name)?.as_str().filter(|t| !t.trim().is_empty()));
        let question = text(&QUESTION).ok_or_else(|| {
            Problem::input(format!("line {}: none of the keys {} holds a question", self.line, QUESTION.join(", ")))
        })?;
        let context = match (text(&SCHEMA), text(&["db"])) {
            (Some(ddl), _) => Some(tables.of_text(ddl)),
            (None, Some(url)) => Some(tables.of_db(url, ui)?),
            (None, None) => tables.default.clone(),
        };
        // As training rows have it.
        let question = match text(&["evidence"]) {
            Some(evidence) => format!("{}\nEvidence: {evidence}", question.trim()),
            None => question.to_owned(),
        };
        Ok(Question { text: question, context })
    }

    /// The database that its question is about, once [`Row::question`] has been asked.
    pub fn source<'a>(&self, tables: &'a Tables) -> Option<&'a Source> {
        let keys = self.keys.as_ref().ok()?;
        let has = |name: &str| keys.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        match (SCHEMA.iter().find_map(|name| has(name)), has("db")) {
            (_, Some(url)) => tables.databases.get(url).map(|(source, _)| source),
            (Some(_), None) => None,
            (None, None) => tables.source.as_ref(),
        }
    }

    /// Its keys with the answer's beside them.
    pub fn answered(&self, answer: &Value) -> Value {
        let mut keys = self.keys.clone().unwrap_or_else(|_| Map::from_iter([("line".to_owned(), self.line.into())]));
        keys.extend(answer.as_object().cloned().unwrap_or_default());
        Value::Object(keys)
    }

    /// Whether a line of an earlier output answers this row: all its keys are there, unchanged.
    pub fn is_answered_by(&self, answered: &Map<String, Value>) -> bool {
        let fits = |keys: &Map<String, Value>| {
            keys.iter().all(|(key, value)| {
                key.starts_with("predicted_") || ANSWER_KEYS.contains(&key.as_str()) || answered.get(key) == Some(value)
            })
        };
        answered.contains_key("predicted_sql") && self.keys.as_ref().map_or(true, fits)
    }
}

/// Keys of the answer that may hide a row's own.
const ANSWER_KEYS: [&str; 10] = [
    "candidates",
    "votes",
    "repairs",
    "finish_reason",
    "incomplete",
    "validation",
    "prompt_tokens",
    "completion_tokens",
    "log_probability",
    "error",
];

/// The tables of rows: databases are read once, and so is DDL that many rows share.
pub(super) struct Tables {
    default: Option<Context>,
    source: Option<Source>,
    dialect: Dialect,
    /// Where the names of databases stand.
    config: Option<PathBuf>,
    databases: HashMap<String, (Source, Context)>,
    last: Option<(String, Context)>,
}

impl Tables {
    /// `default` and `source`: for rows without tables of their own.
    pub fn new(default: Option<Context>, source: Option<Source>, dialect: Dialect, config: Option<PathBuf>) -> Self {
        Self { default, source, dialect, config, databases: HashMap::new(), last: None }
    }

    fn of_text(&mut self, ddl: &str) -> Context {
        if let Some((text, context)) = &self.last
            && text == ddl
        {
            return context.clone();
        }
        let context = Context::from_text(ddl, self.dialect).0;
        self.last = Some((ddl.to_owned(), context.clone()));
        context
    }

    fn of_db(&mut self, url: &str, ui: &Ui) -> Result<Context> {
        if let Some((_, context)) = self.databases.get(url) {
            return Ok(context.clone());
        }
        let source = source_named(url, self.config.as_deref())?;
        let context = context_of_db(&source, self.dialect, ui)?;
        self.databases.insert(url.to_owned(), (source, context.clone()));
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &str) -> Vec<Row> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.jsonl");
        fsx::write_atomic(&path, text.as_bytes()).unwrap();
        Rows::open(&path).unwrap().collect::<Result<_>>().unwrap()
    }

    #[test]
    fn keys_of_every_known_shape() {
        let ui = Ui::new(&crate::cli::args::Global { quiet: true, json: false });
        let default = Context { text: "default".into(), schema: None };
        let mut tables = Tables::new(Some(default), None, Dialect::Postgres, None);
        let all = rows(concat!(
            "\u{feff}{\"question\": \"a\", \"context\": \"CREATE TABLE t (x INT)\"}\n\n",
            "{\"sql_prompt\": \"b\", \"sql_context\": \"CREATE TABLE u (x INT)\"}\r\n",
            "{\"question\": \"c\", \"schema\": \" \"}\nno json\n[1]\n{\"text\": \"d\"}",
        ));
        let seen: Vec<String> = all
            .iter()
            .map(|row| match row.question(&mut tables, &ui) {
                Ok(question) => format!("{}: {}", question.text, question.context.unwrap().text),
                Err(error) => error.to_string().chars().take(22).collect(),
            })
            .collect();
        assert_eq!(
            seen,
            [
                "a: CREATE TABLE t (x INT);",
                "b: CREATE TABLE u (x INT);",
                "c: default",
                "line 5: no JSON object",
                "line 6: no JSON object",
                "line 7: none of the ke"
            ]
        );
    }

    #[test]
    fn an_answer_is_recognised_by_the_rows_keys() {
        let row = &rows("{\"question\": \"a\", \"id\": 3, \"error\": \"own\"}")[0];
        let answered = row.answered(&json!({"predicted_sql": "SELECT 1", "error": "x"}));
        let answered = answered.as_object().unwrap();
        assert!(row.is_answered_by(answered));
        assert!(!rows("{\"question\": \"b\", \"id\": 3}")[0].is_answered_by(answered));
        assert!(!row.is_answered_by(row.keys.as_ref().unwrap()), "the input itself is no answer");
    }
}
