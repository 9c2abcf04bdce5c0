//! Conversion between dialects: `sqlparser`'s tree, rewritten with the schema at hand.
//!
//! Two passes: `Stage::ToPostgres` gives SQLite's and MySQL's constructs PostgreSQL's words, `Stage::FromPostgres`
//! gives PostgreSQL's another target's. Each rule has a name, which [`Conversion::applied`] lists. What cannot be carried
//! over faithfully is left alone and said in [`Conversion::warnings`]. Text already in the target dialect is returned
//! byte for byte.

mod aggregates;
mod build;
mod calls;
mod changes;
mod compare;
mod dates;
mod ddl;
mod dml;
mod expression;
mod foreign_keys;
mod formats;
mod functions;
mod grouping;
mod leave;
mod literals;
mod mend;
mod mysql_dates;
mod names;
mod operators;
mod order;
mod read;
mod reserved;
mod rows;
mod schema;
mod scope;
mod source;
mod strings;
mod value_type;
mod walk;
mod weeks;

use std::borrow::Cow;

use super::{Dialect, Schema};
use crate::error::Result;
pub use rows::{Converted, Converter, Unsupported};
pub use schema::schema_for;
pub use source::{Finding, detect};

/// What the conversion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion<'a> {
    /// The SQL for the target dialect.
    pub sql: Cow<'a, str>,
    /// The rules that changed something, by name.
    pub applied: Vec<&'static str>,
    /// What could not be carried over, or only nearly.
    pub warnings: Vec<String>,
}

/// Where a text may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite, and mixed sets that behave like it.
    Sqlite,
}

/// What a text is converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    MySql,
    /// SQLite.
    Sqlite,
    /// Oracle.
    Oracle,
}

/// How faithful the result is to the last detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fidelity {
    /// The same result in every case that can be told apart.
    #[default]
    Exact,
    /// What people write: details that matter only for NULLs in keys, patterns without letters and the like stay out.
    Idiomatic,
}

/// The pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// From the source to PostgreSQL.
    ToPostgres,
    /// From PostgreSQL to another target.
    FromPostgres(Target),
}

/// The state of one pass over one statement.
struct Rewriter<'s> {
    schema: Option<&'s Schema>,
    stage: Stage,
    source: Source,
    idiomatic: bool,
    place: walk::Place,
    derived: usize,
    applied: Vec<&'static str>,
    warnings: Vec<String>,
}

impl Fidelity {
    /// The name that `--fidelity` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Idiomatic => "idiomatic",
        }
    }
}

impl Source {
    /// What flags and data sets mean by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match Dialect::from_name(name)? {
            Dialect::Postgres => Some(Self::Postgres),
            Dialect::MySql => Some(Self::MySql),
            Dialect::Sqlite | Dialect::Generic => Some(Self::Sqlite),
        }
    }

    /// Whether this is the target already.
    pub fn is(self, to: Target) -> bool {
        matches!(
            (self, to),
            (Self::Postgres, Target::Postgres) | (Self::MySql, Target::MySql) | (Self::Sqlite, Target::Sqlite)
        )
    }

    /// The dialect it is parsed as.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Postgres => Dialect::Postgres,
            Self::MySql => Dialect::MySql,
            Self::Sqlite => Dialect::Sqlite,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.dialect().name()
    }
}

impl Target {
    /// What flags mean by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match Dialect::from_name(name) {
            Some(Dialect::Postgres) => Some(Self::Postgres),
            Some(Dialect::MySql) => Some(Self::MySql),
            Some(Dialect::Sqlite) => Some(Self::Sqlite),
            _ => name.eq_ignore_ascii_case("oracle").then_some(Self::Oracle),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
            Self::Oracle => "oracle",
        }
    }
}

impl<'s> Rewriter<'s> {
    fn new(stage: Stage, source: Source, schema: Option<&'s Schema>, fidelity: Fidelity) -> Self {
        Self {
            schema,
            stage,
            source,
            idiomatic: fidelity == Fidelity::Idiomatic,
            place: walk::Place::Plain,
            derived: 0,
            applied: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes that a rule changed something.
    fn did(&mut self, rule: &'static str) {
        if !self.applied.contains(&rule) {
            self.applied.push(rule);
        }
    }

    fn warn(&mut self, text: &str) {
        if !self.warnings.iter().any(|known| known == text) {
            self.warnings.push(text.to_owned());
        }
    }

    fn has_schema(&self) -> bool {
        self.schema.is_some()
    }
}

/// Converts `sql` over `schema`. An error: the text does not parse as its source dialect.
pub fn translate<'a>(
    sql: &'a str,
    from: Source,
    to: Target,
    schema: Option<&Schema>,
    fidelity: Fidelity,
) -> Result<Conversion<'a>> {
    if from.is(to) {
        return Ok(unchanged(sql));
    }
    let text = match read::statements(sql, from) {
        Ok(text) => text,
        // What only PostgreSQL reads is PostgreSQL already, whatever it was taken for.
        Err(_) if to == Target::Postgres && read::can_read(sql, Source::Postgres) => return Ok(unchanged(sql)),
        Err(error) => return Err(error),
    };
    Ok(translated(sql, text, from, to, schema, fidelity))
}

