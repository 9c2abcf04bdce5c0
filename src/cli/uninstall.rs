//! `uninstall NAME[@VERSION]`: takes an expert out of the registry and its files off the disk.

use serde_json::json;

use super::args::uninstall::Args;
use super::home::expert_home;
use super::ui::{Ui, escape};
use crate::error::Result;
use crate::registry::Registry;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let (name, version, files) = Registry::open(&expert_home())?.uninstall(&args.name)?;
    if ui.is_json() {
        return ui.json("expert-cli.uninstall/1", json!({"name": name, "version": version, "files_removed": files}));
    }
    let kept = if files { "" } else { " (its folder was only registered and stays)" };
    ui.note(&escape(&format!("removed {name} {version}{kept}")));
    ui.next("expert-cli list");
    Ok(())
}
