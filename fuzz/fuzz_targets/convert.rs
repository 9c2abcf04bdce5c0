//! Conversion of any text, over any schema, between all dialects: it fails or gives a text, and never panics.
#![no_main]

use expert_cli::sql::convert::{Fidelity, Source, Target, detect, translate};
use expert_cli::sql::{Dialect, Schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // What stands before the first NUL is the schema.
    let (ddl, sql) = text.split_once('\0').unwrap_or(("", &text));
    let schema = Schema::parse(ddl, Dialect::Generic).ok();
    for from in [Source::Sqlite, Source::MySql, Source::Postgres] {
        for to in [Target::Postgres, Target::Sqlite, Target::MySql, Target::Oracle] {
            let _ = translate(sql, from, to, schema.as_ref(), Fidelity::Exact);
        }
    }
    let _ = detect(sql, schema.as_ref());
});
