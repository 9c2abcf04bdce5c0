//! What stands beside the weights in a Hugging Face folder, held in memory: configuration and tokenizer. A whole model
//! that is trained takes them along into every checkpoint, so that each is a folder one can use.

use std::path::Path;

use serde_json::{Value, json};

use crate::data::tokenizer::{NEW_EOS, NEW_PAD, NewTokenizer, TextTokenizer};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::Config;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// Files of a tokenizer, in the forms it may come in.
const TOKENIZER: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// How config.json spells a dtype; transformers 5 writes `dtype`, older ones `torch_dtype`.
const DTYPE_KEYS: [&str; 2] = ["torch_dtype", "dtype"];

/// The numbers that a saved model is stored in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SaveDtype {
    /// As trained.
    #[default]
    Float32,
    /// Rounded: half the size.
    Bfloat16,
}

impl SaveDtype {
    /// Its name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }
}

/// The files of a model but its weights.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    config: Value,
    others: Vec<(String, Vec<u8>)>,
    origin: String,
}

impl ModelFolder {
    /// Reads them; only config.json must be there.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let config: Value = serde_json::from_str(&fsx::read_text(&path)?)
            .map_err(|error| Problem::input(format!("{} is not JSON", path.display())).detail(error.to_string()))?;
        if config.get("text_config").is_some_and(Value::is_object) {
            return Err(Problem::input(format!("{} holds more than a decoder (text_config)", dir.display()))
                .hint("adapter_type full trains plain decoders; dora and lora train the text part of this one")
                .into());
        }
        let mut others = Vec::new();
        for name in TOKENIZER.into_iter().chain([GENERATION]) {
            let path = dir.join(name);
            if path.is_file() {
                others.push((name.to_owned(), fsx::read(&path)?));
            }
        }
        Ok(Self { config, others, origin: dir.display().to_string() })
    }

    /// Puts a new tokenizer in the place of the old one: its files, the width of the embedding, the ids that end and pad.
    #[must_use]
    pub fn with_tokenizer(mut self, new: NewTokenizer) -> Self {
        self.others.retain(|(name, _)| !TOKENIZER.contains(&name.as_str()) && name != GENERATION);
        if let Some(fields) = self.config.as_object_mut() {
            fields.insert("vocab_size".into(), new.size.into());
            fields.insert("eos_token_id".into(), NEW_EOS.into());
            fields.insert("pad_token_id".into(), NEW_PAD.into());
            fields.insert("bos_token_id".into(), Value::Null);
        }
        let generation = json!({"eos_token_id": NEW_EOS, "pad_token_id": NEW_PAD});
        self.others.extend([
            ("tokenizer.json".to_owned(), new.tokenizer.into_bytes()),
            ("tokenizer_config.json".to_owned(), new.config.into_bytes()),
            (GENERATION.to_owned(), format!("{generation:#}\n").into_bytes()),
        ]);
        self
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> Result<TextTokenizer> {
        if self.file("tokenizer.json").is_none() {
            return Err(Problem::input(format!("{} has no tokenizer.json", self.origin))
                .hint("copy a tokenizer.json there, or have one made from the rows: `--new-tokenizer 8192`")
                .into());
        }
        let file = |name: &str| match name {
            CONFIG => Ok(Some(serde_json::to_vec(&self.config)?)),
            other => Ok(self.file(other).map(<[u8]>::to_vec)),
        };
        TextTokenizer::from_files(&file, &self.origin)
    }

    fn file(&self, name: &str) -> Option<&[u8]> {
        self.others.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// Shapes and constants.
    pub fn config(&self) -> Result<Config> {
        Config::from_value(&self.config).map_err(|problem| {
            Problem { message: format!("{}/{CONFIG}: {}", self.origin, problem.message), ..problem }.into()
        })
    }

    /// The deviation of initial values; transformers' default where config.json says nothing.
    pub fn initializer_range(&self) -> f64 {
        self.config.get("initializer_range").and_then(Value::as_f64).filter(|x| *x > 0.0).unwrap_or(0.02)
    }

    /// `random:<hash>` of the configuration and the seed: what a model of random numbers is, before it has a file.
    pub fn random_identity(&self, seed: u64) -> String {
        format!("random:{}", fsx::sha256(format!("{seed} {}", self.config).as_bytes()))
    }

    /// Writes the files beside weights that are stored in `dtype`.
    pub fn write(&self, dir: &Path, dtype: SaveDtype) -> Result<()> {
        let mut config = self.config.clone();
        if let Some(fields) = config.as_object_mut() {
            let key = DTYPE_KEYS.into_iter().rev().find(|key| fields.contains_key(*key)).unwrap_or(DTYPE_KEYS[0]);
            fields.insert(key.into(), dtype.name().into());
        }
        fsx::write_atomic(&dir.join(CONFIG), format!("{config:#}\n").as_bytes())?;
        self.others.iter().try_for_each(|(name, bytes)| fsx::write_atomic(&dir.join(name), bytes))
    }
}
