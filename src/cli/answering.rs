//! What `chat` and `infer` share: finding and loading who answers, the tables, the flags, and an answer as JSON.

mod base;
pub(super) mod best;
pub(super) mod crew;
pub(super) mod database;
mod grammars;
pub(super) mod live;
pub(super) mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::chat::{ModelArgs, SamplingArgs, SourceArgs};
use super::command_line::{device, flag};
use super::home::{expert_home, find_base};
use super::ui::{Table, Ui};
use crate::adapter::{Adapter, OnDevice};
use crate::data::shots::Shots;
use crate::data::template::Layout;
use crate::data::tokenizer::TextTokenizer;
use crate::db::Source;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::generate::constraints::Constraints;
use crate::generate::conversation::{Answer, Context, Conversation};
use crate::generate::decode::Adapted;
use crate::generate::ends::end_ids;
use crate::generate::prompts::Prompts;
use crate::generate::sampler::Pick;
use crate::generate::settings::{Origin, Overrides, Settings};
use crate::generate::validation::{Mode, Verdict};
use crate::manifest::{BaseModel, Manifest, last_component};
use crate::model::{Decoder, EMBEDDED, Quantisation, identity, locate};
use crate::package;
use crate::registry::Registry;
use crate::sql::Dialect;
use live::on_this_console;
use weights::quantisation;

/// Who answers, loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    decoder: Arc<Decoder>,
    base_dir: PathBuf,
    quantisation: Option<Quantisation>,
    /// Whether prompts are computed in f32 too.
    exact: bool,
    adapter: Option<Adapter>,
    prompts: Prompts,
    /// Both on the device that --device names.
    there: Option<Arc<OnDevice>>,
    tokenizer: TextTokenizer,
    end_ids: Vec<u32>,
    /// `expert-sql@0.3.0`, an adapter's folder, or the base model's name.
    pub name: String,
    /// Name and version of the installed expert.
    expert: Option<(String, String)>,
    /// The manifest it was packaged with, or that of the run.
    manifest: Option<Manifest>,
    pub layout: Layout,
    pub dialect: String,
    pub settings: Settings,
    constraints: Option<Arc<Constraints>>,
    shots: Option<(Arc<Shots>, usize)>,
}

/// Who is to answer, found but not loaded.
pub(super) struct Found {
    pub name: String,
    pub expert: Option<(String, String)>,
    pub manifest: Option<(Manifest, BaseModel)>,
    pub adapter_dir: Option<PathBuf>,
    pub base_dir: PathBuf,
}

