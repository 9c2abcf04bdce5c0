//! `convert`: the cases of every rule, results on a real PostgreSQL, what must hold for any text, and the verb.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use expert_cli::sql::convert::{Fidelity, Source, Target, detect, translate};
use expert_cli::sql::{self, Dialect, Schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::postgres::{Postgres, plain};
use crate::world::{Run, World};

/// A case of the files: input, whole output, and where it stands.
pub struct Case {
    pub from: Source,
    pub to: Target,
    pub fidelity: Fidelity,
    pub schema: Option<Schema>,
    pub input: String,
    pub output: String,
    pub place: String,
}

/// Every case of the files.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["convert_sqlite.txt", "convert_mysql.txt", "convert_postgres.txt"] {
        let path = format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"));
        let (mut from, mut to, mut fidelity, mut ddl) = (Source::Sqlite, Target::Postgres, Fidelity::Exact, "");
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "@from" => {
                    let (source, target) = rest.split_once(" to ").unwrap();
                    (from, to) = (Source::from_name(source).unwrap(), Target::from_name(target).unwrap());
                }
                "@schema" => ddl = rest,
                "@fidelity" => fidelity = if rest == "exact" { Fidelity::Exact } else { Fidelity::Idiomatic },
                "<" => {
                    let mut output = lines.next().unwrap().1.strip_prefix("> ").unwrap().to_owned();
                    while let Some((_, more)) =
                        lines.next_if(|(_, line)| !line.starts_with(['<', '@', '#']) && !line.is_empty())
                    {
                        output = format!("{output}\n{more}");
                    }
                    let schema = (!ddl.is_empty()).then(|| Schema::parse(ddl, from.dialect()).unwrap());
                    let place = format!("{name}:{}", at + 1);
                    cases.push(Case { from, to, fidelity, schema, input: rest.to_owned(), output, place });
                }
                _ => assert!(line.is_empty() || word == "#", "{name}:{}: {line}", at + 1),
            }
        }
    }
    assert!(cases.len() > 150, "{}", cases.len());
    cases
}

