//! Questions in, answers out: the prompt as the training rows had it, the decoding loop, the statement taken out of
//! the text and checked.
//!
//! Knows no registry, no flags and no screen: whoever calls brings model, tokenizer, layout and settings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::constraint::{Constraint, Leaning};
use super::constraints::Constraints;
use super::decode::{Completion, Finish, NextLogits, Observer, Rules, Start, check_prompt, decode};
use super::sampler::{Order, Pick};
use super::settings::Settings;
use super::stop::StopRules;
use super::text::Vocabulary;
use super::thinking;
use super::validation::{Mode, Verdict, validate};
use crate::data::shots::Shots;
use crate::data::tasks;
use crate::data::template::{Layout, Prompt};
use crate::error::{Problem, Result};
use crate::sql::extract::extract;
use crate::sql::scan::Quoting;
use crate::sql::{Dialect, Schema};

/// A schema as prompts show it, and as checks use it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The text in the prompt: canonical DDL, or the words as they came where they are no DDL.
    pub text: String,
    /// The tables; none where the text could not be read.
    pub schema: Option<Schema>,
}

impl Context {
    /// A context from CREATE TABLE text. Text that is no DDL is shown to the model as it is, and nothing is linted: the
    /// second value says why.
    pub fn from_text(text: &str, dialect: Dialect) -> (Self, Option<String>) {
        match Schema::parse(text, dialect) {
            Ok(schema) => (Self::from_schema(schema), None),
            Err(error) => (Self { text: text.trim().to_owned(), schema: None }, Some(error.to_string())),
        }
    }

    /// A context from a schema.
    pub fn from_schema(schema: Schema) -> Self {
        Self { text: schema.to_ddl().trim_end().to_owned(), schema: Some(schema) }
    }
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// The tables it is about.
    pub context: Option<Context>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The statement.
    pub sql: String,
    /// The whole answer, thinking left out.
    pub text: String,
    /// What was thought.
    pub reasoning: String,
    /// Whether more statements stood behind the first.
    pub has_more: bool,
    /// The drawn ids.
    pub ids: Vec<u32>,
    /// The prompt's ids.
    pub prompt_ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Sum of the model's log-probabilities of the drawn ids.
    pub log_probability: f64,
    /// Each drawn id with its log-probability and whether another was refused.
    pub picks: Vec<Pick>,
    /// The logits behind the prompt, if they were asked for.
    pub first_logits: Option<Vec<f32>>,
    /// What the checks say; none if they are off.
    pub verdict: Option<Verdict>,
    /// Wall time of the whole batch it was answered in.
    pub latency: Duration,
}

/// A model that answers questions in one layout and dialect.
#[derive(Debug)]
pub struct Conversation<'a, M, V> {
    /// The model.
    pub model: M,
    /// Its tokenizer.
    pub vocabulary: &'a V,
    /// How prompts are laid out.
    pub layout: Layout,
    /// The dialect shown in prompts.
    pub dialect: String,
    /// How answers are drawn.
    pub settings: Settings,
    /// Ids that end an answer.
    pub end_ids: Vec<u32>,
    /// Whether the model was trained on answers in this layout. A base model that was not is kept from thinking by an
    /// empty block behind the prompt, unless thinking is wanted.
    pub trained: bool,
    /// Whether the first step's logits are kept.
    pub keep_first_logits: bool,
    /// The grammar of its answers, if there is one.
    pub constraints: Option<Arc<Constraints>>,
    /// Solved questions, and how many of them are shown before one that is like them.
    pub shots: Option<(Arc<Shots>, usize)>,
}

