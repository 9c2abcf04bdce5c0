//! A quantised base from the manifest through the real binary: dry run, training, resuming, answering.

use std::path::Path;

use expert_cli::data::template::{Layout, Prompt};
use serde_json::{Value, json};

use crate::tiny;
use crate::world::World;

/// An expert folder `work/q` on the tiny model, with rows and this `quantization`.
fn expert(world: &World, quantization: &Value) {
    let folder = world.work().join("q");
    let rows: String = tiny::rows(24)
        .into_iter()
        .map(|(question, schema, answer)| {
            let prompt = Prompt { dialect: "postgres".into(), schema: Some(schema), question };
            json!({"text": Layout::Qwen3.render(&prompt, &answer)}).to_string() + "\n"
        })
        .collect();
    std::fs::create_dir_all(folder.join("datasets/processed")).unwrap();
    std::fs::write(folder.join("datasets/processed/train.jsonl"), rows).unwrap();
    write_manifest(&folder, quantization);
}

fn write_manifest(folder: &Path, quantization: &Value) {
    let manifest = json!({
        "name": "expert-q", "version": "0.1.0", "schema_version": "2.0", "description": "A test", "license": "MIT",
        "capabilities": ["database:postgres"],
        "base_models": [{"name": "tiny", "prompt_template": "qwen3", "quantization": quantization, "adapters": [
            {"type": "dora", "target_modules": ["q_proj"], "r": 4, "alpha": 8}]}],
        "routing": {"keywords": ["sql"]},
        "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
        "training": {"dataset": {"path": "datasets/processed"}, "config": {
            "method": "sft", "adapter_type": "dora", "rank": 4, "alpha": 8, "target_modules": ["q_proj", "down_proj"],
            "epochs": 1, "learning_rate": 5e-3, "batch_size": 4, "gradient_accumulation_steps": 1, "warmup_steps": 0,
            "lr_scheduler": "constant", "logging_steps": 1, "save_strategy": "steps", "save_steps": 2,
            "evaluation_strategy": "no", "quantize_embeddings": true}},
    });
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

#[test]
fn a_quantised_base_is_made_once_trained_on_and_answers() {
    let world = World::new();
    let model = world.home().join("models/tiny");
    tiny::write_model(&model);
    let before: Vec<_> = std::fs::read_dir(&model).unwrap().map(|e| e.unwrap().file_name()).collect();
    expert(&world, &json!("nf4"));
    let train = |output: &str, more: &[&str]| {
        world.run(&[&["train", "--manifest", "q", "--output", output, "--max-steps", "4", "--json"], more].concat())
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let plan = train("dry", &["--dry-run"]);
    let held = &parsed(&plan.stdout)["quantization"];
    assert_eq!((held["quantization"].as_str(), held["embeddings"].as_bool()), (Some("nf4"), Some(true)));
    let otherwise = held["held_otherwise"][0].as_str().unwrap();
    assert_eq!(otherwise, "nf4: 64 does not divide the width 160 of down_proj: held as int8");
    assert!(plan.stderr.contains(otherwise), "{}", plan.stderr);

    // The first run found the file made by the dry run; a machine without it makes the same one.
    let adapter =
        |output: &str| std::fs::read(world.work().join(output).join("tiny/final/adapter_model.safetensors")).unwrap();
    assert_eq!(train("first", &[]).code, 0);
    let cache = world.home().join("cache/quantised");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1);
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(train("second", &[]).code, 0);
    assert!(adapter("first") == adapter("second"));
    let after: Vec<_> = std::fs::read_dir(&model).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before, after, "nothing is written into the model's folder");

    let ask = |more: &[&str]| {
        let adapter = ["chat", "--adapter", "first/tiny/final", "--prompt", "How many ships?", "--json", "--logits"];
        let plain = ["--schema", "CREATE TABLE ship (id INTEGER)", "--max-tokens", "4", "--base-model", "tiny"];
        parsed(&world.run(&[&adapter[..], &plain, more].concat()).stdout)
    };
    let logits = |answer: &Value| -> Vec<f64> {
        answer["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let (quantised, stored) = (ask(&["--quantization", "nf4"]), ask(&["--quantization", "none"]));
    assert_eq!((&quantised["quantization"], &stored["quantization"]), (&json!("nf4"), &Value::Null));
    let between = distance(&logits(&quantised), &logits(&stored));
    assert!((1e-3..3.0).contains(&between), "nf4 moves the logits by {between}");
    let int8 = distance(&logits(&ask(&["--quantization", "int8"])), &logits(&stored));
    assert!(int8 < between / 4.0, "int8 by {int8}");

    write_manifest(&world.work().join("q"), &json!("int8"));
    let refused = train("first", &["--resume"]);
    assert_eq!(refused.code, 3, "{}", refused.shown());
    assert!(refused.shown().contains("quantised otherwise"), "{}", refused.shown());
}
