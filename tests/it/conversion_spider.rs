//! Spider's gold queries on PostgreSQL: the same result as SQLite gives for the text before conversion.
//!
//! Not part of a plain test run: `scripts/check-conversion.sh` runs it over a folder that holds the databases, the gold
//! queries and the schemas (`EXPERT_SPIDER`). INT and BOOLEAN columns become INTEGER, all others TEXT, names lower case;
//! numbers count to five significant digits; rows as a bag, in sequence where the case says `ordered`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use expert_cli::sql::convert::{Fidelity, Source, Target, translate};
use expert_cli::sql::{Dialect, Schema};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::postgres::{Postgres, plain};

type Rows = Vec<Vec<String>>;

/// A share of the cases and how it is to come out.
#[derive(Default)]
struct Share {
    all: usize,
    same: usize,
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.to_lowercase().replace('"', "\"\""))
}

/// The tables of a SQLite file as a script for PostgreSQL.
fn script(database: &rusqlite::Connection) -> String {
    let mut script = String::new();
    let mut tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let quoted = table.replace('"', "\"\"");
        let mut info = database.prepare(&format!("PRAGMA table_info(\"{quoted}\")")).unwrap();
        let columns: Vec<(String, bool)> = info
            .query_map([], |row| {
                let declared: String = row.get::<_, String>(2)?.to_uppercase();
                Ok((row.get(1)?, declared.starts_with("INT") || declared.starts_with("BOOL")))
            })
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let definition = |(column, number): &(String, bool)| {
            format!("{} {}", name(column), if *number { "INTEGER" } else { "TEXT" })
        };
        let definitions: Vec<String> = columns.iter().map(definition).collect();
        script += &format!("CREATE TABLE {} ({});\n", name(&table), definitions.join(", "));
        let mut rows = database.prepare(&format!("SELECT * FROM \"{quoted}\"")).unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..columns.len())
                .map(|at| match text(row, at) {
                    None => "NULL".to_owned(),
                    Some(text) => format!("'{}'", text.replace('\'', "''")),
                })
                .collect();
            script += &format!("INSERT INTO {} VALUES ({});\n", name(&table), cells.join(", "));
        }
    }
    script
}

fn text(row: &rusqlite::Row<'_>, at: usize) -> Option<String> {
    use rusqlite::types::ValueRef as V;
    match row.get_ref(at).unwrap() {
        V::Null => None,
        V::Integer(number) => Some(number.to_string()),
        V::Real(number) => Some(number.to_string()),
        V::Text(bytes) | V::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn on_sqlite(database: &rusqlite::Connection, sql: &str) -> Rows {
    let mut statement = database.prepare(sql).unwrap();
    let width = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        found.push((0..width).map(|at| plain(text(row, at).as_deref())).collect());
    }
    found
}

fn gz(path: &Path) -> GzDecoder<File> {
    GzDecoder::new(File::open(path).unwrap())
}

#[test]
#[ignore = "needs Spider's databases: scripts/check-conversion.sh"]
fn gold_queries_give_on_postgres_what_they_give_on_sqlite() {
    let folder = PathBuf::from(std::env::var("EXPERT_SPIDER").expect("EXPERT_SPIDER names the folder"));
    let fidelity = match std::env::var("EXPERT_FIDELITY").as_deref() {
        Ok("idiomatic") => Fidelity::Idiomatic,
        _ => Fidelity::Exact,
    };
    let Some(server) = Postgres::start() else { return };
    let unpacked = tempfile::tempdir().unwrap();
    tar::Archive::new(gz(&folder.join("sqlite_synthetic_rows.tar.gz"))).unpack(unpacked.path()).unwrap();
    let schemas: Value = serde_json::from_reader(gz(&folder.join("schemas_create_table.json.gz"))).unwrap();
    let mut by_database: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in BufReader::new(gz(&folder.join("sqlite_gold_exec.jsonl.gz"))).lines() {
        let case: Value = serde_json::from_str(&line.unwrap()).unwrap();
        by_database.entry(case["db"].as_str().unwrap().to_owned()).or_default().push(case);
    }
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    let mut changed_again = 0;
    for (name, cases) in &by_database {
        let database = rusqlite::Connection::open(unpacked.path().join(format!("{name}.sqlite"))).unwrap();
        let schema = Schema::parse(schemas[name].as_str().unwrap(), Dialect::Sqlite).unwrap();
        let convert =
            |sql: &str, from| translate(sql, from, Target::Postgres, Some(&schema), fidelity).unwrap().sql.into_owned();
        let converted: Vec<String> =
            cases.iter().map(|case| convert(case["sql"].as_str().unwrap(), Source::Sqlite)).collect();
        changed_again += converted.iter().filter(|text| convert(text, Source::Sqlite) != **text).count();
        assert!(converted.iter().all(|text| convert(text, Source::Postgres) == *text));
        let setup = format!(
            "DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s; SET search_path TO s;\nBEGIN;\n{}COMMIT;\n",
            script(&database)
        );
        let statements: Vec<&str> = converted.iter().map(String::as_str).collect();
        for ((case, converted), answer) in cases.iter().zip(&converted).zip(server.run(&setup, &statements)) {
            let mut wanted = on_sqlite(&database, case["sql"].as_str().unwrap());
            let found = answer.map(|rows| -> Rows {
                rows.iter().map(|row| row.iter().map(|cell| plain(cell.as_deref())).collect()).collect()
            });
            let same = found.as_ref().is_ok_and(|found| {
                let mut found = found.clone();
                if case["ordered"] != true {
                    found.sort();
                    wanted.sort();
                }
                found == wanted
            });
            let mut groups = vec!["all".to_owned(), case["category"].as_str().unwrap().to_owned()];
            groups.extend((case["n_rows"] != 0).then(|| "non-empty".to_owned()));
            groups.extend((case["limit"] == true).then(|| "with LIMIT".to_owned()));
            for group in groups {
                let share = shares.entry(group).or_default();
                share.all += 1;
                share.same += usize::from(same);
            }
            if !same {
                let why = found.err().unwrap_or_else(|| "another result".to_owned());
                eprintln!("{name} [{}] {why}\n  {}\n  {converted}", case["category"], case["sql"]);
            }
        }
    }
    for (group, share) in &shares {
        eprintln!(
            "{group:<20} {:>5} of {:>5} {:.2} %",
            share.same,
            share.all,
            100.0 * share.same as f64 / share.all as f64
        );
    }
    eprintln!("{changed_again} converted queries changed when converted again");
    let at_least = |group: &str, share: f64| {
        let found = &shares[group];
        assert!(found.same as f64 >= share * found.all as f64, "{group}: {} of {}", found.same, found.all);
    };
    if fidelity == Fidelity::Exact {
        at_least("all", 0.95);
        at_least("non-empty", 0.96);
        at_least("with LIMIT", 0.95);
        at_least("raw_ok", 1.0);
        assert_eq!(changed_again, 0);
    }
}
