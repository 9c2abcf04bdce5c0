//! Text to trees: tokens are mended before they are parsed where a dialect has what `sqlparser` does not read.

use sqlparser::ast::{Expr, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::Source;
use crate::error::{Problem, Result};
use crate::sql::Dialect;

/// What a text holds.
#[derive(Clone)]
pub(super) enum Body {
    /// Statements.
    Statements(Vec<Statement>),
    /// One expression.
    Expression(Box<Expr>),
}

/// A text that was read.
#[derive(Clone)]
pub(super) struct Text {
    /// Its tree.
    pub body: Body,
    /// The rules that already changed its tokens.
    pub applied: Vec<&'static str>,
    /// Whether it ended in `;`.
    semicolon: bool,
}

impl Text {
    /// The tree as text.
    pub fn to_sql(&self) -> String {
        let mut sql = match &self.body {
            Body::Statements(statements) => statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(";\n"),
            Body::Expression(expr) => expr.to_string(),
        };
        if self.semicolon {
            sql.push(';');
        }
        sql
    }
}

/// Reads statements, or a lone expression.
pub(super) fn statements(sql: &str, source: Source) -> Result<Text> {
    let dialect = source.dialect();
    let refuse = |reason: &str| Problem::input(format!("the SQL does not parse as {}: {reason}", dialect.name()));
    // MySQL's backslashes are resolved here; everything else keeps its text to the byte.
    let unescape = source == Source::MySql;
    let mut tokens = tokenized(sql, dialect, unescape).map_err(|error| refuse(&error))?;
    crate::sql::parse::check_size(&tokens).map_err(|reason| refuse(&reason))?;
    let mut applied = Vec::new();
    let escaped = |token: &TokenWithSpan| matches!(token.token, Token::SingleQuotedString(_));
    if unescape && sql.contains('\\') && tokens.iter().any(escaped) {
        applied.push("backslash-escapes");
    }
    mend(&mut tokens, source, &mut applied);
    let last = tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    let semicolon = last.is_some_and(|token| token.token == Token::SemiColon);
    let body = match crate::sql::parse::parse_tokens(tokens, dialect) {
        Ok(statements) if !statements.is_empty() => Body::Statements(statements),
        Ok(_) => return Err(refuse("there is no statement in it").into()),
        Err(error) => {
            // The parser has taken the tokens; another reading is rare enough to make them again.
            let mut tokens = tokenized(sql, dialect, unescape).map_err(|error| refuse(&error))?;
            mend(&mut tokens, source, &mut Vec::new());
            match retry(&tokens, dialect) {
                Some(body) => body,
                None => return Err(refuse(&error).into()),
            }
        }
    };
    Ok(Text { body, applied, semicolon })
}

fn tokenized(sql: &str, dialect: Dialect, unescape: bool) -> Result<Vec<TokenWithSpan>, String> {
    let tokenizer = Tokenizer::new(dialect.parser(), sql);
    tokenizer.with_unescape(unescape).tokenize_with_location().map_err(|error| error.to_string())
}

/// A lone expression, or a statement that only the most permissive reading takes.
fn retry(tokens: &[TokenWithSpan], dialect: Dialect) -> Option<Body> {
    let expression = |dialect: Dialect| {
        let mut parser = Parser::new(dialect.parser()).with_tokens_with_locations(tokens.to_vec());
        let expr = parser.parse_expr().ok()?;
        (parser.peek_token().token == Token::EOF).then(|| Body::Expression(Box::new(expr)))
    };
    let statement = tokens.iter().find_map(|token| match &token.token {
        Token::Whitespace(_) | Token::LParen => None,
        Token::Word(word) => Some(matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::INSERT)),
        _ => Some(false),
    });
    Some(dialect).filter(|_| statement != Some(true)).and_then(expression).or_else(|| {
        let statements = crate::sql::parse::parse_tokens(tokens.to_vec(), Dialect::Generic).ok()?;
        (!statements.is_empty()).then_some(Body::Statements(statements))
    })
}

fn mend(tokens: &mut Vec<TokenWithSpan>, source: Source, applied: &mut Vec<&'static str>) {
    let mut did = |rule: &'static str| {
        if !applied.contains(&rule) {
            applied.push(rule);
        }
    };
    if source == Source::MySql {
        binary_numbers(tokens, &mut did);
        modulo_words(tokens, &mut did);
        column_words(tokens, &mut did);
        bangs(tokens);
        for token in tokens.iter_mut() {
            match &mut token.token {
                Token::Whitespace(Whitespace::SingleLineComment { prefix, .. }) if prefix == "#" => {
                    token.token = Token::Whitespace(Whitespace::Newline);
                    did("comments-dropped");
                }
                Token::HexStringLiteral(_) => did("hexadecimal-numbers"),
                Token::SingleQuotedString(text) if text.contains('\'') => *text = text.replace('\'', "''"),
                Token::DoubleQuotedString(text) => {
                    token.token = Token::SingleQuotedString(text.replace('\'', "''"));
                    did("double-quoted-strings");
                }
                Token::StringConcat => {
                    token.token = word("OR", Keyword::OR);
                    did("logical-operators");
                }
                Token::ExclamationMark => {
                    token.token = word("NOT ", Keyword::NOT);
                    did("logical-operators");
                }
                Token::Overlap => {
                    token.token = word("AND", Keyword::AND);
                    did("logical-operators");
                }
                _ => {}
            }
        }
    }
    if source == Source::MySql {
        super::mend::mysql(tokens, &mut did);
    }
    if source == Source::Sqlite {
        sqlite_is(tokens, &mut did);
        super::mend::sqlite(tokens, &mut did);
    }
    if source != Source::Postgres {
        limited_arms(tokens, &mut did);
    }
}

