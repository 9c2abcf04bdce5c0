//! `preprocess`: every shape, every defect, and what must hold whatever the data set looks like.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use expert_cli::data::template::Layout;
use expert_cli::sql::{self, Dialect};
use serde_json::{Value, json};

use crate::tiny;
use crate::world::World;

const USERS: &str = "CREATE TABLE users (id INT, name TEXT, age INT)";

fn row(question: &str, context: &str, answer: &str) -> String {
    json!({"question": question, "context": context, "answer": answer}).to_string()
}

fn write(world: &World, name: &str, content: impl AsRef<[u8]>) {
    let path = world.work().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.work().join(name)).unwrap_or_default()
}

fn texts(world: &World, name: &str) -> Vec<String> {
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    read(world, name).lines().map(text).collect()
}

fn metadata(world: &World, folder: &str) -> Value {
    serde_json::from_str(&read(world, &format!("{folder}/metadata.json"))).unwrap()
}

/// Runs with everything in one file and returns its texts.
fn all_texts(world: &World, args: &[&str]) -> Vec<String> {
    world.ok(&[&["preprocess", "--output", "out", "--val-split", "0"], args].concat());
    texts(world, "out/train.jsonl")
}

fn counts_add_up(metadata: &Value) {
    let counts = &metadata["counts"];
    let number = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!(number("read"), number("kept") + number("dropped"));
    assert_eq!(number("kept"), number("train") + number("val"));
    let reasons = counts["dropped_by_reason"].as_object().unwrap();
    assert_eq!(reasons.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), number("dropped"));
}

#[test]
fn every_dropped_row_is_counted_and_named() {
    let world = World::new();
    let mut lines: Vec<Vec<u8>> = [
        row("How many users?", "create table  users(id int, name text, age int)", "SELECT COUNT(*) FROM users"),
        row(" how  many USERS ?", USERS, "SELECT COUNT(*) FROM users;"),
        "{\"question\": ".to_owned(),
        json!({"question": "q", "sentence": "s"}).to_string(),
        row("Who?", USERS, ""),
        row("Who <|end|>?", USERS, "SELECT name FROM users"),
        row("Who?", "CREATE TABLE users (id", "SELECT name FROM users"),
        row("Who?", USERS, "SELECT name FROM"),
        row("Who?", USERS, "SELECT nmae FROM users"),
        row(&"Who? ".repeat(500), USERS, "SELECT name FROM users"),
        row(
            "Who is called Ann?",
            USERS,
            "WITH u AS (SELECT id::text FROM users WHERE name = \"Ann\") SELECT id FROM u",
        ),
    ]
    .map(String::into_bytes)
    .to_vec();
    lines.push(b"{\"question\": \"\xff\"}".to_vec());
    write(&world, "rows.jsonl", lines.join(&b'\n'));
    let run =
        world.run(&["preprocess", "--dataset", "rows.jsonl", "--output", "out", "--val-split", "0", "--show", "1"]);
    let mut settings = world.settings();
    settings.add_filter(r"in \d+\.\d s, \d+ rows/s", "in [TIME]");
    settings.bind(|| {
        insta::assert_snapshot!("defects", run.shown());
        insta::assert_snapshot!("defects_train", read(&world, "out/train.jsonl"));
        insta::assert_snapshot!("defects_dropped", read(&world, "out/dropped.jsonl"));
        insta::assert_snapshot!("defects_metadata", read(&world, "out/metadata.json"));
    });
    counts_add_up(&metadata(&world, "out"));
    assert!(!world.work().join("out/val.jsonl").exists());
}

#[test]
fn the_same_rows_in_every_format() {
    let world = World::new();
    let rows = [row("How many?", USERS, "SELECT COUNT(*) FROM users"), row("Who?", USERS, "SELECT name FROM users")];
    let lines = rows.join("\n");
    let csv = format!(
        "question,context,answer\nHow many?,\"{USERS}\",SELECT COUNT(*) FROM users\nWho?,\"{USERS}\",SELECT name FROM users\n"
    );
    let expected = {
        write(&world, "rows.jsonl", &lines);
        all_texts(&world, &["--dataset", "rows.jsonl"])
    };
    assert_eq!(expected.len(), 2);
    for (name, content) in [
        ("rows.json", format!("[{}]", rows.join(","))),
        ("data.json", format!("{{\"version\": 1, \"data\": [{}]}}", rows.join(","))),
        ("lines.json", lines.clone()),
        ("rows.csv", csv.clone()),
        ("rows.tsv", csv.replace("INT, ", "INT# ").replace("TEXT, ", "TEXT# ").replace(',', "\t").replace('#', ",")),
    ] {
        write(&world, name, &content);
        assert_eq!(all_texts(&world, &["--dataset", name]), expected, "{name}");
        let packed = format!("{name}.gz");
        write(&world, &packed, gz(content.as_bytes()));
        assert_eq!(all_texts(&world, &["--dataset", &packed]), expected, "{packed}");
    }
}

