//! The loop, optimiser, schedule, settings, checkpoints and resume. No printing, no reading of argv or environment.

pub mod checkpoint;
pub mod evaluate;
pub mod folder;
pub mod group;
pub mod job;
pub mod metrics;
pub mod model_folder;
pub mod moments;
pub mod observer;
pub mod optim;
pub mod plan;
mod prefetch;
pub mod report;
mod resume;
mod rows;
pub mod run;
pub mod schedule;
pub mod settings;
mod start;
pub mod student;
pub mod trial;
mod vocabulary;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
