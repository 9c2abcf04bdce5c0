//! What is typed wrong, and what every verb has in common: exit codes, `--json` on errors, hints that can be followed.

use std::fs;

use serde_json::Value;

use crate::world::World;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_wrong_command_line_is_one_json_object_too() {
    let world = World::new();
    for (args, hint) in [
        (&["tran", "--json"][..], "did you mean `train`?"),
        (&["--json", "train", "--epoch", "2"], "did you mean `--epochs`?"),
        (&["package", "--json", "--no-such-thing"], "`--help` behind the verb lists what it takes"),
        (&["chat", "--max-tokens", "many", "--json"], "`--help` behind the verb lists what it takes"),
        (&["--json"], "`--help` behind the verb lists what it takes"),
    ] {
        let run = world.run(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.shown());
        let answer = json(&run.stdout);
        assert_eq!(answer["schema"], "expert-cli.error/1", "{args:?}");
        assert_eq!(answer["exit"], 2, "{args:?}");
        assert_eq!(answer["hint"], hint, "{args:?}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty() && !text.contains("Usage")), "{answer}");
        assert_eq!(run.stderr, "", "{args:?}");
    }
    let run = world.run(&["tran"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("train"), "{}", run.stderr);
}

#[test]
fn version_help_and_completions_answer_in_json() {
    let world = World::new();
    let version = json(&world.ok(&["--version", "--json"]).stdout);
    assert_eq!(version["schema"], "expert-cli.version/1");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let help = json(&world.ok(&["train", "--help", "--json"]).stdout);
    assert!(help["text"].as_str().unwrap().contains("--max-steps"));
    let completions = json(&world.ok(&["completions", "bash", "--json"]).stdout);
    assert_eq!(completions["schema"], "expert-cli.completions/1");
    assert!(completions["script"].as_str().unwrap().contains("expert-cli"));
}

#[test]
fn manual_pages_are_written_for_every_verb() {
    let world = World::new();
    let run = world.ok(&["completions", "man", "--output", "man1"]);
    assert_eq!(run.stdout.trim(), "man1");
    let page = fs::read_to_string(world.work().join("man1/expert-cli-train.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("max\\-steps"), "{page}");
    assert!(world.work().join("man1/expert-cli.1").is_file());
}

#[test]
fn a_gpu_is_a_missing_resource_everywhere() {
    let world = World::new();
    for verb in [&["train"][..], &["chat", "--prompt", "q"], &["infer", "--input", "q", "--output", "a"]] {
        let input = world.work().join("q");
        fs::write(input, "{\"question\": \"q\"}\n").unwrap();
        for (device, code) in [("cuda", 4), ("cuda:1", 4), ("gpu", 2)] {
            let run = world.run(&[verb, &["--device", device]].concat());
            assert_eq!(run.code, code, "{verb:?} {device}: {}", run.shown());
        }
    }
}

#[test]
fn what_is_not_there_is_named_with_a_way_out() {
    let world = World::new();
    fs::write(world.work().join("bad.json"), "{\"name\": }").unwrap();
    for (args, code) in [
        (&["validate", "nope"][..], 3),
        (&["validate", "bad.json"], 3),
        (&["verify", "nope.expert"], 3),
        (&["install", "nope.expert"], 3),
        (&["infer", "--input", "nope", "--output", "a"], 3),
        (&["chat", "--context", "nope.sql", "--prompt", "q", "--base-model", "no-such-model"], 3),
        (&["init", "/proc/nowhere/expert-a"], 4),
    ] {
        let run = world.run(args);
        assert_eq!(run.code, code, "{args:?}: {}", run.shown());
        assert!(run.stderr.contains("\nhint: "), "{args:?}: {}", run.stderr);
        assert!(!run.stderr.contains("--manifest"), "`{}` has no such flag: {}", args[0], run.stderr);
    }
    // The schema is looked at before a model is searched or loaded.
    let run = world.run(&["chat", "--context", "nope.sql", "--prompt", "q", "--base-model", "no-such-model"]);
    assert!(run.stderr.contains("nope.sql") && !run.stderr.contains("no-such-model"), "{}", run.stderr);
}

#[test]
fn a_filter_that_finds_nothing_says_so() {
    let world = World::new();
    world.base("tiny-qwen3");
    world.expert("sql");
    let package = world.package("sql");
    world.ok(&["install", package.to_str().unwrap(), "-q"]);
    let run = world.ok(&["list", "--base-model", "Nope"]);
    assert!(run.stderr.contains("no installed expert is made for Nope"), "{}", run.stderr);
}

#[test]
fn the_next_command_keeps_what_was_chosen() {
    let world = World::new();
    world.base("tiny-qwen3");
    world.expert("sql");
    let run = world.ok(&["package", "-m", "sql", "--list-contents"]);
    assert!(run.stderr.contains("next: expert-cli package -m sql\n"), "{}", run.stderr);
}
