//! `train` through the real binary on a tiny random model: results, resume after kills, interrupts, full disks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use expert_cli::data::template::{Layout, Prompt};
use expert_cli::data::tokenizer;
use expert_cli::model::init::{RandomModel, write_random};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny;

/// An expert folder with rows and a base model beside it.
struct Expert {
    dir: TempDir,
}

impl Expert {
    /// `config` goes over the settings of these tests.
    fn new(config: &Value) -> Self {
        let expert = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(expert.path("datasets/processed")).unwrap();
        std::fs::create_dir(expert.path("tiny")).unwrap();
        expert.write_model(0);
        expert.write_rows("train.jsonl", 0..32);
        expert.write_rows("val.jsonl", 64..72);
        let mut settings = json!({
            "method": "sft", "adapter_type": "dora", "rank": 4, "alpha": 8, "dropout": 0.1,
            "target_modules": ["q_proj", "v_proj", "down_proj"], "epochs": 2, "learning_rate": 5e-3, "batch_size": 2,
            "gradient_accumulation_steps": 2, "warmup_steps": 2, "lr_scheduler": "cosine", "logging_steps": 1,
            "save_strategy": "steps", "save_steps": 4, "evaluation_strategy": "steps", "eval_steps": 8,
            "save_total_limit": null, "seed": 7,
        });
        settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let manifest = json!({
            "name": "expert-tiny", "version": "0.1.0", "schema_version": "2.0", "description": "A test",
            "license": "MIT", "capabilities": ["database:postgres"],
            "base_models": [{"name": "tiny", "prompt_template": "qwen3", "adapters": [
                {"type": "dora", "target_modules": ["q_proj"], "r": 4, "alpha": 8}]}],
            "routing": {"keywords": ["sql"]},
            "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
            "training": {"dataset": {"path": "datasets/processed"}, "config": settings},
        });
        std::fs::write(expert.path("manifest.json"), manifest.to_string()).unwrap();
        expert
    }

