//! What a grammar's text says: rules of alternatives of items, in arenas, so that nothing here is recursive.

/// A rule, named or made by parentheses.
pub type RuleId = u32;
/// An item in [`Syntax::items`].
pub type ItemId = u32;

/// No upper bound of a repetition.
pub const UNBOUNDED: u32 = u32::MAX;

/// One thing in a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Code points one after the other.
    Literal(Vec<u32>),
    /// One code point inside the ranges, or outside them.
    Class {
        /// Inclusive ranges as written; a reversed one holds nothing.
        ranges: Vec<(u32, u32)>,
        /// `[^…]`.
        negated: bool,
    },
    /// `.`: any code point.
    Any,
    /// A named rule.
    Rule(RuleId),
    /// Alternatives in parentheses.
    Group(RuleId),
    /// `<[id]>`, `<text>` and, negated, `!<…>`.
    Token {
        /// Which token.
        token: TokenName,
        /// Any token but this one.
        negated: bool,
    },
    /// An item, from `min` to `max` times.
    Repeat {
        /// What is repeated.
        item: ItemId,
        /// Least number of times.
        min: u32,
        /// Greatest number of times, or [`UNBOUNDED`].
        max: u32,
    },
}

/// How a grammar names a token of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenName {
    /// By id: `<[1000]>`.
    Id(u32),
    /// By its text: `<think>`, brackets included.
    Text(String),
}

/// The items of one alternative.
pub type Sequence = Vec<ItemId>;

/// A rule's definition.
#[derive(Debug, Clone)]
pub struct Body {
    /// The alternatives, at least one; an empty one is the empty text.
    pub alternatives: Vec<Sequence>,
    /// The named rule it stands in (itself for a named one).
    pub owner: RuleId,
    /// Where the definition begins in the text.
    pub offset: usize,
}

/// A rule: its name and, once read, its definition.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As written; empty for parentheses.
    pub name: String,
    /// Place of the first mention.
    pub first_seen: usize,
    /// llama.cpp's number of it, counting the rules it makes for parentheses and repetitions.
    pub number: u64,
    /// `None`: mentioned, never defined.
    pub body: Option<Body>,
}

/// A whole grammar.
#[derive(Debug, Clone, Default)]
pub struct Syntax {
    /// Named rules and groups. Groups of a rule that was defined again stay: llama.cpp checks them too.
    pub rules: Vec<Rule>,
    /// All items.
    pub items: Vec<Item>,
    /// One more than the greatest number of a defined rule.
    pub defined: u64,
}
