//! `preprocess`: solved questions before a question, answers checked on a real database, rows made from its errors, and
//! going on where a run was stopped.

use std::collections::HashSet;
use std::fs;

use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::tiny;
use crate::world::World;

const SHOP: &str = "CREATE TABLE users (id INT PRIMARY KEY, name TEXT, age INT); CREATE TABLE orders (id INT PRIMARY KEY, user_id INT, total NUMERIC(8,2))";

fn row(question: &str, answer: &str) -> String {
    json!({"question": question, "context": SHOP, "answer": answer}).to_string()
}

fn written(world: &World, path: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.work().join(path)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn dropped(world: &World, folder: &str) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = written(world, &format!("{folder}/dropped.jsonl"));
    rows.iter().map(|row| (text(row, "reason"), text(row, "detail"))).collect()
}

/// The solved questions before a question: pairs of a question and its answer, and the question itself.
fn solved(question: &str) -> (Vec<(String, String)>, String) {
    let Some(rest) = question.strip_prefix("Solved before:\n") else { return (Vec::new(), question.to_owned()) };
    let mut blocks: Vec<&str> = rest.split("\n\n").collect();
    let asked = blocks.pop().unwrap().to_owned();
    let pair = |block: &&str| block.split_once('\n').map(|(q, a)| (q.to_owned(), a.to_owned())).unwrap();
    (blocks.iter().map(pair).collect(), asked)
}

#[test]
fn examples_are_alike_from_the_training_side_and_never_the_row_itself() {
    let world = World::new();
    let mut lines: Vec<String> = (0..240)
        .map(|n| {
            let things = ["users", "orders"][n % 2];
            row(
                &format!("How many {things} have an id over {n} in group {}?", ["one", "two", "three"][n % 3]),
                &format!("SELECT COUNT(*) FROM {things} WHERE id > {n}"),
            )
        })
        .collect();
    // The same question in another spelling over another schema is the same question.
    lines.push(
        json!({"question": "how many USERS have an id over 0 in group one", "context": "CREATE TABLE users (id INT)",
            "answer": "SELECT COUNT(id) FROM users WHERE id > 0"})
        .to_string(),
    );
    fs::write(world.work().join("rows.jsonl"), lines.join("\n")).unwrap();
    let args = ["preprocess", "--dataset", "rows.jsonl", "--keep-fields", "--val-split", "0.3", "--few-shot", "2"];
    for (threads, output) in [("1", "one"), ("3", "three")] {
        let args = [&args[..], &["--output", output]].concat();
        let run = World::wait(world.command(&args).env("RAYON_NUM_THREADS", threads));
        assert_eq!(run.code, 0, "{}", run.shown());
    }
    for file in ["train.jsonl", "val.jsonl", "metadata.json"] {
        let text = |folder: &str| fs::read_to_string(world.work().join(folder).join(file)).unwrap();
        assert_eq!(text("one"), text("three"), "{file}");
    }
    let plain = |question: &str| question.trim_end_matches('?').to_lowercase();
    let rows = |file: &str| -> Vec<_> {
        written(&world, file).iter().map(|row| solved(row["question"].as_str().unwrap())).collect()
    };
    let (train, val) = (rows("one/train.jsonl"), rows("one/val.jsonl"));
    let held: HashSet<String> = val.iter().map(|(_, asked)| plain(asked)).collect();
    let taught: HashSet<String> = train.iter().map(|(_, asked)| plain(asked)).collect();
    assert!(held.len() > 30 && taught.len() > 100, "{} {}", held.len(), taught.len());
    for (examples, asked) in train.iter().chain(&val) {
        assert_eq!(examples.len(), 2, "{asked}");
        for (question, answer) in examples {
            assert!(taught.contains(&plain(question)) && !held.contains(&plain(question)), "{question}");
            assert_ne!(plain(question), plain(asked));
            let things = if asked.to_lowercase().contains("users") { "users" } else { "orders" };
            assert!(question.contains(things) && answer.contains(things), "{asked} | {question}");
        }
    }
}

#[test]
fn examples_that_do_not_fit_are_left_out_and_the_row_stays() {
    let world = World::new();
    let lines: Vec<String> = (0..60)
        .map(|n| {
            row(&format!("How many users are older than {n}?"), &format!("SELECT COUNT(*) FROM users WHERE age > {n}"))
        })
        .collect();
    fs::write(world.work().join("rows.jsonl"), lines.join("\n")).unwrap();
    let args = ["preprocess", "--dataset", "rows.jsonl", "--keep-fields", "--few-shot", "3", "--max-length", "420"];
    world.ok(&[&args[..], &["--output", "out"]].concat());
    let rows = written(&world, "out/train.jsonl");
    let counts: HashSet<usize> = rows.iter().map(|row| solved(row["question"].as_str().unwrap()).0.len()).collect();
    assert!(counts.iter().all(|count| (1..3).contains(count)), "{counts:?}");
    assert!(rows.iter().all(|row| row["text"].as_str().unwrap().chars().count() <= 420));
    assert_eq!(rows.len() + written(&world, "out/val.jsonl").len(), 60);
}

