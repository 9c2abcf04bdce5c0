//! The SQL statement in what a model wrote: prose, Markdown fences and explanations around it go, the statement stays
//! byte for byte.
//!
//! The rule above all others: a valid statement is never cut. A text that parses as one statement is returned as it
//! stands; a `;` ends a statement only outside literals, names and comments and outside `BEGIN … END`; a line ends it
//! only if that line reads as a sentence. Of several statements the first counts, a transaction being one. What the
//! parser does not know is kept whole rather than guessed at.

use super::Dialect;
use super::scan::{Quoting, Scanner, outside};

/// Words a statement begins with that also mark one inside prose.
const LEADING: &[&str] = &[
    "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "MERGE", "REPLACE", "TRUNCATE",
    "VALUES", "EXPLAIN", "GRANT", "REVOKE",
];

/// Words a statement may begin with when they are the very first of the text.
const LEADING_AT_START: &[&str] = &[
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "END",
    "SAVEPOINT",
    "RELEASE",
    "PRAGMA",
    "SHOW",
    "DESCRIBE",
    "DESC",
    "SET",
    "USE",
    "CALL",
    "TABLE",
    "ANALYZE",
    "VACUUM",
    "REINDEX",
    "ATTACH",
    "DETACH",
    "COPY",
    "DO",
    "LOCK",
    "COMMENT",
    "REFRESH",
    "EXECUTE",
    "PREPARE",
    "DEALLOCATE",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "LISTEN",
    "NOTIFY",
    "RENAME",
    "LOAD",
    "IF",
    "CLUSTER",
    "CHECKPOINT",
    "DISCARD",
    "RESET",
    "IMPORT",
    "SECURITY",
    "REASSIGN",
    "UNLISTEN",
    "HANDLER",
    "KILL",
    "FLUSH",
    "OPTIMIZE",
    "REPAIR",
    "CHECK",
    "CHECKSUM",
    "INSTALL",
    "UNINSTALL",
    "PURGE",
    "CHANGE",
    "XA",
    "FROM",
];

/// What was found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extraction<'a> {
    /// The statement, its `;` included; the whole text, trimmed, if nothing in it looks like SQL.
    pub statement: &'a str,
    /// What stood behind it.
    pub rest: &'a str,
}

impl Extraction<'_> {
    /// Whether another statement followed, which was left out.
    pub fn has_more(&self) -> bool {
        starts_statement(self.rest.trim_start())
    }
}

/// The statement in a model's answer, without a dialect to go by.
pub fn extract_statement(text: &str) -> &str {
    extract(text, Dialect::Generic).statement
}

/// The statement in a model's answer, under this dialect's quoting rules.
pub fn extract(text: &str, dialect: Dialect) -> Extraction<'_> {
    let (text, quoting) = (text.trim(), Quoting::of(dialect));
    if parses(text) {
        return Extraction { statement: text, rest: "" };
    }
    if starts_statement(text) {
        // Prose may begin like a statement ("Select all users: SELECT …").
        let start = after_prose(text).unwrap_or(0);
        return cut(text, start, quoting);
    }
    if let Some(start) = fenced(text) {
        return cut(text, start, quoting);
    }
    let candidates: Vec<usize> = candidates(text).collect();
    let parsed = candidates.iter().map(|&start| cut(text, start, quoting)).find(|found| parses(found.statement));
    if let Some(found) = parsed {
        return found;
    }
    let at_line_start = |at: &&usize| text[..**at].trim_end_matches([' ', '\t']).ends_with('\n');
    let upper = |at: &&usize| text[**at..].bytes().take_while(u8::is_ascii_alphabetic).all(|b| b.is_ascii_uppercase());
    let best = candidates.iter().find(at_line_start).or_else(|| candidates.iter().find(upper));
    match best {
        Some(&start) => cut(text, start, quoting),
        None => Extraction { statement: text, rest: "" },
    }
}

/// Whether any of the dialects reads the text as exactly one statement.
fn parses(text: &str) -> bool {
    let dialects = [Dialect::Generic, Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];
    dialects.iter().any(|&dialect| super::parse(text, dialect).is_ok_and(|statements| statements.len() == 1))
}

