//! `quickstart`: the whole chain on a small shop, each step being the verb a user would type.
//!
//! The base model is a tiny one made of random numbers on the spot, so the answers are noise, and the text says so: what
//! is shown is that every step works here, offline, and what to type for the real thing.

pub(super) mod rows;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::quickstart::Args;
use super::home::expert_home;
use super::ui::Ui;
use crate::data::tokenizer;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::init::{RandomModel, write_random};

/// Ids of the tokenizer that is trained on the shop's text.
const TOKENIZER_SIZE: usize = 700;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let dir = work_folder(args)?;
    let expert = dir.join("expert-quickstart");
    let path = |path: &Path| path.display().to_string();
    let (base, data, schema) = (dir.join("base"), dir.join("shop.jsonl"), dir.join("schema.sql"));

    ui.note(&format!("A shop with three tables, in {}", dir.display()));
    fsx::write_atomic(&data, rows::json_lines().as_bytes())?;
    fsx::write_atomic(&schema, rows::SCHEMA.as_bytes())?;
    let parameters = make_base(&base)?;
    ui.note(&format!(
        "A base model of {parameters} random numbers: the answers will be noise. What you see is the way, not the skill."
    ));

    let processed = expert.join("datasets/processed");
    let weights = expert.join("weights");
    let manifest = path(&expert.join("manifest.json"));
    let steps = args.steps.to_string();
    let mut done = Vec::new();
    let mut step = |argv: &[&str]| -> Result<Value> {
        ui.note(&format!("\n{} expert-cli {}", ui.paint("$", "36"), shown(argv)));
        let run = super::nested(argv, ui)?;
        let answer = run.answer.unwrap_or_default();
        done.push(json!({"command": argv, "answer": answer}));
        // An answer of noise need not be SQL, and `chat` then ends with 1: here that is no failure.
        if argv[0] != "chat" || answer.is_null() {
            run.outcome?;
        }
        Ok(answer)
    };
    step(&["init", &path(&expert), "--base-model", &path(&base), "--dialect", "sqlite", "--force"])?;
    step(&[
        "preprocess",
        "--dataset",
        &path(&data),
        "--output",
        &path(&processed),
        "--format",
        "qwen3",
        "--dialect",
        "sqlite",
        "--val-split",
        "0.1",
        "--base-model",
        &path(&base),
    ])?;
    step(&[
        "train",
        "--manifest",
        &manifest,
        "--output",
        &path(&weights),
        "--max-steps",
        &steps,
        "--set",
        "training.config.learning_rate=0.003",
        "--set",
        "training.config.dropout=0",
    ])?;
    let packed = step(&["package", "--manifest", &manifest, "--weights", &path(&weights), "--output", &path(&dir)])?;
    let package = packed["path"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Problem::failed("`package` did not name the file it wrote"))?;
    step(&["verify", &path(&package)])?;
    step(&["install", &path(&package), "--force"])?;
    let answer = step(&[
        "chat",
        "--experts",
        "quickstart",
        "--base-model",
        &path(&base),
        "--context",
        &path(&schema),
        "--prompt",
        rows::QUESTION,
        "--max-tokens",
        "32",
    ])?;
    let said = answer["sql"].as_str().or(answer["text"].as_str()).unwrap_or_default().to_owned();

    if ui.is_json() {
        return ui.json(
            "expert-cli.quickstart/1",
            json!({"dir": dir, "package": package, "question": rows::QUESTION, "answer": said, "steps": done}),
        );
    }
    ui.note(&format!("\n{}", rows::QUESTION));
    ui.data_untrusted(&said)?;
    ui.note("\nEvery step ran. For answers that mean something take a real base model and your own data:");
    ui.note("  hf download Qwen/Qwen3-0.6B --local-dir models/Qwen3-0.6B");
    ui.next("expert-cli init my-expert --base-model models/Qwen3-0.6B");
    Ok(())
}

/// The folder that was asked for, or a new one among the temporary files.
fn work_folder(args: &Args) -> Result<PathBuf> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("expert-quickstart-{}", std::process::id())),
    };
    fsx::create_dir_all(&dir)?;
    fsx::create_dir_all(&expert_home())?;
    if !fsx::list_dir(&dir)?.is_empty() {
        return Err(Problem::usage(format!("{} is not empty", dir.display()))
            .hint("name a new folder with --dir")
            .into());
    }
    Ok(dir)
}

/// A tiny random model with a tokenizer of the shop's own words; returns its number of parameters.
fn make_base(dir: &Path) -> Result<usize> {
    let text = rows::json_lines();
    let texts = text.lines().chain(rows::SCHEMA.lines());
    let size = tokenizer::write_new(dir, texts, TOKENIZER_SIZE)?;
    let model = RandomModel { vocab_size: size, ..RandomModel::default() };
    write_random(dir, &model)?;
    Ok(model.parameters())
}

/// An argument list as one would type it.
fn shown(argv: &[&str]) -> String {
    let quote = |arg: &&str| if arg.contains([' ', '?']) { format!("\"{arg}\"") } else { (*arg).to_owned() };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}
