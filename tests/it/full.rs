//! `train` with `adapter_type: "full"` through the real binary: from stored weights, from random ones, with a new
//! tokenizer; interrupted runs; what the result is good for.

use std::path::Path;
use std::process::{Command, Output};

use expert_cli::data::template::{Layout, Prompt};
use expert_cli::fsx;
use expert_cli::model::{Batch, Decoder, NoAdapters};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::tiny;
use crate::world::World;

/// Shapes of a model from scratch.
fn config(vocab_size: usize) -> Value {
    json!({
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": vocab_size, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 16, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 512,
        "tie_word_embeddings": true, "hidden_act": "silu", "attention_bias": false, "torch_dtype": "bfloat16",
    })
}

/// An expert folder `work/scratch` whose base model is a lone config.json in `work/shapes`.
fn scratch(settings: &Value) -> World {
    let world = World::new();
    let write = |name: &str, text: String| fsx::write_atomic(&world.work().join(name), text.as_bytes()).unwrap();
    write("shapes/config.json", config(9).to_string());
    let rows = |from: usize, to: usize| -> String {
        let render = |(question, schema, answer): (String, String, String)| {
            let prompt = Prompt { dialect: "postgres".into(), schema: Some(schema), question };
            json!({"text": Layout::Qwen3.render(&prompt, &answer)}).to_string() + "\n"
        };
        tiny::rows(to).into_iter().skip(from).map(render).collect()
    };
    write("scratch/datasets/processed/train.jsonl", rows(0, 32));
    write("scratch/datasets/processed/val.jsonl", rows(64, 70));
    let mut all = json!({
        "method": "sft", "adapter_type": "full", "epochs": 1, "max_steps": 8, "learning_rate": 1e-2, "batch_size": 4,
        "gradient_accumulation_steps": 1, "weight_decay": 0.1, "lr_scheduler": "cosine", "warmup_steps": 1,
        "logging_steps": 1, "save_strategy": "steps", "save_steps": 4, "save_total_limit": null, "seed": 3,
        "evaluation_strategy": "steps", "eval_steps": 4,
    });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let manifest = json!({
        "name": "expert-scratch", "version": "0.1.0", "schema_version": "2.0", "description": "A test",
        "license": "MIT", "capabilities": ["database:postgres"],
        "base_models": [{"name": "../shapes", "prompt_template": "qwen3", "adapters": [
            {"type": "dora", "target_modules": ["q_proj"], "r": 4, "alpha": 8}]}],
        "routing": {"keywords": ["sql"]},
        "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
        "training": {"dataset": {"path": "datasets/processed"}, "config": all},
    });
    write("scratch/manifest.json", manifest.to_string());
    world
}

