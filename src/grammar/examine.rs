//! Whether a text is in a grammar's language, and if not, where it leaves it and what could have followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::automaton::Automaton;
use super::automaton::program::Node;
use super::automaton::states::{DEAD, StateId};
use super::gbnf::syntax::TokenName;
use super::{Grammar, Matcher, TokenTrie};

/// What could have come at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What is read next, written as GBNF would.
    pub next: String,
    /// The rule it stands in.
    pub rule: String,
}

/// The answer to "is this text in the language?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Inside,
    /// It is not: the first `offset` bytes begin a text of the language, and then something else came (or, at the
    /// text's end, nothing).
    Outside {
        /// Byte offset; at a character that leaves the language, its first byte.
        offset: usize,
        /// Whether the text simply ended too early.
        too_short: bool,
        /// What could have followed.
        expected: Vec<Expected>,
        /// Whether the text might have ended here.
        may_end: bool,
    },
    /// A state grew beyond [`super::limits`] at this byte: no answer.
    TooAmbiguous {
        /// Byte offset.
        offset: usize,
    },
}

/// Asks byte for byte.
pub fn examine(grammar: &Arc<Grammar>, text: &[u8]) -> Verdict {
    examine_with(&Matcher::new(grammar.clone()), text)
}

/// Asks byte for byte, with the caches of a matcher that has walked other texts.
pub fn examine_with(matcher: &Matcher, text: &[u8]) -> Verdict {
    let mut matcher = matcher.restarted();
    for (offset, byte) in text.iter().enumerate() {
        if !matcher.advance(&[*byte]) {
            return outside(&mut matcher, text, offset);
        }
    }
    if matcher.can_end() { Verdict::Inside } else { outside(&mut matcher, text, text.len()) }
}

/// Asks token by token: what grammars with token literals need.
pub fn examine_tokens(grammar: &Arc<Grammar>, trie: &TokenTrie, ids: &[u32]) -> Verdict {
    let mut matcher = Matcher::new(grammar.clone());
    let mut text = Vec::new();
    for id in ids {
        if !matcher.advance_token(trie, *id) {
            let offset = text.len();
            text.extend_from_slice(trie.bytes(*id));
            return outside(&mut matcher, &text, offset);
        }
        text.extend_from_slice(trie.bytes(*id));
    }
    if matcher.can_end() { Verdict::Inside } else { outside(&mut matcher, &text, text.len()) }
}

fn outside(matcher: &mut Matcher, text: &[u8], mut offset: usize) -> Verdict {
    if matcher.exceeded() {
        return Verdict::TooAmbiguous { offset };
    }
    let too_short = offset == text.len();
    // Back to the first byte of a character that was left in its middle.
    while offset < text.len() && offset > 0 && text[offset] & 0xc0 == 0x80 && matcher.steps() > 0 {
        matcher.rollback(1);
        offset -= 1;
    }
    let (expected, may_end) =
        matcher.inspect(|automaton, state| (expected(automaton, state), automaton.states().can_end(state)));
    Verdict::Outside { offset, too_short, expected, may_end }
}

/// What can be read in a state, grouped by rule. A way that is forced is shown on to its end.
fn expected(automaton: &mut Automaton, state: StateId) -> Vec<Expected> {
    let grammar = automaton.grammar().clone();
    let program = grammar.program();
    let mut bytes: BTreeMap<&str, [bool; 256]> = BTreeMap::new();
    let mut found = Vec::new();
    if state == DEAD {
        return found;
    }
    for thread in automaton.states().threads(state) {
        let rule = grammar.rule_name(program.owners[thread.node as usize]);
        match program.nodes[thread.node as usize] {
            Node::Bytes { first, count } => {
                let set = bytes.entry(rule).or_insert([false; 256]);
                for edge in program.edges(first, count) {
                    set[usize::from(edge.low)..=usize::from(edge.high)].fill(true);
                }
            }
            Node::Token { token, negated, .. } => {
                let name = match &program.tokens[token as usize] {
                    TokenName::Id(id) => format!("<[{id}]>"),
                    TokenName::Text(text) => text.clone(),
                };
                let next = if negated { format!("!{name}") } else { name };
                let token = Expected { next, rule: rule.to_owned() };
                if !found.contains(&token) {
                    found.push(token);
                }
            }
            _ => {}
        }
    }
    found.extend(bytes.iter().map(|(rule, set)| Expected { next: describe(set), rule: (*rule).to_owned() }));
    found
}

/// A set of bytes, as a class or a literal.
fn describe(set: &[bool; 256]) -> String {
    let show = |byte: usize| match byte as u8 {
        b'\n' => r"\n".to_owned(),
        b'\t' => r"\t".to_owned(),
        b'\r' => r"\r".to_owned(),
        byte @ (b'\\' | b'"' | b'[' | b']' | b'-') => format!("\\{}", byte as char),
        byte @ 0x20..=0x7e => (byte as char).to_string(),
        byte => format!(r"\x{byte:02X}"),
    };
    let single: Vec<usize> = (0..128).filter(|byte| set[*byte]).collect();
    let beyond = set[128..].iter().any(|inside| *inside);
    if let ([only], false) = (&single[..], beyond) {
        return format!("\"{}\"", show(*only).replace(r"\[", "[").replace(r"\]", "]").replace(r"\-", "-"));
    }
    let (negated, members): (bool, Vec<usize>) =
        if single.len() > 96 { (true, (0..128).filter(|byte| !set[*byte]).collect()) } else { (false, single) };
    let mut class = String::from(if negated { "[^" } else { "[" });
    let mut at = 0;
    while at < members.len() {
        let run = (at..members.len()).take_while(|i| members[*i] - members[at] == i - at).count();
        class += &show(members[at]);
        if run > 2 {
            class.push('-');
        }
        if run > 1 {
            class += &show(members[at + run - 1]);
        }
        at += run;
    }
    if beyond && !negated {
        class += "…";
    }
    class + "]"
}
