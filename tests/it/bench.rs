//! `bench` through the real binary.

use serde_json::Value;

use crate::tiny;
use crate::world::World;

#[test]
fn bench_measures_a_base_model_in_every_form() {
    let world = World::new();
    let model = world.home().join("models/tiny");
    tiny::write_model(&model);
    let bench = |more: &[&str]| {
        let plain =
            ["bench", "--base-model", "tiny", "--iterations", "2", "--prompt-tokens", "8", "--answer-tokens", "3"];
        world.run(&[&plain[..], more].concat())
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let stored = parsed(&bench(&["--json", "--detailed"]).stdout);
    assert_eq!(stored["schema"], "expert-cli.bench/1");
    for key in ["load_s", "start_to_first_token_s", "prefill_tokens_per_s", "decode_tokens_per_s", "peak_rss_mib"] {
        assert!(stored[key].as_f64().unwrap() > 0.0, "{key} in {stored}");
    }
    assert!(stored["latency_ms"]["p99"].as_f64() >= stored["latency_ms"]["p50"].as_f64());
    assert_eq!(stored["detailed"]["queries"].as_array().unwrap().len(), 2);
    let quantised = parsed(&bench(&["--json", "--quantization", "int8", "--quantize-embeddings"]).stdout);
    assert_eq!(quantised["quantization"], "int8");
    // 8.5 bits instead of 32; norms stay, rows fill strips.
    let share = quantised["weight_bytes"].as_f64().unwrap() / stored["weight_bytes"].as_f64().unwrap();
    assert!((0.26..0.3).contains(&share), "{share}");
    let shown = bench(&["--detailed"]);
    assert_eq!(shown.code, 0, "{}", shown.shown());
    for what in ["start to first token", "prompt", "answer", "GB/s", "latency of a query", "p99"] {
        assert!(shown.stdout.contains(what), "{what}: {}", shown.shown());
    }
    let long = bench(&["--prompt-tokens", "5000"]);
    assert_eq!((long.code, long.stderr.contains("--prompt-tokens")), (2, true), "{}", long.shown());
    let folder = model.to_str().unwrap();
    let taken = world.run(&["bench", "--make-model", "30m", "--base-model", folder]);
    assert_eq!((taken.code, taken.stderr.contains("holds a model already")), (2, true), "{}", taken.shown());
}

#[test]
fn bench_tells_what_grammar_and_guard_cost_along_right_answers() {
    let world = World::new();
    tiny::write_model(&world.home().join("models/tiny"));
    let rows = world.home().join("rows.jsonl");
    let row = |sql: &str| {
        format!("{{\"question\": \"how many?\", \"context\": \"CREATE TABLE t (a INT)\", \"answer\": \"{sql}\"}}\n")
    };
    std::fs::write(&rows, row("SELECT COUNT(*) FROM t") + &row("SELECT a FROM t WHERE a > 3") + &row("no SQL"))
        .unwrap();
    let rows = rows.to_str().unwrap();
    let bench = |more: &[&str]| {
        let plain =
            ["bench", "--base-model", "tiny", "--iterations", "3", "--prompt-tokens", "8", "--answer-tokens", "3"];
        world.run(&[&plain[..], more].concat())
    };
    let told = bench(&["--along", rows, "--grammar", "sql-sqlite", "--dialect", "sqlite", "--json"]);
    let body: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{}", told.shown()));
    let along = &body["along"];
    assert_eq!((along["rows"].as_u64(), along["rows_not_in_the_grammar"].as_u64()), (Some(3), Some(1)), "{along}");
    for what in ["model_us", "free_us", "accepted_us", "refused_us"] {
        assert!(along[what]["p50"].as_f64().unwrap() > 0.0, "{what}: {along}");
        assert!(along[what]["p99"].as_f64() >= along[what]["p50"].as_f64(), "{what}: {along}");
    }
    assert!(along["slowdown"].as_f64().unwrap() < along["slowdown_with_a_tenth_refused"].as_f64().unwrap(), "{along}");
    let shown = bench(&["--along", rows, "--grammar", "sql-sqlite", "--dialect", "sqlite"]);
    assert!(shown.stdout.contains("slowdown, 10 % refused"), "{}", shown.shown());
    let none = bench(&["--along", rows]);
    assert_eq!((none.code, none.stderr.contains("--grammar sql-sqlite")), (2, true), "{}", none.shown());
}
