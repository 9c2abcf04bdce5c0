//! `expert-registry.json`: upstream's shape, its older flat form, and whatever else stands in it.

use std::cmp::Ordering;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::clock;
use crate::error::{Problem, Result};
use crate::fsx;

/// The registry's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Index {
    /// Version of the shape, `1.0`.
    #[serde(default)]
    pub version: String,
    /// When it was written, RFC 3339.
    #[serde(default)]
    pub last_updated: String,
    /// Where experts are installed.
    #[serde(default)]
    pub install_dir: String,
    /// Where base models are kept.
    #[serde(default)]
    pub models_dir: String,
    /// Upstream's list of base models; kept, not used.
    #[serde(default)]
    pub base_models: Vec<Value>,
    /// The experts, by name.
    #[serde(default)]
    pub experts: Vec<Expert>,
    /// Keys of others.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// All versions of one expert.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expert {
    /// `expert-…`
    pub name: String,
    /// Newest first.
    pub versions: Vec<Version>,
    /// Keys of others.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One installed version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// The version.
    pub version: String,
    /// Name of its base model.
    #[serde(default)]
    pub base_model: String,
    /// Its folder.
    pub path: String,
    /// What it was installed from.
    #[serde(default)]
    pub source: String,
    /// When, RFC 3339.
    #[serde(default)]
    pub installed_at: String,
    /// Its adapters.
    #[serde(default)]
    pub adapters: Vec<AdapterRecord>,
    /// Its capabilities.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// What it asks for.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// Hash of the installed manifest, which lists the hashes of all other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// Keys of others.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An adapter's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdapterRecord {
    /// `dora`, `lora`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The file.
    #[serde(default)]
    pub path: String,
    /// Its size.
    #[serde(default)]
    pub size_bytes: u64,
    /// Its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Another expert that one asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Its version or range.
    #[serde(default)]
    pub version: String,
    /// Whether it works without.
    #[serde(default)]
    pub optional: bool,
}

impl Index {
    /// The index in a file; an empty one where there is none. The flat form is turned into today's.
    pub fn load(path: &Path, home: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::empty(home));
        }
        let unreadable = |why: String| {
            Problem::input(format!("the registry {} cannot be read", path.display()))
                .detail(why)
                .hint("move the file away and install your experts again")
        };
        let mut raw: Value =
            serde_json::from_str(&fsx::read_text(path)?).map_err(|error| unreadable(error.to_string()))?;
        migrate(&mut raw);
        let mut index: Self = serde_json::from_value(raw).map_err(|error| unreadable(error.to_string()))?;
        index.sort();
        Ok(index)
    }

    fn empty(home: &Path) -> Self {
        Self {
            version: "1.0".into(),
            last_updated: String::new(),
            install_dir: home.join("experts").to_string_lossy().into_owned(),
            models_dir: home.join("models").to_string_lossy().into_owned(),
            base_models: Vec::new(),
            experts: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Writes the index.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.last_updated = clock::now();
        self.sort();
        let text = serde_json::to_string_pretty(self)? + "\n";
        fsx::write_atomic(path, text.as_bytes())
    }

    /// Experts by name, versions newest first.
    fn sort(&mut self) {
        self.experts.sort_by(|a, b| a.name.cmp(&b.name));
        for expert in &mut self.experts {
            expert.versions.sort_by(|a, b| compare_versions(&b.version, &a.version));
        }
    }

    /// The expert of this name.
    pub fn expert(&self, name: &str) -> Option<&Expert> {
        self.experts.iter().find(|expert| expert.name == name)
    }

    /// Puts a version in, in place of the same one.
    pub fn put(&mut self, name: &str, version: Version) {
        let at = self.experts.iter().position(|expert| expert.name == name).unwrap_or_else(|| {
            self.experts.push(Expert { name: name.to_owned(), versions: Vec::new(), rest: Map::new() });
            self.experts.len() - 1
        });
        let versions = &mut self.experts[at].versions;
        versions.retain(|other| other.version != version.version);
        versions.push(version);
        self.sort();
    }

    /// Takes a version out, and the expert with its last one.
    pub fn take(&mut self, name: &str, version: &str) -> Option<Version> {
        let expert = self.experts.iter_mut().find(|expert| expert.name == name)?;
        let at = expert.versions.iter().position(|other| other.version == version)?;
        let taken = expert.versions.remove(at);
        self.experts.retain(|expert| !expert.versions.is_empty());
        Some(taken)
    }
}

/// Newer is greater: by semver; what is no semver is smaller and compared as text.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (semver::Version::parse(a), semver::Version::parse(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// The flat form had one version beside the name; several entries of a name become its versions.
fn migrate(raw: &mut Value) {
    let Some(experts) = raw.get_mut("experts").and_then(Value::as_array_mut) else { return };
    let mut migrated: Vec<Value> = Vec::new();
    for mut expert in std::mem::take(experts) {
        let Some(object) = expert.as_object_mut().filter(|o| !o.contains_key("versions") && o.contains_key("version"))
        else {
            migrated.push(expert);
            continue;
        };
        let name = object.shift_remove("name").unwrap_or_default();
        let flat = Value::Object(std::mem::take(object));
        let same = migrated.iter_mut().find(|other| other.get("name") == Some(&name));
        match same.and_then(|other| other.get_mut("versions")).and_then(Value::as_array_mut) {
            Some(versions) => versions.push(flat),
            None => migrated.push(serde_json::json!({"name": name, "versions": [flat]})),
        }
    }
    *experts = migrated;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_ordered_by_semver() {
        let mut versions = ["0.10.0", "0.9.0", "1.0.0-rc.1", "1.0.0", "weekly", "0.2.0"];
        versions.sort_by(|a, b| compare_versions(b, a));
        assert_eq!(versions, ["1.0.0", "1.0.0-rc.1", "0.10.0", "0.9.0", "0.2.0", "weekly"]);
    }

    #[test]
    fn the_flat_form_is_migrated_and_strangers_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("expert-registry.json");
        let flat = |version: &str| {
            json!({"name": "expert-sql", "version": version, "base_model": "Qwen3-0.6B",
            "path": "/x", "source": "s", "installed_at": "t", "adapters": [], "capabilities": [], "theirs": 1})
        };
        let raw = json!({"version": "1.0", "experts": [flat("0.1.0"), flat("0.2.0")], "theirs": {"a": 1}});
        fsx::write_atomic(&path, raw.to_string().as_bytes()).unwrap();
        let mut index = Index::load(&path, dir.path()).unwrap();
        let expert = index.expert("expert-sql").unwrap();
        assert_eq!(expert.versions.iter().map(|v| v.version.as_str()).collect::<Vec<_>>(), ["0.2.0", "0.1.0"]);
        index.save(&path).unwrap();
        let saved: Value = serde_json::from_str(&fsx::read_text(&path).unwrap()).unwrap();
        assert_eq!(saved["theirs"], json!({"a": 1}));
        assert_eq!(saved["experts"][0]["versions"][0]["theirs"], 1);
        assert_eq!(saved["experts"][0]["versions"][0]["version"], "0.2.0");
        fsx::write_atomic(&path, b"{").unwrap();
        assert!(Index::load(&path, dir.path()).unwrap_err().to_string().contains("cannot be read"));
    }
}
