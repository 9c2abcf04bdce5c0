//! Rows of a training file to token ids and targets.
//!
//! A row is `prompt + answer` as [`Layout`] renders it; prompt and answer are encoded apart, so that the prompt's ids
//! are those that `chat` will send. Targets are the answer's tokens and the marker that closes it (or every token).
//! Rows that `preprocess` wrote have a `text`; records of the known shapes are rendered here, unchecked.
//! The file is streamed; what stays in memory is four bytes per token. Rows that teach nothing are dropped and counted,
//! with the first ones named by file:line. No order, no batches: see `batches`.

mod cache;
mod row;

pub use cache::TokenCache;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::batches::Length;
use super::records::{self, Read};
use super::shapes::Mapping;
use super::template::Layout;
use super::tokenizer::TextTokenizer;
use crate::error::{Problem, Result};
use crate::kernels::random;
use row::{Bad, CUT_AWAY, Encoded, UNKNOWN_LAYOUT, encode};

/// Records that are read before they are encoded together. More would only hold more text in memory.
const CHUNK: usize = 2048;

/// How many rows of each defect are named.
const NAMED: usize = 3;

/// What this needs of a tokenizer.
pub trait Encode: Sync {
    /// Token ids of a prompt, opened as the tokenizer opens a sequence.
    fn prompt(&self, text: &str) -> Result<Vec<u32>>;
    /// Token ids of what follows, without anything added.
    fn rest(&self, text: &str) -> Result<Vec<u32>>;
    /// The id that ends a sequence.
    fn eos(&self) -> Option<u32>;
}

impl Encode for TextTokenizer {
    fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_prompt(text)
    }

    fn rest(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text)
    }

    fn eos(&self) -> Option<u32> {
        self.eos_ids().first().copied()
    }
}

/// Which tokens are targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOn {
    /// The answer and its end marker.
    Answer,
    /// The question, the answer and what lies between; not the schema.
    Question,
    /// Every token but the first.
    All,
}

/// How rows become examples.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which tokens are targets.
    pub train_on: TrainOn,
    /// Longer examples are cut behind this many tokens.
    pub max_seq_length: usize,
    /// The column of rendered rows.
    pub text_field: String,
    /// Columns of records that have no such column; empty: their shape is recognised.
    pub mapping: Mapping,
    /// The layout that such records are rendered in.
    pub layout: Layout,
    /// The dialect of records that name none.
    pub dialect: String,
}

/// One example: the loss is taken on `ids[first_target..]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Index of the first target.
    pub first_target: usize,
}

/// Where an example lies in [`Examples::ids`].
#[derive(Debug, Clone, Copy)]
struct Row {
    start: usize,
    end: usize,
    first_target: usize,
    /// Tokens in front of the question, where it stands behind the schema.
    prefix: usize,
    line: u64,
}

/// The examples of one file.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    path: PathBuf,
    ids: Vec<u32>,
    rows: Vec<Row>,
    /// What became of the rows.
    pub counts: Counts,
}

/// What became of a file's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows read.
    pub rows: usize,
    /// Rows used.
    pub used: usize,
    /// Used rows that were cut at the maximum length.
    pub truncated: usize,
    /// Tokens of the used rows.
    pub tokens: usize,
    /// Targets of the used rows.
    pub targets: usize,
    /// Tokens of the longest used row.
    pub longest: usize,
    /// Rows per layout.
    pub layouts: BTreeMap<&'static str, usize>,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<String, Dropped>,
}

/// Rows left out for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// How many.
    pub count: usize,
    /// The first few, as file:line.
    pub first: Vec<String>,
}

impl Examples {
    /// Reads a file of rows: JSON lines, JSON, CSV or Parquet, each also .gz. Bad rows are counted; if more than half are
    /// bad, or none is left, that is an error.
    pub fn read(path: &Path, tokenizer: &dyn Encode, rule: &Rule) -> Result<Self> {
        let mut examples = Self { path: path.to_owned(), ..Self::default() };
        let mut rows = records::open(path, &path.display().to_string())?;
        loop {
            let chunk = rows.by_ref().take(CHUNK).collect::<Result<Vec<_>>>()?;
            if chunk.is_empty() {
                return examples.checked(rule);
            }
            let encoded: Vec<_> = chunk
                .into_par_iter()
                .map(|row| match row {
                    Read::Bad(place, reason) => (place.line, Err(Bad { reason: "unreadable", detail: reason })),
                    Read::Record(record) => (record.place.line, encode(&record.fields, tokenizer, rule)),
                })
                .collect();
            for (line, result) in encoded {
                examples.add(line, result, rule.max_seq_length);
            }
        }
    }

