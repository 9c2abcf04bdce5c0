//! `datasets.json`: several sources assembled into one data set, in askGuru-SQL's form
//! `{"name": {"data_path", "sum_num", "task_name", "data_aug"}}`, with `weight`, `map` and `tables` besides, and a `mix` of
//! tasks beside the names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::pipeline::{Mix, Portion};
use super::tasks::{Named, Task};
use crate::error::{Problem, Result};
use crate::fsx;

/// Keys of a source. Those that begin with `_` are remarks.
const KEYS: &[&str] = &["data_path", "sum_num", "task_name", "data_aug", "weight", "map", "tables"];

/// One source of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the file calls it.
    pub name: String,
    /// File, folder or hub id; a path is relative to the file's own folder.
    pub path: String,
    /// The task, and what its name says of the dialect.
    pub task: Named,
    /// How much of it is wanted.
    pub portion: Portion,
    /// Whether schema and question are shown in other ways too.
    pub augment: bool,
    /// Which columns hold the parts, as `--map` takes it.
    pub map: Option<String>,
    /// Spider's tables.json.
    pub tables: Option<PathBuf>,
}

/// The sources of a file and the shares of their tasks: those of the file's `mix`, else 70/20/10 where there is more
/// than one task, else none.
pub fn load(path: &Path) -> Result<(Vec<Entry>, Mix)> {
    let refuse = |detail: String| {
        Problem::input(format!("{} is no list of data sets", path.display()))
            .detail(detail)
            .hint("{\"name\": {\"data_path\": \"rows.jsonl\", \"sum_num\": 1000, \"task_name\": \"nl2sqlite\", \"data_aug\": true}}")
    };
    let value: Value = serde_json::from_str(&fsx::read_text(path)?).map_err(|error| refuse(error.to_string()))?;
    let Value::Object(sources) = value else { return Err(refuse("it is no JSON object".into()).into()) };
    let mut entries = Vec::new();
    let mut mix = Mix::default();
    for (name, value) in &sources {
        let Value::Object(keys) = value else {
            if name.starts_with('_') {
                continue;
            }
            return Err(refuse(format!("{name} is no JSON object")).into());
        };
        if name == "mix" && !keys.contains_key("data_path") {
            mix.tasks = shares(keys).map_err(&refuse)?;
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            entries.push(entry(name, keys, folder).map_err(|detail| refuse(format!("{name}: {detail}")))?);
        }
    }
    if entries.is_empty() {
        return Err(refuse("it names no data set".into()).into());
    }
    if mix.tasks.is_empty() && entries.iter().any(|entry| entry.task.task != Task::Question) {
        mix.tasks = Task::ALL.into_iter().map(|task| (task, task.default_share())).collect();
    }
    Ok((entries, mix))
}

fn shares(keys: &Map<String, Value>) -> Result<BTreeMap<Task, f64>, String> {
    let share = |(name, value): (&String, &Value)| {
        let named = Named::of(name).ok_or_else(|| format!("mix: {name} is no task"))?;
        let share = value.as_f64().filter(|share| *share >= 0.0).ok_or_else(|| format!("mix: {name} is no share"))?;
        Ok((named.task, share))
    };
    keys.iter().map(share).collect()
}

fn entry(name: &str, keys: &Map<String, Value>, folder: &Path) -> Result<Entry, String> {
    if let Some(unknown) = keys.keys().find(|key| !key.starts_with('_') && !KEYS.contains(&key.as_str())) {
        return Err(format!("{unknown} is no key of a data set ({})", KEYS.join(", ")));
    }
    let text = |key: &str| match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key} is no text")),
    };
    let beside = |text: String| {
        let path = folder.join(&text);
        if path.exists() { path.display().to_string() } else { text }
    };
    let task = text("task_name")?.unwrap_or_else(|| "nl2sql".into());
    let weight = match keys.get("weight") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_f64().filter(|weight| *weight > 0.0).ok_or("weight is no number over 0")?),
    };
    let rows = match keys.get("sum_num") {
        // askGuru writes -1 for all.
        None | Some(Value::Null) => None,
        Some(value) if value.as_i64() == Some(-1) => None,
        Some(value) => Some(value.as_u64().ok_or("sum_num is no count")?),
    };
    let augment = match keys.get("data_aug") {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().ok_or("data_aug is neither true nor false")?,
    };
    Ok(Entry {
        name: name.to_owned(),
        path: beside(text("data_path")?.ok_or("there is no data_path")?),
        task: Named::of(&task).ok_or_else(|| format!("{task} is no task ({})", Named::ALL.join(", ")))?,
        portion: Portion { rows, weight },
        augment,
        map: text("map")?,
        tables: text("tables")?.map(beside).map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    fn read(text: &str) -> Result<(Vec<Entry>, Mix)> {
        let dir = tempfile::tempdir().unwrap();
        fsx::write_atomic(&dir.path().join("rows.jsonl"), b"{}").unwrap();
        let path = dir.path().join("datasets.json");
        fsx::write_atomic(&path, text.as_bytes()).unwrap();
        load(&path)
    }

    #[test]
    fn sources_tasks_and_shares_are_read() {
        let (entries, mix) = read(
            r#"{"_remark": 1, "a": {"data_path": "rows.jsonl", "sum_num": 10, "task_name": "nl2sqlite", "data_aug": true},
                "b": {"data_path": "owner/name", "sum_num": -1, "weight": 2, "task_name": "self_refine", "_why": "x"}}"#,
        )
        .unwrap();
        assert!(entries[0].path.ends_with("rows.jsonl") && Path::new(&entries[0].path).is_absolute());
        assert_eq!((entries[0].portion.rows, entries[0].augment), (Some(10), true));
        assert_eq!(entries[0].task.dialect, Some(Dialect::Sqlite));
        assert_eq!((entries[1].path.as_str(), entries[1].portion.weight), ("owner/name", Some(2.0)));
        assert!((mix.tasks[&Task::SelfRefine] - 0.2).abs() < 1e-12);
        let (_, mix) = read(r#"{"a": {"data_path": "x"}, "mix": {"questions": 1}}"#).unwrap();
        assert_eq!(mix.tasks.len(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("[]", "no JSON object"),
            ("{}", "names no data set"),
            (r#"{"a": {"sum_num": 1}}"#, "no data_path"),
            (r#"{"a": {"data_path": "x", "sumnum": 1}}"#, "sumnum is no key"),
            (r#"{"a": {"data_path": "x", "task_name": "nl2sq"}}"#, "nl2sq is no task"),
            (r#"{"a": {"data_path": "x", "weight": -1}}"#, "weight"),
            (r#"{"a": {"data_path": "x"}, "mix": {"question": 1}}"#, "question is no task"),
        ] {
            let error = read(text).unwrap_err();
            let problem = error.downcast_ref::<Problem>().unwrap();
            assert!(format!("{problem:?}").contains(wanted), "{text}: {problem:?}");
        }
    }
}