#[test]
fn conversion_cases_of_every_rule() {
    let mut wrong = Vec::new();
    for case in cases() {
        let done = translate(&case.input, case.from, case.to, case.schema.as_ref(), case.fidelity).unwrap();
        if done.sql != case.output {
            wrong.push(format!("{}\n  {}\n  wanted {}\n  found  {}", case.place, case.input, case.output, done.sql));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn conversion_cases_parse_and_stay_when_converted_again() {
    for case in cases().iter().filter(|case| case.to == Target::Postgres) {
        let schema = case.schema.as_ref();
        assert!(sql::parse(&case.output, Dialect::Postgres).is_ok(), "{}: {}", case.place, case.output);
        let same = translate(&case.output, Source::Postgres, Target::Postgres, schema, case.fidelity).unwrap();
        assert_eq!(same.sql, case.output, "{}", case.place);
        if case.from == Source::Sqlite {
            let twice = translate(&case.output, case.from, case.to, schema, case.fidelity).unwrap();
            assert_eq!(twice.sql, case.output, "{}", case.place);
        }
        let found = detect(&case.output, schema);
        let again = translate(&case.output, found.source, Target::Postgres, schema, case.fidelity);
        assert!(again.is_ok_and(|again| again.sql == case.output), "{} as {found:?}", case.place);
    }
    for case in cases().iter().filter(|case| matches!(case.to, Target::MySql | Target::Sqlite)) {
        let source = if case.to == Target::MySql { Source::MySql } else { Source::Sqlite };
        let back = translate(&case.output, source, Target::Postgres, case.schema.as_ref(), case.fidelity);
        assert!(back.is_ok(), "{}: {}", case.place, case.output);
    }
}

/// The cases of a file in the form {source_schema, postgres_schema, rows, cases: [{read, sql, expected, same?}]}:
/// the converted statement gives what the expected one gives. `EXPERT_CONVERSION_CASES` names another file.
#[test]
fn conversion_cases_give_the_stated_results() {
    let own = format!("{}/tests/cases/convert_results.json", env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var("EXPERT_CONVERSION_CASES").unwrap_or(own);
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let Some(server) = Postgres::start() else { return };
    let ddl = file["postgres_schema"].as_str().unwrap();
    let schema = Schema::parse(ddl, Dialect::Postgres).unwrap();
    let setup = format!(
        "DROP SCHEMA IF EXISTS c CASCADE; CREATE SCHEMA c; SET search_path TO c;\n{ddl};\n{}",
        inserts(&file["rows"])
    );
    let (mut right, mut wrong) = (0, Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let (text, read) = (case["sql"].as_str().unwrap(), case["read"].as_str().unwrap());
        if case["same"] == false || case["write"] != "postgres" {
            continue;
        }
        let from = Source::from_name(read).unwrap();
        let done = translate(text, from, Target::Postgres, Some(&schema), Fidelity::Exact).unwrap();
        let expected = case["expected"].as_str().unwrap();
        let wanted = outcome(&server, &setup, expected);
        let found = outcome(&server, &setup, &done.sql);
        assert!(wanted.is_ok(), "{expected}: {wanted:?}");
        if found == wanted || (case["nondeterministic"] == true && found.is_ok()) {
            right += 1;
        } else {
            wrong.push(format!("{text}\n  wanted {expected} {wanted:?}\n  found  {} {found:?}", done.sql));
        }
    }
    let all = right + wrong.len();
    eprintln!("{right} of {all} conversions give the stated result");
    assert!(all > 0 && wrong.is_empty(), "{right} of {all}\n{}", wrong.join("\n"));
}

fn inserts(rows: &Value) -> String {
    let mut script = String::new();
    for (table, rows) in rows.as_object().unwrap() {
        let (name, columns) = table.split_at(table.find('(').unwrap_or(table.len()));
        for row in rows.as_array().unwrap() {
            let cell = |cell: &Value| match cell {
                Value::Null => "NULL".to_owned(),
                Value::String(text) => format!("'{}'", text.replace('\'', "''")),
                other => other.to_string(),
            };
            let cells: Vec<String> = row.as_array().unwrap().iter().map(cell).collect();
            script += &format!("INSERT INTO \"{name}\"{columns} VALUES ({});\n", cells.join(", "));
        }
    }
    script
}

/// What a statement does: its rows in order; of a change, all tables after it; of CREATE TABLE, the catalogue.
fn outcome(server: &Postgres, setup: &str, statement: &str) -> Result<Vec<Vec<String>>, String> {
    let begin = statement.trim_start().to_uppercase();
    let after = if begin.starts_with("CREATE") {
        "SELECT c.table_name, column_name, replace(data_type, 'boolean', 'smallint'), is_identity, is_nullable FROM information_schema.columns c WHERE table_schema = 'c' ORDER BY 1, ordinal_position; SELECT conrelid::regclass, contype, conkey FROM pg_constraint WHERE connamespace = 'c'::regnamespace ORDER BY 1, 2, 3::text"
    } else if ["INSERT", "UPDATE", "DELETE"].iter().any(|word| begin.starts_with(word)) {
        "SELECT * FROM t ORDER BY t::text; SELECT * FROM k ORDER BY k::text"
    } else {
        ""
    };
    let mut statements = vec![statement];
    statements.extend(after.split("; ").filter(|text| !text.is_empty()));
    let mut rows = Vec::new();
    for answer in server.run(setup, &statements) {
        rows.extend(answer?.iter().map(|row| row.iter().map(|cell| plain(cell.as_deref())).collect()));
    }
    Ok(rows)
}

const SHOP: &str = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT, price REAL, made TEXT, n INTEGER); CREATE TABLE s (id INTEGER PRIMARY KEY, p INTEGER, day TEXT, many INTEGER);";

/// SQLite → PostgreSQL → SQLite keeps results on generated rows.
#[test]
fn there_and_back_keeps_results() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(SHOP).unwrap();
    for id in 0..40_i64 {
        let kind = [Some("a"), Some("B"), None, Some("c%")][usize::try_from(id * 7 % 4).unwrap()];
        let price = (id % 5 != 0).then(|| (id * 37 % 101) as f64 / 4.0);
        let made = format!("20{:02}-{:02}-{:02}", 10 + id % 13, 1 + id % 12, 1 + id * 3 % 28);
        let values = (id, format!("Item {}", id % 9), kind, price, made.clone(), (id % 3 != 1).then_some(id % 6));
        database.execute("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", values).unwrap();
        database.execute("INSERT INTO s VALUES (?, ?, ?, ?)", (id, id * 3 % 17, made, id % 4)).unwrap();
    }
    let schema = Schema::parse(SHOP, Dialect::Sqlite).unwrap();
    let rows = |text: &str| -> Result<Vec<Vec<String>>, rusqlite::Error> {
        let mut statement = database.prepare(text)?;
        let width = statement.column_count();
        let cell = |row: &rusqlite::Row<'_>, at: usize| -> String {
            match row.get::<_, rusqlite::types::Value>(at).unwrap() {
                rusqlite::types::Value::Null => plain(None),
                rusqlite::types::Value::Integer(n) => plain(Some(&n.to_string())),
                rusqlite::types::Value::Real(n) => plain(Some(&n.to_string())),
                rusqlite::types::Value::Text(text) => plain(Some(&text)),
                rusqlite::types::Value::Blob(_) => "blob".to_owned(),
            }
        };
        statement.query_map([], |row| Ok((0..width).map(|at| cell(row, at)).collect()))?.collect()
    };
    for text in [
        "SELECT name, price FROM p ORDER BY price DESC, id LIMIT 7",
        "SELECT name FROM p WHERE kind LIKE 'b' OR kind LIKE 'C\\%' OR name = \"Item 3\" ORDER BY id",
        "SELECT kind, COUNT(*), AVG(price) FROM p GROUP BY kind ORDER BY kind",
        "SELECT p.name, SUM(s.many) FROM p JOIN s ON s.p = p.id GROUP BY p.id ORDER BY 2 DESC, p.id",
        "SELECT strftime('%Y', made), COUNT(*) FROM p GROUP BY 1 ORDER BY 1 DESC LIMIT 3",
        "SELECT id, date(made, '+1 month'), n / 2, n % 4, IFNULL(n, -1) FROM p WHERE n IS NOT 3 ORDER BY n, id",
        "SELECT IIF(n > 2, 'x', 'y'), MAX(n, 3), ROUND(price, 1), SUBSTR(name, 2, 3) FROM p ORDER BY id",
        "SELECT DISTINCT kind FROM p ORDER BY kind",
        "SELECT name FROM p WHERE id IN (SELECT p FROM s WHERE many > 2) ORDER BY name, id",
        "SELECT COUNT(*) FROM (SELECT DISTINCT name FROM p) WHERE name > 'Item 2'",
        "SELECT id FROM p WHERE n AND NOT price > 3 ORDER BY id",
        "SELECT name FROM p EXCEPT SELECT name FROM p WHERE n = 2 ORDER BY name",
        "SELECT a.id, b.id FROM p a LEFT JOIN s b ON b.p = a.id AND b.many = 3 ORDER BY b.id, a.id",
        "SELECT kind, GROUP_CONCAT(id, '-') FROM (SELECT kind, id FROM p ORDER BY id) GROUP BY kind ORDER BY kind",
    ] {
        let wanted = rows(text).unwrap();
        let there = translate(text, Source::Sqlite, Target::Postgres, Some(&schema), Fidelity::Exact).unwrap().sql;
        let back = translate(&there, Source::Postgres, Target::Sqlite, Some(&schema), Fidelity::Exact).unwrap().sql;
        assert_eq!(
            rows(&back).unwrap_or_else(|error| panic!("{text}\n{back}\n{error}")),
            wanted,
            "{text}\n{there}\n{back}"
        );
    }
}

/// Words that make texts near enough to SQL to get past the parser now and then.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "ON",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "LIKE",
    "IN",
    "(",
    ")",
    ",",
    "*",
    "=",
    "<>",
    "+",
    "-",
    "/",
    "||",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "p",
    "s",
    "name",
    "id",
    "price",
    "\"x\"",
    "`y`",
    "'a'",
    "''",
    "1",
    "-2",
    "2.5",
    "MAX(",
    "COUNT(",
    "strftime('%Y',",
    "DATE(",
    "IFNULL(",
    "SUBSTR(",
    "DISTINCT",
    "AS",
    "t",
    "UNION",
    "INTERVAL",
    "DAY",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "CREATE TABLE",
    "INT",
    "TEXT",
    "PRIMARY KEY",
    "CAST(",
    "BETWEEN",
    "EXISTS",
    ".",
    ";",
    "GLOB",
    "REGEXP",
    "CONCAT(",
    "GROUP_CONCAT(",
    "DATE_FORMAT(",
    "EXTRACT(",
    "STRING_AGG(",
    "::",
    "->",
    "SUBSTRING_INDEX(",
    "[1]",
];

