//! The grammar of all answers of a conversation, the vocabulary it is asked about and the schemas its names are kept to,
//! shared by every answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::constraint::{Constraint, Taste};
use crate::grammar::{Grammar, Matcher, SchemaGuard, TokenTrie};
use crate::sql::{Dialect, Schema};

/// Guarded schemas kept, each with states of up to `grammar::limits::CACHE_BYTES` and 10 MB of masks; the longest unused
/// goes first. A question about another schema costs its states again, about a second over an answer.
const SCHEMAS: usize = 4;

/// The dialect whose names are guarded, and its grammar's text.
#[derive(Debug, Clone, Copy)]
pub struct Guarded {
    /// SQLite or PostgreSQL.
    pub dialect: Dialect,
    /// The shipped grammar, with its lists of reserved words.
    pub grammar: &'static str,
}

/// A grammar bound to a vocabulary.
#[derive(Debug)]
pub struct Constraints {
    /// What answers are asked to be, for people: `sql-sqlite`, a file.
    pub name: String,
    pub(super) grammar: Arc<Grammar>,
    pub(super) trie: Arc<TokenTrie>,
    /// Never moved: answers begin as its copies and so share what is found.
    pub(super) plain: Matcher,
    /// Ids of tags that may open a thinking block before the answer.
    pub(super) opening: Vec<u32>,
    guarded: Option<Guarded>,
    /// The schemas of late, each with a matcher and a taste at their beginning, the last used behind.
    schemas: Mutex<VecDeque<(Schema, Matcher, Taste)>>,
}

impl Constraints {
    /// A grammar (its token literals bound) and a vocabulary. `opening`: ids that may come before the text.
    pub fn new(name: impl Into<String>, grammar: Arc<Grammar>, trie: Arc<TokenTrie>, opening: Vec<u32>) -> Self {
        let plain = Matcher::new(Arc::clone(&grammar));
        let schemas = Mutex::default();
        Self { name: name.into(), grammar, trie, plain, opening, guarded: None, schemas }
    }

    /// The same, with names kept to the schema of each question.
    pub fn with_schema_guard(self, guarded: Guarded) -> Self {
        Self { guarded: Some(guarded), ..self }
    }

    /// The constraint of one answer about these tables. A schema that does not know all columns of a view guards
    /// nothing: it would refuse what exists.
    pub fn answer(&self, schema: Option<&Schema>) -> Constraint {
        let whole =
            |schema: &&Schema| schema.tables().iter().all(|table| table.columns_known && !table.columns.is_empty());
        let (matcher, taste) = match (self.guarded, schema.filter(whole)) {
            (Some(guarded), Some(schema)) => {
                let (matcher, taste) = self.guarded(guarded, schema);
                (matcher, Some(taste))
            }
            _ => (self.plain.restarted(), None),
        };
        Constraint::new(matcher, Arc::clone(&self.trie), self.opening.clone(), taste)
    }

    fn guarded(&self, guarded: Guarded, schema: &Schema) -> (Matcher, Taste) {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let known = schemas.iter().position(|(own, ..)| own == schema).and_then(|at| schemas.remove(at));
        let entry = known.unwrap_or_else(|| {
            let guard = SchemaGuard::new(schema, guarded.dialect, guarded.grammar);
            let matcher = Matcher::with_guard(Arc::clone(&self.grammar), Box::new(guard));
            let taste = Taste::new(&self.grammar, &SchemaGuard::functions(guarded.dialect), schema);
            (schema.clone(), matcher, taste)
        });
        let (matcher, taste) = (entry.1.restarted(), entry.2.clone());
        schemas.push_back(entry);
        while schemas.len() > SCHEMAS {
            schemas.pop_front();
        }
        (matcher, taste)
    }

    /// Bytes held by the trie and everything found so far.
    pub fn memory(&self) -> usize {
        let schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let found: usize = schemas.iter().map(|(_, matcher, _)| matcher.memory()).sum();
        self.trie.memory() + self.plain.memory() + found
    }
}
