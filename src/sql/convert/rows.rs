//! Conversion of one row of a data set: `sql` over `context` to `converted`, `changes` and `warnings`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Fidelity, Source, Target, translate};
use crate::error::{Problem, Result};
use crate::sql::{Dialect, Schema};

/// How many read schemas are kept: rows of one database usually stand together. Price: about 20 KB each.
const SCHEMAS_KEPT: usize = 512;

/// What to do with SQL that cannot be carried over faithfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsupported {
    /// Convert as far as possible and say what is left.
    #[default]
    Keep,
    /// Leave the row out and count it.
    Drop,
    /// Stop.
    Error,
}

impl Unsupported {
    /// The name that `--on-unsupported` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Error => "error",
        }
    }
}

/// A conversion as the command line asks for it.
#[derive(Debug)]
pub struct Converter {
    /// The source; none: found for each row.
    pub from: Option<Source>,
    /// The target.
    pub to: Target,
    /// How faithful.
    pub fidelity: Fidelity,
    /// What to do with the rest.
    pub unsupported: Unsupported,
    /// The schema of rows that bring none.
    pub context: Option<Arc<Schema>>,
    schemas: Mutex<HashMap<String, Option<Arc<Schema>>>>,
}

/// One converted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The text for the target; the source's own where it does not parse.
    pub sql: String,
    /// The source, given or found.
    pub from: Source,
    /// Why it was taken for that, where it was found.
    pub evidence: Vec<&'static str>,
    /// The rules that changed something.
    pub changes: Vec<&'static str>,
    /// What is not carried over faithfully.
    pub warnings: Vec<String>,
}

impl Converter {
    /// A conversion to `to`.
    pub fn new(from: Option<Source>, to: Target) -> Self {
        Self {
            from,
            to,
            fidelity: Fidelity::Exact,
            unsupported: Unsupported::Keep,
            context: None,
            schemas: Mutex::new(HashMap::new()),
        }
    }

    /// Converts one text over a schema.
    pub fn text(&self, sql: &str, schema: Option<&Schema>) -> Converted {
        let (from, evidence, read) = match self.from {
            Some(from) => (from, Vec::new(), None),
            None => {
                let found = super::source::find(sql, schema);
                (found.finding.source, found.finding.evidence, found.text)
            }
        };
        let done = match read {
            Some(text) if !from.is(self.to) => Ok(super::translated(sql, text, from, self.to, schema, self.fidelity)),
            _ => translate(sql, from, self.to, schema, self.fidelity),
        };
        match done {
            Ok(done) => Converted {
                sql: match done.sql {
                    Cow::Borrowed(text) => text.to_owned(),
                    Cow::Owned(text) => text,
                },
                from,
                evidence,
                changes: done.applied,
                warnings: done.warnings,
            },
            Err(error) => Converted {
                sql: sql.to_owned(),
                from,
                evidence,
                changes: Vec::new(),
                warnings: vec![error.to_string()],
            },
        }
    }

    /// Converts a row in place; false: the row is to be left out. `place` names it in errors.
    pub fn row(&self, row: &mut Map<String, Value>, place: &str) -> Result<bool> {
        let Some(sql) = row.get("sql").and_then(Value::as_str) else {
            return Err(Problem::input(format!("{place}: the row has no text in \"sql\"")).into());
        };
        let mut unread = None;
        let schema = match row.get("context").and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
            Some(text) => {
                let schema = self.schema(text);
                unread = schema.is_none().then(|| "the context holds no table".to_owned());
                schema
            }
            None => self.context.clone(),
        };
        let mut done = self.text(sql, schema.as_deref());
        done.warnings.extend(unread);
        if !done.warnings.is_empty() {
            match self.unsupported {
                Unsupported::Keep => {}
                Unsupported::Drop => return Ok(false),
                Unsupported::Error => {
                    let problem = Problem::input(format!("{place}: {}", done.warnings[0]));
                    return Err(problem.hint("--on-unsupported keep leaves such rows in and says what is left").into());
                }
            }
        }
        row.insert("converted".into(), done.sql.into());
        row.insert("changes".into(), json!(done.changes));
        row.insert("warnings".into(), json!(done.warnings));
        if self.from.is_none() {
            row.insert("from".into(), done.from.name().into());
            row.insert("evidence".into(), json!(done.evidence));
        }
        Ok(true)
    }

    /// The schema of a context, read once.
    fn schema(&self, text: &str) -> Option<Arc<Schema>> {
        let lock = || self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(text) {
            return known.clone();
        }
        let dialect = self.from.map_or(Dialect::Generic, Source::dialect);
        let schema = Schema::parse(text, dialect).ok().map(Arc::new);
        let mut schemas = lock();
        if schemas.len() >= SCHEMAS_KEPT {
            schemas.clear();
        }
        schemas.insert(text.to_owned(), schema.clone());
        schema
    }
}