#[test]
fn every_shape_is_recognised() {
    let world = World::new();
    let (question, sql) = ("How many users?", "SELECT COUNT(*) FROM users");
    let expected = |question: &str| {
        format!(
            "<|system|>\nDialect: postgres\nSchema:\n{USERS};\n<|end|>\n<|user|>\n{question}\n<|end|>\n<|assistant|>\n{sql}\n<|end|>"
        )
    };
    for (row, question, map) in [
        (json!({"sql_context": USERS, "sql_prompt": question, "sql": sql, "id": 5}), question.to_owned(), None),
        (json!({"instruction": question, "input": USERS, "response": sql, "text": "x"}), question.to_owned(), None),
        (
            json!({"db_id": "d", "question": question, "evidence": "user means row", "SQL": sql, "schema": USERS}),
            format!("{question}\nEvidence: user means row"),
            None,
        ),
        (
            json!({"db_name": "d", "question": question, "pred_sql_res": ["SELECT x", "no x"], "sql": sql, "db_schema": USERS, "evidence": ""}),
            format!("{question}\nThis statement failed:\nSELECT x\nError: no x\nCorrect it."),
            None,
        ),
        (
            json!({"messages": [{"role": "system", "content": format!("Dialect: postgres\nSchema:\n{USERS}")},
            {"role": "user", "content": question}, {"role": "assistant", "content": format!("```sql\n{sql}\n```")}]}),
            question.to_owned(),
            None,
        ),
        (json!({"text": expected(question)}), question.to_owned(), None),
        (json!({"q": question, "c": USERS, "s": sql}), question.to_owned(), Some("question=q,schema=c,answer=s")),
    ] {
        write(&world, "rows.jsonl", row.to_string());
        let map: Vec<&str> = map.map(|map| vec!["--map", map]).unwrap_or_default();
        let texts = all_texts(&world, &[&["--dataset", "rows.jsonl"], &map[..]].concat());
        assert_eq!(texts, [expected(&question)], "{row}");
    }
}

#[test]
fn spider_takes_its_schemas_from_tables_json() {
    let world = World::new();
    let tables = json!([{"db_id": "d", "table_names_original": ["users"],
        "column_names_original": [[-1, "*"], [0, "id"], [0, "name"]], "column_types": ["text", "number", "text"],
        "primary_keys": [1], "foreign_keys": []}]);
    write(&world, "spider/tables.json", tables.to_string());
    write(&world, "spider/dev.json", "[]");
    let rows = json!([{"question": "Who?", "query": "SELECT name FROM users", "db_id": "d"},
        {"question": "Who else?", "query": "SELECT name FROM users", "db_id": "e"}]);
    write(&world, "spider/train.json", rows.to_string());
    let texts = all_texts(&world, &["--dataset", "spider", "--dialect", "sqlite"]);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("CREATE TABLE users (id INT PRIMARY KEY, name TEXT);"), "{}", texts[0]);
    assert_eq!(metadata(&world, "out")["dropped"][0]["detail"], "no schema for database e");
    write(&world, "alone/rows.json", rows.to_string());
    let run = world.run(&["preprocess", "--dataset", "alone/rows.json"]);
    assert_eq!(run.code, 3, "{}", run.shown());
    all_texts(&world, &["--dataset", "alone/rows.json", "--tables", "spider/tables.json"]);
}

