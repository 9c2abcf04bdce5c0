//! What a grammar and a schema guard leave of the vocabulary at each step of one answer, with room kept to close it.
//!
//! A pick is checked by its own bytes; the mask of the whole vocabulary is made only when somebody asks for it. Under a
//! guard, and near the end of the token budget, a token is taken only if a way to the end behind it is known that the
//! vocabulary can spell with the tokens that are left, the end token included. That way is kept: its first token is
//! allowed and in every mask whatever else is refused, so some token always is, and an answer is a whole statement.

mod leaning;
mod taste;

use std::sync::Arc;

pub use leaning::Leaning;
pub use taste::Taste;

use super::sampler::Allowed;
use crate::error::{Problem, Result};
use crate::grammar::{BitMask, Matcher, TokenTrie};

/// Without a guard: tokens left beyond which nobody looks for a way to the end, beside twice the fewest bytes that the
/// grammar asks for. No state of a grammar alone is a dead end. Price: below it each token costs a search, 0.1 to 1 ms.
const ROOM: usize = 64;

/// Searches for a way to the end that may fail in one answer before only the known way is followed, or nobody looks any
/// more where none is known. Price of a failed one: up to 50 ms.
const LOST_SEARCHES: u32 = 16;

/// Tokens refused at one step for want of a way before the known one is taken instead of asking on.
const TRIES: u32 = 8;

/// A way to the end.
#[derive(Debug, Clone)]
struct Way {
    bytes: Arc<[u8]>,
    /// How many tokens spell it.
    tokens: usize,
}

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
    /// Only the known way to the end is open.
    closing: bool,
    /// Searches for a way to the end that found none.
    lost: u32,
    /// The way to the end from here. `Some(None)`: looked for in vain.
    way: Option<Option<Way>>,
    /// Under a guard: what is left out while another way is known.
    taste: Option<Taste>,
    /// What is liked better among allowed tokens.
    leaning: Option<Leaning>,
    step: Step,
}

/// What is known of the step at hand.
#[derive(Debug, Clone, Default)]
struct Step {
    /// Whether a token must have a way to the end behind it.
    watched: Option<bool>,
    /// Tokens refused before a mask was made.
    refused: Vec<u32>,
    /// Tokens refused for want of a way.
    denied: u32,
    /// The ways behind tokens that were allowed.
    ways: Vec<(u32, Way)>,
    /// Only the way to the end is open: the mask holds its first token.
    forced: bool,
}

impl Constraint {
    /// A constraint at its beginning. With a taste, every token must have a way to the end behind it: what the matcher of
    /// a schema guard needs, whose states may be dead ends.
    pub fn new(matcher: Matcher, trie: Arc<TokenTrie>, opening: Vec<u32>, taste: Option<Taste>) -> Self {
        Self {
            matcher,
            trie,
            budget: usize::MAX,
            mask: None,
            opening,
            begun: false,
            cut_short: false,
            closing: false,
            lost: 0,
            way: None,
            taste,
            leaning: None,
            step: Step::default(),
        }
    }

    /// The same with likings among what is allowed.
    pub fn with_leaning(self, leaning: Leaning) -> Self {
        Self { leaning: Some(leaning), ..self }
    }

    /// Whether names are kept to a schema.
    pub fn is_guarded(&self) -> bool {
        self.taste.is_some()
    }

    /// Sets how many tokens may still be drawn, the end token included. What is known of the step stays known if that is
    /// no news.
    pub fn set_budget(&mut self, tokens: usize) {
        if self.budget != tokens {
            self.budget = tokens;
            self.begin_step();
        }
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
        let behind = self.known_behind(id);
        self.begin_step();
        if self.matcher.advance_token(&self.trie, id) {
            if !self.trie.is_end(id) {
                self.way = behind.map(Some);
            }
            if let Some(taste) = &mut self.taste {
                taste.advance(self.trie.bytes(id));
            }
            if let Some(leaning) = &mut self.leaning {
                leaning.advance(self.trie.bytes(id));
            }
            return Ok(());
        }
        Err(Problem::failed(format!("token {id} was drawn against the grammar")).into())
    }

    /// The way behind a token that is known without a search: found when the token was asked about, or the rest of the
    /// way from here. What was known once is not lost again, whatever the matcher forgets.
    fn known_behind(&self, id: u32) -> Option<Way> {
        if let Some((_, way)) = self.step.ways.iter().find(|(own, _)| *own == id) {
            return Some(way.clone());
        }
        let way = self.way.as_ref()?.as_ref()?;
        let own = self.trie.bytes(id);
        let rest: Arc<[u8]> = way.bytes.strip_prefix(own).filter(|_| !own.is_empty())?.into();
        Some(Way { tokens: self.trie.spelling(&rest)?, bytes: rest })
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

    /// Leaves nothing open but the known way to the end: the answer is closed where it stands. Where no way is known, it
    /// goes on.
    pub fn close(&mut self) {
        self.closing = true;
        self.cut_short = true;
        self.begin_step();
    }

    /// Whether the answer was closed, not ended by the model's own choice: by [`Constraint::close`] or by the budget.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    fn spelt(&self, bytes: Option<Arc<[u8]>>) -> Option<Way> {
        let bytes = bytes?;
        Some(Way { tokens: self.trie.spelling(&bytes)?, bytes })
    }

