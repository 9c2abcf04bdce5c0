//! JSON lines.

use std::io::BufRead;
use std::sync::Arc;

use super::{LONGEST_RECORD, Place, Read, Unparsed, bounded_line};
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
    type Item = Result<Unparsed>;

    fn next(&mut self) -> Option<Result<Unparsed>> {
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
                let reason = format!("longer than {} MiB", LONGEST_RECORD >> 20);
                return Some(Ok(Unparsed::Read(Read::Bad(place, reason))));
            }
            let line = self.buffer.trim_ascii();
            if !line.is_empty() {
                return Some(Ok(Unparsed::Line(place, line.to_vec())));
            }
        }
    }
}
