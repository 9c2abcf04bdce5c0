//! A second look at a greedy answer that the constraint led away from what the model meant.
//!
//! Greedy decoding has no way back: where the model's word is refused it goes on from the next best one, however unlikely
//! that is, and a model that never saw such a text has nothing sensible to say behind it. Beam search under the same
//! constraint keeps the other beginnings alive and drops the one that leads there.

use super::Conversation;
use crate::error::Result;
use crate::generate::beams::{beams, score};
use crate::generate::decode::{Completion, Finish, NextLogits, Observer, Start, prompted};
use crate::generate::text::Vocabulary;

/// The model's probability of what the constraint left, all steps of an answer together, below which it was led astray.
const LEAST_MASS: f64 = 0.02;

/// The same below which the answer is closed where it stands: what is lost so far only runs on to the token budget.
const LOST_MASS: f64 = 1e-4;

/// Tokens that the second look may take more than a first answer that has an end. Price: each costs a step of all beams.
const LONGER: usize = 64;

/// Tokens that it may take where the first answer has no end of its own. Most statements have fewer than a hundred.
const LONGEST: usize = 160;

/// Whether the constraint chose this answer rather than the model.
fn is_astray(answer: &Completion) -> bool {
    let mass: f64 = answer.picks.iter().filter_map(|pick| pick.allowed_mass).product();
    mass < LEAST_MASS || answer.finish == Finish::Budget
}

impl<M: NextLogits, V: Vocabulary> Conversation<'_, M, V> {
    /// Where a greedy answer is given up for the second look.
    pub(super) fn least_mass(&self) -> f64 {
        if self.looks_again() { LOST_MASS } else { 0.0 }
    }

    fn looks_again(&self) -> bool {
        self.settings.second_look.value > 0 && self.settings.temperature.value <= 0.0
    }

    /// The answer, or a better one where the constraint led it astray: whole, and more probable to the model.
    pub(super) fn second_look(
        &self,
        start: &Start,
        first: Completion,
        observer: &mut dyn Observer,
    ) -> Result<Completion> {
        let ended = !matches!(first.finish, Finish::Interrupted | Finish::Context);
        if !self.looks_again() || !ended || start.constraint.is_none() || !is_astray(&first) {
            return Ok(first);
        }
        let width = self.settings.second_look.value;
        let prompt = prompted(&self.model, start.clone())?;
        let mut rules = self.rules();
        let enough = if first.finish.is_complete() { first.ids.len() + LONGER } else { LONGEST };
        rules.max_tokens = rules.max_tokens.min(enough);
        let found = beams(&self.model, self.vocabulary, &prompt, width, &rules, observer)?;
        let rank = |one: &Completion| (one.finish.is_complete(), score(one));
        let best = found.into_iter().max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal));
        match best.filter(|best| rank(best) > rank(&first)) {
            Some(best) => Ok(Completion { first_logits: first.first_logits, ..best }),
            None => Ok(first),
        }
    }
}
