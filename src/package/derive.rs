//! Tokenizer files that newer base models lack, made from the ones they have.

use serde_json::{Map, Value};

use crate::error::{Problem, Result};

/// `vocab.json` of a `tokenizer.json`: token → id in the order of the ids, as GPT-2's tokenizer writes it.
pub(super) fn vocab(tokenizer: &[u8]) -> Result<Vec<u8>> {
    let bad = |why: &str| Problem::input(format!("tokenizer.json cannot be read: {why}"));
    let tokenizer: Value = serde_json::from_slice(tokenizer).map_err(|error| bad(&error.to_string()))?;
    let mut tokens: Vec<(u64, String)> = match tokenizer.pointer("/model/vocab") {
        Some(Value::Object(map)) => map.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.clone()))).collect(),
        Some(Value::Array(list)) => {
            let token = |item: &Value| item.get(0).and_then(Value::as_str).map(str::to_owned);
            list.iter().enumerate().filter_map(|(id, item)| Some((id as u64, token(item)?))).collect()
        }
        _ => return Err(bad("it has no model.vocab").into()),
    };
    tokens.sort();
    let vocab: Map<String, Value> = tokens.into_iter().map(|(id, token)| (token, id.into())).collect();
    Ok(serde_json::to_vec(&Value::Object(vocab))?)
}

/// `special_tokens_map.json` of a `tokenizer_config.json`: its special tokens and nothing else.
pub(super) fn special_tokens_map(tokenizer_config: &[u8]) -> Result<Vec<u8>> {
    let config: Map<String, Value> = serde_json::from_slice(tokenizer_config)
        .map_err(|error| Problem::input(format!("tokenizer_config.json cannot be read: {error}")))?;
    let mut map = Map::new();
    let additional = ["additional_special_tokens", "extra_special_tokens"];
    let list = additional.iter().find_map(|key| config.get(*key)).filter(|list| list.is_array());
    if let Some(list) = list {
        map.insert(additional[0].to_owned(), list.clone());
    }
    for key in ["bos_token", "cls_token", "eos_token", "mask_token", "pad_token", "sep_token", "unk_token"] {
        if let Some(token) = config.get(key).filter(|token| !token.is_null()) {
            map.insert(key.to_owned(), token.clone());
        }
    }
    Ok((serde_json::to_string_pretty(&Value::Object(map))? + "\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_in_the_order_of_ids() {
        let text = |bytes: &str| String::from_utf8(vocab(bytes.as_bytes()).unwrap()).unwrap();
        assert_eq!(text(r#"{"model": {"vocab": {"b": 1, "Ġa": 0, "\"": 2}}}"#), r#"{"Ġa":0,"b":1,"\"":2}"#);
        assert_eq!(text(r#"{"model": {"vocab": [["x", -1.0], ["y", -2.0]]}}"#), r#"{"x":0,"y":1}"#);
        assert!(vocab(b"{}").is_err());
    }

    #[test]
    fn only_special_tokens_are_kept() {
        let config =
            br#"{"eos_token": {"content": "<e>"}, "model_max_length": 7, "bos_token": null, "pad_token": "<p>",
            "additional_special_tokens": ["<a>"]}"#;
        let map: Value = serde_json::from_slice(&special_tokens_map(config).unwrap()).unwrap();
        assert_eq!(
            map,
            serde_json::json!({"additional_special_tokens": ["<a>"], "eos_token": {"content": "<e>"}, "pad_token": "<p>"})
        );
    }
}
