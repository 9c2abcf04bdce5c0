//! The tokens of a model as bytes: read from `tokenizer.json`, kept as a trie.

mod trie;
mod vocabulary;

pub(in crate::grammar) use trie::Below;
pub use trie::TokenTrie;
pub use vocabulary::Vocabulary;
