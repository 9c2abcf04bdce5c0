//! Where an answer ends: stop sequences watched byte by byte, across token borders, and thinking blocks taken out.
//!
//! A stop sequence fires only where it begins outside literals, quoted names and comments; prose before the statement
//! has no literals, so that an apostrophe in it hides nothing. The turn markers of a layout end the answer wherever
//! they stand: no SQL holds them. White space before the answer begins never stops it (models put an empty line behind
//! their thinking).

use super::thinking;
use crate::sql::extract::begins_statement;
use crate::sql::scan::{Quoting, Region, Scanner};

/// What ends an answer besides an end-of-sequence id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopRules {
    /// Stop sequences as users and manifests give them.
    pub sequences: Vec<String>,
    /// Turn markers of the layout: they end the answer even where a quote was left open.
    pub turn_markers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Stop,
    Turn,
    ThinkingBegins,
    ThinkingEnds,
}

/// What came out of a piece of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// Text of the answer that no stop sequence can take back any more.
    pub text: String,
    /// Whether a stop sequence was completed; which one, [`Watch::stopped`] tells.
    pub stopped: bool,
}

/// Watches one answer as it is written.
#[derive(Debug, Clone)]
pub struct Watch {
    patterns: Vec<(String, Meaning)>,
    quoting: Quoting,
    thinking: bool,
    /// The answer so far; while thinking, what stood before the block.
    answer: String,
    /// Thinking so far, blocks one after another.
    reasoning: String,
    /// How much of `answer` has been released.
    released: usize,
    /// For every byte of the block or answer that is being read: may a stop sequence begin here?
    outside: Vec<bool>,
    scanner: Scanner,
    /// The statement has begun: quotes count.
    in_statement: bool,
    word: String,
    words: usize,
    /// Where the running block began in `reasoning`, or the running answer in `answer`.
    from: usize,
    stopped: Option<String>,
}

impl Watch {
    /// A watch under these rules. `thinking`: the prompt ends inside an open thinking block.
    pub fn new(rules: &StopRules, quoting: Quoting, thinking: bool) -> Self {
        let mut patterns: Vec<(String, Meaning)> = Vec::new();
        let mut add = |texts: &mut dyn Iterator<Item = &str>, meaning| {
            patterns.extend(texts.filter(|t| !t.is_empty()).map(|t| (t.to_owned(), meaning)));
        };
        add(&mut rules.turn_markers.iter().map(String::as_str), Meaning::Turn);
        add(&mut rules.sequences.iter().map(String::as_str), Meaning::Stop);
        add(&mut thinking::TAGS.iter().map(|tag| tag.0), Meaning::ThinkingBegins);
        add(&mut thinking::TAGS.iter().map(|tag| tag.1), Meaning::ThinkingEnds);
        Self {
            patterns,
            quoting,
            thinking,
            answer: String::new(),
            reasoning: String::new(),
            released: 0,
            outside: Vec::new(),
            scanner: Scanner::new(quoting),
            in_statement: false,
            word: String::new(),
            words: 0,
            from: 0,
            stopped: None,
        }
    }

    /// Reads a piece of text. After a stop nothing more is read.
    pub fn push(&mut self, piece: &str) -> Released {
        for c in piece.chars() {
            if self.stopped.is_some() {
                break;
            }
            let (text, thinking) = if self.thinking { (&mut self.reasoning, true) } else { (&mut self.answer, false) };
            text.push(c);
            let mut encoded = [0; 4];
            for &byte in c.encode_utf8(&mut encoded).as_bytes() {
                let outside = thinking || self.look(byte);
                self.outside.push(outside);
            }
            self.act();
        }
        Released { text: self.release(), stopped: self.stopped.is_some() }
    }

    /// The text ends here: releases what was held back.
    pub fn finish(&mut self) -> String {
        let rest = self.answer[self.released..].to_owned();
        self.released = self.answer.len();
        rest
    }

