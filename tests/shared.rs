//! Measurements on real rows, which are not in the repository: `cargo test --test shared -- --ignored --nocapture` reads
//! them from the folder that `EXPERT_SHARED` names (default `../shared`) and skips with a clear word what is not there.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and reports")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use expert_cli::model::init::{RandomModel, write_random};
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

/// 200 steps on real rows with the base held in each form: where f32's loss falls by 30 % or more, the others' follow it
/// within 2 % (bf16's reference is f32 on weights rounded to bf16).
#[test]
#[ignore = "needs data that is not in the repository"]
fn training_on_quantised_weights_follows_f32() {
    let Some(data) = shared("text2sql/sql_create_context_like.jsonl.gz") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (home, folder) = (dir.path().join("home"), dir.path());
    tiny::write_model(&home.join("models/base"));
    for (name, bf16, round) in [("f32", false, false), ("bf16", true, false), ("rounded", false, true)] {
        let model = home.join("models").join(name);
        expert_cli::fsx::create_dir_all(&model).unwrap();
        std::fs::copy(home.join("models/base/tokenizer.json"), model.join("tokenizer.json")).unwrap();
        let size = tiny_vocabulary(&home.join("models/base"));
        let wide = RandomModel {
            vocab_size: size,
            hidden_size: 256,
            intermediate_size: 512,
            heads: 8,
            ..RandomModel::default()
        };
        write_random(&model, &RandomModel { bf16, ..wide.clone() }).unwrap();
        if round {
            round_to_bf16(&home.join("models/bf16"), &model);
        }
    }
    ok(expert_cli(&home, folder, &["init", "expert-real", "--base-model", "f32", "--dialect", "postgres"]));
    let expert = folder.join("expert-real");
    let data = data.to_str().unwrap();
    let preprocess =
        ["preprocess", "--dataset", data, "--output", "datasets/processed", "--limit", "3000", "--val-split", "0.01"];
    ok(expert_cli(&home, &expert, &preprocess));
    let manifest = std::fs::read_to_string(expert.join("manifest.json")).unwrap();
    let losses = |base: &str, quantization: &str| -> (f64, f64) {
        let mut own: Value = serde_json::from_str(&manifest).unwrap();
        own["base_models"][0]["quantization"] = quantization.into();
        own["training"]["config"]["quantize_embeddings"] = true.into();
        expert_cli::fsx::write_atomic(&expert.join("manifest.json"), own.to_string().as_bytes()).unwrap();
        let output = format!("{base}-{quantization}");
        let mut args = vec!["train", "--output", &output, "--base-model", base, "--max-steps", "200"];
        for setting in ["learning_rate=0.003", "logging_steps=1", "evaluation_strategy=no", "save_strategy=no"] {
            args.extend(["--set", Box::leak(format!("training.config.{setting}").into_boxed_str())]);
        }
        ok(expert_cli(&home, &expert, &args));
        let metrics = std::fs::read_to_string(expert.join(&output).join("f32/metrics.jsonl")).unwrap();
        let all: Vec<f64> =
            metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64()).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        (mean(&all[..3]), mean(&all[all.len() - 20..]))
    };
    let f32 = losses("f32", "none");
    eprintln!("f32: {f32:?}");
    assert!(f32.1 <= 0.7 * f32.0, "f32's loss fell from {} to {} only", f32.0, f32.1);
    for (base, quantization, reference) in
        [("bf16", "none", losses("rounded", "none")), ("f32", "int8", f32), ("f32", "int4", f32), ("f32", "nf4", f32)]
    {
        let (first, last) = losses(base, quantization);
        let apart = (last / reference.1 - 1.0) * 100.0;
        eprintln!("{base} {quantization}: {first:.4} to {last:.4}, {apart:+.2} % of its reference {:.4}", reference.1);
        assert!(apart.abs() <= 2.0, "{base} {quantization}: {last} against {}", reference.1);
    }
}

fn tiny_vocabulary(model: &Path) -> usize {
    let config: Value = serde_json::from_str(&std::fs::read_to_string(model.join("config.json")).unwrap()).unwrap();
    config["vocab_size"].as_u64().unwrap() as usize
}