    /// The way to the end from here.
    fn way(&mut self) -> Option<&Way> {
        if self.way.is_none() {
            let found = if self.lost < LOST_SEARCHES { self.spelt(self.matcher.completion()) } else { None };
            self.lost += u32::from(found.is_none());
            self.way = Some(found);
        }
        self.way.as_ref().and_then(Option::as_ref)
    }

    /// Whether this token is the next one of the known way.
    fn is_on_the_way(&mut self, id: u32) -> bool {
        let first = self.way().map(|way| Arc::clone(&way.bytes)).and_then(|bytes| self.trie.first(&bytes));
        first == Some(id)
    }

    /// Whether a token must have a way to the end behind it. Where no way is known from here (token literals), there is
    /// nothing to keep room for.
    fn is_watched(&mut self) -> bool {
        if let Some(known) = self.step.watched {
            return known;
        }
        let near = self.taste.is_some() || self.budget < ROOM + 2 * self.matcher.distance();
        let watched = near && self.way().is_some();
        self.step.watched = Some(watched);
        watched
    }

    /// Whether the text with this token can still be closed within the budget. When that was denied too often, only the
    /// way to the end stays open.
    fn leads_on(&mut self, id: u32) -> bool {
        if !self.is_watched() || self.is_on_the_way(id) {
            return true;
        }
        let suits = self.taste.as_ref().is_none_or(|taste| taste.suits(self.trie.bytes(id)));
        if !suits || !self.stands_as_a_word(id) {
            return false;
        }
        let known = self.way().map(|way| Arc::clone(&way.bytes)).unwrap_or_default();
        let behind = match self.lost < LOST_SEARCHES {
            true => self.spelt(self.matcher.completion_after(&self.trie, id, &known)),
            false => None,
        };
        match behind {
            Some(way) if way.tokens + 2 <= self.budget => {
                self.step.ways.push((id, way));
                return true;
            }
            Some(_) => self.cut_short = true,
            None => self.lost += 1,
        }
        self.step.denied += 1;
        if self.step.denied >= TRIES || self.lost >= LOST_SEARCHES {
            self.force();
        }
        false
    }

    /// Leaves only the next token of the known way.
    fn force(&mut self) {
        let mut mask = BitMask::new(self.trie.size());
        self.insert_way(&mut mask);
        self.mask = Some(mask);
        self.step.forced = true;
    }

    fn force_if_closing(&mut self) {
        if self.closing && !self.step.forced && self.way().is_some() {
            self.force();
        }
    }

    /// Whether a keyword that this token completes may end there. Where it may not, it could only be the beginning of an
    /// alias (`JOIN t ON` where `t` has to be renamed), which nobody who writes a keyword means.
    fn stands_as_a_word(&self, id: u32) -> bool {
        let token = self.trie.bytes(id);
        !self.taste.as_ref().is_some_and(|taste| taste.ends_in_keyword(token))
            || b" (),;".iter().any(|next| self.matcher.accepts_bytes(&[token, &[*next]].concat()))
    }

    /// Puts the next token of the known way into a mask, or the end tokens where the way is at its end.
    fn insert_way(&mut self, mask: &mut BitMask) {
        let Some(way) = self.way().map(|way| Arc::clone(&way.bytes)) else { return };
        match self.trie.first(&way) {
            Some(first) => mask.insert(first),
            None => self.trie.ends().iter().for_each(|end| mask.insert(*end)),
        }
    }
}

impl Allowed for Constraint {
    fn allows(&mut self, id: u32) -> bool {
        if self.is_opening(id) {
            return true;
        }
        self.force_if_closing();
        let in_mask = self.mask.as_ref().is_none_or(|mask| mask.contains(id));
        if self.step.forced {
            return in_mask;
        }
        // The mask takes free names for all alike, so it may hold tokens that the guard refuses: the bytes decide.
        let allowed =
            in_mask && self.matcher.accepts_token(&self.trie, id) && (self.trie.is_end(id) || self.leads_on(id));
        if !allowed && !self.step.forced {
            match &mut self.mask {
                Some(mask) => mask.remove(id),
                None => self.step.refused.push(id),
            }
        }
        allowed
    }

    fn leaned(&self, logits: &[f32]) -> Option<Vec<f32>> {
        self.leaning.as_ref()?.leaned(logits, &self.trie)
    }

    fn may_allow(&mut self, id: u32) -> bool {
        if self.is_opening(id) {
            return true;
        }
        self.force_if_closing();
        match &self.mask {
            Some(mask) => mask.contains(id),
            None => self.allows(id),
        }
    }

    fn prepare(&mut self) {
        self.force_if_closing();
        if self.mask.is_some() {
            return;
        }
        let mut mask = BitMask::default();
        self.matcher.mask(&self.trie, &mut mask);
        for id in self.step.refused.drain(..) {
            mask.remove(id);
        }
        if self.is_watched() {
            if let Some(taste) = self.taste.as_ref().filter(|taste| !taste.takes_all()) {
                let odd: Vec<u32> = mask.iter().filter(|id| !taste.suits(self.trie.bytes(*id))).collect();
                odd.into_iter().for_each(|id| mask.remove(id));
            }
            self.insert_way(&mut mask);
        }
        self.mask = Some(mask);
    }
}

#[cfg(test)]
mod tests;
