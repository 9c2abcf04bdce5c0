//! Records from files: JSON lines, JSON, CSV, TSV and Parquet, each also compressed with gzip.
//!
//! Readers stream: one record is in memory at a time. What cannot be read is not the end: it comes out as
//! [`Read::Bad`] with its place and reason, and reading goes on behind it. Only a file that cannot be read at all (cut
//! off archive, unknown format) is an error.

mod json;
mod lines;
mod parquet;
mod table;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::error::{Problem, Result};
use crate::fsx;

/// The longest record that is read. Longer ones are counted as bad; memory stays bounded by this.
pub const LONGEST_RECORD: usize = 16 << 20;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, from 1 (in Parquet: its row).
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// Its columns.
    pub fields: Map<String, Value>,
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// A record.
    Record(Record),
    /// Something that is none, and why.
    Bad(Place, String),
}

/// What a reader finds, with the work on it still to be done: parsing costs more than reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Unparsed {
    /// A line of JSON.
    Line(Place, Vec<u8>),
    /// What is parsed as it is read.
    Read(Read),
}

impl Unparsed {
    /// The record, or why it is none.
    pub fn parsed(self) -> Read {
        match self {
            Self::Line(place, line) => record_of(&line, place),
            Self::Read(read) => read,
        }
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        match self {
            Self::Line(place, _) | Self::Read(Read::Bad(place, _)) => place,
            Self::Read(Read::Record(record)) => &record.place,
        }
    }

    /// About how many bytes of text it holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Line(_, line) => line.len(),
            Self::Read(Read::Bad(_, reason)) => reason.len(),
            Self::Read(Read::Record(record)) => {
                record.fields.values().map(|value| value.as_str().map_or(64, str::len)).sum()
            }
        }
    }
}

/// Records in the order of the file; an error ends it.
pub type Records = Box<dyn Iterator<Item = Result<Read>>>;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// An array of objects, an object with such an array, or objects one after the other.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The format that a file's name tells, and whether it is compressed.
    pub fn of(path: &Path) -> Option<(Self, bool)> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, compressed) = match name.strip_suffix(".gz") {
            Some(inner) => (inner, true),
            None => (name.as_str(), false),
        };
        let format = match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Self::JsonLines,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "parquet" => Self::Parquet,
            _ => return None,
        };
        Some((format, compressed))
    }
}

/// Opens a file of any known format; `shown` is the name that places carry.
pub fn open(path: &Path, shown: &str) -> Result<Records> {
    Ok(Box::new(open_unparsed(path, shown, Arc::default())?.map(|read| read.map(Unparsed::parsed))))
}

/// [`open`] that leaves the parsing of lines to the caller, and adds the bytes taken from the disk to `bytes`, for a
/// progress bar.
pub fn open_unparsed(
    path: &Path,
    shown: &str,
    bytes: Arc<AtomicU64>,
) -> Result<Box<dyn Iterator<Item = Result<Unparsed>>>> {
    let Some((format, compressed)) = Format::of(path) else {
        return Err(Problem::input(format!("{} is in no format that is known", path.display()))
            .hint("give a .jsonl, .json, .csv, .tsv or .parquet file (each also .gz)")
            .into());
    };
    let file: Arc<str> = shown.into();
    if format == Format::Parquet {
        bytes.fetch_add(path.metadata().map_or(0, |meta| meta.len()), Ordering::Relaxed);
        return Ok(Box::new(parquet::records(path, compressed, file)?.map(|read| read.map(Unparsed::Read))));
    }
    let input = text(path, compressed, bytes)?;
    let parsed: Records = match format {
        Format::JsonLines => return Ok(Box::new(lines::JsonLines::new(input, file))),
        Format::Json => Box::new(json::JsonValues::new(input, file)),
        Format::Csv => Box::new(table::Table::new(input, b',', file)?),
        Format::Tsv | Format::Parquet => Box::new(table::Table::new(input, b'\t', file)?),
    };
    Ok(Box::new(parsed.map(|read| read.map(Unparsed::Read))))
}

/// The bytes of a text file, uncompressed, without a byte-order mark. UTF-16 is refused here: read as bytes it would
/// only give thousands of bad lines.
fn text(path: &Path, compressed: bool, bytes: Arc<AtomicU64>) -> Result<Box<dyn BufRead>> {
    let mut input = raw(path, compressed, bytes)?;
    let start = input.fill_buf().map_err(|error| cut_off(path, error))?;
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::input(format!("{} is UTF-16 text", path.display())).hint("save it as UTF-8").into());
    }
    if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        input.consume(3);
    }
    Ok(input)
}

fn raw(path: &Path, compressed: bool, bytes: Arc<AtomicU64>) -> Result<Box<dyn BufRead>> {
    let file = Counted { file: fsx::open(path)?, bytes };
    Ok(if compressed {
        Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, file))
    })
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl std::io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn cut_off(path: &Path, error: std::io::Error) -> Problem {
    Problem::input(format!("{} cannot be read: {error}", path.display()))
        .hint("the file is damaged or incomplete: fetch it again")
}

/// A record from the bytes of a JSON value, or why it is none.
fn record_of(bytes: &[u8], place: Place) -> Read {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Read::Bad(place, format!("not UTF-8 text (byte {} of the record)", error.valid_up_to())),
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => Read::Record(Record { place, fields }),
        Ok(_) => Read::Bad(place, "not a JSON object".into()),
        Err(error) => Read::Bad(place, format!("not JSON: {}", without_place(&error))),
    }
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Reads up to and with the next line feed, keeping at most [`LONGEST_RECORD`] bytes; returns how many there were, 0 at
/// the end.
fn bounded_line(input: &mut dyn BufRead, kept: &mut Vec<u8>) -> std::io::Result<usize> {
    kept.clear();
    let mut length = 0;
    loop {
        let available = input.fill_buf()?;
        let (taken, ends) = match available.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (available.len(), false),
        };
        let room = (LONGEST_RECORD + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&available[..taken.min(room)]);
        input.consume(taken);
        length += taken;
        if ends || taken == 0 {
            return Ok(length);
        }
    }
}

/// Copies a compressed file's content to `target`.
fn unpack(path: &Path, target: &Path) -> Result<()> {
    let mut input = raw(path, true, Arc::default())?;
    let mut file = fsx::AtomicFile::create(target)?;
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let read = input.read(&mut buffer).map_err(|error| cut_off(path, error))?;
        if read == 0 {
            return file.commit();
        }
        std::io::Write::write_all(&mut file, &buffer[..read])?;
    }
}

#[cfg(test)]
mod tests;
