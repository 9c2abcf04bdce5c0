//! `install FILE|DIR`: checks an expert to its last byte and puts it into the registry.

use serde_json::json;

use super::args::install::Args;
use super::home::{expert_home, find_base};
use super::ui::{Ui, escape};
use crate::error::Result;
use crate::package;
use crate::registry::{Options, Registry};

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let home = expert_home();
    let mut registry = Registry::open(&home)?;
    let outcome = registry.install(&args.source, Options { force: args.force, dev: args.dev })?;
    let expert = &outcome.installed;
    let mut notes = outcome.notes;
    let base = expert.manifest.base_models().first().map(|model| model.name.clone()).unwrap_or_default();
    match find_base(&base, &expert.dir, &home) {
        None => notes.push(format!("its base model {base} is not on this machine: `chat` will ask for it")),
        Some(folder) => {
            // The expert may be meant for a folder given later with --base-model: here it is no refusal.
            if let Err(error) = package::check_base(&expert.manifest, &folder, Some(&home.join("cache"))) {
                notes.push(error.to_string());
            }
        }
    }
    for note in &notes {
        ui.warn(&escape(note));
    }
    let short = expert.name.strip_prefix("expert-").unwrap_or(&expert.name);
    if ui.is_json() {
        let body = json!({"name": expert.name, "version": expert.version, "path": expert.dir, "base_model": base,
            "replaced": outcome.replaced, "notes": notes});
        return ui.json("expert-cli.install/1", body);
    }
    let done = if outcome.replaced { "replaced" } else { "installed" };
    ui.note(&format!("{done} {} {} in {}", expert.name, expert.version, expert.dir.display()));
    ui.next(&format!("expert-cli chat --experts {short} --context schema.sql --prompt \"How many users are there?\""));
    Ok(())
}