/// MySQL's `0b1011`, which the tokenizer takes for a number and a word.
fn binary_numbers(tokens: &mut Vec<TokenWithSpan>, did: &mut impl FnMut(&'static str)) {
    let mut at = 0;
    while at < tokens.len() {
        let bits = match (&tokens[at].token, tokens.get(at + 1).map(|token| &token.token)) {
            (Token::Number(zero, _), Some(Token::Word(word))) if zero == "0" && word.quote_style.is_none() => word
                .value
                .strip_prefix('b')
                .filter(|bits| !bits.is_empty() && bits.bytes().all(|b| matches!(b, b'0' | b'1')))
                .map(str::to_owned),
            (Token::Word(word), _) if word.quote_style.is_none() => word
                .value
                .strip_prefix("0b")
                .filter(|bits| !bits.is_empty() && bits.bytes().all(|b| matches!(b, b'0' | b'1')))
                .map(str::to_owned),
            _ => None,
        };
        if let Some(bits) = bits {
            if matches!(tokens[at].token, Token::Number(..)) {
                tokens.remove(at + 1);
            }
            tokens[at].token = Token::SingleQuotedByteStringLiteral(bits);
            did("binary-numbers");
        }
        at += 1;
    }
}

/// `CHARSET x` and `SIGNED` behind a column's type: what only concerns storage is not read by the parser.
fn column_words(tokens: &mut [TokenWithSpan], did: &mut impl FnMut(&'static str)) {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    if !first.is_some_and(|token| is_word(token, "CREATE") || is_word(token, "ALTER")) {
        return;
    }
    let blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    for at in 1..tokens.len() {
        let before = tokens[..at].iter().rposition(|token| !blank(token));
        let Some(before) = before.map(|place| &tokens[place]) else { continue };
        let behind_type = before.token == Token::RParen || matches!(before.token, Token::Word(_));
        if !behind_type || is_word(before, "AS") || is_word(before, "DEFAULT") {
            continue;
        }
        let empty = Token::Whitespace(Whitespace::Space);
        if is_word(&tokens[at], "SIGNED") || is_word(&tokens[at], "ZEROFILL") {
            tokens[at].token = empty;
            did("storage-options-dropped");
        } else if is_word(&tokens[at], "CHARSET")
            && let Some(name) = (at + 1..tokens.len()).find(|&place| !blank(&tokens[place]))
            && matches!(tokens[name].token, Token::Word(_))
        {
            tokens[at].token = empty.clone();
            tokens[name].token = empty;
            did("storage-options-dropped");
        }
    }
}

pub(super) fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// MySQL's `!a = b` is `(NOT a) = b`: `!` binds closer than every operator, NOT looser. The operand is put in brackets
/// together with its NOT where an operator follows.
fn bangs(tokens: &mut Vec<TokenWithSpan>) {
    for at in (0..tokens.len()).rev() {
        if tokens[at].token != Token::ExclamationMark {
            continue;
        }
        let Some(end) = operand_end(tokens, at + 1) else { continue };
        let next = tokens[end..].iter().map(|token| &token.token).find(|token| !matches!(token, Token::Whitespace(_)));
        let operator = match next {
            Some(Token::Word(word)) => {
                matches!(word.keyword, Keyword::IN | Keyword::LIKE | Keyword::BETWEEN | Keyword::IS | Keyword::DIV)
            }
            Some(Token::Comma | Token::RParen | Token::SemiColon | Token::EOF) | None => false,
            Some(_) => true,
        };
        let signed = tokens[..at].iter().rev().map(|token| &token.token).find(|t| !matches!(t, Token::Whitespace(_)));
        if operator || matches!(signed, Some(Token::Minus | Token::Plus | Token::ExclamationMark)) {
            let span = tokens[at].span;
            tokens.insert(end, TokenWithSpan { token: Token::RParen, span });
            tokens.insert(at, TokenWithSpan { token: Token::LParen, span });
        }
    }
}

/// Where the operand that begins at `from` ends: signs, then a number, a string, a name or a call, or brackets.
fn operand_end(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    let mut at = from;
    while matches!(tokens.get(at)?.token, Token::Whitespace(_) | Token::Minus | Token::Plus | Token::ExclamationMark) {
        at += 1;
    }
    if tokens[at].token != Token::LParen {
        at += 1;
        while tokens.get(at).is_some_and(|token| token.token == Token::Period) {
            at += 2;
        }
    }
    if tokens.get(at).is_some_and(|token| token.token == Token::LParen) {
        let mut depth = 0usize;
        while let Some(token) = tokens.get(at) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
    }
    (at <= tokens.len()).then_some(at)
}

/// MySQL's `a MOD b`.
fn modulo_words(tokens: &mut [TokenWithSpan], did: &mut impl FnMut(&'static str)) {
    let blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    for at in 1..tokens.len() {
        let is_mod = matches!(&tokens[at].token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("mod"));
        let next = tokens[at + 1..].iter().find(|token| !blank(token));
        let before = tokens[..at].iter().rev().find(|token| !blank(token));
        let operand = before.is_some_and(|token| match &token.token {
            Token::Number(..) | Token::RParen => true,
            Token::Word(word) => word.keyword == Keyword::NoKeyword || word.quote_style.is_some(),
            _ => false,
        });
        if is_mod
            && operand
            && blank(&tokens[at - 1])
            && next.is_some_and(|token| !matches!(token.token, Token::Comma | Token::EOF))
        {
            tokens[at].token = Token::Mod;
            did("modulo");
        }
    }
}

pub(super) fn word(text: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: text.to_owned(), quote_style: None, keyword })
}

