//! The tokenizer of a model folder, and new ones trained on text.
//!
//! Prompt ids are [`TextTokenizer::bos`] (where the tokenizer adds one by itself) followed by the ids of the prompt's
//! text; an answer's ids are those of its text alone. Training and chat build their ids the same way.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::error::{Problem, Result};
use crate::fsx;

/// The tokenizer of a model folder.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    bos: Option<u32>,
    chat_template: Option<String>,
    eos_ids: Vec<u32>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and `config.json` of a folder; only
    /// the first must be there.
    pub fn load(dir: &Path) -> Result<Self> {
        if !dir.join("tokenizer.json").is_file() {
            return Err(Problem::input(format!("{} has no tokenizer.json", dir.display()))
                .hint("copy the tokenizer.json of the base model into this folder")
                .into());
        }
        let file = |name: &str| {
            let path = dir.join(name);
            path.is_file().then(|| fsx::read(&path)).transpose()
        };
        Self::from_files(&file, &dir.display().to_string())
    }

    /// As [`TextTokenizer::load`] from files wherever they are; `origin` names the place in errors.
    pub fn from_files(file: &dyn Fn(&str) -> Result<Option<Vec<u8>>>, origin: &str) -> Result<Self> {
        let bytes = file("tokenizer.json")?.unwrap_or_default();
        let mut inner = Tokenizer::from_bytes(bytes).map_err(|error| {
            Problem::input(format!("{origin}/tokenizer.json is not a tokenizer")).detail(error.to_string())
        })?;
        // Files may carry settings of whoever saved them; texts are never cut or padded here.
        inner.with_padding(None);
        let _ = inner.with_truncation(None);

        let json = |name: &str| -> Result<Value> {
            let Some(bytes) = file(name)? else { return Ok(Value::Null) };
            Ok(serde_json::from_slice(&bytes)
                .map_err(|error| Problem::input(format!("{origin}/{name} is not JSON")).detail(error.to_string()))?)
        };
        let config = json("tokenizer_config.json")?;
        let chat_template = match config.get("chat_template") {
            Some(Value::String(template)) => Some(template.clone()),
            Some(Value::Array(named)) => {
                named.iter().find(|t| t["name"] == "default").and_then(|t| t["template"].as_str()).map(str::to_owned)
            }
            _ => file("chat_template.jinja")?.and_then(|bytes| String::from_utf8(bytes).ok()),
        };
        let prefix = inner.encode("", true).map_err(|error| Problem::input(error.to_string()))?;
        let bos = prefix.get_ids().first().copied();

        let mut eos_ids = Vec::new();
        for name in ["generation_config.json", "config.json"] {
            let value = json(name)?;
            let own =
                value.get("eos_token_id").or_else(|| value.get("text_config").and_then(|c| c.get("eos_token_id")));
            let ids: Vec<&Value> = match own {
                Some(Value::Array(ids)) => ids.iter().collect(),
                Some(id) => vec![id],
                None => Vec::new(),
            };
            eos_ids.extend(ids.into_iter().filter_map(Value::as_u64).map(|id| id as u32));
        }
        let eos = config.get("eos_token").map(|token| token.get("content").unwrap_or(token));
        eos_ids.extend(eos.and_then(Value::as_str).and_then(|token| inner.token_to_id(token)));
        eos_ids.sort_unstable();
        eos_ids.dedup();
        Ok(Self { inner, bos, chat_template, eos_ids })
    }

    /// Ids of a text; special tokens written in it are recognised, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| Problem::failed("the tokenizer failed on a text").detail(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of a prompt: the begin-of-sequence id where the tokenizer adds one, then the text's.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encode(text)?;
        Ok(self.bos.filter(|bos| ids.first() != Some(bos)).into_iter().chain(ids).collect())
    }

    /// Text of ids; with `skip_special` special tokens are left out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let text = self.inner.decode(ids, skip_special);
        Ok(text.map_err(|error| Problem::failed("the tokenizer failed on ids").detail(error.to_string()))?)
    }

    /// The id that the tokenizer itself puts in front of every text, if it does.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The id of a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id as the tokenizer writes it (byte-level: `Ġname`).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Number of ids, added tokens included: the model may have more rows.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether this text is one special token.
    pub fn is_special(&self, token: &str) -> bool {
        self.inner.get_added_vocabulary().is_special_token(token)
    }

    /// The folder's Jinja chat template.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// SHA-256 of all that decides which ids a text becomes.
    pub fn digest(&self) -> Result<String> {
        let whole = self.inner.to_string(false);
        let whole =
            whole.map_err(|error| Problem::failed("the tokenizer cannot be named").detail(error.to_string()))?;
        Ok(fsx::sha256(format!("{whole}\n{:?}\n{:?}", self.bos, self.eos_ids).as_bytes()))
    }

    /// Every id that ends a generation according to the folder's files, sorted.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }
}