    /// A base model even smaller than that of the other tests: these train it often.
    fn write_model(&self, seed: u64) {
        let texts: Vec<String> = tiny::rows(80).into_iter().map(|(q, s, a)| format!("{s}\n{q}\n{a}")).collect();
        let size = tokenizer::write_new(&self.path("tiny"), texts.iter().map(String::as_str), 500).unwrap();
        let model = RandomModel {
            vocab_size: size + 8,
            hidden_size: 32,
            intermediate_size: 48,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
            seed,
            ..RandomModel::default()
        };
        write_random(&self.path("tiny"), &model).unwrap();
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    fn write_rows(&self, name: &str, which: std::ops::Range<usize>) {
        let lines: String = tiny::rows(which.end)
            .into_iter()
            .skip(which.start)
            .map(|(question, schema, answer)| {
                let prompt = Prompt { dialect: "postgres".into(), schema: Some(schema), question };
                json!({"text": Layout::Qwen3.render(&prompt, &answer)}).to_string() + "\n"
            })
            .collect();
        std::fs::write(self.path("datasets/processed").join(name), lines).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_expert-cli"));
        command.arg("train").args(arguments).current_dir(self.dir.path());
        command.env("EXPERT_HOME", self.path("home")).env_remove("EXPERT_FAILPOINT").stdin(Stdio::null());
        command
    }

    fn train(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.train(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Bytes of the adapter and the moments of a checkpoint.
    fn state(&self, output: &str, step: u64) -> (Vec<u8>, Vec<u8>) {
        let folder = self.path(output).join(format!("tiny/checkpoint-{step}"));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{folder:?}/{name}: {e}"));
        (read("adapter_model.safetensors"), read("optimizer.safetensors"))
    }

    /// The metrics without what the clock and the machine decide.
    fn metrics(&self, output: &str) -> Vec<Value> {
        let file = std::fs::read_to_string(self.path(output).join("tiny/metrics.jsonl")).unwrap();
        file.lines()
            .map(|line| {
                let mut record: Value = serde_json::from_str(line).unwrap();
                record["tokens_per_s"] = Value::Null;
                record["rss_mib"] = Value::Null;
                record
            })
            .collect()
    }
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[test]
fn an_expert_learns_and_everything_is_where_it_belongs() {
    let expert = Expert::new(&json!({"use_unsloth": true, "learning_rte": 1}));
    let output = expert.train(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let shown = text(&output);
    for words in [
        "learning_rate",
        "manifest",
        "use_unsloth: the trainer is built in",
        "did you mean `learning_rate`",
        "32 rows, 8 for validation",
        "next: expert-cli package",
    ] {
        assert!(shown.contains(words), "{words} missing in {shown}");
    }
    let metrics = expert.metrics("weights");
    let steps: Vec<u64> = metrics.iter().filter_map(|record| record["step"].as_u64()).collect();
    assert_eq!(steps, (1..=16).collect::<Vec<_>>());
    let keys: Vec<&String> = metrics[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "step",
            "epoch",
            "loss",
            "eval_loss",
            "eval_token_accuracy",
            "learning_rate",
            "grad_norm",
            "tokens_per_s",
            "target_tokens",
            "rss_mib"
        ]
    );
    let losses: Vec<f64> = metrics.iter().filter_map(|record| record["eval_loss"].as_f64()).collect();
    assert_eq!(losses.len(), 2);
    assert!(losses[1] < losses[0] && losses[1] < metrics[0]["loss"].as_f64().unwrap(), "{losses:?}");
    let folder = expert.path("weights/tiny");
    for file in ["final/adapter_model.safetensors", "final/adapter_config.json", "final/training_args.json", "LATEST"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let names: Vec<String> = std::fs::read_dir(folder.join("adapter"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let args = std::fs::read_to_string(folder.join("final/training_args.json")).unwrap();
    assert!(!args.contains(&*expert.dir.path().to_string_lossy()), "no path of this machine goes into a package");
    let again = expert.train(&[]);
    assert_eq!(code(&again), 1, "{}", text(&again));
    assert!(text(&again).contains("already holds a run") && text(&again).contains("--restart"));
    assert!(expert.train(&["--restart", "--max-steps", "1"]).status.success());
    assert_eq!(expert.metrics("weights").len(), 1);
}

#[test]
fn killed_anywhere_and_resumed_it_ends_with_the_same_bytes() {
    let expert = Expert::new(&json!({}));
    let whole = expert.json(&["--output", "whole"]);
    assert_eq!((whole["schema"].as_str(), whole["steps"].as_u64()), (Some("expert-cli.train/1"), Some(16)));
    let expected = (expert.state("whole", 16), expert.metrics("whole"));
    let failpoints = [
        "train.step:6",
        "train.step:16",
        "train.adapter_saved:2",
        "train.before_publish:3",
        "fsx.before_publish:2",
        "fsx.before_rename:9",
        "fsx.before_rename:14",
        "train.before_prune:2",
    ];
    for (index, point) in failpoints.into_iter().enumerate() {
        let output = format!("killed-{index}");
        let killed = expert.command(&["--output", &output]).env("EXPERT_FAILPOINT", point).output().unwrap();
        assert!(
            !killed.status.success() && killed.status.code().is_none(),
            "{point} was not reached: {}",
            text(&killed)
        );
        resume(&expert, &output);
        assert_eq!((expert.state(&output, 16), expert.metrics(&output)), expected, "killed at {point}");
        let left = std::fs::read_dir(expert.path(&output).join("tiny")).unwrap();
        let names: Vec<String> = left.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert!(!names.iter().any(|name| name.contains("unfinished") || name.contains("replaced")), "{names:?}");
    }
}

/// Goes on where a killed run stopped; if it had saved nothing yet, from the start.
fn resume(expert: &Expert, output: &str) {
    let resumed = expert.train(&["--output", output, "--resume"]);
    if !resumed.status.success() {
        assert!(text(&resumed).contains("holds no complete checkpoint"), "{}", text(&resumed));
        let started = expert.train(&["--output", output, "--restart"]);
        assert!(started.status.success(), "{}", text(&started));
    }
}

#[test]
#[cfg(unix)]
fn killed_at_random_moments_and_resumed_it_ends_with_the_same_bytes() {
    let expert = Expert::new(&json!({"save_steps": 1}));
    let start = Instant::now();
    expert.json(&["--output", "whole"]);
    let mut whole = start.elapsed();
    let expected = (expert.state("whole", 16), expert.metrics("whole"));
    let mut kills = 0;
    let mut seed = 1u64;
    for round in 0..10 {
        let output = format!("killed-{round}");
        // Each round is killed several times on its way before it may end.
        for attempt in 0..5 {
            let arguments = ["--output", &output, "--resume"];
            let saved = expert.path(&output).join("tiny/LATEST").exists();
            let fresh = ["--output", &output, "--restart"];
            let mut command = expert.command(if saved { &arguments } else { &fresh });
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (seed >> 33) as f64 / f64::from(1u32 << 31);
            std::thread::sleep(Duration::from_secs_f64(
                whole.as_secs_f64() * (0.2 + 0.6 * share) / f64::from(1 + attempt),
            ));
            let runs = child.try_wait().unwrap().is_none();
            kills += u32::from(runs);
            if !runs {
                // It was busier here when the whole run was timed.
                whole = whole.mul_f64(0.8);
            }
            let _ = child.kill();
            child.wait().unwrap();
        }
        resume(&expert, &output);
        assert_eq!((expert.state(&output, 16), expert.metrics(&output)), expected, "round {round}");
    }
    assert!(kills >= 25, "only {kills} of 50 kills hit a running training");
}

#[test]
#[cfg(unix)]
fn interrupted_it_finishes_the_step_and_says_how_to_go_on() {
    let expert = Expert::new(&json!({"epochs": 500, "save_steps": 100000, "eval_steps": 100000}));
    let child = expert.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = expert.path("weights/tiny/metrics.jsonl");
    wait_for(|| std::fs::read_to_string(&metrics).is_ok_and(|text| text.lines().count() >= 3));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", text(&output));
    assert!(text(&output).contains("`expert-cli train --resume` goes on with it"), "{}", text(&output));
    let latest = std::fs::read_to_string(expert.path("weights/tiny/LATEST")).unwrap();
    let step: u64 = latest.trim().strip_prefix("checkpoint-").unwrap().parse().unwrap();
    assert!(step >= 3);
    let more = (step + 2).to_string();
    let resumed = expert.train(&["--resume", "--max-steps", &more]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    assert!(
        text(&resumed).contains("resumed with other settings") && text(&resumed).contains("max_steps"),
        "{}",
        text(&resumed)
    );
    assert!(expert.path(&format!("weights/tiny/checkpoint-{more}")).is_dir());
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[cfg(unix)]
fn a_second_writer_is_told_who_writes() {
    let expert = Expert::new(&json!({"epochs": 500}));
    let mut first = expert.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let metrics = expert.path("weights/tiny/metrics.jsonl");
    wait_for(|| metrics.exists());
    let second = expert.train(&["--restart"]);
    let holder = format!("process {}", first.id());
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(code(&second), 1, "{}", text(&second));
    assert!(text(&second).contains("in use") && text(&second).contains(&holder), "{}", text(&second));
}

#[test]
fn a_checkpoint_goes_on_only_with_what_it_came_from() {
    let expert = Expert::new(&json!({"max_steps": 4}));
    expert.json(&[]);
    for (arguments, words) in [
        (&["--set", "training.config.rank=8"][..], "rank 4 → 8"),
        (&["--seed", "8"], "seed 7 → 8"),
        (&["--set", "training.config.batch_size=4"], "batch_size 2 → 4"),
        (&["--set", "training.config.max_seq_length=78"], "other training rows"),
    ] {
        let output = expert.train(&[arguments, &["--resume"]].concat());
        assert_eq!(code(&output), 3, "{}", text(&output));
        assert!(text(&output).contains(words), "{words}: {}", text(&output));
    }
    expert.write_rows("val.jsonl", 66..72);
    assert!(text(&expert.train(&["--resume"])).contains("other validation rows"));
    expert.write_rows("val.jsonl", 64..72);
    expert.write_model(1);
    let output = expert.train(&["--resume"]);
    assert!(text(&output).contains("other base model"), "{}", text(&output));
    let missing = expert.train(&["--resume", "checkpoint-99"]);
    assert!(text(&missing).contains("there is no checkpoint checkpoint-99"), "{}", text(&missing));
}

#[test]
fn the_best_stays_when_old_checkpoints_go() {
    let expert = Expert::new(&json!({
        "max_steps": 12, "save_steps": 4, "eval_steps": 2, "save_total_limit": 2,
        "_comment": "the loss falls, so the highest is an early one", "greater_is_better": true,
    }));
    let result = expert.json(&["--set", "training.config.lr_scheduler=constant_with_warmup"]);
    let best = result["step"].as_u64().unwrap();
    let metrics = expert.metrics("weights");
    let highest = metrics
        .iter()
        .filter(|record| record["eval_loss"].is_f64())
        .max_by(|a, b| a["eval_loss"].as_f64().partial_cmp(&b["eval_loss"].as_f64()).unwrap())
        .unwrap();
    assert_eq!(highest["step"].as_u64(), Some(best));
    assert!(best < 12, "{metrics:?}");
    let mut kept: Vec<String> = std::fs::read_dir(expert.path("weights/tiny"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("checkpoint-"))
        .collect();
    kept.sort();
    let mut expected = [format!("checkpoint-{best}"), "checkpoint-12".into()];
    expected.sort();
    assert_eq!(kept, expected);
    let published = std::fs::read(expert.path("weights/tiny/final/adapter_model.safetensors")).unwrap();
    assert_eq!(published, expert.state("weights", best).0);
}

#[test]
fn a_loss_that_explodes_stops_the_run_with_step_and_rows() {
    let expert = Expert::new(&json!({
        "adapter_type": "lora", "learning_rate": 1e38, "warmup_steps": 0, "lr_scheduler": "constant",
        "evaluation_strategy": "no",
    }));
    let output = expert.train(&[]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("training stopped at step") && shown.contains("train.jsonl:"), "{shown}");
    assert!(shown.contains("learning_rate"), "{shown}");
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let expert = Expert::new(&json!({}));
    let before = listing(expert.dir.path());
    let longest = expert.json(&["--dry-run"])["rows"]["longest"].as_u64().unwrap();
    let shorter = format!("training.config.max_seq_length={}", longest - 1);
    let plan = expert.json(&["--dry-run", "--epochs", "3", "--set", &shorter]);
    assert_eq!(plan["rows"]["longest"].as_u64(), Some(longest - 1));
    assert_eq!(plan["rows"]["rows"], 32);
    assert!(plan["rows"]["truncated"].as_u64().unwrap() > 0);
    assert_eq!(plan["total_steps"].as_u64().unwrap(), 3 * plan["steps_per_epoch"].as_u64().unwrap());
    // Rank 4 DoRA on q [32, 32], v [16, 32] and down [32, 48] of two layers.
    assert_eq!(plan["trainable_parameters"], 2 * (4 * (32 + 32) + 32 + 4 * (32 + 16) + 16 + 4 * (48 + 32) + 32));
    assert!(plan["estimated_seconds"].as_f64().unwrap() > 0.0);
    assert!(plan["memory"]["total"].as_f64().unwrap() > 0.0);
    let output = expert.train(&["--dry-run"]);
    assert!(text(&output).contains("memory in all") && text(&output).contains("batch_size=1"), "{}", text(&output));
    assert_eq!(listing(expert.dir.path()), before);
}

fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn wrong_input_is_refused_by_name() {
    let expert = Expert::new(&json!({}));
    for (arguments, exit, words) in [
        (&["--base-model", "no/such-model"][..], 3, "--base-model DIR"),
        (&["--device", "cuda"], 4, "computes on the CPU only"),
        (&["--device", "tpu"], 2, "`tpu` is no device"),
        (&["--set", "training.config.rnk=3"], 2, "did you mean `rank`"),
        (&["--set", "training.config.adapter_type=ia3"], 2, "IA³ is not built"),
        (&["--set", "training.config.max_seq_length=4"], 3, "max_seq_length leaves nothing of the answer"),
        (&["--dataset", "nowhere"], 3, "there are no training rows"),
        (&["--model", "other"], 2, "has no base model `other`"),
        (&["--resume"], 3, "holds no complete checkpoint"),
        (&["--manifest", "none.json"], 3, "there is no none.json"),
    ] {
        let mut line = arguments.to_vec();
        if arguments[0] != "--base-model" {
            line.extend(["--base-model", "tiny"]);
        }
        let output = expert.train(&line);
        assert_eq!(code(&output), exit, "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
    let missing = expert.train(&["--base-model", "./gone", "--json"]);
    let error: Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!((error["schema"].as_str(), error["exit"].as_u64()), (Some("expert-cli.error/1"), Some(3)));
}

/// A file system of one MiB. None where mounting is not allowed.
#[cfg(target_os = "linux")]
struct SmallDisk(TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_keeps_the_previous_checkpoint() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a file system is not allowed here");
        return;
    };
    // A checkpoint of this rank takes more than half of the disk.
    let expert = Expert::new(&json!({
        "save_steps": 2, "rank": 64,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    }));
    let output = disk.0.path().join("weights");
    let output = output.to_str().unwrap();
    let full = expert.train(&["--output", output]);
    assert_eq!(code(&full), 4, "{}", text(&full));
    let shown = text(&full);
    assert!(shown.contains("could not be saved") && shown.contains("MiB") && shown.contains("disk space"), "{shown}");
    let latest = std::fs::read_to_string(Path::new(output).join("tiny/LATEST")).unwrap();
    let saved = Path::new(output).join("tiny").join(latest.trim());
    expert_cli::train::checkpoint::inspect(&saved).unwrap();
    // With room for it the run goes on.
    let moved = expert.path("weights");
    assert!(Command::new("cp").arg("-r").arg(output).arg(&moved).status().unwrap().success());
    assert!(expert.train(&["--resume"]).status.success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_written_is_named() {
    let expert = Expert::new(&json!({}));
    let output = expert.train(&["--output", "/proc/none"]);
    assert!([1, 3, 4].contains(&code(&output)), "{}", text(&output));
    assert!(text(&output).contains("/proc/none"), "{}", text(&output));
}
