//! Which alternatives of a grammar's rules texts make use of: each is taken out in turn, and the texts that the rest of the
//! grammar then refuses cannot do without it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use expert_cli::grammar::{Grammar, Matcher};

/// The rules of a grammar with a rule a line: name and the place of its body.
fn rules(grammar: &str) -> BTreeMap<&str, Range<usize>> {
    let mut at = 0;
    let mut found = BTreeMap::new();
    for line in grammar.split_inclusive('\n') {
        if let Some((name, body)) = line.trim_end().split_once(" ::= ") {
            let begin = at + name.len() + " ::= ".len();
            found.insert(name, begin..begin + body.len());
        }
        at += line.len();
    }
    found
}

/// The places of a body's alternatives, of groups in parentheses too, and the names it mentions.
fn alternatives(body: &str) -> (Vec<Range<usize>>, Vec<&str>) {
    let bytes = body.as_bytes();
    // For each group that is open: where it and each alternative of it began.
    let mut open: Vec<Vec<usize>> = vec![vec![0]];
    let (mut found, mut names) = (Vec::new(), Vec::new());
    let mut close = |begins: Vec<usize>, end: usize| {
        let ends = begins.iter().skip(1).map(|begin| begin - 1).chain([end]);
        let all: Vec<Range<usize>> = begins.iter().zip(ends).map(|(begin, end)| *begin..end).collect();
        if all.len() > 1 {
            found.extend(all);
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'[') => {
                let closing = if quote == b'"' { b'"' } else { b']' };
                at += 1;
                while bytes[at] != closing {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
            }
            b'(' => open.push(vec![at + 1]),
            b')' => close(open.pop().unwrap(), at),
            b'|' => open.last_mut().unwrap().push(at + 1),
            byte if byte.is_ascii_alphabetic() => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
                let end = at + bytes[at..].iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len() - at);
                names.push(&body[at..end]);
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    close(open.pop().unwrap(), bytes.len());
    assert!(open.is_empty(), "{body}");
    (found, names)
}

/// How many of the texts need each alternative of the rules that a rule leads to, counted up to `enough`. Rules for
/// keywords and for which words are no keywords are left out.
pub fn needed(grammar: &str, from: &str, texts: &[String], enough: usize) -> Vec<(String, usize)> {
    let rules = rules(grammar);
    let (mut reached, mut open) = (Vec::new(), vec![from]);
    while let Some(name) = open.pop() {
        let spells = |name: &str| name.contains("word") || name.bytes().all(|byte| !byte.is_ascii_lowercase());
        if let Some(body) = rules.get(name)
            && !reached.contains(&name)
            && !(spells(name) && name != "operand-word" && name != "primary-word")
        {
            reached.push(name);
            open.extend(alternatives(&grammar[body.clone()]).1);
        }
    }
    reached.sort_unstable();
    let mut counts = Vec::new();
    for name in reached {
        let body = rules[name].clone();
        for place in alternatives(&grammar[body.clone()]).0 {
            let (begin, mut end) = (body.start + place.start, body.start + place.end);
            let text = grammar[begin..end].trim();
            // One of the bars beside it goes too.
            let before = grammar.as_bytes()[begin - 1] == b'|';
            end += usize::from(!before);
            let rest = format!("{}{}", &grammar[..begin - usize::from(before)], &grammar[end..]);
            let rest = Grammar::parse(&rest).unwrap_or_else(|error| panic!("{name} without {text}: {error}"));
            let start = Matcher::new(Arc::new(rest));
            let refused = |query: &&String| {
                let mut matcher = start.restarted();
                !(matcher.advance(query.as_bytes()) && matcher.can_end())
            };
            counts.push((format!("{name}: {text}"), texts.iter().filter(refused).take(enough).count()));
        }
    }
    counts
}

#[test]
fn a_text_needs_the_alternatives_that_it_is_made_of() {
    let grammar = "root ::= query\nquery ::= \"a\" tail? | \"b|\" (\"c\" | \"d\")\ntail ::= [x|] | \"y\"\nother ::= \"p\" | \"q\"\n";
    let texts = ["a", "ay", "a|", "b|c"].map(str::to_owned);
    let found = needed(grammar, "query", &texts, 9);
    let found: Vec<(&str, usize)> = found.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let expected = [
        ("query: \"c\"", 1),
        ("query: \"d\"", 0),
        ("query: \"a\" tail?", 3),
        ("query: \"b|\" (\"c\" | \"d\")", 1),
        ("tail: [x|]", 1),
        ("tail: \"y\"", 1),
    ];
    assert_eq!(found, expected);
}
