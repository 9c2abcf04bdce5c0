//! Questions that must never be trained on: those of a suite, and whatever shares a run of words with one.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::error::{Problem, Result};
use crate::fsx;

/// So many words in a row make two questions too much alike.
const RUN: usize = 6;

/// The questions of some suites.
#[derive(Debug, Clone, Default)]
pub struct Excluded {
    runs: HashSet<Vec<String>>,
    whole: HashSet<Vec<String>>,
}

impl Excluded {
    /// The questions of files of JSON lines: `question` is text, or text by language.
    pub fn load(files: &[PathBuf]) -> Result<Self> {
        let mut excluded = Self::default();
        for file in files {
            for (number, line) in fsx::read_text(file)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty())
            {
                let place = || format!("{}:{}", file.display(), number + 1);
                let row: Json = serde_json::from_str(line)
                    .map_err(|error| Problem::input(format!("{}: no JSON: {error}", place())))?;
                match &row["question"] {
                    Json::String(question) => excluded.add(question),
                    Json::Object(languages) => {
                        languages.values().filter_map(Json::as_str).for_each(|question| excluded.add(question));
                    }
                    _ => return Err(Problem::input(format!("{}: no `question`", place())).into()),
                }
            }
        }
        Ok(excluded)
    }

    /// One more question.
    pub fn add(&mut self, question: &str) {
        let words = words(question);
        self.runs.extend(words.windows(RUN).map(<[String]>::to_vec));
        self.whole.insert(words);
    }

    /// Whether a question is one of them or shares six words in a row with one.
    pub fn touches(&self, question: &str) -> bool {
        if self.whole.is_empty() {
            return false;
        }
        let words = words(question);
        self.whole.contains(&words) || words.windows(RUN).any(|run| self.runs.contains(run))
    }
}

fn words(question: &str) -> Vec<String> {
    let lower = question.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_questions_and_long_runs_are_found() {
        let mut excluded = Excluded::default();
        assert!(!excluded.touches("anything"));
        excluded.add("List all products with stock greater than zero ordered by price");
        excluded.add("How many ships?");
        for (question, touches) in [
            ("how many ships", true),
            ("How many ships are there?", false),
            ("Show all products with stock greater than five", true),
            ("Show products with stock greater than five", false),
        ] {
            assert_eq!(excluded.touches(question), touches, "{question}");
        }
    }
}
