//! The locks on a SQLite connection that runs SQL nobody has looked at.
//!
//! Several lie behind each other on purpose: READ_ONLY and `query_only` each stop a write that the authorizer would let
//! through. `mode=ro` alone still allows ATTACH, files from VACUUM INTO and temporary tables, and `PRAGMA
//! query_only=OFF` unlocks itself, so the authorizer's allow-list comes first. The switches exist for the tests, which
//! run the table of attacks with each lock open in turn and expect it to fail; everybody else has [`Locks::ALL`].

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::db::Limits;

/// Which locks are closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locks {
    /// The file is opened for reading.
    read_only: bool,
    /// `PRAGMA query_only`: temporary tables are stopped too.
    query_only: bool,
    /// SQLITE_DBCONFIG_DEFENSIVE: no writable schema, no writing to shadow tables.
    defensive: bool,
    /// SQLITE_DBCONFIG_TRUSTED_SCHEMA off: views of the file may not call functions and tables with side effects.
    untrusted_schema: bool,
    /// Only SELECT, reading columns, functions but `load_extension`, and recursion are prepared.
    authorizer: bool,
    /// Text with more than one statement is refused before the first runs.
    pub one_statement: bool,
    /// A statement that has no columns reads nothing.
    pub has_columns: bool,
    /// SQLITE_LIMIT_*: sizes that a progress handler does not see.
    sizes: bool,
    /// The progress handler.
    deadline: bool,
    /// The number of rows and bytes that are fetched.
    pub result: bool,
}

/// What the authorizer knows of the query, and what it refused.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The statement is prepared: what is prepared from here on are statements of SQLite's own tables.
    running: AtomicBool,
    /// The first refusal, in words.
    refused: Mutex<Option<String>>,
}

impl Gate {
    /// The statement is prepared and begins to run.
    pub fn pass(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// What was refused.
    pub fn refusal(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Virtual machine instructions between two looks at the clock: about 10 µs.
const INSTRUCTIONS: i32 = 1_000;

/// How long to wait for a writer.
const BUSY: Duration = Duration::from_secs(2);

/// SQLITE_LIMIT_* beside the length of a value: `(limit, default, what it keeps away)` is SQLite's table; these are far
/// above any query of Spider or BIRD and far below what makes the planner or the pattern matcher take seconds.
const SIZES: [(Limit, i32); 9] = [
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

impl Locks {
    /// All closed.
    pub const ALL: Self = Self {
        read_only: true,
        query_only: true,
        defensive: true,
        untrusted_schema: true,
        authorizer: true,
        one_statement: true,
        has_columns: true,
        sizes: true,
        deadline: true,
        result: true,
    };

    /// Opens a file that exists.
    pub fn open(self, path: &Path) -> rusqlite::Result<Connection> {
        let mode = match self.read_only {
            true => OpenFlags::SQLITE_OPEN_READ_ONLY,
            false => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        // The bundled SQLite reads `file:…` as a URI with parameters whether it is asked to or not.
        let path = if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() };
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, self.defensive)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, !self.untrusted_schema)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "query_only", self.query_only)?;
        Ok(connection)
    }

    /// Closes what holds for one query: sizes, the allow-list, the deadline.
    pub fn close(self, connection: &mut Connection, limits: &Limits, begun: Instant) -> rusqlite::Result<Arc<Gate>> {
        let gate = Arc::new(Gate::default());
        if self.sizes {
            let length = i32::try_from(limits.value_bytes).unwrap_or(i32::MAX);
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, length)?;
            for (limit, value) in SIZES {
                connection.set_limit(limit, value)?;
            }
        }
        if self.deadline {
            let time = limits.time;
            connection.progress_handler(INSTRUCTIONS, Some(move || begun.elapsed() >= time))?;
        }
        if self.authorizer {
            let own = Arc::clone(&gate);
            connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&context, &own)))?;
        }
        Ok(gate)
    }

    /// The time a query may take, if that is watched.
    pub fn time(self, limits: &Limits) -> Option<Duration> {
        self.deadline.then_some(limits.time)
    }
}

/// Takes the sizes off again; SQLite cuts them to its own upper bounds.
pub(super) fn widen(connection: &Connection) -> rusqlite::Result<()> {
    let limits = SIZES.iter().map(|(limit, _)| *limit).chain([Limit::SQLITE_LIMIT_LENGTH]);
    limits.into_iter().try_for_each(|limit| connection.set_limit(limit, i32::MAX).map(drop))
}

/// The allow-list. `fts3_tokenizer` shows addresses of the process; full-text tables (FTS5) ask for `data_version`, a
/// counter, once they are read.
fn authorize(context: &AuthContext<'_>, gate: &Gate) -> Authorization {
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|name| function_name.eq_ignore_ascii_case(name))
        }
        AuthAction::Pragma { pragma_name, pragma_value: None } => {
            pragma_name == "data_version" && gate.running.load(Ordering::Relaxed)
        }
        _ => false,
    };
    if allowed {
        return Authorization::Allow;
    }
    let mut refused = gate.refused.lock().unwrap_or_else(PoisonError::into_inner);
    refused.get_or_insert_with(|| words(&context.action));
    Authorization::Deny
}

/// A refused action in the words of SQL: `CreateTempTable { … }` is `CREATE TEMP TABLE`.
fn words(action: &AuthAction<'_>) -> String {
    if let AuthAction::Function { function_name } = action {
        return format!("the function {function_name} is not allowed");
    }
    let name = format!("{action:?}");
    let mut words = String::new();
    for c in name.chars().take_while(|c| c.is_ascii_alphanumeric()) {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_uppercase());
    }
    format!("{words} is not a read")
}

#[cfg(test)]
mod tests;
