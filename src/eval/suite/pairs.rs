//! Pairs of question and SQL over CREATE TABLE text: what `synthesize` writes, and any file of that shape.

use std::path::Path;

use serde_json::Value as Json;

use super::{Content, Database, Item, Read, is_ordered, place_of, text};
use crate::db::Source;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::Dialect;

const QUESTION: [&str; 3] = ["question", "sql_prompt", "prompt"];
const ANSWER: [&str; 3] = ["answer", "sql", "query"];
const SCHEMA: [&str; 3] = ["context", "schema", "sql_context"];

/// The seed of made-up rows where neither row nor `metadata.json` names one: `synthesize`'s default.
const SEED: u64 = 42;

/// The seed that `synthesize` noted beside its files.
pub(super) fn seed_beside(folder: &Path) -> u64 {
    let read = || -> Option<u64> {
        let file = folder.join("metadata.json");
        let metadata: Json = serde_json::from_str(&fsx::read_text(&file).ok()?).ok()?;
        metadata["seed"].as_u64()
    };
    read().unwrap_or(SEED)
}

/// The items and their dialect. `given`: the database that all of them are about.
pub(super) fn read(
    rows: &[(usize, Json)],
    given: Option<&Source>,
    seed: u64,
    place: &dyn Fn(usize) -> String,
) -> Result<(Dialect, Read)> {
    let (mut items, mut databases) = (Vec::new(), Vec::new());
    let mut dialect: Option<Dialect> = None;
    for (number, row) in rows {
        let refuse = |what: &str| Problem::input(format!("{}: {what}", place(*number)));
        let missing = |keys: [&str; 3]| refuse(&format!("none of the keys {} holds a text", keys.join(", ")));
        let question = text(row, &QUESTION).ok_or_else(|| missing(QUESTION))?;
        let gold = text(row, &ANSWER).ok_or_else(|| missing(ANSWER))?;
        let own = match row["dialect"].as_str() {
            Some(name) => Dialect::from_name(name).ok_or_else(|| refuse(&format!("`{name}` is no dialect")))?,
            None => given.map_or(Dialect::Sqlite, Source::dialect),
        };
        if *dialect.get_or_insert(own) != own {
            return Err(refuse("its dialect is not that of the rows above")
                .hint("a suite has one dialect: put the others into a file of their own")
                .into());
        }
        let ddl = text(row, &SCHEMA);
        let content = match given {
            Some(source) => Content::Source(source.clone()),
            None if ddl.is_none() => {
                return Err(missing(SCHEMA).hint("--db names the database that the questions are about").into());
            }
            None => Content::MadeUp(row["rows_seed"].as_u64().unwrap_or(seed)),
        };
        let name = row["db"].as_str().or_else(|| row["db_id"].as_str()).unwrap_or("tables").to_owned();
        let database = Database { name, ddl: ddl.map(str::to_owned), content };
        let pattern = row["pattern"].as_str().unwrap_or("").to_owned();
        let language = row["language"].as_str().unwrap_or("en").to_owned();
        let evidence = text(row, &["evidence"]).map(|evidence| (language.clone(), evidence.to_owned()));
        items.push(Item {
            id: row["id"].as_str().map_or_else(|| format!("{number}"), str::to_owned),
            category: row["category"].as_str().map_or_else(|| pattern.clone(), str::to_owned),
            pattern,
            difficulty: row["difficulty"].as_str().unwrap_or("").to_owned(),
            question: [(language, question.to_owned())].into(),
            evidence: evidence.into_iter().collect(),
            database: place_of(&mut databases, database),
            ordered: is_ordered(gold, own),
            gold: vec![gold.to_owned()],
            ..Item::default()
        });
    }
    Ok((dialect.unwrap_or_default(), (items, databases)))
}