impl Loaded {
    /// Finds and loads who the flags name. What `previous` holds is used again where it is the same base model.
    pub fn new(model: &ModelArgs, sampling: &SamplingArgs, previous: Option<&Loaded>, ui: &Ui) -> Result<Self> {
        let device = device(&model.device, 0)?;
        if model.experts.is_none() && model.adapter.is_none() && model.base_model.is_none() {
            ui.note(&format!(
                "nobody is named: the small embedded model {EMBEDDED} answers; --experts takes an expert, --base-model a \
                 bigger model, such as Qwen/Qwen3-0.6B"
            ));
        }
        let found = find(model)?;
        let (manifest, entry) = found.manifest.as_ref().map(|(manifest, entry)| (manifest, entry)).unzip();
        let decoding = manifest.map(Manifest::decoding).unwrap_or_default();
        let mut settings = Settings::resolve(&overrides(sampling), &decoding)?;
        let dialect = match (&model.dialect, manifest) {
            (Some(name), _) => match Dialect::from_name(name) {
                Some(dialect) => dialect.name().to_owned(),
                None => {
                    return Err(Problem::usage(format!("`{name}` is no dialect"))
                        .hint("--dialect takes postgres, mysql or sqlite")
                        .into());
                }
            },
            (None, Some(manifest)) => manifest.dialect(),
            (None, None) => Dialect::default().name().to_owned(),
        };
        let tokenizer_dir = found.adapter_dir.as_deref().filter(|dir| dir.join("tokenizer.json").is_file());
        let tokenizer = TextTokenizer::load(tokenizer_dir.unwrap_or(&found.base_dir))?;
        let layout = layout(model, entry, &tokenizer)?;
        let quantisation = quantisation(model, manifest, entry)?;
        let how = (quantisation, model.exact);
        let same =
            |previous: &&Loaded| previous.base_dir == found.base_dir && (previous.quantisation, previous.exact) == how;
        let decoder = match previous.filter(same) {
            Some(previous) => Arc::clone(&previous.decoder),
            None => {
                ui.note(&on_this_console(&format!("loading {} …", found.base_dir.display())));
                let decoder = weights::load_decoder(&found.base_dir, quantisation, ui)?;
                Arc::new(if model.exact { decoder.with_exact_activations() } else { decoder })
            }
        };
        let folder = model
            .keeps_prompts
            .then(|| weights::prompt_folder(&found.base_dir, quantisation, found.adapter_dir.as_deref(), model.exact));
        let adapter = found.adapter_dir.as_deref().map(|dir| Adapter::load(dir, &decoder)).transpose()?;
        let there =
            device.map(|device| OnDevice::new(&decoder, adapter.as_ref(), &device).map(Arc::new)).transpose()?;
        let end_ids = end_ids(&found.base_dir, &tokenizer, layout)?;
        let for_sql = found.adapter_dir.is_none() && model.base_model.as_deref().is_none_or(|name| name == EMBEDDED);
        let choice = grammars::choose(sampling, manifest, &dialect, for_sql)?;
        settings.grammar = choice.setting();
        let shots = match &sampling.examples {
            Some(path) => Some((Arc::new(Shots::load(path)?), sampling.few_shot)),
            None => None,
        };
        let vocabulary = grammars::Vocabularies { folder: tokenizer_dir.unwrap_or(&found.base_dir), end_ids: &end_ids };
        let constraints = choice.load(&vocabulary, settings.thinking.value, settings.schema_guard.value)?.map(Arc::new);
        Ok(Self {
            decoder,
            base_dir: found.base_dir,
            quantisation,
            exact: model.exact,
            adapter,
            prompts: Prompts::new(folder.transpose()?),
            there,
            tokenizer,
            end_ids,
            name: found.name,
            expert: found.expert,
            layout,
            dialect,
            settings,
            constraints,
            shots,
            manifest: found.manifest.map(|(manifest, _)| manifest),
        })
    }

    /// A conversation with it.
    pub fn conversation(&self, keep_first_logits: bool) -> Conversation<'_, Adapted<'_>, TextTokenizer> {
        Conversation {
            model: Adapted {
                decoder: &self.decoder,
                adapter: self.adapter.as_ref(),
                prompts: Some(&self.prompts),
                there: self.there.as_deref(),
            },
            vocabulary: &self.tokenizer,
            layout: self.layout,
            dialect: self.dialect.clone(),
            settings: self.settings.clone(),
            end_ids: self.end_ids.clone(),
            trained: self.adapter.is_some(),
            keep_first_logits,
            constraints: self.constraints.clone(),
            shots: self.shots.clone(),
        }
    }

    /// A conversation with the base model alone, asked as [`Loaded::conversation`] asks the expert.
    pub fn conversation_of_base(&self) -> Conversation<'_, Adapted<'_>, TextTokenizer> {
        let with_expert = self.conversation(false);
        let model = Adapted { adapter: None, prompts: None, ..with_expert.model };
        Conversation { model, trained: false, ..with_expert }
    }

    /// Whether an expert answers, not the base model alone.
    pub fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// What the base model's folder is called.
    pub fn base_name(&self) -> String {
        last_component(&self.base_dir.to_string_lossy()).to_owned()
    }

    /// The dialect of its answers.
    pub fn sql_dialect(&self) -> Dialect {
        Dialect::from_name(&self.dialect).unwrap_or_default()
    }

    /// Whether an answer with this verdict ends the command with exit code 1.
    pub fn refuses(&self, verdict: &Verdict) -> bool {
        self.settings.validation.value.refuses(verdict)
    }

