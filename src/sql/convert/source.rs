//! Which dialect a text is written in, by evidence from the text and its schema together.

use sqlparser::tokenizer::{Token, Tokenizer};

use super::{Source, read};
use crate::sql::{Dialect, Schema};

/// What was found, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The dialect.
    pub source: Source,
    /// The evidence, each piece once; empty: nothing speaks for any dialect.
    pub evidence: Vec<&'static str>,
}

/// The evidence of `"x"` where nothing is called x.
const STRINGS: &str = "strings in double quotes";

/// Functions and words that only one dialect has.
const MYSQL: &[&str] = &[
    "adddate",
    "curdate",
    "curtime",
    "date_add",
    "date_format",
    "date_sub",
    "datediff",
    "dayname",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "field",
    "find_in_set",
    "from_unixtime",
    "group_concat",
    "ifnull",
    "last_insert_id",
    "lcase",
    "monthname",
    "rlike",
    "str_to_date",
    "subdate",
    "substring_index",
    "sysdate",
    "timestampadd",
    "timestampdiff",
    "ucase",
    "unix_timestamp",
    "weekday",
    "weekofyear",
];
const SQLITE: &[&str] = &[
    "datetime",
    "glob",
    "iif",
    "instr",
    "julianday",
    "last_insert_rowid",
    "printf",
    "sqlite_master",
    "strftime",
    "total",
    "typeof",
    "unixepoch",
    "group_concat",
    "ifnull",
];
const POSTGRES: &[&str] = &[
    "age",
    "array_agg",
    "bool_and",
    "bool_or",
    "date_part",
    "date_trunc",
    "generate_series",
    "ilike",
    "jsonb_agg",
    "make_date",
    "make_interval",
    "now",
    "regexp_matches",
    "regexp_replace",
    "similar",
    "split_part",
    "string_agg",
    "string_to_array",
    "to_char",
    "to_date",
    "to_number",
    "to_timestamp",
    "unnest",
];

/// What was found, and the text as it was read for that, in the found dialect.
pub(super) struct Found {
    pub finding: Finding,
    pub text: Option<read::Text>,
}

/// Finds the dialect of `sql`. What no dialect claims is read as PostgreSQL where that changes nothing, and else as
/// SQLite, the most forgiving of the three.
pub fn detect(sql: &str, schema: Option<&Schema>) -> Finding {
    find(sql, schema).finding
}

/// [`detect`] that hands on what it read: reading a text costs more than all else that is done with it.
pub(super) fn find(sql: &str, schema: Option<&Schema>) -> Found {
    let mut found = Evidence::default();
    let tokens = Tokenizer::new(Dialect::Generic.parser(), sql).with_unescape(false).tokenize().unwrap_or_default();
    let mut meaningful = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut before: Option<&Token> = None;
    let mut earlier: Option<&Token> = None;
    while let Some(token) = meaningful.next() {
        let next = meaningful.peek().copied();
        match token {
            Token::Word(word) if word.quote_style == Some('`') => found.both("backticks"),
            Token::Word(word) if word.quote_style == Some('"') => {
                let listed = before == Some(&Token::LParen)
                    && matches!(earlier, Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("in"));
                if schema.is_some_and(|schema| !is_name(schema, &word.value)) && (listed || value_place(before)) {
                    found.both(STRINGS);
                }
            }
            Token::DoubleQuotedString(text) if schema.is_some_and(|schema| !is_name(schema, text)) => {
                found.both(STRINGS);
            }
            Token::Word(word) => found.word(&word.value, next, before),
            Token::DoubleColon => found.postgres("a :: cast"),
            Token::DoubleEq => found.sqlite("=="),
            Token::Spaceship => found.mysql("<=>"),
            Token::Overlap => found.mysql("&&"),
            Token::Arrow | Token::LongArrow | Token::HashArrow | Token::AtArrow => found.postgres("a JSON operator"),
            Token::Tilde | Token::TildeAsterisk | Token::ExclamationMarkTilde => found.postgres("a ~ operator"),
            Token::SingleQuotedByteStringLiteral(_) => found.postgres("a B'' string"),
            Token::DollarQuotedString(_) => found.postgres("a dollar-quoted string"),
            Token::EscapedStringLiteral(_) => found.postgres("an E'' string"),
            _ => {}
        }
        (earlier, before) = (before, Some(token));
    }
    // Types alone decide nothing: text that says nothing of itself is left to PostgreSQL, if it takes it.
    if let Some(schema) = schema.filter(|_| found.mysql + found.sqlite + found.postgres > 0) {
        found.schema(schema);
    }
    found.decide(sql, schema)
}

#[derive(Default)]
struct Evidence {
    mysql: u32,
    sqlite: u32,
    postgres: u32,
    pieces: Vec<&'static str>,
}

impl Evidence {
    fn note(&mut self, piece: &'static str) {
        if !self.pieces.contains(&piece) {
            self.pieces.push(piece);
        }
    }

    fn mysql(&mut self, piece: &'static str) {
        self.mysql += 2;
        self.note(piece);
    }

    fn sqlite(&mut self, piece: &'static str) {
        self.sqlite += 2;
        self.note(piece);
    }

    fn postgres(&mut self, piece: &'static str) {
        self.postgres += 2;
        self.note(piece);
    }

    fn both(&mut self, piece: &'static str) {
        self.mysql += 1;
        self.sqlite += 1;
        self.note(piece);
    }

