//! Solved questions to show before a question: those whose words are most like its own. Used where rows are made and where
//! they are answered, so that a model is asked as it was taught.

use std::collections::HashMap;
use std::path::Path;

use super::records::{self, Read};
use super::shapes::{Extracted, Mapping, extract};
use super::spider::Databases;
use crate::error::{Problem, Result};

/// Examples that are looked through at most. Price: about 400 bytes each, and the time of a look grows with them.
pub const MOST: usize = 20_000;

/// Places of words that one look goes through, from the rarest word on. Words that are everywhere hardly choose, and are
/// left out where there are many examples. Price: a tenth of a millisecond a look.
const PLACES: usize = 20_000;

/// Examples with their words.
#[derive(Debug, Default)]
pub struct Shots {
    examples: Vec<Example>,
    /// Where each word occurs.
    places: HashMap<String, Vec<u32>>,
}

#[derive(Debug)]
struct Example {
    question: String,
    answer: String,
    /// The question without case, spaces and end marks: equal ones are the same question.
    plain: String,
    /// Length of its vector of words.
    length: f64,
}

/// A question without what does not change it: case, runs of spaces, end marks.
pub fn normalised(question: &str) -> String {
    let squeezed = question.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    squeezed.trim_end_matches(['.', '?', '!', ';', ' ']).to_owned()
}

fn words(plain: &str) -> Vec<String> {
    let mut words: Vec<String> = plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        // One number is as good as another.
        .map(|word| if word.bytes().all(|b| b.is_ascii_digit()) { "0".to_owned() } else { word.to_owned() })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

impl Shots {
    /// The first [`MOST`] questions with their answers; a question that comes again is left out.
    pub fn new(solved: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut shots = Self::default();
        let mut known = std::collections::HashSet::new();
        for (question, answer) in solved {
            let plain = normalised(&question);
            if shots.examples.len() >= MOST || !known.insert(plain.clone()) {
                continue;
            }
            let at = u32::try_from(shots.examples.len()).unwrap_or(u32::MAX);
            for word in words(&plain) {
                shots.places.entry(word).or_default().push(at);
            }
            shots.examples.push(Example { question, answer, plain, length: 0.0 });
        }
        let weights: HashMap<&str, f64> = shots
            .places
            .iter()
            .map(|(word, places)| (word.as_str(), rarity(places.len(), shots.examples.len())))
            .collect();
        for example in &mut shots.examples {
            // Summed in the order of the words, so that it is the same every time.
            let squares = words(&example.plain).iter().map(|word| weights[word.as_str()].powi(2)).sum::<f64>();
            example.length = squares.sqrt();
        }
        shots
    }

    /// The questions and answers of a file in any known shape.
    pub fn load(path: &Path) -> Result<Self> {
        let (mapping, databases) = (Mapping::default(), Databases::default());
        let mut solved = Vec::new();
        for read in records::open(path, &path.display().to_string())? {
            if let Read::Record(record) = read?
                && let Ok((_, Extracted::Example(example))) = extract(&record.fields, &mapping, &databases)
                && solved.len() < MOST
            {
                solved.push((example.question, example.answer));
            }
        }
        if solved.is_empty() {
            let problem = Problem::input(format!("{} holds no question with its answer", path.display()));
            return Err(problem.hint("give rows {\"question\", \"answer\"}, one JSON object a line").into());
        }
        Ok(Self::new(solved))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// Up to `count` examples whose questions are most like this one, the most like first; never the question itself.
    /// Questions that share no word with it are none.
    pub fn nearest(&self, question: &str, count: usize) -> Vec<(&str, &str)> {
        let plain = normalised(question);
        let total = self.examples.len();
        let mut known: Vec<&Vec<u32>> = words(&plain).iter().filter_map(|word| self.places.get(word)).collect();
        known.sort_by_key(|places| places.len());
        let mut scores: HashMap<u32, f64> = HashMap::new();
        let mut visited = 0;
        for places in known {
            visited += places.len();
            if visited > PLACES && !scores.is_empty() {
                break;
            }
            let weight = rarity(places.len(), total).powi(2);
            for &at in places {
                *scores.entry(at).or_default() += weight;
            }
        }
        let cosine = |(at, score): (u32, f64)| {
            let example = &self.examples[at as usize];
            (example.plain != plain && example.length > 0.0).then(|| (score / example.length, at))
        };
        let mut best: Vec<(f64, u32)> = scores.into_iter().filter_map(cosine).collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let example = |(_, at): (f64, u32)| {
            let example = &self.examples[at as usize];
            (example.question.as_str(), example.answer.as_str())
        };
        best.into_iter().take(count).map(example).collect()
    }
}

/// How much a word tells: the logarithm of how rare it is.
fn rarity(places: usize, total: usize) -> f64 {
    (1.0 + total as f64 / places.max(1) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shots() -> Shots {
        let solved = [
            ("How many users are older than 30?", "A"),
            ("List the names of all orders", "B"),
            ("how many USERS are older than 30", "C"),
            ("How many users live in Lisbon?", "D"),
            ("What is the average price?", "E"),
        ];
        Shots::new(solved.map(|(question, answer)| (question.to_owned(), answer.to_owned())))
    }

    #[test]
    fn the_most_alike_come_first_and_never_the_question_itself() {
        let shots = shots();
        let answers = |question: &str, count| {
            shots.nearest(question, count).into_iter().map(|(_, answer)| answer).collect::<String>()
        };
        assert_eq!(answers("How many users are younger than 20?", 2), "AD");
        // The third is the first again, in another spelling.
        let others = answers("How many users are older than 30 ?", 5);
        assert!(others.starts_with('D') && !others.contains(['A', 'C']), "{others}");
        assert_eq!(answers("average price of things", 1), "E");
        assert_eq!(answers("zebra", 3), "");
    }

    #[test]
    fn words_that_are_everywhere_do_not_choose() {
        let many = (0..200).map(|n| (format!("Show me the thing number{n} of kind{}", n % 40), n.to_string()));
        let shots = Shots::new(many);
        let found = shots.nearest("Show me the other of kind7", 3);
        assert!(found.iter().all(|(question, _)| question.ends_with("kind7")), "{found:?}");
        assert_eq!(found.len(), 3);
    }
}
