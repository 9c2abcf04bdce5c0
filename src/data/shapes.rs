//! What a record asks and answers: the shapes of the known data sets, recognised by their columns, and mappings for all
//! others.

use serde_json::{Map, Value};

use super::spider::Databases;
use super::template::Layout;
use crate::error::{Problem, Result};
use crate::sql::Dialect;

/// A record's parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    /// The question.
    pub question: String,
    /// The schema as the record gives it.
    pub schema: Option<String>,
    /// The SQL.
    pub answer: String,
    /// What the record adds to the question (BIRD's evidence).
    pub evidence: Option<String>,
    /// The dialect the record says its SQL is in.
    pub dialect: Option<Dialect>,
}

/// What came out of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extracted {
    /// Its parts.
    Example(Example),
    /// A whole text in no layout that is known: there is nothing to check in it.
    Text(String),
}

/// The shapes of the known data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Shape {
    /// b-mc2/sql-create-context: context, question, answer.
    CreateContext,
    /// gretelai/synthetic_text_to_sql: sql_context, sql_prompt, sql.
    Gretel,
    /// Clinton/Text-to-sql-v1: instruction, input, response.
    Instruction,
    /// Spider: question, query, db_id.
    Spider,
    /// BIRD and askGuru: db_id, question, evidence, SQL.
    Evidence,
    /// askGuru's self-refinement: question, pred_sql_res, sql, db_schema.
    Refine,
    /// OpenAI's messages.
    Messages,
    /// A whole text.
    Text,
    /// Named by a mapping.
    Mapped,
}

/// Part → column, as `--map` or the manifest's `field_mapping` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    columns: Vec<(Part, String)>,
    /// Records without these columns are read by their own shape instead of being dropped.
    lenient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Question,
    Schema,
    Answer,
    Evidence,
    Dialect,
    Database,
    Text,
}

impl Part {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "question" | "instruction" | "prompt" => Self::Question,
            "schema" | "context" | "input" => Self::Schema,
            "answer" | "response" | "output" | "sql" => Self::Answer,
            "evidence" => Self::Evidence,
            "dialect" => Self::Dialect,
            "db_id" | "database" => Self::Database,
            "text" => Self::Text,
            _ => return None,
        })
    }
}

impl Mapping {
    /// A mapping from `part=column` pairs; unknown parts are an error.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut columns = Vec::new();
        for (part, column) in pairs {
            let known = Part::from_name(part.trim()).ok_or_else(|| {
                Problem::usage(format!("`{part}` is no part of a row"))
                    .hint("parts are question, schema, answer, evidence, dialect, db_id, text")
            })?;
            columns.push((known, column.trim().to_owned()));
        }
        Ok(Self { columns, lenient: false })
    }

    /// A mapping from `question=COL,answer=COL,…`.
    pub fn parse(text: &str) -> Result<Self> {
        let pairs: Option<Vec<(&str, &str)>> =
            text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| pair.split_once('=')).collect();
        let pairs = pairs.ok_or_else(|| {
            Problem::usage(format!("`{text}` is no mapping")).hint("--map question=COLUMN,schema=COLUMN,answer=COLUMN")
        })?;
        Self::from_pairs(pairs)
    }

    /// The same mapping for records that have its columns; others are read by their own shape. A manifest's
    /// `field_mapping` may speak of the rows that training reads, not of those that they are made from.
    #[must_use]
    pub fn where_it_fits(mut self) -> Self {
        self.lenient = true;
        self
    }

    fn applies(&self, fields: &Map<String, Value>) -> bool {
        let fits = || self.columns.iter().all(|(_, column)| fields.contains_key(column));
        !self.columns.is_empty() && (!self.lenient || fits())
    }

    fn column(&self, part: Part) -> Option<&str> {
        self.columns.iter().find(|(known, _)| *known == part).map(|(_, column)| column.as_str())
    }
}

impl Shape {
    /// The shape of a record with these columns.
    pub fn of(fields: &Map<String, Value>) -> Option<Self> {
        let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
        let known = [
            (Self::Gretel, &["sql_context", "sql_prompt", "sql"][..]),
            (Self::Refine, &["question", "pred_sql_res", "sql", "db_schema"]),
            (Self::Evidence, &["db_id", "question", "SQL"]),
            (Self::Spider, &["question", "query", "db_id"]),
            (Self::CreateContext, &["context", "question", "answer"]),
            (Self::Messages, &["messages"]),
            (Self::Instruction, &["instruction", "response"]),
            (Self::Instruction, &["instruction", "output"]),
            (Self::Text, &["text"]),
        ];
        known.into_iter().find(|(_, columns)| has(columns)).map(|(shape, _)| shape)
    }