    /// Who it is and how it answers, as fields of a JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "expert": self.expert.as_ref().map(|(name, version)| json!({"name": name, "version": version})),
            "adapter": self.adapter.is_some(),
            "base_model": self.base_dir,
            "quantization": self.quantisation.map(|quantisation| quantisation.name()),
            "exact": self.exact,
            "layout": self.layout.name(),
            "dialect": self.dialect,
            "settings": self.settings.to_json(),
        })
    }

    /// Says which settings are not the defaults, or with `all` every one.
    pub fn show_settings(&self, all: bool, ui: &Ui) {
        let settings = self.settings.list();
        if all {
            let mut table = Table::new(["setting", "value", "origin"]);
            table.row(["layout", self.layout.name(), ""]);
            table.row(["dialect", &self.dialect, ""]);
            for (name, value, origin) in settings {
                table.row([name.to_owned(), value.to_string(), origin.name().to_owned()]);
            }
            ui.note(&on_this_console(&table.render()));
            return;
        }
        let changed: Vec<String> = settings
            .into_iter()
            .filter(|(.., origin)| *origin != Origin::Default)
            .map(|(name, value, origin)| format!("{name} {value} ({})", origin.name()))
            .collect();
        if !changed.is_empty() {
            ui.note(&format!("settings: {}", changed.join(", ")));
        }
    }
}

pub(super) fn find(model: &ModelArgs) -> Result<Found> {
    let home = expert_home();
    let base = |named: Option<&str>, folder: &Path| match (&model.base_model, named) {
        (Some(flag), _) => locate(flag, &home, false),
        (None, Some(name)) => find_base(name, folder, &home).map_or_else(|| locate(name, &home, false), Ok),
        (None, None) => locate(EMBEDDED, &home, false),
    };
    if let Some(wanted) = &model.experts {
        let installed = Registry::open(&home)?.resolve(wanted)?;
        let entry = first_entry(&installed.manifest)?;
        let base_dir = base(Some(&entry.name), &installed.dir)?;
        let name = format!("{}@{}", installed.name, installed.version);
        check_identity(&name, &installed.manifest, &entry, &base_dir, &home)?;
        return Ok(Found {
            adapter_dir: Some(adapter_dir(&installed.dir)?),
            name,
            expert: Some((installed.name, installed.version)),
            manifest: Some((installed.manifest, entry)),
            base_dir,
        });
    }
    if let Some(dir) = &model.adapter {
        let dir = adapter_dir(dir)?;
        let named = named_base(&dir)?;
        let manifest = manifest_above(&dir)?;
        // The run may have named the base by its last component only: the manifest knows the rest.
        let entry = |manifest: &Manifest| match manifest.entry(named.as_deref()) {
            Ok(entry) => Ok(entry.clone()),
            Err(_) => first_entry(manifest),
        };
        let manifest = manifest.map(|manifest| entry(&manifest).map(|entry| (manifest, entry))).transpose()?;
        let (known, folder) = match &manifest {
            Some((manifest, entry)) => (Some(entry.name.as_str()), manifest.folder()),
            None => (named.as_deref(), dir.clone()),
        };
        return Ok(Found {
            base_dir: base(known, &folder)?,
            name: dir.display().to_string(),
            expert: None,
            manifest,
            adapter_dir: Some(dir),
        });
    }
    let base_dir = base(None, Path::new("."))?;
    let name = last_component(&base_dir.to_string_lossy()).to_owned();
    Ok(Found { base_dir, name, expert: None, manifest: None, adapter_dir: None })
}

/// A package has one entry; of an expert folder with several the first counts.
fn first_entry(manifest: &Manifest) -> Result<BaseModel> {
    let first = manifest.base_models().first().map(|entry| entry.name.as_str());
    manifest.entry(first).cloned()
}

/// The folder with `adapter_config.json`: the given one, or where older packages have it.
fn adapter_dir(dir: &Path) -> Result<PathBuf> {
    let places = [dir.to_owned(), dir.join("adapter"), dir.join("weights").join("adapter")];
    let found = places.into_iter().find(|place| place.join("adapter_config.json").is_file());
    Ok(found.ok_or_else(|| {
        Problem::input(format!("{} holds no adapter", dir.display()))
            .detail("adapter_config.json is not there")
            .hint("a run writes its adapters to weights/<model>/checkpoint-N, final and adapter")
    })?)
}

