//! The one integration-test binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and makes damaged files on purpose"
)]

mod alternatives;
mod architecture;
mod assemble;
mod bench;
mod chain;
mod chat;
mod command_line;
mod conversion_spider;
mod convert;
mod damage;
mod eval;
mod execution;
mod full;
mod golden;
mod grammar;
mod guard;
mod hostile;
mod manifest;
mod package;
mod postgres;
mod preprocess;
mod quantised;
mod readme;
mod registry;
mod synthesize;
mod teaching;
mod tiny;
mod train;
mod world;