/// SQLite's `a IS b` and `a IS NOT b`, `==`, postfix ISNULL.
fn sqlite_is(tokens: &mut Vec<TokenWithSpan>, did: &mut impl FnMut(&'static str)) {
    let keyword = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].token == Token::DoubleEq {
            tokens[at].token = Token::Eq;
            did("double-equals");
        }
        if keyword(tokens.get(at)) == Some(Keyword::IS) {
            let next = |from: usize| (from..tokens.len()).find(|&i| !matches!(tokens[i].token, Token::Whitespace(_)));
            let Some(mut after) = next(at + 1) else { break };
            let negated = keyword(tokens.get(after)) == Some(Keyword::NOT);
            let not_at = after;
            if negated {
                let Some(found) = next(after + 1) else { break };
                after = found;
            }
            use Keyword as K;
            let known = matches!(
                keyword(tokens.get(after)),
                Some(
                    K::NULL | K::TRUE | K::FALSE | K::DISTINCT | K::UNKNOWN | K::JSON | K::NORMALIZED | K::NFC | K::NFD
                )
            );
            if !known {
                let span = tokens[at].span;
                let make = |text: &str, keyword| TokenWithSpan { token: word(text, keyword), span };
                let space = || TokenWithSpan { token: Token::Whitespace(Whitespace::Space), span };
                let mut inserted = vec![space()];
                if !negated {
                    inserted.extend([make("NOT", K::NOT), space()]);
                }
                inserted.extend([make("DISTINCT", K::DISTINCT), space(), make("FROM", K::FROM), space()]);
                if negated {
                    // IS NOT x says "distinct from": the NOT goes.
                    tokens[not_at].token = Token::Whitespace(Whitespace::Space);
                }
                let place = if negated { not_at + 1 } else { at + 1 };
                tokens.splice(place..place, inserted);
                did("is-operator");
            }
        }
        at += 1;
    }
}

/// `SELECT … LIMIT 3 INTERSECT SELECT …`: brackets around the arm that has a LIMIT.
fn limited_arms(tokens: &mut Vec<TokenWithSpan>, did: &mut impl FnMut(&'static str)) {
    let mut depth = 0usize;
    let mut starts = vec![0usize];
    let mut limited = vec![false];
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => {
                depth += 1;
                starts.push(at + 1);
                limited.push(false);
            }
            Token::RParen if depth > 0 => {
                depth -= 1;
                starts.pop();
                limited.pop();
            }
            Token::SemiColon => {
                starts[depth] = at + 1;
                limited[depth] = false;
            }
            Token::Word(found) if found.quote_style.is_none() => match found.keyword {
                Keyword::LIMIT => limited[depth] = true,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    if limited[depth] {
                        let span = tokens[at].span;
                        tokens.insert(at, TokenWithSpan { token: Token::RParen, span });
                        tokens.insert(starts[depth], TokenWithSpan { token: Token::LParen, span });
                        at += 2;
                        limited[depth] = false;
                        did("limited-arm");
                    }
                    starts[depth] = at + 1;
                    if let Some(Token::Word(next)) = tokens[at + 1..]
                        .iter()
                        .map(|token| &token.token)
                        .find(|token| !matches!(token, Token::Whitespace(_)))
                        && matches!(next.keyword, Keyword::ALL | Keyword::DISTINCT)
                    {
                        let skip = tokens[at + 1..].iter().position(|token| matches!(&token.token, Token::Word(_)));
                        starts[depth] = at + 2 + skip.unwrap_or_default();
                    }
                }
                _ => {}
            },
            _ => {}
        }
        at += 1;
    }
}

/// Whether a text can be read as this source at all.
pub(super) fn can_read(sql: &str, source: Source) -> bool {
    statements(sql, source).is_ok_and(|text| matches!(text.body, Body::Statements(_)))
}