/// Writes the weights of a bf16 model as f32.
fn round_to_bf16(from: &Path, to: &Path) {
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let wide: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = view.data().chunks_exact(2).flat_map(|b| [0, 0, b[0], b[1]]).collect();
            (name, view.shape().to_vec(), values)
        })
        .collect();
    let views = wide.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.clone(), view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    expert_cli::fsx::write_atomic(&to.join("model.safetensors"), &bytes).unwrap();
}
/// The published evaluators, pair by pair: `cases/eval_verdicts.jsonl` and `cases/rves_cases.json`.
#[test]
#[ignore = "needs data that is not in the repository"]
fn official_verdicts_are_reproduced() {
    use expert_cli::db::{Limits, Source};
    use expert_cli::eval::{execution::ves_reward, official, spider};

    let (Some(cases), Some(rewards), Some(tables), Some(databases)) = (
        shared("cases/eval_verdicts.jsonl"),
        shared("cases/rves_cases.json"),
        shared("spider/tables.json.gz"),
        shared("spider/sqlite_synthetic_rows.tar.gz"),
    ) else {
        return;
    };
    let unzip = |path: &Path| {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()), &mut text)
            .unwrap();
        text
    };
    let dir = tempfile::tempdir().unwrap();
    tar::Archive::new(&unzip(&databases)[..]).unpack(dir.path()).unwrap();
    let entries: Vec<Value> = serde_json::from_slice(&unzip(&tables)).unwrap();
    let limits = Limits { rows: 100_000, time: Duration::from_secs(30), ..Limits::default() };
    let (mut n, mut exact, mut spider_ex, mut bird_ex, mut soft, mut hardness) = (0, 0, 0, 0, 0, 0);
    for line in std::fs::read_to_string(cases).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["db"].as_str().unwrap();
        let source: Source = format!("sqlite:{}", dir.path().join(format!("{name}.sqlite")).display()).parse().unwrap();
        let entry = entries.iter().find(|entry| entry["db_id"] == name).unwrap();
        let (gold, predicted) = (case["gold"].as_str().unwrap(), case["pred"].as_str().unwrap());
        let schema = source.schema().unwrap();
        let judged =
            official::judge(&source, gold, predicted, &spider::tables(&schema), &spider::foreign_keys(entry), &limits);
        n += 1;
        exact += i32::from(judged.exact == Some(case["spider_em"] == 1));
        spider_ex += i32::from(judged.spider == (case["spider_exec"] == 1));
        bird_ex += i32::from(judged.bird == (case["bird_ex"] == 1));
        soft += i32::from((judged.soft_f1 - case["bird_soft_f1"].as_f64().unwrap()).abs() < 1e-9);
        hardness += i32::from(judged.hardness == case["hardness"].as_str());
    }
    eprintln!(
        "of {n}: exact match {exact}, Spider EX {spider_ex}, BIRD EX {bird_ex}, soft F1 {soft}, hardness {hardness}"
    );
    assert!(n == 274 && spider_ex == n && bird_ex == n && hardness == n);
    assert!(exact * 100 >= n * 98 && soft * 100 >= n * 98);
    let rewards: Value = serde_json::from_str(&std::fs::read_to_string(rewards).unwrap()).unwrap();
    for case in rewards["cases"].as_array().unwrap() {
        // Without ratios the prediction was wrong or could not be timed.
        let reward = match case["ratios_gold_over_pred"].as_array() {
            Some(ratios) => ves_reward(&ratios.iter().map(|r| r.as_f64().unwrap()).collect::<Vec<f64>>(), true),
            None => ves_reward(&[], false),
        };
        assert_eq!(Some(reward), case["reward"].as_f64(), "{}", case["name"]);
    }
}

/// No schema that `synthesize --schemas` makes up shares 30 % of its table names with a database that is kept for measuring.
#[test]
#[ignore = "needs data that is not in the repository"]
fn made_up_schemas_share_few_names_with_the_databases_kept_for_measuring() {
    use std::collections::BTreeSet;

    use expert_cli::sql::{Dialect, Schema};
    use expert_cli::synth::{self, Options};

    const KEPT: [&str; 10] = [
        "customers_and_invoices",
        "department_store",
        "store_1",
        "hospital_1",
        "college_2",
        "wine_1",
        "apartment_rentals",
        "hr_1",
        "race_track",
        "election",
    ];
    let Some(tables) = shared("spider/tables.json.gz") else { return };
    let entries: Vec<Value> =
        serde_json::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(tables).unwrap())).unwrap();
    let kept: Vec<BTreeSet<String>> = entries
        .iter()
        .filter(|entry| KEPT.contains(&entry["db_id"].as_str().unwrap()))
        .map(|entry| {
            let names = entry["table_names_original"].as_array().unwrap();
            names.iter().map(|name| name.as_str().unwrap().to_lowercase()).collect()
        })
        .collect();
    assert_eq!(kept.len(), KEPT.len());
    let options = Options {
        count: 3000,
        held_out: 0,
        languages: vec!["en".into()],
        dialect: Dialect::Sqlite,
        seed: 42,
        changes: false,
        phrasing: None,
        exclude: Vec::new(),
    };
    let (pairs, ..) = synth::synthesize_many(1500, &options, |_| ()).unwrap();
    let schemas: BTreeSet<&str> = pairs.train.iter().map(|pair| &*pair.schema).collect();
    assert!(schemas.len() > 1400, "{}", schemas.len());
    for ddl in schemas {
        let schema = Schema::parse(ddl, Dialect::Sqlite).unwrap();
        let names: BTreeSet<String> = schema.tables().iter().map(|table| table.name.text().to_lowercase()).collect();
        for database in &kept {
            let shared = names.intersection(database).count();
            assert!(shared * 10 < names.len() * 3, "{names:?} and {database:?}");
        }
    }
}
