//! The text of a grammar: reading it, checking it, and saying where it is wrong.

pub mod check;
pub mod error;
pub mod read;
pub mod syntax;
