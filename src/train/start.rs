//! What a run starts from: stored weights or random ones, a tokenizer that is there or one made from the rows.

use std::path::Path;

use super::model_folder::ModelFolder;
use super::rows::Source;
use super::settings::{AdapterType, Settings};
use super::vocabulary;
use crate::data::tokenizer::{TextTokenizer, train_new};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::{Decoder, Quantisation};

/// Fewest ids of a new tokenizer: every byte, the markers, and something to learn.
const SMALLEST_TOKENIZER: usize = 300;
/// Endings of files that hold weights: where one of them lies, nothing is made of random numbers.
const WEIGHT_FILES: [&str; 7] = ["safetensors", "bin", "pt", "pth", "gguf", "h5", "msgpack"];

/// A decoder before its first step.
#[derive(Debug)]
pub(super) struct Start {
    pub decoder: Decoder,
    pub tokenizer: TextTokenizer,
    /// Where all weights are trained: the files beside them.
    pub folder: Option<ModelFolder>,
    /// The identity of weights that have no file: they are random.
    pub random: Option<String>,
    /// Weights that could not be quantised as asked.
    pub held_otherwise: Vec<String>,
}

/// Reads or makes what the run starts from; `source` gives the texts for a new tokenizer.
pub(super) fn start(
    base: &Path,
    settings: &Settings,
    new_tokenizer: Option<usize>,
    source: &Source<'_>,
    (quantisation, cache): (Option<Quantisation>, &Path),
    notes: &mut Vec<String>,
) -> Result<Start> {
    let full = settings.adapter_type == AdapterType::Full;
    let stored = has_weights(base)?;
    if let Some(size) = new_tokenizer {
        check_new_tokenizer(full, size)?;
    }
    if !full {
        let (decoder, held_otherwise) = match quantisation {
            Some(how) => Decoder::load_quantised(base, how, cache, &mut |_, _| ())?,
            None => (Decoder::load(base)?, Vec::new()),
        };
        notes.extend(held_otherwise.iter().cloned());
        let tokenizer = TextTokenizer::load(base)?;
        return Ok(Start { decoder, tokenizer, folder: None, random: None, held_otherwise });
    }
    if let Some(how) = quantisation {
        notes.push(format!("quantization {} changes nothing here: all weights are trained, in f32", how.name()));
    }
    let held_otherwise = Vec::new();
    let mut folder = ModelFolder::read(base)?;
    if let Some(size) = new_tokenizer {
        let texts = source.texts()?;
        let new = train_new(texts.iter().map(String::as_str), size)?;
        notes.push(format!("a new tokenizer of {} ids, made from {} rows", new.size, texts.len()));
        folder = folder.with_tokenizer(new);
    }
    let tokenizer = folder.tokenizer()?;
    if stored {
        let mut decoder = Decoder::load(base)?;
        if new_tokenizer.is_some() {
            let taught = vocabulary::renew(&mut decoder, &TextTokenizer::load(base)?, &tokenizer)?;
            notes.push(format!("{taught} of its tokens begin as the mean of the old tokens that spell them"));
        }
        return Ok(Start { decoder, tokenizer, folder: Some(folder), random: None, held_otherwise });
    }
    notes.push(format!(
        "{} holds no weights: training starts from random numbers (seed {}), not from a model that knows anything",
        base.display(),
        settings.seed
    ));
    let decoder = Decoder::fresh(folder.config()?, settings.seed, folder.initializer_range())?;
    let random = Some(folder.random_identity(settings.seed));
    Ok(Start { decoder, tokenizer, random, folder: Some(folder), held_otherwise })
}

/// Whether the folder holds weights in any form, also in one that will be refused.
fn has_weights(base: &Path) -> Result<bool> {
    let is_weights = |path: &std::path::PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        WEIGHT_FILES.contains(&ending) || path.ends_with("model.safetensors.index.json")
    };
    Ok(fsx::list_dir(base)?.iter().any(is_weights))
}

fn check_new_tokenizer(full: bool, size: usize) -> Result<()> {
    if !full {
        return Err(Problem::usage("--new-tokenizer: an adapter needs the tokenizer of its base model")
            .hint("`--set training.config.adapter_type=full` trains a whole model")
            .into());
    }
    if size < SMALLEST_TOKENIZER {
        return Err(Problem::usage(format!("--new-tokenizer {size}: has to be {SMALLEST_TOKENIZER} or more")).into());
    }
    Ok(())
}
