//! `list`: the installed experts.

use serde_json::json;

use super::args::list::Args;
use super::home::expert_home;
use super::ui::{Table, Ui, escape};
use crate::error::Result;
use crate::manifest::last_component;
use crate::registry::Registry;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let registry = Registry::open(&expert_home())?;
    let mut experts = registry.index().experts.clone();
    if let Some(wanted) = &args.base_model {
        for expert in &mut experts {
            expert.versions.retain(|v| last_component(&v.base_model).eq_ignore_ascii_case(last_component(wanted)));
        }
        experts.retain(|expert| !expert.versions.is_empty());
    }
    if ui.is_json() {
        return ui.json("expert-cli.list/1", json!({"experts": experts}));
    }
    if let (Some(wanted), true, false) = (&args.base_model, experts.is_empty(), registry.index().experts.is_empty()) {
        ui.note(&format!("no installed expert is made for {}", escape(wanted)));
        ui.next("expert-cli list");
        return Ok(());
    }
    if experts.is_empty() {
        ui.note("no expert is installed");
        ui.next("expert-cli install FILE.expert");
        return Ok(());
    }
    let mut table = Table::new(["expert", "version", "base model", "adapter", "bytes", "installed"]);
    for expert in &experts {
        for version in &expert.versions {
            let adapter = version.adapters.first();
            let day = version.installed_at.split('T').next().unwrap_or_default();
            table.row([
                expert.name.clone(),
                version.version.clone(),
                last_component(&version.base_model).to_owned(),
                adapter.map(|a| a.kind.clone()).unwrap_or_default(),
                adapter.map(|a| a.size_bytes.to_string()).unwrap_or_default(),
                day.to_owned(),
            ]);
        }
    }
    ui.data(&table.render())?;
    ui.next(&format!("expert-cli show {}", experts[0].name));
    Ok(())
}