fn train(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(&["train", "--manifest", "scratch", "--new-tokenizer", "400"]);
    command.args(arguments).env_remove("EXPERT_FAILPOINT");
    command
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    shown(&output)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn eval_losses(run: &Path) -> Vec<f64> {
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["eval_loss"].as_f64()).collect()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_model_from_a_config_and_rows_alone() {
    let world = scratch(&json!({}));
    let text = succeed(train(&world, &["--output", "out"]));
    assert!(text.contains("a new tokenizer of 400 ids") && text.contains("starts from random numbers"), "{text}");
    assert!(text.contains("holds the model of step"), "{text}");
    let run = world.work().join("out/shapes");
    let files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    let found = names(&run.join("final"));
    assert!(files.iter().all(|file| found.iter().any(|name| name == file)), "{found:?}");
    assert!(!run.join("adapter").exists(), "there is no adapter");
    let saved = json_of(&run.join("final/config.json"));
    assert_eq!((saved["vocab_size"].as_u64(), saved["eos_token_id"].as_u64()), (Some(400), Some(2)));
    assert_eq!(saved["torch_dtype"], "float32");
    let losses = eval_losses(&run);
    assert!(losses.last().unwrap() < &(400f64.ln() - 0.5), "{losses:?}: a uniform guess is {}", 400f64.ln());
    // Norms and biases are not pulled towards zero, matrices are: here nothing else moves them by that much.
    let logits = |dir: &Path| {
        let mut batch = Batch::default();
        batch.push(&[1, 5, 17, 300]);
        Decoder::load(dir).unwrap().logits(&batch, &NoAdapters).unwrap()
    };
    let exact = logits(&run.join("final"));

    // bf16: the same model, rounded, half the size.
    let config = "training.config.save_dtype=bfloat16";
    succeed(train(&world, &["--output", "rounded", "--set", config]));
    let rounded = world.work().join("rounded/shapes");
    let state = |dir: &Path| std::fs::read(dir.join("model.safetensors")).unwrap();
    assert_eq!(state(&run.join("checkpoint-8")), state(&rounded.join("checkpoint-8")), "checkpoints are f32");
    let bytes = state(&rounded.join("final"));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.iter().all(|(_, view)| view.dtype() == Dtype::BF16));
    assert_eq!(json_of(&rounded.join("final/config.json"))["torch_dtype"], "bfloat16");
    let worst = exact.iter().zip(logits(&rounded.join("final"))).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 0.1, "{worst}");

    // It is a base model now: training goes on from it, and `package` says what it is not.
    let base = run.join("final");
    let mut more = world.command(&["train", "--manifest", "scratch", "--output", "more", "--max-steps", "2"]);
    more.args(["--base-model", base.to_str().unwrap()]);
    let text = succeed(more);
    assert!(!text.contains("random numbers"), "{text}");

    // With another tokenizer too: what it knows of the old words comes along.
    let renewed = ["--output", "renewed", "--max-steps", "2", "--new-tokenizer", "450", "--base-model"];
    let mut command = world.command(&["train", "--manifest", "scratch"]);
    command.args(renewed).arg(&base);
    let text = succeed(command);
    assert!(text.contains("begin as the mean of the old tokens that spell them"), "{text}");
    let run = world.work().join("renewed/shapes");
    let ids = json_of(&run.join("final/config.json"))["vocab_size"].as_u64().unwrap();
    assert!(ids > 400 && text.contains(&format!("a new tokenizer of {ids} ids")), "{text}");
    let (loss, uniform) = (eval_losses(&run)[0], (ids as f64).ln());
    assert!(loss < uniform - 0.5, "{loss} after two steps: a uniform guess is {uniform}");
    let refused = world.run(&["package", "--manifest", "scratch", "--weights", "out"]);
    assert_eq!(refused.code, 3, "{}", refused.shown());
    assert!(refused.stderr.contains("holds a whole model, not an adapter"), "{}", refused.shown());
}

#[test]
fn killed_and_resumed_it_ends_with_the_same_bytes() {
    let world = scratch(&json!({"optim": "adamw_bnb_8bit", "packing": true, "gradient_checkpointing": true}));
    let files = |output: &str| {
        let folder = world.work().join(output).join("shapes/checkpoint-8");
        ["model.safetensors", "optimizer.safetensors", "tokenizer.json"]
            .map(|name| std::fs::read(folder.join(name)).unwrap())
    };
    succeed(train(&world, &["--output", "whole"]));
    let expected = files("whole");
    let moments = SafeTensors::deserialize(&expected[1]).unwrap();
    let dtype = |name: &str| moments.tensor(name).unwrap().dtype();
    assert_eq!(dtype("exp_avg_sq.model.embed_tokens.weight"), Dtype::U8);
    assert_eq!(dtype("exp_avg_sq.model.norm.weight"), Dtype::F32);
    for point in ["train.step:6", "train.before_publish:2"] {
        let output = point.replace([':', '.'], "-");
        let killed = train(&world, &["--output", &output]).env("EXPERT_FAILPOINT", point).output().unwrap();
        assert!(killed.status.code().is_none(), "{point} was not reached: {}", shown(&killed));
        succeed(train(&world, &["--output", &output, "--resume"]));
        assert!(files(&output) == expected, "killed at {point}");
    }
    let other = train(&world, &["--output", "whole", "--resume", "--seed", "4"]).output().unwrap();
    assert_eq!(other.status.code(), Some(3), "{}", shown(&other));
}

