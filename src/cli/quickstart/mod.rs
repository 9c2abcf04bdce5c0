//! `quickstart`: from a database to an expert for it whose score was executed, each step being the verb a user would type.
//!
//! Without `--db` the database is a little shop made here. Nothing is downloaded: the base model is the embedded one unless
//! another is named.

mod shop;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::answering::database::execute_sql;
use super::args::quickstart::Args;
use super::home::expert_home;

use super::ui::{RowFormat, Table, Ui};
use crate::db::{Limits, Source};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::EMBEDDED;

/// What the expert is called.
const NAME: &str = "expert-quickstart";

/// Questions written for the training.
const SHORT: u64 = 6_000;
const FULL: u64 = 16_000;

/// Steps of a training with `--full`; it was not timed.
const FULL_STEPS: u64 = 1_500;

/// How long a short training may take, by the estimate of `train --dry-run`, and the fewest and most steps it then has.
const SHORT_SECONDS: f64 = 115.0;
const SHORT_STEPS: (f64, f64) = (60.0, 240.0);

/// Settings of a short training of the embedded model; they were the first ones tried (`docs/LOG.md`).
const EMBEDDED_SETTINGS: [&str; 8] = [
    "rank=32",
    "alpha=64",
    "dropout=0",
    "learning_rate=0.002",
    "batch_size=32",
    "gradient_accumulation_steps=1",
    "save_strategy=no",
    "target_modules=[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]",
];

/// Verbs run so far, with what they answered.
struct Walk<'a> {
    ui: &'a Ui,
    done: Vec<Value>,
}

impl Walk<'_> {
    /// Runs a verb as if it had been typed.
    fn step(&mut self, argv: &[&str]) -> Result<Value> {
        self.ui.note(&format!("\n{} expert-cli {}", self.ui.paint("$", "36"), shown(argv)));
        let begun = Instant::now();
        let run = super::nested(argv, self.ui)?;
        let answer = run.answer.unwrap_or_default();
        self.done.push(json!({"command": argv, "seconds": begun.elapsed().as_secs_f64(), "answer": answer}));
        // `chat` ends with 1 where an answer is no whole statement: that is an answer too.
        if argv[0] != "chat" || answer.is_null() {
            run.outcome?;
        }
        Ok(answer)
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let begun = Instant::now();
    let dir = work_folder(args)?;
    let text = |path: &Path| path.display().to_string();
    let source = match &args.db {
        Some(source) => source.clone(),
        None => {
            let path = dir.join("shop.db");
            shop::write(&path)?;
            Source::Sqlite(path)
        }
    };
    let db = source.to_string();
    ui.note(&format!("A database to ask about, {db}:"));
    show_tables(&source, ui)?;

    let count = if args.full { FULL } else { SHORT };
    let (count, asked) = (count.to_string(), args.questions.to_string());
    let dialect = source.dialect().name();
    let base = args.base_model.as_deref().unwrap_or(EMBEDDED);
    let expert = dir.join(NAME);
    let data = expert.join("datasets/synthesized");
    let [expert_dir, data_dir, train, held_out, work] =
        [text(&expert), text(&data), text(&data.join("train.jsonl")), text(&data.join("held-out.jsonl")), text(&dir)];
    let (manifest, weights) = (text(&expert.join("manifest.json")), text(&expert.join("weights")));

    let mut walk = Walk { ui, done: Vec::new() };
    walk.step(&["init", &expert_dir, "--base-model", base, "--dialect", dialect, "--force"])?;
    walk.step(&[
        "synthesize",
        "--db",
        &db,
        "--count",
        &count,
        "--held-out",
        &asked,
        "--seed",
        "1",
        "--output",
        &data_dir,
    ])?;
    let settings: Vec<String> = match args.base_model {
        None => EMBEDDED_SETTINGS.iter().map(|setting| format!("training.config.{setting}")).collect(),
        Some(_) => vec!["training.config.dropout=0".into(), "training.config.save_strategy=no".into()],
    };
    let mut training = vec!["train", "--manifest", &manifest, "--dataset", &train, "--output", &weights];
    training.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
    let steps = match args.steps {
        Some(steps) => steps,
        None if args.full => FULL_STEPS,
        None => steps_in_time(&mut walk, &training, ui)?,
    };
    let steps = steps.to_string();
    training.extend(["--max-steps", &steps]);
    walk.step(&training)?;
    let packed = walk.step(&["package", "--manifest", &manifest, "--weights", &weights, "--output", &work])?;
    let package = packed["path"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Problem::failed("`package` did not name the file it wrote"))?;
    walk.step(&["verify", &text(&package)])?;
    walk.step(&["install", &text(&package), "--force"])?;
    let evaluation = text(&dir.join("evaluation"));
    let scores = walk.step(&[
        "eval",
        "--experts",
        "quickstart",
        "--suite",
        &held_out,
        "--db",
        &db,
        "--baseline",
        "base",
        "--output",
        &evaluation,
    ])?;
    let mut answers = Vec::new();
    for question in questions(args, &held_out)? {
        let answer = walk.step(&["chat", "--experts", "quickstart", "--db", &db, "--run", "--prompt", &question])?;
        let sql = answer["sql"].as_str().or(answer["text"].as_str()).unwrap_or_default().to_owned();
        if !ui.is_json() {
            ui.data_untrusted(&sql)?;
            execute_sql(&sql, &source).show(RowFormat::Table, false, ui)?;
        }
        answers.push(json!({"question": question, "sql": sql, "result": answer["execution"]}));
    }
    if ui.is_json() {
        let body = json!({
            "dir": dir,
            "db": db,
            "package": package,
            "base_model": base,
            "scores": scores["execution"],
            "base_scores": scores["baseline"]["scores"]["execution"],
            "mcnemar_p": scores["baseline"]["mcnemar_p"],
            "answers": answers,
            "seconds": begun.elapsed().as_secs_f64(),
            "steps": walk.done,
        });
        return ui.json("expert-cli.quickstart/1", body);
    }
    show_scores(&scores, ui);
    ui.note(&format!("All of it took {:.0} s. An expert for a database of your own:", begun.elapsed().as_secs_f64()));
    ui.next("expert-cli quickstart --db sqlite:YOUR.db --full");
    Ok(())
}

