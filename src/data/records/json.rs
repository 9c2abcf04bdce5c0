//! JSON documents, read value by value: an array of objects, an object that holds such an array under a usual name, or
//! objects one after the other (a `.json` file that is really JSON lines).

use std::io::BufRead;
use std::sync::Arc;

use super::{LONGEST_RECORD, Place, Read, record_of};
use crate::error::{Problem, Result};

/// The keys under which data sets keep their array of rows.
const ARRAY_KEYS: [&str; 7] = ["data", "rows", "examples", "records", "items", "train", "questions"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing read yet.
    Start,
    /// Inside the array of rows.
    Array,
    /// Between values that follow each other.
    Sequence,
    /// Nothing more to read.
    Done,
}

/// The values of a document.
pub(super) struct JsonValues {
    input: Box<dyn BufRead>,
    file: Arc<str>,
    line: u64,
    state: State,
}

/// How far the bytes of a value have come.
#[derive(Default)]
struct Progress {
    kept: Vec<u8>,
    length: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last string at depth 1, and whether a colon followed it.
    key: Vec<u8>,
    after_colon: bool,
}

impl JsonValues {
    pub(super) fn new(input: Box<dyn BufRead>, file: Arc<str>) -> Self {
        Self { input, file, line: 1, state: State::Start }
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn take(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.input.consume(1);
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) -> std::io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !skipped(byte) {
                return Ok(Some(byte));
            }
            self.take(byte);
        }
        Ok(None)
    }

    fn step(&mut self) -> std::io::Result<Option<Read>> {
        loop {
            let in_array = self.state == State::Array;
            let between = |byte: u8| byte.is_ascii_whitespace() || byte == b',';
            let Some(byte) = self.skip(between)? else {
                let cut = in_array.then(|| Read::Bad(self.place(self.line), "the file ends inside its array".into()));
                self.state = State::Done;
                return Ok(cut);
            };
            match (self.state, byte) {
                (State::Done, _) => return Ok(None),
                (State::Start, b'[') => {
                    self.take(byte);
                    self.state = State::Array;
                }
                (State::Array, b']') => {
                    self.state = State::Done;
                    return Ok(None);
                }
                (State::Array, _) | (_, b'{') => {
                    if let Some(read) = self.value()? {
                        return Ok(Some(read));
                    }
                }
                _ => {
                    let place = self.place(self.line);
                    self.skip(|byte| byte != b'\n')?;
                    self.state = State::Sequence;
                    return Ok(Some(Read::Bad(place, "not a JSON object".into())));
                }
            }
        }
    }

    /// Reads one value. None: it was the object around the array of rows, and its rows come next.
    fn value(&mut self) -> std::io::Result<Option<Read>> {
        let place = self.place(self.line);
        let looks_for_array = self.state == State::Start;
        if looks_for_array {
            self.state = State::Sequence;
        }
        let mut value = Progress::default();
        while let Some(byte) = self.peek()? {
            if !value.in_string && value.depth == 0 && value.length > 0 && (byte == b',' || byte == b']') {
                return Ok(Some(value.finish(place)));
            }
            let key_is_usual = || ARRAY_KEYS.iter().any(|key| value.key == key.as_bytes());
            if looks_for_array && byte == b'[' && value.depth == 1 && value.after_colon && key_is_usual() {
                self.take(byte);
                self.state = State::Array;
                return Ok(None);
            }
            self.take(byte);
            if value.push(byte) {
                return Ok(Some(value.finish(place)));
            }
        }
        self.state = State::Done;
        Ok(Some(Read::Bad(place, "the file ends in the middle of this value".into())))
    }

    fn place(&self, line: u64) -> Place {
        Place { file: self.file.clone(), line }
    }
}

impl Progress {
    /// Takes a byte; whether an object or array ends with it.
    fn push(&mut self, byte: u8) -> bool {
        self.length += 1;
        if self.kept.len() <= LONGEST_RECORD {
            self.kept.push(byte);
        }
        if self.in_string {
            let closes = byte == b'"' && !self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            self.in_string = !closes;
            if self.in_string && self.depth == 1 && !self.after_colon && self.key.len() < 64 {
                self.key.push(byte);
            }
            return false;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 && !self.after_colon {
                    self.key.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            b':' if self.depth == 1 => self.after_colon = true,
            b',' if self.depth == 1 => self.after_colon = false,
            _ => {}
        }
        false
    }

    fn finish(self, place: Place) -> Read {
        if self.length > LONGEST_RECORD {
            return Read::Bad(place, format!("longer than {} MiB", LONGEST_RECORD >> 20));
        }
        record_of(self.kept.trim_ascii(), place)
    }
}

impl Iterator for JsonValues {
    type Item = Result<Read>;

    fn next(&mut self) -> Option<Result<Read>> {
        if self.state == State::Done {
            return None;
        }
        match self.step() {
            Ok(read) => read.map(Ok),
            Err(error) => {
                self.state = State::Done;
                let problem = Problem::input(format!("{}:{}: cannot be read: {error}", self.file, self.line));
                Some(Err(problem.hint("the file is damaged or incomplete: fetch it again").into()))
            }
        }
    }
}