/// Packing, grouping, dropout, 8-bit moments and checkpointing together, on an adapter: killed and resumed gives the
/// same bytes, and so does every kind of checkpointing.
#[test]
fn with_everything_switched_on_a_killed_run_ends_with_the_same_bytes() {
    let world = scratch(&json!({
        "rank": 128, "alpha": 128, "dropout": 0.1, "target_modules": ["q_proj", "up_proj", "down_proj"],
        "optim": "adamw_bnb_8bit", "packing": true, "group_by_length": true, "max_seq_length": 200, "batch_size": 2,
        "gradient_accumulation_steps": 2, "gradient_checkpointing": "selective",
    }));
    succeed(train(&world, &["--output", "base", "--max-steps", "1"]));
    let base = world.work().join("base/shapes/final");
    let adapter = |output: &str| {
        let mut command = world.command(&["train", "--manifest", "scratch", "--output", output, "--base-model"]);
        command.arg(&base).args(["--set", "training.config.adapter_type=dora"]).env_remove("EXPERT_FAILPOINT");
        command
    };
    let files = |output: &str| {
        let folder = world.work().join(output).join("shapes/checkpoint-8");
        ["adapter_model.safetensors", "optimizer.safetensors"].map(|name| std::fs::read(folder.join(name)).unwrap())
    };
    let text = succeed(adapter("whole"));
    assert!(!text.contains("change nothing here"), "every setting is honoured: {text}");
    let expected = files("whole");
    let moments = SafeTensors::deserialize(&expected[1]).unwrap();
    let a = "exp_avg.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    assert_eq!(moments.tensor(a).unwrap().dtype(), Dtype::U8);
    for point in ["train.step:3", "train.before_publish:2"] {
        let output = point.replace([':', '.'], "-");
        let killed = adapter(&output).env("EXPERT_FAILPOINT", point).output().unwrap();
        assert!(killed.status.code().is_none(), "{point} was not reached: {}", shown(&killed));
        let mut resumed = adapter(&output);
        let saved = world.work().join(&output).join("shapes/LATEST").exists();
        resumed.arg(if saved { "--resume" } else { "--restart" });
        succeed(resumed);
        assert!(files(&output) == expected, "killed at {point}");
    }
    for how in ["off", "on"] {
        let mut other = adapter(how);
        other.args(["--set", &format!("training.config.gradient_checkpointing={how}")]);
        succeed(other);
        assert!(files(how) == expected, "checkpointing {how}");
    }
}

#[test]
fn what_cannot_start_is_refused_by_name() {
    let world = scratch(&json!({}));
    for (arguments, exit, words) in [
        (&["--new-tokenizer", "50"][..], 2, "has to be 300 or more"),
        (
            &["--new-tokenizer", "400", "--set", "training.config.adapter_type=lora"],
            2,
            "needs the tokenizer of its base",
        ),
        (&[], 3, "--new-tokenizer 8192"),
        (&["--set", "training.config.adapter_type=lora"], 3, "has no model.safetensors"),
    ] {
        let run = world.run(&[&["train", "--manifest", "scratch"], arguments].concat());
        assert_eq!(run.code, exit, "{arguments:?}: {}", run.shown());
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.shown());
    }
    // A folder with weights of a kind that is not read is no reason to start from random numbers.
    fsx::write_atomic(&world.work().join("shapes/pytorch_model.bin"), b"x").unwrap();
    let run = world.run(&["train", "--manifest", "scratch"]);
    assert_eq!(run.code, 3, "{}", run.shown());
}
