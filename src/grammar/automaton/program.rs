//! A grammar as nodes between bytes: what the automaton walks on. Rules are called, so recursion costs no nodes;
//! repetitions count, so bounds cost none either.

use crate::grammar::gbnf::syntax::{RuleId, TokenName};

/// A place between two bytes; an index into [`Program::nodes`].
pub type NodeId = u32;

/// The node where a rule ends.
pub const RETURN: NodeId = 0;

/// What can happen at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// The rule ends: on with whoever called it.
    Return,
    /// A byte is read: the edges from `first`, disjoint and sorted.
    Bytes {
        /// Index of the first edge.
        first: u32,
        /// Number of edges; 0 can never be passed.
        count: u32,
    },
    /// On with each of these nodes, nothing read: indices from `first` in [`Program::choices`].
    Split {
        /// Index of the first choice.
        first: u32,
        /// Number of choices.
        count: u32,
    },
    /// Through a rule, then on at `next`.
    Call {
        /// The rule.
        rule: RuleId,
        /// Where it goes on.
        next: NodeId,
    },
    /// Into a counted repetition.
    Enter {
        /// Index into [`Program::loops`].
        index: u32,
    },
    /// One round of a counted repetition is done.
    Again {
        /// Index into [`Program::loops`].
        index: u32,
    },
    /// A whole token is read.
    Token {
        /// Index into [`Program::tokens`].
        token: u32,
        /// Any token but that one.
        negated: bool,
        /// Where it goes on.
        next: NodeId,
    },
}

/// Bytes from `low` to `high` lead to `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// First byte.
    pub low: u8,
    /// Last byte.
    pub high: u8,
    /// Where they lead.
    pub next: NodeId,
}

/// A counted repetition.
#[derive(Debug, Clone, Copy)]
pub struct Loop {
    /// Least number of rounds; 0 where a round may be empty, for empty rounds can fill up any number.
    pub min: u32,
    /// Greatest number of rounds, or `UNBOUNDED`.
    pub max: u32,
    /// A round begins here and ends at `again`.
    pub body: NodeId,
    /// The [`Node::Again`] of this loop.
    pub again: NodeId,
    /// Behind the repetition.
    pub next: NodeId,
}

/// A compiled grammar.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// All nodes; [`RETURN`] is the first.
    pub nodes: Vec<Node>,
    /// The named rule that each node belongs to.
    pub owners: Vec<RuleId>,
    /// Edges of the byte nodes.
    pub edges: Vec<Edge>,
    /// Choices of the splits.
    pub choices: Vec<NodeId>,
    /// Counted repetitions.
    pub loops: Vec<Loop>,
    /// Token literals.
    pub tokens: Vec<TokenName>,
    /// Where each rule begins; groups have no entry of their own.
    pub entries: Vec<NodeId>,
    /// Bytes that no edge tells apart share a class.
    pub classes: Vec<u8>,
    /// Number of classes.
    pub class_count: usize,
}

impl Program {
    /// The edges of a byte node.
    pub fn edges(&self, first: u32, count: u32) -> &[Edge] {
        &self.edges[first as usize..(first + count) as usize]
    }

    /// Gives bytes their classes once all edges are there.
    pub(super) fn classify(&mut self) {
        let mut starts = [false; 257];
        for edge in &self.edges {
            starts[usize::from(edge.low)] = true;
            starts[usize::from(edge.high) + 1] = true;
        }
        let mut class = 0usize;
        self.classes = (0..256)
            .map(|byte| {
                class += usize::from(byte > 0 && starts[byte]);
                class as u8
            })
            .collect();
        self.class_count = class + 1;
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.nodes.len() * (size_of::<Node>() + 4)
            + self.edges.len() * size_of::<Edge>()
            + self.choices.len() * 4
            + self.loops.len() * size_of::<Loop>()
            + self.entries.len() * 4
    }
}