#[test]
fn layouts_and_their_fit_to_the_tokenizer() {
    let world = World::new();
    tiny::write_rows(&world.work().join("rows.jsonl"), 20);
    for layout in Layout::ALL {
        let texts = all_texts(&world, &["--dataset", "rows.jsonl", "--format", layout.name()]);
        assert!(texts.iter().all(|text| Layout::detect(text) == Some(layout)), "{}", layout.name());
    }
    tiny::write_model(&world.work().join("base"));
    let args = ["preprocess", "--dataset", "rows.jsonl", "--base-model", "base", "--format"];
    let run = world.ok(&[&args[..], &["qwen3"]].concat());
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    let run = world.ok(&[&args[..], &["chatml"]].concat());
    assert!(
        run.stderr.contains("<|system|> <|user|> <|assistant|> <|end|> of the layout chatml are no special tokens"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("--format qwen3 fits it"), "{}", run.stderr);
    let run = world.run(&["preprocess", "--dataset", "rows.jsonl", "--base-model", "no/such"]);
    assert_ne!(run.code, 0);
}

#[test]
fn the_split_has_no_question_on_both_sides_and_no_thread_changes_a_byte() {
    let world = World::new();
    let mut lines: Vec<String> =
        tiny::rows(3000).into_iter().map(|(question, context, answer)| row(&question, &context, &answer)).collect();
    // The same questions over other schemas.
    lines.extend((0..600).map(|i| row(&tiny::rows(i + 1)[i].0.to_uppercase(), USERS, "SELECT id FROM users")));
    write(&world, "rows.jsonl", lines.join("\n"));
    let args = ["preprocess", "--dataset", "rows.jsonl", "--format", "qwen3", "--val-split", "0.2", "--output"];
    for (threads, output) in [("1", "one"), ("4", "four"), ("4", "again")] {
        let run = World::wait(world.command(&[&args[..], &[output]].concat()).env("RAYON_NUM_THREADS", threads));
        assert_eq!(run.code, 0, "{}", run.shown());
    }
    for file in ["train.jsonl", "val.jsonl", "metadata.json"] {
        assert_eq!(read(&world, &format!("one/{file}")), read(&world, &format!("four/{file}")), "{file}");
        assert_eq!(read(&world, &format!("four/{file}")), read(&world, &format!("again/{file}")), "{file}");
    }
    let questions = |file: &str| -> HashSet<String> {
        let question = |text: &String| Layout::Qwen3.parse(text).unwrap().0.question.to_lowercase();
        texts(&world, file).iter().map(question).collect()
    };
    let (train, val) = (questions("one/train.jsonl"), questions("one/val.jsonl"));
    assert!(train.is_disjoint(&val));
    let share = val.len() as f64 / (train.len() + val.len()) as f64;
    assert!((0.17..0.23).contains(&share), "{share}");
    world.ok(&[&args[..], &["other", "--seed", "7"]].concat());
    assert_ne!(read(&world, "one/val.jsonl"), read(&world, "other/val.jsonl"));
    counts_add_up(&metadata(&world, "one"));
}

#[test]
fn rules_for_what_comes_twice() {
    let world = World::new();
    let other = "CREATE TABLE users (id INT)";
    write(
        &world,
        "rows.jsonl",
        [
            row("How many?", USERS, "SELECT COUNT(*) FROM users"),
            row("how many", USERS, "SELECT COUNT(id) FROM users"),
            row("How many?", other, "SELECT COUNT(*) FROM users"),
            row("Who?", USERS, "SELECT name FROM users"),
            row("Who?", USERS, "select name  from users ;"),
        ]
        .join("\n"),
    );
    let kept = |args: &[&str]| all_texts(&world, &[&["--dataset", "rows.jsonl"], args].concat()).len();
    assert_eq!(kept(&[]), 3);
    assert_eq!(kept(&["--dedupe", "question"]), 3);
    assert_eq!(kept(&["--no-deduplicate"]), 5);
    assert_eq!(kept(&["--limit", "2"]), 2);
    assert_eq!(metadata(&world, "out")["counts"]["read"], 3);
    assert_eq!(kept(&["--drop-ambiguous"]), 2);
    let dropped = metadata(&world, "out")["counts"]["dropped_by_reason"].clone();
    assert_eq!(dropped, json!({"duplicate": 2, "ambiguous": 1}));
    assert!(read(&world, "out/dropped.jsonl").contains("\"line\":1,\"reason\":\"ambiguous\""));
    assert_eq!(kept(&["--drop-ambiguous", "--no-deduplicate"]), 3);
    assert!(!world.work().join("out/spool").exists());
    counts_add_up(&metadata(&world, "out"));
    let fields: Value = {
        kept(&["--keep-fields"]);
        serde_json::from_str(read(&world, "out/train.jsonl").lines().next().unwrap()).unwrap()
    };
    assert_eq!(fields["answer"], "SELECT COUNT(*) FROM users");
    assert_eq!(fields["schema"], format!("{USERS};"));
    assert_eq!(kept(&["--max-length", "150"]), 1);
    assert_eq!(world.run(&["preprocess", "--dataset", "rows.jsonl", "--min-length", "9", "--max-length", "8"]).code, 2);
}

#[test]
fn bad_inputs_are_refused_and_leave_the_old_folder() {
    let world = World::new();
    tiny::write_rows(&world.work().join("good.jsonl"), 20);
    world.ok(&["preprocess", "--dataset", "good.jsonl"]);
    let before = read(&world, "datasets/processed/train.jsonl");
    let cut = gz(fs::read(world.work().join("good.jsonl")).unwrap().as_slice());
    let columns = (0..40).map(|i| json!({"x": i}).to_string()).collect::<Vec<_>>().join("\n");
    let mixed = format!("{}\n{columns}", read(&world, "good.jsonl"));
    for (name, content, code, message) in [
        ("empty.jsonl", Vec::new(), 3, "holds no record"),
        ("none.jsonl", b"{}\n[]\nhello\n".to_vec(), 3, "of 3 records none is left"),
        ("utf16.jsonl", b"\xff\xfe{\x00}\x00".to_vec(), 3, "is UTF-16 text"),
        ("cut.jsonl.gz", cut[..cut.len() / 2].to_vec(), 3, "damaged or incomplete"),
        ("mixed.jsonl", mixed.into_bytes(), 3, "40 of the first 60 records cannot be used"),
        ("rows.parquet", b"PAR1".to_vec(), 3, "not a readable Parquet file"),
        ("rows.txt", b"x".to_vec(), 3, "no format that is known"),
        ("huge.jsonl", vec![b'x'; 17 << 20], 3, "longer than 16 MiB"),
    ] {
        write(&world, name, &content);
        let run = world.run(&["preprocess", "--dataset", name]);
        assert_eq!(run.code, code, "{name}: {}", run.shown());
        assert!(run.stderr.contains(message) && run.stderr.contains("hint:"), "{name}: {}", run.shown());
        assert_eq!(read(&world, "datasets/processed/train.jsonl"), before, "{name}");
    }
    world.ok(&["preprocess", "--dataset", "mixed.jsonl", "--max-bad", "1"]);
    let run = world.run(&["preprocess", "--dataset", "missing.jsonl", "--json"]);
    assert_eq!((run.code, run.stdout.contains("expert-cli.error/1")), (3, true), "{}", run.shown());
    fs::write(world.work().join("datasets/processed/thesis.txt"), "mine").unwrap();
    let run = world.run(&["preprocess", "--dataset", "good.jsonl"]);
    assert_eq!(run.code, 2, "{}", run.shown());
    assert_eq!(read(&world, "datasets/processed/thesis.txt"), "mine");
    let leftovers = fs::read_dir(world.work().join("datasets")).unwrap().count();
    assert_eq!(leftovers, 1, "temporary folders stay behind");
}

#[cfg(failpoints)]
#[test]
fn a_killed_run_publishes_nothing() {
    let world = World::new();
    tiny::write_rows(&world.work().join("a.jsonl"), 20);
    world.ok(&["preprocess", "--dataset", "a.jsonl"]);
    let before = read(&world, "datasets/processed/metadata.json");
    for point in ["fsx.before_rename", "fsx.before_rename:2", "fsx.before_publish"] {
        let mut command = world.command(&["preprocess", "--dataset", "a.jsonl", "--format", "simple"]);
        assert_ne!(World::wait(command.env("EXPERT_FAILPOINT", point)).code, 0);
        assert_eq!(read(&world, "datasets/processed/metadata.json"), before, "{point}");
    }
}

#[test]
fn a_hub_id_is_read_from_the_cache_and_its_absence_explained() {
    let world = World::new();
    let cache = world.dir.path().join("hf/hub/datasets--acme--rows");
    let offline = |args: &[&str]| {
        let mut command = world.command(&[&["preprocess", "--output", "out", "--val-split", "0"], args].concat());
        World::wait(command.env("HF_HUB_OFFLINE", "1"))
    };
    let run = offline(&["--dataset", "acme/rows"]);
    world.settings().bind(|| insta::assert_snapshot!("hub_offline", run.shown()));
    fs::create_dir_all(cache.join("refs")).unwrap();
    fs::create_dir_all(cache.join("snapshots/abc/data")).unwrap();
    fs::write(cache.join("refs/main"), "abc").unwrap();
    let line = |question: &str| row(question, USERS, "SELECT COUNT(*) FROM users");
    fs::write(cache.join("snapshots/abc/data/train-00000-of-00001.jsonl"), line("How many?")).unwrap();
    fs::write(cache.join("snapshots/abc/data/test-00000-of-00001.jsonl"), line("How many for the test?")).unwrap();
    let run = offline(&["--dataset", "acme/rows"]);
    assert_eq!(run.code, 0, "{}", run.shown());
    assert!(
        run.stderr.contains("cached revision abc") && run.stderr.contains("left out: data/test-"),
        "{}",
        run.stderr
    );
    assert_eq!(metadata(&world, "out")["source"]["revision"], "abc");
    assert_eq!(offline(&["--dataset", "acme/rows::test"]).code, 0);
    assert!(texts(&world, "out/train.jsonl")[0].contains("for the test"));
    let run = offline(&[]);
    assert!(run.code == 3 && run.stderr.contains("gretelai/synthetic_text_to_sql"), "{}", run.shown());
}

#[test]
fn the_manifest_names_source_columns_and_layout() {
    let world = World::new();
    world.ok(&["init", "sql", "--dialect", "sqlite"]);
    let path = world.work().join("sql/manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["training"]["dataset"]["source"] = "own.jsonl".into();
    manifest["training"]["dataset"]["field_mapping"] = json!({"instruction": "q", "input": "c", "response": "s"});
    fs::write(&path, manifest.to_string()).unwrap();
    let line = json!({"q": "How many?", "c": USERS, "s": "SELECT COUNT(*) FROM users"});
    fs::write(world.work().join("sql/own.jsonl"), line.to_string()).unwrap();
    let mut command = world.command(&["preprocess", "--val-split", "0", "--json"]);
    let run = World::wait(command.current_dir(world.work().join("sql")));
    assert_eq!(run.code, 0, "{}", run.shown());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["schema"], "expert-cli.preprocess/1");
    assert_eq!(report["metadata"]["dialect"], "sqlite");
    assert_eq!(report["metadata"]["format"], "qwen3");
    assert_eq!(report["metadata"]["counts"]["shapes"], json!({"mapped": 1}));
    assert_eq!(texts(&world, "sql/datasets/processed/train.jsonl").len(), 1);
}

#[test]
fn rows_that_a_grammar_refuses_are_told() {
    let world = World::new();
    let rows = [
        row("How many?", USERS, "SELECT COUNT(*) FROM users"),
        row("Which names?", USERS, "SELECT name FROM users;"),
        row("Who?", USERS, "SELECT name FROM users WHERE age = 3 AND name = 'x'"),
    ];
    write(&world, "rows.jsonl", rows.join("\n"));
    write(&world, "short.gbnf", "root ::= \"SELECT \" [^\\n]{1,30}");
    let run = |grammar: &str| {
        let args = ["preprocess", "--dataset", "rows.jsonl", "--output", "out", "--val-split", "0"];
        world.ok(&[&args[..], &["--check-grammar", grammar]].concat());
        let told = read(&world, "out/grammar-refused.jsonl");
        told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let refused = run("short.gbnf");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["file"], &refused[0]["line"], &refused[0]["offset"]),
        (&json!("train.jsonl"), &json!(3), &json!(37))
    );
    assert!(run("sql-postgres").is_empty(), "the folder is replaced with what the last run wrote");
    let failed = world.run(&["preprocess", "--dataset", "rows.jsonl", "--output", "out", "--check-grammar", "no-such"]);
    assert_eq!(failed.code, 3);
    assert!(failed.stderr.contains("sql-postgres"), "{}", failed.stderr);
}

