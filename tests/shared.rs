//! Measurements on real rows, which are not in the repository: `cargo test --test shared -- --ignored --nocapture` reads
//! them from the folder that `EXPERT_SHARED` names (default `../shared`) and skips with a clear word what is not there.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and reports")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "it/tiny.rs"]
#[expect(dead_code, reason = "the rows are those of the integration tests")]
mod tiny;

/// A data file of the shared folder, or none with a word about it.
fn shared(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EXPERT_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = root.join("data").join(file);
    if !path.is_file() {
        eprintln!("skipped: {} is not there (set EXPERT_SHARED)", path.display());
        return None;
    }
    Some(path)
}

fn expert_cli(home: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expert-cli"));
    command.args(args).current_dir(folder).env("EXPERT_HOME", home).env("HF_HOME", home.join("hf"));
    command
}

/// Runs to success and returns stdout.
fn ok(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs data that is not in the repository"]
fn real_data_sets_are_preprocessed_with_counts_that_add_up() {
    for file in ["text2sql/sql_create_context_like.jsonl.gz", "text2sql/gretel_like.jsonl.gz"] {
        let Some(data) = shared(file) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let args =
            ["preprocess", "--dataset", data.to_str().unwrap(), "--output", "out", "--format", "qwen3", "--json"];
        let answer: Value = serde_json::from_str(&ok(expert_cli(dir.path(), dir.path(), &args))).unwrap();
        let counts = &answer["metadata"]["counts"];
        let count = |key: &str| counts[key].as_u64().unwrap();
        assert_eq!(count("read"), count("kept") + count("dropped"));
        assert_eq!(count("kept"), count("train") + count("val"));
        let by_reason: u64 =
            counts["dropped_by_reason"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(by_reason, count("dropped"));
        let mut rows = 0;
        for part in ["train.jsonl", "val.jsonl"] {
            let text = std::fs::read_to_string(dir.path().join("out").join(part)).unwrap();
            for line in text.lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                let text = row["text"].as_str().unwrap();
                let layout = expert_cli::data::template::Layout::detect(text).unwrap();
                let answer = &text[layout.split(text).unwrap()..];
                let sql = answer.split("<|im_end|>").next().unwrap();
                expert_cli::sql::parse(sql, expert_cli::sql::Dialect::Postgres)
                    .unwrap_or_else(|e| panic!("{sql}: {e}"));
                rows += 1;
            }
        }
        assert_eq!(rows, count("kept"));
        eprintln!("{file}: {counts} at {} rows/s", answer["rows_per_second"]);
    }
}

/// A tiny model trained 200 steps on real rows with DoRA r = 12 on six modules: validation loss falls by a fifth or more,
/// and a run that was killed with -9 and resumed ends with the same bytes as one that was not.
#[test]
#[ignore = "needs data that is not in the repository"]
fn real_rows_teach_and_a_killed_run_resumes_to_the_same_bytes() {
    let Some(data) = shared("text2sql/sql_create_context_like.jsonl.gz") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (home, folder) = (dir.path().join("home"), dir.path());
    tiny::write_model(&home.join("models/tiny"));
    ok(expert_cli(&home, folder, &["init", "expert-real", "--base-model", "tiny", "--dialect", "postgres"]));
    let expert = folder.join("expert-real");
    let data = data.to_str().unwrap();
    ok(expert_cli(
        &home,
        &expert,
        &["preprocess", "--dataset", data, "--output", "datasets/processed", "--limit", "3000", "--val-split", "0.01"],
    ));
    let train = |output: &str, resume: bool| {
        let mut args = vec!["train", "--output", output, "--max-steps", "200"];
        for setting in [
            "learning_rate=0.003",
            "dropout=0.05",
            "logging_steps=10",
            "evaluation_strategy=steps",
            "eval_steps=50",
            "save_strategy=steps",
            "save_steps=40",
        ] {
            args.extend(["--set", Box::leak(format!("training.config.{setting}").into_boxed_str())]);
        }
        if resume {
            args.extend(["--resume", "latest"]);
        }
        expert_cli(&home, &expert, &args)
    };
    ok(train("whole", false));
    let metrics = std::fs::read_to_string(expert.join("whole/tiny/metrics.jsonl")).unwrap();
    let losses: Vec<(u64, f64)> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|r| Some((r["step"].as_u64()?, r["eval_loss"].as_f64()?)))
        .collect();
    eprintln!("validation loss by step: {losses:?}");
    let (first, last) = (losses[0].1, losses[losses.len() - 1].1);
    assert!(last <= 0.8 * first, "validation loss went from {first} to {last}");

    let mut child = train("killed", false).stderr(std::process::Stdio::null()).spawn().unwrap();
    let checkpoint = expert.join("killed/tiny/checkpoint-80");
    let started = Instant::now();
    while !checkpoint.is_dir() && started.elapsed() < Duration::from_secs(600) {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the run ended before it was killed");
    ok(train("killed", true));
    for file in [
        "final/adapter_model.safetensors",
        "checkpoint-200/adapter_model.safetensors",
        "checkpoint-200/optimizer.safetensors",
    ] {
        let bytes = |run: &str| std::fs::read(expert.join(run).join("tiny").join(file)).unwrap();
        assert!(bytes("whole") == bytes("killed"), "{file} differs");
    }
}
