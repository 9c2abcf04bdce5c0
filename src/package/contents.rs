//! What goes into a package: the files of an expert folder, in upstream's order, and what is missing.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::derive;
use super::names;
use super::pack_manifest;
use super::privacy::{self, Leak};
use super::record::Record;
use super::tensors;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::{BaseModel, Manifest, SchemaVersion, last_component, weights_dir_name};
use crate::manifest::{package_file_name, package_file_name_v1};
use crate::model::identity;

/// What to pack.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The manifest's file or folder.
    pub manifest: PathBuf,
    /// Where training put its checkpoints; the folder above is the expert's. Default: `weights` beside the manifest.
    pub weights: Option<PathBuf>,
    /// Which base model's adapter, if the manifest names several.
    pub model: Option<String>,
    /// Which checkpoint; wins over `training.packaging_checkpoint`.
    pub checkpoint: Option<String>,
    /// The base model's folder, if it is there.
    pub base: Option<PathBuf>,
    /// Where hashes of base models are kept.
    pub cache: Option<PathBuf>,
    /// Whether the files of `tests/` are packed.
    pub include_tests: bool,
    /// Whether absolute paths, home folders and secrets may be published.
    pub allow_paths: bool,
}

/// Where the bytes of a packed file come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file, streamed.
    File(PathBuf),
}

/// A file to be packed.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name in the package.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    pub(super) source: Source,
}

/// A package before it is written.
#[derive(Debug)]
pub struct Contents {
    /// The archive's name.
    pub file_name: String,
    /// The checkpoint that was chosen.
    pub checkpoint: String,
    /// The files in their order, the manifest first.
    pub items: Vec<Item>,
    /// Files a complete package has and this one lacks, with the reason.
    pub missing: Vec<(String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The manifest as packed.
    pub manifest: Manifest,
}

/// Collects the files and checks them; writes nothing.
pub fn gather(request: &Request) -> Result<Contents> {
    let manifest = Manifest::load(&request.manifest)?;
    let entry = manifest.entry(request.model.as_deref())?.clone();
    let weights = request.weights.clone().unwrap_or_else(|| manifest.folder().join("weights"));
    let root = match weights.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let chosen = request.checkpoint.clone().or_else(|| manifest.training().packaging_checkpoint.clone());
    let (adapter, checkpoint) = adapter_folder(&root, &weights, &entry, chosen.as_deref())?;
    let mut gathering = Gathering {
        request,
        scrub: pack_manifest::Scrub::new(&entry.name, request.base.as_deref(), &manifest.folder()),
        items: Vec::new(),
        missing: Vec::new(),
        notes: Vec::new(),
        leaks: Vec::new(),
    };
    gathering.adapter(&adapter)?;
    gathering.tokenizer(&[Some(&adapter), Some(&root), request.base.as_deref()])?;
    gathering.rest(&manifest, &root)?;
    gathering.finish(&manifest, &entry, checkpoint)
}

/// The folder of the chosen checkpoint and its name. Where training has left nothing, the places that upstream's people
/// copied an adapter to by hand: the root, and before v0.2.0 `weights/adapter`.
fn adapter_folder(root: &Path, weights: &Path, entry: &BaseModel, chosen: Option<&str>) -> Result<(PathBuf, String)> {
    let model = weights.join(weights_dir_name(&entry.name));
    let present: Vec<String> = match model.is_dir() {
        true => fsx::list_dir(&model)?
            .iter()
            .filter(|path| path.join("adapter_model.safetensors").is_file())
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect(),
        false => Vec::new(),
    };
    let name = chosen.unwrap_or("final");
    if present.iter().any(|p| p == name) {
        return Ok((model.join(name), name.to_owned()));
    }
    if present.is_empty() {
        let by_hand = [root.to_owned(), weights.join("adapter")];
        if let Some(folder) = by_hand.into_iter().find(|folder| folder.join("adapter_model.safetensors").is_file()) {
            return Ok((folder, chosen.unwrap_or("final").to_owned()));
        }
    }
    if model.join(name).join("model.safetensors").is_file() {
        return Err(Problem::input(format!("{} holds a whole model, not an adapter", model.join(name).display()))
            .detail("a package holds an adapter for a base model; a whole model is a base model itself")
            .hint("`expert-cli init NAME --base-model` with that folder starts an expert on it")
            .into());
    }
    let problem = Problem::input(format!("there is no trained adapter {}", model.join(name).display()));
    Err(match present.as_slice() {
        [] => problem.hint("`expert-cli train` makes it; --weights names another folder"),
        _ => problem
            .detail(format!("present: {}", present.join(", ")))
            .hint("choose one of these with --checkpoint NAME"),
    }
    .into())
}

struct Gathering<'a> {
    request: &'a Request,
    scrub: pack_manifest::Scrub,
    items: Vec<Item>,
    missing: Vec<(String, String)>,
    notes: Vec<String>,
    leaks: Vec<Leak>,
}

