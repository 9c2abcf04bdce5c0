//! `train`: settings shown with their origin, one live line while it runs, the result and the next command.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use serde_json::{Value, json};

use super::args::train::Args;
use super::command_line::{device, flag, resume_command, typed_command};
use super::home::expert_home;
use super::ranks;
use super::ui::{Progress, Table, Ui};
use crate::error::{Exit, Problem, Result};
use crate::train::folder::Resume;
use crate::train::group::Group;
use crate::train::job::{Job, Loaded, Request};
use crate::train::metrics::{Record, anonymous_mib, peak_rss_mib, rss_mib};
use crate::train::observer::Observer;
use crate::train::plan::available_mib;
use crate::train::run::Outcome;
use crate::train::settings::parse_assignment;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let device = device(&args.device, ranks::on_this_machine())?;
    let group = ranks::join(device.as_ref())?;
    let ui = ranks::console(&*group, ui);
    ranks::said_once(&*group, &ui, train(args, device, &*group, &ui))
}

fn train(args: &Args, device: Option<Device>, group: &dyn Group, ui: &Ui) -> Result<()> {
    let job = Job::new(Request { device, ..request(args, group)? })?;
    show_settings(&job, ui);
    let mut loaded = job.load()?;
    for note in &loaded.notes {
        ui.warn(note);
    }
    show_rows(&loaded, group, ui);
    if !args.ignore_memory
        && let Some(free) = available_mib()
    {
        loaded.plan.must_fit(free + anonymous_mib().unwrap_or(0.0))?;
    }
    if args.dry_run {
        return dry_run(&mut loaded, ui);
    }
    let stop = stop_on_interrupt()?;
    let resume = args.resume.as_deref().map(|at| match at {
        "latest" => Resume::Latest,
        path => Resume::At(path.into()),
    });
    let output = loaded.output.clone();
    let total = loaded.plan.total_steps;
    let mut watcher = Watcher { ui, bar: ui.progress(total, "step"), line: Line::default() };
    let outcome = loaded.train(resume.as_ref(), args.restart, group, &mut watcher, &stop);
    let line = std::mem::take(&mut watcher.line);
    drop(watcher);
    finish(args, outcome?, &output, &line, ui)
}

fn request(args: &Args, group: &dyn Group) -> Result<Request> {
    let mut flags = serde_json::Map::new();
    for assignment in &args.set {
        let (key, value) = parse_assignment(assignment)?;
        flags.insert(key, value);
    }
    let named: [(&str, Option<Value>); 3] = [
        ("epochs", args.epochs.map(Value::from)),
        ("max_steps", args.max_steps.map(Value::from)),
        ("seed", args.seed.map(Value::from)),
    ];
    flags.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Ok(Request {
        manifest: args.manifest.clone(),
        dataset: args.dataset.clone(),
        output: args.output.clone(),
        base_model: args.base_model.clone(),
        model: args.model.clone(),
        new_tokenizer: args.new_tokenizer,
        flags,
        home: expert_home(),
        read_only: args.dry_run || group.rank() > 0,
        processes: group.size(),
        device: None,
    })
}

fn show_settings(job: &Job, ui: &Ui) {
    ui.note(&format!(
        "{} {} on {} ({})",
        job.manifest.name(),
        job.manifest.version(),
        job.entry.name,
        job.base.display()
    ));
    let mut table = Table::new(["setting", "value", "from"]);
    for (key, value, origin) in job.resolved.differing() {
        table.row([key, value, origin.to_string()]);
    }
    ui.note(&table.render());
    if !job.resolved.unused.is_empty() {
        let named: Vec<String> = job.resolved.unused.iter().map(|(key, reason)| format!("  {key}: {reason}")).collect();
        ui.warn(&format!("these settings change nothing here:\n{}", named.join("\n")));
    }
}

