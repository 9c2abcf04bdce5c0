//! `eval`: answers judged by execution over a suite; scores with intervals, comparisons, a page, every failure kept.

mod answers;
mod metrics;
mod page;
mod show;
mod sides;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::answering::live::catch_interrupts;
use super::args::eval::Args;
use super::ui::Ui;
use crate::db::Source;
use crate::error::{Problem, Result};
use crate::eval::report;
use crate::eval::{self, Databases, Form, Judge, Outcome, Request, Score, Suite};
use crate::fsx;
use crate::sql::Dialect;
use answers::Course;
use sides::Sides;

/// What is written into the folder of `--output`.
const OUTCOMES: &str = "outcomes.jsonl";
const SUMMARY: &str = "summary.json";

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    catch_interrupts();
    let suite = Suite::open(&Request {
        name: &args.suite,
        folders: &args.suites,
        db_dir: args.db_dir.as_deref(),
        given: args.db.as_ref(),
        only: &args.only_databases,
    })?;
    let server = match (&args.db, suite.form) {
        (Some(Source::Postgres(address)), Form::Own) => Some(address.clone()),
        (None, _) | (_, Form::Pairs) => None,
        (Some(_), form) => {
            return Err(Problem::usage(format!("--db does not go with a suite of the form {}", form.name()))
                .detail("it brings databases of its own")
                .hint("--db is for pairs of question and SQL; of postgres://…, the server for a suite of ours")
                .into());
        }
    };
    let mut judge = Judge::new(answers_in(args, &suite)?);
    if args.official {
        judge = judge.official();
    }
    judge.timed_runs = args.ves.unwrap_or(0);
    let databases = Databases::new(server, args.row_seeds)?;
    let mut course = Course::new(args, &suite, databases, judge, ui)?;
    for (id, why) in course.skipped.iter().take(3) {
        ui.warn(&super::ui::escape(&format!("{id} is left out: {why}")));
    }
    let sides = sides::ask(&mut course)?;
    let mut body = body(&course, &sides);
    if args.select || args.write_metrics {
        metrics::write(&course, &sides, &mut body, ui)?;
    }
    write(args, &suite, &sides, &mut body)?;
    if ui.is_json() {
        return ui.json("expert-cli.eval/1", body);
    }
    show::show(&body, &sides.own.outcomes, ui)
}

/// The dialect of the answers: the flag's, else the suite's.
fn answers_in(args: &Args, suite: &Suite) -> Result<Dialect> {
    let Some(name) = &args.model.dialect else { return Ok(suite.dialect) };
    Dialect::from_name(name).ok_or_else(|| {
        Problem::usage(format!("`{name}` is no dialect")).hint("--dialect takes postgres, mysql or sqlite").into()
    })
}

fn body(course: &Course<'_>, sides: &Sides) -> Value {
    let mut body = eval::summary(&sides.own.outcomes);
    body["suite"] = json!(course.suite.name);
    body["suite_form"] = json!(course.suite.form.name());
    body["dialect"] = json!(course.judge.dialect.name());
    body["official"] = json!(course.judge.official);
    body["mended"] = if course.judge.official { json!([]) } else { json!(eval::MENDED) };
    body["name"] = json!(sides.own.name);
    body["answers"] = sides.own.who.clone();
    body["skipped"] =
        json!(course.skipped.iter().map(|(id, why)| json!({"id": id, "reason": why})).collect::<Vec<Value>>());
    if let Some(baseline) = &sides.baseline {
        body["baseline"] = against(&sides.own.outcomes, &baseline.outcomes);
        body["baseline"]["name"] = json!(baseline.name);
        body["baseline"]["answers"] = baseline.who.clone();
        body["baseline"]["scores"] = eval::summary(&baseline.outcomes);
    }
    if let Some(best) = sides.best {
        let ranked = sides.checkpoints.iter().map(|checkpoint| {
            let mut row = Score::execution(&checkpoint.side.outcomes).to_json();
            row["name"] = json!(checkpoint.name);
            row["step"] = json!(checkpoint.step);
            row["best_against_it"] = against(&sides.own.outcomes, &checkpoint.side.outcomes);
            row
        });
        body["checkpoints"] = ranked.collect();
        body["best"] = json!(sides.checkpoints[best].name);
    }
    body
}

/// The paired comparison of two sides.
fn against(own: &[Outcome], other: &[Outcome]) -> Value {
    let compared = eval::compare(own, other);
    json!({
        "only_ours_right": compared.only_first,
        "only_baseline_right": compared.only_second,
        "mcnemar_p": compared.p,
    })
}

/// Writes every outcome and the scores into the folder of `--output`.
fn write(args: &Args, suite: &Suite, sides: &Sides, body: &mut Value) -> Result<()> {
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from("evaluations").join(&suite.name));
    let lines: String = sides.own.outcomes.iter().map(|outcome| outcome.to_json().to_string() + "\n").collect();
    fsx::write_atomic(&folder.join(OUTCOMES), lines.as_bytes())?;
    body["outcomes"] = json!(folder.join(OUTCOMES));
    fsx::write_atomic(&folder.join(report::FILE), page::render(suite, sides, body).as_bytes())?;
    body["report"] = json!(folder.join(report::FILE));
    let text = serde_json::to_string_pretty(body)? + "\n";
    fsx::write_atomic(&folder.join(SUMMARY), text.as_bytes())
}
