//! What can be reached without reading: from where threads land to where they next read a byte, a token, or may end.

use super::hash::{Map, Set};
use super::program::{Node, NodeId, Program, RETURN};
use super::stack::{BOTTOM, Frame, StackId, Stacks};
use super::states::Thread;
use crate::grammar::gbnf::syntax::UNBOUNDED;
use crate::grammar::guard::Attached;
use crate::grammar::limits;

/// Working memory of one move, kept between moves.
#[derive(Debug, Default)]
pub struct Closure {
    /// Threads to follow.
    pub todo: Vec<Thread>,
    /// Threads that arrived, sorted when [`Closure::run`] is done.
    pub done: Vec<Thread>,
    seen: Set<Thread>,
    /// (loop, stack under it, guard) → fewest rounds done, once those suffice: more rounds can do nothing more.
    rounds: Map<(u32, StackId, u32), u32>,
}

/// The move needed more threads or steps than the limits allow.
#[derive(Debug)]
pub struct Exceeded;

impl Closure {
    /// Follows `todo`; the result is in `done`.
    pub fn run(
        &mut self,
        program: &Program,
        stacks: &mut Stacks,
        guard: &mut Option<Attached>,
    ) -> Result<(), Exceeded> {
        self.done.clear();
        self.seen.clear();
        self.rounds.clear();
        let mut steps = 0usize;
        while let Some(thread) = self.todo.pop() {
            steps += 1;
            if steps > limits::CLOSURE_STEPS || self.done.len() > 4 * limits::THREADS {
                self.todo.clear();
                return Err(Exceeded);
            }
            let Thread { node, stack, guard: knows } = thread;
            match program.nodes[node as usize] {
                Node::Bytes { .. } | Node::Token { .. } => {
                    if self.seen.insert(thread) {
                        self.done.push(thread);
                    }
                }
                Node::Split { first, count } => {
                    if self.seen.insert(thread) {
                        let choices = &program.choices[first as usize..(first + count) as usize];
                        self.todo.extend(choices.iter().map(|node| Thread { node: *node, ..thread }));
                    }
                }
                Node::Call { rule, next } => {
                    if !self.seen.insert(thread) {
                        continue;
                    }
                    let (mut knows, mut tag) = (knows, 0);
                    if let Some(attached) = guard
                        && let Some(hook) = attached.hook(rule)
                    {
                        let Some(entered) = attached.guard.enter(hook, knows) else { continue };
                        (knows, tag) = (entered, 1 + rule);
                    }
                    // A rule at the very end of another goes back where that one would have.
                    let stack = if next == RETURN && tag == 0 {
                        stack
                    } else {
                        stacks.push(Frame { node: next, tag, under: stack })
                    };
                    self.todo.push(Thread { node: program.entries[rule as usize], stack, guard: knows });
                }
                Node::Return if stack == BOTTOM => {
                    let ends = guard.as_mut().is_none_or(|attached| attached.guard.may_end(knows));
                    if ends && self.seen.insert(thread) {
                        self.done.push(thread);
                    }
                }
                Node::Return => {
                    if !self.seen.insert(thread) {
                        continue;
                    }
                    let frame = stacks.top(stack);
                    let mut knows = knows;
                    if frame.tag > 0
                        && let Some(attached) = guard
                        && let Some(hook) = attached.hook(frame.tag - 1)
                    {
                        let Some(left) = attached.guard.exit(hook, knows) else { continue };
                        knows = left;
                    }
                    self.todo.push(Thread { node: frame.node, stack: frame.under, guard: knows });
                }
                Node::Enter { index } => self.rounds(program, stacks, index, 0, Thread { node, stack, guard: knows }),
                Node::Again { index } => {
                    let frame = stacks.top(stack);
                    let counted = &program.loops[index as usize];
                    // Without an upper bound, rounds beyond the minimum are all alike.
                    let done = if counted.max == UNBOUNDED { (frame.tag + 1).min(counted.min) } else { frame.tag + 1 };
                    self.rounds(program, stacks, index, done, Thread { node, stack: frame.under, guard: knows });
                }
            }
        }
        self.drop_dominated(program, stacks);
        self.done.sort_unstable();
        if self.done.len() > limits::THREADS { Err(Exceeded) } else { Ok(()) }
    }

    /// `done` rounds of a loop are behind the thread, which stands on what lies under the loop.
    fn rounds(&mut self, program: &Program, stacks: &mut Stacks, index: u32, done: u32, thread: Thread) {
        let counted = &program.loops[index as usize];
        if done >= counted.min {
            match self.rounds.get_mut(&(index, thread.stack, thread.guard)) {
                Some(fewest) if *fewest <= done => return,
                Some(fewest) => *fewest = done,
                None => {
                    self.rounds.insert((index, thread.stack, thread.guard), done);
                }
            }
            self.todo.push(Thread { node: counted.next, ..thread });
        }
        if done < counted.max {
            let stack = stacks.push(Frame { node: counted.again, tag: done, under: thread.stack });
            self.todo.push(Thread { node: counted.body, stack, ..thread });
        }
    }

    /// Of threads at one place in one loop, those with more rounds behind them can do nothing that the one with the
    /// fewest cannot, as soon as each has enough: `([a-z]{0,62} " "?){0,62}` stays small.
    fn drop_dominated(&mut self, program: &Program, stacks: &Stacks) {
        if program.loops.is_empty() || self.done.len() < 2 {
            return;
        }
        let key = |thread: &Thread| {
            if thread.stack == BOTTOM {
                return None;
            }
            let frame = stacks.top(thread.stack);
            match program.nodes[frame.node as usize] {
                Node::Again { index } if frame.tag + 1 >= program.loops[index as usize].min => {
                    Some(((thread.node, index, frame.under, thread.guard), frame.tag))
                }
                _ => None,
            }
        };
        let mut fewest: Map<(NodeId, u32, StackId, u32), u32> = Map::default();
        let mut several = false;
        for (key, rounds) in self.done.iter().filter_map(key) {
            fewest
                .entry(key)
                .and_modify(|least| {
                    several = true;
                    *least = rounds.min(*least);
                })
                .or_insert(rounds);
        }
        if several {
            self.done.retain(|thread| key(thread).is_none_or(|(key, rounds)| fewest.get(&key) == Some(&rounds)));
        }
    }
}
