//! `eval`, and that every item of the suites is sound: its gold passes, its wrong queries do not.

use std::fs;
use std::path::{Path, PathBuf};

use expert_cli::db::Limits;
use expert_cli::eval::{Suite, judge_item};
use serde_json::{Value, json};

use crate::world::World;

const NAMES: [&str; 6] = ["smoke", "real-world", "complex", "comparison", "comprehensive", "advanced"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experts/expert-sql/suites")
}

#[test]
fn every_gold_passes_and_every_wrong_query_does_not() {
    let (mut right, mut wrong) = (0, 0);
    for name in NAMES {
        for item in Suite::load(name, &[folder()]).unwrap().items {
            let mut database = item.database().unwrap();
            let mut judge = |sql: &str| judge_item(&item, sql, &mut database, &Limits::default()).unwrap();
            for sql in item.gold.iter().chain(&item.also) {
                let verdict = judge(sql);
                assert!(verdict.right && verdict.resolves, "{}: {sql}: {:?}", item.id, verdict.reason);
                right += 1;
            }
            assert!(item.wrong.len() >= 3, "{}", item.id);
            for sql in &item.wrong {
                let verdict = judge(sql);
                assert!(!verdict.right, "{}: {sql} passes", item.id);
                assert!(verdict.rows.is_some(), "{}: {sql} does not run: {:?}", item.id, verdict.reason);
                wrong += 1;
            }
            assert!(item.question.contains_key("en") && item.question.contains_key("pt"), "{}", item.id);
        }
    }
    assert!(right >= 350 && wrong >= 1050, "{right} {wrong}");
}

#[test]
fn answers_are_scored_compared_and_kept() {
    let world = World::new();
    let suites = folder();
    let suite = Suite::load("smoke", std::slice::from_ref(&suites)).unwrap();
    let mut good = String::new();
    let mut poor = String::new();
    for item in &suite.items {
        good += &(json!({"id": item.id, "sql": item.gold[0], "seconds": 0.25}).to_string() + "\n");
        poor += &(json!({"id": item.id, "sql": item.wrong[0], "language": "en"}).to_string() + "\n");
    }
    fs::write(world.work().join("good.jsonl"), good).unwrap();
    fs::write(world.work().join("poor.jsonl"), poor).unwrap();
    let suites = suites.to_str().unwrap();
    let n = suite.items.len() * 2;
    let run = world.ok(&[
        "eval",
        "--predictions",
        "good.jsonl",
        "--suite",
        "smoke",
        "--suites",
        suites,
        "--baseline",
        "poor.jsonl",
        "--outcomes",
        "outcomes.jsonl",
        "--json",
    ]);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["schema"], "expert-cli.eval/1");
    assert_eq!((&answer["execution"]["right"], &answer["execution"]["n"]), (&json!(n), &json!(n)));
    assert_eq!(answer["baseline"]["scores"]["execution"]["right"], 0);
    assert_eq!(answer["baseline"]["only_ours_right"], n);
    assert!(answer["baseline"]["mcnemar_p"].as_f64().unwrap() < 0.001);
    assert_eq!(answer["latency_p95"], 0.25);
    assert_eq!(fs::read_to_string(world.work().join("outcomes.jsonl")).unwrap().lines().count(), n);

    let run = world.ok(&["eval", "--predictions", "poor.jsonl", "--suite", "smoke", "--suites", suites]);
    assert!(
        run.stdout.contains("execution") && run.stderr.contains("no prediction") || run.stderr.contains("other values")
    );
    fs::write(world.work().join("strange.jsonl"), "{\"id\": \"none\", \"sql\": \"SELECT 1\"}\n").unwrap();
    let run = world.run(&["eval", "--predictions", "strange.jsonl", "--suite", "smoke", "--suites", suites]);
    assert!(run.code == 3 && run.stderr.contains("no item `none`"), "{run:?}");
    let run = world.run(&["eval", "--predictions", "poor.jsonl", "--suite", "nothing", "--suites", suites]);
    assert!(run.code == 3 && run.stderr.contains("no suite `nothing`"), "{run:?}");
}
