//! States of the lazy automaton: sets of parse threads, each set made once, with a row of transitions that fills as
//! bytes are asked for. States on which somebody stands are pinned; the rest goes when memory runs over.

use std::collections::hash_map::Entry;

use super::hash::Map;
use super::program::{NodeId, RETURN};
use super::stack::{BOTTOM, StackId};

/// A state; an index into [`States`].
pub type StateId = u32;

/// The state from which nothing can follow.
pub const DEAD: StateId = 0;

/// [`States::loops`] is known.
pub const ASKED: u8 = 1 << 7;

/// A transition nobody has asked for.
pub const UNKNOWN: StateId = StateId::MAX;

/// One way to read the text so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    /// Where it stands.
    pub node: NodeId,
    /// What it goes back to.
    pub stack: StackId,
    /// What the guard knows of it; 0 without one.
    pub guard: u32,
}

impl Thread {
    /// Whether the text may end here.
    pub fn is_end(&self) -> bool {
        self.node == RETURN && self.stack == BOTTOM
    }
}

#[derive(Debug, Default)]
struct State {
    threads: Box<[Thread]>,
    /// How many hold it; kept while above 0.
    pins: u32,
    can_end: bool,
    /// Which sets of texts it reads without leaving itself, once that was asked: bits of `trie::Below`, and [`ASKED`].
    loops: u8,
    /// Another state with the same hash, or 0.
    twin: StateId,
}

/// What a rare transition takes in its map.
const RARE_BYTES: usize = 16;

/// All states in use.
#[derive(Debug)]
pub struct States {
    states: Vec<State>,
    rows: Vec<StateId>,
    /// Classes below this have a place in every row; transitions of the others are in `rare`.
    width: usize,
    rare: Map<(StateId, u8), StateId>,
    known: Map<u64, StateId>,
    free: Vec<StateId>,
    threads: usize,
}

fn hash(threads: &[Thread]) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = super::hash::Fast::default();
    for thread in threads {
        thread.hash(&mut hasher);
    }
    hasher.finish()
}

impl States {
    /// No state but the dead one; `width` is the number of byte classes that are common enough for a place in every row.
    pub fn new(width: usize) -> Self {
        let dead = State { pins: 1, ..State::default() };
        Self {
            states: vec![dead],
            rows: vec![DEAD; width],
            width,
            rare: Map::default(),
            known: Map::default(),
            free: Vec::new(),
            threads: 0,
        }
    }

    /// The state of these threads (sorted).
    pub fn intern(&mut self, threads: &[Thread]) -> StateId {
        if threads.is_empty() {
            return DEAD;
        }
        let hash = hash(threads);
        let mut at = self.known.get(&hash).copied().unwrap_or(DEAD);
        while at != DEAD {
            if *self.states[at as usize].threads == *threads {
                return at;
            }
            at = self.states[at as usize].twin;
        }
        let can_end = threads.iter().any(Thread::is_end);
        self.threads += threads.len();
        let id = self.free.pop().unwrap_or_else(|| {
            self.states.push(State::default());
            self.rows.resize(self.rows.len() + self.width, UNKNOWN);
            (self.states.len() - 1) as StateId
        });
        let twin = match self.known.entry(hash) {
            Entry::Occupied(mut known) => known.insert(id),
            Entry::Vacant(place) => {
                place.insert(id);
                DEAD
            }
        };
        self.states[id as usize] = State { threads: threads.into(), pins: 0, can_end, loops: 0, twin };
        let start = id as usize * self.width;
        self.rows[start..start + self.width].fill(UNKNOWN);
        id
    }

    /// Its threads.
    pub fn threads(&self, state: StateId) -> &[Thread] {
        &self.states[state as usize].threads
    }

    /// What the guard knows of each thread of each state.
    pub fn guards(&self) -> impl Iterator<Item = u32> + '_ {
        self.states.iter().flat_map(|state| state.threads.iter().map(|thread| thread.guard))
    }

    /// Whether the text may end here.
    pub fn can_end(&self, state: StateId) -> bool {
        self.states[state as usize].can_end
    }

    /// Where a byte class leads, or [`UNKNOWN`].
    #[inline]
    pub fn to(&self, state: StateId, class: u8) -> StateId {
        if usize::from(class) < self.width {
            self.rows[state as usize * self.width + usize::from(class)]
        } else if state == DEAD {
            DEAD
        } else {
            self.rare.get(&(state, class)).copied().unwrap_or(UNKNOWN)
        }
    }

    /// Notes where a byte class leads.
    pub fn set(&mut self, state: StateId, class: u8, to: StateId) {
        if usize::from(class) < self.width {
            self.rows[state as usize * self.width + usize::from(class)] = to;
        } else {
            self.rare.insert((state, class), to);
        }
    }

    /// The sets of texts that it reads without leaving itself, with [`ASKED`] once they are known.
    #[inline]
    pub fn loops(&self, state: StateId) -> u8 {
        self.states[state as usize].loops
    }

    /// Notes them.
    pub fn set_loops(&mut self, state: StateId, sets: u8) {
        self.states[state as usize].loops = sets | ASKED;
    }

    /// Somebody stands on it.
    pub fn pin(&mut self, state: StateId) {
        self.states[state as usize].pins += 1;
    }

    /// Nobody but the others does any more.
    pub fn unpin(&mut self, state: StateId) {
        let pins = &mut self.states[state as usize].pins;
        *pins = pins.saturating_sub(1);
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.states.len() - self.free.len()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.states.len() * (size_of::<State>() + 4 * self.width + 16)
            + self.rare.len() * RARE_BYTES
            + self.threads * size_of::<Thread>()
    }

    /// Drops every state that is neither pinned nor in `also`, and all transitions. Returns the stacks still needed.
    pub fn collect(&mut self, also: &[StateId]) -> Vec<StackId> {
        let mut keep: Vec<bool> = self.states.iter().map(|state| state.pins > 0).collect();
        for state in also {
            keep[*state as usize] = true;
        }
        keep[DEAD as usize] = true;
        let last = keep.iter().rposition(|kept| *kept).unwrap_or(0);
        self.states.truncate(last + 1);
        self.states.shrink_to_fit();
        self.rows.truncate((last + 1) * self.width);
        self.rows.shrink_to_fit();
        self.rows[self.width..].fill(UNKNOWN);
        self.rare.clear();
        self.rare.shrink_to_fit();
        self.known.clear();
        self.known.shrink_to_fit();
        self.free.clear();
        self.threads = 0;
        let mut stacks = Vec::new();
        for (id, kept) in keep.iter().enumerate().take(last + 1).skip(1) {
            if !*kept {
                self.states[id] = State::default();
                self.free.push(id as StateId);
                continue;
            }
            self.states[id].loops = 0;
            let hash = hash(&self.states[id].threads);
            self.states[id].twin = self.known.insert(hash, id as StateId).unwrap_or(DEAD);
            self.threads += self.states[id].threads.len();
            stacks.extend(self.states[id].threads.iter().map(|thread| thread.stack));
        }
        stacks
    }
}