/// The manifest of the expert folder that a run's adapter lies in: `weights/<model>/checkpoint-N` is three levels deep.
pub(super) fn manifest_above(dir: &Path) -> Result<Option<Manifest>> {
    let absolute = std::path::absolute(dir)?;
    let file = absolute.ancestors().take(4).map(|folder| folder.join("manifest.json")).find(|file| file.is_file());
    file.map(|file| Manifest::load(&file)).transpose()
}

/// The base model that an adapter's own configuration names.
fn named_base(dir: &Path) -> Result<Option<String>> {
    let path = dir.join("adapter_config.json");
    let config: Value = serde_json::from_str(&fsx::read_text(&path)?)
        .map_err(|error| Problem::input(format!("{} is not JSON", path.display())).detail(error.to_string()))?;
    Ok(config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Refuses a base model whose weights are not those the expert was trained on, where its package pins them, or where
/// an upstream manifest names their hash.
fn check_identity(name: &str, manifest: &Manifest, entry: &BaseModel, base_dir: &Path, home: &Path) -> Result<()> {
    let cache = home.join("cache");
    if package::check_base(manifest, base_dir, Some(&cache))? {
        return Ok(());
    }
    let Some(expected) = entry.sha256.as_deref().filter(|hash| !hash.is_empty()) else { return Ok(()) };
    let found = identity::content_hash(base_dir, Some(&cache))?;
    if found.trim_start_matches("sha256:").eq_ignore_ascii_case(expected.trim_start_matches("sha256:")) {
        return Ok(());
    }
    Err(Problem::input(format!("adapter `{name}` was trained for another base model"))
        .detail(format!("expected  sha256:{expected}  {}", last_component(&entry.name)))
        .detail(format!("found     {found}  {}", base_dir.display()))
        .hint("`expert-cli chat --base-model DIR` uses another folder")
        .into())
}

fn layout(model: &ModelArgs, entry: Option<&BaseModel>, tokenizer: &TextTokenizer) -> Result<Layout> {
    let named = database::layout_flag(model)?.or_else(|| entry.and_then(|entry| entry.prompt_template.as_deref()));
    let Some(name) = named else { return Ok(Layout::fitting(|marker| tokenizer.is_special(marker))) };
    Ok(Layout::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Layout::ALL.iter().map(|layout| layout.name()).collect();
        Problem::usage(format!("there is no prompt layout `{name}`"))
            .hint(format!("--layout takes one of {}", names.join(", ")))
    })?)
}

fn overrides(args: &SamplingArgs) -> Overrides {
    Overrides {
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        presence_penalty: args.presence_penalty,
        frequency_penalty: args.frequency_penalty,
        seed: args.seed,
        max_tokens: args.max_tokens,
        stop: (!args.stop.is_empty()).then(|| args.stop.clone()),
        validation: args.validation.as_deref().and_then(Mode::from_name),
        thinking: args.show_reasoning.then_some(true),
        mask_first: args.mask_first.then_some(true),
        confidence: args.confidence.then_some(true),
        schema_guard: args.no_schema_guard.then_some(false),
        second_look: args.second_look,
        leaning: args.no_leaning.then_some(false),
    }
}

/// The flags that say who answers about which tables, for the command to run next.
pub(super) fn typed_flags(model: &ModelArgs, source: &SourceArgs) -> String {
    [
        flag("--experts", model.experts.as_ref()),
        flag("--adapter", model.adapter.as_ref()),
        flag("--base-model", model.base_model.as_ref()),
        flag("--layout", database::layout_flag(model).ok().flatten()),
        flag("--dialect", model.dialect.as_ref()),
        flag("--context", source.context.as_ref()),
        flag("--schema", source.schema.as_ref()),
        flag("--db", source.db.as_ref().map(|name| database::without_password(name))),
        flag("--db-config", source.db_config.as_ref()),
    ]
    .concat()
}