/// Tokens that [`train_new`] puts first: id 0 is padding, 1 and 2 open and close a turn.
pub const NEW_SPECIALS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Qwen's split: contractions, words with one leading sign, single digits, runs of signs, white space.
const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Chat template of [`train_new`]'s tokenizers: Qwen's turns without tools.
const TEMPLATE: &str = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/// A tokenizer that was made here.
#[derive(Debug, Clone)]
pub struct NewTokenizer {
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`.
    pub config: String,
    /// Number of ids.
    pub size: usize,
}

/// The id of [`NEW_SPECIALS`] that ends a turn, and so a generation.
pub const NEW_EOS: u32 = 2;
/// The id of [`NEW_SPECIALS`] for padding.
pub const NEW_PAD: u32 = 0;

/// Trains a byte-level BPE of at most `size` ids on `texts`. Markers that the texts carry already become no words.
pub fn train_new<'a>(texts: impl Iterator<Item = &'a str> + Send, size: usize) -> Result<NewTokenizer> {
    let failed = |error: tokenizers::Error| Problem::failed("the tokenizer cannot be made").detail(error.to_string());
    let mut inner = Tokenizer::new(BPE::default());
    let split =
        Split::new(SplitPattern::Regex(SPLIT.into()), SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
    let bytes = ByteLevel::new(false, false, false);
    inner.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
    inner.with_decoder(Some(bytes));
    let specials = NEW_SPECIALS.map(|token| AddedToken::from(token, true)).to_vec();
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(specials)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect());
    let pieces = texts.flat_map(without_markers);
    inner.train(&mut TrainerWrapper::BpeTrainer(trainer.build()), pieces).map_err(failed)?;
    let config = json!({
        "add_bos_token": false,
        "add_prefix_space": false,
        "bos_token": null,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "eos_token": NEW_SPECIALS[NEW_EOS as usize],
        "pad_token": NEW_SPECIALS[NEW_PAD as usize],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": null,
    });
    Ok(NewTokenizer {
        tokenizer: inner.to_string(true).map_err(failed)?,
        config: format!("{config:#}\n"),
        size: inner.get_vocab_size(true),
    })
}

/// The pieces of a text between the markers of a turn.
fn without_markers(text: &str) -> impl Iterator<Item = &str> {
    NEW_SPECIALS
        .iter()
        .fold(vec![text], |pieces, marker| {
            pieces.into_iter().flat_map(|piece| piece.split(marker)).filter(|piece| !piece.is_empty()).collect()
        })
        .into_iter()
}

/// [`train_new`], written into a folder; returns the number of ids.
pub fn write_new<'a>(dir: &Path, texts: impl Iterator<Item = &'a str> + Send, size: usize) -> Result<usize> {
    let new = train_new(texts, size)?;
    fsx::write_atomic(&dir.join("tokenizer.json"), new.tokenizer.as_bytes())?;
    fsx::write_atomic(&dir.join("tokenizer_config.json"), new.config.as_bytes())?;
    Ok(new.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_rendered_rows_become_no_words() {
        let row = "<|im_start|>user\nlist users<|im_end|>\n<|im_start|>assistant\nSELECT name FROM users<|im_end|>\n";
        let new = train_new(std::iter::repeat_n(row, 50), 400).unwrap();
        let file: Value = serde_json::from_str(&new.tokenizer).unwrap();
        let words: Vec<&String> = file["model"]["vocab"].as_object().unwrap().keys().collect();
        assert!(words.iter().any(|word| *word == "Ġusers"), "{words:?}");
        let ordinary = words.iter().filter(|word| !NEW_SPECIALS.contains(&word.as_str()));
        assert!(ordinary.clone().all(|word| !word.contains("im_") && !word.contains("<|")), "{words:?}");
    }

    #[test]
    fn a_new_tokenizer_gives_back_what_it_read() {
        let dir = tempfile::tempdir().unwrap();
        let texts = ["SELECT name FROM users WHERE id = 42;", "how many users have an e-mail?", "ação 日本 🎉"];
        let size = write_new(dir.path(), texts.iter().copied().cycle().take(30), 400).unwrap();
        let tokenizer = TextTokenizer::load(dir.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), size);
        for text in texts.iter().chain(&["\u{0}\n\t 'x' — unseen Ω"]) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap(), false).unwrap(), **text);
        }
        let turn = tokenizer.encode("<|im_start|>user\n42<|im_end|>").unwrap();
        assert_eq!((turn[0], *turn.last().unwrap()), (1, 2));
        assert_eq!(tokenizer.decode(&turn, true).unwrap(), "user\n42");
        assert_eq!((tokenizer.bos(), tokenizer.eos_ids()), (None, &[2][..]));
        assert!(tokenizer.is_special("<|im_end|>") && !tokenizer.is_special("<|end|>"));
        let again = tempfile::tempdir().unwrap();
        write_new(again.path(), texts.iter().copied().cycle().take(30), 400).unwrap();
        let text = |dir: &Path| fsx::read_text(&dir.join("tokenizer.json")).unwrap();
        assert_eq!(text(dir.path()), text(again.path()), "training is reproducible");
    }
}
