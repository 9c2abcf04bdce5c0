//! The loop. It reads from top to bottom: `train` goes step by step, `learn` is one optimiser step, `close` what is due
//! behind it, `save` a checkpoint.
//!
//! Where a run stands is [`Progress`]; what is due after a step is a function of the step alone. So a run that was cut
//! anywhere and resumed takes the same steps with the same numbers as one that was not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value;

use super::checkpoint::{self, Best, Progress};
use super::evaluate::{accuracy, evaluate};
use super::folder::RunFolder;
use super::group::{self, Group, Share};
use super::metrics::{Metrics, Record, rss_mib};
use super::observer::Observer;
use super::optim::{self, Optimizer};
use super::prefetch::{Prefetch, Prepared};
use super::report;
use super::schedule::Schedule;
use super::settings::{Metric, Settings, Strategy};
use super::student::Student;
use crate::data::batches::Batches;
use crate::data::examples::Examples;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::{LossSum, Noise};

/// Validation rows are evaluated before the first step, so that curves begin at the base model, where they hold at most
/// this share of the run's training tokens. Price: below one hundredth of the run's time, since an evaluation is a
/// forward pass only.
const BASELINE_SHARE: f64 = 0.02;

/// Rows that are named in an error about a step.
const NAMED_ROWS: usize = 8;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done, or nothing got better for long enough.
    Finished {
        /// Where `final` is.
        path: PathBuf,
        /// The step whose adapter `final` holds.
        step: u64,
        /// Whether early stopping ended it.
        early: bool,
    },
    /// Asked to stop: the step was finished and saved.
    Interrupted {
        /// The checkpoint to go on from.
        checkpoint: PathBuf,
    },
}

/// Everything a run consists of.
pub struct Run<'a> {
    /// What is trained.
    pub student: &'a mut dyn Student,
    /// Its optimiser.
    pub optimizer: Optimizer,
    /// Rows to learn from.
    pub examples: &'a Examples,
    /// Their order.
    pub batches: &'a Batches,
    /// Rows to evaluate on.
    pub validation: Option<&'a Examples>,
    /// The settings.
    pub settings: &'a Settings,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// Where everything is written.
    pub folder: &'a RunFolder,
    /// What is saved beside every checkpoint.
    pub training_args: &'a Value,
    /// Where the run stands.
    pub progress: Progress,
    /// Who watches.
    pub observer: &'a mut dyn Observer,
    /// The processes that train together; this is one of them.
    pub group: &'a dyn Group,
    /// Set from outside (Ctrl+C): finish the step, save, stop.
    pub stop: &'a AtomicBool,
    /// The step of the last checkpoint that this process wrote.
    pub saved: Option<u64>,
}

/// What one optimiser step measured.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    loss: LossSum,
    tokens: usize,
}

