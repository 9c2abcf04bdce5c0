//! `manifest.json` v1.0 and v2.0: types, checks, rewriting that keeps what it does not know.
//!
//! A [`Manifest`] holds the JSON value as it was read, so that unknown fields, `_comment` keys and the order of keys
//! survive [`Manifest::save`]; the typed views beside it are read from that value. [`check()`] lists every problem at
//! once with its JSON path; loading refuses a manifest with errors and lets warnings pass. Knows one file and nothing
//! about weights, data sets or packages.

mod blocks;
mod check;
mod config;
mod distance;
mod edit;
mod names;
mod read;
mod schema;

pub use blocks::{AdapterEntry, BaseModel, Dataset, DatasetReference, Decoding, Training};
pub use check::{Finding, Severity, check};
pub use config::TrainingConfig;
pub use distance::did_you_mean;
pub use names::{last_component, package_file_name, package_file_name_v1, weights_dir_name};

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Problem, Result};
use crate::fsx;

/// The two shapes of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaVersion {
    /// One `base_model`, `adapters` at the root.
    V1,
    /// A list of `base_models`, each with its adapters.
    V2,
}

/// A manifest without errors: the raw value and typed views of it.
#[derive(Debug, Clone)]
pub struct Manifest {
    raw: Value,
    path: Option<PathBuf>,
    name: String,
    version: String,
    schema_version: SchemaVersion,
    base_models: Vec<BaseModel>,
    capabilities: Vec<String>,
    training: Training,
    decoding: Decoding,
    /// Keys of `training.config` set by [`Manifest::set`]: they win over `training_overrides`.
    pinned: Vec<String>,
}

impl Manifest {
    /// Reads a manifest file, or `manifest.json` of a folder; refuses it with the list of all errors.
    pub fn load(path: &Path) -> Result<Self> {
        let path = Self::file_at(path);
        let mut manifest = Self::from_value_named(read_value(&path)?, &path.display().to_string())?;
        manifest.path = Some(path);
        Ok(manifest)
    }

    /// A manifest from a JSON value; refuses it with the list of all errors.
    pub fn from_value(raw: Value) -> Result<Self> {
        Self::from_value_named(raw, "the manifest")
    }

    fn from_value_named(raw: Value, what: &str) -> Result<Self> {
        let errors: Vec<Finding> = check(&raw).into_iter().filter(|f| f.severity == Severity::Error).collect();
        if !errors.is_empty() {
            let count = errors.len();
            let mut problem = Problem::input(format!("{what} has {count} error{}", if count == 1 { "" } else { "s" }));
            for finding in errors {
                problem = problem.detail(finding.to_string());
            }
            return Err(problem.hint("`expert-cli validate` lists warnings too").into());
        }
        Ok(read::typed(raw))
    }

    /// `manifest.json` inside `path` if that is a folder, else `path` itself.
    pub fn file_at(path: &Path) -> PathBuf {
        if path.is_dir() { path.join("manifest.json") } else { path.to_owned() }
    }

    /// The JSON as it was read, with what [`Manifest::set`] changed.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The file it was loaded from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The folder of the file it was loaded from; paths inside the manifest are relative to it.
    pub fn folder(&self) -> PathBuf {
        let parent = self.path.as_deref().and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    }

    /// The expert's name, `expert-…`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The expert's version, a semver string.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which of the two shapes it has.
    pub fn schema_version(&self) -> SchemaVersion {
        self.schema_version
    }

    /// The base models; of a v1 manifest the only one.
    pub fn base_models(&self) -> &[BaseModel] {
        &self.base_models
    }

    /// The entry of this model: its exact name or the name's last path component. Without a name the only entry.
    pub fn entry(&self, model: Option<&str>) -> Result<&BaseModel> {
        let names = || self.base_models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(wanted) = model else {
            return match self.base_models.as_slice() {
                [only] => Ok(only),
                _ => Err(Problem::usage(format!("{} names {} base models", self.name, self.base_models.len()))
                    .detail(format!("they are {}", names()))
                    .hint("choose one with --model NAME")
                    .into()),
            };
        };
        if let Some(exact) = self.base_models.iter().find(|m| m.name == wanted) {
            return Ok(exact);
        }
        let same: Vec<_> =
            self.base_models.iter().filter(|m| last_component(&m.name) == last_component(wanted)).collect();
        match same.as_slice() {
            [only] => Ok(only),
            [] => Err(Problem::usage(format!("{} has no base model `{wanted}`", self.name))
                .detail(format!("it has {}", names()))
                .hint("give one of these names to --model")
                .into()),
            _ => Err(Problem::usage(format!("`{wanted}` fits several base models of {}", self.name))
                .detail(format!("they are {}", names()))
                .hint("give the whole name to --model")
                .into()),
        }
    }