/// Whether a statement may begin with this word: inside a text, or as the very first word of one.
pub fn begins_statement(word: &str, first_of_text: bool) -> bool {
    is_one_of(word, LEADING) || (first_of_text && is_one_of(word, LEADING_AT_START))
}

fn word_at(text: &str) -> &str {
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_')).unwrap_or(text.len());
    &text[..end]
}

fn is_one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether the text begins with a statement: comments and opening parentheses first, then a known word.
fn starts_statement(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else if let Some(inner) = rest.strip_prefix('(') {
            inner
        } else {
            break;
        }
        .trim_start();
    }
    begins_statement(word_at(rest), true)
}

/// Byte offsets of the words that may begin a statement inside prose.
fn candidates(text: &str) -> impl Iterator<Item = usize> + '_ {
    let bytes = text.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    (0..bytes.len()).filter(move |&at| {
        bytes[at].is_ascii_alphabetic()
            && (at == 0 || !is_word(bytes[at - 1]))
            && is_one_of(word_at(&text[at..]), LEADING)
            && bytes.get(at + word_at(&text[at..]).len()).is_none_or(|b| !is_word(*b))
    })
}

/// Where the statement begins if what stands before it is a sentence that only begins like SQL ("Use `SELECT …`").
fn after_prose(text: &str) -> Option<usize> {
    let inline = |at: usize| text[..at].ends_with('`') && !text[..at].ends_with("``");
    candidates(text).filter(|&at| at > 0).find(|&at| {
        if inline(at) && text[at..].match_indices('`').any(|(end, _)| parses(&text[at..at + end])) {
            return true;
        }
        let lead = text[..at].trim_end_matches(['`', ' ', '\t']);
        let lead = lead.rfind("\n```").map_or(lead, |fence| &lead[..fence]);
        let lead = lead.trim_end();
        let plain = |c: char| c.is_alphabetic() || c.is_whitespace() || matches!(c, ',' | '\'' | '’' | ':' | '.' | '-');
        (lead.ends_with(':') || lead.ends_with('.')) && lead.split_whitespace().count() >= 3 && lead.chars().all(plain)
    })
}

/// Where the content of the first Markdown fence with SQL in it begins.
fn fenced(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find("```") {
        let open = from + found;
        let mut start = open + 3;
        let label = text[start..].split(|c: char| c.is_whitespace()).next().unwrap_or("");
        if !starts_statement(label) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-') {
            start += label.len();
        }
        let start = start + (text[start..].len() - text[start..].trim_start().len());
        if starts_statement(&text[start..]) {
            return Some(start);
        }
        // Not SQL: behind its closing fence, if it has one.
        from = text[start..].find("```").map_or(text.len(), |close| start + close + 3);
    }
    None
}

/// The statement that begins at `start`.
fn cut(text: &str, start: usize, quoting: Quoting) -> Extraction<'_> {
    let tail = &text[start..];
    if text[..start].ends_with('`') && !text[..start].ends_with("```") {
        // Inline code: up to the first backtick that leaves a statement.
        let ends = tail.match_indices('`').map(|(at, _)| at);
        if let Some(end) = ends.into_iter().find(|&end| parses(&tail[..end])) {
            return Extraction { statement: tail[..end].trim(), rest: &tail[end + 1..] };
        }
    }
    let (hard_end, after) = hard_end(tail, quoting);
    let end = match tail[..hard_end].trim_end() {
        body if parses(body) => hard_end,
        body => prose_line(body, quoting).unwrap_or(hard_end),
    };
    let rest = if end == hard_end { &tail[after..] } else { &tail[end..] };
    Extraction { statement: tail[..end].trim(), rest }
}

/// Where the statement at the beginning of `text` ends at the latest: behind its `;` or before a closing fence. The
/// second number is where the rest begins.
fn hard_end(text: &str, quoting: Quoting) -> (usize, usize) {
    let mut scanner = Scanner::new(quoting);
    let mut blocks = Blocks::default();
    for (at, byte) in text.bytes().enumerate() {
        if scanner.is_outside(byte) {
            if byte == b'`' && text[at..].starts_with("```") {
                return (at, at + 3);
            }
            blocks.push(text, at);
            if byte == b';' && !blocks.hold(&text[..at]) {
                return (at + 1, at + 1);
            }
        }
        scanner.push(byte);
    }
    (text.len(), text.len())
}

