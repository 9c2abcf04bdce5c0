//! Dialects, parsing, the [`Schema`] of a database, checks of a statement against it, and the door to conversion.
//!
//! [`scan`] tells literals, quoted names and comments from code; [`extract`] finds the statement in a model's answer.
//! Everything here works on text and syntax trees: no SQL is ever run. `sqlparser` reads statements; CREATE TABLE text
//! is read by our own tolerant reader, because the DDL of public data sets is rougher than any grammar.

pub mod convert;
mod dialect;
pub mod extract;
mod foreign;
mod hardness;
mod lint;
mod mutate;
mod parse;
pub mod scan;
mod schema;
pub(crate) mod walk;

pub use convert::{Conversion, convert};
pub use dialect::Dialect;
pub use extract::extract_statement;
pub(crate) use foreign::without_comments;
pub use foreign::{foreign_language, parsed_prose};
pub use hardness::{Hardness, hardness};
pub use lint::{Issue, lint, lint_statements};
pub use mutate::{altered, broken, rewritten};
pub use parse::{is_ordered, literals, parse, relations, summary};
pub use schema::{Column, ForeignKey, Name, Samples, Schema, Style, Table};
