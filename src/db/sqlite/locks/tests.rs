//! The table of attacks: it passes with every lock closed and fails with any one of them open.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::db::sqlite::query;
use crate::db::{QueryError, Value};

/// A database worth attacking: rows, a view that reads what a schema should not, and changes still in the journal.
struct Victim {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO shop VALUES (1, 'a'), (2, 'b');\
             CREATE VIEW peek AS SELECT name FROM pragma_database_list;\
             CREATE VIRTUAL TABLE notes USING fts5(body); INSERT INTO notes VALUES ('x');\
             CREATE TRIGGER grow AFTER INSERT ON shop BEGIN DELETE FROM shop; END;",
        )
        .unwrap();
        Self { dir, path }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count()
    }
}

/// Long enough for a busy machine.
fn limits() -> Limits {
    Limits { time: Duration::from_secs(3), ..Limits::default() }
}

fn short() -> Limits {
    Limits { time: Duration::from_millis(80), ..Limits::default() }
}

/// Statements that must not be run at all. `DIR` is the victim's folder.
const REFUSED: &[&str] = &[
    "INSERT INTO shop VALUES (3, 'c')",
    "INSERT INTO shop VALUES (3, 'c') RETURNING id",
    "UPDATE shop SET name = 'x'",
    "UPDATE shop SET name = 'x' RETURNING name",
    "DELETE FROM shop",
    "DELETE FROM shop RETURNING *",
    "REPLACE INTO shop VALUES (1, 'z')",
    "WITH c AS (SELECT 1 AS x) INSERT INTO shop SELECT x, 'c' FROM c",
    "WITH c AS (SELECT 1 AS x) DELETE FROM shop WHERE id IN c",
    "DROP TABLE shop",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t (x)",
    "CREATE TABLE t AS SELECT * FROM shop",
    "CREATE VIEW v AS SELECT 1",
    "CREATE INDEX i ON shop(name)",
    "CREATE TEMP TRIGGER t AFTER INSERT ON shop BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "ALTER TABLE shop ADD COLUMN y",
    "ATTACH 'DIR/new.db' AS x",
    "ATTACH DATABASE ':memory:' AS x",
    "ATTACH 'file:DIR/new.db?mode=rwc' AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'DIR/copy.db'",
    "ANALYZE",
    "REINDEX",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "PRAGMA query_only",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "PRAGMA database_list",
    "PRAGMA temp_store_directory = 'DIR'",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_user_version",
    "SELECT load_extension('DIR/evil.so')",
    "SELECT LOAD_EXTENSION('DIR/evil.so', 'main')",
    "SELECT (SELECT load_extension('x')) FROM shop",
    "SELECT fts3_tokenizer('simple')",
    "PRAGMA data_version",
    "EXPLAIN DELETE FROM shop",
    "SELECT 1; DELETE FROM shop",
    "SELECT 1; SELECT 2",
    "SELECT 1;; -- x\nDROP TABLE shop",
    "SELECT 1; this is no SQL",
    "SELECT 1\0; DELETE FROM shop",
    "",
    " ; ",
    "-- nothing",
    "/* nothing",
];

/// Statements that may be tried but must end with an error: `(statement, word of the error)`.
const STOPPED: &[(&str, &str)] = &[
    ("SELECT length(randomblob(20000000))", "larger"),
    ("SELECT length(zeroblob(20000000))", "larger"),
    ("SELECT length(printf('%.20000000c', 'x'))", "larger"),
    (
        "WITH RECURSIVE c(x) AS (SELECT 'aaaaaaaa' UNION ALL SELECT x || x FROM c LIMIT 24) SELECT max(length(x)) FROM c",
        "larger",
    ),
    (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT count(*) FROM c a, c b WHERE a.x + b.x < 0 AND a.x < 1500",
        "stopped",
    ),
    ("SELECT writefile('DIR/out', 'x')", "no such function"),
    ("SELECT readfile('/etc/passwd')", "no such function"),
    ("SELECT * FROM peek", "unsafe use"),
];

