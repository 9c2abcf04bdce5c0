//! The whole chain through the binary: rows → preprocess → train → package → verify → install → chat and infer.

use serde_json::Value;

use crate::tiny;
use crate::world::World;

const SCHEMA: &str = "CREATE TABLE garden (id INTEGER PRIMARY KEY, name TEXT, height INTEGER);\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Validation losses of a run's metrics, in order.
fn losses(metrics: &str) -> Vec<f64> {
    metrics.lines().map(json).filter_map(|record| record["eval_loss"].as_f64()).collect()
}

#[test]
fn rows_become_an_expert_that_answers() {
    let world = World::new();
    let base = world.home().join("models/tiny");
    tiny::write_model(&base);
    tiny::write_rows(&world.work().join("rows.jsonl"), 200);
    std::fs::write(world.work().join("schema.sql"), SCHEMA).unwrap();

    world.ok(&["init", "expert-chain", "--base-model", "tiny", "--dialect", "sqlite"]);
    let counts = json(
        &world
            .ok(&[
                "preprocess",
                "--dataset",
                "rows.jsonl",
                "--output",
                "expert-chain/datasets/processed",
                "--format",
                "qwen3",
                "--dialect",
                "sqlite",
                "--val-split",
                "0.1",
                "--json",
            ])
            .stdout,
    );
    assert_eq!(counts["schema"], "expert-cli.preprocess/1");
    let rows = |file: &str| {
        let text = std::fs::read_to_string(world.work().join("expert-chain/datasets/processed").join(file)).unwrap();
        text.lines().count()
    };
    assert_eq!(rows("train.jsonl") + rows("val.jsonl"), 200);

    let set = |key: &str| format!("training.config.{key}");
    world.ok(&[
        "train",
        "--manifest",
        "expert-chain/manifest.json",
        "--output",
        "expert-chain/weights",
        "--max-steps",
        "40",
        "--set",
        &set("learning_rate=0.005"),
        "--set",
        &set("evaluation_strategy=steps"),
        "--set",
        &set("eval_steps=10"),
        "--set",
        &set("save_strategy=steps"),
        "--set",
        &set("save_steps=20"),
        "--set",
        &set("dropout=0"),
    ]);
    let weights = world.work().join("expert-chain/weights/tiny");
    let losses = losses(&std::fs::read_to_string(weights.join("metrics.jsonl")).unwrap());
    assert!(losses.len() >= 4 && losses[losses.len() - 1] < 0.8 * losses[0], "validation loss: {losses:?}");
    assert!(weights.join("checkpoint-20/adapter_model.safetensors").is_file());
    assert!(weights.join("final/adapter_config.json").is_file());

    let packed = json(
        &world
            .ok(&[
                "package",
                "--manifest",
                "expert-chain/manifest.json",
                "--weights",
                "expert-chain/weights",
                "--output",
                "out",
                "--json",
            ])
            .stdout,
    );
    let package = packed["path"].as_str().unwrap();
    assert!(package.ends_with("expert-chain-tiny.v0.1.0.expert"), "{package}");
    let sum = std::fs::read_to_string(world.work().join(format!("{package}.sha256"))).unwrap();
    let bytes = std::fs::read(world.work().join(package)).unwrap();
    assert_eq!(sum.split_whitespace().next().unwrap(), expert_cli::fsx::sha256(&bytes));
    world.ok(&["verify", package]);
    world.ok(&["install", package]);
    assert_eq!(json(&world.ok(&["list", "--json"]).stdout)["experts"][0]["name"], "expert-chain");

    // Answers of so small a model are noise; that they come, are the same for the same seed and carry their figures is not.
    let ask = || {
        world.run(&[
            "chat",
            "--experts",
            "chain",
            "--context",
            "schema.sql",
            "--prompt",
            "How many gardens are there?",
            "--max-tokens",
            "24",
            "--logits",
            "--json",
        ])
    };
    let (first, second) = (json(&ask().stdout), json(&ask().stdout));
    assert_eq!(first["schema"], "expert-cli.chat/1");
    assert_eq!((&first["token_ids"], &first["logits"]), (&second["token_ids"], &second["logits"]));
    assert!(!first["prompt_ids"].as_array().unwrap().is_empty());

    // The adapter is at work: the base alone gives other logits.
    let plain = json(
        &world
            .run(&[
                "chat",
                "--base-model",
                "tiny",
                "--format",
                "qwen3",
                "--dialect",
                "sqlite",
                "--context",
                "schema.sql",
                "--prompt",
                "How many gardens are there?",
                "--max-tokens",
                "1",
                "--logits",
                "--json",
            ])
            .stdout,
    );
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    if plain["prompt_ids"] == first["prompt_ids"] {
        let (with, without) = (numbers(&first["logits"]), numbers(&plain["logits"]));
        let moved = with.iter().zip(&without).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(moved > 0.5, "the adapter moves the logits by {moved}");
    }

    let questions =
        "{\"id\": 7, \"question\": \"How many gardens are there?\"}\n{\"id\": 8, \"question\": \"List the names.\"}\n";
    std::fs::write(world.work().join("q.jsonl"), questions).unwrap();
    world.ok(&[
        "infer",
        "--experts",
        "chain",
        "--context",
        "schema.sql",
        "--input",
        "q.jsonl",
        "--output",
        "p.jsonl",
        "--max-tokens",
        "8",
    ]);
    let answers = std::fs::read_to_string(world.work().join("p.jsonl")).unwrap();
    let ids: Vec<Value> = answers.lines().map(|line| json(line)["id"].clone()).collect();
    assert_eq!(ids, [7, 8]);
    world.ok(&["uninstall", "chain"]);
    assert_eq!(json(&world.ok(&["list", "--json"]).stdout)["experts"].as_array().unwrap().len(), 0);
}

#[test]
fn quickstart_runs_every_step() {
    let world = World::new();
    let run = world.ok(&["quickstart", "--dir", "quick", "--steps", "40", "--questions", "6", "--json"]);
    let answer = json(&run.stdout);
    assert_eq!(answer["schema"], "expert-cli.quickstart/1");
    let verbs: Vec<&str> =
        answer["steps"].as_array().unwrap().iter().map(|step| step["command"][0].as_str().unwrap()).collect();
    let chain = ["init", "synthesize", "train", "package", "verify", "install", "eval", "chat", "chat", "chat"];
    assert_eq!(verbs, chain);
    assert_eq!((&answer["scores"]["n"], &answer["base_scores"]["n"]), (&6.into(), &6.into()));
    for answer in answer["answers"].as_array().unwrap() {
        // Held to the grammar and the shop's tables: whatever is answered runs.
        assert!(answer["sql"].as_str().unwrap().to_ascii_uppercase().starts_with("SELECT"), "{answer}");
        assert!(answer["result"]["columns"].is_array(), "{answer}");
    }
    assert!(world.work().join(answer["package"].as_str().unwrap()).is_file());
    let again = world.run(&["quickstart", "--dir", "quick", "--steps", "4"]);
    assert_eq!(again.code, 2, "{}", again.shown());
}