    /// Examples made of ids: `(ids, first target)`.
    pub fn from_ids(rows: &[(Vec<u32>, usize)]) -> Self {
        let mut examples = Self { path: "memory".into(), ..Self::default() };
        for (line, (ids, first_target)) in (1..).zip(rows) {
            let encoded = Encoded { ids: ids.clone(), first_target: *first_target, prefix: 0, layout: None };
            examples.add(line, Ok(encoded), usize::MAX);
        }
        examples
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Example `index`.
    pub fn get(&self, index: usize) -> Example<'_> {
        let row = self.rows[index];
        Example { ids: &self.ids[row.start..row.end], first_target: row.first_target }
    }

    /// Tokens of every example.
    pub fn lengths(&self) -> Vec<Length> {
        let length = |row: &Row| {
            let ids = &self.ids[row.start..row.start + row.prefix];
            let prefix_key = ids.iter().fold(row.prefix as u64, |key, id| random::mix(&[key, u64::from(*id)]));
            Length { tokens: row.end - row.start, prefix: row.prefix, prefix_key }
        };
        self.rows.par_iter().map(length).collect()
    }

    /// The highest token id; none without examples.
    pub fn highest_id(&self) -> Option<u32> {
        self.ids.iter().copied().max()
    }

    /// Where example `index` came from: `file:line`.
    pub fn origin(&self, index: usize) -> String {
        format!("{}:{}", self.path.display(), self.rows[index].line)
    }

