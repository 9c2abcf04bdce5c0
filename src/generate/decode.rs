//! The decoding loop: prompts in whole, then one token per sequence and step until each has ended.
//!
//! Sequences of a batch do not know each other: each has its cache, sampler and stop rules, and leaves the batch when
//! it ends. Knows ids and text; prompts, SQL and experts stand above.

use super::constraint::Constraint;
use super::sampler::{Allowed, Anything, Chain, Order, Pick, Sampler};
use super::stop::{StopRules, Watch};
use super::text::{Detokenizer, Vocabulary};
use crate::error::{Problem, Result};
use crate::sql::scan::Quoting;

mod adapted;

pub use adapted::{Adapted, Remembered};

/// A model that continues sequences.
pub trait NextLogits {
    /// What it remembers of a sequence. A copy continues on its own: answers to one prompt share its computation.
    type Cache: Clone;
    /// An empty cache.
    fn new_cache(&self) -> Self::Cache;
    /// Longest sequence, in tokens.
    fn max_positions(&self) -> usize;
    /// Appends `inputs[i]` to sequence `i`; the logits behind its last token, `[sequences][vocab]`.
    fn forward(&self, inputs: &[&[u32]], caches: &mut [Self::Cache]) -> Result<Vec<Vec<f32>>>;
    /// The same for whole prompts and empty caches; with each, how many of its first tokens other prompts have too. A
    /// model that remembers them computes them once.
    fn prompts(&self, prompts: &[(&[u32], usize)], caches: &mut [Self::Cache]) -> Result<Vec<Vec<f32>>> {
        let inputs: Vec<&[u32]> = prompts.iter().map(|(ids, _)| *ids).collect();
        self.forward(&inputs, caches)
    }
}

/// How to decode; the same for all sequences of a batch.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The distribution.
    pub chain: Chain,
    /// Every sequence draws from a stream of this seed, so an answer does not depend on its batch.
    pub seed: u64,
    /// Token budget of an answer.
    pub max_tokens: usize,
    /// Ids that end an answer.
    pub end_ids: Vec<u32>,
    /// Texts that end an answer.
    pub stop: StopRules,
    /// What counts as a literal, a quoted name or a comment.
    pub quoting: Quoting,
    /// Whether the first step's logits are kept.
    pub keep_first_logits: bool,
    /// When constraints join in.
    pub order: Order,
    /// An answer is given up once a constraint has left less than this of the model's probability, all steps together: it
    /// is closed by the shortest known way and counts as cut. 0: never. For those who look for another one.
    pub least_mass: f64,
}

/// One sequence to continue.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The prompt, at least one token.
    pub ids: Vec<u32>,
    /// How many of its first tokens every question about the same tables has.
    pub shared: usize,
    /// The prompt ends inside an open thinking block.
    pub thinking: bool,
    /// What the answer may be; anything without one. Thinking is never constrained.
    pub constraint: Option<Constraint>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An end-of-sequence id.
    EndOfSequence,
    /// The grammar allows nothing more.
    Finished,
    /// A stop sequence or turn marker.
    StopSequence,
    /// The token budget: the answer is incomplete.
    Budget,
    /// The model's context is full: the answer is incomplete.
    Context,
    /// Somebody stopped it: the answer is incomplete.
    Interrupted,
}

impl Finish {
    /// Whether the model ended the answer itself.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::EndOfSequence | Self::Finished | Self::StopSequence)
    }

    /// The word in JSON: `stop`, `stop_sequence`, `length`, `context`, `interrupted`.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfSequence | Self::Finished => "stop",
            Self::StopSequence => "stop_sequence",
            Self::Budget => "length",
            Self::Context => "context",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A finished sequence.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The drawn ids, the end-of-sequence id included.
    pub ids: Vec<u32>,
    /// The answer without thinking blocks and stop sequence.
    pub text: String,
    /// What was thought.
    pub reasoning: String,
    /// Why it ended.
    pub finish: Finish,
    /// Sum of `log softmax(logits)[id]` over the drawn ids.
    pub log_probability: f64,
    /// Each drawn id with its log-probability and whether another was refused.
    pub picks: Vec<Pick>,
    /// The logits behind the prompt, `[vocab]`, if they were to be kept.
    pub first_logits: Option<Vec<f32>>,
}