/// The flags with the dialect of the database they name, where nobody else knows which one to answer in.
pub(super) fn with_dialect_of(source: Option<&Source>, model: &ModelArgs) -> ModelArgs {
    let mut model = model.clone();
    let nobody_knows = model.dialect.is_none() && model.experts.is_none() && model.adapter.is_none();
    if let Some(source) = source.filter(|_| nobody_knows) {
        model.dialect = Some(source.dialect().name().to_owned());
    }
    model
}

/// Refuses a schema file that is not there before a model is loaded, which may take long.
pub(super) fn check_source(source: &SourceArgs) -> Result<()> {
    if let Some(path) = &source.context {
        fsx::open(path)?;
    }
    Ok(())
}

/// The tables that the flags name.
pub(super) fn context(
    source: &SourceArgs,
    database: Option<&Source>,
    dialect: Dialect,
    ui: &Ui,
) -> Result<Option<Context>> {
    if let Some(database) = database {
        return context_of_db(database, dialect, ui).map(Some);
    }
    let text = match (&source.context, &source.schema) {
        (Some(path), _) => fsx::read_text(path)?,
        (None, Some(text)) => text.clone(),
        (None, None) => return Ok(None),
    };
    if text.trim().is_empty() {
        return Err(Problem::input("the schema is empty").hint("it is CREATE TABLE text").into());
    }
    let (context, warning) = Context::from_text(&text, dialect);
    if let Some(warning) = warning {
        ui.warn(&format!("{warning}; the model sees the text as it is, names are not checked"));
    }
    Ok(Some(context))
}

/// The tables of a database.
pub(super) fn context_of_db(source: &Source, dialect: Dialect, ui: &Ui) -> Result<Context> {
    if source.dialect() != dialect {
        ui.note(&format!("the database speaks {}, the answers are {}", source.dialect().name(), dialect.name()));
    }
    Ok(Context::from_schema(source.schema()?))
}

/// An answer as fields of a JSON object.
pub(super) fn answer_json(answer: &Answer, logits: bool) -> Value {
    let seconds = answer.latency.as_secs_f64();
    let mut object = json!({
        "sql": answer.sql,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish.name(),
        "incomplete": !answer.finish.is_complete(),
        "prompt_tokens": answer.prompt_ids.len(),
        "completion_tokens": answer.ids.len(),
        "token_ids": answer.ids,
        "log_probability": answer.log_probability,
        "refused": answer.picks.iter().filter(|pick| pick.redrawn).count(),
        "tokens": answer.picks.iter().map(pick_json).collect::<Vec<_>>(),
        "latency_ms": (seconds * 1e6).round() / 1e3,
        "tokens_per_s": (answer.ids.len() as f64 / seconds.max(1e-9) * 10.0).round() / 10.0,
        "validation": answer.verdict.as_ref().map(crate::generate::validation::Verdict::to_json),
    });
    if logits {
        object["prompt_ids"] = json!(answer.prompt_ids);
        object["logits"] = json!(answer.first_logits);
    }
    object
}

/// A drawn token: `refused` tells whether another was picked first and the grammar or the schema refused it.
fn pick_json(pick: &Pick) -> Value {
    let mut object = json!({"id": pick.id, "log_probability": pick.log_probability, "refused": pick.redrawn});
    if let Some(mass) = pick.allowed_mass {
        object["allowed_mass"] = json!(mass);
    }
    object
}

/// Says on stderr what is wrong with an answer.
pub(super) fn warn_about(answer: &Answer, ui: &Ui) {
    for issue in answer.verdict.iter().flat_map(|verdict| &verdict.issues) {
        let hint = issue.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        ui.warn(&super::ui::escape(&format!("{}{hint}", issue.message)));
    }
    if answer.verdict.is_none() && !answer.finish.is_complete() {
        ui.warn("the answer is incomplete: it was cut before the model ended it");
    }
    if answer.has_more {
        ui.note("more statements followed the first; --json has the whole text");
    }
}
