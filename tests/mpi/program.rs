//! The program itself as two processes: the same run as one process, resumed, refused, broken, interrupted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use expert_cli::data::template::{Layout, Prompt};
use expert_cli::fsx;
use expert_cli::train::folder::RunFolder;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{code, mpirun, text, tiny};

/// Largest difference of a loss (the golden files' tolerance; see `src/train/golden.rs`).
const LOSS: f64 = 1e-5;
/// Largest difference of a parameter after five steps of 1e-3 (the golden files').
const PARAMETER: f32 = 5e-6;

/// An expert folder with 24 rows and a tiny base model.
struct Expert(TempDir);

impl Expert {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let processed = dir.path().join("datasets/processed");
        fsx::create_dir_all(&processed).unwrap();
        tiny::write_model(&dir.path().join("tiny"));
        let lines: Vec<String> = tiny::rows(30)
            .into_iter()
            .map(|(question, schema, answer)| {
                let prompt = Prompt { dialect: "postgres".into(), schema: Some(schema), question };
                json!({"text": Layout::Qwen3.render(&prompt, &answer)}).to_string() + "\n"
            })
            .collect();
        fsx::write_atomic(&processed.join("train.jsonl"), lines[..24].concat().as_bytes()).unwrap();
        fsx::write_atomic(&processed.join("val.jsonl"), lines[24..].concat().as_bytes()).unwrap();
        let manifest = json!({
            "name": "expert-tiny", "version": "0.1.0", "schema_version": "2.0", "description": "A test",
            "license": "MIT", "capabilities": ["database:postgres"],
            "base_models": [{"name": "tiny", "prompt_template": "qwen3", "adapters": [
                {"type": "dora", "target_modules": ["q_proj"], "r": 4, "alpha": 8}]}],
            "routing": {"keywords": ["sql"]},
            "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
            "training": {"dataset": {"path": "datasets/processed"}, "config": {
                "method": "sft", "adapter_type": "dora", "rank": 4, "alpha": 8, "dropout": 0.1,
                "target_modules": ["q_proj", "v_proj", "down_proj"], "max_steps": 5, "learning_rate": 1e-3,
                "gradient_accumulation_steps": 1, "lr_scheduler": "cosine", "logging_steps": 1, "weight_decay": 0.01,
                "save_strategy": "steps", "save_steps": 1, "evaluation_strategy": "steps", "eval_steps": 2,
                "save_total_limit": null, "seed": 7}},
        });
        fsx::write_atomic(&dir.path().join("manifest.json"), manifest.to_string().as_bytes()).unwrap();
        Self(dir)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn here(&self, command: &mut Command) {
        command.current_dir(self.0.path()).env("EXPERT_HOME", self.path("home")).env_remove("EXPERT_FAILPOINT");
    }

    /// One process, 4 rows a step.
    fn alone(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        self.here(&mut command);
        command.args(["train", "--set", "training.config.batch_size=4"]).args(arguments).output().unwrap()
    }

    /// Two processes, 2 rows each.
    fn two(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = mpirun()?;
        self.here(&mut command);
        command.args(["-n", "2"]).arg(program());
        Some(command.args(["train", "--set", "training.config.batch_size=2"]).args(arguments).output().unwrap())
    }

    /// Two processes, of which the second is started by a line of shell with the program and its arguments in `$@`.
    fn two_with(&self, second: &str, arguments: &[&str]) -> Option<Command> {
        let mut command = mpirun()?;
        self.here(&mut command);
        let train = ["train", "--set", "training.config.batch_size=2"];
        command.args(["-n", "1"]).arg(program()).args(train).args(arguments);
        command.args([":", "-n", "1", "sh", "-c", second, "sh"]).arg(program()).args(train).args(arguments);
        Some(command)
    }

    fn adapter(&self, output: &str, step: u64) -> Vec<u8> {
        fsx::read(&self.path(output).join(format!("tiny/checkpoint-{step}/adapter_model.safetensors"))).unwrap()
    }

