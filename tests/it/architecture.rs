//! The house rules that a compiler does not check: which room may look at which, how long a file may be, where printing
//! and `unsafe` may stand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may import from (besides `error` and `fsx`, which everyone may). `docs/ARCHITECTURE.md`
/// draws the same table.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("fsx", &[]),
    ("page", &[]),
    ("kernels", &[]),
    ("sql", &[]),
    ("manifest", &[]),
    ("db", &["sql"]),
    ("model", &["kernels"]),
    ("grammar", &["sql"]),
    ("adapter", &["kernels", "model"]),
    ("data", &["sql", "manifest", "kernels", "model", "db"]),
    ("package", &["manifest", "model", "adapter", "data", "kernels"]),
    ("generate", &["sql", "manifest", "model", "adapter", "data", "grammar", "db", "kernels"]),
    ("registry", &["manifest", "model", "package"]),
    ("synth", &["kernels", "sql", "db"]),
    ("eval", &["sql", "db", "synth", "page"]),
    ("train", &["manifest", "model", "adapter", "data", "kernels", "generate", "page"]),
    (
        "cli",
        &[
            "kernels", "sql", "manifest", "db", "model", "grammar", "adapter", "data", "package", "generate",
            "registry", "synth", "eval", "train", "page",
        ],
    ),
];

/// Longest Rust file, in lines.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs" || e == "cu") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Rust files of the product: a `tests.rs` beside the code is tests.
fn product_files() -> Vec<PathBuf> {
    rust_files(&root().join("src")).into_iter().filter(|file| !file.ends_with("tests.rs")).collect()
}

/// The room of a file under src.
fn room(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    relative.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Code without comments, strings and what follows a `#[cfg(test)]` module at the end of the file.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .filter(|line| !line.trim_start().starts_with('"'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The rooms named by `crate::…` paths, `crate::{a, b::c}` groups included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(first_word(&item));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            found.insert(first_word(&item));
        } else {
            found.insert(first_word(rest));
        }
    }
    found.remove("");
    found
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_down_only() {
    let mut defects = Vec::new();
    for file in product_files() {
        let own = room(&file);
        if own == "lib" || own == "main" {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == own) else {
            defects.push(format!("{}: no such room in the table", file.display()));
            continue;
        };
        for import in imports(&code(&file)) {
            let known = ROOMS.iter().any(|(name, _)| *name == import);
            let free = import == own || import == "error" || import == "fsx";
            if known && !free && !allowed.contains(&import.as_str()) {
                defects.push(format!("{}: {own} looks at {import}", file.display()));
            }
        }
    }
    assert!(defects.is_empty(), "imports that go up or sideways:\n{}", defects.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    for (index, (name, allowed)) in ROOMS.iter().enumerate() {
        for import in *allowed {
            let below = ROOMS[..index].iter().any(|(room, _)| room == import);
            assert!(below, "{name} may look at {import}, which does not stand below it");
        }
    }
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for dir in ["src", "tests", "benches"] {
        for file in rust_files(&root().join(dir)) {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "over {LONGEST} lines:\n{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in product_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} has no head", file.display());
    }
}

#[test]
fn only_the_console_prints() {
    for file in product_files() {
        if file.starts_with(root().join("src/cli/ui")) {
            continue;
        }
        let code = code(&file);
        for word in ["println!", "print!(", "eprint", "dbg!(", "io::stdout()", "stdout().lock"] {
            assert!(!code.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn unsafe_stands_in_the_kernels_and_the_weight_map_with_its_reason() {
    for file in product_files() {
        let code = code(&file);
        if !code.contains("unsafe ") && !code.contains("unsafe{") {
            continue;
        }
        let allowed = room(&file) == "kernels" || file.ends_with("model/weight.rs");
        assert!(allowed, "{}: unsafe", file.display());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("SAFETY"), "{}: unsafe without a SAFETY line", file.display());
    }
}

#[test]
fn only_fsx_writes_files_and_only_template_knows_the_markers() {
    for file in product_files() {
        // `fsx::AtomicFile::create` is the way in.
        let code = code(&file).replace("AtomicFile::create(", "");
        if room(&file) != "fsx" {
            for word in ["fs::write(", "File::create(", "OpenOptions::new", "fs::rename(", "fs::remove_"] {
                assert!(!code.contains(word), "{}: {word}", file.display());
            }
        }
        let may_know = ["data/template.rs", "data/tokenizer.rs"];
        let inside =
            file.components().any(|c| c.as_os_str() == "template") || may_know.iter().any(|f| file.ends_with(f));
        if !inside {
            assert!(!code.contains("<|im_start|>"), "{}: knows <|im_start|>", file.display());
        }
    }
}

#[test]
fn no_room_has_a_name_that_says_nothing() {
    for file in product_files() {
        for part in file.strip_prefix(root()).unwrap().iter() {
            let name = part.to_string_lossy().trim_end_matches(".rs").to_owned();
            for empty in ["utils", "util", "common", "helpers", "core", "types", "misc"] {
                assert!(name != empty, "{}", file.display());
            }
        }
    }
}
