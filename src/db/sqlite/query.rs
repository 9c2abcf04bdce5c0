//! One guarded read of a SQLite connection.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, Error, ErrorCode, Statement};

use super::locks::{Gate, Locks};
use super::missing;
use crate::db::{Limits, QueryError, Rows, Value};
use crate::error::Problem;

/// How long a query may overrun its deadline before it is left behind: a single instruction (`instr` or LIKE over two
/// large texts) cannot be stopped, only abandoned.
const GRACE: Duration = Duration::from_millis(300);

/// Runs one statement that reads on a connection of its own, which no other query can have prepared anything on.
pub(super) fn read(path: &Path, sql: &str, limits: &Limits, locks: Locks) -> Result<Rows, QueryError> {
    if !path.is_file() {
        return Err(QueryError::Unavailable(missing(path)));
    }
    let begun = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let (own_path, own_sql, own_limits) = (path.to_owned(), sql.to_owned(), *limits);
    let work = move || {
        // Nobody listens any more when the deadline is long past.
        let _ = sender.send(open_and_run(&own_path, &own_sql, &own_limits, locks, begun));
    };
    let started = std::thread::Builder::new().name("query".into()).spawn(work);
    started.map_err(|error| QueryError::Unavailable(Problem::resource(format!("no thread for a query: {error}"))))?;
    let received = match locks.time(limits) {
        Some(time) => receiver.recv_timeout(time + GRACE).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => QueryError::TimedOut(time),
            mpsc::RecvTimeoutError::Disconnected => gone(),
        }),
        None => receiver.recv().map_err(|_| gone()),
    };
    received?
}

fn gone() -> QueryError {
    QueryError::Failed("SQLite stopped without an answer".into())
}

fn open_and_run(path: &Path, sql: &str, limits: &Limits, locks: Locks, begun: Instant) -> Result<Rows, QueryError> {
    let mut connection = locks.open(path).map_err(|error| {
        QueryError::Unavailable(
            Problem::input(format!("cannot open {} as a SQLite database", path.display())).detail(message(&error)),
        )
    })?;
    let gate = locks.close(&mut connection, limits, begun).map_err(|error| failure(&error, None, limits))?;
    run(&connection, sql, limits, locks, &gate, begun)
}

/// Runs one statement that reads on a connection whose locks are closed.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    limits: &Limits,
    locks: Locks,
    gate: &Gate,
    begun: Instant,
) -> Result<Rows, QueryError> {
    let fail = |error: Error| failure(&error, Some(gate), limits);
    let mut statement = prepare(connection, sql, locks).map_err(|refusal| refusal.unwrap_or_else(fail))?;
    gate.pass();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if columns.is_empty() && locks.has_columns {
        return Err(QueryError::Refused("the statement gives no columns".into()));
    }
    let mut result = Rows { columns, ..Rows::default() };
    let mut bytes = 0;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let cells = (0..result.columns.len()).map(|at| row.get_ref(at).map(value));
        let cells = cells.collect::<rusqlite::Result<Vec<Value>>>().map_err(fail)?;
        bytes += cells.iter().map(Value::size).sum::<usize>();
        if locks.result && (result.rows.len() == limits.rows || bytes > limits.result_bytes) {
            result.truncated = true;
            break;
        }
        result.rows.push(cells);
    }
    result.elapsed = begun.elapsed();
    Ok(result)
}

/// The only statement in the text.
fn prepare<'c>(connection: &'c Connection, sql: &str, locks: Locks) -> Result<Statement<'c>, RefusalOr<Error>> {
    use rusqlite::fallible_iterator::FallibleIterator as _;
    // SQLite stops reading at a NUL: what stands behind it would be hidden from the checks.
    if sql.contains('\0') {
        return Err(RefusalOr::Refusal("the text contains a NUL character".into()));
    }
    let mut batch = Batch::new(connection, sql);
    let statement = batch.next().map_err(RefusalOr::Other)?;
    let statement = statement.ok_or_else(|| RefusalOr::Refusal("there is no statement".into()))?;
    if locks.one_statement && !matches!(batch.next(), Ok(None)) {
        return Err(RefusalOr::Refusal("there is more than one statement".into()));
    }
    Ok(statement)
}

/// A refusal of ours, or an error that is still to be named.
enum RefusalOr<E> {
    Refusal(String),
    Other(E),
}

impl<E> RefusalOr<E> {
    fn unwrap_or_else(self, name: impl FnOnce(E) -> QueryError) -> QueryError {
        match self {
            Self::Refusal(reason) => QueryError::Refused(reason),
            Self::Other(error) => name(error),
        }
    }
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    }
}

/// The failure that an error of SQLite means.
pub(super) fn failure(error: &Error, gate: Option<&Gate>, limits: &Limits) -> QueryError {
    // A function that is refused is an error like any other to SQLite.
    if let Some(reason) = gate.and_then(Gate::refusal) {
        return QueryError::Refused(reason);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => QueryError::TimedOut(limits.time),
        Some(ErrorCode::TooBig) => {
            QueryError::TooLarge(format!("a value or the statement is larger than {} bytes", limits.value_bytes))
        }
        Some(ErrorCode::ReadOnly) => QueryError::Refused("the statement writes".into()),
        Some(ErrorCode::AuthorizationForStatementDenied) => QueryError::Refused(message(error)),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            QueryError::Unavailable(Problem::failed("the database is locked by a writer").hint("try again"))
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            QueryError::Unavailable(Problem::input("the file is no sound SQLite database").detail(message(error)))
        }
        _ => QueryError::Failed(message(error)),
    }
}

/// SQLite's own words, without the statement repeated.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}
