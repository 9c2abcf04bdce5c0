//! The arithmetic of a run before it starts: steps, tokens, parameters, memory, and what to change where memory is short.

mod advice;
mod available;
mod memory;

pub use advice::Advice;
pub use available::available_mib;
pub use memory::{Memory, Sizes};

use serde::Serialize;

use super::settings::Settings;
use crate::data::batches::Batches;
use crate::data::examples::Counts;
use crate::error::{Problem, Result};

/// What a run will do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Rows of the training file: used, truncated, dropped with their reasons.
    pub rows: Counts,
    /// The same of the validation rows.
    pub validation: Option<Counts>,
    /// Rows that go through the decoder, after packing.
    pub packed_rows: usize,
    /// Optimiser steps of one pass over the data.
    pub steps_per_epoch: usize,
    /// Optimiser steps of the run.
    pub total_steps: u64,
    /// Tokens the run goes through.
    pub total_tokens: u64,
    /// Trainable parameters.
    pub trainable_parameters: usize,
    /// Tokens of the largest batch.
    pub largest_batch: usize,
    /// What it takes, in MiB.
    pub memory: Memory,
    /// How the base's weights are held, where they are quantised.
    pub quantization: Option<Quantised>,
    /// What to change where that is too much, the cheapest change first.
    pub advice: Vec<Advice>,
}

/// A quantised base.
#[derive(Debug, Clone, Serialize)]
pub struct Quantised {
    /// `int8`, `int4` or `nf4`.
    pub quantization: String,
    /// Whether the embedding and the head are quantised too.
    pub embeddings: bool,
    /// Weights that could not be held in this form, and how they are.
    pub held_otherwise: Vec<String>,
}

impl Plan {
    /// The plan of a run.
    pub fn new(settings: &Settings, batches: &Batches, rows: Counts, sizes: &Sizes) -> Self {
        let steps_per_epoch = batches.steps_per_epoch();
        let total_steps = settings.total_steps(steps_per_epoch);
        let epochs = total_steps as f64 / steps_per_epoch as f64;
        let memory = Memory::estimate(settings, sizes, batches.largest_batch());
        Self {
            total_tokens: (epochs * rows.tokens as f64) as u64,
            rows,
            validation: None,
            packed_rows: batches.rows(),
            steps_per_epoch,
            total_steps,
            trainable_parameters: sizes.parameters.iter().sum(),
            largest_batch: batches.largest_batch(),
            advice: advice::ladder(settings, sizes, &memory),
            memory,
            quantization: None,
        }
    }

    /// Refuses what cannot fit into `available` MiB and names the cheapest changes that would make it fit. Mapped weights
    /// do not count: the system drops and reads them again, which is slow, but works.
    pub fn must_fit(&self, available: f64) -> Result<()> {
        let needed = self.memory.needed();
        if needed <= available {
            return Ok(());
        }
        let weights = self.memory.weights;
        let enough = self.advice.iter().position(|rung| rung.total_mib - weights <= available);
        let mut problem = Problem::resource(format!(
            "this run needs about {needed:.0} MiB, {available:.0} MiB are free"
        ))
        .detail(format!("activations {:.0} MiB, trained {:.0} MiB", self.memory.activations, self.memory.trained));
        for rung in &self.advice[..enough.map_or(self.advice.len(), |last| last + 1)] {
            let left = rung.total_mib - weights;
            problem = problem.detail(format!("with {}: {left:.0} MiB ({})", rung.set, rung.price));
        }
        let hint = match self.advice.first() {
            Some(first) if enough.is_some() => {
                let flags: Vec<String> =
                    first.set.split(' ').map(|change| format!("--set training.config.{change}")).collect();
                format!("the cheapest change first: `{}`; --ignore-memory starts anyway", flags.join(" "))
            }
            _ => "no setting makes this model fit; a smaller base model does, and --ignore-memory starts anyway".into(),
        };
        Err(problem.hint(hint).into())
    }
}

#[cfg(test)]
mod tests;
