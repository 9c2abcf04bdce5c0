//! The manifest as it goes into a package: the chosen base model only, without this machine's paths, with the sizes
//! and hashes of what is packed.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::contents::Item;
use super::record::Record;
use crate::error::{Problem, Result};
use crate::manifest::{BaseModel, Manifest, SchemaVersion, last_component};

/// Replaces the base model's path by its last component wherever it is a whole JSON string.
#[derive(Debug)]
pub(super) struct Scrub {
    paths: Vec<String>,
}

impl Scrub {
    /// The base model's name is a path if it looks like one or names a folder seen from the manifest.
    pub fn new(name: &str, base: Option<&Path>, folder: &Path) -> Self {
        let mut paths = Vec::new();
        if is_path(name) || folder.join(name).is_dir() {
            paths.push(name.to_owned());
        }
        if let Some(base) = base {
            paths.push(base.to_string_lossy().into_owned());
            if let Ok(absolute) = std::fs::canonicalize(base) {
                paths.push(absolute.to_string_lossy().into_owned());
            }
        }
        Self { paths }
    }

    /// The path that an `adapter_config.json` names: where the base model was when it was trained, which need not be
    /// where it is now.
    pub fn also_base_of(&mut self, adapter_config: &[u8]) {
        let config: Value = serde_json::from_slice(adapter_config).unwrap_or_default();
        if let Some(name) = config["base_model_name_or_path"].as_str().filter(|name| is_path(name)) {
            self.paths.push(name.to_owned());
        }
    }

    /// The text without the path.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        let plain = |path: &str| path.trim_end_matches(['/', '\\']).to_owned();
        if self.paths.iter().any(|path| plain(path) == plain(text)) { last_component(text) } else { text }
    }

    /// A JSON file without the path; unchanged to the byte where it does not stand in it.
    pub fn json(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Problem::input(format!("a JSON file of the expert cannot be read: {error}")))?;
        if !self.walk(&mut value) {
            return Ok(bytes.to_vec());
        }
        Ok(serde_json::to_string_pretty(&value)?.into_bytes())
    }

    fn walk(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) if self.text(text) != text => {
                *text = self.text(text).to_owned();
                true
            }
            Value::Array(items) => items.iter_mut().fold(false, |changed, item| self.walk(item) | changed),
            Value::Object(map) => map.values_mut().fold(false, |changed, item| self.walk(item) | changed),
            _ => false,
        }
    }
}

/// Whether a model's name is a path by its looks: absolute, with a drive, a backslash, or leading dots or `~`.
fn is_path(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    drive || name.contains('\\') || name.starts_with(['/', '.', '~'])
}

/// The packed manifest.
pub(super) fn pack(
    manifest: &Manifest,
    entry: &BaseModel,
    scrub: &Scrub,
    record: &Record,
    items: &[Item],
) -> Result<Value> {
    let mut raw = manifest.raw().clone();
    let unreadable = || Problem::input("the manifest has no such entry");
    let root = raw.as_object_mut().ok_or_else(unreadable)?;
    root.shift_remove("integrity");
    root.shift_remove("package");
    match manifest.schema_version() {
        SchemaVersion::V2 => {
            root.shift_remove("base_model");
            root.shift_remove("adapters");
            let models = root.get_mut("base_models").and_then(Value::as_array_mut).ok_or_else(unreadable)?;
            models.retain(|model| model.get("name").and_then(Value::as_str) == Some(&entry.name));
            models.truncate(1);
            let model = models.first_mut().and_then(Value::as_object_mut).ok_or_else(unreadable)?;
            base(model, scrub, record);
            adapter(model.get_mut("adapters"), items);
        }
        SchemaVersion::V1 => {
            let model = root.get_mut("base_model").and_then(Value::as_object_mut).ok_or_else(unreadable)?;
            base(model, scrub, record);
            adapter(root.get_mut("adapters"), items);
        }
    }
    root.insert("package".into(), record.to_json());
    Ok(raw)
}

fn base(model: &mut Map<String, Value>, scrub: &Scrub, record: &Record) {
    if let Some(Value::String(name)) = model.get_mut("name") {
        *name = scrub.text(name).to_owned();
    }
    if let Some(hash) = &record.base_hash {
        model.insert("sha256".into(), json!(hash.trim_start_matches("sha256:")));
    }
}

/// The first adapter is the packed one: upstream's `size_bytes` and `sha256` are filled in, its `path` is gone.
fn adapter(adapters: Option<&mut Value>, items: &[Item]) {
    let first = adapters.and_then(Value::as_array_mut).and_then(|list| list.first_mut()).and_then(Value::as_object_mut);
    let weights = items.iter().find(|item| item.name == "adapter_model.safetensors");
    if let (Some(first), Some(weights)) = (first, weights) {
        first.shift_remove("path");
        first.insert("size_bytes".into(), json!(weights.size));
        first.insert("sha256".into(), json!(weights.sha256));
    }
}
