//! Comma- and tab-separated values with a header line.

use std::io::BufRead;
use std::sync::Arc;

use serde_json::Value;

use super::{LONGEST_RECORD, Place, Read, Record};
use crate::error::{Problem, Result};

/// The rows of a table; every cell is a string.
pub(super) struct Table {
    reader: csv::Reader<Box<dyn BufRead>>,
    header: Vec<String>,
    file: Arc<str>,
    row: csv::ByteRecord,
}

impl Table {
    pub(super) fn new(input: Box<dyn BufRead>, delimiter: u8, file: Arc<str>) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
        let header = reader.headers().map_err(|error| Problem::input(format!("{file}: no header: {error}")))?;
        let header = header.iter().map(|name| name.trim().to_owned()).collect();
        Ok(Self { reader, header, file, row: csv::ByteRecord::new() })
    }

    fn read(&self, place: Place) -> Read {
        if self.row.as_slice().len() > LONGEST_RECORD {
            return Read::Bad(place, format!("longer than {} MiB", LONGEST_RECORD >> 20));
        }
        if self.row.len() != self.header.len() {
            let reason = format!("{} cells under a header of {}", self.row.len(), self.header.len());
            return Read::Bad(place, reason);
        }
        let cells = self.row.iter().map(|cell| std::str::from_utf8(cell).map(|text| Value::String(text.to_owned())));
        match cells.collect::<Result<Vec<_>, _>>() {
            Ok(cells) => Read::Record(Record { place, fields: self.header.iter().cloned().zip(cells).collect() }),
            Err(_) => Read::Bad(place, "not UTF-8 text".into()),
        }
    }
}

impl Iterator for Table {
    type Item = Result<Read>;

    fn next(&mut self) -> Option<Result<Read>> {
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.row.position().map_or(line, csv::Position::line);
                Some(Ok(self.read(Place { file: self.file.clone(), line })))
            }
            Err(error) => {
                let problem = Problem::input(format!("{}:{line}: cannot be read: {error}", self.file));
                Some(Err(problem.hint("the file is damaged or incomplete: fetch it again").into()))
            }
        }
    }
}
