//! One record to one training row: extraction, canonical schema, checks of the answer, rendering. Pure; runs in parallel.

use serde_json::{Value, json};

use super::keys::Keys;
use super::{Options, Reason};
use crate::data::records::Record;
use crate::data::shapes::{Example, Extracted, Shape, extract};
use crate::data::spider::Databases;
use crate::data::template::Prompt;
use crate::sql::{self, Schema};

/// A row that passed every check of its own.
#[derive(Debug, Clone)]
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
    pub statement: Option<&'static str>,
    /// Conversions that changed its answer.
    pub conversions: Vec<&'static str>,
}

/// Why a record gives no row.
pub(super) type Dropped = (Reason, String);

/// Makes a row of a record.
pub(super) fn prepare(record: &Record, databases: &Databases, options: &Options) -> Result<Prepared, Dropped> {
    let (shape, extracted) =
        extract(&record.fields, &options.mapping, databases).map_err(|reason| (Reason::Columns, reason))?;
    match extracted {
        Extracted::Example(example) => from_example(example, shape, options),
        Extracted::Text(text) => from_text(text, shape, options),
    }
}

fn from_example(example: Example, shape: Shape, options: &Options) -> Result<Prepared, Dropped> {
    let answer = bare_answer(&example.answer);
    for (part, text) in [("question", example.question.as_str()), ("answer", answer)] {
        if text.is_empty() {
            return Err((Reason::Empty, format!("the {part} is empty")));
        }
    }
    let (schema, ddl) = canonical(example.schema.as_deref(), options)?;
    let conversion = sql::convert(answer, example.dialect, options.dialect, schema.as_ref());
    let mut statement = None;
    let mut plain_answer = None;
    if options.validate_sql {
        let statements =
            sql::parse(&conversion.sql, options.dialect).map_err(|error| (Reason::Parse, error.to_string()))?;
        statement = statements.first().map(sql::summary);
        // Only compared where answers are compared: writing a tree costs as much as parsing it.
        plain_answer = options.drop_ambiguous.then(|| statements.iter().map(|s| format!("{s};")).collect::<String>());
        let issues = schema.map(|schema| sql::lint_statements(&statements, &schema, options.dialect));
        if let Some(issue) = issues.unwrap_or_default().first() {
            return Err((Reason::Names, issue.message.clone()));
        }
    }
    let question = match &example.evidence {
        Some(evidence) => format!("{}\nEvidence: {evidence}", example.question),
        None => example.question,
    };
    let prompt = Prompt { dialect: options.dialect.name().into(), schema: ddl, question };
    let parts = [Some(prompt.question.as_str()), prompt.schema.as_deref(), Some(&*conversion.sql)];
    for marker in options.layout.markers() {
        if parts.iter().flatten().any(|part| part.contains(marker)) {
            return Err((Reason::Marker, format!("a part holds {}", marker.trim())));
        }
    }
    let text = options.layout.render(&prompt, &conversion.sql);
    check_length(&text, options)?;
    let schema_text = prompt.schema.as_deref().unwrap_or_default();
    let plain_answer = plain_answer.unwrap_or_else(|| squeezed(&conversion.sql));
    let keys = Keys::of(&prompt.question, schema_text, &plain_answer, options);
    let line = if options.keep_fields {
        json!({
            "text": text, "question": prompt.question, "schema": prompt.schema, "answer": conversion.sql,
            "dialect": prompt.dialect,
        })
    } else {
        json!({ "text": text })
    };
    Ok(Prepared { line: line.to_string(), text, keys, shape, statement, conversions: conversion.applied })
}

/// A text in no known layout has no answer to check: it passes only where nothing is to be checked.
fn from_text(text: String, shape: Shape, options: &Options) -> Result<Prepared, Dropped> {
    if text.is_empty() {
        return Err((Reason::Empty, "the text is empty".into()));
    }
    if options.validate_sql {
        return Err((Reason::Columns, "the text is in no known layout, so its answer cannot be checked".into()));
    }
    check_length(&text, options)?;
    let keys = Keys::of(&text, "", "", options);
    let line = json!({ "text": text }).to_string();
    Ok(Prepared { line, text, keys, shape, statement: None, conversions: Vec::new() })
}

/// The schema as it is checked against, and the text that is shown. Text that holds no CREATE statement (M-Schema, a
/// list of columns) is shown as it is and nothing is checked against it.
fn canonical(schema: Option<&str>, options: &Options) -> Result<(Option<Schema>, Option<String>), Dropped> {
    let Some(text) = schema else { return Ok((None, None)) };
    let upper = text.to_ascii_uppercase();
    if !upper.contains("CREATE ") || !(upper.contains("TABLE") || upper.contains("VIEW")) {
        return Ok((None, Some(text.to_owned())));
    }
    match Schema::parse(text, options.dialect) {
        Ok(schema) => {
            let ddl = schema.to_ddl();
            Ok((Some(schema), Some(ddl)))
        }
        Err(error) if options.validate_sql => Err((Reason::Schema, error.to_string())),
        Err(_) => Ok((None, Some(text.to_owned()))),
    }
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

    fn prepared(row: Value, options: &Options) -> Result<Prepared, Dropped> {
        let Value::Object(fields) = row else { unreachable!() };
        let record = Record { place: Place { file: "x".into(), line: 1 }, fields };
        prepare(&record, &Databases::default(), options)
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
    fn another_schema_text_is_shown_as_it_is() {
        let options = Options { layout: Layout::Simple, dialect: Dialect::Sqlite, ..Options::default() };
        let row = row("Table t: a, b", "q?", "SELECT a FROM t");
        assert_eq!(
            prepared(row, &options).unwrap().text,
            "Schema: Table t: a, b\n\nQuestion: q?\n\nAnswer: SELECT a FROM t"
        );
    }
}
