//! `show NAME`: one installed expert.

use serde_json::{Value, json};

use super::args::show::Args;
use super::home::{expert_home, find_base};
use super::ui::Ui;
use crate::error::Result;
use crate::fsx;
use crate::package;
use crate::registry::Registry;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let home = expert_home();
    let expert = Registry::open(&home)?.resolve(&args.name)?;
    let manifest = &expert.manifest;
    let summary = package::check_adapter(&expert.dir, None)?;
    let base = manifest.base_models().first().map(|m| m.name.clone()).unwrap_or_default();
    let base_folder = find_base(&base, &expert.dir, &home);
    let files: Vec<String> = fsx::list_dir(&expert.dir)?
        .iter()
        .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    let text = |key: &str| manifest.raw().get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if ui.is_json() {
        let adapter = json!({"type": summary.kind, "rank": summary.rank, "target_modules": summary.target_modules,
            "layers": summary.layers, "parameters": summary.parameters});
        let body = json!({"name": expert.name, "version": expert.version, "path": expert.dir,
            "description": text("description"), "license": text("license"), "capabilities": manifest.capabilities(),
            "dialect": manifest.dialect(), "base_model": base, "base_model_path": base_folder, "adapter": adapter,
            "files": files, "manifest": manifest.raw()});
        return ui.json("expert-cli.show/1", body);
    }
    let here = base_folder.map_or("not on this machine".to_owned(), |folder| folder.display().to_string());
    let targets = summary.target_modules.join(", ");
    let lines = [
        ("expert", format!("{} {}", expert.name, expert.version)),
        ("description", text("description")),
        ("license", text("license")),
        ("dialect", manifest.dialect()),
        ("capabilities", manifest.capabilities().join(", ")),
        ("base model", format!("{base} ({here})")),
        ("adapter", format!("{} rank {} on {targets}, {} layers", summary.kind, summary.rank, summary.layers)),
        ("parameters", summary.parameters.to_string()),
        ("folder", expert.dir.display().to_string()),
        ("files", files.join(", ")),
    ];
    let report: String = lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<13} {value}\n"))
        .collect();
    ui.data_untrusted(&report)?;
    ui.next(&format!("expert-cli verify {}@{}", expert.name, expert.version));
    Ok(())
}
