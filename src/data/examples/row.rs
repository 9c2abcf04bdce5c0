//! One row to ids: a rendered text parted into prompt and answer, or a record rendered here.

use serde_json::{Map, Value};

use super::{Encode, Rule, TrainOn};
use crate::data::shapes::{self, Extracted};
use crate::data::spider::Databases;
use crate::data::template::{Layout, Prompt};

pub(super) const UNKNOWN_LAYOUT: &str = "no known prompt layout, so no answer to train on";
pub(super) const CUT_AWAY: &str = "max_seq_length leaves nothing of the answer";

/// A row as text: what is asked, what is to be learned.
struct Parts {
    prompt: String,
    answer: String,
    /// The tokenizer's end id closes the row, because its layout has no marker.
    close: bool,
    layout: Option<Layout>,
}

/// A row as ids.
pub(super) struct Encoded {
    pub ids: Vec<u32>,
    pub first_target: usize,
    /// Tokens in front of the question; 0: not known, or the schema stands behind it.
    pub prefix: usize,
    pub layout: Option<Layout>,
}

/// Why a row is left out: the kind that is counted, and what is special about this one.
pub(super) struct Bad {
    pub reason: &'static str,
    pub detail: String,
}

impl From<&'static str> for Bad {
    fn from(reason: &'static str) -> Self {
        Self { reason, detail: String::new() }
    }
}

/// A row's ids and where its targets begin.
pub(super) fn encode(row: &Map<String, Value>, tokenizer: &dyn Encode, rule: &Rule) -> Result<Encoded, Bad> {
    let parts = match row.get(&rule.text_field).and_then(Value::as_str) {
        Some(text) => split(text, rule.train_on)?,
        None => render(row, rule)?,
    };
    let failed = |error: anyhow::Error| Bad { reason: "the tokenizer failed", detail: error.to_string() };
    let mut ids = tokenizer.prompt(&parts.prompt).map_err(failed)?;
    let prefix = match parts.layout.and_then(|layout| layout.question_at(&parts.prompt)) {
        // The end of the part in front may be read otherwise when the question follows: count what agrees.
        Some(at) => {
            let head = tokenizer.prompt(&parts.prompt[..at]).map_err(failed)?;
            head.iter().zip(&ids).take_while(|(a, b)| a == b).count()
        }
        None => 0,
    };
    let first_target = match rule.train_on {
        TrainOn::All => 1,
        TrainOn::Question if prefix > 0 => prefix,
        TrainOn::Question | TrainOn::Answer => ids.len(),
    };
    ids.extend(tokenizer.rest(&parts.answer).map_err(failed)?);
    if parts.close {
        ids.extend(tokenizer.eos());
    }
    Ok(Encoded { ids, first_target, prefix, layout: parts.layout })
}

/// Renders a record of a known shape.
fn render(row: &Map<String, Value>, rule: &Rule) -> Result<Parts, Bad> {
    let extracted = shapes::extract(row, &rule.mapping, &Databases::default());
    let example = match extracted.map_err(|detail| Bad { reason: "not a training row", detail })?.1 {
        Extracted::Text(text) => return Ok(split(&text, rule.train_on)?),
        Extracted::Example(example) => example,
    };
    if example.answer.is_empty() {
        return Err("empty answer".into());
    }
    let question = match &example.evidence {
        Some(evidence) => format!("{}\nEvidence: {evidence}", example.question),
        None => example.question,
    };
    let dialect = example.dialect.map_or(rule.dialect.clone(), |dialect| dialect.name().to_owned());
    Ok(Parts {
        prompt: rule.layout.prompt(&Prompt { dialect, schema: example.schema, question }),
        answer: rule.layout.answer(&example.answer),
        close: rule.layout.end_marker().is_empty(),
        layout: Some(rule.layout),
    })
}

/// Parts a rendered row. A marker that got lost at the end (stripped white space is enough for some tools) is put back:
/// without it the model would never learn to stop.
fn split(text: &str, train_on: TrainOn) -> Result<Parts, &'static str> {
    let found = Layout::detect(text).and_then(|layout| Some((layout, layout.split(text)?)));
    let Some((layout, at)) = found else {
        return match train_on {
            TrainOn::All if !text.is_empty() => {
                Ok(Parts { prompt: String::new(), answer: text.to_owned(), close: true, layout: None })
            }
            TrainOn::All => Err("empty text"),
            TrainOn::Answer | TrainOn::Question => Err(UNKNOWN_LAYOUT),
        };
    };
    let (prompt, answer) = text.split_at(at);
    let marker = layout.end_marker();
    let mut answer = answer.to_owned();
    if answer.trim().is_empty() || answer.trim() == marker.trim() {
        return Err("empty answer");
    }
    if !marker.is_empty() && !answer.trim_end().ends_with(marker.trim()) {
        answer.push_str(marker);
    }
    Ok(Parts { prompt: prompt.to_owned(), answer, close: marker.is_empty(), layout: Some(layout) })
}
