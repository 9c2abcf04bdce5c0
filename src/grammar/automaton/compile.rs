//! [`Syntax`] → [`Program`], from the end of each definition to its beginning, so that every node knows its successor.

use std::collections::HashMap;

use super::program::{Edge, Loop, Node, NodeId, Program, RETURN};
use super::utf8::{ByteRange, normalise, sequences};
use crate::grammar::gbnf::check::empty_items;
use crate::grammar::gbnf::error::GrammarError;
use crate::grammar::gbnf::syntax::{Item, ItemId, RuleId, Sequence, Syntax, TokenName, UNBOUNDED};
use crate::grammar::limits;

/// A class repeated at most this often is written out: cheaper to walk than a counter.
const WRITTEN_OUT: u32 = 4;

/// Compiles a checked grammar; fails only where it is too large.
pub fn compile(text: &str, syntax: &Syntax) -> Result<Program, GrammarError> {
    let mut compiler = Compiler {
        syntax,
        program: Program::default(),
        empty: empty_items(syntax),
        owner: 0,
        known: HashMap::new(),
        tokens: HashMap::new(),
    };
    compiler.program.nodes.push(Node::Return);
    compiler.program.owners.push(0);
    compiler.program.entries = vec![RETURN; syntax.rules.len()];
    for (id, rule) in syntax.rules.iter().enumerate().filter(|(_, rule)| !rule.name.is_empty()) {
        let Some(body) = &rule.body else { continue };
        compiler.owner = id as RuleId;
        compiler.known.clear();
        compiler.program.entries[id] = compiler.alternatives(&body.alternatives, RETURN);
        if compiler.program.nodes.len() > limits::NODES {
            let what = format!("the grammar compiles to more than {} nodes", limits::NODES);
            return Err(GrammarError::at(text, body.offset, what, "use fewer or shorter literals and classes"));
        }
    }
    compiler.program.classify();
    Ok(compiler.program)
}

/// What makes two nodes of one rule the same.
#[derive(PartialEq, Eq, Hash)]
enum Shape {
    Node(Node),
    Bytes(Vec<Edge>),
    Split(Vec<NodeId>),
}

struct Compiler<'a> {
    syntax: &'a Syntax,
    program: Program,
    empty: Vec<bool>,
    owner: RuleId,
    /// Nodes of the rule at hand: equal ones are made once.
    known: HashMap<Shape, NodeId>,
    tokens: HashMap<TokenName, u32>,
}