    /// The name in `metadata.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateContext => "context-question-answer",
            Self::Gretel => "sql_context-sql_prompt-sql",
            Self::Instruction => "instruction-input-response",
            Self::Spider => "spider",
            Self::Evidence => "question-evidence-sql",
            Self::Refine => "self-refine",
            Self::Messages => "messages",
            Self::Text => "text",
            Self::Mapped => "mapped",
        }
    }

    /// Whether its records name their schema by a database id.
    pub fn needs_tables(self) -> bool {
        matches!(self, Self::Spider | Self::Evidence)
    }
}

/// The parts of a record, or why it has none.
pub fn extract(
    fields: &Map<String, Value>,
    mapping: &Mapping,
    databases: &Databases,
) -> Result<(Shape, Extracted), String> {
    let shape = if mapping.applies(fields) { Some(Shape::Mapped) } else { Shape::of(fields) };
    let Some(shape) = shape else {
        let columns: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(format!("no known columns (found: {})", shortened(&columns.join(", "))));
    };
    let row = Row { fields, databases };
    let mut example = match shape {
        Shape::CreateContext => row.plain("question", Some("context"), "answer")?,
        Shape::Gretel => row.plain("sql_prompt", Some("sql_context"), "sql")?,
        Shape::Instruction => row.instruction()?,
        Shape::Spider => row.plain("question", None, "query")?,
        Shape::Evidence => row.plain("question", None, "SQL")?,
        Shape::Refine => row.refine()?,
        Shape::Messages => row.messages()?,
        Shape::Text => return Ok((shape, from_text(row.text("text")?))),
        Shape::Mapped => {
            if let Some(column) = mapping.column(Part::Text) {
                return Ok((shape, from_text(row.text(column)?)));
            }
            row.mapped(mapping)?
        }
    };
    if shape.needs_tables() || shape == Shape::Mapped {
        row.add_database(&mut example, mapping.column(Part::Database).unwrap_or("db_id"), shape.needs_tables())?;
    }
    if matches!(shape, Shape::CreateContext | Shape::Evidence | Shape::Refine) {
        example.evidence = row.optional("evidence");
    }
    let dialect = mapping.column(Part::Dialect);
    let dialect = dialect.into_iter().chain(["dialect", "_dialect", "sql_dialect"]).find_map(|name| row.optional(name));
    example.dialect = example.dialect.or(dialect.as_deref().and_then(Dialect::from_name));
    Ok((shape, Extracted::Example(example)))
}

struct Row<'a> {
    fields: &'a Map<String, Value>,
    databases: &'a Databases,
}

