//! The loop, optimiser, schedule, settings, checkpoints and resume. No printing, no reading of argv or environment.

pub mod checkpoint;
pub mod evaluate;
pub mod folder;
pub mod job;
pub mod metrics;
pub mod observer;
pub mod optim;
pub mod plan;
mod rows;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod student;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
