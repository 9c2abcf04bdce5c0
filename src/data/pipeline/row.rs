//! One record to one training row: extraction, canonical schema, checks of the answer, rendering. Pure; runs in parallel.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::judged::judge;
use super::keys::Keys;
use super::lesson::{self, Given};
use super::schema_text::{Schemas, show};
use super::{Options, Reason};
use crate::data::records::Record;
use crate::data::shapes::{Example, Extracted, Shape, extract};
use crate::data::spider::Databases;
use crate::data::tasks::{self, Task};
use crate::data::template::Prompt;
use crate::data::trial::Trial;
use crate::db::{Checks, QueryError, Source as Database, postgres};
use crate::error::Problem;
use crate::sql::{Hardness, Schema};

/// A row that passed every check of its own.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Prepared {
    /// The line to write, without its line feed.
    pub line: String,
    /// The text alone.
    pub text: String,
    /// What it is compared by.
    pub keys: Keys,
    /// Its shape.
    pub shape: Shape,
    /// The kind of its statement; none without validation.
    pub statement: Option<Cow<'static, str>>,
    /// The dialect that its answer was written in, as the record says or as it was found.
    pub source: Option<Cow<'static, str>>,
    /// How hard its answer is by Spider's rule, if it is a query.
    pub hardness: Option<Cow<'static, str>>,
    /// Rows that its answer gave; none: it was not run or cannot be judged.
    pub executed: Option<usize>,
    /// Conversions that changed its answer.
    pub conversions: Vec<Cow<'static, str>>,
    /// What it is rendered of, where examples are still to be put before its question.
    pub parts: Option<Parts>,
}

/// What a row is rendered of.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Parts {
    /// The question as the record asks it.
    pub asked: String,
    /// The question as it is shown.
    pub question: String,
    pub schema: Option<String>,
    pub answer: String,
    pub dialect: String,
    /// Keys that are written beside the text.
    pub fields: serde_json::Map<String, Value>,
}

impl Parts {
    /// The row's line and text with as many of these examples before the question as fit.
    pub fn rendered(&self, examples: &[(&str, &str)], options: &Options) -> (String, String) {
        let markers = options.layout.markers();
        let harmless =
            |(question, answer): &&(&str, &str)| !markers.iter().any(|m| question.contains(m) || answer.contains(m));
        let mut examples: Vec<(&str, &str)> = examples.iter().filter(harmless).copied().collect();
        loop {
            let question = tasks::with_examples(&self.question, &examples);
            let prompt = Prompt { dialect: self.dialect.clone(), schema: self.schema.clone(), question };
            let text = options.layout.render(&prompt, &self.answer);
            // The least alike goes first.
            if text.chars().count() > options.max_length && examples.pop().is_some() {
                continue;
            }
            let mut line = serde_json::Map::from_iter([("text".to_owned(), text.clone().into())]);
            line.extend(self.fields.clone());
            if let Some(shown) = line.get_mut("question") {
                *shown = prompt.question.into();
            }
            return (Value::Object(line).to_string(), text);
        }
    }
}

/// Why a record gives no row.
pub(super) type Dropped = (Reason, String);

/// What all rows of a run share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Schemas, each read once.
    pub schemas: Schemas,
    /// The database that answers are prepared on.
    pub checks: Option<Checks>,
    /// Sessions with a PostgreSQL, for answers that are tried out there.
    sessions: Mutex<Vec<postgres::Temporary>>,
    /// What ends the run: the database is gone.
    failure: Mutex<Option<Problem>>,
}

impl Shared {
    /// Connects to the database, where there is one.
    pub fn new(options: &Options) -> Result<Self, anyhow::Error> {
        let checks = options.database.as_ref().map(Checks::open).transpose()?;
        Ok(Self { checks, ..Self::default() })
    }

    /// What ends the run, once.
    pub fn failure(&self) -> Option<Problem> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A session to try answers out with, where the database is a PostgreSQL.
    pub fn session(&self, options: &Options) -> Result<Option<postgres::Temporary>, Dropped> {
        let Some(Database::Postgres(address)) = &options.database else { return Ok(None) };
        let waiting = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match waiting {
            Some(session) => Ok(Some(session)),
            None => postgres::Temporary::open(address, &Trial::limits()).map(Some).map_err(|error| self.gone(error)),
        }
    }

    /// Takes a session back for the next row.
    pub fn give_back(&self, session: Option<postgres::Temporary>) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).extend(session);
    }

    fn gone(&self, error: QueryError) -> Dropped {
        let reason = error.to_string();
        if let QueryError::Unavailable(problem) = error {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
        }
        (Reason::Database, reason)
    }

    /// Whether the database takes the answer.
    fn check(&self, sql: &str, schema: Option<&Schema>) -> Result<(), Dropped> {
        let Some(checks) = &self.checks else { return Ok(()) };
        checks.check(sql, schema).map_err(|error| self.gone(error))
    }
}

