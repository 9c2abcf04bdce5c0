//! Tokenised rows kept under `EXPERT_HOME/cache/tokens`, named by the content of what they were made from: file,
//! tokenizer and rule. What cannot be read or does not fit its hash is not there; what cannot be written costs time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Counts, Dropped, Encode, Examples, Row, Rule};
use crate::data::template::Layout;
use crate::error::Result;
use crate::fsx;

/// Changes whenever the same file would become other ids. Price of forgetting it: a run on rows of an older program.
const FORMAT: &str = "expert-cli.tokens/2";

/// Sets of rows that are kept; the oldest goes first. Price: four bytes a token each.
const KEPT: usize = 16;

/// Where tokenised rows are kept.
#[derive(Debug, Clone)]
pub struct TokenCache {
    /// The folder.
    pub dir: PathBuf,
    /// What the tokenizer is, as a hash.
    pub tokenizer: String,
    /// Whether new ones are written.
    pub write: bool,
}

impl TokenCache {
    /// The examples of a file: from the cache, else read and put there.
    pub fn read(&self, path: &Path, tokenizer: &dyn Encode, rule: &Rule) -> Result<Examples> {
        let file = self.dir.join(format!("{}.tokens", self.key(path, rule)?));
        if let Some(found) = load(&file, path) {
            return Ok(found);
        }
        let examples = Examples::read(path, tokenizer, rule)?;
        if self.write && fsx::write_atomic(&file, &bytes(&examples)).is_ok() {
            prune(&self.dir);
        }
        Ok(examples)
    }

    /// Names of files stand in the counts, so the path is part of the key.
    fn key(&self, path: &Path, rule: &Rule) -> Result<String> {
        let content = fsx::sha256_file(path)?;
        let version = env!("CARGO_PKG_VERSION");
        let path = path.display();
        Ok(fsx::sha256(format!("{FORMAT}\n{version}\n{path}\n{content}\n{}\n{rule:?}", self.tokenizer).as_bytes()))
    }
}

/// A line with the hash of the rest, a line of counts, then rows and ids as little-endian numbers.
fn bytes(examples: &Examples) -> Vec<u8> {
    let counts = json!({"counts": examples.counts, "rows": examples.rows.len(), "ids": examples.ids.len()});
    let mut body = format!("{counts}\n").into_bytes();
    for row in &examples.rows {
        for number in [row.start as u64, row.end as u64, row.first_target as u64, row.prefix as u64, row.line] {
            body.extend(number.to_le_bytes());
        }
    }
    examples.ids.iter().for_each(|id| body.extend(id.to_le_bytes()));
    let mut all = String::new();
    let _ = writeln!(all, "{FORMAT} {}", fsx::sha256(&body));
    let mut all = all.into_bytes();
    all.extend(body);
    all
}

fn load(file: &Path, path: &Path) -> Option<Examples> {
    if !file.is_file() {
        return None;
    }
    let all = fsx::read(file).ok()?;
    let end = all.iter().position(|byte| *byte == b'\n')?;
    let (first, body) = (std::str::from_utf8(&all[..end]).ok()?, &all[end + 1..]);
    if first != format!("{FORMAT} {}", fsx::sha256(body)) {
        return None;
    }
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let head: Value = serde_json::from_slice(&body[..end]).ok()?;
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let (rows, ids) = (number(&head["rows"])?, number(&head["ids"])?);
    let numbers = &body[end + 1..];
    if numbers.len() != rows * 40 + ids * 4 {
        return None;
    }
    let (rows, ids) = numbers.split_at(rows * 40);
    let (words, _) = rows.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let rows = words.chunks_exact(5).map(|row| Row {
        start: row[0] as usize,
        end: row[1] as usize,
        first_target: row[2] as usize,
        prefix: row[3] as usize,
        line: row[4],
    });
    let (ids, _) = ids.as_chunks::<4>();
    Some(Examples {
        path: path.to_owned(),
        rows: rows.collect(),
        ids: ids.iter().map(|id| u32::from_le_bytes(*id)).collect(),
        counts: counts(&head["counts"])?,
    })
}

