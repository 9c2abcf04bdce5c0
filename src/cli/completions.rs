//! `completions SHELL`: the shell completion script on stdout.

use super::args::completions::Args;
use super::ui::Ui;
use crate::error::Result;

pub(super) fn run(args: &Args, command: &mut clap::Command, ui: &Ui) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "expert-cli", &mut script);
    ui.data(&String::from_utf8_lossy(&script))
}
