//! Spider and BIRD as they are published: a JSON list of questions, and a folder of SQLite files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{Content, Database, Form, Item, Suite, is_ordered, place_of, text};
use crate::db::Source;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::Dialect;

/// The longest list that is read, unpacked: Spider's training part has 25 MB.
const LONGEST: u64 = 1 << 30;

/// Spider: `place` is its folder, or one of its lists of questions.
pub(super) fn spider(place: &Path, db_dir: Option<&Path>) -> Result<Suite> {
    let (folder, file) = list_of(place, &["dev.json", "dev.json.gz", "train.json.gz", "train_spider.json"])?;
    let tables = ["tables.json", "tables.json.gz"].iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let entries = tables.map(|path| array(&path)).transpose()?.unwrap_or_default();
    let tables = entries.into_iter().filter_map(|entry| Some((entry["db_id"].as_str()?.to_owned(), entry))).collect();
    let read = |row: &Json, number: usize| -> Option<Item> {
        let gold = text(row, &["query", "SQL", "sql"])?.to_owned();
        Some(Item {
            id: row["id"].as_str().map_or_else(|| number.to_string(), str::to_owned),
            category: row["db_id"].as_str()?.to_owned(),
            question: [("en".to_owned(), text(row, &["question"])?.to_owned())].into(),
            ordered: is_ordered(&gold, Dialect::Sqlite),
            gold: vec![gold],
            ..Item::default()
        })
    };
    let folders = [db_dir.map(Path::to_owned), Some(folder.join("database")), Some(folder.join("databases"))];
    let mut suite = suite(&file, Form::Spider, &folders, &read)?;
    suite.tables = tables;
    Ok(suite)
}

/// BIRD: `place` is its folder, or one of its lists of questions.
pub(super) fn bird(place: &Path, db_dir: Option<&Path>) -> Result<Suite> {
    let (folder, file) = list_of(place, &["dev.json", "mini_dev_sqlite.json", "train.json"])?;
    let read = |row: &Json, number: usize| -> Option<Item> {
        let gold = text(row, &["SQL", "query", "sql"])?.to_owned();
        let evidence = text(row, &["evidence"]).map(|evidence| ("en".to_owned(), evidence.to_owned()));
        Some(Item {
            id: row["question_id"].as_u64().map_or_else(|| number.to_string(), |id| id.to_string()),
            category: row["db_id"].as_str()?.to_owned(),
            difficulty: row["difficulty"].as_str().unwrap_or("").to_owned(),
            question: [("en".to_owned(), text(row, &["question"])?.to_owned())].into(),
            evidence: evidence.into_iter().collect(),
            ordered: is_ordered(&gold, Dialect::Sqlite),
            gold: vec![gold],
            ..Item::default()
        })
    };
    let folders = [
        db_dir.map(Path::to_owned),
        Some(folder.join("dev_databases")),
        Some(folder.join("train_databases")),
        Some(folder.join("databases")),
    ];
    suite(&file, Form::Bird, &folders, &read)
}

/// The folder and the list of questions in it.
fn list_of(place: &Path, names: &[&str]) -> Result<(PathBuf, PathBuf)> {
    if place.is_file() {
        return Ok((place.parent().unwrap_or(Path::new(".")).to_owned(), place.to_owned()));
    }
    let found = names.iter().map(|name| place.join(name)).find(|path| path.is_file());
    let found = found.ok_or_else(|| {
        Problem::input(format!("there is no list of questions in {}", place.display()))
            .detail(format!("looked for {}", names.join(", ")))
    })?;
    Ok((place.to_owned(), found))
}

fn suite(
    file: &Path,
    form: Form,
    folders: &[Option<PathBuf>],
    read: &dyn Fn(&Json, usize) -> Option<Item>,
) -> Result<Suite> {
    let (mut items, mut databases) = (Vec::new(), Vec::new());
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (number, row) in array(file)?.iter().enumerate() {
        let mut item = read(row, number).ok_or_else(|| {
            Problem::input(format!("{}: entry {number} has no question, query or db_id", file.display()))
        })?;
        let name = row["db_id"].as_str().unwrap_or_default().to_owned();
        let path = match found.get(&name) {
            Some(path) => path.clone(),
            None => {
                let path = database_file(folders, &name)?;
                found.insert(name.clone(), path.clone());
                path
            }
        };
        let database = Database { name, ddl: None, content: Content::Source(Source::Sqlite(path)) };
        item.database = place_of(&mut databases, database);
        items.push(item);
    }
    let stem = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = format!("{}-{}", form.name(), stem.split('.').next().unwrap_or_default());
    Ok(Suite { name, form, dialect: Dialect::Sqlite, items, databases, tables: BTreeMap::new() })
}

/// `DIR/<name>/<name>.sqlite` or `DIR/<name>.sqlite`.
fn database_file(folders: &[Option<PathBuf>], name: &str) -> Result<PathBuf> {
    let inside = |folder: &PathBuf| {
        let file = format!("{name}.sqlite");
        [folder.join(name).join(&file), folder.join(&file)].into_iter().find(|path| path.is_file())
    };
    Ok(folders.iter().flatten().find_map(inside).ok_or_else(|| {
        let places: Vec<String> = folders.iter().flatten().map(|folder| folder.display().to_string()).collect();
        Problem::input(format!("there is no database {name}.sqlite"))
            .detail(format!("looked in {}", places.join(", ")))
            .hint("--db-dir names the folder with the database files")
    })?)
}

/// The list in a JSON file, packed or not.
fn array(path: &Path) -> Result<Vec<Json>> {
    let bytes = fsx::read(path)?;
    let wrong = |why: String| Problem::input(format!("{}: {why}", path.display()));
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(&bytes[..]).take(LONGEST);
        unpacked.read_to_end(&mut text).map_err(|error| wrong(error.to_string()))?;
        text
    } else {
        bytes
    };
    Ok(serde_json::from_slice(&text).map_err(|error| wrong(format!("no list in JSON: {error}")))?)
}
