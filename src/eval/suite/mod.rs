//! Suites: questions with a database and gold queries. Forms: that of `experts/expert-sql/suites/README.md` (`own`), pairs of
//! question and SQL as `synthesize` writes them (`pairs`), Spider and BIRD (`published`), WikiSQL.

mod own;
mod pairs;
mod published;
pub mod wikisql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::db::Source;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::Dialect;

/// One question.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// What it belongs to.
    pub category: String,
    /// The pattern inside the category; empty where there is none.
    pub pattern: String,
    /// `basic`, `intermediate`, `advanced`, or the words of its suite.
    pub difficulty: String,
    /// The question by language.
    pub question: BTreeMap<String, String>,
    /// What fixes its reading, by language.
    pub evidence: BTreeMap<String, String>,
    /// The database it is about: its place among the suite's.
    pub database: usize,
    /// Right queries.
    pub gold: Vec<String>,
    /// Right queries of another shape.
    pub also: Vec<String>,
    /// Queries that must not pass.
    pub wrong: Vec<String>,
    /// Whether the order of rows counts; of suites that do not say, whether the gold asks for one.
    pub ordered: bool,
    /// Absolute difference that two numbers may have.
    pub tolerance: f64,
    /// WikiSQL's form of the gold.
    pub logical: Option<wikisql::Query>,
}

impl Item {
    /// The question of a language as it is put: its evidence stands below it, as in training rows.
    pub fn asked(&self, language: &str) -> String {
        let question = self.question.get(language).map_or("", |text| text.trim());
        match self.evidence.get(language).filter(|text| !text.trim().is_empty()) {
            Some(evidence) => format!("{question}\nEvidence: {}", evidence.trim()),
            None => question.to_owned(),
        }
    }
}

/// A database that items share.
#[derive(Debug, Clone)]
pub struct Database {
    /// What it is called.
    pub name: String,
    /// CREATE TABLE text, as prompts show it; none: as the database tells it.
    pub ddl: Option<String>,
    /// What is in it.
    pub content: Content,
}

/// Where the rows of a database come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Statements that make tables and rows.
    Script(String),
    /// Rows made up to fit the tables, first those of this seed.
    MadeUp(u64),
    /// A database that is there, and is only read.
    Source(Source),
}

/// Who defined the suite, and with it when an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The suites' README: the gold's columns may be any subset of the answer's, in any order.
    Own,
    /// Question and SQL: Spider's definition of an equal result.
    Pairs,
    /// Spider.
    Spider,
    /// BIRD.
    Bird,
    /// WikiSQL.
    WikiSql,
}

impl Form {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Pairs => "pairs",
            Self::Spider => "spider",
            Self::Bird => "bird",
            Self::WikiSql => "wikisql",
        }
    }
}

/// A list of questions.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file's name without its ending.
    pub name: String,
    /// Who defined it.
    pub form: Form,
    /// The dialect of its gold queries.
    pub dialect: Dialect,
    /// The questions.
    pub items: Vec<Item>,
    /// What they are about.
    pub databases: Vec<Database>,
    /// Spider's `tables.json`, by database; empty where there is none.
    pub tables: BTreeMap<String, Json>,
}

/// What a suite is opened with.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// A file, the name of one in `folders`, or `spider:DIR`, `bird:DIR`, `wikisql:FILE`.
    pub name: &'a str,
    /// Where names are looked up.
    pub folders: &'a [PathBuf],
    /// Where the database files of Spider and BIRD are, if not where their downloads have them.
    pub db_dir: Option<&'a Path>,
    /// The user's database: pairs are run on it; of a PostgreSQL server, suites of our own take the queries of its dialect.
    pub given: Option<&'a Source>,
    /// Only the questions about databases of these names; empty: all.
    pub only: &'a [String],
}

/// What a form's reader gives.
type Read = (Vec<Item>, Vec<Database>);

impl Suite {
    /// Reads a suite for SQLite. `name` is a file, or the name of one in `folders`.
    pub fn load(name: &str, folders: &[PathBuf]) -> Result<Self> {
        Self::open(&Request { name, folders, ..Request::default() })
    }

