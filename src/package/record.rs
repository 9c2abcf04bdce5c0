//! What a packed manifest says of its package: the `package` block with the size and hash of every file and the
//! identity of the base model. Upstream's parser passes over the key.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::Manifest;
use crate::model::identity;

/// The `package` block of a manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The checkpoint it was packed from.
    pub checkpoint: Option<String>,
    /// `sha256:…` of the base model's weights.
    pub base_hash: Option<String>,
    /// What of the base model's config changes its answers.
    pub base_config: Option<Map<String, Value>>,
    /// Name, size and SHA-256 of every file but the manifest.
    pub files: Vec<(String, u64, String)>,
}

impl Record {
    /// The record of a manifest, if it has one.
    pub fn of(manifest: &Value) -> Option<Self> {
        let block = manifest.get("package")?;
        let files = block.get("files").and_then(Value::as_object)?;
        let text = |pointer: &str| block.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            checkpoint: text("/checkpoint"),
            base_hash: text("/base/content_hash"),
            base_config: block.pointer("/base/config").and_then(Value::as_object).cloned(),
            files: files
                .iter()
                .map(|(name, file)| {
                    let size = file.get("size").and_then(Value::as_u64).unwrap_or(u64::MAX);
                    let hash = file.get("sha256").and_then(Value::as_str).unwrap_or_default();
                    (name.clone(), size, hash.to_owned())
                })
                .collect(),
        })
    }

    /// The block as it stands in the manifest.
    pub fn to_json(&self) -> Value {
        let files: Map<String, Value> =
            self.files.iter().map(|(name, size, hash)| (name.clone(), json!({"size": size, "sha256": hash}))).collect();
        let mut block = json!({
            "format": 1,
            "created_by": concat!("expert-cli ", env!("CARGO_PKG_VERSION")),
            "checkpoint": self.checkpoint,
        });
        if self.base_hash.is_some() {
            block["base"] = json!({"content_hash": self.base_hash, "config": self.base_config});
        }
        block["files"] = Value::Object(files);
        block
    }

    /// What differs from these files (name, size, hash); empty if they are exactly the listed ones.
    pub fn compare<'a>(&self, found: impl Iterator<Item = (&'a str, u64, &'a str)>) -> Vec<String> {
        let mut defects = Vec::new();
        let mut listed: Vec<&(String, u64, String)> = self.files.iter().collect();
        for (name, size, hash) in found {
            let Some(at) = listed.iter().position(|file| file.0 == name) else {
                defects.push(format!("{name} is not listed"));
                continue;
            };
            let file = listed.swap_remove(at);
            if (file.1, file.2.as_str()) != (size, hash) {
                defects.push(format!("{name} was changed"));
            }
        }
        defects.extend(listed.iter().map(|file| format!("{} is missing", file.0)));
        defects.sort();
        defects
    }
}

/// Compares a base model's folder with the one that a packed manifest pins; `Ok(false)` if it pins none. The error
/// names what differs.
pub fn check_base(manifest: &Manifest, base: &Path, cache: Option<&Path>) -> Result<bool> {
    let record = Record::of(manifest.raw()).unwrap_or_default();
    let Some(expected) = record.base_hash else { return Ok(false) };
    let trained = format!("`{}@{}` was trained for another base model", manifest.name(), manifest.version());
    let hint = "`--base-model DIR` uses another folder";
    let found = identity::content_hash(base, cache)?;
    if found != expected {
        let name = manifest.base_models().first().map_or("", |m| m.name.as_str());
        return Err(Problem::input(trained)
            .detail(format!("expected  {expected}  {name}"))
            .detail(format!("found     {found}  {}", base.display()))
            .hint(hint)
            .into());
    }
    if let Some(expected) = record.base_config {
        let found = identity::config_summary(base)?;
        for (key, value) in &expected {
            let other = found.get(key).unwrap_or(&Value::Null);
            if other != value {
                return Err(Problem::input(trained)
                    .detail(format!("its config.json had `{key}` {value}; that of {} has {other}", base.display()))
                    .hint(hint)
                    .into());
            }
        }
    }
    Ok(true)
}

/// Compares an unpacked package with its manifest: what differs, is missing or was added.
pub fn check_folder(manifest: &Manifest, folder: &Path) -> Result<Vec<String>> {
    let Some(record) = Record::of(manifest.raw()) else {
        return Ok(vec!["its manifest lists no hashes".to_owned()]);
    };
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    found.retain(|(name, _, _)| name != "manifest.json");
    Ok(record.compare(found.iter().map(|(name, size, hash)| (name.as_str(), *size, hash.as_str()))))
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<(String, u64, String)>) -> Result<()> {
    for path in fsx::list_dir(folder)? {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found)?;
        } else {
            let size = std::fs::metadata(&path).map_or(0, |meta| meta.len());
            found.push((name, size, fsx::sha256_file(&path)?));
        }
    }
    Ok(())
}
