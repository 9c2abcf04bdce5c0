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
use program::Node;
use stack::{BOTTOM, Stacks};
use states::{DEAD, StateId, States, Thread, UNKNOWN};

use super::Grammar;
use super::guard::Attached;
use super::limits;

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
        let mut classes = [0; 256];
        // A guard may tell apart bytes that the grammar does not.
        match &guard {
            Some(_) => classes = std::array::from_fn(|byte| byte as u8),
            None => classes.copy_from_slice(&program.classes),
        }
        let width = if guard.is_some() { 256 } else { program.class_count };
        let mut own = Self {
            guard,
            classes,
            stacks: Stacks::new(),
            states: States::new(width),
            closure: Closure::default(),
            distances: Distances::new(program, clause),
            start: DEAD,
            exceeded: false,
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
        to
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
        self.memory() > self.room
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
        self.collections += 1;
    }
}