/// Runs where `EXPERT_DATA` names the folder with the public rows: no sound row may be lost, every kept one parses.
#[test]
fn sound_public_rows_pass_and_what_is_kept_parses() {
    let Some(data) = std::env::var_os("EXPERT_DATA") else { return };
    let data = Path::new(&data).join("text2sql");
    let world = World::new();
    let sound: HashSet<u64> = {
        let file = fs::File::open(data.join("sound_rows.json.gz")).unwrap();
        serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap()
    };
    for (file, dialect) in
        [("sql_create_context_like", "sqlite"), ("sql_create_context_like", "postgres"), ("gretel_like", "mysql")]
    {
        let path = data.join(format!("{file}.jsonl.gz"));
        let args =
            ["--dataset", path.to_str().unwrap(), "--dialect", dialect, "--max-length", "1000000", "--format", "qwen3"];
        let kept = all_texts(&world, &args);
        let dialect = Dialect::from_name(dialect).unwrap();
        for text in &kept {
            let (prompt, answer) = Layout::Qwen3.parse(text).unwrap();
            sql::parse(&answer, dialect).unwrap();
            sql::Schema::parse(&prompt.schema.unwrap(), dialect).unwrap();
        }
        counts_add_up(&metadata(&world, "out"));
        if file.starts_with("sql_create") {
            let lost = read(&world, "out/dropped.jsonl");
            let lost = lost.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lost: Vec<Value> = lost.filter(|drop| drop["reason"] != "duplicate").collect();
            let wrongly = lost.iter().filter(|drop| sound.contains(&(drop["line"].as_u64().unwrap() - 1)));
            assert_eq!(wrongly.count(), 0);
        }
    }
}