/// Converts a text that was read as `from`.
fn translated<'a>(
    sql: &'a str,
    mut text: read::Text,
    from: Source,
    to: Target,
    schema: Option<&Schema>,
    fidelity: Fidelity,
) -> Conversion<'a> {
    let mut applied = std::mem::take(&mut text.applied);
    let mut warnings = Vec::new();
    let mut passes = Vec::with_capacity(2);
    if from != Source::Postgres {
        passes.push((Stage::ToPostgres, from));
    }
    if to != Target::Postgres {
        passes.push((Stage::FromPostgres(to), Source::Postgres));
    }
    for (stage, source) in passes {
        let rewriter = rewritten(&mut text, stage, source, schema, fidelity);
        for rule in rewriter.applied {
            if !applied.contains(&rule) {
                applied.push(rule);
            }
        }
        warnings.extend(rewriter.warnings);
    }
    let converted = if applied.is_empty() { sql.into() } else { text.to_sql().into() };
    Conversion { sql: converted, applied, warnings }
}

/// One pass over a text.
fn rewritten<'s>(
    text: &mut read::Text,
    stage: Stage,
    source: Source,
    schema: Option<&'s Schema>,
    fidelity: Fidelity,
) -> Rewriter<'s> {
    let mut rewriter = Rewriter::new(stage, source, schema, fidelity);
    match &mut text.body {
        read::Body::Statements(statements) => {
            rewriter.statements(statements);
            if stage == Stage::ToPostgres {
                rewriter.foreign_keys(statements);
            }
        }
        read::Body::Expression(expr) => {
            rewriter.expr(expr, &scope::Scope::default());
        }
    }
    rewriter
}

/// The rules that carry a text over from `source` to PostgreSQL.
fn rules_of(mut text: read::Text, source: Source, schema: &Schema) -> Vec<&'static str> {
    let mut rules = std::mem::take(&mut text.applied);
    rules.extend(rewritten(&mut text, Stage::ToPostgres, source, Some(schema), Fidelity::Exact).applied);
    rules
}

/// A statement carried over, and what was learnt of it on the way.
#[derive(Debug)]
pub struct Carried<'a> {
    /// The statement in the target dialect.
    pub conversion: Conversion<'a>,
    /// The dialect it was written in.
    pub source: Source,
    /// Its tree, where it was read in the target dialect and nothing changed; none: it is still to be parsed.
    pub statements: Option<Vec<sqlparser::ast::Statement>>,
}

/// Carries `sql` over from the dialect that is stated, else from the one that it is found to be in. What does not parse
/// passes unchanged. `to` none: a language that is none of our dialects.
pub fn carry<'a>(
    sql: &'a str,
    stated: Option<Source>,
    to: Option<Target>,
    schema: Option<&Schema>,
    fidelity: Fidelity,
) -> Carried<'a> {
    let bare = |source| Carried { conversion: unchanged(sql), source, statements: None };
    let (source, text) = match stated {
        Some(source) => (source, None),
        None => {
            let found = source::find(sql, schema);
            let own = [Source::MySql, Source::Sqlite].into_iter().find(|own| to.is_some_and(|to| own.is(to)));
            if let Some(own) = own.filter(|_| found.finding.evidence.is_empty()) {
                // No dialect claims it: it is in the one that is asked for already.
                return bare(own);
            }
            (found.finding.source, found.text)
        }
    };
    let Some(to) = to else { return bare(source) };
    match text {
        Some(read::Text { body: read::Body::Statements(statements), .. }) if source.is(to) => {
            // Trees of this room keep quotes as they are written, which no text with a plain string shows.
            let same = !sql.contains("''") && !sql.contains('\\');
            Carried { statements: Some(statements).filter(|_| same), ..bare(source) }
        }
        Some(text) if !source.is(to) => {
            Carried { conversion: translated(sql, text, source, to, schema, fidelity), source, statements: None }
        }
        _ => {
            let done = translate(sql, source, to, schema, fidelity).unwrap_or_else(|_| unchanged(sql));
            Carried { conversion: done, source, statements: None }
        }
    }
}

fn unchanged(sql: &str) -> Conversion<'_> {
    Conversion { sql: sql.into(), applied: Vec::new(), warnings: Vec::new() }
}

/// Converts `sql`, written for `from` (none: found from the text) over `schema`, to `to`, in the idiomatic way; text that
/// does not parse passes unchanged.
pub fn convert<'a>(sql: &'a str, from: Option<Dialect>, to: Dialect, schema: Option<&Schema>) -> Conversion<'a> {
    let (Some(to), false) = (Target::from_name(to.name()), from == Some(to)) else {
        return unchanged(sql);
    };
    let from = match from {
        Some(Dialect::Generic) | None => detect(sql, schema).source,
        Some(dialect) => Source::from_name(dialect.name()).unwrap_or(Source::Sqlite),
    };
    translate(sql, from, to, schema, Fidelity::Idiomatic).unwrap_or_else(|_| unchanged(sql))
}
