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