/// What stands beside the loop while it runs.
pub trait Observer {
    /// A sequence has new certain text of its answer; called for every token, also without new text.
    fn token(&mut self, sequence: usize, text: &str);
    /// Asked before every step: end all answers here?
    fn interrupted(&mut self) -> bool;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn token(&mut self, _sequence: usize, _text: &str) {}

    fn interrupted(&mut self) -> bool {
        false
    }
}

/// How one sequence draws, where it differs from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The distribution.
    pub chain: Chain,
    /// The seed of its stream.
    pub seed: u64,
}

/// A prompt that has been computed: what comes next may be drawn from it any number of times.
#[derive(Debug, Clone)]
pub struct Prompted<C> {
    /// The prompt.
    pub start: Start,
    /// What the model remembers of it.
    pub cache: C,
    /// The logits behind it, `[vocab]`.
    pub logits: Vec<f32>,
}

/// A sequence that still runs.
#[derive(Debug, Clone)]
pub(super) struct Running {
    index: usize,
    sampler: Sampler,
    watch: Watch,
    text: Detokenizer,
    prompt_tokens: usize,
    constraint: Option<Constraint>,
    /// What constraints left of the model's probability so far.
    mass: f64,
    completion: Completion,
}

/// Continues every sequence to its end; the results are in the order of `starts`.
pub fn decode<M: NextLogits>(
    model: &M,
    vocabulary: &dyn Vocabulary,
    starts: &[Start],
    rules: &Rules,
    observer: &mut dyn Observer,
) -> Result<Vec<Completion>> {
    let own = Draw { chain: rules.chain, seed: rules.seed };
    let begin = |(index, start)| Running::begin(model, vocabulary, index, start, rules, own);
    let running = starts.iter().enumerate().map(begin).collect::<Result<Vec<Running>>>()?;
    if observer.interrupted() {
        return Ok(running.into_iter().map(|one| one.close(Finish::Interrupted, vocabulary)).collect());
    }
    // Equal prompts are computed once.
    let first: Vec<usize> =
        (0..starts.len()).map(|at| (0..at).find(|&other| starts[other].ids == starts[at].ids).unwrap_or(at)).collect();
    let different: Vec<usize> = (0..starts.len()).filter(|&at| first[at] == at).collect();
    let views: Vec<(&[u32], usize)> =
        different.iter().map(|&at| (starts[at].ids.as_slice(), starts[at].shared)).collect();
    let mut computed: Vec<M::Cache> = views.iter().map(|_| model.new_cache()).collect();
    let behind = if views.is_empty() { Vec::new() } else { model.prompts(&views, &mut computed)? };
    let place = |at: &usize| different.iter().position(|other| other == at).unwrap_or_default();
    let logits = first.iter().map(|at| behind[place(at)].clone()).collect();
    let caches = match different.len() == starts.len() {
        true => computed,
        false => first.iter().map(|at| computed[place(at)].clone()).collect(),
    };
    continued(model, vocabulary, running, caches, logits, rules, observer)
}

/// Computes a prompt.
pub fn prompted<M: NextLogits>(model: &M, start: Start) -> Result<Prompted<M::Cache>> {
    check_prompt(start.ids.len(), model.max_positions())?;
    let mut cache = [model.new_cache()];
    let mut logits = model.prompts(&[(&start.ids, start.shared)], &mut cache)?;
    let [cache] = cache;
    let logits = logits.pop().ok_or_else(|| Problem::failed("the model gave no logits"))?;
    Ok(Prompted { start, cache, logits })
}