impl Run<'_> {
    /// Trains to the end, to an early stop or until asked to stop.
    pub fn train(self) -> Result<Outcome> {
        let (examples, batches, share) = (self.examples, self.batches, Share::of(self.group));
        let steps = self.progress.step..self.progress.total_steps;
        std::thread::scope(|scope| self.walk(&Prefetch::start(scope, examples, batches, steps, share)))
    }

    fn walk(mut self, prefetch: &Prefetch) -> Result<Outcome> {
        let metrics = self.folder.metrics(self.progress.step)?;
        let mut clock = Clock::default();
        if self.progress.step == 0 {
            self.baseline(&metrics)?;
        }
        loop {
            if !self.progress.closed && !self.close(&metrics, &mut clock)? {
                return self.interrupted();
            }
            if self.progress.step >= self.progress.total_steps || self.stopped_early() {
                return self.finish();
            }
            if asked_to_stop(self.group, self.stop)()? {
                return self.interrupted();
            }
            let learned = self.guarded(&prefetch.take(self.progress.step)?)?;
            clock.tokens += learned.tokens;
            let record = Record { loss: Some(learned.loss.mean()), ..self.record(&clock) };
            self.observer.step(&record, self.progress.total_steps);
            fsx::failpoint("train.step");
        }
    }

    /// [`Run::learn`], where a panic costs no finished step: the run is saved as it stood and the panic becomes an error.
    fn guarded(&mut self, prepared: &Prepared) -> Result<Learned> {
        let step = self.progress.step;
        let mut updating = false;
        match catch_unwind(AssertUnwindSafe(|| self.learn(prepared, &mut updating))) {
            Ok(result) => result,
            Err(_) if updating => Err(self.lost(step, "the optimiser failed in the middle of its update")),
            Err(_) => {
                let path = self.save()?;
                Err(Problem::failed(format!("an internal error stopped the training in step {}", step + 1))
                    .detail(format!("what was learned before it is in {}", path.display()))
                    .hint("`expert-cli train --resume` goes on; please report the message above")
                    .into())
            }
        }
    }

    /// One optimiser step: the gradient of the mean loss over all targets of all its batches, clipped, applied.
    fn learn(&mut self, prepared: &Prepared, updating: &mut bool) -> Result<Learned> {
        let step = self.progress.step;
        let per_epoch = self.batches.steps_per_epoch() as u64;
        let noise = Noise { seed: self.settings.seed, step };
        let mut learned = Learned::default();
        self.student.zero_grad();
        for (batch, targets) in &prepared.batches {
            learned.tokens += batch.len();
            learned.loss.add(self.student.loss_backward(batch, targets, noise)?);
        }
        let (loss, tokens) = group::sum_loss(self.group, learned.loss, learned.tokens)?;
        learned = Learned { loss, tokens };
        let what = match learned.loss {
            LossSum { targets: 0, .. } => Some("there is no target"),
            LossSum { nll, .. } if !nll.is_finite() => Some("the loss is not a number"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(self.lost_on(step, what, &prepared.indices));
        }
        let params = self.student.params_mut();
        group::sum_grads(self.group, params)?;
        optim::scale_grads(params, 1.0 / learned.loss.targets as f32);
        let norm = optim::grad_norm(params);
        if !norm.is_finite() {
            return Err(self.lost_on(step, "the gradient is not a number", &prepared.indices));
        }
        let params = self.student.params_mut();
        optim::clip(params, norm, self.settings.max_grad_norm);
        *updating = true;
        self.optimizer.step(params, self.schedule.rate(step));
        self.progress.grad_norm = norm;
        self.progress.step += 1;
        self.progress.epoch = self.progress.step as f64 / per_epoch as f64;
        self.progress.closed = false;
        self.progress.target_tokens += learned.loss.targets as u64;
        self.progress.window_nll += learned.loss.nll;
        self.progress.window_targets += learned.loss.targets as u64;
        *updating = false;
        self.student.updated()?;
        Ok(learned)
    }

    /// What is due behind a step: evaluation, a line of metrics, a checkpoint. False if asked to stop meanwhile.
    fn close(&mut self, metrics: &Metrics, clock: &mut Clock) -> Result<bool> {
        let due = self.due(self.progress.step);
        let mut record = self.record(clock);
        let mut better = false;
        if due.evaluate && !self.evaluate(&mut record, &mut better)? {
            return Ok(false);
        }
        if due.log || due.evaluate {
            record.loss = Some(self.progress.window_nll / self.progress.window_targets as f64);
            metrics.append(&record)?;
            self.progress.window_nll = 0.0;
            self.progress.window_targets = 0;
            *clock = Clock::default();
        }
        self.progress.closed = true;
        if due.save || better || (self.stopped_early() && self.settings.save_strategy != Strategy::No) {
            self.save()?;
        }
        Ok(true)
    }

    /// Evaluates; false if asked to stop before the end. An evaluation that is not a number is never the best.
    fn evaluate(&mut self, record: &mut Record, better: &mut bool) -> Result<bool> {
        let Some(validation) = self.validation else { return Ok(true) };
        let rows = self.settings.eval_batch_size.unwrap_or(self.settings.batch_size);
        let stop = asked_to_stop(self.group, self.stop);
        let Some(sum) = evaluate(&*self.student, validation, rows, self.group, self.observer, &stop)? else {
            return Ok(false);
        };
        record.eval_loss = Some(sum.mean());
        record.eval_token_accuracy = Some(accuracy(&sum));
        let value = match self.settings.metric_for_best_model {
            Metric::Loss => sum.mean(),
            Metric::TokenAccuracy => accuracy(&sum),
        };
        let gain = |best: f64| if self.settings.higher_is_better() { value - best } else { best - value };
        let best = self.progress.best;
        let improved = value.is_finite() && best.is_none_or(|best| gain(best.value) > 0.0);
        let enough = best.is_none_or(|best| gain(best.value) > self.settings.early_stopping_threshold);
        self.progress.stale_evaluations = if improved && enough { 0 } else { self.progress.stale_evaluations + 1 };
        if improved {
            self.progress.best = Some(Best { step: self.progress.step, value });
            *better = self.settings.keeps_best(true);
        }
        self.observer.evaluated(record, improved);
        Ok(true)
    }

    /// The base model's own validation loss, where it is cheap to know. It is no candidate for the best checkpoint.
    fn baseline(&mut self, metrics: &Metrics) -> Result<()> {
        self.progress.closed = true;
        let Some(validation) = self.validation else { return Ok(()) };
        let epochs = self.progress.total_steps as f64 / self.batches.steps_per_epoch() as f64;
        let trained = epochs * self.examples.counts.tokens as f64;
        if validation.counts.tokens as f64 > BASELINE_SHARE * trained {
            return Ok(());
        }
        let rows = self.settings.eval_batch_size.unwrap_or(self.settings.batch_size);
        let stop = asked_to_stop(self.group, self.stop);
        if let Some(sum) = evaluate(&*self.student, validation, rows, self.group, self.observer, &stop)? {
            let record = Record {
                eval_loss: Some(sum.mean()),
                eval_token_accuracy: Some(accuracy(&sum)),
                rss_mib: rss_mib(),
                ..Record::default()
            };
            self.observer.evaluated(&record, false);
            metrics.append(&record)?;
        }
        Ok(())
    }

    /// Writes the checkpoint of the last finished step, then lets old ones go.
    fn save(&mut self) -> Result<PathBuf> {
        group::same_values(self.group, self.student.params())?;
        let path = self.folder.save(&*self.student, &self.optimizer, self.progress.clone(), self.training_args)?;
        let best = if self.keeps_best() { self.progress.best.map(|best| best.step) } else { None };
        self.folder.keep(self.progress.step, best, self.settings.save_total_limit)?;
        self.saved = Some(self.progress.step);
        self.report();
        self.observer.saved(&path);
        Ok(path)
    }

    /// Draws the curves so far. A page that cannot be written costs no checkpoint.
    fn report(&mut self) {
        if let Err(error) = self.folder.report() {
            self.observer.note(&format!("no {}: {error:#}", report::FILE));
        }
    }

    fn interrupted(&mut self) -> Result<Outcome> {
        Ok(Outcome::Interrupted { checkpoint: self.save()? })
    }

    /// `final` is the best checkpoint if asked for and there is one, else the last state.
    fn finish(&mut self) -> Result<Outcome> {
        let best = self.progress.best.filter(|_| self.keeps_best()).map(|best| best.step);
        let from = match best {
            Some(step) => checkpoint::folder(self.folder.path(), step),
            None if self.saved == Some(self.progress.step) => {
                checkpoint::folder(self.folder.path(), self.progress.step)
            }
            None => self.save()?,
        };
        self.report();
        let path = self.folder.publish(&*self.student, &from, self.training_args)?;
        let early = self.progress.step < self.progress.total_steps;
        Ok(Outcome::Finished { path, step: best.unwrap_or(self.progress.step), early })
    }

    fn keeps_best(&self) -> bool {
        self.settings.keeps_best(self.validation.is_some())
    }

    fn stopped_early(&self) -> bool {
        let patience = self.settings.early_stopping_patience;
        patience.is_some_and(|patience| self.progress.stale_evaluations >= patience)
    }

    fn due(&self, step: u64) -> Due {
        let settings = self.settings;
        let last = step == self.progress.total_steps;
        let epoch_end = step.is_multiple_of(self.batches.steps_per_epoch() as u64);
        let at = |strategy: Strategy, interval: u64| match strategy {
            Strategy::No => false,
            Strategy::Steps => last || step.is_multiple_of(interval),
            Strategy::Epoch => last || epoch_end,
        };
        Due {
            evaluate: at(settings.evaluation(self.validation.is_some()), settings.evaluation_interval()),
            log: last || step == 1 || step.is_multiple_of(settings.logging_steps),
            save: at(settings.save_strategy, settings.save_steps),
        }
    }

    fn record(&self, clock: &Clock) -> Record {
        Record {
            step: self.progress.step,
            epoch: self.progress.epoch,
            learning_rate: Some(self.schedule.rate(self.progress.step.saturating_sub(1))),
            grad_norm: Some(self.progress.grad_norm),
            tokens_per_s: clock.rate(),
            target_tokens: self.progress.target_tokens,
            rss_mib: rss_mib(),
            ..Record::default()
        }
    }

    /// The error of a step that must not be applied, with the rows it was made of.
    fn lost_on(&self, step: u64, what: &str, batches: &[Vec<usize>]) -> anyhow::Error {
        let rows: Vec<usize> = batches.iter().flatten().copied().collect();
        let mut named: Vec<String> = rows.iter().take(NAMED_ROWS).map(|&row| self.examples.origin(row)).collect();
        if rows.len() > NAMED_ROWS {
            named.push(format!("and {} more", rows.len() - NAMED_ROWS));
        }
        self.lost(step, &format!("{what}, rows {}", named.join(", ")))
    }

    fn lost(&self, step: u64, what: &str) -> anyhow::Error {
        let kept = match self.folder.checkpoints().unwrap_or_default().iter().rfind(|(found, _)| *found <= step) {
            Some((_, path)) => format!("the last good checkpoint is {}", path.display()),
            None => "no checkpoint had been saved".to_owned(),
        };
        Problem::failed(format!("training stopped at step {}: {what}", step + 1))
            .detail(kept)
            .hint("look at these rows; a lower `--set training.config.learning_rate=…` or a longer warm-up often helps")
            .into()
    }
}

/// Asks whether any process was told to stop: they stop together, behind the same step.
fn asked_to_stop<'a>(group: &'a dyn Group, stop: &'a AtomicBool) -> impl Fn() -> Result<bool> + 'a {
    || group::any(group, stop.load(Ordering::SeqCst))
}

/// What is due behind a step.
struct Due {
    evaluate: bool,
    log: bool,
    save: bool,
}

/// Tokens since the last line of metrics.
struct Clock {
    since: Instant,
    tokens: usize,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: Instant::now(), tokens: 0 }
    }
}

impl Clock {
    fn rate(&self) -> Option<f64> {
        let seconds = self.since.elapsed().as_secs_f64();
        (self.tokens > 0 && seconds > 0.0).then(|| (self.tokens as f64 / seconds * 10.0).round() / 10.0)
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("progress", &self.progress).finish_non_exhaustive()
    }
}
