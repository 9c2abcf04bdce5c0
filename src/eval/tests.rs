//! Judging over whole suites: which rule counts where, failures, databases that are made and go again.

use serde_json::json;

use super::*;
use crate::db::Source;
use crate::fsx;
use crate::sql::Dialect;

const DDL: &str = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, age INTEGER); \
                   CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total REAL);";

/// A suite of pairs over made-up rows.
fn pairs(dir: &std::path::Path, golds: &[&str], dialect: &str) -> Suite {
    let path = dir.join("pairs.jsonl");
    let row = |gold: &&str| json!({"context": DDL, "question": "Q?", "answer": gold, "dialect": dialect}).to_string();
    let text = golds.iter().map(row).collect::<Vec<_>>().join("\n");
    fsx::write_atomic(&path, text.as_bytes()).unwrap();
    Suite::load(path.to_str().unwrap(), &[]).unwrap()
}

fn verdicts(suite: &Suite, judge: Judge, answers: &[&str]) -> Vec<Verdict> {
    let mut databases = Databases::new(None, ROW_SEEDS).unwrap();
    suite
        .items
        .iter()
        .zip(answers)
        .map(|(item, sql)| {
            let opened = databases.open(suite, item.database).unwrap();
            assert_eq!(judge.unusable(suite, item, &opened), None);
            judge.judge(suite, item, &opened, sql).unwrap()
        })
        .collect()
}

#[test]
fn pairs_are_run_on_rows_made_up_several_times() {
    let dir = tempfile::tempdir().unwrap();
    let gold = "SELECT name FROM customers WHERE age > 40";
    let suite = pairs(dir.path(), &[gold; 8], "sqlite");
    let answers = [
        gold,
        "SELECT customers.name FROM customers WHERE NOT age <= 40",
        "SELECT name FROM customers WHERE age >= 40.5",
        "SELECT name, age FROM customers WHERE age > 40",
        "SELECT name FROM customers WHERE age > 40 LIMIT 1",
        "SELECT nobody FROM customers",
        "SELECT name FROM",
        "DELETE FROM customers",
    ];
    let verdicts = verdicts(&suite, Judge::new(Dialect::Sqlite), &answers);
    let right: Vec<bool> = verdicts.iter().map(|verdict| verdict.right).collect();
    assert_eq!(right, [true, true, true, false, false, false, false, false]);
    assert_eq!(verdicts[0].measures.exact, Some(true));
    assert_eq!(verdicts[3].reason.as_deref(), Some("2 columns instead of 1"));
    assert!(verdicts[5].parses && !verdicts[5].resolves && !verdicts[6].parses);
    assert!(verdicts[5].reason.as_ref().unwrap().contains("no such column"));
    assert!(verdicts[7].reason.as_ref().unwrap().starts_with("refused"));
    let (own, gold) = verdicts[3].rows.as_ref().unwrap();
    assert_eq!(own.as_ref().unwrap()["columns"], json!(["name", "age"]));
    assert!(gold["n"].as_u64().unwrap() > 0);
}

#[test]
fn the_folder_of_the_databases_goes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let suite = pairs(dir.path(), &["SELECT 1 FROM orders"], "sqlite");
    let mut databases = Databases::new(None, 2).unwrap();
    let opened = databases.open(&suite, 0).unwrap();
    let files: Vec<_> = opened
        .sources
        .iter()
        .map(|source| match source {
            Source::Sqlite(path) => path.clone(),
            Source::Postgres(_) => panic!("SQLite is meant"),
        })
        .collect();
    assert!(files.len() == 2 && files.iter().all(|file| file.is_file()));
    let rows = |at: usize| opened.sources[at].query("SELECT * FROM customers", &LIMITS).unwrap().rows;
    assert_ne!(rows(0), rows(1), "other rows each time");
    drop(databases);
    assert!(files.iter().all(|file| !file.exists()));
}

#[test]
fn rows_of_the_same_seed_are_those_that_were_asked_about() {
    let options = crate::synth::Options {
        count: 0,
        held_out: 60,
        languages: vec!["en".into()],
        dialect: Dialect::Sqlite,
        seed: 5,
        changes: false,
        phrasing: None,
        exclude: Vec::new(),
    };
    let (made, ..) = crate::synth::synthesize_many(3, &options, |_| ()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("held-out.jsonl");
    let text: String = made.held_out.iter().map(|pair| pair.to_json(Dialect::Sqlite).to_string() + "\n").collect();
    fsx::write_atomic(&path, text.as_bytes()).unwrap();
    let suite = Suite::load(path.to_str().unwrap(), &[]).unwrap();
    let golds: Vec<String> = suite.items.iter().map(|item| item.gold[0].clone()).collect();
    let answers: Vec<&str> = golds.iter().map(String::as_str).collect();
    let verdicts = verdicts(&suite, Judge::new(Dialect::Sqlite), &answers);
    assert!(answers.len() >= 40 && verdicts.iter().all(|verdict| verdict.right && verdict.resolves));
    let nothing = verdicts.iter().filter(|verdict| verdict.measures.gold_found_nothing).count();
    assert!(nothing * 10 <= answers.len(), "{nothing} of {} golds find nothing", answers.len());
}

#[test]
fn another_dialect_is_converted_for_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let gold = "SELECT name FROM customers WHERE city ILIKE '%a%' AND age / 2 > 15";
    let suite = pairs(dir.path(), &[gold; 3], "postgres");
    let answers = [
        gold,
        "SELECT name FROM customers WHERE LOWER(city) LIKE '%a%' AND age / 2 > 15",
        "SELECT name FROM customers WHERE city ILIKE '%a%'",
    ];
    let verdicts = verdicts(&suite, Judge::new(Dialect::Postgres), &answers);
    assert_eq!(verdicts.iter().map(|verdict| verdict.right).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn the_published_evaluators_and_the_default_differ_where_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let gold = "SELECT DISTINCT city FROM customers";
    let suite = pairs(dir.path(), &[gold; 2], "sqlite");
    let answers = ["SELECT city FROM customers", "SELECT DISTINCT city FROM customers; SELECT 1"];
    let right =
        |judge: Judge| verdicts(&suite, judge, &answers).iter().map(|verdict| verdict.right).collect::<Vec<_>>();
    assert_eq!(right(Judge::new(Dialect::Sqlite)), [false, false]);
    assert_eq!(right(Judge::new(Dialect::Sqlite).official()), [true, true]);
}

#[test]
fn what_was_cut_off_is_wrong_whatever_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let gold = "SELECT name FROM customers";
    let suite = pairs(dir.path(), &[gold], "sqlite");
    let verdict = verdicts(&suite, Judge::new(Dialect::Sqlite), &[gold]).remove(0);
    assert!(verdict.right);
    let answer = Answer { sql: gold.into(), failed: Some("cut off".into()), ..Answer::default() };
    let outcome = Outcome::new(&suite.items[0], "en", answer, verdict);
    assert!(!outcome.is_right() && outcome.verdict.reason.as_deref() == Some("cut off"));
    let summary = summary(std::slice::from_ref(&outcome));
    for key in ["execution", "spider_execution", "bird_execution", "exact_match"] {
        assert_eq!(summary[key]["right"], 0, "{key}");
    }
    assert_eq!((&summary["valid_sql"]["right"], &summary["soft_f1"]), (&json!(1), &json!(0.0)));
}

#[test]
fn a_part_is_spread_evenly() {
    let tasks: Vec<usize> = (0..100).collect();
    assert_eq!(spread(&tasks, 4), [0, 25, 50, 75]);
    assert_eq!(spread(&tasks, 200).len(), 100);
}
