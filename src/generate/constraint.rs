//! What a grammar and a schema guard leave of the vocabulary at each step of one answer, with room kept to close it.
//!
//! A pick is checked by its own bytes; the mask of the whole vocabulary is made only when somebody asks for it. Near
//! the end of the token budget a token is taken only if what follows can still be closed with the tokens that are left,
//! the end token included, so an answer under a constraint is always a whole statement.

use std::sync::Arc;

use super::sampler::Allowed;
use crate::error::{Problem, Result};
use crate::grammar::{BitMask, Matcher, TokenTrie};

/// Tokens left beyond which nobody looks for a way to the end, beside twice the fewest bytes that the grammar and the
/// guard's debts ask for: what a way may take more. Price: below it each token costs a search, 0.1 to 1 ms.
const ROOM: usize = 64;

/// Searches for a way to the end that may fail in one answer before nobody looks any more. Price of a failed one: up to
/// 50 ms. None is known that fails.
const LOST_SEARCHES: u32 = 16;

/// Tokens refused at one step for want of room before the known way to the end is taken instead of asking on.
const TRIES: u32 = 8;

/// One answer's way through a grammar.
#[derive(Debug, Clone)]
pub struct Constraint {
    matcher: Matcher,
    trie: Arc<TokenTrie>,
    /// Tokens that may still be drawn.
    budget: usize,
    /// The tokens that may be allowed, once asked for at this step; those found refused are taken out.
    mask: Option<BitMask>,
    /// Tokens that are no part of the text and may come before it: the tag that opens a thinking block.
    opening: Vec<u32>,
    begun: bool,
    /// Whether a token was ever refused only because the budget would have ended before the statement.
    cut_short: bool,
    /// Searches for a way to the end that found none.
    lost: u32,
    step: Step,
}

/// What is known of the step at hand.
#[derive(Debug, Clone, Default)]
struct Step {
    /// Whether the budget may end before the statement does, so that every token has to be looked at.
    near_the_end: Option<bool>,
    /// Tokens refused before a mask was made.
    refused: Vec<u32>,
    /// Tokens refused for want of room.
    short: u32,
    /// Only the way to the end is open: the mask holds its first token.
    forced: bool,
}

impl Constraint {
    /// A constraint at its beginning.
    pub fn new(matcher: Matcher, trie: Arc<TokenTrie>, opening: Vec<u32>) -> Self {
        Self {
            matcher,
            trie,
            budget: usize::MAX,
            mask: None,
            opening,
            begun: false,
            cut_short: false,
            lost: 0,
            step: Step::default(),
        }
    }

    /// Sets how many tokens may still be drawn, the end token included.
    pub fn set_budget(&mut self, tokens: usize) {
        self.budget = tokens;
        self.begin_step();
    }

    fn begin_step(&mut self) {
        self.mask = None;
        self.step = Step::default();
    }

    /// Refuses a budget that no answer at all fits into.
    pub fn check_budget(&self) -> Result<()> {
        match self.matcher.completion().and_then(|bytes| self.trie.spelling(&bytes)) {
            Some(tokens) if tokens >= self.budget => {
                Err(Problem::input(format!("no answer of the grammar fits into {} tokens", self.budget))
                    .detail(format!("the shortest that was found has {tokens} and the end token"))
                    .hint("--max-tokens gives more room, --no-grammar does without the grammar")
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer has not begun and no longer can: thinking has taken all the room.
    pub fn has_no_room(&self) -> bool {
        !self.begun && self.check_budget().is_err()
    }

    /// Takes a drawn token that belongs to the text.
    pub fn advance(&mut self, id: u32) -> Result<()> {
        self.begun = true;
        self.begin_step();
        if self.matcher.advance_token(&self.trie, id) {
            return Ok(());
        }
        Err(Problem::failed(format!("token {id} was drawn against the grammar")).into())
    }

    /// Whether the token opens a thinking block rather than the answer.
    pub fn is_opening(&self, id: u32) -> bool {
        !self.begun && self.opening.contains(&id)
    }

    /// Whether the text may end here.
    pub fn can_end(&self) -> bool {
        self.matcher.can_end()
    }

    /// Whether the text may end here and nothing can follow.
    pub fn is_finished(&self) -> bool {
        self.matcher.is_finished()
    }

    /// Whether the budget has steered the answer: it was closed, not ended by the model's own choice.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether the budget may end before the statement does.
    fn is_near_the_end(&mut self) -> bool {
        if let Some(known) = self.step.near_the_end {
            return known;
        }
        let far = self.lost >= LOST_SEARCHES || self.budget >= ROOM + 2 * self.matcher.distance();
        // Where no way to the end is known (token literals), there is nothing to keep room for.
        let near = !far && self.matcher.completion().is_some();
        self.lost += u32::from(!far && !near);
        self.step.near_the_end = Some(near);
        near
    }

    /// Whether the text with this token can still be closed within the budget. When that was denied too often, only the
    /// way to the end stays open.
    fn leaves_room(&mut self, id: u32) -> bool {
        let way = self.matcher.completion_after(&self.trie, id);
        self.lost += u32::from(way.is_none());
        let tokens = way.and_then(|bytes| self.trie.spelling(&bytes));
        if tokens.is_some_and(|tokens| tokens + 2 <= self.budget) {
            return true;
        }
        self.cut_short = true;
        self.step.short += 1;
        if self.step.short >= TRIES
            && let Some(way) = self.matcher.completion()
        {
            let mut mask = BitMask::new(self.trie.size());
            match self.trie.first(&way) {
                Some(first) => mask.insert(first),
                None => self.trie.ends().iter().for_each(|end| mask.insert(*end)),
            }
            self.mask = Some(mask);
            self.step.forced = true;
        }
        false
    }
}

impl Allowed for Constraint {
    fn allows(&mut self, id: u32) -> bool {
        if self.is_opening(id) {
            return true;
        }
        let in_mask = self.mask.as_ref().is_none_or(|mask| mask.contains(id));
        if self.step.forced {
            return in_mask;
        }
        // The mask takes free names for all alike, so it may hold tokens that the guard refuses: the bytes decide.
        let allowed = in_mask
            && self.matcher.accepts_token(&self.trie, id)
            && (self.trie.is_end(id) || !self.is_near_the_end() || self.leaves_room(id));
        if !allowed && !self.step.forced {
            match &mut self.mask {
                Some(mask) => mask.remove(id),
                None => self.step.refused.push(id),
            }
        }
        allowed
    }

    fn may_allow(&mut self, id: u32) -> bool {
        if self.is_opening(id) {
            return true;
        }
        match &self.mask {
            Some(mask) => mask.contains(id),
            None => self.allows(id),
        }
    }

    fn prepare(&mut self) {
        if self.mask.is_some() {
            return;
        }
        let mut mask = BitMask::default();
        self.matcher.mask(&self.trie, &mut mask);
        for id in self.step.refused.drain(..) {
            mask.remove(id);
        }
        self.mask = Some(mask);
    }
}

#[cfg(test)]
mod tests;
