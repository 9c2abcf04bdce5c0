//! What a dialect writes and `sqlparser` does not read, brought into a form that it does, token by token.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::read::{is_word, word};

/// What is called with the name of the rule that changed something.
type Did<'a> = &'a mut dyn FnMut(&'static str);

/// MySQL's.
pub(super) fn mysql(tokens: &mut Vec<TokenWithSpan>, did: Did<'_>) {
    select_hints(tokens, did);
    share_mode(tokens, did);
    updated_tables(tokens, did);
    composite_intervals(tokens, did);
    joined_strings(tokens, did);
}

/// SQLite's.
pub(super) fn sqlite(tokens: &mut Vec<TokenWithSpan>, did: Did<'_>) {
    index_hints(tokens, did);
    hexadecimal_numbers(tokens, did);
    not_glob(tokens, did);
    type_words(tokens, did);
}

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn blank() -> Token {
    Token::Whitespace(Whitespace::Space)
}

/// The place of the first token from `from` on that is no space.
fn solid(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|&at| !is_blank(&tokens[at]))
}

/// The places of these words one behind the other, from the token at `at` on.
fn sequence(tokens: &[TokenWithSpan], at: usize, words: &[&str]) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(words.len());
    let mut next = Some(at);
    for word in words {
        let place = next.filter(|&place| place < tokens.len() && is_word(&tokens[place], word))?;
        places.push(place);
        next = solid(tokens, place + 1);
    }
    Some(places)
}

/// `SELECT SQL_CALC_FOUND_ROWS …`: what only concerns how the server works.
fn select_hints(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    const HINTS: &[&str] = &[
        "HIGH_PRIORITY",
        "SQL_BIG_RESULT",
        "SQL_BUFFER_RESULT",
        "SQL_CACHE",
        "SQL_CALC_FOUND_ROWS",
        "SQL_NO_CACHE",
        "SQL_SMALL_RESULT",
        "STRAIGHT_JOIN",
    ];
    for at in 0..tokens.len() {
        if !is_word(&tokens[at], "SELECT") {
            continue;
        }
        let mut next = solid(tokens, at + 1);
        while let Some(place) = next {
            let behind = solid(tokens, place + 1);
            // A name is followed by what follows names.
            let is_name = behind.is_none_or(|behind| {
                matches!(tokens[behind].token, Token::Comma | Token::Period | Token::EOF | Token::SemiColon)
                    || is_word(&tokens[behind], "FROM")
            });
            if HINTS.iter().any(|hint| is_word(&tokens[place], hint)) && !is_name {
                tokens[place].token = blank();
                did("select-hints-dropped");
            } else if !(is_word(&tokens[place], "ALL") || is_word(&tokens[place], "DISTINCT")) {
                break;
            }
            next = behind;
        }
    }
}

/// `LOCK IN SHARE MODE` is FOR SHARE.
fn share_mode(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    for at in 0..tokens.len() {
        if let Some(places) = sequence(tokens, at, &["LOCK", "IN", "SHARE", "MODE"]) {
            tokens[places[0]].token = word("FOR", Keyword::FOR);
            tokens[places[1]].token = word("SHARE", Keyword::SHARE);
            (tokens[places[2]].token, tokens[places[3]].token) = (blank(), blank());
            did("for-share");
        }
    }
}

/// `UPDATE a, b SET …`: the tables are joined.
fn updated_tables(tokens: &mut Vec<TokenWithSpan>, did: Did<'_>) {
    let first = solid(tokens, 0).filter(|&at| is_word(&tokens[at], "UPDATE"));
    let Some(mut at) = first else { return };
    let mut depth = 0usize;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                let span = tokens[at].span;
                tokens[at].token = word("CROSS", Keyword::CROSS);
                tokens.insert(at + 1, TokenWithSpan { token: blank(), span });
                tokens.insert(at + 2, TokenWithSpan { token: word("JOIN", Keyword::JOIN), span });
                did("update-join");
            }
            _ if depth == 0 && is_word(&tokens[at], "SET") => return,
            _ => {}
        }
        at += 1;
    }
}

/// `INTERVAL '1:30' HOUR_MINUTE` is 90 minutes: a composite unit in its smallest part.
fn composite_intervals(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    for at in 0..tokens.len() {
        if !is_word(&tokens[at], "INTERVAL") {
            continue;
        }
        let Some(value) = solid(tokens, at + 1) else { continue };
        let Some(unit) = solid(tokens, value + 1) else { continue };
        let Token::Word(name) = &tokens[unit].token else { continue };
        let text = match &tokens[value].token {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text,
            _ => continue,
        };
        if let Some((total, (smallest, keyword))) = smallest_part(text, &name.value.to_ascii_uppercase()) {
            tokens[value].token = Token::Number(total.to_string(), false);
            tokens[unit].token = word(smallest, keyword);
            did("interval-literal");
        }
    }
}

