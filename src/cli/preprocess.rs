//! `preprocess`: resolves flags over manifest over defaults, runs the pipeline of `data`, reports what became of the
//! rows.

mod check_grammar;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::answering::database::source_named;
use super::args::preprocess::Args;
use super::home::expert_home;
use super::ui::{Table, Ui};
use crate::data::config;
use crate::data::hub;
use crate::data::pipeline::{self, Dedupe, Job, Mix, Options, Outcome, Portion, Reason};
use crate::data::shapes::Mapping;
use crate::data::source::{self, Source};
use crate::data::spider::Databases;
use crate::data::tasks::Task;
use crate::data::template::Layout;
use crate::data::tokenizer::TextTokenizer;
use crate::db;
use crate::error::{Problem, Result};
use crate::manifest::Manifest;
use crate::model::locate;
use crate::sql::{Dialect, Style};

/// What is read when neither a flag nor a manifest names a data set.
const DEFAULT_DATASET: &str = "gretelai/synthetic_text_to_sql";

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let manifest = manifest(args)?;
    let grammar = args.check_grammar.as_deref().map(super::grammar::load).transpose()?.map(Arc::new);
    let options = options(args, manifest.as_ref(), ui)?;
    warn_about_markers(args, manifest.as_ref(), options.layout, ui)?;
    let (entries, mut mix) = match &args.config {
        Some(path) => config::load(path)?,
        None => (Vec::new(), Mix::default()),
    };
    mix.select_ratio = args.select_ratio;
    let mut parts = Vec::new();
    if args.config.is_none() {
        let name = dataset(args, manifest.as_ref());
        parts.push(Part::of(&name, args.tables.as_deref(), options.clone(), Portion::default(), ui)?);
    }
    for entry in &entries {
        let mut own = options.clone();
        own.task = entry.task.task;
        own.dialect = entry.task.dialect.unwrap_or(own.dialect);
        own.language = entry.task.language;
        own.validate_sql &= own.language.is_none();
        own.augment |= entry.augment;
        if let Some(map) = &entry.map {
            (own.mapping, own.mapping_text) = (Mapping::parse(map)?, Some(map.clone()));
        }
        let mut part =
            Part::of(&entry.path, entry.tables.as_deref().or(args.tables.as_deref()), own, entry.portion, ui)?;
        part.source.name.clone_from(&entry.name);
        parts.push(part);
    }
    let started = Instant::now();
    let outcome = with_progress(&parts, &options, &mix, args, ui)?;
    let seconds = started.elapsed().as_secs_f64();
    let name = parts.iter().map(|part| part.source.name.as_str()).collect::<Vec<_>>().join(", ");
    let refused = match (&grammar, &args.check_grammar) {
        (Some(grammar), Some(name)) => check_grammar::report(grammar, name, options.layout, &args.output, ui)?,
        _ => Value::Null,
    };
    report(args, &name, &outcome, seconds, refused, ui)?;
    if Path::new("manifest.json").is_file() && args.manifest.is_none() {
        ui.next("expert-cli train");
    } else {
        ui.next(&format!("expert-cli train --dataset {}", args.output.display()));
    }
    Ok(())
}

/// A source with what its records become.
struct Part {
    source: Source,
    databases: Databases,
    options: Options,
    portion: Portion,
}

impl Part {
    fn of(name: &str, tables: Option<&Path>, options: Options, portion: Portion, ui: &Ui) -> Result<Self> {
        let mut source = source::resolve(name, |note| ui.note(note))?;
        source.notes.iter().for_each(|note| ui.note(note));
        source.tables = tables.map(Path::to_owned).or(source.tables);
        let databases = match &source.tables {
            Some(path) => Databases::load(path, options.dialect)?,
            None => Databases::default(),
        };
        Ok(Self { source, databases, options, portion })
    }
}

/// The manifest that was asked for, or the one in the current folder.
fn manifest(args: &Args) -> Result<Option<Manifest>> {
    match &args.manifest {
        Some(path) => Manifest::load(path).map(Some),
        None if Path::new("manifest.json").is_file() => Manifest::load(Path::new("manifest.json")).map(Some),
        None => Ok(None),
    }
}