impl Row<'_> {
    fn text(&self, column: &str) -> Result<String, String> {
        match self.fields.get(column) {
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            Some(Value::Null) => Err(format!("column {column} is null")),
            Some(_) => Err(format!("column {column} is no text")),
            None => Err(format!("no column {column}")),
        }
    }

    fn optional(&self, column: &str) -> Option<String> {
        self.text(column).ok().filter(|text| !text.is_empty())
    }

    fn plain(&self, question: &str, schema: Option<&str>, answer: &str) -> Result<Example, String> {
        Ok(Example {
            question: self.text(question)?,
            schema: schema.and_then(|column| self.optional(column)),
            answer: self.text(answer)?,
            ..Example::default()
        })
    }

    /// The schema stands in `input`; some sets put it into `instruction` and the question into `input`.
    fn instruction(&self) -> Result<Example, String> {
        let answer = if self.fields.contains_key("response") { "response" } else { "output" };
        let mut example = self.plain("instruction", Some("input"), answer)?;
        if let Some(input) = example.schema.take() {
            if holds_tables(&example.question) && !holds_tables(&input) {
                example.schema = Some(std::mem::replace(&mut example.question, input));
            } else {
                example.schema = Some(input);
            }
        }
        Ok(example)
    }

    /// The question becomes the task of mending the statement that failed.
    fn refine(&self) -> Result<Example, String> {
        let mut example = self.plain("question", Some("db_schema"), "sql")?;
        let part = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // CSV files and some exports hold the list as text.
        let read: Option<Value> = match self.fields.get("pred_sql_res") {
            Some(Value::String(text)) if text.trim_start().starts_with(['[', '{']) => serde_json::from_str(text).ok(),
            _ => None,
        };
        let (failed, error) = match read.as_ref().or_else(|| self.fields.get("pred_sql_res")) {
            Some(Value::Array(parts)) => match parts.first() {
                // Several attempts: the last one is what is to be mended.
                Some(Value::Array(_)) => {
                    let last = parts.iter().filter_map(Value::as_array).next_back().map(Vec::as_slice);
                    let last = last.unwrap_or_default();
                    (last.first().map(part), last.get(1).map(part))
                }
                first => (first.map(part), parts.get(1).map(part)),
            },
            Some(Value::Object(parts)) => (
                parts.get("sql").or_else(|| parts.get("pred_sql")).map(part),
                parts.get("error").or_else(|| parts.get("result")).map(part),
            ),
            Some(Value::String(text)) => (Some(text.clone()), None),
            _ => (None, None),
        };
        // No attempt: a plain question.
        let Some(failed) = failed.filter(|sql| !sql.trim().is_empty()) else { return Ok(example) };
        example.question = super::tasks::refine(&example.question, &failed, error.as_deref());
        Ok(example)
    }

    fn messages(&self) -> Result<Example, String> {
        let Some(Value::Array(messages)) = self.fields.get("messages") else {
            return Err("column messages is no list".into());
        };
        let mut example = Example::default();
        for message in messages {
            let content = message.get("content").and_then(Value::as_str).ok_or("a message has no text")?.trim();
            match message.get("role").and_then(Value::as_str) {
                Some("system") => (example.dialect, example.schema) = system_parts(content),
                Some("user") if example.question.is_empty() => example.question = content.to_owned(),
                Some("user") => return Err("a conversation with more than one question".into()),
                Some("assistant") => example.answer = content.to_owned(),
                role => return Err(format!("a message of role {}", role.unwrap_or("(none)"))),
            }
        }
        Ok(example)
    }

    fn mapped(&self, mapping: &Mapping) -> Result<Example, String> {
        let column = |part, name: &str| mapping.column(part).unwrap_or(name).to_owned();
        let schema = column(Part::Schema, "schema");
        let mut example =
            self.plain(&column(Part::Question, "question"), Some(&schema), &column(Part::Answer, "answer"))?;
        if mapping.column(Part::Schema).is_some() && !self.fields.contains_key(&schema) {
            return Err(format!("no column {schema}"));
        }
        example.evidence = self.optional(mapping.column(Part::Evidence).unwrap_or("evidence"));
        Ok(example)
    }

    fn add_database(&self, example: &mut Example, column: &str, needed: bool) -> Result<(), String> {
        if example.schema.is_some() {
            return Ok(());
        }
        let own = ["schema", "db_schema", "context"].iter().find_map(|column| self.optional(column));
        let database = self.optional(column);
        example.schema = own.or_else(|| database.as_deref().and_then(|id| self.databases.ddl(id)).map(str::to_owned));
        match (&example.schema, database) {
            (None, Some(id)) if needed => Err(format!("no schema for database {id}")),
            (None, None) if needed => Err(format!("no column {column}")),
            _ => Ok(()),
        }
    }
}

/// Dialect and schema of a system message: our own two lines, else the schema alone if it holds tables.
fn system_parts(content: &str) -> (Option<Dialect>, Option<String>) {
    if let Some(rest) = content.strip_prefix("Dialect:") {
        let (dialect, schema) = rest.split_once('\n').unwrap_or((rest, ""));
        let schema = schema.trim().strip_prefix("Schema:").unwrap_or(schema).trim();
        return (Dialect::from_name(dialect.trim()), (!schema.is_empty()).then(|| schema.to_owned()));
    }
    let at = content.to_ascii_uppercase().find("CREATE TABLE");
    (None, at.and_then(|at| content.get(at..)).map(str::to_owned))
}

fn from_text(text: String) -> Extracted {
    match Layout::detect(&text).and_then(|layout| layout.parse(&text)) {
        Some((prompt, answer)) => Extracted::Example(Example {
            question: prompt.question.trim().to_owned(),
            schema: prompt.schema.map(|schema| schema.trim().to_owned()).filter(|schema| !schema.is_empty()),
            answer: answer.trim().to_owned(),
            evidence: None,
            dialect: Dialect::from_name(&prompt.dialect).filter(|dialect| *dialect != Dialect::Generic),
        }),
        None => Extracted::Text(text),
    }
}

