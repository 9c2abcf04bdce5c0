//! `package`: one `.expert` file from a trained expert folder, and its checksum.

use serde_json::{Value, json};

use super::args::package::Args;
use super::command_line::{quoted, typed_command};
use super::home::{expert_home, find_base};
use super::ui::{Table, Ui, escape};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::package::{self, Contents, Request};

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let home = expert_home();
    let manifest = Manifest::load(&args.manifest)?;
    let entry = manifest.entry(args.model.as_deref())?;
    let base = match &args.base_model {
        Some(name) => Some(crate::model::locate(name, &home, false)?),
        None => find_base(&entry.name, &manifest.folder(), &home),
    };
    let contents = package::gather(&Request {
        manifest: args.manifest.clone(),
        weights: args.weights.clone(),
        model: args.model.clone(),
        checkpoint: args.checkpoint.clone(),
        base,
        cache: Some(home.join("cache")),
        include_tests: args.include_tests,
        allow_paths: args.allow_paths,
    })?;
    for (name, why) in &contents.missing {
        ui.warn(&format!("{} is missing: {why}", escape(name)));
    }
    for note in &contents.notes {
        ui.warn(&escape(note));
    }
    if args.list_contents {
        return list(&contents, ui);
    }
    let (path, size, sha256) = package::write_package(&contents, args.output.as_deref())?;
    if ui.is_json() {
        let mut body = describe(&contents);
        body["path"] = json!(path);
        body["size"] = json!(size);
        body["sha256"] = json!(sha256);
        return ui.json("expert-cli.package/1", body);
    }
    ui.note(&format!("packed {} files from {}: {size} bytes", contents.items.len(), contents.checkpoint));
    ui.data_untrusted(&path.display().to_string())?;
    ui.next(&format!("expert-cli install {}", quoted(&path.display().to_string())));
    Ok(())
}

fn list(contents: &Contents, ui: &Ui) -> Result<()> {
    if ui.is_json() {
        return ui.json("expert-cli.package/1", describe(contents));
    }
    let mut table = Table::new(["file", "bytes", "sha256"]);
    for item in &contents.items {
        table.row([item.name.clone(), item.size.to_string(), item.sha256[..12].to_owned()]);
    }
    ui.data(&table.render())?;
    ui.note(&format!("{} from {}: nothing was written", contents.file_name, contents.checkpoint));
    ui.next(&typed_command(std::env::args(), &["--list-contents"]));
    Ok(())
}

fn describe(contents: &Contents) -> Value {
    let files: Vec<Value> =
        contents.items.iter().map(|i| json!({"name": i.name, "size": i.size, "sha256": i.sha256})).collect();
    let missing: Vec<Value> = contents.missing.iter().map(|(name, why)| json!({"name": name, "reason": why})).collect();
    json!({"name": contents.manifest.name(), "version": contents.manifest.version(), "file_name": contents.file_name,
        "checkpoint": contents.checkpoint, "files": files, "missing": missing, "notes": contents.notes})
}
