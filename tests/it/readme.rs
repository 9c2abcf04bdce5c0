//! The README's worked example runs as it stands: every `$ expert-cli …` line of its `console` blocks, in order, in one
//! folder, with one `EXPERT_HOME`.

use std::path::Path;

use crate::tiny;
use crate::world::World;

/// Splits a shell line of words and double-quoted words.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn the_worked_example_runs() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands: Vec<Vec<String>> = readme
        .split("```console\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .filter_map(|line| line.strip_prefix("$ expert-cli "))
        .map(words)
        .collect();
    assert!(commands.len() >= 6, "the README has {} commands", commands.len());

    let world = World::new();
    // What the example names: a base model and a data set; a tiny model stands in for the real one.
    tiny::write_model(&world.home().join("models/Qwen3-0.6B"));
    tiny::write_rows(&world.work().join("questions.jsonl"), 120);
    std::fs::write(world.work().join("schema.sql"), "CREATE TABLE ship (id INTEGER, name TEXT);\n").unwrap();
    let mut folder = world.work();
    for command in &commands {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let run = World::wait(world.command(&args).current_dir(&folder));
        // A noise model's SQL need not validate: `chat` then ends with 1.
        let allowed: &[i32] = if args[0] == "chat" { &[0, 1] } else { &[0] };
        assert!(allowed.contains(&run.code), "expert-cli {args:?}: {}", run.shown());
        if args[0] == "init" {
            // The example goes on inside the new folder.
            let inside = folder.join(args[1]);
            for file in ["questions.jsonl", "schema.sql"] {
                std::fs::copy(folder.join(file), inside.join(file)).unwrap();
            }
            folder = inside;
        }
    }
}

#[test]
fn the_two_commands_are_those_of_ci() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let block = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let commands: Vec<&str> = block.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(commands, ["cargo run -- quickstart", "cargo test"]);
    let ci = std::fs::read_to_string(root.join(".ci/run")).unwrap();
    assert!(ci.lines().any(|line| line.trim() == commands[1]), "CI runs the README's test command");
}
