//! Suites: questions with a database and gold queries, in the form of `experts/expert-sql/suites/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::db::sqlite::Scratch;
use crate::db::{Limits, Rows};
use crate::error::{Problem, Result};
use crate::fsx;

/// Marks where the rows of a shared database begin.
const ROWS: &str = "\n-- rows";

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// What it belongs to.
    pub category: String,
    /// `basic`, `intermediate`, `advanced`, or Spider's words.
    pub difficulty: String,
    /// The question by language.
    pub question: BTreeMap<String, String>,
    /// What fixes its reading, by language.
    pub evidence: BTreeMap<String, String>,
    /// CREATE TABLE text, as prompts show it.
    pub schema: String,
    /// Statements that make tables and rows.
    setup: String,
    /// Right queries.
    pub gold: Vec<String>,
    /// Right queries of another shape.
    pub also: Vec<String>,
    /// Queries that must not pass.
    pub wrong: Vec<String>,
    /// Whether the order of rows counts.
    pub ordered: bool,
    /// Absolute difference that two numbers may have.
    pub tolerance: f64,
}

/// A list of questions.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file's name without its ending.
    pub name: String,
    /// The questions.
    pub items: Vec<Item>,
}

impl Suite {
    /// Reads a suite. `name` is a file, or the name of one in `folders`.
    pub fn load(name: &str, folders: &[PathBuf]) -> Result<Self> {
        let direct = PathBuf::from(name);
        let candidates = folders.iter().map(|folder| folder.join(format!("{name}.jsonl")));
        let path = std::iter::once(direct).chain(candidates).find(|path| path.is_file()).ok_or_else(|| {
            let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            Problem::input(format!("there is no suite `{name}`"))
                .detail(format!("looked in {}", places.join(", ")))
                .hint("--suite FILE.jsonl, or the name of a file in an expert's suites folder")
        })?;
        let mut items = Vec::new();
        for (number, line) in fsx::read_text(&path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let item = item(line, path.parent().unwrap_or(Path::new(".")));
            items.push(item.map_err(|error| Problem::input(format!("{}:{}: {error:#}", path.display(), number + 1)))?);
        }
        if items.is_empty() {
            return Err(Problem::input(format!("{} holds no questions", path.display())).into());
        }
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Ok(Self { name, items })
    }
}

fn item(line: &str, folder: &Path) -> Result<Item> {
    let row: Json = serde_json::from_str(line).map_err(|error| Problem::input(format!("no JSON: {error}")))?;
    let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
    let (schema, setup) = match row["database"].as_str() {
        Some(name) => {
            // A name, not a path: a suite must not reach outside its folder.
            if !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
                return Err(Problem::input(format!("`{name}` is no name of a database")).into());
            }
            let file = fsx::read_text(&folder.join("databases").join(format!("{name}.sqlite.sql")))?;
            let (schema, _) = file.split_once(ROWS).unwrap_or((&file, ""));
            (schema.trim().to_owned(), file.clone())
        }
        None => {
            let schema = row["schema"]["sqlite"].as_str().ok_or_else(|| Problem::input("no `schema` for sqlite"))?;
            let rows = list(&row["rows"]["sqlite"]);
            (schema.to_owned(), format!("{schema}\n{};", rows.join(";\n")))
        }
    };
    let gold = list(&row["gold"]["sqlite"]);
    if gold.is_empty() {
        return Err(Problem::input("no `gold` for sqlite").into());
    }
    Ok(Item {
        id: text("id"),
        category: text("category"),
        difficulty: text("difficulty"),
        question: by_language(&row["question"]),
        evidence: by_language(&row["evidence"]),
        schema,
        setup,
        gold,
        also: list(&row["also"]["sqlite"]),
        wrong: list(&row["wrong"]["sqlite"]),
        ordered: row["ordered"].as_bool().unwrap_or(false),
        tolerance: row["tolerance"].as_f64().unwrap_or(0.0),
    })
}

fn list(value: &Json) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn by_language(value: &Json) -> BTreeMap<String, String> {
    match value {
        Json::String(text) => [("en".to_owned(), text.clone())].into(),
        Json::Object(languages) => languages
            .iter()
            .filter_map(|(language, text)| Some((language.clone(), text.as_str()?.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}

impl Item {
    /// Its database, in memory.
    pub fn database(&self) -> Result<Scratch> {
        let mut scratch = Scratch::new()?;
        scratch
            .execute(&self.setup, &Limits::default())
            .map_err(|error| Problem::input(format!("the database of {} cannot be made: {error}", self.id)))?;
        Ok(scratch)
    }

    /// The results of its right queries, the first being the gold.
    pub fn answers(&self, database: &mut Scratch, limits: &Limits) -> Result<Vec<Rows>> {
        self.gold
            .iter()
            .chain(&self.also)
            .map(|sql| {
                database
                    .query(sql, limits)
                    .map_err(|error| Problem::input(format!("the gold of {} does not run: {error}", self.id)).into())
            })
            .collect()
    }
}
