//! Which tokens may come next: a bit each, found by walking the vocabulary's trie and the automaton together.

use std::collections::VecDeque;

use super::automaton::Automaton;
use super::automaton::states::{DEAD, StateId};
use super::limits;
use super::tokens::{Below, TokenTrie};

/// One bit for each token id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitMask {
    words: Vec<u64>,
    size: usize,
}

impl BitMask {
    /// No token of `size`.
    pub fn new(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)], size }
    }

    /// Number of tokens, set or not.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether a token is in it.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Puts a token in; ids beyond the size are left out.
    pub fn insert(&mut self, id: u32) {
        if (id as usize) < self.size {
            self.words[id as usize / 64] |= 1 << (id % 64);
        }
    }

    /// Takes a token out.
    pub fn remove(&mut self, id: u32) {
        if (id as usize) < self.size {
            self.words[id as usize / 64] &= !(1 << (id % 64));
        }
    }

    /// Number of tokens in it.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The tokens in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    fn reset(&mut self, size: usize) {
        self.words.clear();
        self.words.resize(size.div_ceil(64), 0);
        self.size = size;
    }

    fn fill(&mut self) {
        self.words.fill(u64::MAX);
        if !self.size.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last = (1 << (self.size % 64)) - 1;
        }
    }
}

/// Masks found so far.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// (vocabulary, state) → mask, and whether it was used since its turn last came.
    known: std::collections::HashMap<(u64, StateId), (BitMask, bool)>,
    turns: VecDeque<(u64, StateId)>,
    /// State numbers are reused after a collection.
    collections: u64,
}

impl Masks {
    pub(super) fn get(&mut self, automaton: &mut Automaton, trie: &TokenTrie, state: StateId, mask: &mut BitMask) {
        self.forget_if_stale(automaton);
        let key = (trie.identity(), state);
        if let Some((known, used)) = self.known.get_mut(&key) {
            *used = true;
            mask.clone_from(known);
            return;
        }
        automaton.make_room(&[state]);
        compute(automaton, trie, state, mask);
        self.forget_if_stale(automaton);
        while self.turns.len() >= limits::MASKS {
            let Some(oldest) = self.turns.pop_front() else { break };
            match self.known.get_mut(&oldest) {
                Some((_, used)) if *used => {
                    *used = false;
                    self.turns.push_back(oldest);
                }
                _ => {
                    self.known.remove(&oldest);
                }
            }
        }
        self.known.insert(key, (mask.clone(), false));
        self.turns.push_back(key);
    }

    fn forget_if_stale(&mut self, automaton: &Automaton) {
        if self.collections != automaton.collections {
            self.collections = automaton.collections;
            self.known.clear();
            self.turns.clear();
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.known.values().map(|(mask, _)| mask.words.len() * 8 + 48).sum()
    }
}

fn compute(automaton: &mut Automaton, trie: &TokenTrie, state: StateId, mask: &mut BitMask) {
    mask.reset(trie.size());
    let literals = automaton.literals(state);
    if literals.iter().any(|(_, negated)| *negated) {
        // Any token but those that every negated literal names.
        mask.fill();
        for id in literals.iter().filter(|(_, negated)| *negated).filter_map(|(id, _)| *id) {
            if literals.iter().all(|(other, negated)| !*negated || *other == Some(id)) {
                mask.remove(id);
            }
        }
    }
    for id in literals.iter().filter(|(_, negated)| !*negated).filter_map(|(id, _)| *id) {
        mask.insert(id);
    }
    let veiled = automaton.veiled(state);
    walk(automaton, trie, veiled, mask);
    let may_end = automaton.states().can_end(state);
    for id in trie.ends() {
        if may_end { mask.insert(*id) } else { mask.remove(*id) }
    }
}

/// Trie and automaton together, without recursion: a branch that the automaton leaves is skipped whole, one that it only
/// runs around in (the rest of a free name, of a string) is taken whole.
fn walk(automaton: &mut Automaton, trie: &TokenTrie, state: StateId, mask: &mut BitMask) {
    let nodes = trie.nodes();
    // Where the branch of each open node ends, and the state there.
    let mut open: Vec<(usize, StateId)> = vec![(nodes.len(), state)];
    let (mut end, mut here) = (nodes.len(), state);
    let mut at = 0;
    while at < nodes.len() {
        while at >= end {
            open.pop();
            let Some(top) = open.last() else { return };
            (end, here) = *top;
        }
        let node = nodes[at];
        let to = automaton.step(here, node.byte());
        if to == DEAD {
            at += node.length();
            continue;
        }
        if node.length() > 1 {
            // Whether a state runs around is asked where it was seen to do so once.
            let loops = if to == here { automaton.loops(to) } else { automaton.known_loops(to) };
            if [Below::Word, Below::Text].into_iter().any(|set| loops & set as u8 != 0 && trie.is_below(at, set)) {
                for id in trie.branch(at) {
                    mask.insert(*id);
                }
                at += node.length();
                continue;
            }
        }
        if let Some(id) = node.token() {
            mask.insert(id);
        }
        if node.length() > 1 {
            (end, here) = (at + node.length(), to);
            open.push((end, here));
            if automaton.is_over() {
                let states: Vec<StateId> = open.iter().map(|(_, state)| *state).collect();
                automaton.make_room(&states);
            }
        }
        at += 1;
    }
    for (first, other) in trie.twins() {
        if mask.contains(*first) {
            mask.insert(*other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_set() {
        let mut mask = BitMask::new(130);
        for id in [0, 63, 64, 129, 130] {
            mask.insert(id);
        }
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        mask.remove(64);
        assert_eq!((mask.count(), mask.contains(64), mask.contains(63)), (3, false, true));
        mask.fill();
        assert_eq!((mask.count(), mask.iter().last()), (130, Some(129)));
    }
}