/// Counts `BEGIN … END` in the bodies of triggers, functions and procedures, and waits for the end of a transaction.
#[derive(Debug, Default)]
struct Blocks {
    first: Option<String>,
    routine: bool,
    depth: usize,
    words: usize,
    /// The word before was `END`: an `IF`, `LOOP`, … behind it closes that and opens nothing.
    after_end: bool,
    last_statement: usize,
}

impl Blocks {
    /// Looks at the word that begins at `at`, a byte outside literals, names and comments.
    fn push(&mut self, text: &str, at: usize) {
        let bytes = text.as_bytes();
        let begins = bytes[at].is_ascii_alphabetic()
            && (at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_' || bytes[at - 1] >= 0x80));
        if !begins {
            return;
        }
        let word = word_at(&text[at..]).to_ascii_uppercase();
        self.words += 1;
        if self.first.is_none() {
            self.first = Some(word.clone());
        }
        // CREATE [OR REPLACE] [DEFINER = …] TRIGGER|FUNCTION|PROCEDURE|EVENT …
        let create = self.first.as_deref() == Some("CREATE");
        self.routine |= create && self.words < 8 && is_one_of(&word, &["TRIGGER", "FUNCTION", "PROCEDURE", "EVENT"]);
        if self.routine {
            match word.as_str() {
                "BEGIN" | "CASE" if !self.after_end => self.depth += 1,
                "IF" | "LOOP" | "WHILE" | "REPEAT" if self.after_end => self.depth += 1,
                "END" => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.after_end = word == "END";
    }

    /// Whether a `;` behind `read` stands inside a block.
    fn hold(&mut self, read: &str) -> bool {
        let statement = read[self.last_statement..].trim_start_matches(';').trim();
        self.last_statement = read.len();
        if self.depth > 0 {
            return true;
        }
        let transaction = match self.first.as_deref() {
            Some("BEGIN") => true,
            Some("START") => read.trim_start().get(5..).is_some_and(|s| is_one_of(word_at(s.trim()), &["TRANSACTION"])),
            _ => false,
        };
        transaction && !is_one_of(word_at(statement), &["COMMIT", "ROLLBACK", "END"])
    }
}

/// Where a line begins that is no longer SQL: it reads as a sentence, or the text before it parses and it opens like
/// one.
fn prose_line(text: &str, quoting: Quoting) -> Option<usize> {
    let places = outside(text, quoting);
    let starts = text.match_indices('\n').map(|(at, _)| at + 1).filter(|&at| places.get(at - 1) == Some(&true));
    let mut blank_before = false;
    for at in starts {
        let line = text[at..].lines().next().unwrap_or("").trim();
        if line.is_empty() {
            blank_before = true;
            continue;
        }
        if is_sentence(line) || (opens_like_prose(line, blank_before) && parses(text[..at].trim_end())) {
            return Some(at);
        }
        blank_before = false;
    }
    None
}

fn is_title_case(word: &str) -> bool {
    word == "I"
        || (word.chars().next().is_some_and(char::is_uppercase)
            && word.chars().count() > 1
            && word.chars().skip(1).all(char::is_lowercase))
}

fn is_keyword(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    sqlparser::keywords::ALL_KEYWORDS.binary_search(&word.as_str()).is_ok()
}

/// `This query returns …​.`, `Explanation:`, `**Note** …`: lines that no valid statement holds outside its quotes.
fn is_sentence(line: &str) -> bool {
    if line.starts_with("**") || line.starts_with("### ") {
        return true;
    }
    let first = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    let words = line.split_whitespace().count();
    if !is_title_case(first) {
        return false;
    }
    if is_keyword(first) && (words < 4 || line.contains(['=', '<', '>', '*'])) {
        return false;
    }
    match line.chars().last() {
        Some(':') => words >= 3 || line == format!("{first}:"),
        Some('.' | '!') => words >= 3,
        _ => false,
    }
}

/// `this query returns all users`: a weak sign, enough only where what stands before is complete.
fn opens_like_prose(line: &str, blank_before: bool) -> bool {
    let first = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
    let title = is_title_case(first);
    !first.is_empty()
        && (blank_before || title)
        && (!is_keyword(first) || (title && blank_before))
        && (line.split_whitespace().count() >= 3 || line.ends_with(':'))
}

#[cfg(test)]
mod tests;
