//! `synthesize`: the files, what takes them, and that no suite leaks into what it makes up.

use std::fs;
use std::path::{Path, PathBuf};

use expert_cli::sql::Dialect;
use expert_cli::synth::{self, Excluded, Options};
use serde_json::Value;

use crate::world::World;

const SHOP: &str = "CREATE TABLE clients (id INT PRIMARY KEY, name VARCHAR(50), city VARCHAR(40), registered_on DATE);
CREATE TABLE purchases (id INT PRIMARY KEY, client_id INT REFERENCES clients(id), purchase_date DATE, status VARCHAR(20), total DECIMAL(8,2));
";

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_schema_becomes_rows_that_preprocess_takes_whole() {
    let world = World::new();
    fs::write(world.work().join("shop.sql"), SHOP).unwrap();
    let args = ["synthesize", "--context", "shop.sql", "--count", "600", "--output", "made", "--json"];
    let run = world.run(&args);
    assert_eq!(run.code, 0, "{run:?}");
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["schema"], "expert-cli.synthesize/1");
    assert_eq!(answer["dialect"], "postgres");
    let train = rows(&world.work().join("made/train.jsonl"));
    assert_eq!(answer["train"]["rows"], train.len());
    assert!(train.len() == 600 && rows(&world.work().join("made/held-out.jsonl")).len() == 200);
    let first = fs::read(world.work().join("made/train.jsonl")).unwrap();
    assert_eq!(world.run(&args).code, 0, "its own folder is replaced");
    assert_eq!(fs::read(world.work().join("made/train.jsonl")).unwrap(), first, "the same seed, the same bytes");

    let run = world.run(&[
        "preprocess",
        "--dataset",
        "made/train.jsonl",
        "--output",
        "out",
        "--dialect",
        "postgres",
        "--json",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let counts = &serde_json::from_str::<Value>(&run.stdout).unwrap()["metadata"]["counts"];
    assert_eq!((counts["read"].as_u64(), counts["kept"].as_u64()), (Some(600), Some(600)), "{counts}");
}

#[test]
fn a_database_is_asked_about_with_its_own_values() {
    let world = World::new();
    let db = rusqlite::Connection::open(world.work().join("shop.db")).unwrap();
    // A purchase may come before its client.
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    db.execute_batch(SHOP).unwrap();
    for id in 1..=20 {
        let city = ["Ouagadougou", "Reykjavik", "Vaduz"][id % 3];
        db.execute_batch(&format!(
            "INSERT INTO clients VALUES ({id}, 'Client {id}', '{city}', '2024-0{}-11');\
             INSERT INTO purchases VALUES ({id}, {}, '2025-0{}-02', 'open', {}.5);",
            1 + id % 9,
            1 + id % 7,
            1 + id % 8,
            id * 3
        ))
        .unwrap();
    }
    drop(db);
    let before = fs::read(world.work().join("shop.db")).unwrap();
    let run = world.run(&["synthesize", "--db", "sqlite:shop.db", "--count", "300", "--output", "made"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("next: expert-cli preprocess"), "{run:?}");
    assert_eq!(fs::read(world.work().join("shop.db")).unwrap(), before, "a user's database is only read");
    let text = fs::read_to_string(world.work().join("made/train.jsonl")).unwrap();
    assert!(text.contains("Ouagadougou") && text.contains("'Vaduz'") && text.contains("\"dialect\":\"sqlite\""));
}

#[test]
fn what_is_wrong_is_said_and_nothing_foreign_is_removed() {
    let world = World::new();
    fs::write(world.work().join("shop.sql"), SHOP).unwrap();
    fs::create_dir(world.work().join("mine")).unwrap();
    fs::write(world.work().join("mine/thesis.txt"), "x").unwrap();
    for (args, code, word) in [
        (vec!["synthesize"], 2, "--db sqlite:PATH"),
        (vec!["synthesize", "--context", "shop.sql", "--output", "mine"], 2, "thesis.txt"),
        (vec!["synthesize", "--context", "shop.sql", "--dialect", "cobol"], 2, "`cobol`"),
        (vec!["synthesize", "--context", "shop.sql", "--lang", "xx"], 2, "known: en, pt"),
        (vec!["synthesize", "--context", "none.sql"], 3, "none.sql"),
    ] {
        let run = world.run(&args);
        assert!(run.code == code && run.stderr.contains(word), "{args:?}: {run:?}");
    }
    assert!(world.work().join("mine/thesis.txt").is_file());
}

fn suites() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experts/expert-sql/suites");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

/// No question of a suite, and none that shares six words in a row with one, is in what a base model is made from.
#[test]
fn no_suite_leaks_into_what_is_made_up() {
    let mut options = Options {
        count: 12_000,
        held_out: 500,
        languages: vec!["en".into(), "pt".into()],
        dialect: Dialect::Postgres,
        seed: 42,
        changes: false,
        phrasing: None,
        exclude: suites(),
    };
    let excluded = Excluded::load(&options.exclude).unwrap();
    let (pairs, ..) = synth::synthesize_many(250, &options, |_| ()).unwrap();
    assert!(pairs.train.len() > 11_900, "{}", pairs.train.len());
    for pair in pairs.train.iter().chain(&pairs.held_out) {
        assert!(!excluded.touches(&pair.question), "leaks: {}", pair.question);
    }
    // The wordings were not taken from the suites: even unguarded hardly one in a thousand comes near.
    options.exclude.clear();
    let (pairs, ..) = synth::synthesize_many(250, &options, |_| ()).unwrap();
    let near = pairs.train.iter().filter(|pair| excluded.touches(&pair.question)).count();
    assert!(near * 1000 <= pairs.train.len(), "{near} of {}", pairs.train.len());
}

/// The scenarios' schemas are not among those made up: none has two of a suite's tables with the same columns.
#[test]
fn made_up_schemas_are_not_those_of_the_suites() {
    let mut known: Vec<Vec<String>> = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("experts/expert-sql/suites/databases")).unwrap()
    {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let ddl = serde_json::from_str::<Value>(&text).ok().and_then(|row| row["schema"].as_str().map(str::to_owned));
        let schema = expert_cli::sql::Schema::parse(&ddl.unwrap_or(text), Dialect::Postgres);
        known.extend(schema.iter().map(names).filter(|names| !names.is_empty()));
    }
    assert!(known.len() >= 10, "{}", known.len());
    let options = Options {
        count: 600,
        held_out: 0,
        languages: vec!["en".into()],
        dialect: Dialect::Postgres,
        seed: 1,
        changes: false,
        phrasing: None,
        exclude: Vec::new(),
    };
    let (pairs, ..) = synth::synthesize_many(300, &options, |_| ()).unwrap();
    for pair in &pairs.train {
        let own = names(&expert_cli::sql::Schema::parse(&pair.schema, Dialect::Postgres).unwrap());
        for suite in &known {
            let shared = own.iter().filter(|name| suite.contains(name)).count();
            assert!(shared < 2 || shared < suite.len(), "{own:?} is {suite:?}");
        }
    }
}

fn names(schema: &expert_cli::sql::Schema) -> Vec<String> {
    schema.tables().iter().map(|table| table.name.text().to_lowercase()).collect()
}
