//! How far it is to the end: the fewest bytes that a thread must still read, knowing nothing of what a guard forbids.

use super::program::{Node, NodeId, Program, RETURN};
use super::stack::{BOTTOM, Stacks};
use super::states::Thread;

/// No way to the end by bytes alone: only through a token literal.
pub const FAR: u32 = 1 << 24;

/// Fewest bytes from each node to the end of its rule.
#[derive(Debug, Default)]
pub struct Distances {
    own: Vec<u32>,
    /// Where a guard wants a clause in a rule: the fewest bytes to the rule's end through that clause.
    through: Vec<u32>,
    /// The rule that the clause belongs to.
    scope: Option<u32>,
}

impl Distances {
    /// Distances of a program; `clause` is (a rule, a rule that it calls): see [`crate::grammar::Guard::clause`].
    pub fn new(program: &Program, clause: Option<(u32, u32)>) -> Self {
        let mut own = vec![FAR; program.nodes.len()];
        own[RETURN as usize] = 0;
        settle(program, &mut own);
        let mut through = Vec::new();
        if let Some((scope, wanted)) = clause {
            through = vec![FAR; program.nodes.len()];
            // Calls of other rules on the way: their length comes from `own`.
            let mut changed = true;
            while changed {
                changed = false;
                for node in (0..program.nodes.len()).filter(|node| program.owners[*node] == scope) {
                    let found = match program.nodes[node] {
                        Node::Call { rule, next } if rule == wanted => {
                            own[program.entries[rule as usize] as usize].saturating_add(own[next as usize])
                        }
                        Node::Call { rule, next } => {
                            own[program.entries[rule as usize] as usize].saturating_add(through[next as usize])
                        }
                        other => step(program, other, &through),
                    };
                    if found < through[node] {
                        through[node] = found;
                        changed = true;
                    }
                }
            }
        }
        Self { own, through, scope: clause.map(|(scope, _)| scope) }
    }

    /// Fewest bytes that a thread must still read. `owes` tells, innermost first, which of the rules it stands in that
    /// may hold the guard's clause must still get it.
    pub fn of(&self, program: &Program, stacks: &Stacks, thread: &Thread, owes: &[bool]) -> u32 {
        let mut owes = owes.iter();
        let mut place = |node: NodeId| {
            let own = self.own[node as usize];
            if self.scope == Some(program.owners[node as usize]) && node != RETURN {
                // Behind the clause, and at the rule's end, the guard has nothing to say.
                let through = self.through[node as usize];
                if through < FAR && owes.next() == Some(&true) {
                    return through;
                }
            }
            own
        };
        let mut distance = place(thread.node);
        let mut stack = thread.stack;
        while stack != BOTTOM {
            let frame = stacks.top(stack);
            distance += match program.nodes[frame.node as usize] {
                Node::Again { index } => {
                    let counted = &program.loops[index as usize];
                    let round = self.own[counted.body as usize].saturating_sub(self.own[counted.next as usize]);
                    counted.min.saturating_sub(frame.tag + 1).saturating_mul(round)
                }
                _ => place(frame.node),
            };
            distance = distance.min(FAR);
            stack = frame.under;
        }
        distance
    }
}

/// What a node's successors say of it.
fn step(program: &Program, node: Node, known: &[u32]) -> u32 {
    match node {
        Node::Return => 0,
        Node::Bytes { first, count } => {
            let nearest = program.edges(first, count).iter().map(|edge| known[edge.next as usize]).min();
            nearest.map_or(FAR, |nearest| (nearest + 1).min(FAR))
        }
        Node::Split { first, count } => {
            let choices = &program.choices[first as usize..(first + count) as usize];
            choices.iter().map(|node| known[*node as usize]).min().unwrap_or(FAR)
        }
        Node::Call { rule, next } => (known[program.entries[rule as usize] as usize] + known[next as usize]).min(FAR),
        Node::Enter { index } => {
            let counted = &program.loops[index as usize];
            let (body, next) = (known[counted.body as usize], known[counted.next as usize]);
            match counted.min {
                0 => next,
                min => body.saturating_add((min - 1).saturating_mul(body.saturating_sub(next))).min(FAR),
            }
        }
        Node::Again { index } => known[program.loops[index as usize].next as usize],
        Node::Token { .. } => FAR,
    }
}

/// Repeats [`step`] until nothing comes nearer.
fn settle(program: &Program, known: &mut [u32]) {
    let mut changed = true;
    while changed {
        changed = false;
        for at in 0..program.nodes.len() {
            let found = step(program, program.nodes[at], known);
            if found < known[at] {
                known[at] = found;
                changed = true;
            }
        }
    }
}
