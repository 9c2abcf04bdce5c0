//! From a checked JSON value to the typed views. Types are right here: [`super::check()`] has seen to it.

use serde_json::{Map, Value};

use super::blocks::{AdapterEntry, BaseModel, Dataset, Decoding, Training};
use super::config::FromJson;
use super::{Manifest, SchemaVersion};

/// Which shape the value has: `"2.0"` is v2, anything else v1 (upstream); without a version the keys decide.
pub(super) fn schema_version(raw: &Value) -> SchemaVersion {
    match raw.get("schema_version").and_then(Value::as_str) {
        Some("2.0") => SchemaVersion::V2,
        None if raw.get("base_models").is_some() => SchemaVersion::V2,
        _ => SchemaVersion::V1,
    }
}

pub(super) fn typed(raw: Value) -> Manifest {
    let schema_version = schema_version(&raw);
    let base_models = match schema_version {
        SchemaVersion::V2 => objects(raw.get("base_models")).map(|m| base_model(m, m.get("adapters"))).collect(),
        SchemaVersion::V1 => objects(raw.get("base_model")).map(|m| base_model(m, raw.get("adapters"))).collect(),
    };
    let training = raw.get("training").and_then(Value::as_object);
    let block = |key: &str| training.and_then(|t| t.get(key)).and_then(Value::as_object);
    Manifest {
        path: None,
        name: field(raw.as_object(), "name").unwrap_or_default(),
        version: field(raw.as_object(), "version").unwrap_or_default(),
        schema_version,
        base_models,
        capabilities: field(raw.as_object(), "capabilities").unwrap_or_default(),
        training: Training {
            packaging_checkpoint: field(training, "packaging_checkpoint"),
            dataset: dataset(block("dataset")),
        },
        decoding: block("decoding").map(Decoding::from_object).unwrap_or_default(),
        pinned: Vec::new(),
        raw,
    }
}

fn field<T: FromJson>(object: Option<&Map<String, Value>>, key: &str) -> Option<T> {
    object.and_then(|o| o.get(key)).and_then(T::from_json)
}

/// The objects of a list, or the object itself.
fn objects(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let items = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    items.iter().filter_map(Value::as_object)
}

fn base_model(object: &Map<String, Value>, adapters: Option<&Value>) -> BaseModel {
    let text = |key: &str| field::<String>(Some(object), key).filter(|t| !t.is_empty());
    BaseModel {
        name: text("name").unwrap_or_default(),
        sha256: text("sha256").map(|hash| hash.trim_start_matches("sha256:").to_lowercase()),
        quantization: text("quantization"),
        quantize_embeddings: field(Some(object), "quantize_embeddings"),
        rope_scaling: field(Some(object), "rope_scaling"),
        prompt_template: text("prompt_template"),
        adapters: objects(adapters).map(adapter).collect(),
        training_overrides: object.get("training_overrides").and_then(Value::as_object).cloned().unwrap_or_default(),
    }
}

fn adapter(object: &Map<String, Value>) -> AdapterEntry {
    let object = Some(object);
    let text = |key: &str| field::<String>(object, key).filter(|t| !t.is_empty());
    AdapterEntry {
        kind: text("type").unwrap_or_default(),
        target_modules: field(object, "target_modules").unwrap_or_default(),
        r: field(object, "r"),
        alpha: field(object, "alpha"),
        path: text("path"),
        size_bytes: field(object, "size_bytes"),
        sha256: text("sha256"),
    }
}

fn dataset(object: Option<&Map<String, Value>>) -> Dataset {
    let mapping = object.and_then(|o| o.get("field_mapping")).and_then(Value::as_object);
    Dataset {
        path: field(object, "path"),
        validation_path: field(object, "validation_path"),
        test_path: field(object, "test_path"),
        validation_split: field(object, "validation_split"),
        kind: field(object, "type"),
        format: field(object, "format"),
        text_field: field(object, "text_field"),
        field_mapping: mapping
            .into_iter()
            .flatten()
            .filter_map(|(part, column)| Some((part.clone(), column.as_str()?.to_owned())))
            .filter(|(part, _)| !part.starts_with("_comment"))
            .collect(),
        streaming: field(object, "streaming").unwrap_or_default(),
        source: field(object, "source"),
    }
}
