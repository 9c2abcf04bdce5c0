//! JSON lines.

use std::io::BufRead;
use std::sync::Arc;

use super::{LONGEST_RECORD, Place, Read, bounded_line, record_of};
use crate::error::{Problem, Result};

/// One JSON object a line; empty lines are skipped.
pub(super) struct JsonLines {
    input: Box<dyn BufRead>,
    file: Arc<str>,
    line: u64,
    buffer: Vec<u8>,
}

impl JsonLines {
    pub(super) fn new(input: Box<dyn BufRead>, file: Arc<str>) -> Self {
        Self { input, file, line: 0, buffer: Vec::new() }
    }
}

impl Iterator for JsonLines {
    type Item = Result<Read>;

    fn next(&mut self) -> Option<Result<Read>> {
        loop {
            let length = match bounded_line(&mut *self.input, &mut self.buffer) {
                Ok(0) => return None,
                Ok(length) => length,
                Err(error) => {
                    let problem = Problem::input(format!("{}:{}: cannot be read: {error}", self.file, self.line + 1));
                    return Some(Err(problem.hint("the file is damaged or incomplete: fetch it again").into()));
                }
            };
            self.line += 1;
            let place = Place { file: self.file.clone(), line: self.line };
            if length > LONGEST_RECORD {
                return Some(Ok(Read::Bad(place, format!("longer than {} MiB", LONGEST_RECORD >> 20))));
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Some(Ok(record_of(self.buffer.trim_ascii(), place)));
            }
        }
    }
}
