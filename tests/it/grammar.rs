//! Grammars: conformance to GBNF as llama.cpp reads it, what the shipped ones accept, and the verb `grammar`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use expert_cli::grammar::{Grammar, Matcher, Verdict, examine_with, shipped};
use serde_json::Value;

/// What becomes of the pieces of a case: strings are one token for each character, numbers are token ids (whose text,
/// in llama.cpp's tests, is the literal itself).
fn is_inside(grammar: &Arc<Grammar>, text: &Value) -> bool {
    let mut matcher = Matcher::new(grammar.clone());
    let parts = match text {
        Value::Array(parts) => parts.clone(),
        other => vec![other.clone()],
    };
    for part in parts {
        let taken = match part.as_u64() {
            Some(id) => matcher.advance_piece(id as u32, format!("<[{id}]>").as_bytes()),
            None => part.as_str().unwrap().chars().all(|c| {
                let mut buffer = [0; 4];
                matcher.advance_piece(u32::MAX, c.encode_utf8(&mut buffer).as_bytes())
            }),
        };
        if !taken {
            return false;
        }
    }
    matcher.can_end()
}

#[test]
fn gbnf_conformance() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/gbnf.json");
    let path = std::env::var_os("EXPERT_GBNF_CASES").map_or(own, Into::into);
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    let mut defects = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let parsed = Grammar::parse(case["grammar"].as_str().unwrap());
        let refused = case["parse_error"].as_bool().unwrap_or(false);
        match parsed {
            Err(error) if !refused => defects.push(format!("{name}: does not parse: {error}")),
            Ok(_) if refused => defects.push(format!("{name}: parses")),
            Err(_) => {}
            Ok(grammar) => {
                let grammar = Arc::new(grammar);
                for (list, expected) in [("accept", true), ("reject", false)] {
                    for text in case[list].as_array().into_iter().flatten() {
                        if is_inside(&grammar, text) != expected {
                            defects.push(format!("{name}: must {list} {text}"));
                        }
                    }
                }
            }
        }
    }
    assert!(defects.is_empty(), "{} defects in {} cases:\n{}", defects.len(), cases.len(), defects.join("\n"));
}

fn cases(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The shipped grammars and the files of their cases.
const SHIPPED_CASES: [(&str, &str); 4] = [
    ("sql-sqlite", "grammar_sql_sqlite"),
    ("sql-postgres", "grammar_sql_postgres"),
    ("sql-mysql", "grammar_sql_mysql"),
    ("cypher", "grammar_cypher"),
];

#[test]
fn shipped_grammars_accept_and_reject_their_cases() {
    let mut defects = Vec::new();
    for (name, file) in SHIPPED_CASES {
        let matcher = Matcher::new(Arc::new(Grammar::parse(shipped(name).unwrap()).unwrap()));
        for (list, expected) in [("accept", true), ("reject", false)] {
            let lines = cases(&format!("{file}_{list}.txt"));
            assert!(!lines.is_empty());
            for line in lines {
                let verdict = examine_with(&matcher, line.as_bytes());
                if (verdict == Verdict::Inside) != expected {
                    defects.push(format!("{name} must {list}: {line}\n    {verdict:?}"));
                }
            }
        }
    }
    assert!(defects.is_empty(), "{}", defects.join("\n"));
}

#[test]
fn what_the_sqlite_grammar_accepts_sqlite_parses() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    for line in cases("grammar_sql_sqlite_accept.txt") {
        if let Err(error) = database.prepare(&line) {
            let error = error.to_string();
            assert!(!error.contains("syntax error") && !error.contains("incomplete"), "{line}: {error}");
        }
    }
}

#[test]
fn every_reserved_word_is_refused_as_a_name_and_nothing_near_it() {
    for (name, _) in SHIPPED_CASES.iter().filter(|(name, _)| name.starts_with("sql")) {
        let text = shipped(name).unwrap();
        let matcher = Matcher::new(Arc::new(Grammar::parse(text).unwrap()));
        let inside = |text: String| examine_with(&matcher, text.as_bytes()) == Verdict::Inside;
        let words: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# reserved: ")).flat_map(str::split_whitespace).collect();
        assert!(words.len() > 50);
        for word in words {
            let lower = word.to_lowercase();
            assert!(!inside(format!("SELECT a FROM {word}")), "{name}: {word}");
            assert!(!inside(format!("SELECT a FROM {lower}")), "{name}: {lower}");
            for near in [format!("{word}x"), format!("{lower}_1"), format!("zq{word}")] {
                assert!(inside(format!("SELECT {near}.a FROM {near}")), "{name}: {near}");
            }
        }
    }
}

#[test]
fn json_is_json() {
    let matcher = Matcher::new(Arc::new(Grammar::parse(shipped("json").unwrap()).unwrap()));
    let texts =
        ["{}", "[1, -2.5e+3, \"a\\u00e9\\n\", null]", "{\"a\": {\"b\": [true, false]}}", "{\n  \"a\": 1\n}\n", "\"x\""];
    for text in texts {
        assert!(serde_json::from_str::<Value>(text).is_ok());
        assert_eq!(examine_with(&matcher, text.as_bytes()), Verdict::Inside, "{text}");
    }
    for text in ["{a: 1}", "[1,]", "01", "\"a\nb\"", "{} {}", "nul", "+1", "[1 2]", "\"\\x\""] {
        assert!(serde_json::from_str::<Value>(text).is_err());
        assert_ne!(examine_with(&matcher, text.as_bytes()), Verdict::Inside, "{text}");
    }
}

