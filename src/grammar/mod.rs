//! Grammars: GBNF read as llama.cpp reads it, walked byte by byte, and asked which token may come next.
//!
//! ```
//! use std::sync::Arc;
//! use expert_cli::grammar::{Grammar, Matcher};
//!
//! let grammar = Arc::new(Grammar::parse("root ::= \"SELECT \" [a-z]{1,62}")?);
//! let mut matcher = Matcher::new(grammar);
//! assert!(matcher.advance(b"SEL") && !matcher.accepts_bytes(b"x"));
//! assert!(matcher.advance(b"ECT name") && matcher.can_end());
//! matcher.rollback(1);
//! assert!(!matcher.can_end());
//! # Ok::<(), expert_cli::grammar::GrammarError>(())
//! ```
//!
//! [`Grammar::parse`] reads and checks a text; a [`Matcher`] follows one answer (clones share everything found so far:
//! beams); a [`TokenTrie`] holds a vocabulary's bytes; [`examine()`] says where a text leaves a grammar.
//!
//! Inside: `gbnf` is the text, `automaton` the walk. A state of the automaton is a set of parse threads; a thread is a
//! place in the grammar, a shared stack of what it goes back to (called rules, rounds of counted repetitions) and one
//! number that belongs to a [`Guard`]. **The door for the schema guard** is that number: [`Matcher::with_guard`] attaches
//! a [`Guard`] that is told when a thread enters and leaves the rules it names (`table-name`, `column-name`, …) and of
//! each byte, and may end the thread. Names live in the guard, never in grammar states; the shipped grammars keep them
//! in rules of their own for that purpose.
//!
//! Refuses: recursion on input, unbounded memory (all bounds stand in [`limits`]), tensors, sampling.

mod automaton;
mod examine;
mod gbnf;
pub mod guard;
pub mod limits;
mod mask;
mod matcher;
mod schema_guard;
mod shipped;
mod tokens;

pub use examine::{Expected, Verdict, examine, examine_tokens, examine_with};
pub use gbnf::error::{GrammarError, line_column};
pub use guard::Guard;
pub use mask::BitMask;
pub use matcher::Matcher;
pub use schema_guard::SchemaGuard;
pub use shipped::{SHIPPED, shipped};
pub use tokens::{TokenTrie, Vocabulary};

use automaton::program::Program;
use gbnf::syntax::{RuleId, TokenName};

/// A grammar, read, checked and compiled. Share it in an `Arc`.
#[derive(Debug)]
pub struct Grammar {
    program: Program,
    /// Names of the rules by number; groups have none.
    names: Vec<String>,
    root: RuleId,
    /// The ids of the token literals, where known.
    token_ids: Vec<Option<u32>>,
}

impl Grammar {
    /// Reads a grammar.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let syntax = gbnf::read::read(text)?;
        let root = gbnf::check::check(text, &syntax)?;
        let program = automaton::compile::compile(text, &syntax)?;
        let token_ids = program
            .tokens
            .iter()
            .map(|token| match token {
                TokenName::Id(id) => Some(*id),
                TokenName::Text(_) => None,
            })
            .collect();
        let names = syntax.rules.into_iter().map(|rule| rule.name).collect();
        Ok(Self { program, names, root, token_ids })
    }

    /// Finds the ids of token literals written as text (`<think>`). Returns the texts that are no single token of the
    /// vocabulary: nothing will ever match those, and anything their negation.
    pub fn bind_tokens(&mut self, id: impl Fn(&str) -> Option<u32>) -> Vec<String> {
        let mut unknown = Vec::new();
        for (token, known) in self.program.tokens.iter().zip(&mut self.token_ids) {
            if let TokenName::Text(text) = token {
                *known = id(text);
                if known.is_none() {
                    unknown.push(text.clone());
                }
            }
        }
        unknown
    }

    /// Whether it has token literals.
    pub fn has_tokens(&self) -> bool {
        !self.token_ids.is_empty()
    }

    /// The names of its rules, in the order of first mention.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Number of compiled nodes.
    pub fn node_count(&self) -> usize {
        self.program.nodes.len()
    }

    /// Number of classes of bytes that it does not tell apart.
    pub fn class_count(&self) -> usize {
        self.program.class_count
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.program.memory() + self.names.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>()
    }

    pub(in crate::grammar) fn program(&self) -> &Program {
        &self.program
    }

    pub(in crate::grammar) fn root(&self) -> RuleId {
        self.root
    }

    pub(in crate::grammar) fn token_id(&self, token: u32) -> Option<u32> {
        self.token_ids[token as usize]
    }

    pub(in crate::grammar) fn rule_named(&self, name: &str) -> Option<RuleId> {
        self.names.iter().position(|own| own == name && !own.is_empty()).map(|id| id as RuleId)
    }

    pub(in crate::grammar) fn rule_name(&self, rule: RuleId) -> &str {
        &self.names[rule as usize]
    }
}

#[cfg(test)]
mod tests;