    /// Reads a suite of any form.
    pub fn open(request: &Request<'_>) -> Result<Self> {
        let mut suite = match request.name.split_once(':') {
            Some(("spider", place)) => published::spider(Path::new(place), request.db_dir)?,
            Some(("bird", place)) => published::bird(Path::new(place), request.db_dir)?,
            Some(("wikisql", place)) => wikisql::read(Path::new(place))?,
            _ => Self::of_lines(request)?,
        };
        if !request.only.is_empty() {
            let wanted = |at: usize| request.only.contains(&suite.databases[at].name);
            suite.items.retain(|item| wanted(item.database));
        }
        if suite.items.is_empty() {
            return Err(Problem::input(format!("{} holds no questions", request.name)).into());
        }
        Ok(suite)
    }

    /// A file of JSON lines: each form is known by its keys.
    fn of_lines(request: &Request<'_>) -> Result<Self> {
        let path = find(request.name, request.folders)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let rows = lines(&path)?;
        let Some((_, first)) = rows.first() else {
            return Err(Problem::input(format!("{} holds no questions", path.display())).into());
        };
        let postgres = matches!(request.given, Some(Source::Postgres(_)));
        let place = |number: usize| format!("{}:{number}", path.display());
        let (form, dialect, (items, databases)) = if first.get("gold").is_some() {
            let dialect = if postgres { Dialect::Postgres } else { Dialect::Sqlite };
            (Form::Own, dialect, own::read(&rows, folder, dialect, &place)?)
        } else {
            let seed = pairs::seed_beside(folder);
            let (dialect, read) = pairs::read(&rows, request.given, seed, &place)?;
            (Form::Pairs, dialect, read)
        };
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Ok(Self { name, form, dialect, items, databases, tables: BTreeMap::new() })
    }

    /// The questions that are asked: (item, language), in the order of the suite, of each item the languages in their order.
    pub fn tasks(&self, languages: &[String]) -> Vec<(usize, String)> {
        let mut tasks = Vec::new();
        for (at, item) in self.items.iter().enumerate() {
            let wanted = languages.iter().filter(|language| item.question.contains_key(*language));
            tasks.extend(wanted.map(|language| (at, language.clone())));
        }
        tasks
    }
}

fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let direct = PathBuf::from(name);
    let candidates = folders.iter().map(|folder| folder.join(format!("{name}.jsonl")));
    let found = std::iter::once(direct).chain(candidates).find(|path| path.is_file());
    Ok(found.ok_or_else(|| {
        let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Problem::input(format!("there is no suite `{name}`"))
            .detail(format!("looked in {}", places.join(", ")))
            .hint("--suite FILE.jsonl, the name of a file in an expert's suites folder, or spider:DIR, bird:DIR, wikisql:FILE")
    })?)
}

/// The JSON objects of a file with the numbers of their lines.
fn lines(path: &Path) -> Result<Vec<(usize, Json)>> {
    let text = fsx::read_text(path)?;
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(at, line)| {
        let row = serde_json::from_str(line)
            .map_err(|error| Problem::input(format!("{}:{}: no JSON: {error}", path.display(), at + 1)))?;
        Ok((at + 1, row))
    })
    .collect()
}

/// The place of a database, added if it is new. Equal ones are one.
fn place_of(databases: &mut Vec<Database>, new: Database) -> usize {
    // Items of one database mostly stand together.
    match databases.iter().rposition(|known| known.content == new.content && known.ddl == new.ddl) {
        Some(at) => at,
        None => {
            databases.push(new);
            databases.len() - 1
        }
    }
}

/// The text at the first of some keys that holds any.
fn text<'a>(row: &'a Json, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| row[*key].as_str().filter(|text| !text.trim().is_empty()))
}

/// Whether a query asks for an order.
fn is_ordered(sql: &str, dialect: Dialect) -> bool {
    crate::sql::parse(sql, dialect).is_ok_and(|statements| crate::sql::is_ordered(&statements))
}

#[cfg(test)]
mod tests;
