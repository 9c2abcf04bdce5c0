//! Suites in the form of `experts/expert-sql/suites/README.md`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::{Content, Database, Item, Read, place_of};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::Dialect;

/// Marks where the rows of a shared database begin.
const ROWS: &str = "\n-- rows";

/// The items for a dialect; `place` names a line in errors.
pub(super) fn read(
    rows: &[(usize, Json)],
    folder: &Path,
    dialect: Dialect,
    place: &dyn Fn(usize) -> String,
) -> Result<Read> {
    let (mut items, mut databases) = (Vec::new(), Vec::new());
    for (number, row) in rows {
        let item = item(row, folder, dialect, &mut databases);
        items.push(item.map_err(|error| Problem::input(format!("{}: {error:#}", place(*number))))?);
    }
    Ok((items, databases))
}

fn item(row: &Json, folder: &Path, dialect: Dialect, databases: &mut Vec<Database>) -> Result<Item> {
    let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
    let dialect = dialect.name();
    let database = match row["database"].as_str() {
        Some(name) => {
            // A name, not a path: a suite must not reach outside its folder.
            if !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
                return Err(Problem::input(format!("`{name}` is no name of a database")).into());
            }
            let file = fsx::read_text(&folder.join("databases").join(format!("{name}.{dialect}.sql")))?;
            let (ddl, _) = file.split_once(ROWS).unwrap_or((&file, ""));
            let ddl = Some(ddl.trim().to_owned());
            Database { name: name.to_owned(), ddl, content: Content::Script(file) }
        }
        None => {
            let missing = || Problem::input(format!("no `schema` for {dialect}"));
            let ddl = row["schema"][dialect].as_str().ok_or_else(missing)?.to_owned();
            let script = format!("{ddl}\n{};", list(&row["rows"][dialect]).join(";\n"));
            Database { name: text("id"), ddl: Some(ddl), content: Content::Script(script) }
        }
    };
    let gold = list(&row["gold"][dialect]);
    if gold.is_empty() {
        return Err(Problem::input(format!("no `gold` for {dialect}")).into());
    }
    Ok(Item {
        id: text("id"),
        category: text("category"),
        pattern: text("pattern"),
        difficulty: text("difficulty"),
        question: by_language(&row["question"]),
        evidence: by_language(&row["evidence"]),
        database: place_of(databases, database),
        gold,
        also: list(&row["also"][dialect]),
        wrong: list(&row["wrong"][dialect]),
        ordered: row["ordered"].as_bool().unwrap_or(false),
        tolerance: row["tolerance"].as_f64().unwrap_or(0.0),
        logical: None,
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
