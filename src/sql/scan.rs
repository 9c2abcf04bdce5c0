//! Which bytes of an SQL text stand inside a literal, a quoted name or a comment: byte by byte, without parsing.
//!
//! Stop sequences, statement extraction and splitting ask this scanner, so that a `;` or a keyword inside quotes never
//! counts. It knows the quoting rules of the dialects and nothing else of SQL; feeding a text in pieces gives what
//! feeding it whole gives. Every delimiter is ASCII, so UTF-8 passes through untouched.

use super::Dialect;

/// The quoting rules of a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoting {
    /// `\` escapes in `'…'` and `"…"` (MySQL).
    pub backslash: bool,
    /// `"…"` is a string, not a name (MySQL).
    pub double_quoted_strings: bool,
    /// `E'…'` with backslash escapes, `$tag$…$tag$` and `\r` as the end of a line comment (PostgreSQL).
    pub postgres: bool,
    /// `` `…` `` is a name (MySQL, SQLite).
    pub backticks: bool,
    /// `[…]` is a name (SQLite; elsewhere a bracket subscripts an array).
    pub brackets: bool,
    /// `#` begins a comment, and `--` only before white space (MySQL).
    pub mysql_comments: bool,
    /// `/* /* */ */` nests (PostgreSQL).
    pub nested_comments: bool,
}

impl Quoting {
    /// PostgreSQL (lexical structure, §4.1).
    pub const POSTGRES: Self = Self {
        backslash: false,
        double_quoted_strings: false,
        postgres: true,
        backticks: false,
        brackets: false,
        mysql_comments: false,
        nested_comments: true,
    };
    /// MySQL with its default `sql_mode`.
    pub const MYSQL: Self = Self {
        backslash: true,
        double_quoted_strings: true,
        postgres: false,
        backticks: true,
        brackets: false,
        mysql_comments: true,
        nested_comments: false,
    };
    /// SQLite (`tokenize.c`).
    pub const SQLITE: Self = Self {
        backslash: false,
        double_quoted_strings: false,
        postgres: false,
        backticks: true,
        brackets: true,
        mysql_comments: false,
        nested_comments: false,
    };
    /// No dialect given: standard quotes and comments, backticks and dollar quotes.
    pub const GENERIC: Self = Self {
        backslash: false,
        double_quoted_strings: false,
        postgres: true,
        backticks: true,
        brackets: false,
        mysql_comments: false,
        nested_comments: false,
    };

    /// The rules of this dialect.
    pub fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Postgres => Self::POSTGRES,
            Dialect::MySql => Self::MYSQL,
            Dialect::Sqlite => Self::SQLITE,
            Dialect::Generic => Self::GENERIC,
        }
    }
}

/// Where a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Keywords, names, numbers, operators, white space.
    Code,
    /// A string literal.
    Literal,
    /// A quoted name.
    QuotedName,
    /// A comment.
    Comment,
}

/// What has been read so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Code,
    /// Inside quotes that close with this byte.
    Quoted {
        close: u8,
        region: Region,
        backslash: bool,
        escaped: bool,
    },
    /// The closing quote was read; the same byte again would be a doubled quote.
    MaybeClosed {
        close: u8,
        region: Region,
        backslash: bool,
    },
    /// `$` and the tag so far.
    DollarTag(Vec<u8>),
    /// Inside `$tag$`: the whole delimiter and how many of its bytes the text ends with.
    Dollar {
        delimiter: Vec<u8>,
        matched: usize,
    },
    /// One `-`.
    Dash,
    /// MySQL: two `-`, which begin a comment only before white space.
    DashDash,
    LineComment,
    /// One `/`.
    Slash,
    BlockComment {
        depth: usize,
        last: u8,
    },
}

/// A running scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanner {
    quoting: Quoting,
    state: State,
    /// The last byte could continue an identifier.
    in_word: bool,
    /// The word so far is exactly `e` or `E`, the prefix of an escape string.
    escape_prefix: bool,
}

impl Scanner {
    /// A scan at the beginning of a text.
    pub fn new(quoting: Quoting) -> Self {
        Self { quoting, state: State::Code, in_word: false, escape_prefix: false }
    }

    /// The region that is open after what was read: `Code` unless a literal, quoted name or comment still runs.
    pub fn region(&self) -> Region {
        match &self.state {
            State::Quoted { region, .. } => *region,
            State::Dollar { .. } => Region::Literal,
            State::LineComment | State::BlockComment { .. } => Region::Comment,
            _ => Region::Code,
        }
    }

    /// Whether `byte`, read next, stands outside every literal, quoted name and comment. A delimiter that opens one
    /// stands outside, so does the line break that ends a comment; a delimiter that closes one stands inside.
    pub fn is_outside(&self, byte: u8) -> bool {
        match &self.state {
            State::MaybeClosed { close, .. } => byte != *close,
            State::LineComment => self.ends_line(byte),
            _ => self.region() == Region::Code,
        }
    }