/// The data set: the flag, the manifest's source, its path where that is a hub id (it usually names our own output).
fn dataset(args: &Args, manifest: Option<&Manifest>) -> String {
    if let Some(name) = &args.dataset {
        return name.clone();
    }
    let dataset = manifest.map(|manifest| &manifest.training().dataset);
    let is_source = |name: &&str| hub::is_id(name.split("::").next().unwrap_or_default()) || Path::new(name).exists();
    let named = dataset.and_then(|dataset| dataset.source.as_deref()).filter(is_source);
    let path = dataset.and_then(|dataset| dataset.path.as_deref());
    let path = path.filter(|path| hub::is_id(path.split("::").next().unwrap_or_default()) && !Path::new(path).exists());
    let path = path.filter(|path| crate::data::records::Format::of(Path::new(path)).is_none());
    named.or(path).unwrap_or(DEFAULT_DATASET).to_owned()
}

fn options(args: &Args, manifest: Option<&Manifest>, ui: &Ui) -> Result<Options> {
    let defaults = Options::default();
    let entry = manifest.and_then(|manifest| manifest.base_models().first());
    let database = match (&args.db, &args.db_config) {
        (Some(name), config) => Some(source_named(name, config.as_deref())?),
        (None, Some(config)) => Some(db::Source::from_config(config, None)?),
        (None, None) => None,
    };
    let dialect = match (&args.dialect, manifest) {
        (None, _) if database.is_some() => database.as_ref().map(db::Source::dialect),
        (Some(name), _) => Dialect::from_name(name),
        (None, Some(manifest)) => Dialect::from_name(&manifest.dialect()),
        (None, None) => None,
    };
    let layout = match (&args.format, entry.and_then(|entry| entry.prompt_template.as_deref())) {
        (Some(name), _) => Layout::from_name(name),
        (None, Some(template)) => Layout::from_name(template).inspect(|layout| {
            ui.note(&format!("format {} (manifest)", layout.name()));
        }),
        (None, None) => None,
    };
    let (mapping, mapping_text) = mapping(args, manifest)?;
    let rule = |key: &str| manifest.and_then(|m| m.raw().pointer(&format!("/training/dataset/validation/{key}")));
    let length = |key| rule(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let dedupe = match args.dedupe.as_deref() {
        _ if args.no_deduplicate => None,
        Some("question") => Some(Dedupe::Question),
        None if rule("deduplicate") == Some(&Value::Bool(false)) => None,
        _ => Some(Dedupe::QuestionAndSchema),
    };
    let options = Options {
        dialect: dialect.unwrap_or(defaults.dialect),
        layout: layout.unwrap_or(defaults.layout),
        min_length: args.min_length.or(length("min_length")).unwrap_or(defaults.min_length),
        max_length: args.max_length.or(length("max_length")).unwrap_or(defaults.max_length),
        dedupe,
        validate_sql: !args.no_validate_sql,
        val_split: args.val_split,
        seed: args.seed,
        limit: args.limit,
        drop_ambiguous: args.drop_ambiguous,
        keep_fields: args.keep_fields,
        mapping,
        mapping_text,
        schema_style: Style::from_name(&args.schema_style).unwrap_or_default(),
        schema_budget: args.schema_budget,
        fidelity: args.fidelity.into(),
        unsupported: args.on_unsupported.into(),
        language: None,
        task: Task::Question,
        few_shot: args.few_shot,
        augment: args.augment,
        execute: args.execute,
        database,
        resume: args.resume,
        max_bad: args.max_bad,
    };
    if let Some(database) = &options.database
        && database.dialect() != options.dialect
    {
        let (theirs, ours) = (database.dialect().name(), options.dialect.name());
        let message = format!("answers in {ours} cannot be prepared on {database}, which speaks {theirs}");
        return Err(Problem::usage(message).hint(format!("--dialect {theirs}")).into());
    }
    if options.min_length > options.max_length {
        let message = format!("--min-length {} is over --max-length {}", options.min_length, options.max_length);
        return Err(Problem::usage(message).hint("swap them").into());
    }
    Ok(options)
}

/// `--map`, else the manifest's `field_mapping` for the records that have its columns.
fn mapping(args: &Args, manifest: Option<&Manifest>) -> Result<(Mapping, Option<String>)> {
    if let Some(text) = &args.map {
        return Ok((Mapping::parse(text)?, Some(text.clone())));
    }
    let pairs = manifest.map(|manifest| manifest.training().dataset.field_mapping.as_slice()).unwrap_or_default();
    if pairs.is_empty() {
        return Ok((Mapping::default(), None));
    }
    let mapping = Mapping::from_pairs(pairs.iter().map(|(part, column)| (part.as_str(), column.as_str())))?;
    let mapping = mapping.where_it_fits();
    let text = pairs.iter().map(|(part, column)| format!("{part}={column}")).collect::<Vec<_>>().join(",");
    Ok((mapping, Some(text)))
}

/// Warns when the tokenizer of the base model cuts the layout's markers into pieces.
fn warn_about_markers(args: &Args, manifest: Option<&Manifest>, layout: Layout, ui: &Ui) -> Result<()> {
    let home = expert_home();
    let named = manifest.and_then(|manifest| manifest.base_models().first()).map(|entry| entry.name.as_str());
    let (name, folder) = match (&args.base_model, named) {
        (Some(name), _) => (name.as_str(), locate(name, &home, false)?),
        (None, Some(name)) => match locate(name, &home, false) {
            Ok(folder) => (name, folder),
            Err(_) => return Ok(()),
        },
        (None, None) => return Ok(()),
    };
    let tokenizer = TextTokenizer::load(&folder)?;
    let foreign: Vec<&str> =
        layout.special_markers().iter().filter(|marker| !tokenizer.is_special(marker)).copied().collect();
    if !foreign.is_empty() {
        let fitting = Layout::fitting(|marker| tokenizer.is_special(marker));
        ui.warn(&format!(
            "{} of the layout {} are no special tokens of {name}: each costs several tokens; --format {} fits it",
            foreign.join(" "),
            layout.name(),
            fitting.name()
        ));
    }
    Ok(())
}

fn with_progress(parts: &[Part], options: &Options, mix: &Mix, args: &Args, ui: &Ui) -> Result<Outcome> {
    let mut bar = None;
    let jobs: Vec<Job<'_>> = parts
        .iter()
        .map(|Part { source, databases, options, portion }| Job { source, databases, options, portion: *portion })
        .collect();
    let outcome = pipeline::run_jobs(&jobs, options, mix, &args.output, args.show, &mut |progress| {
        let bar = bar.get_or_insert_with(|| ui.progress(progress.total_bytes, "bytes"));
        bar.update(progress.bytes, &format!("{} rows read, {} kept", progress.read, progress.kept));
    });
    drop(bar);
    outcome
}

fn report(args: &Args, name: &str, outcome: &Outcome, seconds: f64, refused: Value, ui: &Ui) -> Result<()> {
    let counts = &outcome.counts;
    if ui.is_json() {
        let body = json!({
            "output": args.output,
            "seconds": seconds,
            "rows_per_second": counts.read as f64 / seconds.max(1e-9),
            "samples": outcome.samples,
            "metadata": outcome.metadata,
            "check_grammar": refused,
        });
        return ui.json("expert-cli.preprocess/1", body);
    }
    for sample in &outcome.samples {
        ui.data_untrusted(sample)?;
        ui.data("")?;
    }
    let dropped: Vec<Reason> = Reason::ALL.into_iter().filter(|reason| counts.dropped.contains_key(reason)).collect();
    if !dropped.is_empty() {
        let mut table = Table::new(["dropped", "rows", "for one", ""]);
        for reason in dropped {
            let one = outcome.first_drops.first(1).find(|drop| drop.reason == reason);
            let count = counts.dropped.get(&reason).copied().unwrap_or_default().to_string();
            let (place, detail) = one.map(|drop| (drop.place.to_string(), drop.detail.clone())).unwrap_or_default();
            table.row([reason.name().to_owned(), count, place, detail]);
        }
        ui.note(&table.render());
        ui.note("");
    }
    for (conversion, rows) in &counts.conversions {
        ui.note(&format!("converted {rows} rows: {conversion}"));
    }
    let rate = counts.read as f64 / seconds.max(1e-9);
    if counts.executed[0] > 0 {
        ui.note(&format!(
            "{} answers ran on made-up rows, {} of them gave rows",
            counts.executed[0], counts.executed[1]
        ));
    }
    ui.note(&format!("{name} in {seconds:.1} s, {rate:.0} rows/s"));
    ui.data(&format!(
        "{}: {} of {} rows ({} train, {} validation), {} dropped",
        args.output.display(),
        counts.kept(),
        counts.read,
        counts.train,
        counts.val,
        counts.dropped_total()
    ))
}
