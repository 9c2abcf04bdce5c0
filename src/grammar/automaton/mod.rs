//! The byte-level automaton of a grammar, built as texts ask for it, shared by all matchers on one vocabulary.

pub mod compile;
pub(in crate::grammar) mod hash;
pub mod program;
pub mod stack;
pub mod states;
mod utf8;

mod closing;
mod closure;
pub mod distance;

use std::sync::Arc;

use closure::Closure;
use distance::Distances;
use program::{Node, Program};
use stack::{BOTTOM, Stacks};
use states::{ASKED, DEAD, StateId, States, Thread, UNKNOWN};

use super::Grammar;
use super::guard::Attached;
use super::limits;
use super::tokens::Below;

/// The class of each byte and how many classes have a place in every row of transitions. A guard may tell apart bytes
/// that the grammar does not; then those beyond ASCII are numbered behind the others, and rows do without them.
fn classes(program: &Program, guard: Option<&Attached>) -> ([u8; 256], usize) {
    let mut classes = [0; 256];
    let Some(attached) = guard else {
        classes.copy_from_slice(&program.classes);
        return (classes, program.class_count);
    };
    let mut known: Vec<(u8, u8)> = Vec::new();
    let mut width = 0;
    for byte in 0..=255u8 {
        let key = (program.classes[usize::from(byte)], attached.guard.fold(byte));
        let class = known.iter().position(|own| *own == key).unwrap_or_else(|| {
            known.push(key);
            known.len() - 1
        });
        classes[usize::from(byte)] = class as u8;
        width = if byte.is_ascii() { known.len() } else { width };
    }
    (classes, width)
}

/// States, stacks and transitions found so far.
#[derive(Debug)]
pub struct Automaton {
    grammar: Arc<Grammar>,
    guard: Option<Attached>,
    classes: [u8; 256],
    stacks: Stacks,
    states: States,
    closure: Closure,
    distances: Distances,
    start: StateId,
    exceeded: bool,
    /// Memory is over `room`.
    over: bool,
    /// Memory at which unused states go: the limit, or twice what was still in use last time.
    room: usize,
    /// Times that everything unused was dropped.
    pub collections: u64,
}

impl Automaton {
    pub(super) fn new(grammar: Arc<Grammar>, guard: Option<Attached>) -> Self {
        let program = grammar.program();
        let clause = guard.as_ref().and_then(|attached| attached.guard.clause());
        let clause = clause.and_then(|(scope, clause)| Some((grammar.rule_named(scope)?, grammar.rule_named(clause)?)));
        let (classes, width) = classes(program, guard.as_ref());
        let mut own = Self {
            guard,
            classes,
            stacks: Stacks::new(),
            states: States::new(width),
            closure: Closure::default(),
            distances: Distances::new(program, clause),
            start: DEAD,
            exceeded: false,
            over: false,
            room: limits::CACHE_BYTES,
            collections: 0,
            grammar: grammar.clone(),
        };
        let entry = grammar.program().entries[grammar.root() as usize];
        own.closure.todo.push(Thread { node: entry, stack: BOTTOM, guard: 0 });
        own.start = own.arrive();
        own.states.pin(own.start);
        own
    }

    /// The state before any byte.
    pub fn start(&self) -> StateId {
        self.start
    }

    /// Whether a move ever needed more than the limits allow.
    pub fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// The states.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// The states, to pin and unpin.
    pub fn states_mut(&mut self) -> &mut States {
        &mut self.states
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        let guard = self.guard.as_ref().map_or(0, |attached| attached.guard.memory());
        self.states.memory() + self.stacks.memory() + guard
    }

    /// Follows `closure.todo` to a state.
    fn arrive(&mut self) -> StateId {
        match self.closure.run(self.grammar.program(), &mut self.stacks, &mut self.guard) {
            Ok(()) => self.states.intern(&self.closure.done),
            Err(closure::Exceeded) => {
                self.exceeded = true;
                DEAD
            }
        }
    }

    /// Where a byte leads.
    #[inline]
    pub fn step(&mut self, state: StateId, byte: u8) -> StateId {
        match self.states.to(state, self.classes[usize::from(byte)]) {
            UNKNOWN => self.explore(state, byte),
            known => known,
        }
    }

    #[cold]
    fn explore(&mut self, state: StateId, byte: u8) -> StateId {
        let program = self.grammar.program();
        for thread in self.states.threads(state) {
            let Node::Bytes { first, count } = program.nodes[thread.node as usize] else { continue };
            let edges = program.edges(first, count);
            let Some(edge) = edges.iter().find(|edge| byte <= edge.high).filter(|edge| edge.low <= byte) else {
                continue;
            };
            let mut knows = thread.guard;
            if let Some(attached) = &mut self.guard {
                let Some(told) = attached.guard.byte(byte, knows) else { continue };
                knows = told;
            }
            self.closure.todo.push(Thread { node: edge.next, stack: thread.stack, guard: knows });
        }
        let to = self.arrive();
        self.states.set(state, self.classes[usize::from(byte)], to);
        self.over = self.memory() > self.room;
        to
    }

    /// Which sets of texts a state reads without leaving itself: a bit for each [`Below`]. Asked once for each state.
    #[inline]
    pub fn loops(&mut self, state: StateId) -> u8 {
        match self.states.loops(state) {
            known if known & ASKED != 0 => known,
            _ => self.find_loops(state),
        }
    }

    /// What is known of them.
    #[inline]
    pub fn known_loops(&self, state: StateId) -> u8 {
        self.states.loops(state)
    }

