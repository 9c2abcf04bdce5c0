//! One answer's way through a grammar.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Grammar;
use super::automaton::Automaton;
use super::automaton::states::{DEAD, StateId, Thread};
use super::guard::{Attached, Guard};
use super::limits;
use super::mask::{BitMask, Masks};
use super::tokens::TokenTrie;

/// What all matchers on one grammar share.
#[derive(Debug)]
struct Shared {
    automaton: Automaton,
    masks: Masks,
    /// Ways to the end from states, as long as the states' numbers hold.
    closings: HashMap<StateId, Option<Arc<[u8]>>>,
    collections: u64,
}

impl Shared {
    fn forget_if_stale(&mut self) {
        if self.collections != self.automaton.collections || self.closings.len() >= limits::CLOSINGS {
            self.collections = self.automaton.collections;
            self.closings.clear();
        }
    }

    /// A token leads somewhere; if the way to the end that is known goes there too, its rest is known there: what was
    /// found once is not lost again.
    fn walk_token(&mut self, from: StateId, id: Option<u32>, bytes: &[u8]) -> StateId {
        self.forget_if_stale();
        let way = self.closings.get(&from).cloned().flatten();
        let to = match id {
            Some(id) => self.automaton.walk_token(from, id, bytes),
            None => self.automaton.walk(from, bytes),
        };
        if let Some(rest) = way.as_ref().and_then(|way| way.strip_prefix(bytes))
            && to != DEAD
            && !bytes.is_empty()
        {
            self.forget_if_stale();
            let known = self.closings.entry(to).or_insert(None);
            if known.as_ref().is_none_or(|known| rest.len() < known.len()) {
                *known = Some(rest.into());
            }
        }
        to
    }

    fn completion(&mut self, state: StateId) -> Option<Arc<[u8]>> {
        self.forget_if_stale();
        if let Some(known) = self.closings.get(&state) {
            return known.clone();
        }
        let found = self.automaton.completion(state, limits::CLOSING_STEPS);
        let found: Option<Arc<[u8]>> = found.filter(|way| self.ends(state, way)).map(Into::into);
        self.closings.insert(state, found.clone());
        found
    }

    /// Whether a way leads to the end. The search follows single threads: about one of 10,000 that it finds is refused by
    /// the walk over all.
    fn ends(&mut self, state: StateId, way: &[u8]) -> bool {
        self.automaton.states_mut().pin(state);
        let to = self.automaton.walk(state, way);
        let ends = self.automaton.states().can_end(to);
        self.automaton.states_mut().unpin(state);
        ends
    }

    /// The same behind a token, given the way in front of it: what is far to search may be near to what is known.
    fn completion_beside(&mut self, state: StateId, known: &[u8]) -> Option<Arc<[u8]>> {
        self.forget_if_stale();
        if !known.is_empty() && !self.closings.contains_key(&state) {
            let short = self.automaton.completion(state, limits::SHORT_CLOSING_STEPS);
            if let Some(found) = short.filter(|way| self.ends(state, way)).or_else(|| self.rest_of(known, state)) {
                self.forget_if_stale();
                self.closings.insert(state, Some(found.into()));
            }
        }
        self.completion(state)
    }

    /// A way, or what is left of it behind some of its first words, if it leads from another state to the end.
    fn rest_of(&mut self, way: &[u8], state: StateId) -> Option<Vec<u8>> {
        let ends_word = |at: &usize| !way[*at].is_ascii_alphanumeric() && way[*at] != b'_';
        let begins = std::iter::once(0).chain((1..way.len()).filter(ends_word)).take(limits::RESTS);
        begins.map(|at| &way[at..]).find(|rest| self.ends(state, rest)).map(<[u8]>::to_vec)
    }
}

/// Follows one answer through a grammar. Clones share the automaton and its caches; each keeps its own place and may go
/// back step by step.
#[derive(Debug)]
pub struct Matcher {
    shared: Arc<Mutex<Shared>>,
    /// Where each step so far began; the place itself is the last.
    places: Vec<StateId>,
}

impl Matcher {
    /// A matcher at the beginning, with caches of its own.
    pub fn new(grammar: Arc<Grammar>) -> Self {
        Self::make(grammar, None)
    }

    /// A matcher whose parse threads a guard watches.
    pub fn with_guard(grammar: Arc<Grammar>, guard: Box<dyn Guard>) -> Self {
        let mut hooks = vec![0; grammar.program().entries.len()];
        for (index, name) in guard.hooks().iter().enumerate() {
            if let Some(rule) = grammar.rule_named(name) {
                hooks[rule as usize] = index as u32 + 1;
            }
        }
        Self::make(grammar, Some(Attached { guard, hooks }))
    }

    fn make(grammar: Arc<Grammar>, guard: Option<Attached>) -> Self {
        let mut automaton = Automaton::new(grammar, guard);
        let start = automaton.start();
        automaton.states_mut().pin(start);
        Self {
            shared: Arc::new(Mutex::new(Shared {
                automaton,
                masks: Masks::default(),
                closings: HashMap::new(),
                collections: 0,
            })),
            places: vec![start],
        }
    }