    /// The answer without thinking blocks and without the stop sequence.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// What was thought, without the tags.
    pub fn reasoning(&self) -> &str {
        self.reasoning.trim()
    }

    /// Whether a thinking block is open.
    pub fn is_thinking(&self) -> bool {
        self.thinking
    }

    /// The stop sequence that ended the answer.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Reads a byte of the answer: may a stop sequence begin at it?
    fn look(&mut self, byte: u8) -> bool {
        let outside = self.scanner.is_outside(byte);
        self.scanner.push(byte);
        if self.in_statement {
            return outside;
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            if outside {
                self.word.push(char::from(byte));
            }
        } else if !self.word.is_empty() {
            self.words += 1;
            let word = std::mem::take(&mut self.word);
            if outside && begins_statement(&word, self.words == 1) {
                self.in_statement = true;
                self.scanner = Scanner::new(self.quoting);
                self.scanner.push(byte);
            }
        }
        if !self.in_statement && matches!(self.scanner.region(), Region::Literal | Region::QuotedName) {
            self.scanner = Scanner::new(self.quoting); // an apostrophe of prose
        }
        outside
    }

    /// Acts on the pattern that the text now ends with, if any: the longest one.
    fn act(&mut self) {
        let text = if self.thinking { &self.reasoning } else { &self.answer };
        let running = &text[self.from..];
        let begun = running.len() - running.trim_start().len();
        let fires = |(pattern, meaning): &&(String, Meaning)| {
            let Some(at) = running.len().checked_sub(pattern.len()).filter(|_| running.ends_with(pattern.as_str()))
            else {
                return false;
            };
            match meaning {
                Meaning::Turn => true,
                Meaning::Stop => !self.thinking && at >= begun && self.outside[at],
                Meaning::ThinkingBegins => !self.thinking && self.outside[at],
                Meaning::ThinkingEnds => self.thinking || self.outside[at],
            }
        };
        let Some((pattern, meaning)) = self.patterns.iter().filter(fires).max_by_key(|(p, _)| p.len()).cloned() else {
            return;
        };
        let text = if self.thinking { &mut self.reasoning } else { &mut self.answer };
        text.truncate(text.len() - pattern.len());
        match meaning {
            Meaning::Stop | Meaning::Turn => self.stopped = Some(pattern),
            Meaning::ThinkingBegins => {
                self.thinking = true;
                if !self.reasoning.is_empty() {
                    self.reasoning.push('\n');
                }
                self.restart(self.reasoning.len());
            }
            Meaning::ThinkingEnds => {
                if !self.thinking {
                    // The block was opened by the prompt: all of this was thinking.
                    self.reasoning.push_str(&self.answer[self.from..]);
                    self.answer.truncate(self.from);
                    self.released = self.released.min(self.answer.len());
                }
                self.thinking = false;
                self.restart(self.answer.len());
            }
        }
    }

    fn restart(&mut self, from: usize) {
        self.from = from;
        self.outside.clear();
        self.scanner = Scanner::new(self.quoting);
        self.in_statement = false;
        self.word.clear();
        self.words = 0;
    }

    /// The new text behind which no pattern can have begun.
    fn release(&mut self) -> String {
        if self.thinking {
            return String::new();
        }
        let held = self.patterns.iter().map(|(pattern, _)| overlap(&self.answer, pattern)).max().unwrap_or(0);
        let held = if self.stopped.is_some() { 0 } else { held };
        let until = (self.answer.len() - held).max(self.released);
        let text = self.answer[self.released..until].to_owned();
        self.released = until;
        text
    }
}

/// The length of the longest proper prefix of `pattern` that `text` ends with.
fn overlap(text: &str, pattern: &str) -> usize {
    let longest = pattern.len().saturating_sub(1).min(text.len());
    (1..=longest).rev().find(|&n| pattern.is_char_boundary(n) && text.ends_with(&pattern[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
