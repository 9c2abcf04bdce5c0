//! The closed world of a package: which names may stand in one, and how large each may be.
//!
//! Everything that is not allowed here is refused; there is no list of what is forbidden except where the reason
//! deserves a name of its own (pickles).

use std::collections::HashMap;

use crate::error::{Problem, Result};

/// Most entries of an archive. A real package has about eleven and its tests. Price: nothing.
pub(super) const MAX_ENTRIES: usize = 1_000;

/// Largest text file: tokenizer.json of the largest vocabularies has 35 MB. Price: memory while packing.
pub(super) const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Largest manifest. Price: memory.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Largest adapter: rank 512 on all linears of a 24B model in f32 has 6 GB. Price: disk.
pub(super) const MAX_TENSOR_BYTES: u64 = 16 << 30;

/// What the files may unpack to per byte of archive, beyond [`FREE_BYTES`]. Adapters hardly shrink, tokenizers shrink
/// five times; a bomb of zeros reaches 1029.
pub(super) const MAX_RATIO: u64 = 100;

/// So much may always be unpacked, whatever the ratio: tiny adapters in tests are mostly zeros.
pub(super) const FREE_BYTES: u64 = 1 << 20;

/// Longest name in bytes: what a tar header holds without an extension.
pub(super) const MAX_NAME_BYTES: usize = 99;

/// Deepest nesting; upstream's oldest layout has three levels.
const MAX_DEPTH: usize = 4;

/// Upstream's pickle, skipped with a note and never opened.
pub(super) const SKIPPED: &str = "training_args.bin";

/// Extensions of files that may run code when Python loads them.
const PICKLES: [&str; 8] = ["bin", "pt", "pth", "pkl", "pickle", "ckpt", "joblib", "npy"];

/// Extensions that text files may have.
const TEXT_EXTENSIONS: [&str; 10] = ["json", "jsonl", "md", "txt", "gbnf", "jinja", "sql", "csv", "sig", "yaml"];

/// Extensions allowed under `tests/` besides.
const TEST_EXTENSIONS: [&str; 2] = ["py", "yml"];

/// Names without an extension.
const BARE_NAMES: [&str; 4] = ["LICENSE", "NOTICE", "COPYING", "README"];

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept; so many bytes at most.
    Keep(u64),
    /// It is passed over; so many bytes at most.
    Skip(u64),
}

/// Judges the name of a regular file: allowed, skipped, or refused with the reason.
pub(super) fn judge(name: &str) -> std::result::Result<Fate, String> {
    let last = shape(name)?;
    if name == "manifest.json" {
        return Ok(Fate::Keep(MAX_MANIFEST_BYTES));
    }
    if last == SKIPPED {
        return Ok(Fate::Skip(MAX_TEXT_BYTES));
    }
    let Some((_, extension)) = last.rsplit_once('.') else {
        let known = BARE_NAMES.contains(&last);
        return if known { Ok(Fate::Keep(MAX_TEXT_BYTES)) } else { Err("no file of that name belongs in it".into()) };
    };
    let extension = extension.to_ascii_lowercase();
    let in_tests = name.starts_with("tests/");
    match extension.as_str() {
        "safetensors" => Ok(Fate::Keep(MAX_TENSOR_BYTES)),
        e if TEXT_EXTENSIONS.contains(&e) || (in_tests && TEST_EXTENSIONS.contains(&e)) => {
            Ok(Fate::Keep(MAX_TEXT_BYTES))
        }
        e if PICKLES.contains(&e) => Err(format!("`.{e}` files may be pickles, which run code when loaded")),
        e => Err(format!("the extension `.{e}` is not allowed")),
    }
}

/// Judges the form of a path and returns its last component.
pub(super) fn shape(name: &str) -> std::result::Result<&str, String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("names have 1 to {MAX_NAME_BYTES} bytes"));
    }
    if name.starts_with('/') {
        return Err("an absolute path".into());
    }
    if name.chars().any(char::is_control) {
        return Err("control characters in the name".into());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+,=@ ()/".contains(c);
    if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
        return Err(format!("`{}` in the name", bad.escape_default()));
    }
    let components: Vec<&str> = name.split('/').collect();
    if components.len() > MAX_DEPTH {
        return Err(format!("deeper than {MAX_DEPTH} levels"));
    }
    for component in &components {
        match *component {
            "" => return Err("an empty path component".into()),
            ".." => return Err("`..` in the path".into()),
            c if c.starts_with('.') || c.ends_with('.') || c.starts_with(' ') || c.ends_with(' ') => {
                return Err(format!("`{c}` begins or ends with a dot or a blank"));
            }
            c if is_device(c) => return Err(format!("`{c}` names a device on Windows")),
            _ => {}
        }
    }
    Ok(components[components.len() - 1])
}

