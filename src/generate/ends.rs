//! Every id that may end an answer: what the tokenizer, `generation_config.json`, `config.json` and the prompt layout
//! each call the end. A model that ends with any of them is taken at its word.

use std::path::Path;

use serde_json::Value;

use super::text::Vocabulary;
use crate::data::template::Layout;
use crate::error::Result;
use crate::fsx;

/// The end-of-generation ids of the model in `dir` under this layout, ascending.
pub fn end_ids(dir: &Path, vocabulary: &dyn Vocabulary, layout: Layout) -> Result<Vec<u32>> {
    let mut ids = vocabulary.end_ids();
    for name in ["generation_config.json", "config.json"] {
        let path = dir.join(name);
        if path.is_file() {
            let config: Value = serde_json::from_str(&fsx::read_text(&path)?)
                .map_err(|error| anyhow::anyhow!("{} is not JSON: {error}", path.display()))?;
            ids.extend(ids_of(&config["eos_token_id"]));
            ids.extend(ids_of(&config["text_config"]["eos_token_id"]));
        }
    }
    let markers = layout.stop_sequences().iter().copied().chain([layout.end_marker().trim()]);
    ids.extend(markers.filter(|marker| vocabulary.is_special(marker)).filter_map(|marker| vocabulary.id(marker)));
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// One id or a list of ids.
fn ids_of(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(values) => values.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::toy::Bytes;
    use super::*;

    #[test]
    fn every_source_counts() {
        let dir = tempfile::tempdir().unwrap();
        let vocabulary = Bytes::with_words(&["<|im_end|>"]);
        let ends = || end_ids(dir.path(), &vocabulary, Layout::Qwen3).unwrap();
        assert_eq!(ends(), [256, 257], "the tokenizer's and the layout's");
        fsx::write_atomic(&dir.path().join("config.json"), br#"{"text_config": {"eos_token_id": 7}}"#).unwrap();
        fsx::write_atomic(&dir.path().join("generation_config.json"), br#"{"eos_token_id": [9, 7]}"#).unwrap();
        assert_eq!(ends(), [7, 9, 256, 257]);
        fsx::write_atomic(&dir.path().join("config.json"), b"{").unwrap();
        assert!(end_ids(dir.path(), &vocabulary, Layout::Qwen3).is_err());
    }
}
