//! Which files a data set's name means: a file, a folder, or a hub id.

use std::path::{Path, PathBuf};

use super::hub;
use super::records::Format;
use crate::error::{Problem, Result};
use crate::manifest::DatasetReference;

/// The files of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What was asked for.
    pub name: String,
    /// `file`, `folder` or `hub`.
    pub kind: &'static str,
    /// The commit, of a hub data set.
    pub revision: Option<String>,
    /// The files to read, with the names that places show.
    pub files: Vec<(PathBuf, String)>,
    /// Spider's `tables.json`, if it lies beside the files.
    pub tables: Option<PathBuf>,
    /// What a person should know about the choice of files.
    pub notes: Vec<String>,
}

/// Words in file names that mark rows which nobody should train on.
const HELD_OUT: [&str; 7] = ["test", "validation", "valid", "val", "dev", "eval", "heldout"];

/// Finds the files of `name`: a path, else `owner/name` on the hub. `name::split::config` picks the files that carry
/// these words; without a split the held-out files (test, validation, dev) are left alone where others are there.
pub fn resolve(name: &str, note: impl FnMut(&str)) -> Result<Source> {
    let reference = DatasetReference::parse(name);
    if let Some(split) = reference.split.as_deref().filter(|split| split.contains('[')) {
        return Err(Problem::usage(format!("slices like {split} are not read"))
            .hint("name the split alone and give --limit N")
            .into());
    }
    let path = Path::new(&reference.id);
    let mut source = Source {
        name: name.to_owned(),
        kind: "file",
        revision: None,
        files: Vec::new(),
        tables: None,
        notes: Vec::new(),
    };
    if path.is_file() {
        let shown = path.file_name().map_or_else(|| reference.id.clone(), |name| name.to_string_lossy().into_owned());
        source.tables = path.parent().map(|folder| folder.join("tables.json")).filter(|tables| tables.is_file());
        source.files.push((path.to_owned(), shown));
        return Ok(source);
    }
    let (folder, files) = if path.is_dir() {
        source.kind = "folder";
        let mut files = Vec::new();
        hub::collect(path, "", &mut files)?;
        (path.to_owned(), files)
    } else if hub::is_id(&reference.id) && Format::of(path).is_none() {
        source.kind = "hub";
        let wanted = |file: &str| Format::of(Path::new(file)).is_some();
        let snapshot = hub::dataset(&reference.id, wanted, note)?;
        if !snapshot.online {
            source.notes.push(format!("offline: using the cached revision {}", snapshot.revision));
        }
        source.revision = Some(snapshot.revision);
        (snapshot.folder, snapshot.files)
    } else {
        return Err(Problem::input(format!("there is no data set at {}", reference.id))
            .hint("give a file, a folder or a hub id like owner/name")
            .into());
    };
    let (chosen, left_out) = choose(&files, reference.split.as_deref(), reference.config.as_deref());
    if chosen.is_empty() {
        return Err(Problem::input(format!("{name} holds no data file that is wanted"))
            .detail(format!("found: {}", if files.is_empty() { "nothing".into() } else { files.join(", ") }))
            .hint("data files end in .jsonl, .json, .csv, .tsv or .parquet (each also .gz)")
            .into());
    }
    if !left_out.is_empty() {
        source.notes.push(format!("left out: {}", left_out.join(", ")));
    }
    source.tables = files.iter().find(|file| is_tables(file)).map(|file| folder.join(file));
    source.files = chosen.into_iter().map(|file| (folder.join(&file), file)).collect();
    Ok(source)
}

fn is_tables(file: &str) -> bool {
    matches!(file.rsplit('/').next(), Some("tables.json" | "train_tables.json" | "dev_tables.json"))
}

/// The words of a path: what stands between separators.
fn has_word(file: &str, word: &str) -> bool {
    file.split(|c: char| !c.is_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

/// The files to read, and those left out that hold rows.
fn choose(files: &[String], split: Option<&str>, config: Option<&str>) -> (Vec<String>, Vec<String>) {
    let not_rows = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        is_tables(file) || matches!(name, "dataset_infos.json" | "dataset_info.json" | "state.json" | "metadata.json")
    };
    let rows = files.iter().filter(|file| !not_rows(file));
    let rows = rows.filter(|file| config.is_none_or(|config| has_word(file, config) || file.contains(config)));
    let held_out = |file: &str| HELD_OUT.iter().any(|word| has_word(file, word));
    let rows: Vec<&String> = rows.collect();
    let (chosen, left_out): (Vec<&String>, Vec<&String>) = match split {
        Some(split) => rows.iter().partition(|file| has_word(file, split)),
        None if rows.iter().all(|file| held_out(file)) => (rows, Vec::new()),
        None => rows.iter().partition(|file| !held_out(file)),
    };
    (chosen.into_iter().cloned().collect(), left_out.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_files_are_left_alone() {
        let files =
            ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "tables.json", "dev.json"];
        let files: Vec<String> = files.map(str::to_owned).to_vec();
        let (chosen, left_out) = choose(&files, None, None);
        assert_eq!(chosen, ["data/train-00000-of-00001.parquet"]);
        assert_eq!(left_out, ["data/test-00000-of-00001.parquet", "dev.json"]);
        assert_eq!(choose(&files, Some("test"), None).0, ["data/test-00000-of-00001.parquet"]);
        assert_eq!(choose(&["test.csv".to_owned()], None, None).0, ["test.csv"]);
    }

    #[test]
    fn a_file_a_folder_and_what_is_neither() {
        let dir = tempfile::tempdir().unwrap();
        crate::fsx::write_atomic(&dir.path().join("train.json"), b"[]").unwrap();
        crate::fsx::write_atomic(&dir.path().join("tables.json"), b"[]").unwrap();
        let name = dir.path().display().to_string();
        let folder = resolve(&name, |_| {}).unwrap();
        assert_eq!((folder.kind, folder.files.len()), ("folder", 1));
        assert_eq!(folder.tables, Some(dir.path().join("tables.json")));
        let file = resolve(&format!("{name}/train.json"), |_| {}).unwrap();
        assert_eq!((file.kind, file.files[0].1.as_str()), ("file", "train.json"));
        assert!(file.tables.is_some());
        assert!(resolve("no/such/file.jsonl", |_| {}).is_err());
        assert!(resolve("a/b::train[:10]", |_| {}).is_err());
    }
}