    /// A matcher at the beginning that shares this one's caches: the next answer under the same grammar.
    pub fn restarted(&self) -> Self {
        let mut shared = self.lock();
        let start = shared.automaton.start();
        shared.automaton.states_mut().pin(start);
        drop(shared);
        Self { shared: self.shared.clone(), places: vec![start] }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> StateId {
        self.places.last().copied().unwrap_or(DEAD)
    }

    /// Whether these bytes may come next.
    pub fn accepts_bytes(&self, bytes: &[u8]) -> bool {
        self.lock().automaton.walk(self.place(), bytes) != DEAD
    }

    /// Takes these bytes as one step; if they may not come next, says so and stays.
    pub fn advance(&mut self, bytes: &[u8]) -> bool {
        let to = self.lock().walk_token(self.place(), None, bytes);
        self.move_to(to)
    }

    /// Whether this token may come next. Tokens that end an answer may where the text may end; other tokens by their
    /// bytes or by a token literal.
    pub fn accepts_token(&self, trie: &TokenTrie, id: u32) -> bool {
        if trie.is_end(id) {
            return self.can_end();
        }
        self.lock().automaton.walk_token(self.place(), id, trie.bytes(id)) != DEAD
    }

    /// Takes a token as one step; if it may not come next, says so and stays. An end token moves nothing.
    pub fn advance_token(&mut self, trie: &TokenTrie, id: u32) -> bool {
        if trie.is_end(id) {
            let may = self.can_end();
            return may && self.move_to(self.place());
        }
        self.advance_piece(id, trie.bytes(id))
    }

    /// Takes a token of a vocabulary that is not at hand, given its id and its bytes.
    pub fn advance_piece(&mut self, id: u32, bytes: &[u8]) -> bool {
        let to = self.lock().walk_token(self.place(), Some(id), bytes);
        self.move_to(to)
    }

    fn move_to(&mut self, to: StateId) -> bool {
        if to == DEAD {
            return false;
        }
        self.lock().automaton.states_mut().pin(to);
        self.places.push(to);
        true
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.places.len() - 1
    }

    /// Takes back the last `steps` steps, at most all.
    pub fn rollback(&mut self, steps: usize) {
        let keep = self.places.len() - steps.min(self.steps());
        let taken = self.places.split_off(keep);
        self.unpin(&taken);
    }

    fn unpin(&self, places: &[StateId]) {
        let mut shared = self.lock();
        for place in places {
            shared.automaton.states_mut().unpin(*place);
        }
    }

    /// Whether the text may end here.
    pub fn can_end(&self) -> bool {
        self.lock().automaton.states().can_end(self.place())
    }

    /// Whether the text may end here and nothing can follow.
    pub fn is_finished(&self) -> bool {
        self.lock().automaton.states().threads(self.place()).iter().all(Thread::is_end)
    }

    /// Sets in `mask` exactly the tokens that may come next. Computed once for each state while the cache holds it.
    pub fn mask(&mut self, trie: &TokenTrie, mask: &mut BitMask) {
        let place = self.place();
        let mut shared = self.lock();
        let Shared { automaton, masks, .. } = &mut *shared;
        masks.get(automaton, trie, place, mask);
    }

    /// Bytes that would bring the text to where it may end, few but not always the fewest; none where no way was found.
    pub fn completion(&self) -> Option<Arc<[u8]>> {
        self.lock().completion(self.place())
    }

    /// The same for the text with this token behind it; none also where the token may not come. `known`: a way in front
    /// of it, or nothing.
    pub fn completion_after(&self, trie: &TokenTrie, id: u32, known: &[u8]) -> Option<Arc<[u8]>> {
        let mut shared = self.lock();
        match shared.walk_token(self.place(), Some(id), trie.bytes(id)) {
            DEAD => None,
            to => shared.completion_beside(to, known),
        }
    }

    /// Fewest bytes to the end, as far as the grammar alone tells.
    pub fn distance(&self) -> usize {
        self.lock().automaton.distance(self.place()) as usize
    }

    /// Drops the masks that are kept (not the automaton's states): what a measurement of masks begins with.
    pub fn forget_masks(&mut self) {
        self.lock().masks = Masks::default();
    }

    /// Whether a state ever needed more threads or steps than [`super::limits`] allow: then texts were refused that may
    /// be in the language.
    pub fn exceeded(&self) -> bool {
        self.lock().automaton.exceeded()
    }

    /// Number of states found and kept.
    pub fn state_count(&self) -> usize {
        self.lock().automaton.states().len()
    }

    /// Bytes held by states, stacks and masks.
    pub fn memory(&self) -> usize {
        let shared = self.lock();
        shared.automaton.memory() + shared.masks.memory()
    }

    pub(super) fn inspect<T>(&self, look: impl FnOnce(&mut Automaton, StateId) -> T) -> T {
        let place = self.place();
        look(&mut self.lock().automaton, place)
    }
}

impl Clone for Matcher {
    fn clone(&self) -> Self {
        let mut shared = self.lock();
        for place in &self.places {
            shared.automaton.states_mut().pin(*place);
        }
        drop(shared);
        Self { shared: self.shared.clone(), places: self.places.clone() }
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        self.unpin(&self.places);
    }
}