#[test]
fn answers_are_prepared_on_a_sqlite_file() {
    let world = World::new();
    let database = rusqlite::Connection::open(world.work().join("shop.db")).unwrap();
    // The file has no column `age`: it comes before what the row says.
    database
        .execute_batch("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'a');")
        .unwrap();
    let lines = [
        row("Who is there?", "SELECT name FROM users"),
        row("How old are they?", "SELECT age FROM users"),
        row("How much was ordered?", "SELECT SUM(total) FROM orders"),
        row("Who goes?", "DELETE FROM users"),
        row("Which function?", "SELECT no_such_function(id) FROM users"),
    ];
    fs::write(world.work().join("rows.jsonl"), lines.join("\n")).unwrap();
    let args = ["preprocess", "--dataset", "rows.jsonl", "--db", "sqlite:shop.db", "--val-split", "0"];
    world.ok(&args);
    let texts = written(&world, "datasets/processed/train.jsonl");
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0]["text"].as_str().unwrap().contains("Dialect: sqlite"));
    let reasons = dropped(&world, "datasets/processed");
    assert_eq!(reasons[0], ("database".into(), "no such column: age".into()));
    assert!(reasons[1].1.contains("no such function: no_such_function"), "{reasons:?}");
    assert_eq!(database.query_row("SELECT COUNT(*) FROM users", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let wrong = world.run(&[&args[..], &["--dialect", "postgres"]].concat());
    assert!(wrong.code == 2 && wrong.stderr.contains("--dialect sqlite"), "{}", wrong.shown());
    let missing = world.run(&["preprocess", "--dataset", "rows.jsonl", "--db", "sqlite:none.db"]);
    assert!(missing.code == 3 && missing.stderr.contains("none.db"), "{}", missing.shown());
}

#[test]
fn answers_are_prepared_on_a_postgresql_and_nothing_stays_there() {
    let Some(server) = Postgres::start() else { return };
    let world = World::new();
    let lines = [
        row("Who is there?", "SELECT name FROM users"),
        row("Who is how old?", "SELECT name || age FROM users"),
        row("Ages and names?", "SELECT name, COUNT(*) FROM users GROUP BY id"),
        row("Names by age?", "SELECT name, COUNT(*) FROM users GROUP BY age"),
        row("Whose function?", "SELECT no_such_function(id) FROM users"),
        row("Who goes?", "DELETE FROM users WHERE id IN (SELECT user_id FROM orders)"),
        row("Settings?", "SELECT set_config('role', 'postgres', false) FROM users"),
    ];
    fs::write(world.work().join("rows.jsonl"), lines.join("\n")).unwrap();
    let address = format!("postgres://postgres@/postgres?host={}", server.socket().display());
    let args = ["preprocess", "--dataset", "rows.jsonl", "--db", &address, "--val-split", "0", "--keep-fields"];
    world.ok(&args);
    let reasons = dropped(&world, "datasets/processed");
    assert!(reasons.iter().all(|(reason, _)| reason == "database"), "{reasons:?}");
    let details: String = reasons.iter().map(|(_, detail)| format!("{detail}\n")).collect();
    for wanted in ["no_such_function", "set_config is not allowed"] {
        assert!(details.contains(wanted), "{details}");
    }
    assert_eq!(written(&world, "datasets/processed/train.jsonl").len() + reasons.len(), lines.len());
    let left = server.run("", &["SELECT COUNT(*) FROM pg_class WHERE relname IN ('users', 'orders')"]);
    assert_eq!(left[0].as_ref().unwrap()[0][0].as_deref(), Some("0"));
    // Rows of the other tasks are made with the server's own errors and results.
    for (task, piece) in [("self_refine", "This statement failed:"), ("sql_select", "Choose the right statement.")] {
        let config = json!({"a": {"data_path": "rows.jsonl", "task_name": task}});
        fs::write(world.work().join("datasets.json"), config.to_string()).unwrap();
        world.ok(&["preprocess", "--config", "datasets.json", "--db", &address, "--val-split", "0", "--keep-fields"]);
        let rows = written(&world, "datasets/processed/train.jsonl");
        assert!(
            !rows.is_empty() && rows.iter().all(|row| row["question"].as_str().unwrap().contains(piece)),
            "{rows:?}"
        );
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_and_gives_the_same_bytes() {
    let world = World::new();
    tiny::write_rows(&world.work().join("a.jsonl"), 5000);
    let args = ["preprocess", "--dataset", "a.jsonl", "--resume", "--output"];
    world.ok(&[&args[..], &["whole"]].concat());
    let journals = || -> Vec<std::path::PathBuf> {
        let all = fs::read_dir(world.work()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.file_name().unwrap().to_string_lossy().contains(".resume-")).collect()
    };
    assert!(journals().is_empty(), "{:?}", journals());
    // The third chunk's file cannot be kept: the run ends there, with two chunks done.
    #[cfg(failpoints)]
    {
        let mut stopped = world.command(&[&args[..], &["part"]].concat());
        assert_ne!(World::wait(stopped.env("EXPERT_FAILPOINT", "fsx.before_rename:3")).code, 0);
        let [journal] = journals().try_into().unwrap();
        // What is taken from there is not prepared again: a changed line shows.
        let first = journal.join("000000.json");
        let text = fs::read_to_string(&first).unwrap();
        fs::write(&first, text.replacen("Dialect: postgres", "Dialect: POSTGRES", 1)).unwrap();
        world.ok(&[&args[..], &["part"]].concat());
        for file in ["train.jsonl", "val.jsonl"] {
            let text = |folder: &str| fs::read_to_string(world.work().join(folder).join(file)).unwrap_or_default();
            assert_eq!(text("part").replace("POSTGRES", "postgres"), text("whole"), "{file}");
        }
        let all = |folder: &str| {
            written(&world, &format!("{folder}/train.jsonl")).len()
                + written(&world, &format!("{folder}/val.jsonl")).len()
        };
        assert_eq!(all("part"), all("whole"));
        let both = ["train.jsonl", "val.jsonl"]
            .map(|file| fs::read_to_string(world.work().join("part").join(file)).unwrap_or_default());
        assert_eq!(both.concat().matches("POSTGRES").count(), 1);
        assert!(journals().is_empty());
    }
    // Other settings do not go on with what these left.
    world.ok(&[&args[..], &["part", "--seed", "9"]].concat());
    assert!(journals().is_empty());
}