/// Continues one prompt once for each of `draws`.
pub fn samples<M: NextLogits>(
    model: &M,
    vocabulary: &dyn Vocabulary,
    prompt: &Prompted<M::Cache>,
    draws: &[Draw],
    rules: &Rules,
    observer: &mut dyn Observer,
) -> Result<Vec<Completion>> {
    let begin = |(index, draw): (usize, &Draw)| Running::begin(model, vocabulary, index, &prompt.start, rules, *draw);
    let running = draws.iter().enumerate().map(begin).collect::<Result<Vec<Running>>>()?;
    let caches = draws.iter().map(|_| prompt.cache.clone()).collect();
    let logits = draws.iter().map(|_| prompt.logits.clone()).collect();
    continued(model, vocabulary, running, caches, logits, rules, observer)
}

/// Draws from `logits`, which stand behind what `caches` hold, and goes on until every sequence has ended.
fn continued<M: NextLogits>(
    model: &M,
    vocabulary: &dyn Vocabulary,
    mut running: Vec<Running>,
    mut caches: Vec<M::Cache>,
    mut logits: Vec<Vec<f32>>,
    rules: &Rules,
    observer: &mut dyn Observer,
) -> Result<Vec<Completion>> {
    let mut finished: Vec<Option<Completion>> = running.iter().map(|_| None).collect();
    while !running.is_empty() {
        for at in (0..running.len()).rev() {
            let sequence = &mut running[at];
            if let Some(finish) = sequence.step(&logits[at], vocabulary, rules, model.max_positions(), observer)? {
                let index = sequence.index;
                finished[index] = Some(running.remove(at).close(finish, vocabulary));
                caches.remove(at);
            }
        }
        if running.is_empty() {
            break;
        }
        if observer.interrupted() {
            for sequence in running.drain(..) {
                let index = sequence.index;
                finished[index] = Some(sequence.close(Finish::Interrupted, vocabulary));
            }
            break;
        }
        logits = forward_last(model, &running, &mut caches)?;
    }
    Ok(finished.into_iter().flatten().collect())
}

/// The logits behind the last drawn id of every sequence.
pub(super) fn forward_last<M: NextLogits>(
    model: &M,
    running: &[Running],
    caches: &mut [M::Cache],
) -> Result<Vec<Vec<f32>>> {
    let last: Vec<&[u32]> =
        running.iter().map(|one| &one.completion.ids[one.completion.ids.len().saturating_sub(1)..]).collect();
    model.forward(&last, caches)
}

/// Refuses a prompt that leaves no room for an answer.
pub fn check_prompt(tokens: usize, max_positions: usize) -> Result<()> {
    if tokens == 0 {
        return Err(Problem::input("the prompt is empty").into());
    }
    if tokens >= max_positions {
        return Err(Problem::input(format!(
            "the prompt has {tokens} tokens, the model's context holds {max_positions} with the answer"
        ))
        .hint("leave tables out of the schema that the question does not need")
        .into());
    }
    Ok(())
}

/// The constraint of a sequence with the room that is left, if it is not thinking.
fn room<'a>(
    constraint: &'a mut Option<Constraint>,
    watch: &Watch,
    budget: usize,
) -> Result<Option<&'a mut Constraint>, Finish> {
    let Some(constraint) = constraint.as_mut().filter(|_| !watch.is_thinking()) else { return Ok(None) };
    constraint.set_budget(budget);
    if constraint.has_no_room() { Err(Finish::Budget) } else { Ok(Some(constraint)) }
}

impl Running {
    /// A sequence behind its prompt.
    pub fn begin<M: NextLogits>(
        model: &M,
        vocabulary: &dyn Vocabulary,
        index: usize,
        start: &Start,
        rules: &Rules,
        draw: Draw,
    ) -> Result<Self> {
        check_prompt(start.ids.len(), model.max_positions())?;
        let mut constraint = start.constraint.clone();
        if let Some(constraint) = &mut constraint {
            constraint.set_budget(rules.max_tokens.min(model.max_positions() - start.ids.len()));
            constraint.check_budget()?;
        }
        Ok(Self {
            constraint,
            index,
            sampler: Sampler::new(draw.chain, draw.seed, vocabulary.size(), &start.ids).with_order(rules.order),
            watch: Watch::new(&rules.stop, rules.quoting, start.thinking),
            text: Detokenizer::default(),
            prompt_tokens: start.ids.len(),
            mass: 1.0,
            completion: Completion {
                ids: Vec::new(),
                text: String::new(),
                reasoning: String::new(),
                finish: Finish::Budget,
                log_probability: 0.0,
                picks: Vec::new(),
                first_logits: None,
            },
        })
    }

