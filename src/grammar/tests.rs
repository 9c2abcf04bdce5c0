//! The engine against a naive recogniser, on grammars and texts made at random; and grammars made to hurt.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A random definition, and what it means: kept as a tree so that the recogniser shares nothing with the reader.
#[derive(Debug, Clone)]
enum Shape {
    Literal(&'static str),
    Class(&'static str, &'static [(char, char)], bool),
    Rule(usize),
    Sequence(Vec<Shape>),
    Choice(Vec<Shape>),
    Repeat(Box<Shape>, u32, Option<u32>),
}

const NAMES: [&str; 3] = ["root", "b-1", "c"];

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["", "a", "b", "ab", "é", "ba"]).prop_map(Shape::Literal),
        Just(Shape::Class("[a-b]", &[('a', 'b')], false)),
        Just(Shape::Class("[^a]", &[('a', 'a')], true)),
        Just(Shape::Class(".", &[], true)),
        Just(Shape::Class("[é-ü\\x61]", &[('é', 'ü'), ('a', 'a')], false)),
        (0..3usize).prop_map(Shape::Rule),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Shape::Sequence),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Shape::Choice),
            (inner, 0..3u32, prop::option::of(0..4u32)).prop_map(|(shape, min, more)| Shape::Repeat(
                Box::new(shape),
                min,
                more.map(|more| min + more)
            )),
        ]
    })
}

fn write(shape: &Shape) -> String {
    match shape {
        Shape::Literal(text) => format!("\"{text}\""),
        Shape::Class(text, ..) => (*text).to_owned(),
        Shape::Rule(rule) => NAMES[*rule].to_owned(),
        Shape::Sequence(parts) => format!("( {} )", parts.iter().map(write).collect::<Vec<_>>().join(" ")),
        Shape::Choice(parts) => format!("( {} )", parts.iter().map(write).collect::<Vec<_>>().join(" | ")),
        Shape::Repeat(inner, min, max) => {
            let inner = format!("( {} )", write(inner));
            match (min, max) {
                (0, None) => format!("{inner}*"),
                (1, None) => format!("{inner}+"),
                (0, Some(1)) => format!("{inner}?"),
                (min, None) => format!("{inner}{{{min},}}"),
                (min, Some(max)) if min == max => format!("{inner}{{{min}}}"),
                (min, Some(max)) => format!("{inner}{{{min},{max}}}"),
            }
        }
    }
}

/// The naive recogniser: all places where a reading of a shape can end, tried one by one.
struct Naive<'a> {
    rules: &'a [Shape],
    text: Vec<char>,
    known: HashMap<(*const Shape, usize, usize), HashSet<usize>>,
}

