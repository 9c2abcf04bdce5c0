//! The README's worked example runs as it stands: every `$ …` line of its `console` blocks, in order, beginning in a folder
//! with the two files that the README shows, with one `EXPERT_HOME`.

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

/// The blocks of the README in this language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

#[test]
fn the_worked_example_runs() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands: Vec<Vec<String>> = blocks(&readme, "console")
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ "))
        .map(words)
        .collect();
    assert!(commands.len() >= 10, "the README has {} commands", commands.len());

    let world = World::new();
    // A tiny model stands in for the one that is downloaded; the two files are those of the README, the rows with as
    // many more of their kind as a training wants.
    tiny::write_model(&world.home().join("models/Qwen3-0.6B"));
    let questions = world.work().join("questions.jsonl");
    tiny::write_rows(&questions, 120);
    let rows = std::fs::read_to_string(&questions).unwrap();
    std::fs::write(&questions, format!("{}{rows}", blocks(&readme, "json")[0])).unwrap();
    std::fs::write(world.work().join("schema.sql"), blocks(&readme, "sql")[0]).unwrap();

    let mut folder = world.work();
    let mut said = String::new();
    for command in &commands {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        match args[0] {
            "cd" => folder = folder.join(args[1]),
            "expert-cli" => {
                let run = World::wait(world.command(&args[1..]).current_dir(&folder));
                // A noise model's SQL need not validate: `chat` then ends with 1.
                let allowed: &[i32] = if args[1] == "chat" { &[0, 1] } else { &[0] };
                assert!(allowed.contains(&run.code), "{args:?}: {}", run.shown());
                said += &(run.stderr + &run.stdout);
            }
            other => panic!("the README types `{other}`"),
        }
    }
    // What the README says that they say; numbers hang on how many rows there are.
    let shape = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let said: Vec<String> = said.lines().map(|line| shape(line.trim_end())).collect();
    for line in blocks(&readme, "text")[0].lines().filter(|line| !line.is_empty() && *line != "…") {
        assert!(said.contains(&shape(line)), "nothing says {line:?}: {said:#?}");
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