    /// Sum of the log-probabilities so far.
    pub fn log_probability(&self) -> f64 {
        self.completion.log_probability
    }

    /// What holds for the next token: the constraint with the room that is left; `None` where anything may come. Or
    /// that there is no room for an answer any more.
    pub fn constraint(&mut self, rules: &Rules, max_positions: usize) -> Result<Option<&mut Constraint>, Finish> {
        let budget = self.budget(rules, max_positions);
        room(&mut self.constraint, &self.watch, budget)
    }

    /// The logits with the likings of the constraint, if it has some here.
    pub fn leaned(&self, logits: &[f32]) -> Option<Vec<f32>> {
        self.constraint.as_ref().filter(|_| !self.watch.is_thinking())?.leaned(logits)
    }

    /// Tokens that may still be drawn.
    fn budget(&self, rules: &Rules, max_positions: usize) -> usize {
        rules.max_tokens.min(max_positions - self.prompt_tokens) - self.completion.ids.len()
    }

    /// Draws a token; says why if that ended the answer.
    fn step(
        &mut self,
        logits: &[f32],
        vocabulary: &dyn Vocabulary,
        rules: &Rules,
        max_positions: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Finish>> {
        if rules.keep_first_logits && self.completion.ids.is_empty() {
            self.completion.first_logits = Some(logits.to_vec());
        }
        let budget = self.budget(rules, max_positions);
        let pick = match room(&mut self.constraint, &self.watch, budget) {
            Err(finish) => return Ok(Some(finish)),
            Ok(Some(constraint)) => self.sampler.next(logits, constraint)?,
            Ok(None) => self.sampler.next(logits, &mut Anything)?,
        };
        self.accept(pick, vocabulary, rules, max_positions, observer)
    }

    /// Takes a token; says why if that ended the answer.
    pub fn accept(
        &mut self,
        pick: Pick,
        vocabulary: &dyn Vocabulary,
        rules: &Rules,
        max_positions: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Finish>> {
        let constraint = self.constraint.as_mut().filter(|_| !self.watch.is_thinking());
        self.completion.ids.push(pick.id);
        self.completion.log_probability += pick.log_probability;
        self.completion.picks.push(pick);
        let was_lost = self.mass < rules.least_mass;
        self.mass *= pick.allowed_mass.unwrap_or(1.0);
        if rules.end_ids.contains(&pick.id) {
            let cut_short = constraint.is_some_and(|constraint| constraint.is_cut_short());
            return Ok(Some(if cut_short { Finish::Budget } else { Finish::EndOfSequence }));
        }
        let mut finished = None;
        if let Some(constraint) = constraint.filter(|constraint| !constraint.is_opening(pick.id)) {
            constraint.advance(pick.id)?;
            if self.mass < rules.least_mass && !was_lost {
                constraint.close();
            }
            let end = if constraint.is_cut_short() { Finish::Budget } else { Finish::Finished };
            finished = constraint.is_finished().then_some(end);
        }
        let released = self.watch.push(&self.text.push(pick.id, vocabulary));
        observer.token(self.index, &released.text);
        let drawn = self.completion.ids.len();
        Ok(if released.stopped {
            Some(Finish::StopSequence)
        } else if finished.is_some() {
            finished
        } else if drawn >= rules.max_tokens {
            Some(Finish::Budget)
        } else if self.prompt_tokens + drawn >= max_positions {
            Some(Finish::Context)
        } else {
            None
        })
    }

    /// The finished sequence.
    pub fn close(mut self, finish: Finish, vocabulary: &dyn Vocabulary) -> Completion {
        let rest = self.text.finish(vocabulary);
        self.watch.push(&rest);
        self.completion.finish = finish;
        self.completion.text = self.watch.answer().to_owned();
        self.completion.reasoning = self.watch.reasoning().to_owned();
        self.completion
    }
}

#[cfg(test)]
pub(super) mod tests;
