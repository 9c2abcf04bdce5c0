//! Parquet files, row by row.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::{Place, Read, Record, Records, unpack};
use crate::error::{Problem, Result};
use crate::fsx::{self, Staging};

struct ParquetRows {
    rows: RowIter<'static>,
    file: Arc<str>,
    row: u64,
    failed: bool,
    /// Holds the unpacked copy of a compressed file; dropping it removes the copy.
    _unpacked: Option<Staging>,
}

/// The rows of a file. Parquet is read from its end, so a compressed one is unpacked beside the system's other
/// temporary files first.
pub(super) fn records(path: &Path, compressed: bool, file: Arc<str>) -> Result<Records> {
    let unreadable = |error: parquet::errors::ParquetError| {
        Problem::input(format!("{} is not a readable Parquet file: {error}", path.display()))
            .hint("the file is damaged or incomplete: fetch it again")
    };
    let (input, unpacked): (File, _) = if compressed {
        let staging = Staging::new(&std::env::temp_dir().join("expert-cli-parquet"))?;
        let copy = staging.path().join("rows.parquet");
        unpack(path, &copy)?;
        (fsx::open(&copy)?, Some(staging))
    } else {
        (fsx::open(path)?, None)
    };
    let reader = SerializedFileReader::new(input).map_err(unreadable)?;
    let iterator = RowIter::from_file_into(Box::new(reader));
    Ok(Box::new(ParquetRows { rows: iterator, file, row: 0, failed: false, _unpacked: unpacked }))
}

impl Iterator for ParquetRows {
    type Item = Result<Read>;

    fn next(&mut self) -> Option<Result<Read>> {
        if self.failed {
            return None;
        }
        self.row += 1;
        let place = Place { file: self.file.clone(), line: self.row };
        Some(Ok(match self.rows.next()? {
            Ok(row) => Read::Record(Record { place, fields: object(&row) }),
            Err(error) => {
                // Behind a broken page nothing can be trusted.
                self.failed = true;
                let problem = Problem::input(format!("{place}: cannot be read: {error}"));
                return Some(Err(problem.hint("the file is damaged or incomplete: fetch it again").into()));
            }
        }))
    }
}

fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => (*b).into(),
        Field::Byte(n) => (*n).into(),
        Field::Short(n) => (*n).into(),
        Field::Int(n) | Field::Date(n) | Field::TimeMillis(n) => (*n).into(),
        Field::Long(n) | Field::TimeMicros(n) | Field::TimestampMillis(n) | Field::TimestampMicros(n) => (*n).into(),
        Field::UByte(n) => (*n).into(),
        Field::UShort(n) => (*n).into(),
        Field::UInt(n) => (*n).into(),
        Field::ULong(n) => (*n).into(),
        Field::Float16(x) => f64::from(*x).into(),
        Field::Float(x) => f64::from(*x).into(),
        Field::Double(x) => (*x).into(),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, entry)| (key.to_string(), value(entry))).collect::<Map<_, _>>().into()
        }
        Field::Decimal(_) => field.to_string().into(),
    }
}
