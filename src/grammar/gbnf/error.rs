//! Why a grammar does not parse: the place, the line with a caret under it, and what to do.

use std::fmt;

use crate::error::Problem;

/// Longest piece of a source line that a message shows, in characters; longer lines are cut around the place.
const SHOWN: usize = 100;

/// A grammar that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrammarError {
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The source line and, under it, a caret at the place.
    pub snippet: String,
}

impl GrammarError {
    pub(in crate::grammar) fn at(
        text: &str,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let offset = floor_char(text, offset);
        let (line, column) = line_column(text.as_bytes(), offset);
        let start = text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let rest = &text[start..];
        let whole = &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())];
        let skipped = (column - 1).saturating_sub(SHOWN * 3 / 4);
        let shown: String =
            whole.chars().skip(skipped).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let caret = " ".repeat(column - 1 - skipped);
        let snippet = format!("{line:>5} | {shown}\n      | {caret}^");
        Self { message: message.into(), hint: hint.into(), line, column, snippet }
    }

    /// The problem a person sees (exit 3); `name` is the file or what else the grammar came from.
    pub fn problem(&self, name: &str) -> Problem {
        let mut problem = Problem::input(format!("{name}:{}:{}: {}", self.line, self.column, self.message));
        for line in self.snippet.lines() {
            problem = problem.detail(line);
        }
        problem.hint(self.hint.clone())
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n{}", self.line, self.column, self.message, self.snippet)
    }
}

impl std::error::Error for GrammarError {}

/// Line and column (in characters; a byte that starts none counts as one) of a byte offset, both from 1.
pub fn line_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let mut line = 1;
    let mut start = 0;
    for (at, byte) in before.iter().enumerate() {
        if *byte == b'\n' || (*byte == b'\r' && text.get(at + 1) != Some(&b'\n')) {
            line += 1;
            start = at + 1;
        }
    }
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

fn floor_char(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