    /// SHA-256 over what is trained on: ids and targets, in the file's order.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for row in &self.rows {
            let ids = &self.ids[row.start..row.end];
            hasher.update((ids.len() as u64).to_le_bytes());
            hasher.update((row.first_target as u64).to_le_bytes());
            ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
        }
        hasher.finalize().iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
    }

    /// Parts the examples into those for which `first` holds and the others, both in the file's order.
    pub fn partition(self, first: impl Fn(Example<'_>) -> bool) -> (Self, Self) {
        let mut parts =
            [Self { path: self.path.clone(), ..Self::default() }, Self { path: self.path.clone(), ..Self::default() }];
        for index in 0..self.len() {
            let example = self.get(index);
            let part = &mut parts[usize::from(!first(example))];
            let Row { prefix, first_target, .. } = self.rows[index];
            let encoded = Encoded { ids: example.ids.to_vec(), first_target, prefix, layout: None };
            part.add(self.rows[index].line, Ok(encoded), usize::MAX);
        }
        let [mut kept, other] = parts;
        kept.counts.rows = self.counts.rows;
        kept.counts.truncated = self.counts.truncated;
        kept.counts.layouts = self.counts.layouts;
        kept.counts.dropped = self.counts.dropped;
        (kept, other)
    }

    fn add(&mut self, line: u64, result: Result<Encoded, Bad>, max_seq_length: usize) {
        self.counts.rows += 1;
        let mut encoded = match result {
            Ok(encoded) => encoded,
            Err(bad) => return self.drop(line, bad.reason, &bad.detail),
        };
        let whole = encoded.ids.len();
        encoded.ids.truncate(max_seq_length);
        let first_target = encoded.first_target.max(1);
        if first_target >= encoded.ids.len() {
            let cut = encoded.ids.len() < whole;
            return self.drop(line, if cut { CUT_AWAY } else { "nothing to learn" }, "");
        }
        let counts = &mut self.counts;
        counts.used += 1;
        counts.truncated += usize::from(encoded.ids.len() < whole);
        counts.tokens += encoded.ids.len();
        counts.targets += encoded.ids.len() - first_target;
        counts.longest = counts.longest.max(encoded.ids.len());
        if let Some(layout) = encoded.layout {
            *counts.layouts.entry(layout.name()).or_default() += 1;
        }
        let start = self.ids.len();
        self.ids.append(&mut encoded.ids);
        let prefix = encoded.prefix.min(first_target - 1);
        self.rows.push(Row { start, end: self.ids.len(), first_target, prefix, line });
    }

    fn drop(&mut self, line: u64, reason: &str, detail: &str) {
        let dropped = self.counts.dropped.entry(reason.to_owned()).or_default();
        dropped.count += 1;
        if dropped.first.len() < NAMED {
            let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            dropped.first.push(format!("{}:{line}{detail}", self.path.display()));
        }
    }

    fn checked(self, rule: &Rule) -> Result<Self> {
        let Counts { rows, used, .. } = self.counts;
        if used > 0 && used * 2 >= rows {
            return Ok(self);
        }
        let path = self.path.display();
        let mut problem = if rows == 0 {
            Problem::input(format!("{path} has no rows"))
        } else if used == 0 {
            Problem::input(format!("no row of {path} can be trained on"))
        } else {
            Problem::input(format!("more than half of the rows of {path} cannot be trained on"))
        };
        for (reason, dropped) in &self.counts.dropped {
            problem = problem.detail(format!("{} × {reason}, first at {}", dropped.count, dropped.first.join(", ")));
        }
        let unknown = self.counts.dropped.contains_key(UNKNOWN_LAYOUT);
        let hint = if unknown {
            "`expert-cli preprocess` writes rows that split into prompt and answer; `--set training.config.train_on=all` trains on whole texts".to_owned()
        } else if self.counts.dropped.contains_key(CUT_AWAY) {
            format!("raise it: `--set training.config.max_seq_length={}`", rule.max_seq_length.saturating_mul(2))
        } else {
            "`expert-cli preprocess --dataset …` turns any known data set into training rows".to_owned()
        };
        Err(problem.hint(hint).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::template::Prompt;

    /// One id per byte, 1 opens and 2 closes.
    struct Bytes;

    impl Encode for Bytes {
        fn prompt(&self, text: &str) -> Result<Vec<u32>> {
            Ok([1].into_iter().chain(self.rest(text)?).collect())
        }
        fn rest(&self, text: &str) -> Result<Vec<u32>> {
            Ok(text.bytes().map(|byte| u32::from(byte) + 10).collect())
        }
        fn eos(&self) -> Option<u32> {
            Some(2)
        }
    }

    fn rule(train_on: TrainOn, max_seq_length: usize) -> Rule {
        let (mapping, dialect) = (Mapping::default(), "sqlite".to_owned());
        Rule { train_on, max_seq_length, text_field: "text".into(), mapping, layout: Layout::Qwen3, dialect }
    }

    fn read(lines: &[String], rule: Rule) -> Result<Examples> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        crate::fsx::write_atomic(&path, (lines.join("\n") + "\n").as_bytes()).unwrap();
        Examples::read(&path, &Bytes, &rule)
    }

    fn row(layout: Layout, question: &str, sql: &str) -> String {
        let prompt = Prompt { dialect: "sqlite".into(), schema: None, question: question.into() };
        serde_json::json!({ "text": layout.render(&prompt, sql) }).to_string()
    }

    fn text(ids: &[u32]) -> String {
        ids.iter().filter(|&&id| id >= 10).map(|&id| char::from((id - 10) as u8)).collect()
    }

    #[test]
    fn the_answer_and_its_end_marker_are_targets() {
        for layout in Layout::ALL {
            let examples = read(&[row(layout, "q?", "SELECT 1")], rule(TrainOn::Answer, 999)).unwrap();
            let example = examples.get(0);
            assert_eq!(example.ids[0], 1);
            let learned = &example.ids[example.first_target..];
            assert_eq!(text(learned), layout.answer("SELECT 1"), "{}", layout.name());
            assert_eq!(learned.last() == Some(&2), layout.end_marker().is_empty(), "{}", layout.name());
            let prompt = Prompt { dialect: "sqlite".into(), schema: None, question: "q?".into() };
            assert_eq!(text(&example.ids[..example.first_target]), layout.prompt(&prompt));
        }
    }

    #[test]
    fn question_and_answer_are_targets_if_asked_for_and_the_schema_never() {
        let prompt =
            Prompt { dialect: "sqlite".into(), schema: Some("CREATE TABLE t (a INT)".into()), question: "q?".into() };
        for layout in [Layout::Qwen3, Layout::ChatMl, Layout::Llama2, Layout::Simple] {
            let line = serde_json::json!({"text": layout.render(&prompt, "SELECT 1")}).to_string();
            let examples = read(&[line], rule(TrainOn::Question, 999)).unwrap();
            let example = examples.get(0);
            let learned = text(&example.ids[example.first_target..]);
            assert!(learned.starts_with("q?") && learned.contains("SELECT 1"), "{}: {learned}", layout.name());
            let length = examples.lengths()[0];
            assert_eq!((length.prefix, length.tokens), (example.first_target - 1, example.ids.len()));
        }
        // Where the question stands in front of the schema, all of the prompt behind its marker is learned.
        let line = serde_json::json!({"text": Layout::Alpaca.render(&prompt, "SELECT 1")}).to_string();
        let examples = read(&[line], rule(TrainOn::Question, 999)).unwrap();
        assert!(text(&examples.get(0).ids[examples.get(0).first_target..]).starts_with("q?\n"));
    }

    #[test]
    fn a_lost_end_marker_is_put_back() {
        let whole = row(Layout::Qwen3, "q?", "SELECT 1");
        let cut = whole.replace("<|im_end|>\\n\"}", "\"}");
        assert_ne!(whole, cut);
        let examples = read(&[whole, cut], rule(TrainOn::Answer, 999)).unwrap();
        assert_eq!(examples.get(0), examples.get(1));
    }

    #[test]
    fn long_rows_are_cut_and_those_without_an_answer_left_are_dropped() {
        let rows = [row(Layout::Alpaca, "q?", "SELECT 1"), row(Layout::Alpaca, "q?", &"x".repeat(80))];
        let dropped = row(Layout::Alpaca, &"why ".repeat(30), "SELECT 1");
        let examples = read(&[rows[0].clone(), rows[1].clone(), dropped], rule(TrainOn::Answer, 70)).unwrap();
        assert_eq!((examples.counts.rows, examples.counts.used, examples.counts.truncated), (3, 2, 1));
        assert_eq!(examples.counts.longest, 70);
        let reason = &examples.counts.dropped["max_seq_length leaves nothing of the answer"];
        assert!(reason.first[0].ends_with("train.jsonl:3"), "{reason:?}");
    }

    #[test]
    fn bad_rows_are_counted_until_they_are_too_many() {
        let good = row(Layout::ChatMl, "q?", "SELECT 1");
        let lines = [good.clone(), "{".into(), good.clone(), r#"{"column": 1}"#.into(), good.clone()];
        let examples = read(&lines, rule(TrainOn::Answer, 999)).unwrap();
        assert_eq!(examples.len(), 3);
        assert_eq!(examples.counts.dropped.len(), 2);
        let error = read(&[good, "{".into(), "[".into()], rule(TrainOn::Answer, 999)).unwrap_err();
        assert!(error.to_string().contains("more than half"), "{error}");
        assert!(error.to_string().contains("train.jsonl:2"), "{error}");
        assert!(read(&[], rule(TrainOn::Answer, 9)).unwrap_err().to_string().contains("has no rows"));
    }

    #[test]
    fn records_of_a_known_shape_are_rendered_as_preprocess_would() {
        let record = r#"{"context": "CREATE TABLE t (a INT)", "question": "q?", "answer": "SELECT 1"}"#.to_owned();
        let prompt =
            Prompt { dialect: "sqlite".into(), schema: Some("CREATE TABLE t (a INT)".into()), question: "q?".into() };
        let rendered = serde_json::json!({"text": Layout::Qwen3.render(&prompt, "SELECT 1")}).to_string();
        let examples = read(&[record, rendered], rule(TrainOn::Answer, 999)).unwrap();
        assert_eq!(examples.get(0), examples.get(1));
        let mapping = Mapping::parse("question=frage,answer=antwort").unwrap();
        let mapped = Rule { mapping, ..rule(TrainOn::Answer, 999) };
        let examples = read(&[r#"{"frage": "q?", "antwort": "SELECT 1"}"#.into()], mapped).unwrap();
        assert!(text(examples.get(0).ids).contains("q?"));
    }

    #[test]
    fn text_without_a_layout_trains_only_as_a_whole() {
        let line = r#"{"text": "SELECT 1"}"#.to_owned();
        let error = read(std::slice::from_ref(&line), rule(TrainOn::Answer, 99)).unwrap_err();
        assert!(crate::error::classify(&error).1.unwrap().contains("train_on=all"));
        let examples = read(&[line], rule(TrainOn::All, 99)).unwrap();
        assert_eq!((examples.get(0).first_target, examples.counts.targets), (1, "SELECT 1".len() + 1));
    }

    #[test]
    fn the_digest_sees_ids_and_targets() {
        let base = Examples::from_ids(&[(vec![1, 2, 3], 1), (vec![4, 5], 1)]);
        assert_eq!(base.digest(), Examples::from_ids(&[(vec![1, 2, 3], 1), (vec![4, 5], 1)]).digest());
        assert_ne!(base.digest(), Examples::from_ids(&[(vec![1, 2, 3], 2), (vec![4, 5], 1)]).digest());
        assert_ne!(base.digest(), Examples::from_ids(&[(vec![1, 2], 1), (vec![3, 4, 5], 1)]).digest());
    }

    #[test]
    fn batches_take_the_loss_where_the_next_token_is_a_target() {
        let examples = Examples::from_ids(&[(vec![1, 2, 3, 4], 2), (vec![5, 6], 1)]);
        let (batch, targets) = crate::data::batches::collate(&examples, &[1, 0], 4, false);
        assert_eq!(batch.input_ids, [5, 6, 1, 2, 3, 4]);
        assert_eq!(batch.position_ids, [0, 1, 0, 1, 2, 3]);
        assert_eq!(batch.sequence_ids, [4, 5]);
        assert_eq!((targets.positions, targets.labels), (vec![0, 3, 4], vec![6, 3, 4]));
    }
}
