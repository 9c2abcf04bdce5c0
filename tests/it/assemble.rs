//! `preprocess` over several sources and tasks, answers tried out, schemas shown in other ways.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;

const SHOP: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, age INT); CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INT REFERENCES users(id), total REAL); CREATE TABLE log (at TEXT, what TEXT)";

fn rows(count: usize) -> String {
    let row = |n: usize| {
        let sql = match n % 4 {
            0 => format!("SELECT name FROM users WHERE age > {n}"),
            1 => format!("SELECT u.name FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total < {n}"),
            2 => format!("SELECT COUNT(*) FROM orders WHERE total >= {n} AND user_id <> 2"),
            _ => format!("DELETE FROM users WHERE age = {n}"),
        };
        json!({"question": format!("Question number {n}?"), "context": SHOP, "answer": sql}).to_string()
    };
    (0..count).map(|n| row(n) + "\n").collect()
}

fn written(world: &World, folder: &str) -> Vec<Value> {
    ["train.jsonl", "val.jsonl"]
        .iter()
        .filter_map(|name| fs::read_to_string(world.work().join(folder).join(name)).ok())
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>())
        .collect()
}

fn metadata(world: &World, folder: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(world.work().join(folder).join("metadata.json")).unwrap()).unwrap()
}

#[test]
fn several_sources_become_one_mix_of_tasks() {
    let world = World::new();
    fs::write(world.work().join("rows.jsonl"), rows(80)).unwrap();
    let config = json!({
        "plain": {"data_path": "rows.jsonl", "task_name": "nl2sqlite", "sum_num": 60, "data_aug": true},
        "mend": {"data_path": "rows.jsonl", "task_name": "self_refine"},
        "choose": {"data_path": "rows.jsonl", "task_name": "sql_select"},
    });
    fs::write(world.work().join("datasets.json"), config.to_string()).unwrap();
    let args = ["preprocess", "--config", "datasets.json", "--dialect", "sqlite", "--keep-fields", "--execute"];
    world.ok(&[&args[..], &["--output", "out"]].concat());
    let found = metadata(&world, "out");
    let tasks = &found["counts"]["tasks"];
    let count = |name: &str| tasks[name].as_u64().unwrap();
    assert_eq!((count("questions"), count("self_refine"), count("sql_select")), (60, 17, 9), "{tasks}");
    assert_eq!(found["source"].as_array().unwrap().len(), 3);
    let lines = written(&world, "out");
    let with = |piece: &str| lines.iter().filter(|row| row["question"].as_str().unwrap().contains(piece)).count();
    assert_eq!((with("This statement failed:"), with("Choose the right statement.")), (17, 9));
    // Whatever is made of a question, it is on one side of the split.
    let side = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(world.work().join("out").join(name)).unwrap();
        let row =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["question"].as_str().unwrap().to_lowercase();
        let number = |question: String| {
            question.split("number ").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
        };
        text.lines().filter_map(|line| number(row(line))).collect()
    };
    let (train, val) = (side("train.jsonl"), side("val.jsonl"));
    assert!(!val.is_empty() && val.iter().all(|number| !train.contains(number)), "{val:?}");
    // The same bytes again, whatever the number of threads.
    let mut second = world.command(&[&args[..], &["--output", "again"]].concat());
    assert!(second.env("RAYON_NUM_THREADS", "1").output().unwrap().status.success());
    assert_eq!(written(&world, "again"), lines);
}

#[test]
fn answers_are_tried_out_and_statements_balanced() {
    let world = World::new();
    let bad = json!({"question": "Sum?", "context": SHOP, "answer": "SELECT name FROM users WHERE SUM(age) > 3"});
    fs::write(world.work().join("rows.jsonl"), format!("{}{bad}\n", rows(80))).unwrap();
    let args = ["preprocess", "--dataset", "rows.jsonl", "--dialect", "sqlite", "--output", "out", "--execute"];
    world.ok(&[&args[..], &["--select-ratio", "0.5", "--schema-style", "mschema"]].concat());
    let counts = metadata(&world, "out")["counts"].clone();
    assert_eq!(counts["dropped_by_reason"]["execution"], 1, "{counts}");
    assert_eq!((&counts["statements"]["select"], &counts["statements"]["delete"]), (&json!(20), &json!(20)));
    assert_eq!(counts["dropped_by_reason"]["balance"], 40);
    assert_eq!(counts["executed"]["ran"], 40);
    assert!(counts["hardness"]["easy"].as_u64().unwrap() > 0);
    let text = written(&world, "out")[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("# Table: users\n[\n(id:INTEGER, Primary Key),\n"), "{text}");
    assert!(text.contains("【Foreign keys】\norders.user_id=users.id"), "{text}");
}

#[test]
fn other_languages_and_lists_in_text_are_recognised() {
    let world = World::new();
    let refine = |attempt: Value| json!({"question": format!("How many? {attempt}"), "pred_sql_res": attempt, "sql": "SELECT COUNT(*) FROM log", "db_schema": SHOP});
    let lines = [
        json!({"question": "Who?", "context": SHOP, "answer": "MATCH (u:User) RETURN u.name"}),
        json!({"question": "What?", "context": SHOP, "answer": "I cannot answer that."}),
        refine(json!("[\"SELECT x FROM log\", \"no such column: x\"]")),
        refine(json!([])),
        refine(json!("")),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(world.work().join("rows.jsonl"), text).unwrap();
    let args = ["preprocess", "--dataset", "rows.jsonl", "--dialect", "sqlite", "--output", "out", "--keep-fields"];
    world.ok(&[&args[..], &["--val-split", "0"]].concat());
    assert_eq!(metadata(&world, "out")["counts"]["dropped_by_reason"], json!({"not-sql": 2}));
    let dropped = fs::read_to_string(world.work().join("out/dropped.jsonl")).unwrap();
    assert!(dropped.contains("this is Cypher, not SQL") && dropped.contains("this is prose, not SQL"), "{dropped}");
    let rows = written(&world, "out");
    assert!(
        rows[0]["question"]
            .as_str()
            .unwrap()
            .ends_with("This statement failed:\nSELECT x FROM log\nError: no such column: x\nCorrect it.")
    );
    assert!(rows[1..].iter().all(|row| !row["question"].as_str().unwrap().contains("failed")));

    fs::write(world.work().join("texts.jsonl"), "{\"text\": \"no layout that anybody knows\"}\n").unwrap();
    let run = world.run(&["preprocess", "--dataset", "texts.jsonl", "--output", "texts"]);
    assert!(run.code == 3 && run.stderr.contains("--no-validate-sql"), "{}", run.stderr);
}