/// Whether a text can be the name of one folder: a single component of allowed form.
pub fn is_folder_name(text: &str) -> bool {
    shape(text).is_ok_and(|last| last == text)
}

/// `CON`, `nul.txt`, `COM1.json` and the like.
fn is_device(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered =
        |prefix: &str| stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit()));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

/// The names seen so far; refuses what would fall on the same place on some system.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Lower-case path → the path as written and whether it is a file.
    places: HashMap<String, (String, bool)>,
}

impl Seen {
    /// Takes the path of a file and of the folders above it.
    pub fn file(&mut self, name: &str) -> std::result::Result<(), String> {
        for (at, _) in name.match_indices('/') {
            self.folder(&name[..at])?;
        }
        match self.places.insert(name.to_lowercase(), (name.to_owned(), true)) {
            None => Ok(()),
            Some((other, _)) if other == name => Err("the name stands twice".into()),
            Some((other, _)) => Err(format!("differs from `{other}` only by case")),
        }
    }

    /// Takes the path of a folder.
    pub fn folder(&mut self, name: &str) -> std::result::Result<(), String> {
        match self.places.get(&name.to_lowercase()) {
            None => {
                self.places.insert(name.to_lowercase(), (name.to_owned(), false));
                Ok(())
            }
            Some((other, false)) if other == name => Ok(()),
            Some((other, false)) => Err(format!("differs from `{other}` only by case")),
            Some((other, true)) => Err(format!("lies under `{other}`, which is a file")),
        }
    }
}

/// The refusal of an archive because of one entry.
pub(super) fn refuse(archive: &str, name: &str, why: &str) -> anyhow::Error {
    Problem::input(format!("{archive} is refused: {why}"))
        .detail(format!("entry `{}`", name.escape_debug()))
        .hint("a package holds regular files from a short list only; nothing was written")
        .into()
}

/// Checks that `name` may be packed.
pub(super) fn must_keep(name: &str) -> Result<()> {
    match judge(name) {
        Ok(Fate::Keep(_)) => Ok(()),
        Ok(Fate::Skip(_)) => Err(Problem::input(format!("{name} cannot be packed: it is a pickle")).into()),
        Err(why) => Err(Problem::input(format!("{name} cannot be packed: {why}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleven_and_their_kin_are_allowed() {
        for name in [
            "manifest.json",
            "adapter_model.safetensors",
            "weights/adapter/adapter_model.safetensors",
            "grammar.gbnf",
            "qwen3-06b/checkpoint-500/tokenizer.json",
            "LICENSE",
            "README.md",
            "tests/test_cases.json",
            "tests/run.py",
            "signature.sig",
            "chat_template.jinja",
            "console.txt",
        ] {
            assert!(matches!(judge(name), Ok(Fate::Keep(_))), "{name}");
        }
        assert!(matches!(judge("training_args.bin"), Ok(Fate::Skip(_))));
        assert!(matches!(judge("x/training_args.bin"), Ok(Fate::Skip(_))));
    }

    #[test]
    fn everything_else_is_refused() {
        for (name, why) in [
            ("", "1 to 99 bytes"),
            ("/etc/passwd", "absolute"),
            ("../x.json", "`..`"),
            ("a/../x.json", "`..`"),
            ("a/./x.json", "dot"),
            ("a//x.json", "empty"),
            ("a\\x.json", "in the name"),
            ("C:x.json", "`:`"),
            ("a\u{1b}[2J.json", "control"),
            ("a\n.json", "control"),
            ("\u{202e}nosj.json", "in the name"),
            (".hidden.json", "dot"),
            ("x.json.", "dot"),
            ("NUL.json", "device"),
            ("com1", "device"),
            ("model.pt", "pickle"),
            ("adapter_model.bin", "pickle"),
            ("run.sh", "`.sh`"),
            ("run.py", "`.py`"),
            ("program", "no file of that name"),
            ("a/b/c/d/e.json", "deeper"),
        ] {
            let error = judge(name).unwrap_err();
            assert!(error.contains(why), "{name:?}: {error}");
        }
        assert!(judge(&"x".repeat(200)).is_err());
    }

    #[test]
    fn clashing_names_are_seen() {
        let mut seen = Seen::default();
        seen.file("a/README.md").unwrap();
        for (name, why) in [
            ("a/README.md", "twice"),
            ("a/readme.md", "case"),
            ("A/x.json", "case"),
            ("a/README.md/x.json", "is a file"),
        ] {
            let error = seen.file(name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        seen.folder("a").unwrap();
        assert!(seen.folder("A").is_err() && seen.folder("a/README.md").is_err());
    }
}