/// What got through. `locks` are those of the connection and the query.
fn attack(locks: Locks) -> Vec<String> {
    let mut through = Vec::new();
    let victim = Victim::new();
    let before = (victim.bytes(), victim.files());
    let mut stop = |what: &str, stopped: bool| {
        if !stopped {
            through.push(what.to_owned());
        }
    };
    let place = |sql: &str| sql.replace("DIR", victim.dir.path().to_str().unwrap());

    for sql in REFUSED {
        let answer = query::read(&victim.path, &place(sql), &limits(), locks);
        stop(sql, matches!(answer, Err(QueryError::Refused(_))));
    }
    for (sql, word) in STOPPED {
        let limits = if *word == "stopped" { short() } else { limits() };
        let answer = query::read(&victim.path, &place(sql), &limits, locks);
        stop(sql, answer.is_err_and(|error| error.to_string().contains(word)));
    }
    let count = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3000000) SELECT count(*) FROM c";
    let answer = query::read(&victim.path, count, &short(), locks);
    stop("counting", matches!(answer, Err(QueryError::TimedOut(_))));
    let many = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1500) SELECT x FROM c";
    let rows = query::read(&victim.path, many, &limits(), locks).unwrap();
    stop("1,500 rows", rows.rows.len() == 1000 && rows.truncated);
    let wide =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 60) SELECT hex(zeroblob(500000)) FROM c";
    let rows = query::read(&victim.path, wide, &limits(), locks).unwrap();
    stop("60 MB of cells", rows.rows.len() < 40 && rows.truncated);

    // The locks behind the allow-list, each attacked as if the allow-list had a hole.
    let mut connection = locks.open(&victim.path).unwrap();
    let gate = Locks { authorizer: false, ..locks }.close(&mut connection, &limits(), Instant::now()).unwrap();
    let run = |sql: &str| query::run(&connection, &place(sql), &limits(), locks, &gate, Instant::now());
    stop("a statement without columns", matches!(run("SAVEPOINT s"), Err(QueryError::Refused(_))));
    stop("a view over a pragma", run("SELECT * FROM peek").is_err_and(|e| e.to_string().contains("unsafe use")));
    let direct = |sql: &str| connection.execute_batch(&place(sql));
    stop("temporary table", direct("CREATE TEMP TABLE t AS SELECT 1").is_err());
    stop("attach", direct("ATTACH 'DIR/new.db' AS x").is_err());
    let writable = direct("PRAGMA writable_schema = ON").is_ok()
        && connection.query_row("PRAGMA writable_schema", [], |row| row.get::<_, i64>(0)).is_ok_and(|on| on == 1);
    stop("writable schema", !writable);
    let unlocked = direct("PRAGMA query_only = OFF").is_ok();
    stop("write with query_only off", unlocked && direct("INSERT INTO shop VALUES (9, 'z')").is_err());
    drop(connection);

    stop("the file or its folder has changed", (victim.bytes(), victim.files()) == before);
    through
}

#[test]
fn nothing_gets_through_closed_locks() {
    assert_eq!(attack(Locks::ALL), Vec::<String>::new());
}

#[test]
fn every_lock_is_needed() {
    let open: [(&str, Locks); 10] = [
        ("write with query_only off", Locks { read_only: false, ..Locks::ALL }),
        ("temporary table", Locks { query_only: false, ..Locks::ALL }),
        ("writable schema", Locks { defensive: false, ..Locks::ALL }),
        ("a view over a pragma", Locks { untrusted_schema: false, ..Locks::ALL }),
        ("PRAGMA query_only", Locks { authorizer: false, ..Locks::ALL }),
        ("SELECT 1; DELETE FROM shop", Locks { one_statement: false, ..Locks::ALL }),
        ("a statement without columns", Locks { has_columns: false, ..Locks::ALL }),
        ("SELECT length(randomblob(20000000))", Locks { sizes: false, ..Locks::ALL }),
        ("counting", Locks { deadline: false, ..Locks::ALL }),
        ("1,500 rows", Locks { result: false, ..Locks::ALL }),
    ];
    for (expected, locks) in open {
        let through = attack(locks);
        assert!(through.iter().any(|what| what == expected), "{expected} does not need {locks:?}: {through:?}");
    }
}

#[test]
fn reads_of_every_kind_run() {
    let victim = Victim::new();
    for (sql, first) in [
        ("SELECT name FROM shop ORDER BY id DESC LIMIT 1;", Value::Text("b".into())),
        ("VALUES (1), (2)", Value::Integer(1)),
        (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT max(x) FROM c",
            Value::Integer(5),
        ),
        ("SELECT sum(id) OVER (ORDER BY id) FROM shop -- with a remark", Value::Integer(1)),
        ("SELECT value FROM json_each('[7]')", Value::Integer(7)),
        ("SELECT round(avg(id), 2), 'x;y' FROM shop /* ; */", Value::Real(1.5)),
        ("SELECT name FROM sqlite_master WHERE name = 'shop'", Value::Text("shop".into())),
        ("SELECT upper(name) || '%' FROM shop WHERE name LIKE 'a%' AND id IN (SELECT 1)", Value::Text("A%".into())),
        ("SELECT body FROM notes WHERE notes MATCH 'x' ORDER BY rank", Value::Text("x".into())),
        ("SELECT x'00ff'", Value::Blob(vec![0, 255])),
    ] {
        let rows = query::read(&victim.path, sql, &limits(), Locks::ALL).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!((&rows.rows[0][0], rows.truncated), (&first, false), "{sql}");
    }
    let rows = query::read(&victim.path, "SELECT id FROM shop WHERE 0", &limits(), Locks::ALL).unwrap();
    assert!(rows.rows.is_empty() && rows.columns == ["id"]);
}

#[test]
fn one_endless_instruction_is_left_behind() {
    let victim = Victim::new();
    let sql =
        "SELECT instr(a, substr(a, 1, 400000) || 'b') FROM (SELECT replace(hex(zeroblob(500000)), '0', 'a') AS a)";
    let begun = Instant::now();
    let answer = query::read(&victim.path, sql, &short(), Locks::ALL);
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert!(matches!(answer, Err(QueryError::TimedOut(_))), "{answer:?}");
}

#[test]
fn what_is_no_database_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let read = || query::read(&path, "SELECT 1 FROM sqlite_master", &limits(), Locks::ALL).unwrap_err();
    assert!(read().to_string().contains("no database file") && !path.exists());
    crate::fsx::write_atomic(&path, &[b'x'; 4096]).unwrap();
    assert!(matches!(read(), QueryError::Unavailable(_)), "{}", read());
}