/// Makes a row of a record.
pub(super) fn prepare(
    record: &Record,
    databases: &Databases,
    shared: &Shared,
    options: &Options,
) -> Result<Prepared, Dropped> {
    let (shape, extracted) =
        extract(&record.fields, &options.mapping, databases).map_err(|reason| (Reason::Columns, reason))?;
    match extracted {
        Extracted::Example(example) => from_example(example, shape, shared, options),
        Extracted::Text(text) => from_text(text, shape, options),
    }
}

fn from_example(example: Example, shape: Shape, shared: &Shared, options: &Options) -> Result<Prepared, Dropped> {
    let answer = bare_answer(&example.answer);
    for (part, text) in [("question", example.question.as_str()), ("answer", answer)] {
        if text.is_empty() {
            return Err((Reason::Empty, format!("the {part} is empty")));
        }
    }
    let read = example.schema.as_deref().map(|text| shared.schemas.get(text, options)).transpose()?;
    let schema = read.as_ref().and_then(|read| read.schema.as_ref());
    let judged = match &read {
        Some(read) if !options.tries_out() => read.answers.get(answer, example.dialect, schema, options)?,
        _ => Arc::new(judge(answer, example.dialect, schema, options)?),
    };
    let mut lesson = None;
    if options.validate_sql {
        shared.check(&judged.sql, read.as_ref().and_then(|read| read.shown.as_ref()))?;
        // A record that brings a failed attempt is such a row already.
        let task = if shape == Shape::Refine { Task::Question } else { options.task };
        match read.as_ref().and_then(|read| Some((read.schema.as_ref()?, read.shown.as_ref()?))) {
            Some((schema, shown)) if options.tries_out() => {
                let (question, answer) = (example.question.as_str(), judged.sql.as_str());
                let given = Given { question, answer, statements: &judged.statements, schema, shown };
                lesson = Some(lesson::make(&given, task, options, shared)?);
            }
            None if task != Task::Question => return Err((Reason::Task, "the record has no schema".into())),
            _ => {}
        }
    }
    let asked = example.question.clone();
    // What the schema is pruned for: answering sees question and evidence together.
    let sought = match &example.evidence {
        Some(evidence) => format!("{asked}\n{evidence}"),
        None => asked.clone(),
    };
    let (mut answer, mut question, mut executed) = (judged.sql.clone(), example.question, None);
    let mut shown = None;
    if let Some(lesson) = lesson {
        executed = lesson.rows;
        (answer, question) = (lesson.answer, lesson.question);
        shown = lesson.schema.map(|schema| match options.schema_budget {
            Some(budget) => {
                let used: Vec<&str> = judged.used.iter().map(String::as_str).collect();
                show(&schema.pruned(&sought, &used, budget), options.schema_style)
            }
            None => show(&schema, options.schema_style),
        });
    }
    if let Some(evidence) = &example.evidence {
        question.push_str(&format!("\nEvidence: {evidence}"));
    }
    let shown = shown.or_else(|| read.as_ref().map(|read| read.text_for(&sought, &judged.used, options)));
    let prompt = Prompt { dialect: options.language.unwrap_or(options.dialect.name()).into(), schema: shown, question };
    let parts = [Some(prompt.question.as_str()), prompt.schema.as_deref(), Some(answer.as_str())];
    for marker in options.layout.markers() {
        if parts.iter().flatten().any(|part| part.contains(marker)) {
            return Err((Reason::Marker, format!("a part holds {}", marker.trim())));
        }
    }
    let text = options.layout.render(&prompt, &answer);
    check_length(&text, options)?;
    let schema_text = prompt.schema.as_deref().unwrap_or_default();
    let plain_answer = judged.plain.as_ref().map_or_else(|| squeezed(&answer).into(), Cow::from);
    let mut keys = Keys::of(&prompt.question, schema_text, &plain_answer, options);
    // A question is on one side whatever is made of it.
    keys.validation = Keys::of(&asked, "", "", options).validation;
    let mut fields = serde_json::Map::new();
    if options.keep_fields {
        let beside = json!({
            "question": prompt.question, "schema": prompt.schema, "answer": answer, "dialect": prompt.dialect,
            "source_dialect": judged.source.name(), "hardness": judged.hardness.map(Hardness::name),
        });
        if let Value::Object(beside) = beside {
            fields = beside;
        }
    }
    let conversions = judged.applied.iter().copied().map(Cow::Borrowed).collect();
    let source = Some(judged.source.name().into());
    let hardness = judged.hardness.map(|level| Hardness::name(level).into());
    let statement = judged.statement.map(Cow::Borrowed);
    let mut line = serde_json::Map::from_iter([("text".to_owned(), text.clone().into())]);
    line.extend(fields.clone());
    let line = Value::Object(line).to_string();
    let wants_examples = options.few_shot > 0 && options.task == Task::Question && shape != Shape::Refine;
    let Prompt { dialect, schema, question } = prompt;
    let dialect = dialect.to_string();
    let parts = wants_examples.then(|| Parts { asked, question, schema, answer, dialect, fields });
    Ok(Prepared { line, text, keys, shape, statement, source, hardness, executed, conversions, parts })
}