/// How many of its smallest part a composite span is.
fn smallest_part(text: &str, unit: &str) -> Option<(i64, (&'static str, Keyword))> {
    let (minute, second) = (("MINUTE", Keyword::MINUTE), ("SECOND", Keyword::SECOND));
    // How many of the next smaller part each part has.
    let (parts, smallest): (&[i64], _) = match unit {
        "YEAR_MONTH" => (&[12], ("MONTH", Keyword::MONTH)),
        "DAY_HOUR" => (&[24], ("HOUR", Keyword::HOUR)),
        "DAY_MINUTE" => (&[24, 60], minute),
        "DAY_SECOND" => (&[24, 60, 60], second),
        "HOUR_MINUTE" => (&[60], minute),
        "HOUR_SECOND" => (&[60, 60], second),
        "MINUTE_SECOND" => (&[60], second),
        _ => return None,
    };
    let text = text.trim();
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    let numbers: Vec<i64> = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
    if numbers.is_empty() || numbers.len() > parts.len() + 1 {
        return None;
    }
    // Parts that are missing are the larger ones.
    let mut total = numbers[0];
    for (number, per) in numbers[1..].iter().zip(&parts[parts.len() + 1 - numbers.len()..]) {
        total = total.checked_mul(*per)?.checked_add(*number)?;
    }
    Some((if text.starts_with('-') { -total } else { total }, smallest))
}

/// `'a' 'b'` is one string.
fn joined_strings(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    let mut at = 0;
    while at < tokens.len() {
        let next = solid(tokens, at + 1);
        if let (Token::SingleQuotedString(first), Some(next)) = (&tokens[at].token, next)
            && let Token::SingleQuotedString(second) = &tokens[next].token
        {
            // The place of the first is blank now, so that a third is joined too.
            tokens[next].token = Token::SingleQuotedString(format!("{first}{second}"));
            tokens[at].token = blank();
            did("adjacent-strings");
        }
        at += 1;
    }
}

/// `t INDEXED BY i`, `t NOT INDEXED`.
fn index_hints(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    for at in 0..tokens.len() {
        let by = sequence(tokens, at, &["INDEXED", "BY"]);
        if let Some(mut places) = by.or_else(|| sequence(tokens, at, &["NOT", "INDEXED"])) {
            if is_word(&tokens[at], "INDEXED") {
                places.extend(solid(tokens, places[1] + 1));
            }
            places.iter().for_each(|&place| tokens[place].token = blank());
            did("index-hints-dropped");
        }
    }
}

/// `0x1F`, which is read as a number and a word.
fn hexadecimal_numbers(tokens: &mut Vec<TokenWithSpan>, did: Did<'_>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        // 0x1F and x'1F' are the same token: only the number is as long as its digits and two more.
        let span = tokens[at].span;
        if let Token::HexStringLiteral(hex) = &tokens[at].token
            && span.start.line == span.end.line
            && span.end.column - span.start.column == hex.len() as u64 + 2
            && let Ok(number) = i64::from_str_radix(hex, 16)
        {
            tokens[at].token = Token::Number(number.to_string(), false);
            did("hexadecimal-numbers");
        }
        let found = match (&tokens[at].token, &tokens[at + 1].token) {
            (Token::Number(zero, _), Token::Word(digits)) if zero == "0" && digits.quote_style.is_none() => {
                digits.value.strip_prefix(['x', 'X']).and_then(|hex| i64::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        if let Some(number) = found {
            tokens[at].token = Token::Number(number.to_string(), false);
            tokens.remove(at + 1);
            did("hexadecimal-numbers");
        }
        at += 1;
    }
}

/// `x NOT GLOB 'a*'`, which the parser does not take: the regular expression that does not match.
fn not_glob(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    for at in 0..tokens.len() {
        let Some(places) = sequence(tokens, at, &["NOT", "GLOB"]) else { continue };
        let Some(pattern) = solid(tokens, places[1] + 1) else { continue };
        if let Token::SingleQuotedString(raw) = &tokens[pattern].token {
            tokens[pattern].token = Token::SingleQuotedString(glob_as_regex(raw));
            tokens[places[0]].token = blank();
            tokens[places[1]].token = Token::ExclamationMarkTilde;
            did("glob");
        }
    }
}

/// The regular expression that matches what a GLOB pattern does; quotes stay doubled.
pub(super) fn glob_as_regex(raw: &str) -> String {
    let mut regex = String::from("^");
    let mut class = false;
    for c in raw.chars() {
        match c {
            '[' | ']' => {
                class = c == '[';
                regex.push(c);
            }
            '*' if !class => regex.push_str(".*"),
            '?' if !class => regex.push('.'),
            '.' | '+' | '(' | ')' | '{' | '}' | '|' | '\\' | '$' | '^' if !class => regex.extend(['\\', c]),
            c => regex.push(c),
        }
    }
    regex.push('$');
    regex
}

/// Types of several words, which SQLite takes whatever they are.
fn type_words(tokens: &mut [TokenWithSpan], did: Did<'_>) {
    let creates = solid(tokens, 0).is_some_and(|at| is_word(&tokens[at], "CREATE") || is_word(&tokens[at], "ALTER"));
    for at in 0..if creates { tokens.len() } else { 0 } {
        for (words, wanted, keyword) in [
            (["UNSIGNED", "BIG", "INT"].as_slice(), "BIGINT", Keyword::BIGINT),
            (&["NATIVE", "CHARACTER"], "CHARACTER", Keyword::CHARACTER),
            (&["VARYING", "CHARACTER"], "VARCHAR", Keyword::VARCHAR),
        ] {
            if let Some(places) = sequence(tokens, at, words) {
                places.iter().for_each(|&place| tokens[place].token = blank());
                tokens[at].token = word(wanted, keyword);
                did("column-types");
            }
        }
    }
}