/// How many steps of a training fit into [`SHORT_SECONDS`].
fn steps_in_time(walk: &mut Walk<'_>, training: &[&str], ui: &Ui) -> Result<u64> {
    let trial = [training, &["--max-steps", "100", "--dry-run"]].concat();
    ui.note("How fast is this machine? A trial of three steps, of which nothing is kept:");
    let seconds = walk.step(&trial)?["estimated_seconds"]
        .as_f64()
        .ok_or_else(|| Problem::failed("`train --dry-run` did not say how long the training takes"))?;
    let steps = steps_that_fit(seconds / 100.0);
    ui.note(&format!("A step takes {:.2} s, so the training has {steps}.", seconds / 100.0));
    Ok(steps)
}

/// The steps of this many seconds each that fit into [`SHORT_SECONDS`], within [`SHORT_STEPS`].
fn steps_that_fit(seconds: f64) -> u64 {
    let (fewest, most) = SHORT_STEPS;
    (SHORT_SECONDS / seconds.max(0.01)).clamp(fewest, most) as u64
}

/// The tables with their columns and numbers of rows.
fn show_tables(source: &Source, ui: &Ui) -> Result<()> {
    let schema = source.schema()?;
    let mut table = Table::new(["table", "rows", "columns"]);
    for of in schema.tables() {
        let name = of.name.to_sql(schema.dialect());
        let rows = source.query(&format!("SELECT COUNT(*) FROM {name}"), &Limits::default());
        let rows = rows.ok().and_then(|rows| Some(rows.rows.first()?.first()?.to_string()));
        let columns: Vec<&str> = of.columns.iter().map(|column| column.name.text()).collect();
        table.row([of.name.text().to_owned(), rows.unwrap_or_default(), columns.join(", ")]);
    }
    ui.note(&super::ui::escape(&table.render()));
    Ok(())
}

/// What is asked at the end: of the shop three questions of ours, of another database the first held-out ones.
fn questions(args: &Args, held_out: &str) -> Result<Vec<String>> {
    if args.db.is_none() {
        return Ok(shop::QUESTIONS.map(String::from).to_vec());
    }
    let rows = fsx::read_text(Path::new(held_out))?;
    let row = |line: &str| serde_json::from_str::<Value>(line).ok()?["question"].as_str().map(str::to_owned);
    Ok(rows.lines().filter_map(row).take(shop::QUESTIONS.len()).collect())
}

/// Right answers of expert and base, by execution.
fn show_scores(scores: &Value, ui: &Ui) {
    let mut table = Table::new(["right by execution", "of", "%", "95 % interval"]);
    for (name, score) in
        [("the expert", &scores["execution"]), ("its base model alone", &scores["baseline"]["scores"]["execution"])]
    {
        let percent = |key: &str| format!("{:.1}", score[key].as_f64().unwrap_or(f64::NAN) * 100.0);
        let interval = format!("{} – {}", percent("low"), percent("high"));
        table.row([name.to_owned(), score["n"].to_string(), percent("score"), interval]);
    }
    ui.note(&format!("\nQuestions that training never saw, in wording that it never saw:\n{}", table.render()));
}

/// The folder that was asked for, or a new one among the temporary files.
fn work_folder(args: &Args) -> Result<PathBuf> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("expert-quickstart-{}", std::process::id())),
    };
    fsx::create_dir_all(&dir)?;
    fsx::create_dir_all(&expert_home())?;
    if !fsx::list_dir(&dir)?.is_empty() {
        return Err(Problem::usage(format!("{} is not empty", dir.display()))
            .hint("name a new folder with --dir")
            .into());
    }
    Ok(dir)
}

/// An argument list as one would type it.
fn shown(argv: &[&str]) -> String {
    let quote = |arg: &&str| match arg {
        arg if arg.contains('"') => format!("'{arg}'"),
        arg if arg.contains([' ', '?', '[']) => format!("\"{arg}\""),
        arg => (*arg).to_owned(),
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_trains_fewer_steps() {
        let (fewest, most) = (SHORT_STEPS.0 as u64, SHORT_STEPS.1 as u64);
        for (seconds, steps) in [(0.0, most), (0.4, most), (0.5, 230), (1.0, 115), (30.0, fewest), (f64::NAN, most)] {
            assert_eq!(steps_that_fit(seconds), steps, "{seconds} s a step");
        }
    }
}
