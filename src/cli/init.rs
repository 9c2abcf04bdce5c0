//! `init NAME`: a starter expert folder that `validate` and `train` accept as it is.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::args::init::Args;
use super::command_line::quoted;
use super::ui::Ui;
use crate::data::template::{Layout, Prompt};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::{self, Manifest};

const MANIFEST: &str = include_str!("init/manifest.json");
const README: &str = include_str!("init/README.md");
const GITIGNORE: &str = include_str!("init/gitignore");
const ROWS: &str = include_str!("init/example.jsonl");

/// The layout that the starter manifest names.
const LAYOUT: Layout = Layout::Qwen3;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let folder = &args.name;
    let last = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if last.starts_with("expert-") { last } else { format!("expert-{last}") };
    let files = starter(&name, &args.base_model, &args.dialect)?;
    if !args.force {
        refuse_to_overwrite(folder, &files)?;
    }
    for (file, text) in &files {
        fsx::write_atomic(&folder.join(file), text.as_bytes())?;
    }
    if ui.is_json() {
        let names: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
        return ui.json("expert-cli.init/1", json!({"name": name, "folder": folder, "files": names}));
    }
    ui.note(&format!("{name}: {} files in {}", files.len(), folder.display()));
    let folder = quoted(&folder.display().to_string());
    ui.next(&format!("cd {folder} && expert-cli preprocess --dataset FILE.jsonl --output datasets/processed"));
    Ok(())
}

/// The files of a starter folder: name and text.
fn starter(name: &str, base_model: &str, dialect: &str) -> Result<Vec<(&'static str, String)>> {
    let fill = |text: &str| text.replace("{name}", name).replace("{dialect}", dialect);
    // The name goes in through JSON, so that no character of it can change the file's structure.
    let mut raw: Value = serde_json::from_str(&MANIFEST.replace("{dialect}", dialect))?;
    raw["name"] = name.into();
    raw["base_models"][0]["name"] = base_model.into();
    let parsed = Manifest::from_value(raw).map_err(|error| {
        let reason = error.to_string();
        Problem::usage(format!("`{name}` cannot name an expert")).detail(reason.lines().last().unwrap_or("").trim())
    })?;
    let package = manifest::package_file_name(name, parsed.version(), base_model);
    let short = name.strip_prefix("expert-").unwrap_or(name);
    Ok(vec![
        ("manifest.json", parsed.to_text()?),
        ("README.md", fill(README).replace("{package}", &package).replace("{short}", short)),
        (".gitignore", GITIGNORE.to_owned()),
        ("datasets/example.jsonl", ROWS.to_owned()),
        ("datasets/processed/train.jsonl", training_rows(dialect)?),
    ])
}

/// The example rows as `preprocess` would write them, so that `train` works at once.
fn training_rows(dialect: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Row {
        question: String,
        context: String,
        answer: String,
    }
    let mut text = String::new();
    for line in ROWS.lines() {
        let row: Row = serde_json::from_str(line)?;
        let prompt = Prompt { dialect: dialect.to_owned(), schema: Some(row.context), question: row.question };
        text += &json!({"text": LAYOUT.render(&prompt, &row.answer)}).to_string();
        text.push('\n');
    }
    Ok(text)
}

fn refuse_to_overwrite(folder: &Path, files: &[(&str, String)]) -> Result<()> {
    let there: Vec<&str> = files.iter().map(|(file, _)| *file).filter(|file| folder.join(file).exists()).collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(Problem::usage(format!("{} is not empty", folder.display()))
        .detail(format!("already there: {}", there.join(", ")))
        .hint("--force writes over these files")
        .into())
}
