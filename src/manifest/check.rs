//! Every problem of a manifest at once, each with its JSON path.

use std::fmt;

use serde_json::{Map, Value};

use super::SchemaVersion;
use super::distance::did_you_mean;
use super::names::weights_dir_name;
use super::read::schema_version;
use super::schema::{Field, Kind, Need, ROOT};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can be used; somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: `training.config.rank`, `base_models[0].name`; empty for the whole file.
    pub path: String,
    /// How bad.
    pub severity: Severity,
    /// What.
    pub message: String,
    /// What was probably meant.
    pub did_you_mean: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(near) = &self.did_you_mean {
            write!(f, "; did you mean `{near}`?")?;
        }
        Ok(())
    }
}

/// All problems of a manifest, errors first, otherwise in the order of the file.
pub fn check(raw: &Value) -> Vec<Finding> {
    let mut checker = Checker { findings: Vec::new(), soft: 0 };
    checker.walk(raw, &ROOT, "");
    if let Some(root) = raw.as_object() {
        checker.names(root);
        checker.base_models(root, schema_version(raw));
        checker.training(root);
    }
    checker.findings.sort_by_key(|finding| finding.severity);
    checker.findings
}

struct Checker {
    findings: Vec<Finding>,
    /// How many soft fields the walk stands in.
    soft: usize,
}

impl Checker {
    fn add(&mut self, severity: Severity, path: &str, message: impl Into<String>, near: Option<&str>) {
        let severity = if self.soft > 0 { Severity::Warning } else { severity };
        self.findings.push(Finding {
            path: path.to_owned(),
            severity,
            message: message.into(),
            did_you_mean: near.map(str::to_owned),
        });
    }

    fn error(&mut self, path: &str, message: impl Into<String>) {
        self.add(Severity::Error, path, message, None);
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.add(Severity::Warning, path, message, None);
    }

    /// Compares a value with its shape.
    fn walk(&mut self, value: &Value, kind: &'static Kind, path: &str) {
        if !fits(value, kind) {
            return self.error(path, format!("must be {}, not {}", describe(kind), shape(value)));
        }
        match (kind, value) {
            (Kind::NonEmpty, Value::String(text)) if text.trim().is_empty() => self.error(path, "must not be empty"),
            (Kind::Int(least, most), _) => {
                let number = value.as_f64().unwrap_or(0.0);
                if number < *least as f64 || number > *most as f64 {
                    self.error(path, format!("must be {}, not {value}", describe(kind)));
                }
            }
            (Kind::Number(least, most), _) => {
                let number = value.as_f64().unwrap_or(0.0);
                if number < *least || number > *most {
                    self.error(path, format!("must be {}, not {value}", describe(kind)));
                }
            }
            (Kind::Positive, _) if value.as_f64().is_none_or(|n| n <= 0.0) => {
                self.error(path, format!("must be a number above 0, not {value}"));
            }
            (Kind::OneOf(words) | Kind::Usually(words), Value::String(text)) if !words.contains(&text.as_str()) => {
                let severity = if matches!(kind, Kind::OneOf(_)) { Severity::Error } else { Severity::Warning };
                let listed: Vec<&str> = words.iter().copied().filter(|w| !w.is_empty()).collect();
                let near = did_you_mean(text, listed.iter().copied());
                self.add(severity, path, format!("`{text}` is none of {}", listed.join(", ")), near);
            }
            (Kind::Hash, Value::String(text)) => {
                let digits = text.strip_prefix("sha256:").unwrap_or(text);
                let hex = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                if !digits.is_empty() && !hex {
                    self.warn(path, "is no SHA-256 (64 hex digits)");
                }
            }
            (Kind::NonEmptyList(_), Value::Array(items)) if items.is_empty() => {
                self.error(path, "must have at least one item");
            }
            (Kind::List(inner) | Kind::NonEmptyList(inner), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, inner, &format!("{path}[{index}]"));
                }
            }
            (Kind::Map(inner), Value::Object(object)) => {
                for (key, item) in object.iter().filter(|(key, item)| !is_comment(key) && !item.is_null()) {
                    self.walk(item, inner, &join(path, key));
                }
            }
            (Kind::Object(fields), Value::Object(object)) => self.object(object, fields, path),
            (Kind::Either(first, second), _) => {
                self.walk(value, if fits(value, first) { first } else { second }, path);
            }
            _ => {}
        }
    }

    fn object(&mut self, object: &Map<String, Value>, fields: &'static [Field], path: &str) {
        for (key, value) in object {
            if is_comment(key) {
                continue;
            }
            let Some(field) = fields.iter().find(|field| field.is(key)) else {
                let missing = fields.iter().filter(|f| !object.contains_key(f.key)).map(|f| f.key);
                let near = did_you_mean(key, missing);
                self.add(Severity::Warning, &join(path, key), "unknown key, it is kept and not used", near);
                continue;
            };
            if !value.is_null() {
                self.soft += usize::from(field.soft);
                self.walk(value, &field.kind, &join(path, key));
                self.soft -= usize::from(field.soft);
            }
        }
        for field in fields {
            let there = object.iter().any(|(key, value)| field.is(key) && !value.is_null());
            match field.need {
                Need::Must if !there => self.error(&join(path, field.key), "is missing"),
                Need::Wanted if !there => {
                    self.warn(&join(path, field.key), "is missing; expert-cli 0.3 asks for it");
                }
                _ => {}
            }
        }
    }

    /// Name and version become folder and file names.
    fn names(&mut self, root: &Map<String, Value>) {
        if let Some(name) = root.get("name").and_then(Value::as_str).filter(|n| !n.trim().is_empty()) {
            let tail = name.strip_prefix("expert-").unwrap_or_default();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !is_file_name(name) || name.contains('@') {
                self.error("name", "must be letters, digits, `-`, `_` and `.`, at most 128: it names a folder");
            } else if tail.is_empty() || !tail.chars().all(plain) {
                self.warn("name", "should look like `expert-sql`: `expert-`, then lower-case letters, digits, `-`");
            }
        }
        if let Some(version) = root.get("version").and_then(Value::as_str).filter(|v| !v.trim().is_empty()) {
            if !is_file_name(version) {
                self.error("version", "must be a version such as 1.0.0: it names a folder");
            } else if semver::Version::parse(version).is_err() {
                self.warn("version", "should be three numbers such as 1.0.0");
            }
        }
    }

    fn base_models(&mut self, root: &Map<String, Value>, version: SchemaVersion) {
        let has = |key: &str| root.get(key).is_some_and(|value| !value.is_null());
        let empty = |key: &str| root.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty);
        if has("base_model") && has("base_models") {
            self.error("base_model", "stands beside `base_models`: keep one of them");
        }
        match version {
            SchemaVersion::V2 if !has("base_models") || empty("base_models") => {
                self.error("base_models", "must name at least one base model (schema version 2.0)");
            }
            SchemaVersion::V2 if !has("schema_version") => {
                self.warn("schema_version", "is missing: read as 2.0 because of `base_models`");
            }
            SchemaVersion::V1 if !has("base_model") && has("base_models") => {
                self.error("schema_version", "must be \"2.0\" for a manifest with `base_models`");
            }
            SchemaVersion::V1 => {
                if !has("base_model") {
                    self.error("base_model", "is missing (schema version 1.0)");
                }
                if !has("adapters") || empty("adapters") {
                    self.error("adapters", "must have at least one item (schema version 1.0)");
                }
            }
            SchemaVersion::V2 => {}
        }
        let models = root.get("base_models").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let folders: Vec<String> = models
            .iter()
            .map(|m| weights_dir_name(m.get("name").and_then(Value::as_str).unwrap_or_default()))
            .collect();
        for (index, folder) in folders.iter().enumerate() {
            if !folder.is_empty() && folders[..index].contains(folder) {
                self.warn(
                    &format!("base_models[{index}].name"),
                    format!("shares the folder weights/{folder} with an earlier entry"),
                );
            }
        }
    }

    fn training(&mut self, root: &Map<String, Value>) {
        let Some(training) = root.get("training").and_then(Value::as_object) else { return };
        if let Some(chosen) = training.get("packaging_checkpoint").and_then(Value::as_str) {
            let number = chosen.strip_prefix("checkpoint-").is_some_and(|n| n.parse::<u64>().is_ok());
            if !number && !["final", "adapter"].contains(&chosen) {
                self.error("training.packaging_checkpoint", "must be `checkpoint-N`, `final` or `adapter`");
            }
        }
        if let Some(config) = training.get("config").and_then(Value::as_object) {
            let kind = config.get("adapter_type").and_then(Value::as_str);
            if config.get("rank").is_none_or(Value::is_null) && !matches!(kind, Some("ia3" | "full")) {
                self.error("training.config.rank", "is missing: every adapter but ia3 has one");
            }
            let given = |key: &str| config.get(key).is_some_and(|v| v.as_f64().is_some_and(|n| n > 0.0));
            if given("warmup_ratio") && given("warmup_steps") {
                self.warn("training.config.warmup_steps", "is not used: `warmup_ratio` wins");
            }
        }
        let dataset = training.get("dataset").and_then(Value::as_object);
        let named = |key: &str| dataset.is_some_and(|d| d.get(key).is_some_and(|v| !v.is_null()));
        if !["path", "generation", "tasks"].iter().any(|key| named(key)) {
            self.warn("training.dataset.path", "is missing: `train` will need --dataset");
        }
    }
}