fn expression() -> impl Strategy<Value = String> {
    let leaf =
        prop::sample::select(vec!["id", "name", "kind", "price", "n", "p.made", "1", "2.5", "'a'", "\"b\"", "NULL"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", "%", "||", "=", "<", "AND", "OR", "LIKE", "IS"])
            )
                .prop_map(|((a, b), op)| format!("({a}) {op} ({b})")),
            (pair.clone(), prop::sample::select(vec!["MAX", "IFNULL", "NULLIF", "ROUND", "INSTR"]))
                .prop_map(|((a, b), name)| format!("{name}({a}, {b})")),
            (inner.clone(), prop::sample::select(vec!["ABS", "LENGTH", "UPPER", "date", "CAST", "NOT"])).prop_map(
                |(a, name)| match name {
                    "CAST" => format!("CAST({a} AS INTEGER)"),
                    "NOT" => format!("NOT ({a})"),
                    name => format!("{name}({a})"),
                }
            ),
            (pair, inner).prop_map(|((a, b), c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..25), schema in any::<bool>()) {
        let text = words.join(" ");
        let schema = schema.then(|| Schema::parse(SHOP, Dialect::Sqlite).unwrap());
        for from in [Source::Sqlite, Source::MySql, Source::Postgres] {
            for to in [Target::Postgres, Target::Sqlite, Target::MySql, Target::Oracle] {
                let _ = translate(&text, from, to, schema.as_ref(), Fidelity::Exact);
            }
        }
        let _ = detect(&text, schema.as_ref());
    }

    #[test]
    fn queries_parse_afterwards_and_stay_the_second_time(
        shown in prop::collection::vec(expression(), 1..3),
        condition in expression(),
        group in any::<bool>(),
        order in expression(),
    ) {
        let schema = Schema::parse(SHOP, Dialect::Sqlite).unwrap();
        let group = if group { "GROUP BY kind" } else { "" };
        let text = format!("SELECT {} FROM p WHERE {condition} {group} ORDER BY {order} LIMIT 3, 4", shown.join(", "));
        let once = translate(&text, Source::Sqlite, Target::Postgres, Some(&schema), Fidelity::Exact).unwrap().sql.into_owned();
        prop_assert!(sql::parse(&once, Dialect::Postgres).is_ok(), "{}\n{}", text, once);
        let twice = translate(&once, Source::Sqlite, Target::Postgres, Some(&schema), Fidelity::Exact).unwrap().sql.into_owned();
        prop_assert_eq!(&twice, &once, "{}", text);
        let convert = |target| translate(&once, Source::Postgres, target, Some(&schema), Fidelity::Exact).unwrap().sql.into_owned();
        let mysql = convert(Target::MySql);
        prop_assert!(sql::parse(&mysql, Dialect::MySql).is_ok(), "{}\n{}", once, mysql);
        let sqlite = convert(Target::Sqlite);
        let database = rusqlite::Connection::open_in_memory().unwrap();
        database.execute_batch(SHOP).unwrap();
        if let Err(error) = database.prepare(&sqlite) {
            // What SQLite refuses in the text that it began with, it may refuse again. A constant behind ORDER BY it works
            // out first and then takes for a column's number: `('b') IS (NULL)` is column 0.
            let constant = error.to_string().contains("ORDER BY term out of range");
            prop_assert!(constant || database.prepare(&text).is_err(), "{}\n{}\n{}\n{}", text, once, sqlite, error);
        }
    }
}

/// Runs the program with a text on stdin.
fn given(world: &World, args: &[&str], input: &str) -> Run {
    let mut child =
        world.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_text_on_stdin_becomes_a_text_on_stdout() {
    let world = World::new();
    fs::write(world.work().join("s.sql"), "CREATE TABLE t (a INT, name TEXT)").unwrap();
    let args = ["convert", "--from", "sqlite", "--context", "s.sql"];
    let sql = "SELECT a FROM t WHERE name = \"x\" LIMIT 1, 2;\n";
    let done = given(&world, &[&args[..], &["--explain"]].concat(), sql);
    assert_eq!(done.stdout, "SELECT a FROM t WHERE name = 'x' LIMIT 2 OFFSET 1;\n");
    assert!(
        done.stderr.contains("rule double-quoted-strings") && done.stderr.contains("rule limit-comma"),
        "{}",
        done.stderr
    );
    let done = given(&world, &[&args[..], &["--json"]].concat(), sql);
    let body: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(body["schema"], "expert-cli.convert/1");
    assert_eq!(body["changes"], json!(["double-quoted-strings", "limit-comma"]));
    let done = given(&world, &["convert", "--to", "mysql"], "SELECT a::text FROM t");
    assert_eq!(done.stdout, "SELECT CAST(a AS CHAR) FROM t\n");
    assert!(done.stderr.contains("read as postgres: a :: cast"), "{}", done.stderr);
    assert_eq!(given(&world, &["convert"], "").code, 2);
    let hard = ["convert", "--from", "mysql", "--on-unsupported", "error"];
    assert_eq!(given(&world, &hard, "SELECT WEEK(d, 4) FROM t").code, 3);
    assert_eq!(given(&world, &hard, "SELEC 1 FROM").code, 3);
}

#[test]
fn rows_keep_their_order_and_their_other_keys() {
    let world = World::new();
    let rows: Vec<String> = (0..9_000)
        .map(|id| {
            json!({"id": id, "sql": format!("SELECT \"a\" FROM t WHERE b = \"{id}\" LIMIT 1, {id}"),
                "context": format!("CREATE TABLE t (a INT, b TEXT, c{} INT)", id % 3), "note": [id]})
            .to_string()
        })
        .collect();
    fs::write(world.work().join("in.jsonl"), rows.join("\n")).unwrap();
    let body: Value = serde_json::from_str(
        &world.ok(&["convert", "--from", "sqlite", "--input", "in.jsonl", "--output", "out.jsonl", "--json"]).stdout,
    )
    .unwrap();
    assert_eq!((&body["rows"], &body["changed"], &body["dropped"]), (&json!(9000), &json!(9000), &json!(0)));
    let text = fs::read_to_string(world.work().join("out.jsonl")).unwrap();
    for (id, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["id"], id);
        assert_eq!(row["note"], json!([id]));
        assert_eq!(row["converted"], format!("SELECT \"a\" FROM t WHERE b = '{id}' LIMIT {id} OFFSET 1"));
        assert_eq!(row["warnings"], json!([]));
    }
    assert_eq!(text.lines().count(), rows.len());
}

#[test]
fn rows_that_cannot_be_carried_over_are_kept_dropped_or_refused() {
    let world = World::new();
    let rows = [
        json!({"sql": "SELECT WEEK(d, 4) FROM t"}),
        json!({"sql": "SELECT IFNULL(a, 1) FROM t"}),
        json!({"sql": "MATCH (n) RETURN n"}),
    ];
    fs::write(world.work().join("in.jsonl"), rows.map(|row| row.to_string()).join("\n")).unwrap();
    let with = |how: &str| {
        world.run(&[
            "convert",
            "--from",
            "mysql",
            "--input",
            "in.jsonl",
            "--output",
            "out.jsonl",
            "--on-unsupported",
            how,
        ])
    };
    let lines = || fs::read_to_string(world.work().join("out.jsonl")).unwrap().lines().count();
    assert_eq!((with("keep").code, lines()), (0, 3));
    assert_eq!((with("drop").code, lines()), (0, 1));
    let refused = with("error");
    assert!(refused.code == 3 && refused.stderr.contains("in.jsonl:1"), "{}", refused.stderr);
    let auto = world.ok(&["convert", "--input", "in.jsonl"]);
    let row: Value = serde_json::from_str(auto.stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&row["from"], &row["evidence"]), (&json!("sqlite"), &json!(["a function of MySQL and SQLite"])));
}