fn show_rows(loaded: &Loaded, group: &dyn Group, ui: &Ui) {
    let plan = &loaded.plan;
    let rows = &plan.rows;
    let validation = plan.validation.as_ref().map_or(String::new(), |v| format!(", {} for validation", v.used));
    ui.note(&format!(
        "{} rows{validation}: {} tokens, {} of them targets, longest {}, {} truncated",
        rows.used, rows.tokens, rows.targets, rows.longest, rows.truncated
    ));
    for (reason, dropped) in &rows.dropped {
        ui.note(&format!("  {} left out: {reason}, first {}", dropped.count, dropped.first.join(", ")));
    }
    ui.note(&format!(
        "{} steps of up to {} rows, {} an epoch; {} trainable parameters; about {:.0} MiB of memory",
        plan.total_steps,
        loaded.settings.batch_size * loaded.settings.gradient_accumulation_steps * group.size(),
        plan.steps_per_epoch,
        plan.trainable_parameters,
        plan.memory.total
    ));
    if group.size() > 1 {
        let (rows, times) = (loaded.settings.batch_size, loaded.settings.gradient_accumulation_steps);
        ui.note(&format!("{} processes, each {times} × {rows} rows a step and that much memory", group.size()));
    }
}

fn dry_run(loaded: &mut Loaded, ui: &Ui) -> Result<()> {
    let trial = loaded.trial()?;
    let plan = &loaded.plan;
    let seconds = trial.seconds(plan.total_tokens, plan.total_steps);
    if ui.is_json() {
        let mut body = serde_json::to_value(plan)?;
        body["dry_run"] = true.into();
        body["estimated_seconds"] = json!((seconds * 10.0).round() / 10.0);
        body["trial"] = json!(trial);
        body["rss_mib"] = json!(rss_mib());
        body["peak_rss_mib"] = json!(peak_rss_mib());
        return ui.json("expert-cli.train/1", body);
    }
    let memory = &plan.memory;
    let mib = |mib: f64| format!("{mib:.0} MiB");
    let mut table = Table::new(["", "estimate"]);
    table.row(["steps".into(), plan.total_steps.to_string()]);
    table.row(["tokens of the run".into(), plan.total_tokens.to_string()]);
    table.row(["rows that are cut".into(), plan.rows.truncated.to_string()]);
    table.row([format!("time, from {} timed steps", trial.steps), duration(seconds)]);
    table.row(["tokens of the largest batch".into(), plan.largest_batch.to_string()]);
    table.row(["memory: base weights, mapped".into(), mib(memory.weights)]);
    table.row(["memory: trained, with moments".into(), mib(memory.trained)]);
    table.row(["memory: activations".into(), mib(memory.activations)]);
    table.row(["memory: beside them in a step".into(), mib(memory.working)]);
    table.row(["memory: program, token ids".into(), mib(memory.program)]);
    table.row(["memory in all, at its peak".into(), mib(memory.total)]);
    ui.data(&table.render())?;
    if let Some(ratio) = trial.dropout_ratio {
        ui.note(&dropout_price(loaded.settings.dropout, ratio));
    }
    if !plan.advice.is_empty() {
        let rungs = plan.advice.iter().map(|rung| format!("  {}: {:.0} MiB, {}", rung.set, rung.total_mib, rung.price));
        ui.note(&format!(
            "if that is too much, cheapest first, each on top of those above:\n{}",
            rungs.collect::<Vec<_>>().join("\n")
        ));
    }
    ui.next(&typed_command(std::env::args(), &["--dry-run"]));
    Ok(())
}

/// What dropout costs here, as measured.
fn dropout_price(dropout: f64, ratio: f64) -> String {
    let share = (ratio - 1.0) * 100.0;
    format!(
        "dropout {dropout} makes a step {share:.0} % slower here (DoRA, as PEFT defines it, then multiplies by every frozen \
         weight twice); `--set training.config.dropout=0` saves that"
    )
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The first Ctrl+C asks the run to stop behind its step; the second ends the process at once, which the checkpoints on
/// disk survive.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    };
    match ctrlc::set_handler(handler) {
        // Inside another verb that listens already, that one decides what Ctrl+C means.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(stop),
        Err(error) => Err(error.into()),
    }
}

