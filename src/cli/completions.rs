//! `completions`: the completion script of a shell on stdout, or the manual pages as files.

use std::path::Path;

use serde_json::json;

use super::args::completions::{Args, What};
use super::ui::Ui;
use crate::error::Result;
use crate::fsx;

pub(super) fn run(args: &Args, command: &mut clap::Command, ui: &Ui) -> Result<()> {
    let shell = match args.what {
        What::Man => return manual(args.output.as_deref().unwrap_or(Path::new("man")), command, ui),
        What::Shell(shell) => shell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "expert-cli", &mut script);
    let script = String::from_utf8_lossy(&script);
    if let Some(path) = &args.output {
        fsx::write_atomic(path, script.as_bytes())?;
    }
    match (ui.is_json(), &args.output) {
        (true, _) => ui.json(
            "expert-cli.completions/1",
            json!({"shell": shell.to_string(), "script": script, "output": args.output}),
        ),
        (false, Some(path)) => ui.data(&path.display().to_string()),
        (false, None) => ui.data(&script),
    }
}

/// One page for the program and one for every verb.
fn manual(folder: &Path, command: &mut clap::Command, ui: &Ui) -> Result<()> {
    command.build();
    let mut files = vec![page(folder, command, "expert-cli")?];
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        files.push(page(folder, verb, &format!("expert-cli-{}", verb.get_name()))?);
    }
    if ui.is_json() {
        return ui.json("expert-cli.completions/1", json!({"folder": folder, "files": files}));
    }
    ui.data(&folder.display().to_string())?;
    ui.next(&format!("man {}/expert-cli.1", folder.display()));
    Ok(())
}

fn page(folder: &Path, command: &clap::Command, name: &str) -> Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut text)?;
    let file = format!("{name}.1");
    fsx::write_atomic(&folder.join(&file), &text)?;
    Ok(file)
}