impl Compiler<'_> {
    fn new_node(&mut self, node: Node) -> NodeId {
        self.program.nodes.push(node);
        self.program.owners.push(self.owner);
        (self.program.nodes.len() - 1) as NodeId
    }

    fn node(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.known.get(&Shape::Node(node)) {
            return *id;
        }
        let id = self.new_node(node);
        self.known.insert(Shape::Node(node), id);
        id
    }

    fn bytes(&mut self, edges: Vec<Edge>) -> NodeId {
        if let Some(id) = self.known.get(&Shape::Bytes(edges.clone())) {
            return *id;
        }
        let first = self.program.edges.len() as u32;
        self.program.edges.extend_from_slice(&edges);
        let id = self.new_node(Node::Bytes { first, count: edges.len() as u32 });
        self.known.insert(Shape::Bytes(edges), id);
        id
    }

    fn split(&mut self, mut choices: Vec<NodeId>) -> NodeId {
        choices.sort_unstable();
        choices.dedup();
        if let [only] = choices[..] {
            return only;
        }
        if let Some(id) = self.known.get(&Shape::Split(choices.clone())) {
            return *id;
        }
        let first = self.program.choices.len() as u32;
        self.program.choices.extend_from_slice(&choices);
        let id = self.new_node(Node::Split { first, count: choices.len() as u32 });
        self.known.insert(Shape::Split(choices), id);
        id
    }

    fn alternatives(&mut self, alternatives: &[Sequence], next: NodeId) -> NodeId {
        let starts = alternatives.iter().map(|sequence| self.sequence(sequence, next)).collect();
        self.split(starts)
    }

    fn sequence(&mut self, sequence: &[ItemId], next: NodeId) -> NodeId {
        sequence.iter().rev().fold(next, |next, item| self.item(*item, next))
    }

    /// The node in front of an item that goes on at `next`. Recursion is as deep as parentheses and quantifiers nest,
    /// which the reader bounds.
    fn item(&mut self, id: ItemId, next: NodeId) -> NodeId {
        let syntax = self.syntax;
        match &syntax.items[id as usize] {
            Item::Literal(points) => points.iter().rev().fold(next, |next, c| self.class(&[(*c, *c)], false, next)),
            Item::Class { ranges, negated } => self.class(ranges, *negated, next),
            Item::Any => self.class(&[], true, next),
            Item::Rule(rule) => self.node(Node::Call { rule: *rule, next }),
            Item::Group(rule) => match &syntax.rules[*rule as usize].body {
                Some(body) => self.alternatives(&body.alternatives, next),
                None => next,
            },
            Item::Token { token, negated } => {
                let fresh = self.program.tokens.len() as u32;
                let index = *self.tokens.entry(token.clone()).or_insert(fresh);
                if index == fresh {
                    self.program.tokens.push(token.clone());
                }
                self.node(Node::Token { token: index, negated: *negated, next })
            }
            Item::Repeat { item, min, max } => self.repeat(*item, *min, *max, next),
        }
    }

    fn repeat(&mut self, item: ItemId, min: u32, max: u32, next: NodeId) -> NodeId {
        let single = matches!(self.syntax.items[item as usize], Item::Class { .. } | Item::Any | Item::Literal(_));
        match (min, max) {
            (0, 1) => {
                let once = self.item(item, next);
                self.split(vec![once, next])
            }
            (0 | 1, UNBOUNDED) => {
                // The split stands before the body is known; its choices are filled in afterwards.
                let first = self.program.choices.len() as u32;
                self.program.choices.extend([next, next]);
                let again = self.new_node(Node::Split { first, count: 2 });
                let body = self.item(item, again);
                self.program.choices[first as usize] = body;
                if min == 0 { again } else { body }
            }
            (_, max) if single && max <= WRITTEN_OUT => {
                let mut at = next;
                for round in (0..max).rev() {
                    at = self.item(item, at);
                    if round >= min {
                        at = self.split(vec![at, next]);
                    }
                }
                at
            }
            _ => {
                let index = self.program.loops.len() as u32;
                let again = self.new_node(Node::Again { index });
                let min = if self.empty[item as usize] { 0 } else { min };
                self.program.loops.push(Loop { min, max, body: RETURN, again, next });
                let body = self.item(item, again);
                self.program.loops[index as usize].body = body;
                self.new_node(Node::Enter { index })
            }
        }
    }

    fn class(&mut self, ranges: &[(u32, u32)], negated: bool, next: NodeId) -> NodeId {
        let all: Vec<Vec<ByteRange>> =
            normalise(ranges, negated).into_iter().flat_map(|(low, high)| sequences(low, high)).collect();
        let all: Vec<&[ByteRange]> = all.iter().map(Vec::as_slice).collect();
        self.byte_sequences(&all, next)
    }

    /// A tree over sequences that come in order: those that begin alike stand side by side. At most four levels.
    fn byte_sequences(&mut self, all: &[&[ByteRange]], next: NodeId) -> NodeId {
        let mut edges: Vec<Edge> = Vec::new();
        let mut rest = all;
        while let Some((low, high)) = rest.first().and_then(|sequence| sequence.first()).copied() {
            let same = rest.iter().take_while(|sequence| sequence.first() == Some(&(low, high))).count();
            let tails: Vec<&[ByteRange]> = rest[..same].iter().map(|sequence| &sequence[1..]).collect();
            let target = if tails[0].is_empty() { next } else { self.byte_sequences(&tails, next) };
            match edges.last_mut() {
                Some(last) if last.next == target && last.high.checked_add(1) == Some(low) => last.high = high,
                _ => edges.push(Edge { low, high, next: target }),
            }
            rest = &rest[same..];
        }
        self.bytes(edges)
    }
}
