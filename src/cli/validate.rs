//! `validate [PATH]`: every problem of a manifest at once; exit 3 if one of them is an error.

use serde_json::json;

use super::args::validate::Args;
use super::ui::Ui;
use crate::error::{Exit, Problem, Result};
use crate::manifest::{self, Manifest, Severity};

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let path = Manifest::file_at(&args.path);
    let raw = manifest::read_value(&path)?;
    let findings = manifest::check(&raw);
    let count = |severity: Severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if ui.is_json() {
        let problems: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({"path": f.path, "severity": word(f.severity), "message": f.message,
                    "did_you_mean": f.did_you_mean})
            })
            .collect();
        let body = json!({"path": path, "valid": errors == 0, "errors": errors, "warnings": warnings,
            "problems": problems});
        ui.json("expert-cli.validate/1", body)?;
    } else {
        let mut report = String::new();
        for finding in &findings {
            report += &format!("{:<8} {finding}\n", word(finding.severity));
        }
        report += &match Manifest::from_value(raw) {
            Ok(manifest) => summary(&manifest),
            Err(_) => format!("{} cannot be used", path.display()),
        };
        report += &format!(": {}, {}\n", plural(errors, "error"), plural(warnings, "warning"));
        ui.data_untrusted(&report)?;
    }
    if errors > 0 {
        return Err(Problem::reported(Exit::Input).into());
    }
    ui.next("expert-cli train");
    Ok(())
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn summary(manifest: &Manifest) -> String {
    let models: Vec<&str> = manifest.base_models().iter().map(|m| manifest::last_component(&m.name)).collect();
    format!("{} {} on {}", manifest.name(), manifest.version(), models.join(", "))
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
