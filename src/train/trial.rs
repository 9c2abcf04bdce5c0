//! Three timed steps before a run: what the run will take, and what dropout costs.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::group::Share;
use super::optim::{self, Optimizer};
use super::prefetch::{Prepared, prepare};
use super::settings::{AdapterType, Settings};
use super::student::Student;
use crate::data::batches::Batches;
use crate::data::examples::Examples;
use crate::error::Result;
use crate::model::Noise;

/// Steps that are timed, after one that warms up.
const STEPS: u64 = 3;
/// No further batch is timed after this; a step's time is then that of its tokens. Price: a figure from fewer tokens.
const LONGEST: Duration = Duration::from_secs(60);

/// What was timed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Trial {
    /// Steps that were timed, the last perhaps in part.
    pub steps: u64,
    /// Tokens that were timed.
    pub tokens: usize,
    /// Forward and backward, a token.
    pub seconds_per_token: f64,
    /// Clipping, optimiser and what depends on the values, a step.
    pub seconds_per_update: f64,
    /// The time of a token with the run's dropout over that without, where there is dropout: DoRA as PEFT defines it
    /// multiplies by the frozen weight twice then.
    pub dropout_ratio: Option<f64>,
}

impl Trial {
    /// Seconds that so many tokens in so many steps take.
    pub fn seconds(&self, tokens: u64, steps: u64) -> f64 {
        self.seconds_per_token * tokens as f64 + self.seconds_per_update * steps as f64
    }
}

/// Times the first steps of a run at a learning rate of 0. Nothing is learned and nothing written.
pub(super) fn time(
    student: &mut dyn Student,
    settings: &Settings,
    examples: &Examples,
    batches: &Batches,
) -> Result<Trial> {
    let mut optimizer = Optimizer::new(settings.hyper(), student.params());
    let per_epoch = batches.steps_per_epoch().max(1) as u64;
    let step = |step: u64| {
        let indices = batches.epoch(step / per_epoch).step((step % per_epoch) as usize);
        prepare(examples, batches.shares(), step, indices, Share { rank: 0, of: 1 })
    };
    let begin = Instant::now();
    let first = step(0);
    batch(student, &first, 0)?;
    let (mut trial, mut computing, mut updating) = (Trial::default(), 0.0, 0.0);
    let late = |trial: &Trial| trial.tokens > 0 && begin.elapsed() > LONGEST;
    while trial.steps < STEPS && !late(&trial) {
        let prepared = step(trial.steps);
        student.zero_grad();
        for index in 0..prepared.batches.len() {
            if !late(&trial) {
                computing += batch(student, &prepared, index)?;
                // Tokens of the examples, as the plan counts them, also where a shared prefix is computed once.
                trial.tokens += prepared.indices[index].iter().map(|&i| examples.get(i).ids.len()).sum::<usize>();
            }
        }
        let start = Instant::now();
        let norm = optim::grad_norm(student.params());
        optim::clip(student.params_mut(), norm, settings.max_grad_norm);
        optimizer.step(student.params_mut(), 0.0);
        student.updated()?;
        updating += start.elapsed().as_secs_f64();
        trial.steps += 1;
    }
    trial.seconds_per_token = computing / trial.tokens.max(1) as f64;
    trial.seconds_per_update = updating / trial.steps.max(1) as f64;
    if settings.dropout > 0.0 && settings.adapter_type != AdapterType::Full {
        let (mut with, mut without) = (f64::MAX, f64::MAX);
        // By turns, the best of each: neighbours on the machine slow both.
        for _ in 0..STEPS {
            with = with.min(batch(student, &first, 0)?);
            student.set_dropout(0.0);
            let plain = batch(student, &first, 0);
            student.set_dropout(settings.dropout);
            without = without.min(plain?);
        }
        trial.dropout_ratio = Some(with / without);
    }
    Ok(trial)
}

/// Seconds of one batch, forward and backward.
fn batch(student: &mut dyn Student, prepared: &Prepared, index: usize) -> Result<f64> {
    let Some((batch, targets)) = prepared.batches.get(index) else { return Ok(0.0) };
    let start = Instant::now();
    student.loss_backward(batch, targets, Noise { seed: 0, step: prepared.step })?;
    Ok(start.elapsed().as_secs_f64())
}
