//! Any bytes as a data set file: every line is a record or a reason, never a panic.
#![no_main]

use expert_cli::data::records;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    // The first byte chooses the kind of file.
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let name = ["rows.jsonl", "rows.json", "rows.csv", "rows.jsonl.gz", "rows.parquet"][usize::from(*kind) % 5];
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(rows) = records::open(&path, name) {
        for row in rows {
            let _ = row;
        }
    }
});
