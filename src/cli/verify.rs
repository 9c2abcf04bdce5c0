//! `verify FILE|NAME`: recomputes every hash. A package that cannot be trusted is refused (exit 3); an installed expert
//! that was changed, or another base model, is a "no" (exit 1).

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::verify::Args;
use super::home::{expert_home, find_base};
use super::ui::Ui;
use crate::error::{Exit, Problem, Result};
use crate::manifest::Manifest;
use crate::package::{self, Package};
use crate::registry::Registry;

/// What was looked at and what came out.
#[derive(Default)]
struct Report {
    checks: Vec<(&'static str, Verdict, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Good,
    Bad,
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Bad => "BAD",
            Self::Unknown => "not checked",
        }
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let home = expert_home();
    let path = PathBuf::from(&args.what);
    let mut report = Report::default();
    let is_file = path.is_file() || args.what.ends_with(".expert") || args.what.contains(['/', '\\']);
    let (manifest, folder) =
        if is_file { package_file(&path, &mut report)? } else { installed(&args.what, &home, &mut report)? };
    base_model(args, &manifest, &folder, &home, &mut report)?;
    let bad = report.checks.iter().any(|(_, verdict, _)| *verdict == Verdict::Bad);
    if ui.is_json() {
        let checks: Vec<_> = report
            .checks
            .iter()
            .map(|(what, verdict, detail)| json!({"check": what, "result": verdict.word(), "detail": detail}))
            .collect();
        let body = json!({"name": manifest.name(), "version": manifest.version(), "valid": !bad, "checks": checks});
        ui.json("expert-cli.verify/1", body)?;
    } else {
        let mut text = format!("{} {}\n", manifest.name(), manifest.version());
        for (what, verdict, detail) in &report.checks {
            text += &format!("  {what:<14} {:<11} {detail}\n", verdict.word());
        }
        ui.data_untrusted(&text)?;
    }
    if bad {
        return Err(Problem::reported(Exit::Failed).into());
    }
    ui.next(&if is_file { format!("expert-cli install {}", args.what) } else { "expert-cli list".to_owned() });
    Ok(())
}

fn package_file(path: &Path, report: &mut Report) -> Result<(Manifest, PathBuf)> {
    let package = Package::open(path)?;
    let beside = package.check_checksum_file()?;
    let (verdict, detail) =
        if beside { (Verdict::Good, "as the file beside it says") } else { (Verdict::Unknown, "no file beside it") };
    report.checks.push(("checksum file", verdict, detail.to_owned()));
    let detail = "every byte is as it was written";
    match package.is_sealed() {
        true => report.checks.push(("seal", Verdict::Good, detail.to_owned())),
        false => report.checks.push(("seal", Verdict::Unknown, "it was not packed by this program".to_owned())),
    }
    let count = package.entries().iter().filter(|entry| entry.name.is_some()).count();
    report.checks.push(("files", Verdict::Good, format!("{count} files, all of them allowed")));
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    Ok((package.manifest().clone(), folder))
}

fn installed(name: &str, home: &Path, report: &mut Report) -> Result<(Manifest, PathBuf)> {
    let registry = Registry::open(home)?;
    let expert = registry.resolve(name)?;
    let listed = package::Record::of(expert.manifest.raw()).is_some();
    let mut defects = registry.verify(&expert)?;
    if !listed {
        defects.retain(|defect| !defect.contains("lists no hashes"));
        report.checks.push(("hashes", Verdict::Unknown, "its manifest lists none".to_owned()));
    }
    match defects.as_slice() {
        [] => report.checks.push(("files", Verdict::Good, "as they were installed".to_owned())),
        _ => report.checks.extend(defects.into_iter().map(|defect| ("files", Verdict::Bad, defect))),
    }
    Ok((expert.manifest, expert.dir))
}

/// The base model's hash is computed afresh: no cache.
fn base_model(args: &Args, manifest: &Manifest, folder: &Path, home: &Path, report: &mut Report) -> Result<()> {
    let name = manifest.base_models().first().map(|m| m.name.clone()).unwrap_or_default();
    let base = match &args.base_model {
        Some(asked) => Some(crate::model::locate(asked, home, false)?),
        None => find_base(&name, folder, home),
    };
    let Some(base) = base else {
        report.checks.push(("base model", Verdict::Unknown, format!("{name} is not on this machine")));
        return Ok(());
    };
    let check = match package::check_base(manifest, &base, None) {
        Ok(true) => ("base model", Verdict::Good, base.display().to_string()),
        Ok(false) => ("base model", Verdict::Unknown, "the manifest pins none".to_owned()),
        Err(error) => ("base model", Verdict::Bad, error.to_string().replace('\n', "; ")),
    };
    report.checks.push(check);
    Ok(())
}
