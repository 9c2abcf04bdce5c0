//! `grammar check` and `grammar stats`: is a text in a grammar's language, and what does the grammar cost.

mod stats;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::grammar::{Action, Args, Check};
use super::ui::{Ui, escape};
use crate::error::{Exit, Problem, Result};
use crate::fsx;
use crate::grammar::{
    Grammar, SHIPPED, TokenTrie, Verdict, Vocabulary, examine_tokens, examine_with, line_column, shipped,
};

/// Most things that could have followed which are shown; the rest is counted.
const SHOWN: usize = 12;

/// Longest piece of a text shown around the place where it leaves the language, in characters.
const AROUND: usize = 60;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    match &args.action {
        Action::Check(args) => check(args, ui),
        Action::Stats(args) => stats::run(args, ui),
    }
}

/// The grammar in a file, or the shipped one of this name.
pub(super) fn load(path: &Path) -> Result<Grammar> {
    let name = path.to_string_lossy();
    let text = match shipped(&name) {
        Some(text) if !path.exists() => text.to_owned(),
        _ if !path.exists() => {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            return Err(Problem::input(format!("there is no grammar file {name}"))
                .hint(format!("name a .gbnf file, or one that ships with the program: {}", names.join(", ")))
                .into());
        }
        _ => fsx::read_text(path)?,
    };
    Ok(Grammar::parse(&text).map_err(|error| error.problem(&name))?)
}

fn check(args: &Check, ui: &Ui) -> Result<()> {
    let mut grammar = load(&args.grammar)?;
    let name = args.grammar.display().to_string();
    let vocabulary = args.tokenizer.as_deref().map(Vocabulary::load).transpose()?;
    if let Some(vocabulary) = &vocabulary {
        for token in grammar.bind_tokens(|text| vocabulary.token_id(text)) {
            ui.warn(&format!("{token} is no single token of this vocabulary: nothing matches it"));
        }
    } else if grammar.has_tokens() {
        ui.warn("the grammar has token literals; a text without --tokenizer has no tokens to match them");
    }
    let grammar = Arc::new(grammar);
    let text = match (&args.text, &args.input) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(path)) if path.as_os_str() == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Some(bytes)
        }
        (None, Some(path)) => Some(fsx::read(path)?),
        (None, None) => None,
    };
    let Some(text) = text else {
        let rules = grammar.rules().count();
        if ui.is_json() {
            ui.json("expert-cli.grammar-check/1", json!({"grammar": name, "sound": true, "rules": rules}))?;
        } else {
            ui.data(&format!("{name}: sound, {rules} rules"))?;
        }
        ui.next(&format!("expert-cli grammar check {name} --text \"…\""));
        return Ok(());
    };
    let matcher = crate::grammar::Matcher::new(grammar.clone());
    let ask = |text: &[u8]| -> Result<Verdict> {
        match (&vocabulary, &args.tokenizer) {
            (Some(vocabulary), Some(path)) if grammar.has_tokens() => {
                let ids = stats::tokenizer(path)?.encode(&String::from_utf8_lossy(text))?;
                Ok(examine_tokens(&grammar, &TokenTrie::new(vocabulary, &[]), &ids))
            }
            _ => Ok(examine_with(&matcher, text)),
        }
    };
    if args.lines {
        return check_lines(&name, &text, ask, ui);
    }
    let verdict = ask(&text)?;
    let inside = verdict == Verdict::Inside;
    if ui.is_json() {
        let mut body = json!({"grammar": name, "accepted": inside, "bytes": text.len()});
        if let (Value::Object(all), Value::Object(more)) = (&mut body, as_json(&verdict, &text)) {
            all.extend(more);
        }
        ui.json("expert-cli.grammar-check/1", body)?;
    } else if inside {
        ui.data(&format!("in the language of {name} ({} bytes)", text.len()))?;
    } else {
        ui.data_untrusted(&report(&name, &verdict, &text))?;
    }
    if inside { Ok(()) } else { Err(Problem::reported(Exit::Failed).into()) }
}

fn check_lines(name: &str, text: &[u8], ask: impl Fn(&[u8]) -> Result<Verdict>, ui: &Ui) -> Result<()> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let (mut count, mut refused) = (0usize, Vec::new());
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        count += 1;
        let verdict = ask(line)?;
        if verdict != Verdict::Inside {
            refused.push((index + 1, verdict, line));
        }
    }
    if ui.is_json() {
        let lines: Vec<Value> = refused
            .iter()
            .map(|(number, verdict, line)| {
                let mut body = as_json(verdict, line);
                body["input_line"] = (*number).into();
                body
            })
            .collect();
        let body = json!({"grammar": name, "accepted": refused.is_empty(), "texts": count, "refused": lines});
        ui.json("expert-cli.grammar-check/1", body)?;
    } else {
        for (number, verdict, line) in &refused {
            ui.data_untrusted(&format!("line {number}: {}", report(name, verdict, line)))?;
        }
        ui.data(&format!("{} of {count} lines are in the language of {name}", count - refused.len()))?;
    }
    if refused.is_empty() { Ok(()) } else { Err(Problem::reported(Exit::Failed).into()) }
}

fn as_json(verdict: &Verdict, text: &[u8]) -> Value {
    let place = |offset: usize| {
        let (line, column) = line_column(text, offset);
        json!({"offset": offset, "line": line, "column": column})
    };
    match verdict {
        Verdict::Inside => json!({}),
        Verdict::TooAmbiguous { offset } => json!({"undecided": true, "at": place(*offset)}),
        Verdict::Outside { offset, too_short, expected, may_end } => {
            let expected: Vec<_> = expected.iter().map(|e| json!({"next": e.next, "rule": e.rule})).collect();
            json!({"at": place(*offset), "too_short": too_short, "may_end": may_end, "expected": expected})
        }
    }
}

fn report(name: &str, verdict: &Verdict, text: &[u8]) -> String {
    let (offset, short, expected, may_end) = match verdict {
        Verdict::Inside => return format!("in the language of {name}\n"),
        Verdict::TooAmbiguous { offset } => {
            return format!("undecided: at byte {offset} the text can be read in more ways than the limits allow\n");
        }
        Verdict::Outside { offset, too_short, expected, may_end } => (*offset, *too_short, expected, *may_end),
    };
    let (line, column) = line_column(text, offset);
    let what = if short { "the text ends too early" } else { "the text leaves the language" };
    let mut out = format!("not in the language of {name}: {what} at byte {offset} (line {line}, column {column})\n");
    let before: Vec<char> = String::from_utf8_lossy(&text[..offset]).chars().collect();
    let before: String = before[before.len().saturating_sub(AROUND)..].iter().collect();
    let behind: String = String::from_utf8_lossy(&text[offset..]).chars().take(AROUND / 2).collect();
    let flat = |part: &str| escape(part).replace('\n', "↵").replace('\t', " ");
    let before = flat(&before);
    out += &format!("  {before}{}\n  {}^\n", flat(&behind), " ".repeat(before.chars().count()));
    if may_end {
        out += "  it might have ended here, or gone on with:\n";
    } else {
        out += "  what could have followed:\n";
    }
    for way in expected.iter().take(SHOWN) {
        out += &format!("    {:<24} {}\n", way.next, way.rule);
    }
    if expected.len() > SHOWN {
        out += &format!("    and {} more\n", expected.len() - SHOWN);
    }
    out
}
