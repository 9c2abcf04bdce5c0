//! Any text as CREATE TABLE statements of each dialect: what is read is printed as DDL that reads the same.
#![no_main]

use expert_cli::sql::{Dialect, Schema, convert};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
        if let Ok(schema) = Schema::parse(&text, dialect) {
            let ddl = schema.to_ddl();
            let _ = Schema::parse(&ddl, dialect);
        }
        let _ = convert(&text, None, dialect, None);
    }
});
