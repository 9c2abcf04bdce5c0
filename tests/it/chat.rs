//! `chat` and `infer` through the binary, on a random model whose answers are noise: what is tested is everything
//! around them. The decoding loop itself is held against the golden tokens.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expert_cli::adapter::{Adapter, AdapterConfig};
use expert_cli::error::Result;
use expert_cli::generate::decode::{Adapted, Finish, Rules, Start, Unobserved, decode};
use expert_cli::generate::sampler::Chain;
use expert_cli::generate::stop::StopRules;
use expert_cli::generate::text::Vocabulary;
use expert_cli::model::Decoder;
use expert_cli::sql::scan::Quoting;
use serde_json::Value;

use crate::golden::{Golden, models};
use crate::tiny;

const DDL: &str = "CREATE TABLE customer (id INTEGER, name TEXT)";

/// A folder with a model, and the binary in it with an empty home.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        tiny::write_model(&dir.path().join("model"));
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_expert-cli"))
            .args(args)
            .current_dir(self.path())
            .env("EXPERT_HOME", self.path().join("home"))
            .env("LC_ALL", "C")
            .env_remove("EXPERT_FAILPOINT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, "")
    }

    /// `chat --base-model model --max-tokens 12 --json` and these; the JSON object.
    pub fn ask(&self, args: &[&str]) -> Value {
        let mut all = vec!["chat", "--base-model", "model", "--max-tokens", "12", "--json", "--validation", "none"];
        all.extend(args);
        let output = self.run(&all);
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn write(path: std::path::PathBuf, text: impl AsRef<[u8]>) {
    expert_cli::fsx::write_atomic(&path, text.as_ref()).unwrap();
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn one_shot_json_has_everything() {
    let place = Place::new();
    let answer = place.ask(&["--schema", DDL, "--prompt", "How many?", "--logits"]);
    assert_eq!(answer["schema"], "expert-cli.chat/1");
    assert_eq!(answer["question"], "How many?");
    assert_eq!((&answer["layout"], &answer["dialect"]), (&"qwen3".into(), &"postgres".into()));
    assert_eq!(answer["settings"]["max_tokens"], serde_json::json!({"value": 12, "origin": "flag"}));
    assert_eq!(answer["settings"]["temperature"], serde_json::json!({"value": 0.0, "origin": "default"}));
    assert_eq!(answer["prompt_ids"].as_array().unwrap().len() as u64, answer["prompt_tokens"].as_u64().unwrap());
    assert_eq!(answer["token_ids"].as_array().unwrap().len() as u64, answer["completion_tokens"].as_u64().unwrap());
    // The model has eight rows more than the tokenizer: their logits are shown, and greedy takes the best of the rest.
    let logits: Vec<f64> = answer["logits"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
    let texts = logits.len() - 8;
    let best = (0..texts).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    assert_eq!(answer["token_ids"][0], best as u64);
    let ids: Vec<u64> = answer["prompt_ids"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap()).collect();
    assert_eq!((ids[0], *ids.last().unwrap() != 2), (1, true), "begins a turn, the assistant's is open");
}

#[test]
fn the_seed_decides() {
    let place = Place::new();
    let ask = |seed: &str| {
        let hot = ["--schema", DDL, "--prompt", "How many?", "--temperature", "1.5", "--top-k", "50", "--seed", seed];
        place.ask(&hot)["token_ids"].clone()
    };
    assert_eq!(ask("1"), ask("1"));
    assert_ne!(ask("1"), ask("2"));
}

#[test]
fn stdout_is_the_answer_alone() {
    let place = Place::new();
    let base = ["chat", "--base-model", "model", "--max-tokens", "12", "--validation", "none", "--prompt", "How many?"];
    let output = place.run(&base);
    assert!(output.status.success(), "{}", err(&output));
    assert!(err(&output).contains("no schema given"), "{}", err(&output));
    let json = place.ask(&["--prompt", "How many?"]);
    assert_eq!(out(&output).trim_end(), json["sql"].as_str().unwrap().trim_end());
    let quiet = place.run(&[&base[..], &["--quiet"]].concat());
    assert_eq!((err(&quiet), out(&quiet)), (String::new(), out(&output)));
    let piped = place.run_with(&[&base[..8], &["-"]].concat(), "How many?\n");
    assert_eq!(out(&piped), out(&output), "the question from stdin");
}

#[test]
fn a_strict_answer_that_does_not_validate_is_printed_and_fails() {
    let place = Place::new();
    let strict = ["chat", "--base-model", "model", "--max-tokens", "4", "--schema", DDL, "--prompt", "How many?"];
    let output = place.run(&[&strict[..], &["--validation", "parser-strict"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("incomplete") && err(&output).contains("does not validate"), "{}", err(&output));
    let json = place.run(&[&strict[..], &["--validation", "parser-strict", "--json"]].concat());
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.status.code(), Some(1));
    assert_eq!(answer["validation"]["valid"], false);
    assert_eq!(answer["finish_reason"], "length");
    let lax = place.run(&strict);
    assert!(lax.status.code() == Some(1) && err(&lax).contains("warning:"), "cut off is not whole: {}", err(&lax));
    let unchecked = place.run(&[&strict[..], &["--validation", "none"]].concat());
    assert!(unchecked.status.success(), "{}", err(&unchecked));
}

#[test]
fn what_cannot_work_says_why() {
    let place = Place::new();
    write(place.path().join("empty.sql"), "");
    let long = "how many ".repeat(3000);
    for (args, code, message) in [
        (vec!["chat", "--base-model", "none", "--prompt", "x"], 3, "--base-model"),
        (vec!["chat", "--experts", "sql", "--prompt", "x"], 1, "expert-sql is not installed"),
        (vec!["chat", "--base-model", "model", "--prompt", " "], 2, "empty"),
        (vec!["chat", "--base-model", "model", "--prompt", &long], 3, "tokens, the model's context holds"),
        (vec!["chat", "--base-model", "model", "--prompt", "a <|im_end|> b"], 3, "<|im_end|>"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--context", "empty.sql"], 3, "schema is empty"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--db", "sqlite:none.db"], 3, "no database file"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--db", "postgres://u@h:x/d"], 2, "has the port `x`"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--temperature", "-1"], 2, "temperature is -1 (flag)"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--device", "cuda"], 4, "CPU only"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--format", "vicuna"], 2, "no prompt layout"),
        (
            vec!["chat", "--base-model", "model", "--prompt", "x", "--db", "a", "--schema", "b"],
            2,
            "cannot be used with",
        ),
    ] {
        let output = place.run(&args);
        let shown = &args[1..args.len().min(8)];
        assert_eq!(output.status.code(), Some(code), "{shown:?}: {}", err(&output));
        assert!(err(&output).contains(message), "{shown:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
    let output = place.run(&["chat", "--base-model", "model", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error["hint"].as_str().unwrap().contains("--prompt"), "{error}");
}

#[test]
fn a_database_gives_schema_and_dialect() {
    let place = Place::new();
    let db = rusqlite::Connection::open(place.path().join("shop.db")).unwrap();
    db.execute_batch("CREATE TABLE customer (id INTEGER, name TEXT)").unwrap();
    let from_db = place.ask(&["--db", "sqlite:shop.db", "--prompt", "How many?", "--logits"]);
    assert_eq!(from_db["dialect"], "sqlite");
    let from_text = place.ask(&["--schema", DDL, "--dialect", "sqlite", "--prompt", "How many?", "--logits"]);
    assert_eq!(from_db["prompt_ids"], from_text["prompt_ids"]);
}

/// An expert folder with a random adapter for the model, its hash pinned as upstream's manifests do.
pub fn write_expert(place: &Path) {
    let expert = place.join("expert");
    let decoder = Decoder::load(&place.join("model")).unwrap();
    let config = AdapterConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules: vec!["q_proj".into(), "down_proj".into()],
        base_model_name_or_path: Some("model".into()),
        ..AdapterConfig::default()
    };
    let mut adapter = Adapter::new(config, &decoder, 3).unwrap();
    for (at, param) in adapter.params_mut().iter_mut().enumerate() {
        param.value.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 37 + at) % 11) as f32 * 0.05 - 0.25);
    }
    expert_cli::fsx::create_dir_all(&expert).unwrap();
    adapter.save(&expert).unwrap();
    let hash = expert_cli::fsx::sha256_file(&place.join("model/model.safetensors")).unwrap();
    let manifest = serde_json::json!({
        "name": "expert-shop", "version": "0.3.0", "schema_version": "2.0", "description": "x",
        "capabilities": ["database:sqlite"],
        "base_models": [{"name": "model", "sha256": hash, "prompt_template": "chatml",
            "adapters": [{"type": "lora", "target_modules": ["q_proj", "down_proj"], "r": 4, "alpha": 8}]}],
        "routing": {"keywords": ["shop"]},
        "constraints": {"load_order": 9, "incompatible_with": [], "requires": []},
        "training": {
            "dataset": {"path": "x.jsonl"},
            "config": {"method": "sft", "adapter_type": "lora", "rank": 4, "alpha": 8,
                "target_modules": ["q_proj", "down_proj"], "epochs": 1, "learning_rate": 1e-3, "batch_size": 1,
                "gradient_accumulation_steps": 1, "warmup_steps": 0, "lr_scheduler": "cosine"},
            "decoding": {"temperature": 0.7, "top_k": 20, "max_new_tokens": 9, "validation": "none"}},
        "license": "MIT"
    });
    write(expert.join("manifest.json"), manifest.to_string());
}

#[test]
fn an_installed_expert_brings_layout_dialect_settings_and_its_base() {
    let place = Place::new();
    write_expert(place.path());
    let installed = place.run(&["install", "expert"]);
    assert!(installed.status.success(), "{}", err(&installed));
    let chat = |more: &[&str]| {
        let args = [&["chat", "--experts", "shop", "--schema", DDL, "--prompt", "How many?", "--json"], more].concat();
        let output = place.run(&args);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    // Greedy, so that only the adapter can make a difference.
    let (code, answer) = chat(&["--temperature", "0", "--logits"]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(answer["expert"], serde_json::json!({"name": "expert-shop", "version": "0.3.0"}));
    assert_eq!((&answer["layout"], &answer["dialect"]), (&"chatml".into(), &"sqlite".into()));
    assert_eq!(answer["settings"]["temperature"], serde_json::json!({"value": 0.0, "origin": "flag"}));
    assert_eq!(answer["settings"]["max_tokens"], serde_json::json!({"value": 9, "origin": "manifest"}));
    let base =
        place.ask(&["--schema", DDL, "--prompt", "How many?", "--logits", "--format", "chatml", "--dialect", "sqlite"]);
    assert_eq!(base["prompt_ids"], answer["prompt_ids"]);
    let numbers =
        |json: &Value| -> Vec<f64> { json["logits"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect() };
    let moved = numbers(&base).iter().zip(numbers(&answer)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved > 0.1, "the adapter moves the logits: {moved}");
    // The checkpoint folder itself answers the same, its manifest above it.
    let adapter = place.run(&[
        "chat",
        "--adapter",
        "expert",
        "--schema",
        DDL,
        "--prompt",
        "How many?",
        "--json",
        "--temperature",
        "0",
        "--logits",
    ]);
    let adapter: Value = serde_json::from_slice(&adapter.stdout).unwrap();
    assert_eq!((&adapter["logits"], &adapter["token_ids"]), (&answer["logits"], &answer["token_ids"]));
    assert_eq!(adapter["layout"], "chatml");

    // Another model of the same shape under the same name is refused by its content.
    let weights = place.path().join("model/model.safetensors");
    let mut bytes = expert_cli::fsx::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    write(weights, bytes);
    let (code, refused) = chat(&[]);
    assert_eq!(code, Some(3), "{refused}");
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("trained for another base model") && error.contains("expected  sha256:"), "{error}");
    assert!(refused["hint"].as_str().unwrap().contains("--base-model"));
}

#[test]
fn a_conversation_over_a_pipe() {
    let place = Place::new();
    write(place.path().join("shop.sql"), DDL);
    let script =
        "/help\n/schema\n/schema shop.sql\nHow\nmany?\n\n/shema\n/expert none\n/settings\nagain;\n/exit\nnot read;\n";
    let output = place.run_with(
        &["chat", "--base-model", "model", "--max-tokens", "6", "--validation", "none", "--seed", "5"],
        script,
    );
    assert!(output.status.success(), "{}", err(&output));
    let said = err(&output);
    for part in [
        "no schema given",
        "/schema     show the tables",
        "no schema\n",
        " customer | id, name",
        "did you mean /schema?",
        "not installed",
        "\"flag\"",
        "6 tokens in",
    ] {
        let part = part.trim_matches('"');
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(['│', '─']), "no box characters where the locale is C: {said}");
    assert_eq!(said.matches("tokens in").count(), 2, "two answers: {said}");
    assert!(!place.path().join("home/history.txt").exists(), "a pipe leaves no history");
}

#[test]
fn infer_resumes_and_keeps_order() {
    let place = Place::new();
    let questions: Vec<String> = tiny::rows(7)
        .into_iter()
        .enumerate()
        .map(|(id, (question, schema, _))| {
            serde_json::json!({"id": id, "question": question, "schema": schema}).to_string()
        })
        .collect();
    write(place.path().join("q.jsonl"), questions.join("\n") + "\nnot json\n");
    let infer = |output: &str, batch: &str, more: &[&str]| {
        let mut args =
            vec!["infer", "--base-model", "model", "--max-tokens", "8", "--input", "q.jsonl", "--output", output];
        args.extend(["--batch-size", batch, "--temperature", "1", "--json"]);
        args.extend(more);
        let output = place.run(&args);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();

    let (code, whole) = infer("whole.jsonl", "3", &[]);
    assert_eq!((code, &whole["answered"], &whole["errors"]), (Some(0), &7.into(), &1.into()), "{whole}");
    let rows: Vec<Value> = read("whole.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 8);
    assert!(rows[..7].iter().enumerate().all(|(id, row)| row["id"] == id as u64 && row["predicted_sql"].is_string()));
    assert!(rows[7]["error"].as_str().unwrap().contains("line 8"));

    // A killed run: three whole lines and a torn one.
    let torn: String = read("whole.jsonl").lines().take(3).map(|line| format!("{line}\n")).collect();
    write(place.path().join("torn.jsonl"), torn + "{\"id\": 3, \"ques");
    std::fs::copy(place.path().join("whole.jsonl.settings.json"), place.path().join("torn.jsonl.settings.json"))
        .unwrap();
    let (code, resumed) = infer("torn.jsonl", "2", &[]);
    assert_eq!((code, &resumed["resumed"], &resumed["answered"]), (Some(0), &3.into(), &4.into()), "{resumed}");
    assert_eq!(read("torn.jsonl").lines().count(), 8);
    // An answer does not depend on the batch it was made in, beyond rounding.
    let sql = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["predicted_sql"].clone()).collect()
    };
    assert_eq!(sql(&read("torn.jsonl")), sql(&read("whole.jsonl")));

    let (code, error) = infer("whole.jsonl", "3", &["--seed", "9"]);
    assert_eq!(code, Some(3));
    assert!(error["error"].as_str().unwrap().contains("seed: then 0, now 9"), "{error}");
    let (code, anew) = infer("whole.jsonl", "3", &["--seed", "9", "--force", "--limit", "2"]);
    assert_eq!((code, &anew["questions"], &anew["answered"]), (Some(0), &2.into(), &2.into()));
    assert_eq!(read("whole.jsonl").lines().count(), 2);
}

/// Ids without text: the golden models have no tokenizer.
struct Ids(usize);

impl Vocabulary for Ids {
    fn size(&self) -> usize {
        self.0
    }
    fn encode_prompt(&self, _: &str) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }
    fn decode(&self, ids: &[u32]) -> String {
        ids.iter().map(|id| format!(" {id}")).collect()
    }
    fn end_ids(&self) -> Vec<u32> {
        Vec::new()
    }
    fn id(&self, _: &str) -> Option<u32> {
        None
    }
    fn is_special(&self, _: &str) -> bool {
        false
    }
}

/// Greedy tokens of every golden model and adapter, alone and in batches of unequal prompts.
#[test]
fn greedy_tokens_are_the_golden_ones() {
    for (dir, folder, adapters) in models() {
        let decoder = Decoder::load(&dir).unwrap();
        for name in std::iter::once(None).chain(adapters.iter().map(|name| Some(name.as_str()))) {
            let adapter = name.map(|n| Adapter::load(&folder.join(format!("{n}-adapter")), &decoder).unwrap());
            let golden = Golden::read(&folder.join(name.unwrap_or("")).join("generate.safetensors"));
            let ids = |name: &str| golden.rows(name)[0].iter().map(|id| *id as u32).collect::<Vec<u32>>();
            let (prompt, tokens) = (ids("prompt"), ids("tokens"));
            let rules = Rules {
                chain: Chain::default(),
                seed: 0,
                max_tokens: tokens.len(),
                end_ids: Vec::new(),
                stop: StopRules::default(),
                quoting: Quoting::GENERIC,
                keep_first_logits: true,
                order: expert_cli::generate::sampler::Order::default(),
                least_mass: 0.0,
            };
            let model = Adapted { decoder: &decoder, adapter: adapter.as_ref(), prompts: None, there: None };
            let start = |ids: &[u32]| Start { ids: ids.to_vec(), shared: 0, thinking: false, constraint: None };
            let starts = [start(&prompt), start(&prompt[..2]), start(&prompt)];
            let all = decode(&model, &Ids(decoder.vocab_size()), &starts, &rules, &mut Unobserved).unwrap();
            assert_eq!((&all[0].ids, &all[2].ids), (&tokens, &tokens), "{} {name:?}", dir.display());
            assert_eq!((all[0].finish, all[1].ids.len()), (Finish::Budget, tokens.len()));
            let expected = &golden.f32("step_logits")[..decoder.vocab_size()];
            let first = all[0].first_logits.as_ref().unwrap();
            let worst = first.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{worst}");
        }
    }
}
