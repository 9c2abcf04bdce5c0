//! What a grammar and a schema guard leave of the vocabulary at each step of one answer, with room kept to close it.
//!
//! A pick is checked by its own bytes; the mask of the whole vocabulary is made only when somebody asks for it. Near
//! the end of the token budget a token is taken only if what follows can still be closed with the tokens that are left,
//! the end token included, so an answer under a constraint is always a whole statement.

use std::sync::Arc;

use super::sampler::Allowed;
use crate::error::{Problem, Result};
use crate::grammar::{BitMask, Matcher, TokenTrie};

/// Tokens left beyond which nobody looks for a way to the end: several times the longest closing seen (a subquery in a
/// join inside CASE, long quoted names: 120 bytes). Smaller values would save searches of about 1 ms each.
const ROOM: usize = 256;

/// Searches for a way to the end that may fail in one answer before nobody looks any more: the guard's rules can make a
/// text that the search does not get out of. Price of a failed one: about 50 ms. Without it an answer of noise took 100 s.
const LOST_SEARCHES: u32 = 16;

/// The same for one mask: tokens behind it are left out untried, as long as others are known to lead to the end.
const LOST_IN_A_MASK: u32 = 4;

/// One answer's way through a grammar.
#[derive(Debug, Clone)]
pub struct Constraint {
    matcher: Matcher,
    trie: Arc<TokenTrie>,
    /// Tokens that may still be drawn.
    budget: usize,
    /// The allowed tokens, once asked for at this step.
    mask: Option<BitMask>,
    /// Tokens that are no part of the text and may come before it: the tag that opens a thinking block.
    opening: Vec<u32>,
    begun: bool,
    /// Whether a token was ever refused only because the budget would have ended before the statement.
    cut_short: bool,
    /// Searches for a way to the end that found none.
    lost: u32,
}

impl Constraint {
    /// A constraint at its beginning.
    pub fn new(matcher: Matcher, trie: Arc<TokenTrie>, opening: Vec<u32>) -> Self {
        Self { matcher, trie, budget: usize::MAX, mask: None, opening, begun: false, cut_short: false, lost: 0 }
    }

    /// Sets how many tokens may still be drawn, the end token included.
    pub fn set_budget(&mut self, tokens: usize) {
        self.budget = tokens;
        self.mask = None;
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
        self.mask = None;
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

    /// Whether the budget may end before the statement does, so that every token has to be looked at.
    fn is_near_the_end(&mut self) -> bool {
        if self.lost >= LOST_SEARCHES || self.budget >= ROOM + 2 * self.matcher.distance() {
            return false;
        }
        // Where no way to the end is known (token literals), there is nothing to keep room for.
        let known = self.matcher.completion().is_some();
        self.lost += u32::from(!known);
        known
    }

    /// Whether the text with this token can still be closed within the budget.
    fn can_close_after(&mut self, id: u32) -> bool {
        let Some(bytes) = self.matcher.completion_after(&self.trie, id) else {
            self.lost += 1;
            return false;
        };
        self.trie.spelling(&bytes).is_some_and(|tokens| tokens + 2 <= self.budget)
    }
}

impl Allowed for Constraint {
    fn allows(&mut self, id: u32) -> bool {
        if self.is_opening(id) {
            return true;
        }
        // The mask takes free names for all alike, so it may hold tokens that the guard refuses: the bytes decide.
        let in_mask = self.mask.as_ref().is_none_or(|mask| mask.contains(id));
        let may_follow = in_mask && self.matcher.accepts_token(&self.trie, id);
        if !may_follow || self.mask.is_some() || self.trie.is_end(id) || !self.is_near_the_end() {
            return may_follow;
        }
        let closes = self.can_close_after(id);
        self.cut_short |= !closes;
        closes
    }

    fn prepare(&mut self) {
        if self.mask.is_some() {
            return;
        }
        let mut mask = BitMask::default();
        self.matcher.mask(&self.trie, &mut mask);
        if self.is_near_the_end() {
            let (all, before) = (mask.clone(), self.lost);
            for id in all.iter() {
                let tried = self.lost < before + LOST_IN_A_MASK;
                let leads_out = self.trie.is_end(id) || (tried && self.can_close_after(id));
                if !leads_out {
                    mask.remove(id);
                }
            }
            if mask.iter().next().is_none() {
                // No token was found to lead to the end: the grammar alone decides.
                mask = all;
            }
        }
        self.mask = Some(mask);
    }
}

#[cfg(test)]
mod tests;
