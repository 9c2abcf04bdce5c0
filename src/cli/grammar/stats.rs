//! `grammar stats`: what a grammar costs on a vocabulary, measured along texts of its language.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::super::args::grammar::Stats;
use super::super::ui::{Table, Ui};
use crate::data::tokenizer::TextTokenizer;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::grammar::{BitMask, Grammar, Matcher, TokenTrie, Vocabulary};
use crate::kernels::random;

/// Walks made where no texts are given, and the longest of them in tokens.
const WALKS: (u64, u64) = (20, 60);

/// Tokens along which full masks are made.
const MASKED_TOKENS: usize = 2000;

/// The tokenizer of a folder, or of the folder that holds this tokenizer.json.
pub(super) fn tokenizer(path: &Path) -> Result<TextTokenizer> {
    TextTokenizer::load(if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) })
}

pub(super) fn run(args: &Stats, ui: &Ui) -> Result<()> {
    let mut grammar = super::load(&args.grammar)?;
    let name = args.grammar.display().to_string();
    let tokenizer = tokenizer(&args.tokenizer)?;
    let vocabulary = Vocabulary::load(&args.tokenizer)?;
    grammar.bind_tokens(|text| vocabulary.token_id(text));
    let start = Instant::now();
    let trie = TokenTrie::new(&vocabulary, tokenizer.eos_ids());
    let trie_ms = start.elapsed().as_secs_f64() * 1e3;
    drop(vocabulary);
    let grammar = Arc::new(grammar);
    let texts = match &args.input {
        Some(path) => sample(&grammar, &trie, &tokenizer, path, ui)?,
        None => walks(&grammar, &trie),
    };
    let mut matcher = Matcher::new(grammar.clone());
    let pick_cold = picks(&matcher, &trie, &texts);
    let pick_warm = picks(&matcher, &trie, &texts);
    let mask_first = masks(&mut matcher, &trie, &texts);
    matcher.forget_masks();
    let mask_warm = masks(&mut matcher, &trie, &texts);
    let mask_kept = masks(&mut matcher, &trie, &texts);
    let tokens: usize = texts.iter().map(Vec::len).sum();
    let facts = [
        ("rules", grammar.rules().count()),
        ("nodes", grammar.node_count()),
        ("byte classes", grammar.class_count()),
        ("texts", texts.len()),
        ("tokens", tokens),
        ("states", matcher.state_count()),
        ("grammar bytes", grammar.memory()),
        ("state and mask bytes", matcher.memory()),
        ("vocabulary", trie.size()),
        ("trie nodes", trie.nodes().len()),
        ("trie bytes", trie.memory()),
    ];
    let times = [
        ("picked token, first pass", pick_cold),
        ("picked token, second pass", pick_warm),
        ("full mask, first pass", mask_first),
        ("full mask, states known", mask_warm),
        ("full mask, kept", mask_kept),
    ];
    if ui.is_json() {
        let mut body = Map::new();
        body.insert("grammar".into(), name.clone().into());
        body.extend(facts.iter().map(|(what, value)| (what.replace(' ', "_"), Value::from(*value))));
        body.insert("trie_ms".into(), trie_ms.into());
        let times: Vec<Value> = times
            .iter()
            .map(|(what, t)| json!({"what": what, "p50_us": t.p50, "p99_us": t.p99, "max_us": t.max, "samples": t.samples}))
            .collect();
        body.insert("times".into(), times.into());
        ui.json("expert-cli.grammar-stats/1", Value::Object(body))?;
    } else {
        let mut table = Table::new([name.as_str(), ""]);
        for (what, value) in facts {
            table.row([what.to_owned(), value.to_string()]);
        }
        ui.data(&table.render())?;
        let mut table = Table::new(["µs per token", "p50", "p99", "max", "samples"]);
        for (what, t) in times {
            let us = |value: f64| format!("{value:.1}");
            table.row([what.to_owned(), us(t.p50), us(t.p99), us(t.max), t.samples.to_string()]);
        }
        ui.data(&table.render())?;
    }
    ui.next(&format!("expert-cli grammar check {name} --text \"…\""));
    Ok(())
}

/// The lines of a file that are in the language, as tokens.
fn sample(
    grammar: &Arc<Grammar>,
    trie: &TokenTrie,
    tokenizer: &TextTokenizer,
    path: &Path,
    ui: &Ui,
) -> Result<Vec<Vec<u32>>> {
    let matcher = Matcher::new(grammar.clone());
    let (mut texts, mut refused) = (Vec::new(), 0usize);
    for line in fsx::read_text(path)?.lines() {
        let ids = tokenizer.encode(line)?;
        let mut walk = matcher.restarted();
        if ids.iter().all(|id| walk.advance_token(trie, *id)) {
            texts.push(ids);
        } else {
            refused += 1;
        }
    }
    if refused > 0 {
        ui.warn(&format!("{refused} lines leave the language and are not measured"));
    }
    if texts.is_empty() {
        return Err(Problem::input(format!("no line of {} is in the language", path.display()))
            .hint("see where one leaves it: expert-cli grammar check FILE --text \"…\"")
            .into());
    }
    Ok(texts)
}

/// Walks that take any allowed token, the same each time.
fn walks(grammar: &Arc<Grammar>, trie: &TokenTrie) -> Vec<Vec<u32>> {
    let mut matcher = Matcher::new(grammar.clone());
    let mut mask = BitMask::default();
    let walk = |number: u64| {
        matcher.rollback(usize::MAX);
        let mut ids = Vec::new();
        for step in 0..WALKS.1 {
            matcher.mask(trie, &mut mask);
            let allowed = mask.count();
            let pick = random::mix(&[number, step]) as usize % allowed.max(1);
            let Some(id) = mask.iter().nth(pick).filter(|id| !trie.is_end(*id)) else { break };
            matcher.advance_token(trie, id);
            ids.push(id);
        }
        ids
    };
    (0..WALKS.0).map(walk).collect()
}

struct Times {
    p50: f64,
    p99: f64,
    max: f64,
    samples: usize,
}

fn summary(mut micros: Vec<f64>) -> Times {
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get(((micros.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0.0);
    Times { p50: at(0.5), p99: at(0.99), max: at(1.0), samples: micros.len() }
}

/// Asks for each token and takes it.
fn picks(matcher: &Matcher, trie: &TokenTrie, texts: &[Vec<u32>]) -> Times {
    let mut micros = Vec::new();
    for text in texts {
        let mut walk = matcher.restarted();
        for id in text {
            let start = Instant::now();
            let allowed = walk.accepts_token(trie, *id) && walk.advance_token(trie, *id);
            micros.push(start.elapsed().as_secs_f64() * 1e6);
            if !allowed {
                break;
            }
        }
    }
    summary(micros)
}

/// Makes a full mask in front of each token.
fn masks(matcher: &mut Matcher, trie: &TokenTrie, texts: &[Vec<u32>]) -> Times {
    let mut micros = Vec::new();
    let mut mask = BitMask::default();
    for text in texts {
        let mut walk = matcher.restarted();
        for id in text {
            if micros.len() >= MASKED_TOKENS {
                return summary(micros);
            }
            let start = Instant::now();
            walk.mask(trie, &mut mask);
            micros.push(start.elapsed().as_secs_f64() * 1e6);
            walk.advance_token(trie, *id);
        }
    }
    summary(micros)
}