    /// The `training` block.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// `training.config` with the entry's `training_overrides` on top and what [`Manifest::set`] changed above both.
    pub fn training_config_for(&self, entry: &BaseModel) -> Result<TrainingConfig> {
        let config = self.raw.pointer("/training/config").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut merged = config::canonical_keys(&config);
        for (key, value) in config::canonical_keys(&entry.training_overrides) {
            if !self.pinned.contains(&key) {
                merged.insert(key, value);
            }
        }
        Ok(TrainingConfig::from_object(&merged))
    }

    /// How the weights of a base model are to be held: `quantization`, and whether the embedding and the head are too
    /// (`quantize_embeddings` of the entry, else of `training.config`).
    pub fn quantization<'a>(&self, entry: &'a BaseModel) -> (Option<&'a str>, bool) {
        let config = || self.raw.pointer("/training/config/quantize_embeddings").and_then(Value::as_bool);
        (entry.quantization.as_deref(), entry.quantize_embeddings.or_else(config).unwrap_or(false))
    }

    /// The `training.decoding` block.
    pub fn decoding(&self) -> Decoding {
        self.decoding.clone()
    }

    /// The capabilities, `kind:value`.
    pub fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// The SQL dialect that the capabilities name, else the one of `training.decoding.grammar_type`, else `postgres`.
    pub fn dialect(&self) -> String {
        let grammar_type = self.decoding.grammar_type.as_deref().and_then(|t| t.strip_prefix("sql-"));
        let values = self.capabilities.iter().map(|c| c.rsplit(':').next().unwrap_or(c)).chain(grammar_type);
        for value in values {
            let dialect = match value.trim().to_ascii_lowercase().as_str() {
                "postgres" | "postgresql" => "postgres",
                "mysql" | "mariadb" => "mysql",
                "sqlite" | "sqlite3" => "sqlite",
                _ => continue,
            };
            return dialect.to_owned();
        }
        "postgres".to_owned()
    }

    /// Sets the value at a JSON path such as `training.config.rank` or `base_models[0].prompt_template`. A key that
    /// nobody knows, or a manifest that would then have errors, is refused and nothing changes.
    pub fn set(&mut self, path: &str, value: Value) -> Result<()> {
        let mut raw = self.raw.clone();
        edit::set(&mut raw, path, value)?;
        let mut changed = Self::from_value_named(raw, &format!("the manifest with `{path}` set"))?;
        changed.path = self.path.take();
        changed.pinned = std::mem::take(&mut self.pinned);
        if let Some(key) = path.strip_prefix("training.config.") {
            changed.pinned.push(config::canonical_key(key).to_owned());
        }
        *self = changed;
        Ok(())
    }

    /// [`Manifest::set`] from the text of a flag, `PATH=VALUE`; a VALUE that is no JSON is a string.
    pub fn set_assignment(&mut self, assignment: &str) -> Result<()> {
        let Some((path, text)) = assignment.split_once('=') else {
            return Err(Problem::usage(format!("`{assignment}` has no `=`"))
                .hint("write it like training.config.rank=8")
                .into());
        };
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        self.set(path.trim(), value)
    }

    /// Writes the manifest: two spaces of indentation, keys in their order, unknown fields and comments kept.
    pub fn save(&self, path: &Path) -> Result<()> {
        fsx::write_atomic(path, self.to_text()?.as_bytes())
    }

    /// The text that [`Manifest::save`] writes.
    pub fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.raw)? + "\n")
    }
}

/// Reads a JSON file; a syntax error is named with line and column.
pub fn read_value(path: &Path) -> Result<Value> {
    if !path.exists() {
        return Err(Problem::input(format!("there is no {}", path.display()))
            .hint("name the folder of an expert or its manifest.json, or let `expert-cli init NAME` write a starter")
            .into());
    }
    let text = fsx::read_text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        Problem::input(format!("{}:{}:{} is not JSON", path.display(), error.line(), error.column()))
            .detail(error.to_string())
            .hint("look for a missing or surplus comma, quote or bracket there or just before")
            .into()
    })
}

#[cfg(test)]
mod tests;
