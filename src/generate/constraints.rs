//! The grammar of all answers of a conversation and the vocabulary it is asked about, shared by every answer.

use std::sync::Arc;

use super::constraint::Constraint;
use crate::grammar::{Grammar, Matcher, TokenTrie};
use crate::sql::Schema;

/// A grammar bound to a vocabulary.
#[derive(Debug)]
pub struct Constraints {
    /// What answers are asked to be, for people: `sql-sqlite`, a file.
    pub name: String,
    pub(super) trie: Arc<TokenTrie>,
    /// Never moved: answers begin as its copies and so share what is found.
    pub(super) plain: Matcher,
    /// Ids of tags that may open a thinking block before the answer.
    pub(super) opening: Vec<u32>,
}

impl Constraints {
    /// A grammar (its token literals bound) and a vocabulary. `opening`: ids that may come before the text.
    pub fn new(name: impl Into<String>, grammar: Arc<Grammar>, trie: Arc<TokenTrie>, opening: Vec<u32>) -> Self {
        Self { name: name.into(), trie, plain: Matcher::new(grammar), opening }
    }

    /// The constraint of one answer about these tables.
    pub fn answer(&self, _schema: Option<&Schema>) -> Constraint {
        Constraint::new(self.plain.restarted(), Arc::clone(&self.trie), self.opening.clone())
    }
}
