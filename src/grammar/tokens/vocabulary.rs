//! What each token of a `tokenizer.json` stands for, in bytes: byte-level BPE (GPT-2's printable stand-ins for bytes)
//! and SentencePiece (`▁` for a space, `<0xE9>` for a byte).

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{Problem, Result};
use crate::fsx;

/// The bytes of every token id.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    bytes: Vec<Vec<u8>>,
    /// Added tokens by their text.
    added: HashMap<String, u32>,
}

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    pre_tokenizer: serde_json::Value,
    #[serde(default)]
    decoder: serde_json::Value,
}

#[derive(Deserialize)]
struct Model {
    vocab: Pieces,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

/// A map from piece to id (BPE), or a list of [piece, score] (Unigram).
struct Pieces(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pieces;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pieces, A::Error> {
                let mut pieces = Vec::new();
                while let Some(entry) = map.next_entry::<String, u32>()? {
                    pieces.push(entry);
                }
                Ok(Pieces(pieces))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Pieces, A::Error> {
                let mut pieces = Vec::new();
                while let Some((piece, _)) = list.next_element::<(String, IgnoredAny)>()? {
                    let id = pieces.len() as u32;
                    pieces.push((piece, id));
                }
                Ok(Pieces(pieces))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// Most ids that are read: a larger one is a damaged file, not a vocabulary.
const MOST_IDS: u32 = 1 << 24;

impl Vocabulary {
    /// Reads a `tokenizer.json`, or the one in a folder.
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let text = fsx::read_text(&path)?;
        let refuse = |why: String| Problem::input(format!("{} is not a tokenizer", path.display())).detail(why);
        let file: File = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let pieces = &file.model.vocab.0;
        let ids = pieces.iter().map(|(_, id)| *id).chain(file.added_tokens.iter().map(|token| token.id));
        let largest = ids.max().unwrap_or(0);
        if largest > MOST_IDS {
            return Err(refuse(format!("it has the id {largest}")).into());
        }
        let byte_level = [&file.pre_tokenizer, &file.decoder].into_iter().any(|part| mentions(part, "ByteLevel"));
        let alphabet = alphabet();
        let mut bytes = vec![Vec::new(); largest as usize + 1];
        for (piece, id) in pieces {
            bytes[*id as usize] =
                if byte_level { from_byte_level(piece, &alphabet) } else { from_sentence_piece(piece) };
        }
        let mut added = HashMap::new();
        for token in file.added_tokens {
            // Special tokens never are text: only a token literal can ask for them.
            bytes[token.id as usize] = if token.special { Vec::new() } else { token.content.clone().into_bytes() };
            added.insert(token.content, token.id);
        }
        Ok(Self { bytes, added })
    }

    /// A vocabulary whose token `i` stands for `bytes[i]`.
    pub fn from_bytes(bytes: Vec<Vec<u8>>) -> Self {
        Self { bytes, added: HashMap::new() }
    }

    /// One more than the largest id.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// A token's bytes; empty for special tokens and ids that do not exist.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// The id of a token literal's text: an added token, or the one token that stands for exactly these bytes.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let by_bytes = || self.bytes.iter().position(|bytes| bytes == text.as_bytes()).map(|id| id as u32);
        self.added.get(text).copied().or_else(by_bytes)
    }
}

/// Whether a part of the tokenizer, or one inside it, is of this type.
fn mentions(part: &serde_json::Value, kind: &str) -> bool {
    match part {
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(key, value)| (key == "type" && value == kind) || mentions(value, kind))
        }
        serde_json::Value::Array(parts) => parts.iter().any(|part| mentions(part, kind)),
        _ => false,
    }
}

/// GPT-2's `bytes_to_unicode`, backwards: printable bytes stand for themselves, the others follow from U+0100.
fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255u8)
        .map(|byte| {
            let shown = match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => {
                    next += 1;
                    char::from_u32(next - 1).unwrap_or('\0')
                }
            };
            (shown, byte)
        })
        .collect()
}

fn from_byte_level(piece: &str, alphabet: &HashMap<char, u8>) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = piece.chars().map(|c| alphabet.get(&c).copied()).collect();
    // A piece outside the alphabet is an added token listed among the pieces.
    bytes.unwrap_or_else(|| piece.as_bytes().to_vec())
}

fn from_sentence_piece(piece: &str) -> Vec<u8> {
    let byte = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).filter(|hex| hex.len() == 2);
    match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        Some(byte) => vec![byte],
        None => piece.replace('\u{2581}', " ").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_pieces_become_bytes() {
        let alphabet = alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(from_byte_level("ĠSELECT", &alphabet), b" SELECT");
        assert_eq!(from_byte_level("ĊĉÃ©", &alphabet), "\n\té".as_bytes());
        assert_eq!(from_byte_level("ł", &alphabet), [0xa0]);
        assert_eq!(from_sentence_piece("▁SELECT"), b" SELECT");
        assert_eq!(from_sentence_piece("<0xE9>"), [0xe9]);
        assert_eq!(from_sentence_piece("<0xE9"), b"<0xE9");
    }

    #[test]
    fn files_of_both_kinds_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let added = r#"[{"id": 3, "content": "<|im_end|>", "special": true}, {"id": 4, "content": "<think>", "special": false}]"#;
        for (model, decoder, first) in [
            (r#"{"vocab": {"Ġa": 0, "b": 1, "<0x0A>": 2}}"#, r#"{"type": "ByteLevel"}"#, &b" a"[..]),
            (r#"{"vocab": [["▁a", 0.0], ["b", -1.0], ["<0x0A>", 0.0]]}"#, r#"{"type": "Sequence"}"#, b" a"),
        ] {
            let text = format!(
                r#"{{"model": {model}, "added_tokens": {added}, "decoder": {decoder}, "pre_tokenizer": null}}"#
            );
            fsx::write_atomic(&path, text.as_bytes()).unwrap();
            let vocabulary = Vocabulary::load(dir.path()).unwrap();
            assert_eq!((vocabulary.size(), vocabulary.bytes(0), vocabulary.bytes(3)), (5, first, &b""[..]));
            assert_eq!((vocabulary.token_id("<|im_end|>"), vocabulary.token_id("<think>")), (Some(3), Some(4)));
            assert_eq!((vocabulary.token_id("b"), vocabulary.token_id("zz")), (Some(1), None));
        }
    }
}
