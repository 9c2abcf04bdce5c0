//! Questions and SQL made from a schema: what `synthesize` writes. Every statement is run before it is kept.
//!
//! [`synthesize`] takes the tables of a database (its own rows, or rows made up to fit) and gives pairs in two parts: the
//! training part, and a held-out part that is worded by other rule files and holds combinations that training never
//! sees. The same seed gives the same pairs. Patterns are code (`patterns`), wording is data (`phrasing`), and no model
//! takes part.

mod branches;
mod cell;
mod conditions;
mod draft;
mod draw;
mod evidence;
mod facts;
mod fill;
mod leak;
mod lexicon;
mod made_up;
mod maker;
mod noise;
mod patterns;
mod relation;
mod role;
mod rules;
mod run;
mod speak;
mod style;
#[cfg(test)]
mod tests;
mod words;
mod worlds;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::db::sqlite::Scratch;
use crate::db::{Limits, Source, Value};
use crate::error::{Problem, Result};
use crate::sql::{Dialect, Schema};

use cell::Cell;
pub use draft::Difficulty;
pub use leak::Excluded;

/// Rows of a table of a user's database that are copied and asked about. Price: about 2 MB a table at most; values that
/// only occur further behind are never asked for.
const COPIED_ROWS: usize = 2_000;

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Pairs of the training part.
    pub count: usize,
    /// Pairs of the held-out part.
    pub held_out: usize,
    /// Languages of the questions, taken in turn.
    pub languages: Vec<String>,
    /// The dialect of the SQL.
    pub dialect: Dialect,
    /// Seed of everything.
    pub seed: u64,
    /// Whether INSERT, UPDATE and DELETE are asked for too.
    pub changes: bool,
    /// A folder with further phrasing rules.
    pub phrasing: Option<PathBuf>,
    /// Files of questions that must not be written, nor anything that shares six words in a row with one.
    pub exclude: Vec<PathBuf>,
}

/// A question and its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The question.
    pub question: String,
    /// The line that decides how the question is read, where there is one. It stands below the question in the prompt.
    pub evidence: Option<String>,
    /// CREATE TABLE text of the database.
    pub schema: Arc<str>,
    /// The SQL.
    pub answer: String,
    /// The pattern it was drawn from.
    pub pattern: &'static str,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// The language of the question.
    pub language: String,
    /// The voice of the phrasing rules.
    pub voice: String,
    /// `lower`, `typo` or `none`: what hurried typing did to the question.
    pub typing: &'static str,
    /// What of it the training part never sees.
    pub unseen: &'static str,
    /// The seed that [`made_up_rows`] makes its rows from, where they were made up.
    pub rows_seed: Option<u64>,
}

impl Pair {
    /// The question with its evidence, in the form of prompts.
    pub fn asked(&self) -> String {
        match &self.evidence {
            Some(evidence) => format!("{}\nEvidence: {evidence}", self.question),
            None => self.question.clone(),
        }
    }

    /// A row as `preprocess` and `train` take it: context, question, answer, and where it comes from.
    pub fn to_json(&self, dialect: Dialect) -> Json {
        json!({
            "context": &*self.schema,
            "question": self.question,
            "evidence": self.evidence,
            "answer": self.answer,
            "dialect": dialect.name(),
            "pattern": self.pattern,
            "difficulty": self.difficulty.name(),
            "language": self.language,
            "voice": self.voice,
            "typing": self.typing,
            "unseen": self.unseen,
            "rows_seed": self.rows_seed,
        })
    }
}

/// What it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Patterns drawn.
    pub drawn: usize,
    /// Statements run.
    pub executed: usize,
    /// Statements found fit.
    pub kept: usize,
    /// Of these, those that found nothing.
    pub empty: usize,
    /// Questions dropped because they were asked of another statement before.
    pub ambiguous: usize,
    /// Questions dropped because a suite asks them, or nearly.
    pub excluded: usize,
}

/// The pairs of both parts.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// To train on.
    pub train: Vec<Pair>,
    /// Never to train on.
    pub held_out: Vec<Pair>,
    /// What it took.
    pub counts: Counts,
}

/// A database to ask about: its tables, and their rows in memory.
#[derive(Debug)]
pub struct World {
    facts: facts::Facts,
    scratch: Scratch,
    /// What its rows were made from, where they are made up.
    rows_seed: Option<u64>,
}

impl World {
    /// A copy of a database: up to `COPIED_ROWS` rows of each table; tables without any are filled with made-up rows
    /// if all are empty.
    pub fn of_database(source: &Source, seed: u64) -> Result<Self> {
        let schema = tables_only(source.schema()?)?;
        let limits = Limits { rows: COPIED_ROWS, ..Limits::default() };
        let mut rows = Vec::new();
        for table in schema.tables() {
            let columns: Vec<String> =
                table.columns.iter().map(|column| column.name.to_sql(schema.dialect())).collect();
            let name = table.name.to_sql(schema.dialect());
            let sql = format!("SELECT {} FROM {name} LIMIT {COPIED_ROWS}", columns.join(", "));
            let found = source.query(&sql, &limits).map_err(Problem::from)?;
            rows.push(found.rows.iter().map(|row| row.iter().map(Cell::of).collect()).collect());
        }
        if rows.iter().all(Vec::is_empty) {
            return Self::of_schema(&schema, seed);
        }
        Self::new(&schema, &rows)
    }