    /// The metrics without what the clock and the machine decide.
    fn metrics(&self, output: &str) -> Vec<Value> {
        let file = fsx::read_text(&self.path(output).join("tiny/metrics.jsonl")).unwrap();
        let mut records: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for record in &mut records {
            record["tokens_per_s"] = Value::Null;
            record["rss_mib"] = Value::Null;
        }
        records
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_expert-cli"))
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let (numbers, _) = tensors.tensor(name).unwrap().data().as_chunks::<4>();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn two_processes_train_what_one_trains() {
    let expert = Expert::new();
    for dropout in ["0", "0.1"] {
        let set = format!("training.config.dropout={dropout}");
        let (one, both) = (format!("one-{dropout}"), format!("both-{dropout}"));
        let Some(output) = expert.two(&["--output", &both, "--set", &set]) else { return };
        assert_eq!(code(&output), 0, "{}", text(&output));
        assert_eq!(text(&output).matches("holds the adapter of step 5").count(), 1, "one speaks: {}", text(&output));
        let output = expert.alone(&["--output", &one, "--set", &set]);
        assert_eq!(code(&output), 0, "{}", text(&output));
        let (found, expected) = (expert.metrics(&both), expert.metrics(&one));
        assert_eq!((found.len(), expected.len()), (5, 5));
        let mut losses = 0;
        for (found, expected) in found.iter().zip(&expected) {
            for key in ["step", "epoch", "learning_rate", "target_tokens"] {
                assert_eq!(found[key], expected[key], "{key}");
            }
            for key in ["loss", "eval_loss", "grad_norm", "eval_token_accuracy"] {
                let (a, b) = (found[key].as_f64(), expected[key].as_f64());
                assert_eq!(a.is_some(), b.is_some(), "{key}");
                let (Some(a), Some(b)) = (a, b) else { continue };
                // Norms have the golden files' tolerance of norms.
                let tolerance = if key == "grad_norm" { 10.0 * LOSS } else { LOSS };
                assert!((a - b).abs() < tolerance, "{key} {a} {b}");
                losses += 1;
            }
        }
        assert_eq!(losses, 5 * 2 + 3 * 2, "all losses were compared");
        let (found, expected) = (expert.adapter(&both, 5), expert.adapter(&one, 5));
        let (found, expected) =
            (SafeTensors::deserialize(&found).unwrap(), SafeTensors::deserialize(&expected).unwrap());
        let first = expert.adapter(&one, 1);
        let first = SafeTensors::deserialize(&first).unwrap();
        let mut moved = 0f32;
        for name in expected.names() {
            let (a, b, start) = (floats(&found, name), floats(&expected, name), floats(&first, name));
            let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < PARAMETER, "{name}, dropout {dropout}: {worst}");
            moved = b.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(moved, f32::max);
        }
        assert!(moved > 1e-3, "the run moved its parameters: {moved}");
    }
    assert_ne!(expert.adapter("one-0", 5), expert.adapter("one-0.1", 5));
}

#[test]
fn interrupted_and_resumed_two_processes_end_with_the_same_bytes() {
    let expert = Expert::new();
    let Some(output) = expert.two(&["--output", "whole"]) else { return };
    assert_eq!(code(&output), 0, "{}", text(&output));
    // Killed as by `kill -9` in the third step: the launcher ends the other one.
    let fail = "export EXPERT_FAILPOINT=train.step:3; exec \"$@\"";
    let killed = expert.two_with(fail, &["--output", "cut"]).unwrap().output().unwrap();
    assert_ne!(code(&killed), 0, "{}", text(&killed));
    assert!(text(&killed).contains("rank 1") && text(&killed).contains("signal"), "{}", text(&killed));
    assert!(!expert.path("cut/tiny/final").exists());
    let output = expert.alone(&["--output", "cut", "--resume"]);
    assert_eq!(code(&output), 3, "{}", text(&output));
    assert!(text(&output).contains("another number of processes") && text(&output).contains("then 2, now 1"));
    let output = expert.two(&["--output", "cut", "--resume"]).unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert_eq!(expert.adapter("cut", 5), expert.adapter("whole", 5));
    assert_eq!(expert.metrics("cut"), expert.metrics("whole"));
}

#[test]
fn what_one_process_cannot_do_ends_both() {
    let expert = Expert::new();
    // Another seed in one of them.
    let Some(mut command) = expert.two_with("exec \"$@\" --seed 8", &["--output", "seeds"]) else { return };
    let output = command.output().unwrap();
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("process 1 of 2 has other settings, rows or base model"), "{}", text(&output));
    // What is wrong for all is said once.
    let output = expert.two(&["--output", "none", "--dataset", "nowhere"]).unwrap();
    assert_eq!(code(&output), 3, "{}", text(&output));
    assert_eq!(text(&output).matches("error:").count(), 1, "{}", text(&output));
    // Somebody else holds the folder: only the first of them asks for it.
    let _held = RunFolder::open(&expert.path("held/tiny")).unwrap();
    let output = expert.two(&["--output", "held"]).unwrap();
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert_eq!(text(&output).matches("is in use by another expert-cli").count(), 1, "{}", text(&output));
}

#[test]
fn one_that_is_interrupted_stops_both_behind_the_same_step() {
    let expert = Expert::new();
    let arguments = ["--output", "cut", "--max-steps", "100000", "--set", "training.config.save_steps=100000"];
    let Some(mut command) = expert.two_with("echo $$ > second; exec \"$@\"", &arguments) else { return };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = expert.path("cut/tiny/metrics.jsonl");
    let start = Instant::now();
    while std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        assert!(start.elapsed() < Duration::from_secs(100), "no three steps");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = fsx::read_text(&expert.path("second")).unwrap();
    assert!(Command::new("kill").args(["-INT", second.trim()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", text(&output));
    assert_eq!(text(&output).matches("goes on with it").count(), 1, "{}", text(&output));
    let latest = fsx::read_text(&expert.path("cut/tiny/LATEST")).unwrap();
    assert!(latest.trim().strip_prefix("checkpoint-").unwrap().parse::<u64>().unwrap() >= 3, "{latest}");
}