fn finish(args: &Args, outcome: Outcome, output: &Path, line: &Line, ui: &Ui) -> Result<()> {
    match outcome {
        Outcome::Interrupted { checkpoint } => Err(Problem::new(Exit::Interrupted, "interrupted")
            .detail(format!("the last step is in {}", checkpoint.display()))
            .hint(format!("`{}` goes on with it", resume_command(std::env::args())))
            .into()),
        Outcome::Finished { path, step, early } => {
            if ui.is_json() {
                return ui.json(
                    "expert-cli.train/1",
                    json!({
                        "final": path, "step": step, "steps": line.step, "early_stopped": early,
                        "loss": line.loss, "eval_loss": line.eval_loss, "first_eval_loss": line.first_eval_loss,
                        "metrics": output.join(crate::train::metrics::FILE), "rss_mib": rss_mib(),
                        "report": output.join(crate::train::report::FILE), "peak_rss_mib": peak_rss_mib(),
                    }),
                );
            }
            if early {
                ui.note("nothing got better for a while, so it stopped early");
            }
            ui.note(&format!("curves: {}", output.join(crate::train::report::FILE).display()));
            if path.join("adapter_config.json").is_file() {
                ui.data(&format!("{} holds the adapter of step {step}", path.display()))?;
                let manifest = Some(&args.manifest).filter(|path| path.as_os_str() != "manifest.json");
                let (weights, model) = (flag("--weights", args.output.as_ref()), flag("--model", args.model.as_ref()));
                let base = flag("--base-model", args.base_model.as_ref());
                ui.next(&format!("expert-cli package{}{weights}{model}{base}", flag("--manifest", manifest)));
            } else {
                ui.data(&format!("{} holds the model of step {step}", path.display()))?;
                ui.next(&format!("expert-cli init my-expert{}", flag("--base-model", Some(&path))));
            }
            Ok(())
        }
    }
}

/// What the live line shows.
#[derive(Debug, Default)]
struct Line {
    step: u64,
    loss: Option<f64>,
    /// Exponential mean of the loss, and whether it rose or fell.
    smooth: Option<f64>,
    eval_loss: Option<f64>,
    first_eval_loss: Option<f64>,
}

struct Watcher<'a> {
    ui: &'a Ui,
    bar: Progress,
    line: Line,
}

impl Observer for Watcher<'_> {
    fn step(&mut self, record: &Record, total: u64) {
        let line = &mut self.line;
        line.step = record.step;
        line.loss = record.loss;
        let loss = record.loss.unwrap_or(f64::NAN);
        let before = line.smooth.unwrap_or(loss);
        let after = before * 0.9 + loss * 0.1;
        line.smooth = Some(after);
        let trend = if after < before { "▼" } else { "▲" };
        let validation = line.eval_loss.map_or(String::new(), |loss| format!(" val {loss:.4}"));
        let speed = record.tokens_per_s.map_or(String::new(), |speed| format!(" {speed:.0} tok/s"));
        let memory = record.rss_mib.map_or(String::new(), |mib| format!(" {mib:.0} MiB"));
        let rate = record.learning_rate.unwrap_or(0.0);
        self.bar.update(record.step, &format!("loss {after:.4} {trend}{validation} lr {rate:.2e}{speed}{memory}"));
        if record.step == total {
            self.bar.line(&format!("step {total}: loss {loss:.4}"));
        }
    }

    fn evaluating(&mut self, done: usize, of: usize) {
        self.bar.update(self.line.step, &format!("validation {done}/{of}"));
    }

    fn evaluated(&mut self, record: &Record, best: bool) {
        let loss = record.eval_loss.unwrap_or(f64::NAN);
        let trend = match self.line.eval_loss {
            Some(before) if loss < before => " ▼",
            Some(_) => " ▲",
            None => "",
        };
        self.line.first_eval_loss.get_or_insert(loss);
        self.line.eval_loss = Some(loss);
        let accuracy = record.eval_token_accuracy.unwrap_or(0.0) * 100.0;
        let best = if best { ", the best so far" } else { "" };
        let text = format!("step {}: validation loss {loss:.4}{trend}, {accuracy:.1} % of tokens{best}", record.step);
        self.say(&text);
    }

    fn saved(&mut self, path: &Path) {
        self.say(&format!("saved {}", path.display()));
    }

    fn note(&mut self, text: &str) {
        self.ui.note(text);
    }
}

impl Watcher<'_> {
    fn say(&self, text: &str) {
        if !self.ui.is_json() {
            self.bar.line(text);
        }
    }
}
