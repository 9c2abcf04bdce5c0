//! A way to the end: the bytes that would close a text from where it stands. Found by best-first search over single
//! parse threads (bytes so far plus the distance still to go), so it costs microseconds where nothing is forbidden and
//! goes around what a guard forbids.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Automaton;
use super::distance::FAR;
use super::hash::Set;
use super::program::Node;
use super::states::{StateId, Thread};
use crate::grammar::limits;

/// A thread that the search has come to.
struct Found {
    thread: Thread,
    from: u32,
    byte: u8,
    read: u32,
}

/// How much more a byte still to come counts than one read. 1 would find the shortest way and look at everything that
/// is not longer; with more the search goes straight on and turns back only where the guard forbids.
const WEIGHT: u32 = 6;

/// Bytes that stand for a range when any will do: readable ones first.
const PLEASANT: &[u8] = b" x1SAEFNOT(),;'\"";

impl Automaton {
    /// Fewest bytes to the end from a state, as far as the grammar alone tells (and what its guard owes).
    pub fn distance(&self, state: StateId) -> u32 {
        self.states.threads(state).iter().map(|thread| self.distance_of(thread)).min().unwrap_or(FAR)
    }

    fn distance_of(&self, thread: &Thread) -> u32 {
        let (mut owes, mut more) = (Vec::new(), 0);
        if let Some(attached) = &self.guard {
            more = attached.guard.owes(thread.guard, &mut owes);
        }
        self.distances.of(self.grammar.program(), &self.stacks, thread, &owes).saturating_add(more)
    }

    /// Bytes that lead from a state to where the text may end; none if there is no way, or none was found within
    /// [`limits::CLOSING_STEPS`]. Token literals are not tried.
    pub fn completion(&mut self, state: StateId) -> Option<Vec<u8>> {
        let mut found: Vec<Found> = Vec::new();
        let mut seen: Set<Thread> = Set::default();
        let mut open: BinaryHeap<(Reverse<u32>, u32, Reverse<usize>)> = BinaryHeap::new();
        for thread in self.states.threads(state).to_vec() {
            self.offer(Found { thread, from: u32::MAX, byte: 0, read: 0 }, &mut found, &mut seen, &mut open);
        }
        let mut steps = 0;
        while let Some((_, _, Reverse(at))) = open.pop() {
            let Found { thread, read, .. } = found[at];
            if thread.is_end() {
                return Some(text(&found, at));
            }
            steps += 1;
            if steps > limits::CLOSING_STEPS {
                return None;
            }
            let Node::Bytes { first, count } = self.grammar.program().nodes[thread.node as usize] else { continue };
            let edges = self.grammar.program().edges(first, count).to_vec();
            let wanted = self.guard.as_mut().and_then(|attached| attached.guard.next_bytes(thread.guard));
            let mut tried = Vec::new();
            for edge in &edges {
                let mut within: Vec<u8> = match &wanted {
                    Some(bytes) => bytes.iter().copied().filter(|b| (edge.low..=edge.high).contains(b)).collect(),
                    None => Vec::new(),
                };
                if wanted.is_none() && !tried.contains(&edge.next) {
                    tried.push(edge.next);
                    let same = || edges.iter().filter(|other| other.next == edge.next);
                    let reads = |b: &u8| same().any(|other| (other.low..=other.high).contains(b));
                    within.push(PLEASANT.iter().copied().find(reads).unwrap_or(edge.low));
                }
                for byte in within {
                    let mut knows = thread.guard;
                    if let Some(attached) = &mut self.guard {
                        let Some(told) = attached.guard.byte(byte, knows) else { continue };
                        knows = told;
                    }
                    self.closure.todo.push(Thread { node: edge.next, stack: thread.stack, guard: knows });
                    if self.closure.run(self.grammar.program(), &mut self.stacks, &mut self.guard).is_err() {
                        continue;
                    }
                    for next in std::mem::take(&mut self.closure.done) {
                        let next = Found { thread: next, from: at as u32, byte, read: read + 1 };
                        self.offer(next, &mut found, &mut seen, &mut open);
                    }
                }
            }
        }
        None
    }

    fn offer(
        &self,
        next: Found,
        found: &mut Vec<Found>,
        seen: &mut Set<Thread>,
        open: &mut BinaryHeap<(Reverse<u32>, u32, Reverse<usize>)>,
    ) {
        if !seen.insert(next.thread) {
            return;
        }
        let distance = self.distance_of(&next.thread);
        if distance < FAR {
            // Of equally promising ones the one that has come furthest.
            open.push((Reverse(next.read + WEIGHT * distance), next.read, Reverse(found.len())));
            found.push(next);
        }
    }
}

fn text(found: &[Found], mut at: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Found { from, byte, .. }) = found.get(at).filter(|found| found.from != u32::MAX) {
        bytes.push(*byte);
        at = *from as usize;
    }
    bytes.reverse();
    bytes
}