impl Naive<'_> {
    fn accepts(rules: &[Shape], text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (length, depth) = (text.len(), 3 * (text.len() + 2));
        Naive { rules, text, known: HashMap::new() }.ends(&rules[0], 0, depth).contains(&length)
    }

    /// Depth-limited: without left recursion a rule inside itself has read something, so a text of n characters never
    /// needs more than a few levels for each.
    fn ends(&mut self, shape: &Shape, at: usize, depth: usize) -> HashSet<usize> {
        let key = (std::ptr::from_ref(shape), at, depth);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let set = |end: Option<usize>| end.into_iter().collect();
        let found = match shape {
            _ if depth == 0 => HashSet::new(),
            Shape::Literal(literal) => {
                let literal: Vec<char> = literal.chars().collect();
                set(self.text[at..].starts_with(&literal).then_some(at + literal.len()))
            }
            Shape::Class(_, ranges, negated) => {
                let inside = |c: &&char| ranges.iter().any(|(low, high)| low <= *c && *c <= high) != *negated;
                set(self.text.get(at).filter(inside).map(|_| at + 1))
            }
            Shape::Rule(rule) => self.ends(&self.rules[*rule], at, depth - 1),
            Shape::Choice(parts) => parts.iter().flat_map(|part| self.ends(part, at, depth)).collect(),
            Shape::Sequence(parts) => {
                let mut places = HashSet::from([at]);
                for part in parts {
                    places = places.into_iter().flat_map(|at| self.ends(part, at, depth)).collect();
                }
                places
            }
            Shape::Repeat(inner, min, max) => {
                let mut found = HashSet::new();
                let mut places = HashSet::from([at]);
                // Beyond the minimum, rounds that read nothing add nothing.
                let rounds = max.unwrap_or(*min + self.text.len() as u32 + 1);
                for round in 0..=rounds {
                    if round >= *min {
                        found.extend(&places);
                    }
                    places = places.into_iter().flat_map(|at| self.ends(inner, at, depth)).collect();
                }
                found
            }
        };
        self.known.insert(key, found.clone());
        found
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abéz]{0,6}", 12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_global_rejects: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_grammars_agree_with_a_naive_recogniser(shapes in prop::collection::vec(shape(), 3), texts in texts()) {
        let grammar: String = shapes.iter().zip(NAMES).map(|(shape, name)| format!("{name} ::= {}\n", write(shape))).collect();
        let parsed = Grammar::parse(&grammar);
        prop_assume!(parsed.is_ok());
        let parsed = Arc::new(parsed.unwrap());
        let shared = Matcher::new(parsed.clone());
        for text in &texts {
            let naive = Naive::accepts(&shapes, text);
            let engine = examine(&parsed, text.as_bytes()) == Verdict::Inside;
            prop_assert_eq!(engine, naive, "{:?} under\n{}", text, grammar);
            let mut warm = shared.restarted();
            prop_assert_eq!(warm.advance(text.as_bytes()) && warm.can_end(), naive, "warm: {:?} under\n{}", text, grammar);
        }
    }

    #[test]
    fn masks_agree_with_asking_token_by_token(shapes in prop::collection::vec(shape(), 3), text in "[abé]{0,4}") {
        let grammar: String = shapes.iter().zip(NAMES).map(|(shape, name)| format!("{name} ::= {}\n", write(shape))).collect();
        let parsed = Grammar::parse(&grammar);
        prop_assume!(parsed.is_ok());
        let words = ["a", "b", "ab", "ba", "aab", "é", "éa", "z", "", "abab", "a"];
        let mut bytes: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        bytes.extend([vec![0xc3], vec![0xa9], vec![0xa9, b'a'], vec![0xff], b"</s>".to_vec()]);
        let end = bytes.len() as u32 - 1;
        let trie = TokenTrie::new(&Vocabulary::from_bytes(bytes), &[end]);
        let mut matcher = Matcher::new(Arc::new(parsed.unwrap()));
        matcher.advance(text.as_bytes());
        let mut mask = BitMask::default();
        for _ in 0..2 {
            matcher.mask(&trie, &mut mask);
            for id in 0..trie.size() as u32 {
                prop_assert_eq!(mask.contains(id), matcher.accepts_token(&trie, id), "token {} behind {:?} under\n{}", id, text, grammar);
            }
        }
        prop_assert_eq!(mask.contains(end), matcher.can_end());
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_with_an_error(text in "[-a-c:=|\"\\[\\](){}*+?,0-9<>!.^#\\\\ \n]{0,40}") {
        let _ = Grammar::parse(&format!("root ::= {text}"));
        if let Err(error) = Grammar::parse(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1 && error.snippet.contains('^'));
        }
    }
}

/// Reads and walks within a second (they take milliseconds; a hang is what is looked for).
fn swift(grammar: &str, text: &str) -> (Verdict, usize) {
    let start = Instant::now();
    let grammar = Arc::new(Grammar::parse(grammar).unwrap());
    let mut matcher = Matcher::new(grammar.clone());
    matcher.advance(text.as_bytes());
    let verdict = examine(&grammar, text.as_bytes());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    (verdict, matcher.state_count())
}

#[test]
fn nested_repeats_count_instead_of_unrolling() {
    let long = "ab ".repeat(600);
    assert_eq!(swift("root ::= n{0,1900}\nn ::= [a-z]{0,62} \" \"?", &long).0, Verdict::Inside);
    assert_eq!(swift("root ::= n{600}\nn ::= m{0,11} \" \"\nm ::= [a-z]{0,11}", &long).0, Verdict::Inside);
    assert_eq!(swift("root ::= (([a-z]*)* \" \"*)*", &long).0, Verdict::Inside);
    assert_eq!(swift("ws ::= [ ]{0,20}\nroot ::= (\"ab\" ws ws ws ws ws)*", &long).0, Verdict::Inside);
    let (verdict, states) = swift("root ::= \"x\"{1500,}", &"x".repeat(9000));
    assert_eq!(verdict, Verdict::Inside);
    assert!(states < 1600, "{states} states: rounds beyond the minimum are all alike");
    assert!(matches!(swift("root ::= \"x\"{1500,}", &"x".repeat(1499)).0, Verdict::Outside { too_short: true, .. }));
}