/// A text in no known layout has no answer to check: it passes only where nothing is to be checked.
fn from_text(text: String, shape: Shape, options: &Options) -> Result<Prepared, Dropped> {
    if text.is_empty() {
        return Err((Reason::Empty, "the text is empty".into()));
    }
    if options.validate_sql {
        let detail = "the text is in no known layout, so its answer cannot be checked; --no-validate-sql keeps it";
        return Err((Reason::Columns, detail.into()));
    }
    check_length(&text, options)?;
    let keys = Keys::of(&text, "", "", options);
    let line = json!({ "text": text }).to_string();
    let conversions = Vec::new();
    let (source, hardness) = (None, None);
    let statement = None;
    Ok(Prepared { line, text, keys, shape, statement, source, hardness, executed: None, conversions, parts: None })
}

/// The statement without a thinking block before it and a code fence around it.
fn bare_answer(answer: &str) -> &str {
    let mut bare = answer.trim();
    if bare.starts_with("<think>")
        && let Some((_, rest)) = bare.split_once("</think>")
    {
        bare = rest.trim();
    }
    if let Some(inner) = bare.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) {
        let inner = inner.strip_prefix("sql").or_else(|| inner.strip_prefix("SQL")).unwrap_or(inner);
        bare = inner.trim();
    }
    bare
}

