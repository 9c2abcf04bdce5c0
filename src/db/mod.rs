//! Databases: where one is ([`Source`], the `--db` flag of every verb), what is in it, and reading it with SQL that nobody
//! has looked at. The only room that runs SQL.
//!
//! [`Source::query`] runs one statement that reads, behind locks and within [`Limits`]; a user's database is opened for
//! reading only and no file is created. [`sqlite::Scratch`] is a database of our own in memory that may be changed.
//! [`same_rows`] tells whether two results are the same.

mod check;
mod compare;
mod config;
mod limits;
pub mod postgres;
mod source;
pub mod sqlite;
mod value;

pub use check::Checks;
pub use compare::{Order, TOLERANCE, same_rows, same_value};
pub use limits::{Limits, QueryError};
pub use source::Source;
pub use value::{Rows, Value};
