//! `synthesize`: a training set and a held-out set for a schema, every statement executed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::args::synthesize::Args;
use super::ui::Ui;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::{Dialect, Schema};
use crate::synth::{self, Difficulty, Options, Pair, Pairs, World};

/// What this verb writes.
const FILES: [&str; 3] = ["train.jsonl", "held-out.jsonl", "metadata.json"];

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let options = options(args)?;
    let begun = Instant::now();
    let (pairs, tables, rows) = pairs(args, &options, ui)?;
    let seconds = begun.elapsed().as_secs_f64();
    if pairs.train.is_empty() {
        return Err(Problem::input("nothing can be asked about this schema")
            .detail("no table has a column beside its keys that a question could be about")
            .into());
    }
    let report = report(args, &options, &pairs, tables, rows);
    write(args, &options, &pairs, &report)?;
    let written = pairs.train.len() + pairs.held_out.len();
    let rate = written as f64 / seconds.max(1e-9);
    if ui.is_json() {
        let mut body = report;
        body["output"] = json!(args.output);
        body["seconds"] = json!(seconds);
        body["pairs_per_second"] = json!(rate);
        ui.json("expert-cli.synthesize/1", body)?;
    } else {
        show(&pairs, ui)?;
        ui.note(&format!(
            "{} pairs to train on and {} held out, over {tables} tables with {rows} rows; {:.0} executed pairs per second",
            pairs.train.len(),
            pairs.held_out.len(),
            rate
        ));
        if pairs.train.len() < options.count {
            ui.warn(&format!("the schema gave no more than {} different questions", pairs.train.len()));
        }
    }
    let train = args.output.join(FILES[0]);
    ui.next(&format!(
        "expert-cli preprocess --dataset {} --dialect {} --output datasets/processed",
        train.display(),
        options.dialect.name()
    ));
    Ok(())
}

fn options(args: &Args) -> Result<Options> {
    if args.db.is_none() && args.context.is_none() && args.schemas.is_none() {
        return Err(Problem::usage("there is no schema to write questions for")
            .hint("--db sqlite:PATH, or --context schema.sql with CREATE TABLE text")
            .into());
    }
    let dialect = match &args.dialect {
        Some(name) => Dialect::from_name(name)
            .filter(|dialect| *dialect != Dialect::Generic)
            .ok_or_else(|| Problem::usage(format!("`{name}` is no dialect")).hint("sqlite, postgres or mysql"))?,
        None => args.db.as_ref().map_or(Dialect::Postgres, crate::db::Source::dialect),
    };
    if args.count == 0 {
        return Err(Problem::usage("--count 0 asks for nothing").into());
    }
    Ok(Options {
        count: args.count,
        held_out: args.held_out.unwrap_or_else(|| (args.count / 20).max(200)),
        languages: args.lang.iter().map(|language| language.trim().to_ascii_lowercase()).collect(),
        dialect,
        seed: args.seed,
        changes: args.changes,
        phrasing: args.phrasing.clone(),
        exclude: args.exclude.clone(),
    })
}

/// The pairs, and the tables and rows they are about.
fn pairs(args: &Args, options: &Options, ui: &Ui) -> Result<(Pairs, usize, usize)> {
    if let Some(count) = args.schemas {
        let mut progress = ui.progress(count as u64, "schemas");
        let made = synth::synthesize_many(count, options, |done| progress.update(done as u64, "schemas"))?;
        progress.finish();
        return Ok(made);
    }
    let mut world = match (&args.db, &args.context) {
        (Some(source), _) => World::of_database(source, options.seed)?,
        (None, Some(path)) => {
            let schema = Schema::parse(&fsx::read_text(path)?, options.dialect)?;
            World::of_schema(&schema, options.seed)?
        }
        (None, None) => return Err(Problem::usage("there is no schema to write questions for").into()),
    };
    let pairs = synth::synthesize(&mut world, options)?;
    Ok((pairs, world.tables(), world.rows()))
}

fn by<'a>(pairs: &'a [Pair], key: impl Fn(&'a Pair) -> &'a str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for pair in pairs {
        *counts.entry(key(pair)).or_default() += 1;
    }
    counts
}

/// What `metadata.json` keeps: everything that made the files, nothing that differs between two equal runs.
fn report(args: &Args, options: &Options, pairs: &Pairs, tables: usize, rows: usize) -> Value {
    let part = |pairs: &[Pair]| {
        json!({
            "rows": pairs.len(),
            "by_difficulty": by(pairs, |pair| pair.difficulty.name()),
            "by_language": by(pairs, |pair| &pair.language),
            "by_voice": by(pairs, |pair| &pair.voice),
            "by_pattern": by(pairs, |pair| pair.pattern),
        })
    };
    let counts = pairs.counts;
    json!({
        "dialect": options.dialect.name(),
        "languages": options.languages,
        "seed": options.seed,
        "count": options.count,
        "schemas": args.schemas,
        "tables": tables,
        "table_rows": rows,
        "drawn": counts.drawn,
        "executed": counts.executed,
        "fit": counts.kept,
        "found_nothing": counts.empty,
        "ambiguous_dropped": counts.ambiguous,
        "excluded": counts.excluded,
        "train": part(&pairs.train),
        "held_out": part(&pairs.held_out),
    })
}

fn write(args: &Args, options: &Options, pairs: &Pairs, report: &Value) -> Result<()> {
    ours_alone(&args.output)?;
    let staging = fsx::Staging::new(&args.output)?;
    for (name, pairs) in [(FILES[0], &pairs.train), (FILES[1], &pairs.held_out)] {
        let mut text = String::new();
        for pair in pairs {
            text.push_str(&pair.to_json(options.dialect).to_string());
            text.push('\n');
        }
        fsx::write_atomic(&staging.path().join(name), text.as_bytes())?;
    }
    let metadata = serde_json::to_string_pretty(report)? + "\n";
    fsx::write_atomic(&staging.path().join(FILES[2]), metadata.as_bytes())?;
    staging.publish()
}

/// The folder is replaced whole, so it must hold nothing that this verb did not write.
fn ours_alone(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let foreign = fsx::list_dir(folder)?
        .into_iter()
        .find(|path| !path.file_name().is_some_and(|name| FILES.iter().any(|own| name == *own)));
    match foreign {
        Some(path) => Err(Problem::usage(format!("{} holds more than a synthesized data set", folder.display()))
            .detail(format!("found {}", path.display()))
            .hint("name a folder of its own with --output")
            .into()),
        None => Ok(()),
    }
}

/// A few examples of every difficulty.
fn show(pairs: &Pairs, ui: &Ui) -> Result<()> {
    let mut text = String::new();
    for difficulty in Difficulty::ALL {
        for pair in pairs.train.iter().filter(|pair| pair.difficulty == difficulty).take(2) {
            text.push_str(&format!("{:<7} {}\n        {}\n", difficulty.name(), pair.question, pair.answer));
        }
    }
    ui.data_untrusted(&text)
}
