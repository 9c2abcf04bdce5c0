//! PostgreSQL, by our own small client of its protocol: one statement in a READ ONLY transaction that is rolled back.
//!
//! Why not a library: the usual one brings an asynchronous runtime and 30 crates, gives cells in a binary form per type
//! where we show text, and has no bound for the size of a message. What this client does not do is encryption.

mod address;
mod login;
mod own;
mod schema;
mod session;
mod temporary;
mod wire;

use std::time::Duration;

pub use address::{Address, Host};
pub use own::OwnSchema;
pub use schema::read_schema;
pub use temporary::Temporary;

use super::{Limits, QueryError, Rows};
use crate::sql::Dialect;
use crate::sql::scan::{Quoting, Region, Scanner};
use session::{Bounds, Session};

/// Time to connect and log in.
const CONNECT: Duration = Duration::from_secs(10);

/// How much longer than the server's own timeout we wait for it to say so.
const GRACE: Duration = Duration::from_millis(500);

/// Functions that reach past a READ ONLY transaction where the role may call them: files of the server, other sessions,
/// settings (`set_config('role', …)`), its log and its replication, and text that is run as SQL of its own.
const DENIED: [&str; 18] = [
    "set_config",
    "lo_export",
    "lo_import",
    "pg_read_",
    "pg_ls_",
    "pg_stat_file",
    "pg_file_",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_",
    "pg_promote",
    "pg_logical_",
    "pg_replication_",
    "pg_create_",
    "pg_advisory_",
    "dblink",
    "query_to_xml",
];

/// Which locks are closed. The switches exist for the tests; everybody else has [`Locks::ALL`].
#[derive(Debug, Clone, Copy)]
struct Locks {
    /// `BEGIN … READ ONLY`.
    read_only: bool,
    /// `statement_timeout`, and our own deadline behind it.
    timeout: bool,
    /// [`DENIED`].
    functions: bool,
    /// A statement without columns is not run.
    columns: bool,
    /// ROLLBACK at the end, not COMMIT.
    rolled_back: bool,
    /// Rows and bytes.
    result: bool,
}

impl Locks {
    const ALL: Self =
        Self { read_only: true, timeout: true, functions: true, columns: true, rolled_back: true, result: true };
}

/// Runs one statement that reads.
pub fn read(address: &Address, sql: &str, limits: &Limits) -> Result<Rows, QueryError> {
    guarded(address, sql, limits, Locks::ALL)
}

fn guarded(address: &Address, sql: &str, limits: &Limits, locks: Locks) -> Result<Rows, QueryError> {
    if locks.functions
        && let Some(name) = denied_function(sql)
    {
        return Err(QueryError::Refused(format!("the function {name} is not allowed")));
    }
    let mut session = Session::open(address, CONNECT, limits)?;
    begin(&mut session, limits, locks)?;
    let bounds = Bounds {
        rows: if locks.result { limits.rows } else { 0 },
        bytes: if locks.result { limits.result_bytes } else { usize::MAX },
        columns_needed: locks.columns,
    };
    let rows = session.query(sql, bounds);
    let end = session.run(if locks.rolled_back { "ROLLBACK" } else { "COMMIT" });
    // A statement that timed out leaves a session that may still be busy: the rollback is the server's own then.
    let rows = rows?;
    end?;
    Ok(rows)
}

/// Begins the transaction that everything happens in.
fn begin(session: &mut Session, limits: &Limits, locks: Locks) -> Result<(), QueryError> {
    let mode = if locks.read_only { "READ ONLY" } else { "READ WRITE" };
    session.run(&format!("BEGIN TRANSACTION {mode}"))?;
    if locks.timeout {
        let milliseconds = limits.time.as_millis().max(1);
        session.run(&format!(
            "SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}; \
             SET LOCAL idle_in_transaction_session_timeout = 60000"
        ))?;
        session.allow(limits.time + GRACE, limits.time);
    } else {
        session.allow(Duration::from_secs(60), limits.time);
    }
    Ok(())
}

/// The first word outside literals and comments that is one of [`DENIED`] or begins with it.
fn denied_function(sql: &str) -> Option<String> {
    // Names with escapes (U&"\0073et_config") could be anything.
    if sql.to_ascii_lowercase().contains("u&\"") {
        return Some("U&\"…\"".into());
    }
    let mut scanner = Scanner::new(Quoting::of(Dialect::Postgres));
    let mut words = String::with_capacity(sql.len());
    for c in sql.chars() {
        let mut buffer = [0; 4];
        c.encode_utf8(&mut buffer).bytes().for_each(|byte| scanner.push(byte));
        let seen = matches!(scanner.region(), Region::Code | Region::QuotedName);
        words.push(if seen && (c.is_alphanumeric() || c == '_') { c.to_ascii_lowercase() } else { ' ' });
    }
    let found = words.split(' ').find(|word| DENIED.iter().any(|denied| word.starts_with(denied)))?;
    Some(found.to_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
