//! Where experts, models and caches live: `EXPERT_HOME`, else `~/.expert`.

use std::path::{Path, PathBuf};

/// The folder of everything that outlives a run: `EXPERT_HOME` if set and not empty, else `.expert` in the home folder
/// (in the current folder where there is none). Nothing is created.
pub fn expert_home() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("EXPERT_HOME").unwrap_or_else(|| {
        set("HOME").or_else(|| set("USERPROFILE")).unwrap_or_else(|| PathBuf::from(".")).join(".expert")
    })
}

/// The folder of a base model if it is on this machine: a path as seen from the manifest's folder, else wherever models
/// are kept. Downloads nothing.
pub fn find_base(name: &str, manifest_folder: &Path, home: &Path) -> Option<PathBuf> {
    let beside = manifest_folder.join(name);
    if beside.join("config.json").is_file() {
        return Some(beside);
    }
    crate::model::locate(name, home, false).ok()
}
