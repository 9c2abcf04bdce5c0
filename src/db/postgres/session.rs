//! A session with a server: statements in, rows out.
//!
//! Queries go through the extended protocol: it takes exactly one statement, tells the columns before anything runs, and
//! stops after as many rows as were asked for. Results come as text, so every type has a form.

use std::time::{Duration, Instant};

use super::address::Address;
use super::login::login;
use super::wire::{Message, Wire, garbled};
use crate::db::{Limits, QueryError, Rows, Value};
use crate::error::Problem;

/// A connection that has been let in.
pub(super) struct Session {
    wire: Wire,
}

/// An error of the server.
pub(super) struct ServerError {
    /// SQLSTATE.
    pub code: String,
    /// Message and hint.
    pub message: String,
}

/// What a query may give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most rows; 0: all.
    pub rows: usize,
    /// Most bytes of all cells.
    pub bytes: usize,
    /// Whether a statement that has no columns is refused before it runs.
    pub columns_needed: bool,
}

impl Session {
    /// Connects and logs in; everything up to there has `time`.
    pub fn open(address: &Address, time: Duration, limits: &Limits) -> Result<Self, QueryError> {
        let mut wire = Wire::open(address, time, limits.result_bytes.max(1 << 16))?;
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        for (name, value) in [
            ("user", address.user.as_str()),
            ("database", address.database.as_str()),
            ("application_name", "expert-cli"),
            ("client_encoding", "UTF8"),
        ] {
            start.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        if let Some(namespace) = &address.namespace {
            let path = format!("\"{}\"", namespace.replace('"', "\"\""));
            for (name, value) in [("search_path", path.as_str()), ("TimeZone", "UTC")] {
                start.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
            }
        }
        start.push(0);
        wire.send(0, &start)?;
        login(&mut wire, address)?;
        let mut session = Self { wire };
        match session.until_ready(|_| Ok(())) {
            Ok(()) => Ok(session),
            Err(QueryError::Failed(reason)) => {
                let problem = Problem::failed(format!("{address} does not let us in")).detail(reason);
                Err(QueryError::Unavailable(problem.hint("check the database's name in --db")))
            }
            Err(other) => Err(other),
        }
    }

    /// Gives the next statements this much time, counted from now.
    pub fn allow(&mut self, time: Duration, shown: Duration) {
        self.wire.deadline = Instant::now() + time;
        self.wire.time = shown;
    }

    /// Runs statements of our own whose rows do not matter.
    pub fn run(&mut self, sql: &str) -> Result<(), QueryError> {
        self.wire.send(b'Q', &[sql.as_bytes(), b"\0"].concat())?;
        self.until_ready(|_| Ok(()))
    }

    /// Has one statement parsed, its names and types resolved; nothing runs.
    pub fn prepare(&mut self, sql: &str) -> Result<(), QueryError> {
        if sql.contains('\0') {
            return Err(QueryError::Refused("the text contains a NUL character".into()));
        }
        self.wire.send(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat())?;
        self.wire.send(b'S', b"")?;
        self.until_ready(|_| Ok(()))
    }

    /// Runs one statement.
    pub fn query(&mut self, sql: &str, bounds: Bounds) -> Result<Rows, QueryError> {
        let begun = Instant::now();
        if sql.contains('\0') {
            return Err(QueryError::Refused("the text contains a NUL character".into()));
        }
        // Parse without a name and without parameter types, then ask for its columns.
        self.wire.send(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat())?;
        self.wire.send(b'D', b"S\0")?;
        self.wire.send(b'S', b"")?;
        let mut columns: Vec<(String, i32)> = Vec::new();
        self.until_ready(|message| {
            if message.kind == b'T' {
                columns = row_description(message)?;
            }
            Ok(())
        })?;
        if columns.is_empty() && bounds.columns_needed {
            return Err(QueryError::Refused("the statement gives no columns".into()));
        }
        // Bind without parameters, all columns as text; one row more than wanted tells whether there are more.
        let most = u32::try_from(bounds.rows).map_or(0, |rows| if rows == 0 { 0 } else { rows.saturating_add(1) });
        self.wire.send(b'B', &[0; 8])?;
        self.wire.send(b'E', &[b"\0".as_slice(), &most.to_be_bytes()].concat())?;
        self.wire.send(b'S', b"")?;
        let mut rows: Vec<Vec<Value>> = Vec::new();
        let (mut bytes, mut truncated) = (0, false);
        self.until_ready(|message| {
            match message.kind {
                b'D' if truncated => {}
                b'D' if bounds.rows > 0 && rows.len() == bounds.rows => truncated = true,
                b'D' => {
                    let row = data_row(message, &columns)?;
                    bytes += row.iter().map(Value::size).sum::<usize>();
                    if bytes > bounds.bytes {
                        truncated = true;
                    } else {
                        rows.push(row);
                    }
                }
                // COPY would wait for data from us.
                b'G' | b'H' | b'W' => return Err(QueryError::Refused("COPY is not a read".into())),
                _ => {}
            }
            Ok(())
        })?;
        let columns = columns.into_iter().map(|(name, _)| name).collect();
        Ok(Rows { columns, rows, truncated, elapsed: begun.elapsed() })
    }

    /// Hands every message to `take` until the server waits for the next statement; then its error, if it sent one.
    fn until_ready(&mut self, mut take: impl FnMut(&mut Message) -> Result<(), QueryError>) -> Result<(), QueryError> {
        let mut failed = None;
        loop {
            let mut message = match self.wire.receive() {
                Ok(message) => message,
                // After a fatal error the server says no more.
                Err(lost) => return Err(failed.unwrap_or(lost)),
            };
            match message.kind {
                b'Z' => return failed.map_or(Ok(()), Err),
                b'E' => {
                    let error = server_error(&mut message);
                    failed.get_or_insert_with(|| self.named(error));
                }
                _ => take(&mut message)?,
            }
        }
    }

    /// What an error of the server means.
    fn named(&self, error: ServerError) -> QueryError {
        match error.code.as_str() {
            // query_canceled, lock_not_available
            "57014" | "55P03" => QueryError::TimedOut(self.wire.time),
            // read_only_sql_transaction
            "25006" => QueryError::Refused(error.message),
            // What the extended protocol says to a second statement.
            "42601" if error.message.starts_with("cannot insert multiple commands") => {
                QueryError::Refused("there is more than one statement".into())
            }
            // admin_shutdown, crash_shutdown, cannot_connect_now
            "57P01" | "57P02" | "57P03" => QueryError::Unavailable(Problem::failed(error.message)),
            _ => QueryError::Failed(error.message),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A polite end; a server that is gone does not need it.
        self.wire.deadline = Instant::now() + Duration::from_millis(100);
        let _ = self.wire.send(b'X', b"");
    }
}

/// Names and types of the columns.
fn row_description(message: &mut Message) -> Result<Vec<(String, i32)>, QueryError> {
    let count = message.int16()?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let name = message.text()?;
        message.bytes(6)?; // the table and the column's number in it
        let data_type = message.int32()?;
        message.bytes(8)?; // length, modifier, format
        columns.push((name, data_type));
    }
    Ok(columns)
}

fn data_row(message: &mut Message, columns: &[(String, i32)]) -> Result<Vec<Value>, QueryError> {
    let count = message.int16()?;
    if count != columns.len() {
        return Err(garbled());
    }
    let mut row = Vec::with_capacity(count);
    for (_, data_type) in columns {
        let length = message.int32()?;
        row.push(match usize::try_from(length) {
            Ok(length) => value(String::from_utf8_lossy(message.bytes(length)?).into_owned(), *data_type),
            Err(_) => Value::Null,
        });
    }
    Ok(row)
}

/// A cell from its text; the numbers are the types' in `pg_type.dat`.
fn value(text: String, data_type: i32) -> Value {
    match data_type {
        16 => Value::Boolean(text == "t"),
        20 | 21 | 23 | 26 => text.parse().map_or(Value::Text(text), Value::Integer),
        700 | 701 => match text.as_str() {
            "Infinity" => Value::Real(f64::INFINITY),
            "-Infinity" => Value::Real(f64::NEG_INFINITY),
            _ => text.parse().map_or(Value::Text(text), Value::Real),
        },
        1700 => Value::Decimal(text),
        17 => bytes(&text).map_or(Value::Text(text), Value::Blob),
        _ => Value::Text(text),
    }
}

/// The bytes that `\x00ff` stands for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The fields of an error that matter here: code, message, and the hint, which often names what was meant.
pub(super) fn server_error(message: &mut Message) -> ServerError {
    let (mut code, mut text, mut hint) = (String::new(), String::new(), String::new());
    while let Ok(field) = message.bytes(1).map(|bytes| bytes[0]) {
        let Ok(value) = message.text() else { break };
        match field {
            b'C' => code = value,
            b'M' => text = value,
            b'H' => hint = value,
            _ => {}
        }
    }
    if !hint.is_empty() {
        text = format!("{text} ({})", hint.trim_end_matches('.'));
    }
    ServerError { code, message: text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_types_of_their_columns() {
        for (text, data_type, expected) in [
            ("t", 16, Value::Boolean(true)),
            ("-5", 23, Value::Integer(-5)),
            ("9223372036854775807", 20, Value::Integer(i64::MAX)),
            ("1.5", 701, Value::Real(1.5)),
            ("-Infinity", 701, Value::Real(f64::NEG_INFINITY)),
            ("12.50", 1700, Value::Decimal("12.50".into())),
            ("\\x00ff", 17, Value::Blob(vec![0, 255])),
            ("{1,2}", 1007, Value::Text("{1,2}".into())),
            ("2020-01-01", 1082, Value::Text("2020-01-01".into())),
        ] {
            assert_eq!(value(text.into(), data_type), expected);
        }
    }
}