    fn word(&mut self, word: &str, next: Option<&Token>, before: Option<&Token>) {
        let lower = word.to_ascii_lowercase();
        let called = next == Some(&Token::LParen);
        let has = |list: &[&str]| list.contains(&lower.as_str());
        if called || matches!(lower.as_str(), "rlike" | "glob" | "ilike" | "sqlite_master" | "similar") {
            match (has(MYSQL), has(SQLITE), has(POSTGRES)) {
                (true, true, _) => self.both("a function of MySQL and SQLite"),
                (true, ..) => self.mysql("a function of MySQL"),
                (_, true, _) => self.sqlite("a function of SQLite"),
                (.., true) => self.postgres("a function of PostgreSQL"),
                _ => {}
            }
            if matches!(
                lower.as_str(),
                "year" | "month" | "day" | "hour" | "minute" | "second" | "if" | "isnull" | "locate"
            ) && called
                && !matches!(before, Some(Token::Word(_)))
            {
                self.mysql += 1;
                self.note("a function of MySQL");
            }
        }
        match (lower.as_str(), next) {
            ("limit", _) => {}
            // `a DIV b` is MySQL's, `DIV(a, b)` PostgreSQL's.
            ("div", Some(Token::LParen)) => {}
            ("auto_increment" | "engine" | "unsigned" | "div" | "separator" | "straight_join", _) => {
                self.mysql("a word of MySQL");
            }
            ("autoincrement" | "pragma", _) => self.sqlite("a word of SQLite"),
            ("returning" | "lateral" | "nulls" | "serial" | "bigserial" | "jsonb" | "timestamptz", _) => {
                self.postgres("a word of PostgreSQL");
            }
            ("interval", Some(Token::Number(..))) => self.mysql("INTERVAL without quotes"),
            ("interval", Some(Token::SingleQuotedString(text))) if text.contains(' ') => {
                self.postgres("INTERVAL with its unit in quotes");
            }
            _ => {}
        }
    }

    /// What the types of the schema say; each kind of them counts once, and less than the text does.
    fn schema(&mut self, schema: &Schema) {
        let (mut untyped, mut mysql, mut datetime, mut postgres) = (false, false, false, false);
        for column in schema.tables().iter().flat_map(|table| &table.columns) {
            let Some(declared) = &column.data_type else {
                untyped = true;
                continue;
            };
            let word = declared.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            match word.to_ascii_uppercase().as_str() {
                "TINYINT" | "MEDIUMINT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" => mysql = true,
                "DATETIME" => datetime = true,
                "SERIAL" | "BIGSERIAL" | "JSONB" | "TIMESTAMPTZ" | "BYTEA" | "UUID" => postgres = true,
                _ => {}
            }
        }
        let pieces = [
            (untyped, (0, 1, 0), "columns without types"),
            (mysql, (1, 0, 0), "types of MySQL in the schema"),
            (datetime, (1, 1, 0), "DATETIME in the schema"),
            (postgres, (0, 0, 1), "types of PostgreSQL in the schema"),
        ];
        for (_, (mysql, sqlite, postgres), piece) in pieces.into_iter().filter(|(found, ..)| *found) {
            self.mysql += mysql;
            self.sqlite += sqlite;
            self.postgres += postgres;
            self.note(piece);
        }
    }

    fn decide(mut self, sql: &str, schema: Option<&Schema>) -> Found {
        if self.pieces.contains(&STRINGS) {
            // PostgreSQL refuses them, whatever else of its words is there: a mixed set, read as SQLite.
            self.postgres = 0;
        }
        let best = self.mysql.max(self.sqlite).max(self.postgres);
        let order = if best == 0 || self.postgres == best {
            // Nothing to go by: what PostgreSQL reads is left to it.
            [Source::Postgres, Source::Sqlite, Source::MySql]
        } else if self.sqlite == best {
            [Source::Sqlite, Source::MySql, Source::Postgres]
        } else {
            [Source::MySql, Source::Sqlite, Source::Postgres]
        };
        let mut read: Option<(Source, read::Text)> = None;
        for source in order {
            if let Ok(text) = read::statements(sql, source) {
                read = Some((source, text));
                break;
            }
        }
        if best == 0
            && let Some(schema) = schema
            && refused_by_postgres(sql, schema, read.as_ref())
        {
            let finding =
                Finding { source: Source::Sqlite, evidence: vec!["PostgreSQL would refuse it over this schema"] };
            return Found { finding, text: None };
        }
        let (source, text) = read.map_or((order[0], None), |(source, text)| (source, Some(text)));
        Found { finding: Finding { source, evidence: self.pieces }, text }
    }
}

/// Whether PostgreSQL would refuse a text that it can parse: SQLite's reading of it then needs one of these rules.
fn refused_by_postgres(sql: &str, schema: &Schema, read: Option<&(Source, read::Text)>) -> bool {
    const REFUSED: &[&str] = &[
        "derived-table-alias",
        "distinct-order-by",
        "group-by-bare-column",
        "group-by-dependent",
        "join-without-on",
        "limit-comma",
        "number-as-condition",
        "number-beside-text",
        "output-alias-expanded",
        "set-operation-types",
        "text-as-number",
        "text-beside-number",
    ];
    // A text without evidence has the same tree in both dialects, where PostgreSQL's parser takes it at all.
    let applied = match read {
        Some((Source::Postgres, text)) => super::rules_of(text.clone(), Source::Sqlite, schema),
        _ => match read::statements(sql, Source::Sqlite) {
            Ok(text) => super::rules_of(text, Source::Sqlite, schema),
            Err(_) => return false,
        },
    };
    applied.iter().any(|rule| REFUSED.contains(rule))
}

/// Whether a value, not a name, is to be expected behind this token.
fn value_place(before: Option<&Token>) -> bool {
    match before {
        Some(Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq) => true,
        Some(Token::Word(word)) => word.value.eq_ignore_ascii_case("like"),
        _ => false,
    }
}

fn is_name(schema: &Schema, name: &str) -> bool {
    schema.tables().iter().any(|table| table.name.is(name) || table.column(name).is_some())
}
