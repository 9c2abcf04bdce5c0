//! `report`: the curves of one run or several as a page that opens offline.

use serde_json::{Value, json};

use super::args::report::Args;
use super::ui::{Table, Ui};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::train::report::{FILE, RunRecord, render};

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let runs = args.runs.iter().map(|path| RunRecord::read(path)).collect::<Result<Vec<_>>>()?;
    let Some(first) = runs.first() else { return Err(Problem::usage("name a run").into()) };
    let output = args.output.clone().unwrap_or_else(|| first.path.join(FILE));
    fsx::write_atomic(&output, render(&runs).as_bytes())?;
    if ui.is_json() {
        let shown: Vec<Value> = runs
            .iter()
            .map(|run| {
                let mut shown = serde_json::to_value(run.summary()).unwrap_or_default();
                shown["run"] = json!(run.path);
                shown
            })
            .collect();
        return ui.json("expert-cli.report/1", json!({"report": output, "runs": shown}));
    }
    let mut table = Table::new(["run", "steps", "loss", "best validation", "at step", "tokens/s", "MiB"]);
    let number =
        |value: Option<f64>, decimals: usize| value.map_or(String::new(), |value| format!("{value:.decimals$}"));
    for run in &runs {
        let s = run.summary();
        table.row([
            run.name.clone(),
            s.steps.to_string(),
            number(s.loss, 4),
            number(s.best_eval_loss, 4),
            s.best_step.map_or(String::new(), |step| step.to_string()),
            number(s.tokens_per_s, 0),
            number(s.rss_mib, 0),
        ]);
    }
    ui.note(&table.render());
    ui.data(&output.display().to_string())?;
    let more = runs.len() == 1;
    ui.next(if more { "expert-cli report RUN OTHER_RUN (lays several over each other)" } else { "expert-cli package" });
    Ok(())
}