    #[cold]
    fn find_loops(&mut self, state: StateId) -> u8 {
        let blind = |thread: &Thread| self.guard.as_ref().is_none_or(|own| own.guard.is_blind(thread.guard));
        let mut sets = 0;
        if self.states.threads(state).iter().all(blind) {
            for set in [Below::Word, Below::Text] {
                let ascii: Vec<u8> = self.one_of_each_class(0, 127, |byte| set.has(byte));
                if ascii.into_iter().all(|byte| self.step(state, byte) == state) && self.loops_beyond_ascii(state) {
                    sets |= set as u8;
                }
            }
        }
        self.states.set_loops(state, sets);
        sets
    }

    /// One byte for each of the grammar's classes in a range: where the guard is blind, the others do the same.
    fn one_of_each_class(&self, low: u8, high: u8, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let classes = &self.grammar.program().classes;
        let mut seen = [false; 256];
        let fresh =
            |byte: &u8| wanted(*byte) && !std::mem::replace(&mut seen[usize::from(classes[usize::from(*byte)])], true);
        (low..=high).filter(fresh).collect()
    }

    /// Whether every character beyond ASCII leads back to the state.
    fn loops_beyond_ascii(&mut self, state: StateId) -> bool {
        // (first byte, range of the second, bytes behind that): UTF-8 without overlong forms and surrogates.
        const LEADS: [(u8, u8, u8, u8, u32); 8] = [
            (0xc2, 0xdf, 0x80, 0xbf, 0),
            (0xe0, 0xe0, 0xa0, 0xbf, 1),
            (0xe1, 0xec, 0x80, 0xbf, 1),
            (0xed, 0xed, 0x80, 0x9f, 1),
            (0xee, 0xef, 0x80, 0xbf, 1),
            (0xf0, 0xf0, 0x90, 0xbf, 2),
            (0xf1, 0xf3, 0x80, 0xbf, 2),
            (0xf4, 0xf4, 0x80, 0x8f, 2),
        ];
        for (first, last, low, high, more) in LEADS {
            let ranges = [(first, last), (low, high)].into_iter().chain((0..more).map(|_| (0x80, 0xbf)));
            let mut at = vec![state];
            for (low, high) in ranges {
                let bytes = self.one_of_each_class(low, high, |_| true);
                let mut next: Vec<StateId> = Vec::new();
                for from in at {
                    next.extend(bytes.iter().map(|byte| self.step(from, *byte)));
                }
                next.sort_unstable();
                next.dedup();
                at = next;
            }
            if at != [state] {
                return false;
            }
        }
        true
    }

    /// The state from which a mask walks: threads whose guard takes all free names for one.
    pub fn veiled(&mut self, state: StateId) -> StateId {
        let Some(attached) = &mut self.guard else { return state };
        let veil = |thread: &Thread| Thread { guard: attached.guard.veil(thread.guard), ..*thread };
        let mut threads: Vec<Thread> = self.states.threads(state).iter().map(veil).collect();
        threads.sort_unstable();
        self.states.intern(&threads)
    }

    /// Where bytes lead.
    pub fn walk(&mut self, mut state: StateId, bytes: &[u8]) -> StateId {
        for byte in bytes {
            if state == DEAD {
                break;
            }
            self.make_room(&[state]);
            state = self.step(state, *byte);
        }
        state
    }

    /// Where a whole token leads: its bytes, or token literals that name it. A token that has no bytes passes literals
    /// only.
    pub fn walk_token(&mut self, state: StateId, id: u32, bytes: &[u8]) -> StateId {
        let by_bytes = if bytes.is_empty() { DEAD } else { self.walk(state, bytes) };
        if !self.grammar.has_tokens() {
            return by_bytes;
        }
        let grammar = self.grammar.clone();
        let matched = |thread: &Thread| match grammar.program().nodes[thread.node as usize] {
            Node::Token { token, negated, next } if (grammar.token_id(token) == Some(id)) != negated => {
                Some(Thread { node: next, ..*thread })
            }
            _ => None,
        };
        self.closure.todo.extend(self.states.threads(state).iter().filter_map(matched));
        if self.closure.todo.is_empty() {
            return by_bytes;
        }
        self.closure.todo.extend_from_slice(self.states.threads(by_bytes));
        self.arrive()
    }

    /// The token literals that can be read in a state: the id, where known, and whether it is negated.
    pub fn literals(&self, state: StateId) -> Vec<(Option<u32>, bool)> {
        if !self.grammar.has_tokens() {
            return Vec::new();
        }
        let literal = |thread: &Thread| match self.grammar.program().nodes[thread.node as usize] {
            Node::Token { token, negated, .. } => Some((self.grammar.token_id(token), negated)),
            _ => None,
        };
        self.states.threads(state).iter().filter_map(literal).collect()
    }

    /// The grammar it walks.
    pub fn grammar(&self) -> &Arc<Grammar> {
        &self.grammar
    }

    /// Whether memory is over the limit.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Drops what nobody stands on if memory is over the limit; `also` are states in use besides the pinned ones.
    #[inline]
    pub fn make_room(&mut self, also: &[StateId]) -> bool {
        if !self.is_over() {
            return false;
        }
        self.collect(also);
        true
    }

    fn collect(&mut self, also: &[StateId]) {
        let stacks = self.states.collect(also);
        self.stacks.sweep(stacks.into_iter());
        if let Some(attached) = &mut self.guard {
            attached.guard.keep(&mut self.states.guards());
        }
        self.room = limits::CACHE_BYTES.max(2 * self.memory());
        self.over = false;
        self.collections += 1;
    }
}
