//! SQLite: files of the user's, read and never written, and databases of our own in memory.

mod locks;
mod query;
mod schema;
mod scratch;
mod temporary;

use std::path::Path;

pub use schema::read_schema;
pub use scratch::Scratch;
pub use temporary::Temporary;

use super::{Limits, QueryError, Rows};
use crate::error::Problem;
use locks::Locks;

/// Runs one statement that reads. The file is opened for reading, only SELECT is prepared, and the limits hold; nothing
/// is written or created beside SQLite's own `-shm` file of a database in WAL mode.
pub fn read(path: &Path, sql: &str, limits: &Limits) -> Result<Rows, QueryError> {
    query::read(path, sql, limits, Locks::ALL)
}

/// A file that is not there.
fn missing(path: &Path) -> Problem {
    Problem::input(format!("there is no database file {}", path.display())).hint("check the path behind --db sqlite:")
}