    /// Reads one byte.
    pub fn push(&mut self, byte: u8) {
        match std::mem::replace(&mut self.state, State::Code) {
            State::Code => self.code(byte),
            State::Quoted { close, region, backslash, escaped } => {
                self.state = if escaped {
                    State::Quoted { close, region, backslash, escaped: false }
                } else if byte == close && close == b']' {
                    State::Code // SQLite has no way to write `]` inside brackets
                } else if byte == close {
                    State::MaybeClosed { close, region, backslash }
                } else {
                    State::Quoted { close, region, backslash, escaped: backslash && byte == b'\\' }
                };
            }
            State::MaybeClosed { close, region, backslash } => {
                if byte == close {
                    self.state = State::Quoted { close, region, backslash, escaped: false };
                } else {
                    self.code(byte);
                }
            }
            State::DollarTag(mut tag) => {
                if byte == b'$' {
                    tag.push(b'$');
                    self.state = State::Dollar { delimiter: tag, matched: 0 };
                } else if is_word(byte) && !(tag.len() == 1 && byte.is_ascii_digit()) {
                    tag.push(byte);
                    self.state = State::DollarTag(tag);
                } else {
                    self.in_word = true;
                    self.code(byte);
                }
            }
            State::Dollar { delimiter, matched } => {
                // `$` occurs in a delimiter only at its ends, so after a mismatch only this byte can begin it anew.
                let matched = if byte == delimiter[matched] { matched + 1 } else { usize::from(byte == b'$') };
                if matched < delimiter.len() {
                    self.state = State::Dollar { delimiter, matched };
                }
            }
            State::Dash => match byte {
                b'-' if self.quoting.mysql_comments => self.state = State::DashDash,
                b'-' => self.state = State::LineComment,
                _ => self.code(byte),
            },
            State::DashDash => match byte {
                b'\n' => self.code(byte),
                byte if byte <= b' ' => self.state = State::LineComment,
                b'-' => self.state = State::DashDash,
                _ => self.code(byte),
            },
            State::LineComment if self.ends_line(byte) => self.code(byte),
            State::LineComment => self.state = State::LineComment,
            State::Slash if byte == b'*' => self.state = State::BlockComment { depth: 1, last: 0 },
            State::Slash => self.code(byte),
            State::BlockComment { depth, last } => {
                let (depth, last) = match (last, byte) {
                    (b'*', b'/') => (depth - 1, 0),
                    (b'/', b'*') if self.quoting.nested_comments => (depth + 1, 0),
                    _ => (depth, byte),
                };
                if depth > 0 {
                    self.state = State::BlockComment { depth, last };
                }
            }
        }
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n' || (self.quoting.postgres && byte == b'\r')
    }

    fn code(&mut self, byte: u8) {
        let (in_word, escape_prefix) = (self.in_word, self.escape_prefix);
        self.in_word = is_word(byte) || (byte == b'$' && in_word);
        self.escape_prefix = !in_word && matches!(byte, b'e' | b'E');
        let quoted = |close, region, backslash| State::Quoted { close, region, backslash, escaped: false };
        let quoting = self.quoting;
        self.state = match byte {
            b'\'' => quoted(b'\'', Region::Literal, quoting.backslash || (quoting.postgres && escape_prefix)),
            b'"' if quoting.double_quoted_strings => quoted(b'"', Region::Literal, quoting.backslash),
            b'"' => quoted(b'"', Region::QuotedName, false),
            b'`' if quoting.backticks => quoted(b'`', Region::QuotedName, false),
            b'[' if quoting.brackets => quoted(b']', Region::QuotedName, false),
            b'$' if quoting.postgres && !in_word => State::DollarTag(vec![b'$']),
            b'#' if quoting.mysql_comments => State::LineComment,
            b'-' => State::Dash,
            b'/' => State::Slash,
            _ => State::Code,
        };
    }
}

