//! The base model's weights, as they are stored or quantised.

use std::path::Path;

use crate::cli::args::chat::ModelArgs;
use crate::cli::home::expert_home;
use crate::cli::ui::Ui;
use crate::error::Result;
use crate::fsx;
use crate::generate::prompts::Folder;
use crate::kernels::linear;
use crate::manifest::{BaseModel, Manifest};
use crate::model::{Decoder, Quantisation, identity};

/// How the base's weights are to be held: a flag wins over the manifest.
pub(in crate::cli) fn quantisation(
    model: &ModelArgs,
    manifest: Option<&Manifest>,
    entry: Option<&BaseModel>,
) -> Result<Option<Quantisation>> {
    let (named, embeddings) = match (manifest, entry) {
        (Some(manifest), Some(entry)) => manifest.quantization(entry),
        _ => (None, false),
    };
    let named = model.quantization.as_deref().or(named);
    Ok(Quantisation::from_manifest(named, embeddings || model.quantize_embeddings))
}

/// Where beginnings of prompts are kept, named by all that their numbers depend on.
pub(in crate::cli) fn prompt_folder(
    base: &Path,
    quantisation: Option<Quantisation>,
    adapter: Option<&Path>,
    exact: bool,
) -> Result<Folder> {
    let cache = expert_home().join("cache");
    let mut computed_by = identity::content_hash(base, Some(&cache))?;
    computed_by += &format!(" {:?} exact {exact} {}", quantisation, linear::arithmetic());
    computed_by += &format!(" {}", serde_json::Value::Object(identity::config_summary(base)?));
    for file in adapter.iter().flat_map(|dir| ["adapter_config.json", "adapter_model.safetensors"].map(|f| dir.join(f)))
    {
        computed_by += &format!(" {}", fsx::sha256(&fsx::read(&file)?));
    }
    Ok(Folder { dir: cache.join("prompts"), computed_by })
}

/// The base model, quantised if asked; the first time that takes a while and is shown.
pub(in crate::cli) fn load_decoder(dir: &Path, quantisation: Option<Quantisation>, ui: &Ui) -> Result<Decoder> {
    let Some(quantisation) = quantisation else { return Decoder::load(dir) };
    let mut bar = None;
    let mut progress = |done: usize, of: usize| {
        let bar = bar.get_or_insert_with(|| ui.progress(of as u64, "weight"));
        bar.update(done as u64, &format!("quantising to {}, once", quantisation.name()));
    };
    let cache = expert_home().join("cache");
    let (decoder, notes) = Decoder::load_quantised(dir, quantisation, &cache, &mut progress)?;
    if let Some(bar) = bar {
        bar.finish();
    }
    for note in notes {
        ui.note(&note);
    }
    Ok(decoder)
}