    /// Tables filled with made-up rows.
    pub fn of_schema(schema: &Schema, seed: u64) -> Result<Self> {
        let schema = tables_only(schema.clone())?;
        Ok(Self { rows_seed: Some(seed), ..Self::new(&schema, &fill(&schema, seed))? })
    }

    fn new(schema: &Schema, rows: &[Vec<Vec<Cell>>]) -> Result<Self> {
        let mut scratch = Scratch::with_schema(schema)?;
        for (table, rows) in schema.tables().iter().zip(rows) {
            let values: Vec<Vec<Value>> = rows.iter().map(|row| row.iter().map(Cell::value).collect()).collect();
            scratch.insert(table.name.text(), &values).map_err(Problem::from)?;
        }
        Ok(Self { facts: facts::Facts::new(schema, rows), scratch, rows_seed: None })
    }

    /// Tables.
    pub fn tables(&self) -> usize {
        self.facts.tables.len()
    }

    /// Rows in all of them.
    pub fn rows(&self) -> usize {
        self.facts.tables.iter().map(|table| table.rows).sum()
    }
}

fn fill(schema: &Schema, seed: u64) -> Vec<Vec<Vec<Cell>>> {
    fill::rows(schema, &mut draw::Draws::new(&[seed, 0x66_69_6c]))
}

/// Tables of a schema with rows that fit: for each table its name and rows, all columns in order. The same schema and seed
/// give the rows that [`World::of_schema`] asks about.
pub fn made_up_rows(schema: &Schema, seed: u64) -> Result<(Schema, Vec<Vec<Vec<Value>>>)> {
    let schema = tables_only(schema.clone())?;
    let tables = fill(&schema, seed);
    let values = |rows: &Vec<Vec<Cell>>| rows.iter().map(|row| row.iter().map(Cell::value).collect()).collect();
    let rows = tables.iter().map(values).collect();
    Ok((schema, rows))
}

/// Views are left out: what they show is asked of their tables.
fn tables_only(schema: Schema) -> Result<Schema> {
    let tables: Vec<_> = schema
        .tables()
        .iter()
        .filter(|table| table.query.is_none() && table.columns_known && !table.columns.is_empty())
        .cloned()
        .collect();
    if tables.is_empty() {
        return Err(Problem::input("the schema has no table with columns").into());
    }
    Ok(Schema::from_tables(schema.dialect(), tables))
}

/// What a run is given beside the database.
struct Given {
    rules: rules::Rules,
    excluded: Excluded,
}

/// Writes the pairs of a database.
pub fn synthesize(world: &mut World, options: &Options) -> Result<Pairs> {
    let given = Given { rules: rules(options)?, excluded: Excluded::load(&options.exclude)? };
    let mut pairs = Pairs::default();
    let mut writer = run::Writer::new(world, &given, options, options.seed, &mut pairs.counts);
    let held_out = writer.write(options.held_out, true, 0)?;
    let train = writer.write(options.count, false, 0)?;
    (pairs.held_out, pairs.train) = (held_out, train);
    Ok(pairs)
}

/// Writes pairs over `schemas` small databases made up from nothing, about equally many for each; `done` is told after
/// every database. Also returns their tables and rows.
pub fn synthesize_many(
    schemas: usize,
    options: &Options,
    mut done: impl FnMut(usize),
) -> Result<(Pairs, usize, usize)> {
    let given = Given { rules: rules(options)?, excluded: Excluded::load(&options.exclude)? };
    let mut all = Pairs::default();
    let (mut tables, mut rows) = (0, 0);
    // Databases whose questions are held out are never trained on.
    let held_schemas = if options.held_out == 0 { 0 } else { (schemas / 20).max(1) };
    for number in 0..schemas + held_schemas {
        let seed = crate::kernels::random::mix(&[options.seed, number as u64]);
        let schema = worlds::schema(&mut draw::Draws::new(&[seed]), options.dialect);
        let mut world = World::of_schema(&schema, seed)?;
        let held_out = number >= schemas;
        let missing = if held_out { options.held_out - all.held_out.len() } else { options.count - all.train.len() };
        let left = if held_out { schemas + held_schemas - number } else { schemas - number };
        let mut writer = run::Writer::new(&mut world, &given, options, seed, &mut all.counts);
        let part = if held_out { &mut all.held_out } else { &mut all.train };
        let pairs = writer.write(missing.div_ceil(left), held_out, part.len())?;
        part.extend(pairs);
        tables += world.tables();
        rows += world.rows();
        done(number + 1);
    }
    Ok((all, tables, rows))
}

fn rules(options: &Options) -> Result<rules::Rules> {
    let rules = rules::Rules::load(options.phrasing.as_deref())?;
    for language in &options.languages {
        if !rules.languages().contains(&language.as_str()) {
            return Err(Problem::usage(format!("there are no phrasing rules for the language `{language}`"))
                .detail(format!("known: {}", rules.languages().join(", ")))
                .hint("docs/SYNTHESIZE.md shows how to write some; --phrasing DIR takes them")
                .into());
        }
    }
    Ok(rules)
}