impl Gathering<'_> {
    fn bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<()> {
        names::must_keep(name)?;
        if bytes.len() as u64 > names::MAX_TEXT_BYTES {
            let limit = names::MAX_TEXT_BYTES;
            return Err(Problem::input(format!("{name} has {} bytes, {limit} may be packed", bytes.len())).into());
        }
        self.leaks.extend(privacy::leaks(name, &bytes));
        let (size, sha256) = (bytes.len() as u64, fsx::sha256(&bytes));
        self.items.push(Item { name: name.to_owned(), size, sha256, source: Source::Bytes(bytes) });
        Ok(())
    }

    fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        self.bytes(name, fsx::read(path)?)
    }

    fn miss(&mut self, name: &str, why: &str) {
        self.missing.push((name.to_owned(), why.to_owned()));
    }

    /// Weights and config; the tensors must be what the config says.
    fn adapter(&mut self, folder: &Path) -> Result<()> {
        tensors::check_adapter(folder, self.request.base.as_deref())
            .with_context(|| format!("cannot pack {}", folder.display()))?;
        let path = folder.join("adapter_model.safetensors");
        let size = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        let sha256 = fsx::sha256_file(&path)?;
        let name = "adapter_model.safetensors".to_owned();
        self.items.push(Item { name, size, sha256, source: Source::File(path) });
        let config = fsx::read(&folder.join("adapter_config.json"))?;
        self.scrub.also_base_of(&config);
        let config = self.scrub.json(&config)?;
        self.bytes("adapter_config.json", config)
    }

    /// The tokenizer's files, each from the first of these folders that has it; two can be derived.
    fn tokenizer(&mut self, folders: &[Option<&Path>]) -> Result<()> {
        let find = |name: &str| folders.iter().flatten().map(|folder| folder.join(name)).find(|path| path.is_file());
        let (tokenizer, config) = (find("tokenizer.json"), find("tokenizer_config.json"));
        let without = match self.request.base {
            Some(_) => "the base model has none",
            None => "the base model was not found: --base-model names its folder",
        };
        match (find("special_tokens_map.json"), &config) {
            (Some(path), _) => self.file("special_tokens_map.json", &path)?,
            (None, Some(config)) => {
                self.bytes("special_tokens_map.json", derive::special_tokens_map(&fsx::read(config)?)?)?;
            }
            _ => self.miss("special_tokens_map.json", without),
        }
        match &config {
            Some(path) => {
                let scrubbed = self.scrub.json(&fsx::read(path)?)?;
                self.bytes("tokenizer_config.json", scrubbed)?;
            }
            None => self.miss("tokenizer_config.json", without),
        }
        match &tokenizer {
            Some(path) => self.file("tokenizer.json", path)?,
            None => self.miss("tokenizer.json", without),
        }
        let adapter = folders.first().copied().flatten();
        let beside = adapter.into_iter().flat_map(|folder| [Some(folder), folder.parent()]).flatten();
        match beside.map(|folder| folder.join("training_args.json")).find(|path| path.is_file()) {
            Some(path) => {
                let scrubbed = self.scrub.json(&fsx::read(&path)?)?;
                self.bytes("training_args.json", scrubbed)?;
            }
            None => self.miss("training_args.json", "the adapter was not trained by this program"),
        }
        match (find("vocab.json"), &tokenizer) {
            (Some(path), _) => self.file("vocab.json", &path)?,
            (None, Some(tokenizer)) => self.bytes("vocab.json", derive::vocab(&fsx::read(tokenizer)?)?)?,
            _ => self.miss("vocab.json", without),
        }
        if let Some(template) = find("chat_template.jinja") {
            self.file("chat_template.jinja", &template)?;
        }
        Ok(())
    }

    /// README, soft prompts, grammars, tests, licence.
    fn rest(&mut self, manifest: &Manifest, root: &Path) -> Result<()> {
        match root.join("README.md") {
            path if path.is_file() => self.file("README.md", &path)?,
            _ => self.miss("README.md", "the expert's folder has none"),
        }
        let prompts = manifest.raw().get("soft_prompts").and_then(Value::as_array);
        for path in prompts.into_iter().flatten().filter_map(|p| p.get("path")?.as_str()) {
            match root.join(path) {
                file if file.is_file() => self.file(last_component(path), &file)?,
                _ => self.miss(last_component(path), "a soft prompt that the manifest names"),
            }
        }
        match root.join("grammar.gbnf") {
            path if path.is_file() => self.file("grammar.gbnf", &path)?,
            _ => self.miss("grammar.gbnf", "the expert's folder has none"),
        }
        if let Some(grammar) = manifest.decoding().grammar_file {
            let name = last_component(&grammar);
            match root.join(&grammar) {
                _ if name == "grammar.gbnf" => {}
                file if file.is_file() => self.file(name, &file)?,
                _ => self.miss(name, "the grammar that the manifest names"),
            }
        }
        let tests = root.join("tests");
        if self.request.include_tests && tests.is_dir() {
            for path in fsx::list_dir(&tests)?.into_iter().filter(|path| path.is_file()) {
                let name = format!("tests/{}", path.file_name().unwrap_or_default().to_string_lossy());
                match names::judge(&name) {
                    Ok(names::Fate::Keep(_)) => self.file(&name, &path)?,
                    Ok(names::Fate::Skip(_)) => self.notes.push(format!("{name} is left out: a pickle")),
                    Err(why) => self.notes.push(format!("{name} is left out: {why}")),
                }
            }
        }
        let licence = ["LICENSE", "LICENSE.txt", "LICENSE.md"].into_iter().find(|name| root.join(name).is_file());
        match licence {
            Some(name) => self.file(name, &root.join(name)),
            None => {
                self.miss("LICENSE", "the expert's folder has none");
                Ok(())
            }
        }
    }

    fn finish(mut self, manifest: &Manifest, entry: &BaseModel, checkpoint: String) -> Result<Contents> {
        let mut record = Record::of(manifest.raw()).unwrap_or_default();
        record.checkpoint = Some(checkpoint.clone());
        record.files = self.items.iter().map(|i| (i.name.clone(), i.size, i.sha256.clone())).collect();
        match &self.request.base {
            Some(base) => {
                let hash = identity::content_hash(base, self.request.cache.as_deref())?;
                if let Some(pinned) = entry.sha256.as_ref().filter(|pinned| !hash.ends_with(*pinned)) {
                    return Err(Problem::input(format!("{} is not the base model of the manifest", base.display()))
                        .detail(format!("expected  sha256:{pinned}  {}", entry.name))
                        .detail(format!("found     {hash}"))
                        .hint("--base-model names its folder")
                        .into());
                }
                record.base_hash = Some(hash);
                record.base_config = Some(identity::config_summary(base)?);
            }
            None if record.base_hash.is_none() => {
                self.miss("base model's content hash", "the base model was not found")
            }
            None => {}
        }
        if manifest.raw().get("integrity").is_some_and(|block| !block.is_null()) {
            self.notes.push("the manifest's `integrity` block is left out: it was about other bytes".into());
        }
        let packed = pack_manifest::pack(manifest, entry, &self.scrub, &record, &self.items)?;
        let packed = Manifest::from_value(packed)?;
        self.bytes("manifest.json", packed.to_text()?.into_bytes())?;
        self.items.rotate_right(1);
        self.refuse_leaks()?;
        let mut seen = names::Seen::default();
        for item in &self.items {
            seen.file(&item.name).map_err(|why| Problem::input(format!("cannot pack {}: {why}", item.name)))?;
        }
        let name_rule = match manifest.schema_version() {
            SchemaVersion::V1 => package_file_name_v1,
            SchemaVersion::V2 => package_file_name,
        };
        Ok(Contents {
            file_name: name_rule(manifest.name(), manifest.version(), &entry.name),
            checkpoint,
            items: self.items,
            missing: self.missing,
            notes: self.notes,
            manifest: packed,
        })
    }

    fn refuse_leaks(&mut self) -> Result<()> {
        if self.leaks.is_empty() {
            return Ok(());
        }
        if self.request.allow_paths {
            self.notes.push(format!("{} paths or secrets go into the package (--allow-paths)", self.leaks.len()));
            return Ok(());
        }
        let mut problem = Problem::input("the package would publish what belongs to this machine");
        for leak in &self.leaks {
            problem = problem.detail(format!("{}:{}: {}", leak.file, leak.line, leak.what));
        }
        Err(problem.hint("take them out, or pack them on purpose with --allow-paths").into())
    }
}
