//! Data sets by hub id, through hf-hub and the cache that all Hugging Face tools share.
//!
//! The list of files comes from the hub; each file is fetched once and then read from the cache. Without a network (or
//! with `HF_HUB_OFFLINE=1`) the cached snapshot is used, and refused if files are missing from it that its own names
//! promise (`-00000-of-00003`).

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo};

use super::records::Format;
use crate::error::{Problem, Result};
use crate::fsx;

/// A data set's files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder they lie in.
    pub folder: PathBuf,
    /// The commit they are of.
    pub revision: String,
    /// Paths inside the folder, sorted.
    pub files: Vec<String>,
    /// Whether the hub was asked; false: what the cache held was taken.
    pub online: bool,
}

/// Whether a text has the form of a hub id: `owner/name`.
pub fn is_id(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// The data files (and `tables.json`) of a data set; `wanted` says which are needed. `note` is told what is fetched.
pub fn dataset(id: &str, wanted: impl Fn(&str) -> bool, mut note: impl FnMut(&str)) -> Result<Snapshot> {
    let cache = Cache::from_env();
    let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| matches!(value.as_str(), "1" | "true" | "TRUE"));
    let reason = if offline {
        "HF_HUB_OFFLINE is set".to_owned()
    } else {
        match fetch(id, &cache, &wanted, &mut note) {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) => format!("{error:#}"),
        }
    };
    match cached(id, &cache, &wanted)? {
        Some(snapshot) => Ok(snapshot),
        None => Err(Problem::input(format!("the data set {id} is not here and cannot be fetched"))
            .detail(format!("cache   {}", repo_folder(id, &cache).display()))
            .detail(format!("reason  {reason}"))
            .hint("run it again with a network: it is fetched once; or give a file: --dataset PATH")
            .into()),
    }
}

fn repo_folder(id: &str, cache: &Cache) -> PathBuf {
    cache.path().join(Repo::dataset(id.to_owned()).folder_name())
}

fn fetch(id: &str, cache: &Cache, wanted: impl Fn(&str) -> bool, note: &mut dyn FnMut(&str)) -> Result<Snapshot> {
    let api =
        ApiBuilder::from_env().with_cache_dir(cache.path().clone()).with_progress(false).with_retries(2).build()?;
    let info = api.dataset(id.to_owned()).info()?;
    let mut files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
    files.retain(|file| wanted(file) && !file.split('/').any(|part| part == ".."));
    files.sort();
    let repo = api.repo(Repo::with_revision(id.to_owned(), hf_hub::RepoType::Dataset, info.sha.clone()));
    let pinned = cache.repo(Repo::with_revision(id.to_owned(), hf_hub::RepoType::Dataset, info.sha.clone()));
    for file in &files {
        let at = pinned.pointer_path(&info.sha).join(file);
        if !at.exists() {
            note(&format!("fetching {file} of {id}"));
            repo.download(file)?;
        }
    }
    // Other tools find the snapshot through refs/main.
    let _ = cache.dataset(id.to_owned()).create_ref(&info.sha);
    Ok(Snapshot { folder: pinned.pointer_path(&info.sha), revision: info.sha, files, online: true })
}

/// What the cache holds of a data set, if anything.
fn cached(id: &str, cache: &Cache, wanted: impl Fn(&str) -> bool) -> Result<Option<Snapshot>> {
    let folder = repo_folder(id, cache);
    let Ok(revision) = fsx::read_text(&folder.join("refs/main")) else { return Ok(None) };
    let revision = revision.trim().to_owned();
    let snapshot = folder.join("snapshots").join(&revision);
    let mut files = Vec::new();
    if snapshot.is_dir() {
        collect(&snapshot, "", &mut files)?;
    }
    files.retain(|file| wanted(file));
    if files.is_empty() {
        return Ok(None);
    }
    let missing = missing_shards(&files);
    if !missing.is_empty() {
        let mut problem = Problem::input(format!("the cached copy of {id} is incomplete"))
            .detail(format!("cache    {}", snapshot.display()));
        for file in missing {
            problem = problem.detail(format!("missing  {file}"));
        }
        return Err(problem.hint("run it again with a network: what is missing is fetched").into());
    }
    Ok(Some(Snapshot { folder: snapshot, revision, files, online: false }))
}

/// Files under a folder, as paths with `/` from it.
pub(super) fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for path in fsx::list_dir(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let shown = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{shown}/"), files)?;
        } else if Format::of(&path).is_some() {
            files.push(shown);
        }
    }
    Ok(())
}

/// Files that others of the same numbered series promise (`x-00000-of-00003.parquet`) and that are not there.
fn missing_shards(files: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    for file in files {
        let Some((stem, rest)) = file.split_once("-of-") else { continue };
        let Some((prefix, number)) = stem.rsplit_once('-') else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let Ok(count) = digits.parse::<usize>() else { continue };
        let width = number.len();
        for index in 0..count.min(10_000) {
            let name = format!("{prefix}-{index:0width$}-of-{rest}");
            if !files.contains(&name) && !missing.contains(&name) {
                missing.push(name);
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_slash() {
        for (text, id) in [
            ("gretelai/synthetic_text_to_sql", true),
            ("b-mc2/sql-create-context", true),
            ("data.jsonl", false),
            ("./data/x", false),
            ("../data", false),
            ("/tmp/x", false),
            ("a/b/c", false),
            ("C:\\data\\x", false),
        ] {
            assert_eq!(is_id(text), id, "{text}");
        }
    }

    #[test]
    fn a_cached_snapshot_is_found_and_an_incomplete_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned());
        let wanted = |_: &str| true;
        assert_eq!(cached("a/b", &cache, wanted).unwrap(), None);
        let folder = dir.path().join("datasets--a--b");
        fsx::write_atomic(&folder.join("refs/main"), b"abc").unwrap();
        let file = |n: usize| folder.join(format!("snapshots/abc/data/train-0000{n}-of-00002.jsonl"));
        fsx::write_atomic(&file(0), b"{}").unwrap();
        fsx::write_atomic(&folder.join("snapshots/abc/README.md"), b"").unwrap();
        let error = cached("a/b", &cache, wanted).unwrap_err().to_string();
        assert!(error.contains("missing  data/train-00001-of-00002.jsonl"), "{error}");
        fsx::write_atomic(&file(1), b"{}").unwrap();
        let snapshot = cached("a/b", &cache, wanted).unwrap().unwrap();
        assert_eq!(snapshot.files, ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"]);
        assert_eq!(snapshot.revision, "abc");
    }
}
