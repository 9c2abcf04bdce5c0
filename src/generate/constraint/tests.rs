//! Answers of models that know nothing, under grammars: always whole, never beside the language, drawn from D exactly.

use std::collections::BTreeMap;

use super::super::constraints::Constraints;
use super::super::decode::{Completion, Finish, NextLogits, Rules, Start, Unobserved, decode};
use super::super::sampler::{Chain, History, Order};
use super::super::stop::StopRules;
use super::super::text::toy::Bytes;
use super::*;
use crate::grammar::{Grammar, Verdict, Vocabulary, examine, shipped};
use crate::sql::scan::Quoting;

/// Logits that look random and depend on all that was said.
struct Noise {
    size: usize,
    positions: usize,
    sharpness: f32,
}

fn noise(said: &[u32], size: usize, sharpness: f32) -> Vec<f32> {
    let seed = said.iter().fold(17u64, |hash, id| (hash ^ u64::from(*id)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..size as u64)
        .map(|id| {
            let mixed = (seed ^ id.wrapping_mul(0xd1b5_4a32_d192_ed03)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * sharpness
        })
        .collect()
}

impl NextLogits for Noise {
    type Cache = Vec<u32>;
    fn new_cache(&self) -> Vec<u32> {
        Vec::new()
    }
    fn max_positions(&self) -> usize {
        self.positions
    }
    fn forward(&self, inputs: &[&[u32]], caches: &mut [Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let step = |(input, cache): (&&[u32], &mut Vec<u32>)| {
            cache.extend_from_slice(input);
            noise(cache, self.size, self.sharpness)
        };
        Ok(inputs.iter().zip(caches).map(step).collect())
    }
}

const WORDS: [&str; 8] = ["<end>", "SELECT", " FROM", " t", "SEL", "'", " '", "), ("];

fn bytes() -> Bytes {
    Bytes::with_words(&WORDS)
}

/// Ids 256 and 257 end an answer.
fn constraints(grammar: &str) -> Constraints {
    let tokens = bytes().0.into_iter().map(Option::unwrap_or_default).collect();
    let trie = TokenTrie::new(&Vocabulary::from_bytes(tokens), &[256, 257]);
    Constraints::new("test", Arc::new(Grammar::parse(grammar).unwrap()), Arc::new(trie), Vec::new())
}

fn rules(max_tokens: usize, seed: u64) -> Rules {
    Rules {
        chain: Chain { temperature: 1.0, ..Chain::default() },
        seed,
        max_tokens,
        end_ids: vec![256, 257],
        stop: StopRules::default(),
        quoting: Quoting::GENERIC,
        keep_first_logits: false,
        order: Order::default(),
        least_mass: 0.0,
    }
}

fn answer(constraints: &Constraints, prompt: u32, rules: &Rules) -> Result<Completion> {
    let model = Noise { size: 256 + 1 + WORDS.len(), positions: 4096, sharpness: 3.0 };
    let start = Start { ids: vec![prompt], shared: 0, thinking: false, constraint: Some(constraints.answer(None)) };
    decode(&model, &bytes(), &[start], rules, &mut Unobserved).map(|mut all| all.remove(0))
}

#[test]
fn noise_under_the_sql_grammars_is_sql_within_any_budget() {
    for name in ["sql-sqlite", "sql-postgres", "json"] {
        let text = shipped(name).unwrap();
        let (grammar, constraints) = (Arc::new(Grammar::parse(text).unwrap()), constraints(text));
        let mut ends = BTreeMap::new();
        for seed in 0..40u64 {
            let budget = 12 + (seed as usize * 7) % 90;
            for order in [Order::default(), Order { mask_first: true, confidence: false }] {
                let rules = Rules { order, ..rules(budget, seed) };
                let done = answer(&constraints, seed as u32, &rules).unwrap();
                let verdict = examine(&grammar, done.text.as_bytes());
                assert_eq!(verdict, Verdict::Inside, "{name}, {budget} tokens: {}", done.text);
                assert!(done.ids.len() <= budget);
                assert_ne!(done.finish, Finish::Context);
                *ends.entry(done.finish.name()).or_insert(0) += 1;
            }
        }
        assert!(ends.contains_key("length"), "{name}: {ends:?}: no budget was ever short");
    }
}

#[test]
fn a_budget_that_nothing_fits_into_is_refused_before_the_first_token() {
    let constraints = constraints("root ::= \"SELECT FROM\"");
    assert_eq!(answer(&constraints, 1, &rules(3, 0)).unwrap().text, "SELECT FROM");
    let error = answer(&constraints, 1, &rules(2, 0)).unwrap_err().to_string();
    assert!(error.contains("fits into 2 tokens"), "{error}");
}

#[test]
fn every_end_id_is_allowed_exactly_where_the_text_may_end_and_a_finished_grammar_stops() {
    let constraints = constraints("root ::= \"ab\" \"c\"?");
    let mut constraint = constraints.answer(None);
    let ends = |constraint: &mut Constraint| [256, 257].map(|id| constraint.allows(id));
    assert_eq!(ends(&mut constraint), [false, false]);
    constraint.advance(u32::from(b'a')).unwrap();
    assert_eq!(ends(&mut constraint), [false, false]);
    constraint.advance(u32::from(b'b')).unwrap();
    assert_eq!(ends(&mut constraint), [true, true]);
    constraint.prepare();
    assert_eq!(ends(&mut constraint), [true, true]);
    assert!(constraint.can_end() && !constraint.is_finished());
    constraint.advance(u32::from(b'c')).unwrap();
    assert!(constraint.is_finished() && constraint.advance(u32::from(b'c')).is_err());
    for seed in 0..20 {
        let done = answer(&constraints, 1, &rules(50, seed)).unwrap();
        let expected = if done.text == "abc" { Finish::Finished } else { Finish::EndOfSequence };
        assert!(done.finish == expected && (done.text == "abc" || done.text == "ab"), "{done:?}");
    }
}

#[test]
fn thinking_is_free_and_the_answer_behind_it_is_not() {
    let words = Bytes::with_words(&["<think>", "</think>", "SELECT"]);
    let tokens: Vec<Vec<u8>> = words.0.iter().cloned().map(Option::unwrap_or_default).collect();
    let trie = Arc::new(TokenTrie::new(&Vocabulary::from_bytes(tokens), &[256]));
    let grammar = Arc::new(Grammar::parse("root ::= \"SELECT\" \"!\"?").unwrap());
    let constraints = Constraints::new("test", grammar, trie, vec![257]);
    struct Script(Vec<u32>);
    impl NextLogits for Script {
        type Cache = usize;
        fn new_cache(&self) -> usize {
            0
        }
        fn max_positions(&self) -> usize {
            100
        }
        fn forward(&self, _: &[&[u32]], caches: &mut [usize]) -> Result<Vec<Vec<f32>>> {
            caches[0] += 1;
            Ok(vec![(0..260).map(|id| if id == self.0[caches[0] - 1] { 9.0 } else { 0.0 }).collect()])
        }
    }
    let script: Vec<u32> = [257].into_iter().chain(Bytes::ids("x y")).chain([258, 259, 256]).collect();
    let start = Start { ids: vec![1], shared: 0, thinking: false, constraint: Some(constraints.answer(None)) };
    let rules = Rules { chain: Chain::default(), end_ids: vec![256], ..rules(50, 0) };
    let done = decode(&Script(script.clone()), &words, std::slice::from_ref(&start), &rules, &mut Unobserved)
        .unwrap()
        .remove(0);
    assert_eq!((done.text.as_str(), done.reasoning.as_str(), done.ids), ("SELECT", "x y", script.clone()));
    // Where no block may open, its tag is refused like any other token.
    let closed = Constraints::new("test", constraints.grammar, constraints.trie, Vec::new());
    let start = Start { constraint: Some(closed.answer(None)), ..start };
    let done = decode(&Script(script), &words, &[start], &rules, &mut Unobserved).unwrap().remove(0);
    assert!(done.text.starts_with("SELECT") && done.picks[0].redrawn, "{done:?}");
}

/// All texts of a small language with the probability that masking at every step before the draw would give them.
fn exact(constraints: &Constraints, chain: Chain, prompt: u32) -> BTreeMap<Vec<u32>, f64> {
    let size = 256 + 1 + WORDS.len();
    let mut open = vec![(constraints.answer(None), vec![], 1.0)];
    let mut closed = BTreeMap::new();
    while let Some((mut constraint, ids, probability)) = open.pop() {
        constraint.set_budget(1000);
        let said: Vec<u32> = std::iter::once(prompt).chain(ids.iter().copied()).collect();
        let logits = noise(&said, size, 3.0);
        let history = History::default();
        let whole = chain.apply(&logits, size, &history).unwrap();
        let restricted = whole.restricted(|id| constraint.allows(id)).unwrap_or_else(|| {
            let masked: Vec<f32> = logits
                .iter()
                .zip(0..)
                .map(|(l, id)| if constraint.allows(id) { *l } else { f32::NEG_INFINITY })
                .collect();
            chain.apply(&masked, size, &history).unwrap()
        });
        for candidate in restricted.candidates() {
            let mut ids = ids.clone();
            ids.push(candidate.id);
            let probability = probability * candidate.probability;
            let mut next = constraint.clone();
            if candidate.id == 256 || candidate.id == 257 {
                *closed.entry(ids).or_insert(0.0) += probability;
                continue;
            }
            next.advance(candidate.id).unwrap();
            if next.is_finished() {
                *closed.entry(ids).or_insert(0.0) += probability;
            } else {
                open.push((next, ids, probability));
            }
        }
    }
    closed
}

#[test]
fn picking_first_and_redrawing_gives_the_distribution_of_always_masking() {
    let constraints = constraints("root ::= (\"SELECT\" | \"'\")+ [a-c]{1,2}  | \"x\"");
    let bounded = Constraints::new(
        "bounded",
        Arc::new(Grammar::parse("root ::= (\"SELECT\" | \"'\"){1,2} [a-c]{1,2} | \"x\"").unwrap()),
        Arc::clone(&constraints.trie),
        Vec::new(),
    );
    for chain in [
        Chain { temperature: 1.0, ..Chain::default() },
        Chain { temperature: 1.4, top_k: 40, top_p: 0.9, ..Chain::default() },
    ] {
        let exact = exact(&bounded, chain, 5);
        assert!((exact.values().sum::<f64>() - 1.0).abs() < 1e-9);
        let draws = 20_000;
        let mut counts: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
        let mut refused = 0;
        for seed in 0..draws as u64 {
            let done = answer(&bounded, 5, &Rules { chain, ..rules(1000, seed) }).unwrap();
            refused += usize::from(done.picks[0].redrawn);
            *counts.entry(done.ids).or_insert(0) += 1;
        }
        assert!(refused > draws / 2, "the test is of redraws: {refused}");
        // Pearson's statistic over texts expected at least 8 times; the rest is one class.
        let (mut statistic, mut classes, mut rest) = (0.0, 0, (0.0, 0.0));
        for (ids, probability) in &exact {
            let expected = probability * draws as f64;
            let found = counts.remove(ids).unwrap_or(0) as f64;
            if expected < 8.0 {
                rest = (rest.0 + expected, rest.1 + found);
            } else {
                statistic += (found - expected).powi(2) / expected;
                classes += 1;
            }
        }
        assert!(counts.is_empty(), "texts that cannot be: {counts:?}");
        statistic += (rest.1 - rest.0).powi(2) / f64::max(rest.0, 1.0);
        // Mean `classes`, variance twice that: four deviations are passed once in some ten thousand runs.
        let limit = f64::from(classes) + 4.0 * (2.0 * f64::from(classes)).sqrt();
        assert!(classes > 10 && statistic < limit, "{statistic} over {classes} classes (limit {limit})");
    }
}

#[test]
fn the_allowed_mass_is_told_where_a_mask_was_made_and_everywhere_on_request() {
    let constraints = constraints("root ::= [ab]{1,20}");
    for (confidence, seed) in [(false, 1), (true, 1)] {
        let order = Order { mask_first: false, confidence };
        let done = answer(&constraints, 2, &Rules { order, ..rules(60, seed) }).unwrap();
        for pick in &done.picks {
            assert_eq!(pick.allowed_mass.is_some(), confidence || pick.redrawn, "{pick:?}");
            let mass = pick.allowed_mass.unwrap_or(0.5);
            assert!(
                mass > 0.0 && mass < 1.0 && pick.log_probability <= mass.ln() + 1e-9 || pick.allowed_mass.is_none()
            );
        }
        assert!(done.picks.iter().any(|pick| pick.redrawn));
    }
}

#[test]
fn a_lost_answer_is_closed_where_it_stands() {
    for name in ["sql-sqlite", "json"] {
        let text = shipped(name).unwrap();
        let (grammar, constraints) = (Arc::new(Grammar::parse(text).unwrap()), constraints(text));
        let mut closed = 0;
        for seed in 0..30 {
            let rules = Rules { least_mass: 1e-3, ..rules(600, seed) };
            let one = answer(&constraints, 5, &rules).unwrap();
            assert_eq!(examine(&grammar, one.text.as_bytes()), Verdict::Inside, "{name}: {}", one.text);
            if one.finish == Finish::Budget {
                closed += 1;
                let mass: f64 = one.picks.iter().filter_map(|pick| pick.allowed_mass).product();
                assert!(mass < rules.least_mass, "{name}: {mass} left, {}", one.text);
                assert!(one.ids.len() < rules.max_tokens, "{name}: it ran on: {}", one.text);
            }
        }
        assert!(closed > 0, "{name}: no answer was lost");
    }
}
