//! From the name of a base model to its folder: a path, the user's models folder, or the Hugging Face cache (which
//! `hf-hub` fills when there is a network). Never a substitute: a model that is not there is an error.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo};

use super::embedded::{EMBEDDED, embedded};
use crate::error::{Problem, Result};

/// Files that are fetched beside the weights, where the repository has them.
const COMPANIONS: [&str; 5] =
    ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json"];

/// Finds the folder of base model `name`: as a path (both separators), then `<home>/models/<last component>`, then the
/// embedded model under its own name, then, for an `owner/name` id, in the Hugging Face cache. With `download` a hub id that is not cached is fetched.
pub fn locate(name: &str, home: &Path, download: bool) -> Result<PathBuf> {
    let mut tried = Vec::new();
    let native = PathBuf::from(name.replace('\\', "/"));
    let last = name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name);
    for folder in [PathBuf::from(name), native, home.join("models").join(last)] {
        if folder.join("config.json").is_file() {
            return Ok(folder);
        }
        if !tried.contains(&folder) {
            tried.push(folder);
        }
    }
    if name == EMBEDDED {
        return embedded(home);
    }
    let mut failure = None;
    if is_hub_id(name) {
        let cache = Cache::from_env();
        if let Some(config) = cache.repo(Repo::model(name.to_owned())).get("config.json")
            && let Some(folder) = config.parent().filter(|folder| super::files(folder).is_ok())
        {
            return Ok(folder.to_owned());
        }
        tried.push(cache.path().join(Repo::model(name.to_owned()).folder_name()));
        if download {
            match fetch(name, cache) {
                Ok(folder) => return Ok(folder),
                Err(error) => failure = Some(error.to_string()),
            }
        }
    }
    let mut problem = Problem::input(format!("the base model {name} is not there"));
    for folder in tried {
        problem = problem.detail(format!("looked in {}", folder.display()));
    }
    if let Some(failure) = failure {
        problem = problem.detail(format!("download failed: {failure}"));
    }
    let target = home.join("models").join(last);
    let id = if is_hub_id(name) { name.to_owned() } else { format!("OWNER/{last}") };
    Err(problem
        .hint(format!(
            "download it with `hf download {id} --local-dir {}`, or name its folder with --base-model DIR",
            target.display()
        ))
        .into())
}

/// `owner/name` and nothing that looks like a path.
fn is_hub_id(name: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    matches!(name.split('/').collect::<Vec<_>>()[..], [owner, model] if legal(owner) && legal(model))
}

/// Downloads config, weights and tokenizer into the Hugging Face cache.
fn fetch(name: &str, cache: Cache) -> Result<PathBuf> {
    let api = ApiBuilder::from_cache(cache).with_progress(false).build()?;
    let repo = api.model(name.to_owned());
    let config = repo.get("config.json")?;
    let folder = config.parent().unwrap_or(Path::new(".")).to_owned();
    if repo.get("model.safetensors").is_err() {
        repo.get("model.safetensors.index.json")?;
        let index = crate::fsx::read_text(&folder.join("model.safetensors.index.json"))?;
        let index: serde_json::Value = serde_json::from_str(&index)?;
        let mut shards: Vec<&str> = index["weight_map"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.values())
            .filter_map(serde_json::Value::as_str)
            .collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            repo.get(shard)?;
        }
    }
    for companion in COMPANIONS {
        // Not every repository has every one of them; what is needed is missed by name when it is read.
        let _ = repo.get(companion);
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx;

    #[test]
    fn hub_ids_are_told_from_paths() {
        for (name, hub) in [
            ("Qwen/Qwen3-0.6B", true),
            ("./models/x", false),
            ("models/a/b", false),
            ("/abs/x", false),
            ("F:/Node/Qwen3-0.6B", false),
            ("..\\x", false),
            ("Qwen3-0.6B", false),
        ] {
            assert_eq!(is_hub_id(name), hub, "{name}");
        }
    }

    #[test]
    fn a_windows_path_is_found_by_its_last_component_under_home() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("models/Qwen3-0.6B");
        fsx::write_atomic(&folder.join("config.json"), b"{}").unwrap();
        for name in ["F:\\Node\\hivellm\\models\\Qwen3-0.6B", "Qwen3-0.6B", folder.to_str().unwrap()] {
            assert_eq!(locate(name, home.path(), false).unwrap(), folder);
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let error = locate("no-such/model-x", home.path(), false).unwrap_err();
        let (exit, hint) = crate::error::classify(&error);
        assert_eq!(exit, crate::error::Exit::Input);
        let hint = hint.unwrap();
        assert!(hint.contains("hf download no-such/model-x") && hint.contains("--base-model"), "{hint}");
        assert!(error.to_string().contains(&home.path().display().to_string()));
    }
}
