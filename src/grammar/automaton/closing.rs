//! A way to the end: the bytes that would close a text from where it stands. Found by best-first search over single
//! parse threads (bytes so far plus the distance still to go), so it costs microseconds where nothing is forbidden and
//! goes around what a guard forbids.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Automaton;
use super::distance::FAR;
use super::hash::{Map, Set};
use super::program::{Edge, Node};
use super::states::{StateId, Thread};

/// A thread that the search has come to.
struct Found {
    thread: Thread,
    from: u32,
    /// What was read since: its end in [`Search::bytes`] and its length.
    end: u32,
    length: u32,
    /// What the way so far counts: its bytes, a plan as [`PLAN`] of them.
    cost: u32,
}

/// What the search has come to so far.
#[derive(Default)]
struct Search {
    found: Vec<Found>,
    bytes: Vec<u8>,
    seen: Set<Thread>,
    /// What the guard would try, by its number.
    plans: Map<u32, Arc<[String]>>,
    /// (what it may take in all, the furthest first, the earliest first).
    open: BinaryHeap<(Reverse<u32>, u32, Reverse<usize>)>,
}

/// How much more a byte still to come counts than one read. 1 would find the shortest way and look at everything that
/// is not longer; with more the search goes straight on and turns back only where the guard forbids.
const WEIGHT: u32 = 6;

/// What a plan counts, however long: it is worth more than as many bytes on the off chance.
const PLAN: u32 = 2;

/// What trying a plan counts among the steps of a search.
const PLAN_STEPS: usize = 10;

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

    /// Bytes that lead from a state to where the text may end; none if there is no way, or none was found within so many
    /// steps. Token literals are not tried.
    pub fn completion(&mut self, state: StateId, most_steps: usize) -> Option<Vec<u8>> {
        let mut search = Search::default();
        for thread in self.states.threads(state).to_vec() {
            self.offer(thread, u32::MAX, &[], 0, &mut search);
        }
        let mut steps = 0;
        while let Some((_, _, Reverse(at))) = search.open.pop() {
            let thread = search.found[at].thread;
            if thread.is_end() {
                return Some(search.text(at));
            }
            steps += 1;
            if steps > most_steps {
                return None;
            }
            for plan in self.plans(thread, &mut search).iter() {
                steps += PLAN_STEPS;
                let mut threads = vec![thread];
                for byte in plan.bytes() {
                    let before = std::mem::take(&mut threads);
                    self.read(&before, byte, &mut threads);
                }
                for next in threads {
                    self.offer(next, at as u32, plan.as_bytes(), PLAN, &mut search);
                }
            }
            for byte in self.worth_reading(thread) {
                let mut threads = Vec::new();
                self.read(&[thread], byte, &mut threads);
                for next in threads {
                    self.offer(next, at as u32, &[byte], 1, &mut search);
                }
            }
        }
        None
    }

    /// The texts that the guard would try behind a thread and whose first byte may come there.
    fn plans(&mut self, thread: Thread, search: &mut Search) -> Arc<[String]> {
        let Some(attached) = &mut self.guard else { return Arc::default() };
        let plans = search.plans.entry(thread.guard).or_insert_with(|| attached.guard.plans(thread.guard).into());
        let program = self.grammar.program();
        let Node::Bytes { first, count } = program.nodes[thread.node as usize] else { return Arc::default() };
        let may_begin = |plan: &String| {
            let begins = |edge: &Edge| plan.bytes().next().is_some_and(|byte| (edge.low..=edge.high).contains(&byte));
            program.edges(first, count).iter().any(begins)
        };
        if plans.iter().any(may_begin) { Arc::clone(plans) } else { Arc::default() }
    }

    /// The bytes that the search tries behind a thread: those of names that may come, else one for each edge.
    fn worth_reading(&mut self, thread: Thread) -> Vec<u8> {
        let program = self.grammar.program();
        let Node::Bytes { first, count } = program.nodes[thread.node as usize] else { return Vec::new() };
        let edges = program.edges(first, count);
        let reads = |edge: &Edge, byte: u8| (edge.low..=edge.high).contains(&byte);
        if let Some(mut bytes) = self.guard.as_mut().and_then(|attached| attached.guard.next_bytes(thread.guard)) {
            bytes.retain(|byte| edges.iter().any(|edge| reads(edge, *byte)));
            return bytes;
        }
        let (mut tried, mut bytes) = (Vec::new(), Vec::new());
        for edge in edges {
            if tried.contains(&edge.next) {
                continue;
            }
            tried.push(edge.next);
            let same = |byte: &u8| edges.iter().any(|other| other.next == edge.next && reads(other, *byte));
            bytes.push(PLEASANT.iter().copied().find(same).unwrap_or(edge.low));
        }
        bytes
    }

    /// The threads behind a byte.
    fn read(&mut self, threads: &[Thread], byte: u8, out: &mut Vec<Thread>) {
        for thread in threads {
            let program = self.grammar.program();
            let Node::Bytes { first, count } = program.nodes[thread.node as usize] else { continue };
            let edges = program.edges(first, count);
            let Some(edge) = edges.iter().find(|edge| (edge.low..=edge.high).contains(&byte)) else { continue };
            let mut knows = thread.guard;
            if let Some(attached) = &mut self.guard {
                let Some(told) = attached.guard.byte(byte, knows) else { continue };
                knows = told;
            }
            self.closure.todo.push(Thread { node: edge.next, stack: thread.stack, guard: knows });
        }
        if !self.closure.todo.is_empty()
            && self.closure.run(self.grammar.program(), &mut self.stacks, &mut self.guard).is_ok()
        {
            out.append(&mut self.closure.done);
        }
    }

    fn offer(&mut self, thread: Thread, from: u32, bytes: &[u8], cost: u32, search: &mut Search) {
        if !search.seen.insert(thread) {
            return;
        }
        let distance = self.distance_of(&thread);
        if distance < FAR {
            search.bytes.extend_from_slice(bytes);
            let cost = cost + search.found.get(from as usize).map_or(0, |found| found.cost);
            // A plan is tried at once. Of equally promising ones the one that has come furthest.
            let to_come = if self.plans(thread, search).is_empty() { WEIGHT * distance } else { 0 };
            search.open.push((Reverse(cost + to_come), cost, Reverse(search.found.len())));
            let (end, length) = (search.bytes.len() as u32, bytes.len() as u32);
            search.found.push(Found { thread, from, end, length, cost });
        }
    }
}

impl Search {
    fn text(&self, mut at: usize) -> Vec<u8> {
        let mut pieces: Vec<&[u8]> = Vec::new();
        while let Some(found) = self.found.get(at) {
            pieces.push(&self.bytes[(found.end - found.length) as usize..found.end as usize]);
            at = found.from as usize;
        }
        pieces.reverse();
        pieces.concat()
    }
}
