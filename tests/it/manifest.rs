//! `validate` and `init`.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;

#[test]
fn a_starter_folder_is_valid_and_is_not_overwritten() {
    let world = World::new();
    world.ok(&["init", "sql", "--dialect", "sqlite"]);
    let run = world.ok(&["validate", "sql"]);
    assert_eq!(run.stdout, "expert-sql 0.1.0 on Qwen3-0.6B: 0 errors, 0 warnings\n");
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(world.work().join("sql/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["capabilities"][1], "database:sqlite");
    let rows =
        fs::read_to_string(world.work().join("sql").join(manifest["training"]["dataset"]["path"].as_str().unwrap()));
    for row in rows.unwrap().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert!(row["text"].as_str().unwrap().contains("Dialect: sqlite\nSchema:\nCREATE TABLE"));
    }
    fs::write(world.work().join("sql/README.md"), "mine").unwrap();
    let run = world.run(&["init", "sql"]);
    world.settings().bind(|| insta::assert_snapshot!("init_refuses", run.shown()));
    assert_eq!(fs::read_to_string(world.work().join("sql/README.md")).unwrap(), "mine");
    world.ok(&["init", "sql", "--force"]);
    assert_ne!(fs::read_to_string(world.work().join("sql/README.md")).unwrap(), "mine");
    let run = world.run(&["init", "a b"]);
    assert_eq!(run.code, 2, "{}", run.shown());
    assert!(!world.work().join("a b").exists());
}

#[test]
fn validate_lists_all_problems() {
    let world = World::new();
    let manifest = json!({
        "_comment": "passes", "name": "expert-sql", "version": "1.0", "schema_version": "2.0",
        "base_models": [{"name": "F:\\models\\Qwen3-0.6B", "adapters": [{"type": "dorra", "r": 0}]}],
        "integrity": {"files": 7},
        "traning": {},
        "training": {"config": {"adapter_type": "dora", "rnak": 12, "learning_rate": "fast", "_comment_lr": "passes",
            "target_modules": ["q_proj"], "warmup_ratio": 0.1, "warmup_steps": 10}},
        "evil\u{1b}[2J": 1
    });
    fs::write(world.work().join("manifest.json"), manifest.to_string()).unwrap();
    let run = world.run(&["validate"]);
    world.settings().bind(|| insta::assert_snapshot!("validate_bad", run.shown()));
    let run = world.run(&["validate", "manifest.json", "--json"]);
    assert_eq!(run.code, 3);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["schema"], "expert-cli.validate/1");
    assert_eq!(report["valid"], false);
    let problems = report["problems"].as_array().unwrap();
    let typo = problems.iter().find(|p| p["path"] == "training.config.rnak").unwrap();
    assert_eq!((&typo["severity"], &typo["did_you_mean"]), (&json!("warning"), &json!("rank")));
}

#[test]
fn what_is_no_manifest_is_named() {
    let world = World::new();
    let run = world.run(&["validate", "nowhere"]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("there is no nowhere") && run.stderr.contains("hint: "), "{}", run.shown());
    fs::write(world.work().join("manifest.json"), "{\n  \"name\": \"x\",\n}").unwrap();
    let run = world.run(&["validate", "--json"]);
    assert_eq!(run.code, 3);
    let error: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(error["error"].as_str().unwrap().contains("manifest.json:3:1 is not JSON"), "{}", run.shown());
}