fn holds_tables(text: &str) -> bool {
    text.to_ascii_uppercase().contains("CREATE TABLE")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extracted(row: Value, mapping: &str) -> Result<(Shape, Extracted), String> {
        let Value::Object(fields) = row else { unreachable!() };
        extract(&fields, &Mapping::parse(mapping).unwrap(), &Databases::default())
    }

    fn example(row: Value, mapping: &str) -> (Shape, Example) {
        match extracted(row, mapping).unwrap() {
            (shape, Extracted::Example(example)) => (shape, example),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn the_known_data_sets() {
        let (ddl, q, sql) = ("CREATE TABLE t (a INT)", "How many?", "SELECT COUNT(*) FROM t");
        let row = layout_row(ddl, q, sql);
        for (shape, row) in [
            (Shape::CreateContext, json!({"context": ddl, "question": q, "answer": sql})),
            (Shape::Gretel, json!({"id": 1, "sql_context": ddl, "sql_prompt": q, "sql": sql, "domain": "x"})),
            (Shape::Instruction, json!({"instruction": q, "input": ddl, "response": sql, "source": "s", "text": "t"})),
            (Shape::Instruction, json!({"instruction": ddl, "input": q, "output": sql})),
            (Shape::Spider, json!({"question": q, "query": sql, "db_id": "d", "schema": ddl})),
            (Shape::Evidence, json!({"db_id": "d", "question": q, "evidence": "", "SQL": sql, "schema": ddl})),
            (
                Shape::Messages,
                json!({"messages": [{"role": "system", "content": format!("Answer in SQL.\n{ddl}")},
                {"role": "user", "content": q}, {"role": "assistant", "content": sql}]}),
            ),
            (Shape::Text, json!({"text": row})),
        ] {
            let (found, example) = example(row, "");
            assert_eq!(found, shape);
            assert_eq!(
                (example.question.as_str(), example.schema.as_deref(), example.answer.as_str()),
                (q, Some(ddl), sql)
            );
        }
    }

    fn layout_row(ddl: &str, q: &str, sql: &str) -> String {
        let prompt =
            crate::data::template::Prompt { dialect: "sqlite".into(), schema: Some(ddl.into()), question: q.into() };
        Layout::ChatMl.render(&prompt, sql)
    }

    #[test]
    fn refinement_asks_to_mend_the_statement() {
        let (_, example) = example(
            json!({"db_name": "d", "question": "How many?", "pred_sql_res": ["SELECT x FROM t", "no such column: x"],
                "sql": "SELECT 1", "db_schema": "【Schema】 t", "evidence": "x means y"}),
            "",
        );
        assert_eq!(
            example.question,
            "How many?\nThis statement failed:\nSELECT x FROM t\nError: no such column: x\nCorrect it."
        );
        assert_eq!(example.evidence.as_deref(), Some("x means y"));
    }

    #[test]
    fn pairs_may_bring_evidence_whatever_reads_them() {
        let row = json!({"context": "CREATE TABLE t (a INT)", "question": "How much?", "answer": "SELECT SUM(a) FROM t",
            "evidence": "much is SUM(a)"});
        for mapping in ["", "question=question,schema=context,answer=answer"] {
            let (_, example) = example(row.clone(), mapping);
            assert_eq!(example.evidence.as_deref(), Some("much is SUM(a)"), "{mapping}");
        }
        let (_, without) = example(json!({"context": "x", "question": "q", "answer": "a", "evidence": null}), "");
        assert_eq!(without.evidence, None);
    }

    #[test]
    fn others_go_through_a_mapping() {
        let row = json!({"q": "How many?", "s": "SELECT 1", "c": "CREATE TABLE t (a INT)", "dialect": "mysql"});
        assert!(extracted(row.clone(), "").unwrap_err().starts_with("no known columns (found: q, s, c"));
        let (shape, example) = example(row.clone(), "question=q,schema=c,answer=s");
        assert_eq!((shape, example.dialect), (Shape::Mapped, Some(Dialect::MySql)));
        assert_eq!(extracted(row.clone(), "question=q,answer=nothing").unwrap_err(), "no column nothing");
        assert_eq!(extracted(row, "question=q,answer=s,schema=zz").unwrap_err(), "no column zz");
        let fields = json!({"context": "x", "question": "q", "answer": "a"});
        let lenient = Mapping::parse("text=text").unwrap().where_it_fits();
        let (shape, _) = extract(fields.as_object().unwrap(), &lenient, &Databases::default()).unwrap();
        assert_eq!(shape, Shape::CreateContext);
        assert!(Mapping::parse("question").is_err());
        assert!(Mapping::parse("colour=x").is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        for (row, reason) in [
            (json!({"context": null, "question": null, "answer": "x"}), "column question is null"),
            (json!({"context": "x", "question": 7, "answer": "x"}), "column question is no text"),
            (json!({"question": "q", "query": "s", "db_id": "d"}), "no schema for database d"),
            (json!({"messages": "x"}), "column messages is no list"),
            (
                json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}),
                "a conversation with more than one question",
            ),
        ] {
            assert_eq!(extracted(row, "").unwrap_err(), reason);
        }
    }

    #[test]
    fn a_text_in_no_layout_stays_a_text() {
        assert_eq!(extracted(json!({"text": "SELECT 1"}), "").unwrap().1, Extracted::Text("SELECT 1".into()));
    }
}