fn counts(value: &Value) -> Option<Counts> {
    let number = |key: &str| value[key].as_u64().map(|n| n as usize);
    let mut counts = Counts {
        rows: number("rows")?,
        used: number("used")?,
        truncated: number("truncated")?,
        tokens: number("tokens")?,
        targets: number("targets")?,
        longest: number("longest")?,
        ..Counts::default()
    };
    for (name, count) in value["layouts"].as_object()? {
        counts.layouts.insert(Layout::from_name(name)?.name(), count.as_u64()? as usize);
    }
    for (reason, dropped) in value["dropped"].as_object()? {
        let first = dropped["first"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        counts.dropped.insert(reason.clone(), Dropped { count: dropped["count"].as_u64()? as usize, first });
    }
    Some(counts)
}

/// Lets the oldest go.
fn prune(dir: &Path) {
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = fsx::list_dir(dir)
        .unwrap_or_default()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "tokens"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    let extra = found.len().saturating_sub(KEPT);
    found.iter().take(extra).for_each(|(_, path)| drop(fsx::remove(path)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::examples::TrainOn;
    use crate::data::shapes::Mapping;

    /// One id a byte; without `works` it must not be asked.
    struct Bytes {
        works: bool,
    }

    impl Encode for Bytes {
        fn prompt(&self, text: &str) -> Result<Vec<u32>> {
            self.rest(text)
        }
        fn rest(&self, text: &str) -> Result<Vec<u32>> {
            assert!(self.works, "tokenised again");
            Ok(text.bytes().map(u32::from).collect())
        }
        fn eos(&self) -> Option<u32> {
            Some(0)
        }
    }

    fn rule(max_seq_length: usize) -> Rule {
        Rule {
            train_on: TrainOn::Answer,
            max_seq_length,
            text_field: "text".into(),
            mapping: Mapping::default(),
            layout: Layout::Qwen3,
            dialect: "sqlite".into(),
        }
    }

    #[test]
    fn the_same_content_is_tokenised_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        let rows = |answer: &str| {
            let good = json!({"question": "how many?", "context": "CREATE TABLE t (a INT)", "answer": answer});
            fsx::write_atomic(&path, format!("{good}\n{good}\nnot json\n").as_bytes()).unwrap();
        };
        rows("SELECT 1");
        let cache = TokenCache { dir: dir.path().join("cache"), tokenizer: "one".into(), write: true };
        let first = cache.read(&path, &Bytes { works: true }, &rule(999)).unwrap();
        let again = cache.read(&path, &Bytes { works: false }, &rule(999)).unwrap();
        assert_eq!((first.digest(), &first.counts), (again.digest(), &again.counts));
        assert_eq!((again.counts.used, again.counts.dropped.len(), again.origin(1)), (2, 1, first.origin(1)));
        // Other rows, another rule, another tokenizer: read anew.
        let read = |cache: &TokenCache, length: usize| {
            std::panic::catch_unwind(|| cache.read(&path, &Bytes { works: false }, &rule(length)).unwrap())
        };
        assert!(read(&cache, 999).is_ok());
        assert!(read(&cache, 998).is_err());
        assert!(read(&TokenCache { tokenizer: "two".into(), ..cache.clone() }, 999).is_err());
        rows("SELECT 2");
        assert!(read(&cache, 999).is_err());
        rows("SELECT 1");
        // A damaged file is no file.
        let file = fsx::list_dir(&cache.dir).unwrap().remove(0);
        let mut bytes = fsx::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fsx::write_atomic(&file, &bytes).unwrap();
        assert!(read(&cache, 999).is_err());
    }

    #[test]
    fn nothing_is_written_unasked_and_old_sets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        let row = json!({"question": "q", "context": "CREATE TABLE t (a INT)", "answer": "SELECT 1"});
        fsx::write_atomic(&path, format!("{row}\n").as_bytes()).unwrap();
        let mut cache = TokenCache { dir: dir.path().join("cache"), tokenizer: "x".into(), write: false };
        cache.read(&path, &Bytes { works: true }, &rule(999)).unwrap();
        assert!(!cache.dir.exists());
        cache.write = true;
        for length in 900..900 + KEPT + 3 {
            cache.read(&path, &Bytes { works: true }, &rule(length)).unwrap();
        }
        assert_eq!(fsx::list_dir(&cache.dir).unwrap().len(), KEPT);
        // A folder that cannot be made is no error.
        let blocked = TokenCache { dir: path.join("cache"), ..cache };
        blocked.read(&path, &Bytes { works: true }, &rule(1)).unwrap_err();
        blocked.read(&path, &Bytes { works: true }, &rule(999)).unwrap();
    }
}