/// Every gold query of the training data is in the language of `sql-sqlite`. Runs where `EXPERT_GOLD_DATA` names the
/// folder that holds `text2sql/` and `spider/`.
#[test]
fn gold_queries_are_accepted() {
    let Some(folder) = std::env::var_os("EXPERT_GOLD_DATA") else { return };
    let folder = Path::new(&folder);
    let read = |name: &str| {
        let mut text = String::new();
        let file = std::fs::File::open(folder.join(name)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    };
    let rows: Vec<Value> =
        read("text2sql/sql_create_context_like.jsonl.gz").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let sound: Vec<usize> = serde_json::from_str(&read("text2sql/sound_rows.json.gz")).unwrap();
    let mut queries: Vec<String> = Vec::new();
    for row in sound.into_iter().map(|at| &rows[at]) {
        let schema = row["context"].as_str().unwrap().to_lowercase();
        queries.push(super::guard::with_strings(row["answer"].as_str().unwrap(), |name| {
            schema.contains(&name.to_lowercase())
        }));
    }
    for line in read("spider/sqlite_gold_exec.jsonl.gz").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        queries.push(super::guard::with_strings(row["sql"].as_str().unwrap(), |_| false));
    }
    let matcher = Matcher::new(Arc::new(Grammar::parse(shipped("sql-sqlite").unwrap()).unwrap()));
    let refused: Vec<&String> =
        queries.iter().filter(|query| examine_with(&matcher, query.as_bytes()) != Verdict::Inside).collect();
    assert!(queries.len() > 20_000);
    assert!(refused.is_empty(), "{} of {} refused, first {:?}", refused.len(), queries.len(), refused[0]);
}

fn run(args: &[&str], input: Option<&str>) -> (i32, String, String) {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_expert-cli"))
        .args(args)
        .env("EXPERT_HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.unwrap_or("").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_tells_where_a_text_leaves_the_language() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.gbnf");
    std::fs::write(&file, "root ::= \"SELECT \" name (\"\\n\" name)*\nname ::= [a-zé]+\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = run(&["grammar", "check", file], None);
    assert_eq!((code, out.as_str(), err.contains("next:")), (0, &*format!("{file}: sound, 2 rules\n"), true));
    assert_eq!(run(&["grammar", "check", file, "--text", "SELECT é"], None).0, 0);
    let (code, out, _) = run(&["grammar", "check", file, "--text", "SELECT a\néü"], None);
    assert_eq!(code, 1);
    let out = out.replace(file, "FILE");
    insta::assert_snapshot!(out, @r#"
    not in the language of FILE: the text leaves the language at byte 11 (line 2, column 2)
      SELECT a↵éü
                ^
      it might have ended here, or gone on with:
        [a-z…]                   name
        "\n"                     root
    "#);
    // Byte for byte: the line break at a file's end is part of the text.
    assert_eq!(run(&["grammar", "check", file, "--input", "-"], Some("SELECT a")).0, 0);
    let (code, out, _) = run(&["--json", "grammar", "check", file, "--input", "-"], Some("SELECT a\n"));
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &body["accepted"], &body["too_short"]), (1, &Value::Bool(false), &Value::Bool(true)));
    assert_eq!(body["at"], serde_json::json!({"offset": 9, "line": 2, "column": 1}));
    assert_eq!(body["expected"], serde_json::json!([{"next": "[a-z…]", "rule": "name"}]));
    let (code, out, _) = run(&["grammar", "check", file, "--input", "-", "--lines"], Some("SELECT a\nx\nSELECT b\n"));
    assert!(code == 1 && out.contains("line 2: ") && out.contains("2 of 3 lines"), "{out}");
}

#[test]
fn check_shows_what_is_wrong_with_a_grammar() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.gbnf");
    std::fs::write(&file, "root ::= \"a\"\n  | my_rule\n").unwrap();
    let (code, out, err) = run(&["grammar", "check", file.to_str().unwrap()], None);
    assert_eq!((code, out.as_str()), (3, ""));
    insta::assert_snapshot!(err.replace(file.to_str().unwrap(), "FILE"), @r"
    error: FILE:2:3: a line begins with `|`
          2 |   | my_rule
            |   ^

    hint: end the line before it with `|`, or put the alternatives in parentheses
    ");
    let (code, _, err) = run(&["grammar", "check", "no-such"], None);
    assert!(code == 3 && err.contains("sql-sqlite"), "{err}");
    assert_eq!(run(&["grammar", "check", "json", "--text", "[1]"], None).0, 0);
}

#[test]
fn stats_measure_a_grammar_on_a_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    super::tiny::write_model(dir.path());
    let input = dir.path().join("texts.txt");
    std::fs::write(&input, "SELECT name FROM users WHERE id = 42\nno SQL\n").unwrap();
    let (folder, input) = (dir.path().to_str().unwrap(), input.to_str().unwrap());
    let (code, out, err) =
        run(&["--json", "grammar", "stats", "sql-sqlite", "--tokenizer", folder, "--input", input], None);
    assert_eq!(code, 0, "{err}");
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&body["texts"], body["times"].as_array().unwrap().len()), (&1.into(), 5));
    assert!(body["states"].as_u64().unwrap() > 20 && body["trie_nodes"].as_u64().unwrap() > 256);
    let (code, out, _) = run(&["grammar", "stats", "json", "--tokenizer", folder], None);
    assert!(code == 0 && out.contains("picked token, first pass"), "{out}");
}