#[test]
fn bounds_are_exact_with_counters() {
    for (min, max) in [(0u32, 7u32), (3, 9), (5, 5), (0, 1999), (1, 30)] {
        let grammar = Arc::new(Grammar::parse(&format!("root ::= ([ab] \"c\"){{{min},{max}}} \"!\"")).unwrap());
        for rounds in [0, 1, min.saturating_sub(1), min, min + 1, max - 1, max, max + 1] {
            let text = "ac".repeat(rounds as usize) + "!";
            let inside = examine(&grammar, text.as_bytes()) == Verdict::Inside;
            assert_eq!(inside, min <= rounds && rounds <= max, "{rounds} of {{{min},{max}}}");
        }
    }
}

#[test]
fn deep_nesting_neither_hangs_nor_overflows() {
    let deep = 20_000;
    let text = "(".repeat(deep) + &")".repeat(deep);
    assert_eq!(swift("root ::= \"(\" root \")\" | \"()\" | \"\"", &text).0, Verdict::Inside);
    assert_eq!(swift("root ::= \"a\" root | \"b\"", &("a".repeat(deep) + "b")).0, Verdict::Inside);
    for (open, close) in [("(", ")"), ("", "?"), ("", "*"), ("(", ")*"), ("(\"b\" ", "|\"c\"){1,2}")] {
        for levels in [3, 150, 5_000, 100_000] {
            let grammar = format!("root ::= {}\"a\"{}", open.repeat(levels), close.repeat(levels));
            let _ = Grammar::parse(&grammar);
        }
    }
    let chain: String = (0..30_000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    let grammar = Arc::new(Grammar::parse(&format!("root ::= r0\n{chain}r30000 ::= \"x\"")).unwrap());
    assert_eq!(examine(&grammar, b"x"), Verdict::Inside);
    let error = Grammar::parse(&format!("root ::= r0\n{chain}r30000 ::= \"x\" | r0")).unwrap_err();
    assert!(error.message.contains("left recursion"), "{error}");
}

#[test]
fn left_recursion_is_found_wherever_it_hides() {
    for grammar in [
        "root ::= root \"a\" | \"b\"",
        "root ::= a\na ::= b \"x\"\nb ::= \"\"? a | \"y\"",
        "root ::= a root \"x\" | \"y\"\na ::= b\nb ::= \"z\" | ",
        "root ::= (root | \"a\"){0,5}",
        "root ::= \"a\"\nunreached ::= (\"x\"? unreached)+",
        "root ::= (\"x\" | )*",
        "root ::= \"x\"?*",
    ] {
        let error = Grammar::parse(grammar).map(|_| grammar).unwrap_err();
        assert!(
            error.message.contains("left recursion") || error.message.contains("nothing stands"),
            "{grammar}: {error}"
        );
    }
    // Empty rounds that make no stack grow are fine, as in llama.cpp.
    for grammar in
        ["root ::= (\"x\"?)*", "root ::= ( [x]* )*", "root ::= (a)+\na ::= \"x\" | ", "root ::= (\"x\"?){0,9}"]
    {
        let grammar = Arc::new(Grammar::parse(grammar).unwrap());
        for text in ["", "x", "xxxx"] {
            assert_eq!(examine(&grammar, text.as_bytes()), Verdict::Inside);
        }
    }
}

#[test]
fn an_ambiguous_grammar_ends_in_a_word_not_in_a_freeze() {
    let grammar = "root ::= \"a\" root x | \"a\" root y | \"a\" root z | \"\"\nx ::= \"x\" | \"p\"\ny ::= \"x\" | \"q\"\nz ::= \"x\" | \"r\"";
    let grammar = Arc::new(Grammar::parse(grammar).unwrap());
    let start = Instant::now();
    assert!(matches!(examine(&grammar, "a".repeat(60).as_bytes()), Verdict::TooAmbiguous { .. }));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn memory_stays_bounded_and_places_survive_collection() {
    let grammar = Arc::new(Grammar::parse("root ::= \"(\" root \")\" | [a-z0-9 ]* \".\" ").unwrap());
    let mut matcher = Matcher::new(grammar);
    let mut most = 0;
    for _ in 0..120_000 {
        assert!(matcher.advance(b"("));
        most = most.max(matcher.memory());
    }
    let depth = 120_000;
    matcher.rollback(depth - 10);
    let mut other = matcher.clone();
    for round in 0..4_000 {
        assert!(other.advance("(".repeat(100).as_bytes()));
        if round % 3 == 0 {
            other.rollback(1);
            assert!(!other.advance(b"a(") && other.accepts_bytes(b"a ."));
        }
    }
    drop(other);
    assert!(matcher.advance(b"abc 1.))))))))))") && matcher.is_finished());
    assert!(matcher.memory() <= 2 * limits::CACHE_BYTES, "{} bytes", matcher.memory());
}
