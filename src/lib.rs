//! expert-cli: make, ship and run small text-to-SQL experts.
//!
//! The rooms and the floors they stand on are drawn in `docs/ARCHITECTURE.md`; imports go down only, which
//! `tests/it/architecture.rs` checks. Three files to read first: `cli/mod.rs` (what can be asked), `model/decoder.rs`
//! (the forward and backward pass), `train/run.rs` (the loop).

pub mod error;
pub mod fsx;
pub mod page;

pub mod kernels;
pub mod manifest;
pub mod sql;

pub mod db;
pub mod grammar;
pub mod model;

pub mod adapter;
pub mod data;
pub mod package;

pub mod eval;
pub mod generate;
pub mod registry;
pub mod synth;

pub mod train;

pub mod cli;