/// An answer that does not parse, without its last semicolon and runs of spaces.
fn squeezed(sql: &str) -> String {
    sql.trim().trim_end_matches(';').split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check_length(text: &str, options: &Options) -> Result<(), Dropped> {
    let length = text.chars().count();
    if length < options.min_length {
        return Err((Reason::Short, format!("{length} characters, {} wanted", options.min_length)));
    }
    if length > options.max_length {
        return Err((Reason::Long, format!("{length} characters, {} allowed", options.max_length)));
    }
    Ok(())
}

/// A `dropped.jsonl` line.
pub(super) fn dropped_line(file: &str, line: u64, reason: Reason, detail: &str) -> Value {
    json!({"file": file, "line": line, "reason": reason.name(), "detail": detail})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::records::Place;
    use crate::data::template::Layout;
    use crate::sql::Dialect;
    use crate::sql::Style;
    use crate::sql::convert::Unsupported;

    fn prepared(row: Value, options: &Options) -> Result<Prepared, Dropped> {
        let Value::Object(fields) = row else { unreachable!() };
        let record = Record { place: Place { file: "x".into(), line: 1 }, fields };
        prepare(&record, &Databases::default(), &Shared::default(), options)
    }

    fn row(context: &str, question: &str, answer: &str) -> Value {
        json!({"context": context, "question": question, "answer": answer})
    }

    #[test]
    fn a_sound_row_is_rendered() {
        let row = row("create table t(a text)", "How many?", "SELECT COUNT(*) FROM t WHERE a = \"x\"");
        let prepared = prepared(row, &Options { keep_fields: true, ..Options::default() }).unwrap();
        assert_eq!(
            prepared.text,
            "<|system|>\nDialect: postgres\nSchema:\nCREATE TABLE t (a TEXT);\n<|end|>\n<|user|>\nHow many?\n<|end|>\n<|assistant|>\nSELECT COUNT(*) FROM t WHERE a = 'x'\n<|end|>"
        );
        assert_eq!(prepared.conversions, ["double-quoted-strings"]);
        let line: Value = serde_json::from_str(&prepared.line).unwrap();
        assert_eq!(line["answer"], "SELECT COUNT(*) FROM t WHERE a = 'x'");
    }

    #[test]
    fn an_answer_without_evidence_is_in_the_dialect_that_is_asked_for() {
        for (dialect, answer) in [
            (Dialect::Sqlite, "SELECT a FROM t ORDER BY a"),
            (Dialect::MySql, "SELECT a FROM t ORDER BY a DESC LIMIT 3"),
            (Dialect::Postgres, "SELECT a FROM t ORDER BY a"),
        ] {
            let options = Options { dialect, keep_fields: true, ..Options::default() };
            let prepared = prepared(row("CREATE TABLE t (a TEXT)", "In order?", answer), &options).unwrap();
            assert_eq!(prepared.conversions, [""; 0], "{dialect:?}");
            let line: Value = serde_json::from_str(&prepared.line).unwrap();
            assert_eq!(line["answer"], answer, "{dialect:?}");
        }
    }

    #[test]
    fn every_defect_has_its_reason() {
        let options = Options { max_length: 300, min_length: 120, ..Options::default() };
        let t = "CREATE TABLE t (a INT)";
        for (row, reason) in [
            (json!({"x": 1}), Reason::Columns),
            (json!({"text": "SELECT 1"}), Reason::Columns),
            (row(t, "  ", "SELECT 1"), Reason::Empty),
            (row(t, "q", "```sql\n```"), Reason::Empty),
            (row(t, "say <|end|>", "SELECT a FROM t"), Reason::Marker),
            (row("CREATE TABLE t (a", "q", "SELECT a FROM t"), Reason::Schema),
            (row(t, "q", "SELECT a FROM"), Reason::Parse),
            (row(t, "q", "MATCH (t:T) RETURN t.a"), Reason::NotSql),
            (row(t, "q", "show me the values of a"), Reason::NotSql),
            (row(t, "q", "SELECT b FROM t"), Reason::Names),
            (row(t, "q", "SELECT a FROM u"), Reason::Names),
            (row("", "q", "SELECT 1"), Reason::Short),
            (row(t, &"q".repeat(300), "SELECT a FROM t"), Reason::Long),
        ] {
            assert_eq!(prepared(row.clone(), &options).unwrap_err().0, reason, "{row}");
        }
    }

    #[test]
    fn without_validation_only_layout_and_length_count() {
        let options = Options { validate_sql: false, ..Options::default() };
        assert!(prepared(row("CREATE TABLE t (a", "q", "SELEC b FROM"), &options).is_ok());
        assert_eq!(prepared(json!({"text": "SELECT 1 -- x"}), &options).unwrap().text, "SELECT 1 -- x");
    }

    #[test]
    fn thinking_and_fences_are_taken_off() {
        for answer in
            ["<think>\nI must.\n</think>\n\nSELECT 1", "```sql\nSELECT 1\n```", "```\nSELECT 1```", " SELECT 1 "]
        {
            assert_eq!(bare_answer(answer), "SELECT 1");
        }
    }

    #[test]
    fn the_dialect_an_answer_was_written_in_is_recorded() {
        let t = "CREATE TABLE t (a DATETIME, b INT(11))";
        let options = Options { keep_fields: true, ..Options::default() };
        let mysql = prepared(row(t, "q?", "SELECT DATE_FORMAT(`a`, '%Y') FROM t"), &options).unwrap();
        assert_eq!(mysql.source.as_deref(), Some("mysql"));
        let line: Value = serde_json::from_str(&mysql.line).unwrap();
        assert_eq!(line["source_dialect"], "mysql");
        assert_eq!(line["schema"], "CREATE TABLE t (a TIMESTAMP, b INT);");
        assert_eq!(line["answer"], "SELECT TO_CHAR(a, 'YYYY') FROM t");
        let strict = Options { unsupported: Unsupported::Drop, ..options };
        let mut told = row(t, "q?", "SELECT WEEK(a, 4) FROM t");
        told["dialect"] = "mysql".into();
        assert_eq!(prepared(told, &strict).unwrap_err().0, Reason::Unsupported);
    }

    #[test]
    fn a_schema_is_shown_in_the_style_and_within_the_budget() {
        let t = "CREATE TABLE t (a INT); CREATE TABLE u (b INT, note TEXT); CREATE TABLE w (c INT)";
        let options = Options { schema_style: Style::Short, ..Options::default() };
        let all = prepared(row(t, "Which note?", "SELECT a FROM t"), &options).unwrap();
        assert!(all.text.contains("Table t: a\nTable u: b, note\nTable w: c"), "{}", all.text);
        let options = Options { schema_budget: Some(22), ..options };
        let some = prepared(row(t, "Which note?", "SELECT a FROM t"), &options).unwrap();
        assert!(
            some.text.contains("Table t: a\nTable u: b, note\n") && !some.text.contains("Table w"),
            "{}",
            some.text
        );
    }

    #[test]
    fn another_schema_text_is_shown_as_it_is() {
        let options = Options { layout: Layout::Simple, dialect: Dialect::Sqlite, ..Options::default() };
        let row = row("Table t: a, b", "q?", "SELECT a FROM t");
        assert_eq!(
            prepared(row, &options).unwrap().text,
            "Schema: Table t: a, b\n\nQuestion: q?\n\nAnswer: SELECT a FROM t"
        );
    }
}
