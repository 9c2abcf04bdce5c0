//! A cursor over the tokens of DDL text, and the spelling of tokens back into canonical text.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::super::Dialect;
use super::Name;
use crate::error::{Problem, Result};

/// A token that counts, or a comment.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// The token; strings and quoted names are raw (still escaped). Comments stay in the stream.
    pub token: Token,
    start: Location,
    end: Location,
}

/// The tokens of a text, read from left to right. Comments are collected on the way.
#[derive(Debug)]
pub(super) struct Cursor {
    pieces: Vec<Piece>,
    at: usize,
    comments: Vec<String>,
}

/// Tokens of `text`: read in its dialect, else in the first that can read it, because dumps of one system are often
/// pasted under the name of another.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Cursor> {
    let mut first_error = None;
    for reading in [dialect, Dialect::Generic, Dialect::Sqlite, Dialect::MySql] {
        match Tokenizer::new(reading.parser(), text).with_unescape(false).tokenize_with_location() {
            Ok(tokens) => {
                let pieces = tokens.into_iter().filter(counts).map(Piece::from).collect();
                return Ok(Cursor { pieces, at: 0, comments: Vec::new() });
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let reason = first_error.map(|error| error.to_string()).unwrap_or_default();
    Err(Problem::input(format!("the schema cannot be read: {reason}")).into())
}

fn counts(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => true,
        Token::Whitespace(_) | Token::EOF => false,
        _ => true,
    }
}

impl From<TokenWithSpan> for Piece {
    fn from(token: TokenWithSpan) -> Self {
        Self { token: token.token, start: token.span.start, end: token.span.end }
    }
}

impl Piece {
    /// The text of a comment.
    fn comment(&self) -> Option<&str> {
        match &self.token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => Some(comment),
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => Some(comment),
            _ => None,
        }
    }

    /// Whether it is this unquoted word, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }
}

impl Cursor {
    /// A cursor over some tokens of another.
    pub fn of(pieces: Vec<Piece>) -> Self {
        Self { pieces, at: 0, comments: Vec::new() }
    }

    /// The next token that is no comment; comments before it are collected.
    pub fn peek(&mut self) -> Option<&Piece> {
        while let Some(comment) = self.pieces.get(self.at).and_then(Piece::comment) {
            self.comments.push(comment.to_owned());
            self.at += 1;
        }
        self.pieces.get(self.at)
    }

    /// The token `ahead` tokens behind the next one.
    pub fn peek_at(&mut self, ahead: usize) -> Option<&Piece> {
        self.peek();
        self.pieces[self.at.min(self.pieces.len())..].iter().filter(|piece| piece.comment().is_none()).nth(ahead)
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Option<Piece> {
        let piece = self.peek()?.clone();
        self.at += 1;
        Some(piece)
    }

    /// Takes the next token if it is this one.
    pub fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|piece| piece.token == *token);
        self.at += usize::from(found);
        found
    }

    /// Takes the next tokens if they are these words.
    pub fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(i, word)| self.peek_at(i).is_some_and(|piece| piece.is_word(word)));
        if found {
            words.iter().for_each(|_| drop(self.next()));
        }
        found
    }

    /// Whether the next token is one of these words.
    pub fn at_word(&mut self, words: &[&str]) -> bool {
        self.peek().is_some_and(|piece| words.iter().any(|word| piece.is_word(word)))
    }

    /// Whether nothing is left.
    pub fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The comments passed since the last call, as one line.
    pub fn take_comments(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.comments).join(" ");
        remark(&text)
    }

    /// A name: a word, a quoted name, or what stands together without a space (`2nd-place`).
    pub fn name(&mut self) -> Option<Name> {
        let piece = self.next()?;
        if let Some((raw, quote)) = quoted(&piece.token) {
            return Some(Name::new(unescape(raw, quote), true));
        }
        if piece.token == Token::LBracket {
            let mut text = String::new();
            while let Some(inner) = self.next().filter(|inner| inner.token != Token::RBracket) {
                text.push_str(if text.is_empty() { "" } else { " " });
                text.push_str(&inner.token.to_string());
            }
            return Some(Name::new(text, true));
        }
        let mut text = match &piece.token {
            Token::Word(word) => word.value.clone(),
            token if is_name_part(token) => token.to_string(),
            _ => {
                self.at -= 1;
                return None;
            }
        };
        let mut end = piece.end;
        while let Some(next) = self.pieces.get(self.at).filter(|next| next.start == end && is_name_part(&next.token)) {
            text.push_str(&next.token.to_string());
            end = next.end;
            self.at += 1;
        }
        Some(Name::new(text, false))
    }

    /// A name with up to two names before it, separated by dots.
    pub fn dotted_name(&mut self) -> Option<(Option<Name>, Name)> {
        let mut before = None;
        let mut name = self.name()?;
        while self.eat(&Token::Period) {
            before = Some(name);
            name = self.name()?;
        }
        Some((before, name))
    }

    /// The tokens between the bracket that comes next and its partner, comments included.
    pub fn group(&mut self) -> Option<Vec<Piece>> {
        if !self.eat(&Token::LParen) {
            return None;
        }
        let mut depth = 1usize;
        let start = self.at;
        while let Some(piece) = self.pieces.get(self.at) {
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(self.pieces[start..self.at - 1].to_vec());
            }
        }
        None
    }

    /// The tokens up to and without the `;` that ends the statement (which is taken).
    pub fn rest_of_statement(&mut self) -> Vec<Piece> {
        let mut taken = Vec::new();
        while let Some(piece) = self.next().filter(|piece| piece.token != Token::SemiColon) {
            taken.push(piece);
        }
        taken
    }
}

