//! Where the adapter lies in a package. Upstream moved it twice: `weights/adapter/…` (v0.0.1), `<model>/checkpoint-N/…`,
//! and since v0.2.0 the root. Once installed it is always in the root.

use super::names::Seen;
use super::read::Entry;

/// The file that marks the adapter's folder.
const MARK: &str = "adapter_model.safetensors";

/// Gives every kept entry its installed name: those beside the adapter move to the root.
pub(super) fn settle(
    mut entries: Vec<Entry>,
    skipped: &[String],
    notes: &mut Vec<String>,
) -> std::result::Result<Vec<Entry>, String> {
    let folders: Vec<String> =
        entries.iter().filter_map(|e| e.archived.strip_suffix(MARK).map(str::to_owned)).collect();
    let folder = match folders.as_slice() {
        [] => return Err(format!("it has no {MARK}")),
        [only] => only.clone(),
        several if several.iter().any(String::is_empty) => String::new(),
        several => return Err(format!("it has several adapters: {}", several.join(", "))),
    };
    if !folder.is_empty() && !folder.ends_with('/') {
        return Err(format!("it has no {MARK}"));
    }
    let in_root: Vec<String> =
        entries.iter().filter(|e| !e.archived.contains('/')).map(|e| e.archived.to_lowercase()).collect();
    for entry in &mut entries {
        if skipped.contains(&entry.archived) {
            continue;
        }
        let moved = entry.archived.strip_prefix(&folder).filter(|rest| !folder.is_empty() && !rest.contains('/'));
        entry.name = match moved {
            // The config must be the one that was saved with the tensors; of other twins the root's wins.
            Some("adapter_config.json") => Some("adapter_config.json".to_owned()),
            Some(name) if in_root.contains(&name.to_lowercase()) => {
                notes.push(format!("{} is passed over: the root has its own", entry.archived));
                None
            }
            Some(name) => Some(name.to_owned()),
            None if !folder.is_empty() && entry.archived == "adapter_config.json" => {
                notes.push("adapter_config.json of the root is passed over: the adapter has its own".into());
                None
            }
            None => Some(entry.archived.clone()),
        };
    }
    let mut seen = Seen::default();
    for name in entries.iter().filter_map(|e| e.name.as_deref()) {
        seen.file(name).map_err(|why| format!("`{name}`: {why}"))?;
    }
    if !entries.iter().any(|e| e.name.as_deref() == Some("adapter_config.json")) {
        return Err("it has no adapter_config.json beside its adapter".into());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(names: &[&str]) -> std::result::Result<Vec<Option<String>>, String> {
        let entry = |name: &&str| Entry { archived: (*name).into(), name: None, size: 0, sha256: String::new() };
        let entries = settle(names.iter().map(entry).collect(), &["training_args.bin".into()], &mut Vec::new())?;
        Ok(entries.into_iter().map(|e| e.name).collect())
    }

    #[test]
    fn the_three_layouts_end_in_the_root() {
        for folder in ["", "weights/adapter/", "qwen3-06b/checkpoint-500/"] {
            let model = format!("{folder}adapter_model.safetensors");
            let config = format!("{folder}adapter_config.json");
            let names = settled(&["manifest.json", &model, &config, "tests/a.json", "training_args.bin"]).unwrap();
            let wanted = ["manifest.json", "adapter_model.safetensors", "adapter_config.json", "tests/a.json"];
            assert_eq!(names[..4], wanted.map(|n| Some(n.to_owned())));
            assert_eq!(names[4], None);
        }
    }

    #[test]
    fn twins_and_strangers() {
        let names =
            settled(&["README.md", "w/README.md", "w/adapter_model.safetensors", "w/adapter_config.json"]).unwrap();
        assert_eq!(names[..2], [Some("README.md".to_owned()), None]);
        for (files, why) in [
            (&["manifest.json"][..], "no adapter_model"),
            (&["x_adapter_model.safetensors"], "no adapter_model"),
            (&["adapter_model.safetensors"], "no adapter_config"),
            (&["a/adapter_model.safetensors", "b/adapter_model.safetensors"], "several adapters"),
        ] {
            assert!(settled(files).unwrap_err().contains(why), "{files:?}");
        }
    }
}
