//! Codes of date formats: MySQL's and SQLite's `%x` and the templates of TO_CHAR.

use sqlparser::ast::DateTimeField;

/// What a code of the source means in the target.
pub(super) enum Code {
    /// A piece of a TO_CHAR template.
    Template(&'static str),
    /// Plain text.
    Text(&'static str),
    /// A number that no template gives.
    Field(DateTimeField),
    /// Seconds since 1970.
    Epoch,
    /// A week that no template counts, by its code.
    Week(char),
    /// Nothing we know.
    Unknown,
}

/// A part of a format.
pub(super) enum Piece {
    /// For TO_CHAR.
    Template(String),
    /// EXTRACT of this field.
    Field(DateTimeField),
    /// Seconds since 1970.
    Epoch,
    /// A week, by its code.
    Week(char),
    /// A code without equivalent.
    Unknown(char),
}

/// MySQL's DATE_FORMAT and STR_TO_DATE.
pub(super) fn of_mysql(code: char) -> Code {
    use Code::{Field, Template, Text, Unknown};
    Template(match code {
        'Y' => "YYYY",
        'y' => "YY",
        'M' => "FMMonth",
        'b' => "Mon",
        'm' => "MM",
        'c' => "FMMM",
        'd' => "DD",
        'e' => "FMDD",
        'D' => "FMDDth",
        'W' => "FMDay",
        'a' => "Dy",
        'H' => "HH24",
        'k' => "FMHH24",
        'h' | 'I' => "HH12",
        'l' => "FMHH12",
        'i' => "MI",
        's' | 'S' => "SS",
        'f' => "US",
        'p' => "AM",
        'T' => "HH24:MI:SS",
        'r' => "HH12:MI:SS AM",
        'j' => "DDD",
        'v' => "IW",
        'x' => "IYYY",
        'U' | 'u' | 'V' | 'X' => return Code::Week(code),
        'w' => return Field(DateTimeField::Dow),
        '%' => return Text("%"),
        _ => return Unknown,
    })
}

/// SQLite's strftime.
pub(super) fn of_strftime(code: char) -> Code {
    use Code::{Epoch, Field, Template, Text, Unknown};
    Template(match code {
        'Y' => "YYYY",
        'm' => "MM",
        'd' => "DD",
        'e' => "FMDD",
        'H' => "HH24",
        'k' => "FMHH24",
        'I' => "HH12",
        'l' => "FMHH12",
        'M' => "MI",
        'S' => "SS",
        'f' => "SS.MS",
        'j' => "DDD",
        'J' => "J",
        'F' => "YYYY-MM-DD",
        'T' => "HH24:MI:SS",
        'R' => "HH24:MI",
        'p' => "AM",
        'P' => "am",
        'V' => "IW",
        'G' => "IYYY",
        'u' => return Field(DateTimeField::Isodow),
        'w' => return Field(DateTimeField::Dow),
        's' => return Epoch,
        'U' | 'W' => return Code::Week(code),
        '%' => return Text("%"),
        _ => return Unknown,
    })
}

/// The parts of a format.
pub(super) fn pieces(format: &str, meaning: fn(char) -> Code) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut template, mut literal) = (String::new(), String::new());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let Some(code) = chars.next() else { break };
        let found = match meaning(code) {
            Code::Template(text) => {
                quote(&mut template, &mut literal);
                template.push_str(text);
                continue;
            }
            Code::Text(text) => {
                literal.push_str(text);
                continue;
            }
            Code::Field(field) => Piece::Field(field),
            Code::Epoch => Piece::Epoch,
            Code::Week(code) => Piece::Week(code),
            Code::Unknown => Piece::Unknown(code),
        };
        quote(&mut template, &mut literal);
        if !template.is_empty() {
            pieces.push(Piece::Template(std::mem::take(&mut template)));
        }
        pieces.push(found);
    }
    quote(&mut template, &mut literal);
    if !template.is_empty() {
        pieces.push(Piece::Template(template));
    }
    pieces
}

/// Letters and digits of a template stand in double quotes.
fn quote(template: &mut String, literal: &mut String) {
    let plain = |c: char| !c.is_ascii_alphanumeric() && c != '"' && c != '\\';
    if literal.chars().all(plain) {
        template.push_str(literal);
    } else {
        template.push('"');
        for c in literal.chars() {
            if c == '"' || c == '\\' {
                template.push('\\');
            }
            template.push(c);
        }
        template.push('"');
    }
    literal.clear();
}

/// The MySQL format that says the same as a TO_CHAR template, if each part of it has one.
pub(super) fn to_mysql(template: &str) -> Option<String> {
    translate(
        template,
        &[
            ("YYYY", "%Y"),
            ("YY", "%y"),
            ("FMMonth", "%M"),
            ("Month", "%M"),
            ("Mon", "%b"),
            ("FMMM", "%c"),
            ("MM", "%m"),
            ("DDD", "%j"),
            ("FMDD", "%e"),
            ("DD", "%d"),
            ("FMDay", "%W"),
            ("Day", "%W"),
            ("Dy", "%a"),
            ("HH24", "%H"),
            ("HH12", "%h"),
            ("HH", "%h"),
            ("MI", "%i"),
            ("SS", "%s"),
            ("US", "%f"),
            ("AM", "%p"),
            ("PM", "%p"),
            ("IYYY", "%x"),
            ("IW", "%v"),
        ],
    )
}

/// The strftime format that says the same as a TO_CHAR template, if each part of it has one.
pub(super) fn to_strftime(template: &str) -> Option<String> {
    translate(
        template,
        &[
            ("YYYY", "%Y"),
            ("MM", "%m"),
            ("DDD", "%j"),
            ("DD", "%d"),
            ("HH24", "%H"),
            ("MI", "%M"),
            ("SS.MS", "%f"),
            ("SS", "%S"),
        ],
    )
}

fn translate(template: &str, codes: &[(&str, &str)]) -> Option<String> {
    let mut format = String::with_capacity(template.len());
    let mut rest = template;
    'next: while let Some(c) = rest.chars().next() {
        for (code, meaning) in codes {
            let found = rest.get(..code.len()).is_some_and(|start| {
                start == *code
                    || (code.len() > 3 || code.chars().all(char::is_uppercase)) && start.eq_ignore_ascii_case(code)
            });
            if found {
                format.push_str(meaning);
                rest = &rest[code.len()..];
                continue 'next;
            }
        }
        if c == '"' {
            let (text, after) = rest[1..].split_once('"')?;
            format.push_str(&text.replace('%', "%%"));
            rest = after;
        } else if c.is_ascii_alphanumeric() {
            return None;
        } else {
            format.push_str(if c == '%' { "%%" } else { &rest[..c.len_utf8()] });
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(format)
}