impl<M: NextLogits, V: Vocabulary> Conversation<'_, M, V> {
    /// The prompt's text.
    pub fn prompt(&self, question: &Question) -> String {
        let schema = question.context.as_ref().map(|context| context.text.clone());
        let asked = question.text.trim();
        let question = match &self.shots {
            Some((shots, count)) if tasks::asks_a_question(asked) => {
                tasks::with_examples(asked, &shots.nearest(asked, *count))
            }
            _ => asked.to_owned(),
        };
        let prompt = Prompt { dialect: self.dialect.clone(), schema, question };
        let mut text = self.layout.prompt(&prompt);
        let thinks = thinking::TAGS.iter().any(|(open, _)| self.vocabulary.id(open).is_some());
        if !self.trained && !self.settings.thinking.value && thinks {
            text.push_str(self.layout.empty_think());
        }
        text
    }

    /// Answers one question.
    pub fn answer(&self, question: &Question, observer: &mut dyn Observer) -> Result<Answer> {
        let mut answers = self.answers(std::slice::from_ref(question), observer)?;
        answers.pop().unwrap_or_else(|| Err(Problem::failed("no answer came back").into()))
    }

    /// Answers questions as one batch, in order. A question that cannot be asked (a prompt beyond the context, a turn
    /// marker in it) fails alone; a model that fails fails them all.
    pub fn answers(&self, questions: &[Question], observer: &mut dyn Observer) -> Result<Vec<Result<Answer>>> {
        let begun = Instant::now();
        let starts: Vec<Result<Start>> = questions.iter().map(|question| self.start(question)).collect();
        let possible: Vec<Start> = starts.iter().flatten().cloned().collect();
        let rules = Rules { least_mass: self.least_mass(), ..self.rules() };
        let completions = decode(&self.model, self.vocabulary, &possible, &rules, observer)?;
        let mut completions = possible.into_iter().zip(completions);
        let answer = |(start, question): (Result<Start>, &Question)| {
            start?;
            let (start, first) = completions.next().ok_or_else(|| Problem::failed("no answer came back"))?;
            let completion = self.second_look(&start, first, observer)?;
            Ok(self.finished(question, start, completion, begun.elapsed()))
        };
        Ok(starts.into_iter().zip(questions).map(answer).collect())
    }

    /// The sequence that a question begins.
    pub fn start(&self, question: &Question) -> Result<Start> {
        let schema = question.context.as_ref().map_or("", |context| context.text.as_str());
        for marker in self.layout.markers() {
            if question.text.contains(marker) || schema.contains(marker) {
                return Err(Problem::input(format!("the question or schema contains `{}`", marker.trim()))
                    .detail(format!("the {} layout uses it to tell the parts apart", self.layout.name()))
                    .hint("take it out")
                    .into());
            }
        }
        let text = self.prompt(question);
        let ids = self.vocabulary.encode_prompt(&text)?;
        check_prompt(ids.len(), self.model.max_positions())?;
        let schema = question.context.as_ref().and_then(|context| context.schema.as_ref());
        let constraint = self.constraints.as_ref().map(|constraints| constraints.answer(schema));
        let likes = |constraint: &Constraint| self.settings.leaning.value && constraint.is_guarded();
        let constraint = match (constraint, schema) {
            (Some(constraint), Some(schema)) if likes(&constraint) => {
                Some(constraint.with_leaning(Leaning::new(&question.text, schema)))
            }
            (constraint, _) => constraint,
        };
        let shared = self.shared(&text, question.text.trim(), &ids)?;
        Ok(Start { ids, shared, thinking: thinking::is_open_at_end(&text), constraint })
    }

    /// How many of the prompt's ids stand in front of the question and do not depend on it.
    fn shared(&self, prompt: &str, question: &str, ids: &[u32]) -> Result<usize> {
        let Some(at) = prompt.rfind(question).filter(|at| *at > 0) else { return Ok(0) };
        let front = self.vocabulary.encode_prompt(&prompt[..at])?;
        Ok(front.iter().zip(ids).take_while(|(a, b)| a == b).count())
    }

    fn rules(&self) -> Rules {
        let special = self.layout.special_markers();
        let own = self.layout.stop_sequences().iter().map(|marker| (*marker).to_owned());
        let (turn_markers, mut sequences): (Vec<String>, Vec<String>) =
            own.partition(|marker| special.contains(&marker.as_str()));
        sequences.extend(self.settings.stop.value.iter().cloned());
        Rules {
            chain: self.settings.chain(),
            seed: self.settings.seed.value,
            max_tokens: self.settings.max_tokens.value,
            end_ids: self.end_ids.clone(),
            stop: StopRules { sequences, turn_markers },
            quoting: Quoting::of(self.dialect()),
            keep_first_logits: self.keep_first_logits,
            order: Order { mask_first: self.settings.mask_first.value, confidence: self.settings.confidence.value },
            least_mass: 0.0,
        }
    }

    /// The dialect by which answers are read.
    pub fn dialect(&self) -> Dialect {
        Dialect::from_name(&self.dialect).unwrap_or(Dialect::Generic)
    }

    fn finished(&self, question: &Question, start: Start, completion: Completion, latency: Duration) -> Answer {
        let found = extract(&completion.text, self.dialect());
        let schema = question.context.as_ref().and_then(|context| context.schema.as_ref());
        let verdict = (self.settings.validation.value != Mode::None)
            .then(|| validate(found.statement, completion.finish.is_complete(), schema, self.dialect()));
        Answer {
            sql: found.statement.to_owned(),
            has_more: found.has_more(),
            text: completion.text.trim().to_owned(),
            reasoning: completion.reasoning,
            ids: completion.ids,
            prompt_ids: start.ids,
            finish: completion.finish,
            log_probability: completion.log_probability,
            picks: completion.picks,
            first_logits: completion.first_logits,
            verdict,
            latency,
        }
    }
}

mod many;
mod second_look;
#[cfg(test)]
mod tests;