/// Whether a byte can continue an identifier: letters, digits, `_` and everything beyond ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// For every byte of `text`, whether it stands outside literals, quoted names and comments (see
/// [`Scanner::is_outside`]).
pub fn outside(text: &str, quoting: Quoting) -> Vec<bool> {
    let mut scanner = Scanner::new(quoting);
    let place = |byte| {
        let outside = scanner.is_outside(byte);
        scanner.push(byte);
        outside
    };
    text.bytes().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text with every inside byte shown as `·`.
    fn shown(text: &str, quoting: Quoting) -> String {
        let outside = outside(text, quoting);
        text.bytes().zip(outside).map(|(byte, outside)| if outside { char::from(byte) } else { '.' }).collect()
    }

    #[test]
    fn quotes_and_comments_of_each_dialect() {
        for (quoting, text, expected) in [
            (Quoting::GENERIC, "a 'b;c' d", "a '.... d"),
            (Quoting::GENERIC, "'it''s';x", "'......;x"),
            (Quoting::GENERIC, r"'\';x", r"'..;x"),
            (Quoting::MYSQL, r"'\';x';y", r"'.....;y"),
            (Quoting::MYSQL, r"'\\';y", r"'...;y"),
            (Quoting::POSTGRES, r"E'\';x';y", r"E'.....;y"),
            (Quoting::POSTGRES, r"e'a\'b';y", r"e'.....;y"),
            (Quoting::POSTGRES, r"se'\';y", r"se'..;y"),
            (Quoting::POSTGRES, r#""a;""b";c"#, r#""......;c"#),
            (Quoting::POSTGRES, "$$a;b$$;c", "$$.....;c"),
            (Quoting::POSTGRES, "$q$a;$x$b$q$;c", "$q$.........;c"),
            (Quoting::POSTGRES, "$1;$2;x", "$1;$2;x"),
            (Quoting::POSTGRES, "a$b$;c$b$", "a$b$;c$b$"),
            (Quoting::POSTGRES, "$a$x$a$a$;y", "$a$....a$;y"),
            (Quoting::MYSQL, "`a;``b`;c", "`......;c"),
            (Quoting::SQLITE, "[a;b];c", "[....;c"),
            (Quoting::SQLITE, "[a]]b", "[..]b"),
            (Quoting::POSTGRES, "x[1];y", "x[1];y"),
            (Quoting::POSTGRES, "a--b;c\nd", "a--...\nd"),
            (Quoting::POSTGRES, "a - -b;c", "a - -b;c"),
            (Quoting::MYSQL, "5--3;a -- b;\nc", "5--3;a -- ..\nc"),
            (Quoting::MYSQL, "a # b;\nc", "a #...\nc"),
            (Quoting::POSTGRES, "a #> b;c", "a #> b;c"),
            (Quoting::POSTGRES, "/*a/*b*/;*/c", "/*.........c"),
            (Quoting::MYSQL, "/*a/*b*/;c", "/*......;c"),
            (Quoting::SQLITE, "/*/;*/a", "/*....a"),
            (Quoting::SQLITE, "a/b;c", "a/b;c"),
            (Quoting::GENERIC, "'a' ;'b'", "'.. ;'.."),
            (Quoting::GENERIC, "'ção;'x", "'.......x"),
        ] {
            assert_eq!(shown(text, quoting), expected, "{text}");
        }
    }

    #[test]
    fn the_open_region_is_known_at_every_byte() {
        let mut scanner = Scanner::new(Quoting::POSTGRES);
        for (byte, region) in b"'a'\"b\"--c\n".iter().zip([
            Region::Literal,
            Region::Literal,
            Region::Code,
            Region::QuotedName,
            Region::QuotedName,
            Region::Code,
            Region::Code,
            Region::Comment,
            Region::Comment,
            Region::Code,
        ]) {
            scanner.push(*byte);
            assert_eq!(scanner.region(), region, "{}", char::from(*byte));
        }
    }

    fn quotings() -> impl Strategy<Value = Quoting> {
        prop::sample::select(vec![Quoting::POSTGRES, Quoting::MYSQL, Quoting::SQLITE, Quoting::GENERIC])
    }

    proptest! {
        /// A literal, a quoted name or a comment around any text hides all of it, and the code behind it is code.
        #[test]
        fn what_is_quoted_is_inside(inner in "[a-z;'\"`$ \\-#/*é]{0,12}", kind in 0usize..3, quoting in quotings()) {
            let quoted = match kind {
                0 if quoting.backslash => format!("'{}'", inner.replace('\\', "\\\\").replace('\'', "''")),
                0 => format!("'{}'", inner.replace('\'', "''")),
                1 if quoting.backslash => format!("\"{}\"", inner.replace('\\', "\\\\").replace('"', "\"\"")),
                1 => format!("\"{}\"", inner.replace('"', "\"\"")),
                _ => format!("-- {}\n", inner),
            };
            let text = format!("a, {quoted} ;b");
            let place = outside(&text, quoting);
            let (start, end) = (3, 3 + quoted.len());
            prop_assert!(place[..start + 1].iter().all(|o| *o));
            let opened = if kind == 2 { start + 3 } else { start + 1 };
            let closed = if kind == 2 { end - 1 } else { end };
            prop_assert!(place[opened..closed].iter().all(|o| !*o), "{}", shown(&text, quoting));
            prop_assert!(place[end..].iter().all(|o| *o), "{}", shown(&text, quoting));
        }

        /// Pieces of any size give what the whole gives.
        #[test]
        fn feeding_in_pieces_equals_feeding_whole(text in "[a-c;'\"`$\\[\\]\\\\ \n\\-#/*e1]{0,40}", cut in 0usize..40, quoting in quotings()) {
            let cut = cut.min(text.len());
            let mut scanner = Scanner::new(quoting);
            text[..cut].bytes().for_each(|byte| scanner.push(byte));
            let mut resumed = scanner.clone();
            let mut places = outside(&text[..cut], quoting);
            for byte in text[cut..].bytes() {
                places.push(resumed.is_outside(byte));
                resumed.push(byte);
            }
            prop_assert_eq!(places, outside(&text, quoting));
        }
    }
}
