use super::*;
use std::io::Write as _;

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a file of this name and content holds: `line question` of each record, `line! reason` of what is none.
fn read(name: &str, content: &[u8]) -> Result<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fsx::write_atomic(&path, content).unwrap();
    open(&path, name)?
        .map(|read| {
            Ok(match read? {
                Read::Record(record) => {
                    let question = record.fields.get("question").and_then(Value::as_str).unwrap_or("-");
                    format!("{} {question}", record.place.line)
                }
                Read::Bad(place, reason) => format!("{}! {reason}", place.line),
            })
        })
        .collect()
}

#[test]
fn json_lines_go_on_behind_bad_ones() {
    let text =
        b"\xef\xbb\xbf{\"question\": \"a\"}\n\n{\"question\": \n[1]\n{\"question\": \"\xff\"}\r\n{\"question\": \"b\"}";
    let expected = [
        "1 a",
        "3! not JSON: EOF while parsing a value",
        "4! not a JSON object",
        "5! not UTF-8 text (byte 14 of the record)",
        "6 b",
    ];
    assert_eq!(read("x.jsonl", text).unwrap(), expected);
    assert_eq!(read("x.jsonl.gz", &gz(text)).unwrap(), expected);
}

#[test]
fn json_comes_in_four_shapes() {
    for text in [
        "[{\"question\": \"a\"},\n {\"question\": \"b]}\\\"\"}]",
        "{\"version\": [1], \"data\":\n[{\"question\": \"a\"}, {\"question\": \"b\"}], \"x\": 1}",
        "{\"question\": \"a\", \"messages\": [1]}\n{\"question\": \"b\"}\n",
        "{\n \"question\": \"a\"\n}\n{\"question\": \"b\"}",
    ] {
        let rows = read("x.json", text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2, "{text}: {rows:?}");
        assert!(rows[0].ends_with(" a") && rows[1].contains(" b"), "{rows:?}");
    }
    assert_eq!(
        read("x.json", b"[{\"question\": \"a\"}, 7, {\"question\": }, {\"question\": \"b\"").unwrap(),
        ["1 a", "1! not a JSON object", "1! not JSON: expected value", "1! the file ends in the middle of this value"]
    );
    assert_eq!(read("x.json", b"hello\n").unwrap(), ["1! not a JSON object"]);
    assert_eq!(read("x.json", b"[{\"question\": \"a\"}").unwrap(), ["1 a", "1! the file ends inside its array"]);
    assert_eq!(read("x.json", b"").unwrap(), [""; 0]);
}

#[test]
fn tables_know_their_lines() {
    let text = b"question,answer\na,1\n\"b\nb\",2\nc\nd\xff,3\ne,4\n";
    let expected = ["2 a", "3 b\nb", "5! 1 cells under a header of 2", "6! not UTF-8 text", "7 e"];
    assert_eq!(read("x.csv", text).unwrap(), expected);
    assert_eq!(read("x.csv.gz", &gz(text)).unwrap(), expected);
    assert_eq!(read("x.tsv", b"question\tanswer\na\t1\n").unwrap(), ["2 a"]);
}

#[test]
fn parquet_rows_are_read_also_from_an_archive() {
    use ::parquet::data_type::{ByteArray, ByteArrayType};
    use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let schema =
        ::parquet::schema::parser::parse_message_type("message r { OPTIONAL BINARY question (UTF8); }").unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema.into(), WriterProperties::builder().build().into()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = ["a", "ção"].into_iter().map(ByteArray::from).collect();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&[1, 0, 1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let expected = ["1 a", "2 -", "3 ção"];
    assert_eq!(read("x.parquet", &bytes).unwrap(), expected);
    assert_eq!(read("x.parquet.gz", &gz(&bytes)).unwrap(), expected);
    let error = read("x.parquet", &bytes[..bytes.len() - 3]).unwrap_err();
    assert_eq!(crate::error::classify(&error).0, crate::error::Exit::Input);
}

#[test]
fn what_cannot_be_read_at_all_is_an_error() {
    let cut = gz(&[b'x'; 5000]);
    for (name, content) in [
        ("x.txt", &b"hi"[..]),
        ("x.jsonl", b"\xff\xfe{\x00}\x00"),
        ("x.jsonl.gz", &cut[..cut.len() - 9]),
        ("x.csv.gz", b"not gzip"),
        ("x.parquet", b""),
    ] {
        assert!(read(name, content).is_err(), "{name}");
    }
}

#[test]
fn a_huge_line_is_one_bad_line() {
    let mut text = format!("{{\"question\": \"{}\"}}", "x".repeat(LONGEST_RECORD)).into_bytes();
    assert_eq!(read("x.json", &text).unwrap(), ["1! longer than 16 MiB"]);
    text.extend(b"\n{\"question\": \"b\"}\n");
    assert_eq!(read("x.jsonl", &text).unwrap(), ["1! longer than 16 MiB", "2 b"]);
}
