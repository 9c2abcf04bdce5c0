//! Literals, classes, escapes and token literals.

use super::{Reader, Result};
use crate::grammar::gbnf::syntax::{Item, TokenName};

const ESCAPES: &str = r#"known escapes: \x41 \u00e9 \U0001f600 \t \r \n \\ \" \[ \] \-"#;

impl Reader<'_> {
    fn end(&self, what: &str, start: usize) -> super::GrammarError {
        self.error(start, format!("this {what} is never closed"), "add the closing sign")
    }

    /// `"…"`; `None` for the empty one.
    pub(super) fn literal(&mut self) -> Result<Option<Item>> {
        let start = self.at;
        self.at += 1;
        let mut points = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.end("literal", start)),
                Some(b'"') => break,
                Some(_) => points.push(self.character()?),
            }
        }
        self.at += 1;
        Ok((!points.is_empty()).then_some(Item::Literal(points)))
    }

    /// `[…]`; `None` for `[]` and `[^]`, which llama.cpp reads as the empty text.
    pub(super) fn class(&mut self) -> Result<Option<Item>> {
        let start = self.at;
        self.at += 1;
        let negated = self.peek() == Some(b'^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.end("class", start)),
                Some(b']') => break,
                Some(_) => {}
            }
            let low = self.character()?;
            let mut high = low;
            // A `-` right before `]` is itself.
            if self.peek() == Some(b'-') && self.bytes.get(self.at + 1) != Some(&b']') {
                self.at += 1;
                if self.peek().is_none() {
                    return Err(self.end("class", start));
                }
                high = self.character()?;
            }
            ranges.push((low, high));
        }
        self.at += 1;
        Ok((!ranges.is_empty()).then_some(Item::Class { ranges, negated }))
    }

    /// One character or escape.
    fn character(&mut self) -> Result<u32> {
        let start = self.at;
        if self.peek() != Some(b'\\') {
            let c = self.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or('\u{fffd}');
            self.at += c.len_utf8();
            return Ok(u32::from(c));
        }
        let Some(kind) = self.bytes.get(start + 1).copied() else {
            return Err(self.error(start, "the grammar ends inside an escape", ESCAPES));
        };
        self.at += 2;
        let digits = match kind {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b't' => return Ok(9),
            b'r' => return Ok(13),
            b'n' => return Ok(10),
            b'\\' | b'"' | b'[' | b']' | b'-' => return Ok(u32::from(kind)),
            _ => {
                self.at = start + 1;
                let what = format!(r"unknown escape `\{}`", self.found().trim_matches('`'));
                return Err(self.error(start, what, ESCAPES));
            }
        };
        let hex = self.bytes.get(self.at..self.at + digits).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let Some(hex) = hex else {
            let what = format!(r"`\{}` takes {digits} hexadecimal digits", kind as char);
            return Err(self.error(start, what, ESCAPES));
        };
        self.at += digits;
        Ok(hex.iter().fold(0, |value, digit| (value << 4) + (*digit as char).to_digit(16).unwrap_or(0)))
    }

    /// `<[id]>`, `<text>`, `!<…>`.
    pub(super) fn token(&mut self) -> Result<Option<Item>> {
        const HINT: &str = "a token is written <[id]> or <text>, any other token !<[id]> or !<text>";
        let start = self.at;
        let negated = self.peek() == Some(b'!');
        self.at += usize::from(negated);
        if self.peek() != Some(b'<') {
            return Err(self.error(self.at, format!("`<` is expected after `!`, not {}", self.found()), HINT));
        }
        let text_start = self.at;
        self.at += 1;
        if self.peek() == Some(b'[') {
            self.at += 1;
            let digits = self.digits();
            let id = digits.parse::<u32>();
            if digits.is_empty() || !self.bytes[self.at..].starts_with(b"]>") {
                return Err(self.error(
                    self.at,
                    format!("a token id and `]>` are expected, not {}", self.found()),
                    HINT,
                ));
            }
            let id = id.map_err(|_| self.error(start, format!("token id {digits} is too large"), HINT))?;
            self.at += 2;
            return Ok(Some(Item::Token { token: TokenName::Id(id), negated }));
        }
        let Some(length) = self.bytes[self.at..].iter().position(|b| *b == b'>') else {
            return Err(self.error(start, "`>` of this token literal is missing", HINT));
        };
        self.at += length + 1;
        Ok(Some(Item::Token { token: TokenName::Text(self.text[text_start..self.at].to_owned()), negated }))
    }

    pub(super) fn digits(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.text[start..self.at].to_owned()
    }
}
