//! `eval`: that every item of the suites is sound, and the verb over files of answers and over tiny models, whose answers are
//! noise: what is tested is everything around them.

use std::fs;
use std::path::{Path, PathBuf};

use expert_cli::adapter::{Adapter, AdapterConfig};
use expert_cli::eval::{Databases, Judge, Suite};
use expert_cli::model::Decoder;
use expert_cli::sql::Dialect;
use serde_json::{Value, json};

use crate::world::{Run, World};

const NAMES: [&str; 6] = ["smoke", "real-world", "complex", "comparison", "comprehensive", "advanced"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experts/expert-sql/suites")
}

fn parsed(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

fn outcomes(world: &World, folder: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.work().join(folder).join("outcomes.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_gold_passes_and_every_wrong_query_does_not() {
    let (mut right, mut wrong) = (0, 0);
    let own = Judge::new(Dialect::Sqlite);
    for name in NAMES {
        let suite = Suite::load(name, &[folder()]).unwrap();
        let mut databases = Databases::new(None, 1).unwrap();
        for item in &suite.items {
            let opened = databases.open(&suite, item.database).unwrap();
            let judge = |sql: &str| own.judge(&suite, item, &opened, sql).unwrap();
            for sql in item.gold.iter().chain(&item.also) {
                let verdict = judge(sql);
                assert!(verdict.right && verdict.resolves, "{}: {sql}: {:?}", item.id, verdict.reason);
                right += 1;
            }
            assert!(item.wrong.len() >= 3, "{}", item.id);
            for sql in &item.wrong {
                let verdict = judge(sql);
                assert!(!verdict.right, "{}: {sql} passes", item.id);
                let ran = verdict.rows.is_some_and(|(own, _)| own.is_some());
                assert!(ran, "{}: {sql} does not run: {:?}", item.id, verdict.reason);
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
    let smoke = ["eval", "--suite", "smoke", "--suites", suites];
    let with = |more: &[&'static str]| smoke.iter().chain(more).copied().collect::<Vec<&str>>();
    let run = world.ok(&with(&["--predictions", "good.jsonl", "--baseline", "poor.jsonl", "--json"]));
    let answer = parsed(&run);
    assert_eq!(answer["schema"], "expert-cli.eval/1");
    assert_eq!((&answer["execution"]["right"], &answer["execution"]["n"]), (&json!(n), &json!(n)));
    assert_eq!(answer["baseline"]["scores"]["execution"]["right"], 0);
    assert_eq!(answer["baseline"]["only_ours_right"], n);
    assert!(answer["baseline"]["mcnemar_p"].as_f64().unwrap() < 0.001);
    assert_eq!(answer["latency_p95"], 0.25);
    assert_eq!(answer["report"], "evaluations/smoke/report.html");
    assert_eq!(outcomes(&world, "evaluations/smoke").len(), n);
    let page = fs::read_to_string(world.work().join("evaluations/smoke/report.html")).unwrap();
    assert!(page.contains("100.0 %") && page.contains("points over poor.jsonl"));

    let run = world.ok(&with(&["--predictions", "poor.jsonl", "-o", "poor"]));
    assert!(run.stdout.contains("execution") && run.stderr.contains("every answer is in poor/report.html"), "{run:?}");
    let poor = outcomes(&world, "poor");
    let reasons = |language: &str| -> Vec<&str> {
        poor.iter().filter(|row| row["language"] == language).map(|row| row["reason"].as_str().unwrap()).collect()
    };
    assert!(reasons("pt").iter().all(|reason| *reason == "no prediction"));
    assert!(reasons("en").iter().all(|reason| *reason != "no prediction"));
    assert!(poor.iter().filter(|row| row["language"] == "en").all(|row| row["result"] != row["gold_result"]));

    fs::write(world.work().join("strange.jsonl"), "{\"id\": \"none\", \"sql\": \"SELECT 1\"}\n").unwrap();
    for (arguments, code, words) in [
        (with(&["--predictions", "strange.jsonl"]), 3, "no item `none`"),
        (with(&["--predictions", "poor.jsonl", "--lang", "xx"]), 2, "asks nothing in xx"),
        (with(&["--predictions", "poor.jsonl", "--db", "sqlite:x.db"]), 2, "--db does not go with"),
        (with(&["--predictions", "poor.jsonl", "--write-metrics"]), 2, "cannot be used with"),
        (vec!["eval", "--predictions", "poor.jsonl", "--suite", "nothing"], 3, "no suite `nothing`"),
    ] {
        let run = world.run(&arguments);
        assert!(run.code == code && run.stderr.contains(words), "{arguments:?}: {run:?}");
    }
}

/// The flags that every question to a tiny model needs.
const FEW: [&str; 4] = ["--max-tokens", "12", "--limit", "6"];

fn ask(world: &World, more: &[&str]) -> Value {
    let suites = folder();
    let mut all = vec!["eval", "--suite", "smoke", "--suites", suites.to_str().unwrap(), "--json"];
    all.extend(FEW);
    all.extend(more);
    parsed(&world.ok(&all))
}

#[test]
fn a_base_model_alone_is_asked_for_sql_of_the_suites_dialect() {
    let world = World::new();
    crate::tiny::write_model(&world.work().join("model"));
    let answer = ask(&world, &["--base-model", "model"]);
    assert_eq!(answer["execution"]["n"], 6);
    assert_eq!(answer["answers"]["settings"]["grammar"]["value"], "sql-sqlite");
    assert_eq!((&answer["answers"]["dialect"], &answer["answers"]["repair"]), (&json!("sqlite"), &json!(0)));
    assert!(answer["latency_p50"].as_f64().unwrap() > 0.0);
    let all = outcomes(&world, "evaluations/smoke");
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|row| row["right"] == true || row["reason"].is_string()));
    assert!(
        all.iter().any(|row| row["reason"] == "cut off by the token budget"),
        "noise does not end within 12 tokens"
    );

    // The same flags as in chat; several answers are run on the item's database and vote.
    let free = ask(&world, &["--base-model", "model", "--no-grammar", "-n", "3", "--temperature", "1", "-o", "free"]);
    assert_eq!(free["answers"]["settings"]["grammar"]["value"], "none");
    assert_eq!(free["answers"]["several"]["samples"], 3);
    assert_eq!(ask(&world, &["--base-model", "model", "--quick", "-o", "quick"])["execution"]["n"], 6);
}

#[test]
fn an_expert_is_compared_with_its_base_and_checkpoints_are_ranked() {
    let world = World::new();
    let base = world.home().join("models/tiny");
    crate::tiny::write_model(&base);
    world.ok(&["init", "expert-x", "--base-model", "tiny"]);
    let expert = world.work().join("expert-x");
    let decoder = Decoder::load(&base).unwrap();
    let config = AdapterConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules: vec!["q_proj".into(), "down_proj".into()],
        base_model_name_or_path: Some("tiny".into()),
        ..AdapterConfig::default()
    };
    let mut adapter = Adapter::new(config, &decoder, 3).unwrap();
    for param in adapter.params_mut() {
        param.value.iter_mut().enumerate().for_each(|(at, value)| *value = (at * 37 % 11) as f32 * 0.05 - 0.25);
    }
    let run = "expert-x/weights/tiny";
    for name in ["checkpoint-5", "final"] {
        let folder = world.work().join(run).join(name);
        expert_cli::fsx::create_dir_all(&folder).unwrap();
        adapter.save(&folder).unwrap();
    }
    let adapter = format!("{run}/final");
    let answer = ask(&world, &["--adapter", &adapter, "--baseline", "base", "-o", "one"]);
    assert_eq!(
        (&answer["answers"]["adapter"], &answer["baseline"]["answers"]["adapter"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(answer["baseline"]["name"], "tiny");
    let p = answer["baseline"]["mcnemar_p"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&p));

    let before: Value = serde_json::from_str(&fs::read_to_string(expert.join("manifest.json")).unwrap()).unwrap();
    let answer = ask(&world, &["--checkpoints", run, "--select", "-o", "ranked"]);
    let names: Vec<&str> =
        answer["checkpoints"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["checkpoint-5", "final"]);
    // Both hold the same adapter: of equals the earliest.
    assert_eq!((&answer["best"], &answer["packaging_checkpoint"]), (&json!("checkpoint-5"), &json!("checkpoint-5")));
    assert!(fs::read_to_string(world.work().join("ranked/report.html")).unwrap().contains("Checkpoints"));
    let mut after: Value = serde_json::from_str(&fs::read_to_string(expert.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(after["training"]["packaging_checkpoint"], "checkpoint-5");
    let metrics = after["quality_metrics"].take();
    assert_eq!((&metrics["test_queries"], &metrics["checkpoint"]), (&json!(6), &json!("checkpoint-5")));
    assert_eq!((&metrics["training_steps"], &metrics["suite"]), (&json!(5), &json!("smoke")));
    let date = metrics["test_date"].as_str().unwrap();
    assert!(date.len() == 10 && date.as_bytes()[4] == b'-', "{date}");
    // Nothing else has changed.
    for key in before.as_object().unwrap().keys().filter(|key| !["training", "quality_metrics"].contains(&key.as_str()))
    {
        assert_eq!(before[key], after[key], "{key}");
    }

    let answer = ask(&world, &["--adapter", &adapter, "--baseline", "base", "--write-metrics", "-o", "one"]);
    assert!(answer["quality_metrics"]["base_model_score"].is_number(), "{answer}");
    let after: Value = serde_json::from_str(&fs::read_to_string(expert.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(after["quality_metrics"]["checkpoint"], "final");
    world.ok(&["validate", "expert-x"]);

    let package = world.package("expert-x");
    let answer = ask(&world, &["--package", package.to_str().unwrap(), "-o", "packed"]);
    assert_eq!(answer["answers"]["adapter"], true);
    assert_eq!(answer["name"], package.file_name().unwrap().to_str().unwrap());
    world.ok(&["install", package.to_str().unwrap()]);
    let answer = ask(&world, &["--experts", "x", "--baseline", &adapter, "-o", "installed"]);
    assert_eq!(answer["answers"]["expert"]["name"], "expert-x");
    assert_eq!(answer["baseline"]["only_ours_right"], 0, "the same adapter");
}

#[test]
fn what_synthesize_writes_is_a_suite_with_and_without_its_database() {
    let world = World::new();
    let shop = rusqlite::Connection::open(world.work().join("shop.db")).unwrap();
    shop.execute_batch(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, age INTEGER);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total REAL, status TEXT);
         PRAGMA foreign_keys = off;",
    )
    .unwrap();
    for id in 1..40_u32 {
        let (name, city) = (format!("Name {id}"), ["Porto", "Oslo", "Lima", "Kyoto"][id as usize % 4]);
        shop.execute("INSERT INTO customers VALUES (?1, ?2, ?3, ?4)", (id, name, city, 20 + id * 7 % 50)).unwrap();
        let status = ["paid", "open", "sent"][id as usize % 3];
        shop.execute("INSERT INTO orders VALUES (?1, ?2, ?3, ?4)", (id, id % 13 + 1, f64::from(id) * 3.5, status))
            .unwrap();
    }
    drop(shop);
    let few = ["--count", "20", "--held-out", "30", "--output"];
    let synthesize = |more: &[&'static str]| {
        world.ok(&["synthesize"].iter().chain(more).chain(&few).chain(&["rows"]).copied().collect::<Vec<_>>());
        let text = fs::read_to_string(world.work().join("rows/held-out.jsonl")).unwrap();
        let golds = text.lines().enumerate().map(|(at, line)| {
            let row: Value = serde_json::from_str(line).unwrap();
            json!({"id": (at + 1).to_string(), "sql": row["answer"]}).to_string() + "\n"
        });
        fs::write(world.work().join("golds.jsonl"), golds.collect::<String>()).unwrap();
    };
    let judge = |more: &[&'static str]| {
        let own = ["eval", "--predictions", "golds.jsonl", "--suite", "rows/held-out.jsonl", "--json"];
        parsed(&world.ok(&own.iter().chain(more).copied().collect::<Vec<_>>()))
    };
    let whole = |answer: &Value| {
        assert_eq!(answer["execution"]["right"], answer["execution"]["n"], "{}", answer["execution"]);
        assert!(answer["execution"]["n"].as_u64().unwrap() >= 20 && answer["suite_form"] == "pairs", "{answer}");
        assert!(answer["by_pattern"].as_object().unwrap().len() > 3);
    };
    synthesize(&["--db", "sqlite:shop.db"]);
    whole(&judge(&["--db", "sqlite:shop.db"]));
    whole(&judge(&[]));
    // PostgreSQL's words, run in SQLite: what cannot be carried over is left out and said.
    fs::write(
        world.work().join("shop.sql"),
        "CREATE TABLE customers (id INT PRIMARY KEY, name TEXT, city TEXT, age INT);
         CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT REFERENCES customers (id), total NUMERIC(8,2), paid BOOLEAN);",
    )
    .unwrap();
    synthesize(&["--context", "shop.sql", "--dialect", "postgres"]);
    let answer = judge(&[]);
    whole(&answer);
    assert_eq!(answer["dialect"], "postgres");
    assert!(answer["skipped"].as_array().unwrap().len() <= 5, "{}", answer["skipped"]);
}

/// On a server every suite has its own queries and rows, in schemas that go again.
#[cfg(unix)]
#[test]
fn suites_are_run_on_a_postgresql_server_too() {
    let Some(server) = crate::postgres::Postgres::start() else { return };
    let world = World::new();
    let url = format!("postgres:///postgres?host={}&user=postgres", server.socket().display());
    let suites = folder();
    for name in ["real-world", "complex", "comparison"] {
        let text = fs::read_to_string(suites.join(format!("{name}.jsonl"))).unwrap();
        let (mut golds, mut wrong) = (String::new(), String::new());
        for line in text.lines() {
            let item: Value = serde_json::from_str(line).unwrap();
            golds += &(json!({"id": item["id"], "sql": item["gold"]["postgres"][0]}).to_string() + "\n");
            wrong += &(json!({"id": item["id"], "sql": item["wrong"]["postgres"][0]}).to_string() + "\n");
        }
        fs::write(world.work().join("golds.jsonl"), golds).unwrap();
        fs::write(world.work().join("wrong.jsonl"), wrong).unwrap();
        let (folder, flags) = (suites.to_str().unwrap(), ["--lang", "en", "--json", "--db", &url]);
        let own =
            ["eval", "--predictions", "golds.jsonl", "--baseline", "wrong.jsonl", "--suites", folder, "--suite", name];
        let answer = parsed(&world.ok(&own.iter().chain(&flags).copied().collect::<Vec<_>>()));
        assert_eq!(answer["dialect"], "postgres");
        assert_eq!(answer["execution"]["right"], answer["execution"]["n"], "{name}: {}", answer["execution"]);
        assert_eq!(answer["baseline"]["scores"]["execution"]["right"], 0, "{name}");
        assert_eq!(answer["schema_valid"]["right"], answer["execution"]["n"], "{name}");
    }
    let left = server.run("", &["SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'expert%'"]);
    assert_eq!(left[0], Ok(vec![vec![Some("0".to_owned())]]));
}