/// Splits at the commas that stand outside of brackets. A comment right behind a comma, on its line, stays with what is
/// before the comma.
pub(super) fn split_at_commas(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let (mut items, mut item, mut depth) = (Vec::new(), Vec::new(), 0usize);
    let mut comma_line = None;
    for piece in pieces {
        match piece.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                comma_line = Some(piece.end.line);
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        let line_comment = matches!(&piece.token, Token::Whitespace(Whitespace::SingleLineComment { .. }));
        match items.last_mut() {
            Some(last) if line_comment && item.is_empty() && comma_line == Some(piece.start.line) => last.push(piece),
            _ => item.push(piece),
        }
    }
    items.push(item);
    items
}

/// A quoted token's raw content and its quote.
fn quoted(token: &Token) -> Option<(&str, char)> {
    match token {
        Token::Word(word) => word.quote_style.map(|quote| (word.value.as_str(), quote)),
        Token::DoubleQuotedString(text) => Some((text, '"')),
        Token::SingleQuotedString(text) => Some((text, '\'')),
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn string(token: &Token) -> Option<String> {
    match token {
        Token::SingleQuotedString(text) => Some(unescape(text, '\'')),
        Token::DoubleQuotedString(text) => Some(unescape(text, '"')),
        _ => None,
    }
}

fn unescape(raw: &str, quote: char) -> String {
    raw.replace(&format!("{quote}{quote}"), &quote.to_string())
}

fn is_name_part(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_none(),
        Token::Number(..) | Token::Minus | Token::Div | Token::Mod | Token::Sharp | Token::Ampersand => true,
        Token::Char(_) | Token::Placeholder(_) | Token::AtSign | Token::Question => true,
        _ => false,
    }
}

/// A remark as it is kept: one line, and nothing that would end the comment it is written in.
pub(super) fn remark(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace("*/", "* /").replace("/*", "/ *");
    (!text.is_empty()).then_some(text)
}

/// Tokens as canonical text: one space between words, none around brackets and dots. `upper` writes bare words in upper
/// case and no space behind commas, as types have it.
pub(super) fn spell(pieces: &[Piece], upper: bool) -> String {
    let mut text = String::new();
    let mut before: Option<&Token> = None;
    for piece in pieces.iter().filter(|piece| piece.comment().is_none()) {
        let token = &piece.token;
        if before.is_some_and(|before| needs_space(before, token, upper)) {
            text.push(' ');
        }
        let written = token.to_string();
        match token {
            Token::Word(word) if upper && word.quote_style.is_none() => text.push_str(&written.to_uppercase()),
            _ => text.push_str(&written),
        }
        before = Some(token);
    }
    text
}

fn needs_space(before: &Token, after: &Token, tight: bool) -> bool {
    use Token as T;
    match (before, after) {
        (_, T::Comma | T::RParen | T::Period | T::DoubleColon | T::LBracket | T::RBracket) => false,
        (T::LParen | T::Period | T::DoubleColon | T::LBracket, _) => false,
        (T::Comma, _) => !tight,
        (T::Word(word), T::LParen) => !tight && is_operator_word(&word.value),
        (T::Number(..) | T::SingleQuotedString(_), T::LParen) => true,
        _ => true,
    }
}

/// Words behind which a bracket opens a group, not a list of arguments.
fn is_operator_word(word: &str) -> bool {
    [
        "and", "or", "not", "in", "as", "on", "where", "from", "join", "select", "when", "then", "else", "by",
        "between", "like", "is", "having", "union", "all", "exists", "values", "over", "using", "distinct",
    ]
    .iter()
    .any(|operator| operator.eq_ignore_ascii_case(word))
}
