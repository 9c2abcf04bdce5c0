//! Databases: where one is ([`Source`], the `--db` flag of every verb) and what is in it. The only room that runs SQL;
//! it opens for reading only and never creates a file.

mod source;
pub mod sqlite;

pub use source::Source;
