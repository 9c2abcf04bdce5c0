//! What the checks find of an answer over its tables: its text in the rows' dialect, or why it is no answer.
//!
//! Many questions mean the same statement, in paraphrases, in translations, in what is synthesized: the findings are kept
//! with the schema.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlparser::ast::Statement;

use super::row::Dropped;
use super::{Options, Reason};
use crate::sql::convert::{self, Carried, Source, Target, Unsupported};
use crate::sql::{self, Dialect, Hardness, Schema, foreign_language, parsed_prose};

/// Findings kept for one schema; all go when there are more. Price: a million rows peak at 69 MiB (`docs/LOG.md`).
const KEPT: usize = 32;

/// A sound answer. It depends on the answer, the dialect that is stated and the schema alone.
#[derive(Debug)]
pub(super) struct Judged {
    /// The answer in the rows' dialect.
    pub sql: String,
    /// Conversions that changed it.
    pub applied: Vec<&'static str>,
    /// The dialect that it was written in.
    pub source: Source,
    /// The kind of its statement; none without validation.
    pub statement: Option<&'static str>,
    /// How hard it is by Spider's rule, if it is a query.
    pub hardness: Option<Hardness>,
    /// Its tree as text, where answers are compared.
    pub plain: Option<String>,
    /// The tables that it names, where schemas are pruned.
    pub used: Vec<String>,
    /// Its tree, where answers are tried out.
    pub statements: Vec<Statement>,
}

type Finding = Result<Arc<Judged>, Dropped>;

/// Answers of a schema that were judged before.
#[derive(Debug, Default)]
pub(super) struct Answers {
    kept: Mutex<HashMap<(Option<Dialect>, String), Finding>>,
}

impl Answers {
    /// What is found of an answer to a question about this schema.
    pub fn get(&self, answer: &str, stated: Option<Dialect>, schema: Option<&Schema>, options: &Options) -> Finding {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (stated, answer.to_owned());
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let judged = judge(answer, stated, schema, options).map(Arc::new);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, judged.clone());
        judged
    }
}

/// Converts an answer, parses it and resolves its names.
pub(super) fn judge(
    answer: &str,
    stated: Option<Dialect>,
    schema: Option<&Schema>,
    options: &Options,
) -> Result<Judged, Dropped> {
    let Carried { conversion, source, statements } = converted(answer, stated, schema, options)?;
    let mut judged = Judged {
        sql: conversion.sql.into_owned(),
        applied: conversion.applied,
        source,
        statement: None,
        hardness: None,
        plain: None,
        used: Vec::new(),
        statements: Vec::new(),
    };
    if !options.validate_sql {
        return Ok(judged);
    }
    let parsed = statements.map_or_else(|| sql::parse(&judged.sql, options.dialect), Ok);
    let statements = parsed.map_err(|error| match foreign_language(answer) {
        Some(language) => (Reason::NotSql, format!("this is {language}, not SQL")),
        None => (Reason::Parse, error.to_string()),
    })?;
    if let Some(language) = parsed_prose(answer, &statements) {
        return Err((Reason::NotSql, format!("this is {language}, not SQL")));
    }
    if options.schema_budget.is_some() {
        judged.used = sql::relations(&statements);
    }
    judged.hardness = statements.first().and_then(sql::hardness);
    judged.statement = statements.first().map(sql::summary);
    // Only compared where answers are compared: writing a tree costs as much as parsing it.
    judged.plain = options.drop_ambiguous.then(|| statements.iter().map(|s| format!("{s};")).collect::<String>());
    let issues = schema.map(|schema| sql::lint_statements(&statements, schema, options.dialect));
    if let Some(issue) = issues.unwrap_or_default().first() {
        return Err((Reason::Names, issue.message.clone()));
    }
    if options.tries_out() {
        judged.statements = statements;
    }
    Ok(judged)
}

/// The answer in the rows' dialect, and what was learnt of it on the way.
fn converted<'a>(
    answer: &'a str,
    stated: Option<Dialect>,
    schema: Option<&Schema>,
    options: &Options,
) -> Result<Carried<'a>, Dropped> {
    let stated =
        stated.filter(|dialect| *dialect != Dialect::Generic).and_then(|dialect| Source::from_name(dialect.name()));
    let target = Target::from_name(options.language.unwrap_or(options.dialect.name()));
    let carried = convert::carry(answer, stated, target, schema, options.fidelity);
    match carried.conversion.warnings.first() {
        Some(warning) if options.unsupported != Unsupported::Keep => Err((Reason::Unsupported, warning.clone())),
        _ => Ok(carried),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_found_and_not_more_than_a_few() {
        let schema = Schema::parse("CREATE TABLE t (a TEXT)", Dialect::Postgres).unwrap();
        let (answers, options) = (Answers::default(), Options::default());
        let get = |sql: &str| answers.get(sql, Some(Dialect::Sqlite), Some(&schema), &options);
        let first = get("SELECT a FROM t WHERE a = \"x\"").unwrap();
        assert_eq!(first.sql, "SELECT a FROM t WHERE a = 'x'");
        assert!(Arc::ptr_eq(&first, &get("SELECT a FROM t WHERE a = \"x\"").unwrap()));
        assert_eq!(get("SELECT b FROM t").unwrap_err(), get("SELECT b FROM t").unwrap_err());
        // Stated to be something else it is another answer.
        let other = answers.get("SELECT a FROM t WHERE a = \"x\"", Some(Dialect::Postgres), Some(&schema), &options);
        assert_eq!(other.unwrap_err().0, Reason::Names);
        (0..3 * KEPT).for_each(|number| assert!(get(&format!("SELECT a FROM t LIMIT {number}")).is_ok()));
        assert!(answers.kept.lock().unwrap().len() <= KEPT);
    }
}