/// `_comment`, `_comment_rank` and the like may stand anywhere.
fn is_comment(key: &str) -> bool {
    key.starts_with("_comment") || key.starts_with("//")
}

/// Whether a text can name a folder on every system: no separators, no control characters, no leading dot.
fn is_file_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    !text.is_empty() && text.len() <= 128 && text.chars().all(plain) && !text.starts_with('.') && !text.ends_with('.')
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether the JSON type is the shape's.
fn fits(value: &Value, kind: &Kind) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Text | Kind::NonEmpty | Kind::OneOf(_) | Kind::Usually(_) | Kind::Hash => value.is_string(),
        Kind::Bool => value.is_boolean(),
        Kind::Int(..) => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        Kind::Number(..) | Kind::Positive => value.is_number(),
        Kind::List(_) | Kind::NonEmptyList(_) => value.is_array(),
        Kind::Map(_) | Kind::Object(_) => value.is_object(),
        Kind::Either(first, second) => fits(value, first) || fits(value, second),
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Any => "anything".into(),
        Kind::Text | Kind::NonEmpty | Kind::Hash => "a string".into(),
        Kind::OneOf(words) | Kind::Usually(words) => match words {
            [only] => format!("\"{only}\""),
            _ => "a string".into(),
        },
        Kind::Bool => "true or false".into(),
        Kind::Int(0, u64::MAX) => "a whole number, 0 or more".into(),
        Kind::Int(least, u64::MAX) => format!("a whole number, {least} or more"),
        Kind::Int(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Number(least, f64::MAX) => format!("a number, {least} or more"),
        Kind::Number(least, most) => format!("a number from {least} to {most}"),
        Kind::Positive => "a number above 0".into(),
        Kind::List(_) | Kind::NonEmptyList(_) => "a list".into(),
        Kind::Map(_) | Kind::Object(_) => "an object".into(),
        Kind::Either(first, second) => format!("{} or {}", describe(first), describe(second)),
    }
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
