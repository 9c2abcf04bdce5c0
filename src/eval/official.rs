//! A pair judged by the published evaluators, to the letter: Spider's EX and exact match, BIRD's EX and soft F1.

use std::sync::LazyLock;

use regex::Regex;

use super::execution::{bird_equal, soft_f1, spider_equal};
use super::spider::{self, ForeignKeys, Tables};
use crate::db::{Limits, QueryError, Rows, Source};
use crate::sql::scan;

/// What they say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Spider's exact set match, where its reader takes the gold.
    pub exact: Option<bool>,
    /// The gold's hardness by Spider.
    pub hardness: Option<&'static str>,
    /// Spider's execution match.
    pub spider: bool,
    /// BIRD's EX.
    pub bird: bool,
    /// BIRD's soft F1.
    pub soft_f1: f64,
}

#[expect(clippy::unwrap_used, reason = "the pattern is fixed and tested")]
static THIS_YEAR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*").unwrap());

/// Judges a pair over a database.
pub fn judge(
    source: &Source,
    gold: &str,
    predicted: &str,
    tables: &Tables,
    keys: &ForeignKeys,
    limits: &Limits,
) -> Judged {
    let verdict = spider::exact_match(predicted, gold, tables, keys);
    let (bird, soft_f1) = bird_scores(source, gold, predicted, limits);
    Judged {
        exact: verdict.map(|verdict| verdict.exact),
        hardness: verdict.map(|verdict| verdict.hardness),
        spider: spider_execution(source, gold, predicted, limits),
        bird,
        soft_f1,
    }
}

/// Spider's execution match.
pub fn spider_execution(source: &Source, gold: &str, predicted: &str, limits: &Limits) -> bool {
    let run = |sql: &str| source.query(&spider_text(sql), limits);
    let ordered = mended(gold).to_lowercase().contains("order by");
    match (run(gold), run(&spider::prepared(predicted))) {
        (Ok(gold), Ok(predicted)) => spider_equal(&gold.rows, &predicted.rows, ordered),
        _ => false,
    }
}

/// BIRD's EX and soft F1.
pub fn bird_scores(source: &Source, gold: &str, predicted: &str, limits: &Limits) -> (bool, f64) {
    let run = |sql: &str| -> Result<Rows, QueryError> {
        if single(sql) { source.query(sql, limits) } else { Err(QueryError::Refused("more than one statement".into())) }
    };
    match (run(gold), run(predicted)) {
        (Ok(gold), Ok(predicted)) => (bird_equal(&gold.rows, &predicted.rows), soft_f1(&gold.rows, &predicted.rows)),
        _ => (false, 0.0),
    }
}

/// Operators with a space in them are mended.
fn mended(sql: &str) -> String {
    sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")
}

/// What Spider's evaluator runs: the first statement, operators mended, DISTINCT removed, this year 2020.
fn spider_text(sql: &str) -> String {
    let sql = mended(sql);
    let outside = scan::outside(&sql, scan::Quoting::of(crate::sql::Dialect::Sqlite));
    let first =
        sql.bytes().enumerate().find(|(at, byte)| *byte == b';' && outside[*at]).map_or(sql.len(), |(at, _)| at + 1);
    let mut text = String::with_capacity(first);
    let mut rest = &sql[..first];
    let mut at = 0;
    while !rest.is_empty() {
        let word: usize = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum();
        let step = if word > 0 { word } else { rest.chars().next().map_or(1, char::len_utf8) };
        let (piece, after) = rest.split_at(step);
        if !(outside[at] && piece.eq_ignore_ascii_case("distinct")) {
            text.push_str(piece);
        }
        at += step;
        rest = after;
    }
    THIS_YEAR.replace_all(&text, "2020").into_owned()
}

/// Whether Python's `sqlite3` takes the text as one statement: nothing but spaces and comments behind the first `;`.
fn single(sql: &str) -> bool {
    let outside = scan::outside(sql, scan::Quoting::of(crate::sql::Dialect::Sqlite));
    let Some(end) = sql.bytes().enumerate().find(|(at, byte)| *byte == b';' && outside[*at]).map(|(at, _)| at) else {
        return true;
    };
    sql.bytes().enumerate().skip(end + 1).all(|(at, byte)| byte.is_ascii_whitespace() || !outside[at] || byte == b'-')
        && !sql[end + 1..].contains(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run() {
        for (sql, text) in [
            ("SELECT DISTINCT a FROM t WHERE b > = 3; DROP", "SELECT  a FROM t WHERE b >= 3;"),
            ("SELECT 'distinct; x' FROM t", "SELECT 'distinct; x' FROM t"),
            ("SELECT count(distinct a)", "SELECT count( a)"),
            ("SELECT YEAR( curdate() ) - 1", "SELECT 2020- 1"),
            ("SELECT distinct_a", "SELECT distinct_a"),
        ] {
            assert_eq!(spider_text(sql), text);
        }
        assert!(single("SELECT 1") && single("SELECT 1; ") && !single("SELECT 1;;") && !single("SELECT 1; SELECT 2"));
    }
}
