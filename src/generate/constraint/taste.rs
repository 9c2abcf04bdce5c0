//! What no sane answer has though the language does: `foRMat`, `SeLeCT`, an alias `ONtal`, a ninth parenthesis in eight
//! others. After a refused token a model that is lost takes such tokens, for one of the thousand ways to spell a word is
//! always left.
//!
//! Lexical only: quotes, the word at hand and open parentheses. It refuses no text by itself; a constraint leaves such
//! tokens out as long as it knows another way.

use std::sync::Arc;

use crate::grammar::Grammar;
use crate::sql::Schema;

/// Most parentheses open at once. Gold queries have three, hand-written test cases of other rooms eight.
const MOST_OPEN: u16 = 8;

/// The words whose case matters, and where a text stands.
#[derive(Debug, Clone)]
pub struct Taste {
    words: Arc<Words>,
    place: Place,
}

#[derive(Debug, Default)]
struct Words {
    /// Keywords in lower case.
    keywords: Vec<String>,
    /// Keywords, functions and names of the schema in lower case, sorted.
    folded: Vec<String>,
    /// Names of the schema as they are written there, sorted.
    spelt: Vec<String>,
}

/// Where a text stands, as far as this room looks.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The closing quote that is still to come.
    quote: Option<u8>,
    /// The word at hand.
    word: Vec<u8>,
    open: u16,
}

impl Words {
    fn new(grammar: &Grammar, functions: &[&str], schema: &Schema) -> Self {
        let is_keyword = |rule: &&str| rule.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let keywords = grammar.rules().filter(is_keyword).map(|rule| rule.replace('-', "_").to_ascii_lowercase());
        let keywords: Vec<String> = keywords.collect();
        let tables = schema.tables().iter();
        let names = tables.flat_map(|table| std::iter::once(&table.name).chain(table.columns.iter().map(|c| &c.name)));
        let mut spelt: Vec<String> = names.map(|name| name.text().to_owned()).collect();
        let functions = functions.iter().map(|name| (*name).to_owned());
        let mut folded: Vec<String> = keywords.iter().cloned().chain(functions).chain(spelt.iter().cloned()).collect();
        folded.iter_mut().for_each(|word| word.make_ascii_lowercase());
        for list in [&mut folded, &mut spelt] {
            list.sort_unstable();
            list.dedup();
        }
        Self { keywords, folded, spelt }
    }

    /// Whether a word, or the beginning of one, is a known word in a case that nobody writes: neither upper nor lower
    /// nor with one capital in front, nor as the schema has it. Or a keyword in capitals that small letters were stuck to.
    fn is_odd(&self, word: &[u8]) -> bool {
        self.is_mixed(word) || self.is_stuck(word)
    }

    fn is_stuck(&self, word: &[u8]) -> bool {
        let capitals = word.iter().take_while(|byte| !byte.is_ascii_lowercase()).count();
        let begins_with = |keyword: &String| word[..capitals].to_ascii_lowercase().starts_with(keyword.as_bytes());
        capitals > 1
            && capitals < word.len()
            && !begins(&self.spelt, word)
            && self.keywords.iter().any(|keyword| keyword.len() > 1 && begins_with(keyword))
    }

    fn is_mixed(&self, word: &[u8]) -> bool {
        let rest = word.get(1..).unwrap_or_default();
        let has_upper = rest.iter().any(u8::is_ascii_uppercase);
        let has_lower = word.iter().any(u8::is_ascii_lowercase);
        has_upper && has_lower && !begins(&self.spelt, word) && begins(&self.folded, &word.to_ascii_lowercase())
    }
}

/// Whether one of these sorted words begins so.
fn begins(sorted: &[String], word: &[u8]) -> bool {
    let at = sorted.partition_point(|own| own.as_bytes() < word);
    sorted.get(at).is_some_and(|own| own.as_bytes().starts_with(word))
}

impl Taste {
    /// The taste of answers about a schema: the grammar's rules with names in capitals are its keywords.
    pub fn new(grammar: &Grammar, functions: &[&str], schema: &Schema) -> Self {
        Self { words: Arc::new(Words::new(grammar, functions, schema)), place: Place::default() }
    }

    /// Whether every token suits here, so that none needs to be looked at.
    pub fn takes_all(&self) -> bool {
        self.place.quote.is_some()
    }

    /// Whether a token suits.
    pub fn suits(&self, token: &[u8]) -> bool {
        let plain = |byte: &u8| !byte.is_ascii_uppercase() && *byte != b'(';
        let no_capitals = self.place.word.iter().all(|byte| !byte.is_ascii_uppercase());
        no_capitals && token.iter().all(plain) || self.place.clone().read(token, &self.words)
    }

    /// A token was taken.
    pub fn advance(&mut self, token: &[u8]) {
        self.place.read(token, &self.words);
    }
}

impl Place {
    /// Goes on behind these bytes; whether all of them suit.
    fn read(&mut self, bytes: &[u8], words: &Words) -> bool {
        let mut suits = true;
        for &byte in bytes {
            if let Some(quote) = self.quote {
                self.quote = (byte != quote).then_some(quote);
                continue;
            }
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii() {
                self.word.push(byte);
                continue;
            }
            suits &= !words.is_odd(&self.word);
            self.word.clear();
            match byte {
                b'\'' | b'"' | b'`' => self.quote = Some(byte),
                b'[' => self.quote = Some(b']'),
                b'(' => self.open = self.open.saturating_add(1),
                b')' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
            suits &= byte != b'(' || self.open <= MOST_OPEN;
        }
        suits && !words.is_odd(&self.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{SchemaGuard, shipped};
    use crate::sql::Dialect;

    fn taste() -> Taste {
        let ddl = "CREATE TABLE orders (id INT, placedOn TEXT, Total REAL)";
        let grammar = Grammar::parse(shipped("sql-sqlite").unwrap()).unwrap();
        let functions = SchemaGuard::functions(Dialect::Sqlite);
        Taste::new(&grammar, &functions, &Schema::parse(ddl, Dialect::Sqlite).unwrap())
    }

    #[test]
    fn words_are_written_in_one_case_or_as_the_schema_has_them() {
        let taste = taste();
        for text in [
            "SELECT",
            "select",
            "Select",
            "sel",
            "Sel",
            " placedOn",
            "placedO",
            "PLACEDON",
            "Total",
            "AS bigTotal",
            "'foRMat (SeLeCT'",
            "\"foRMat\"",
            "count(*)",
            "Count(",
            "ORDER BY TotalOfAll",
        ] {
            assert!(taste.suits(text.as_bytes()), "{text}");
        }
        for text in ["IDs", "order_total", "Total_of_order", "SELECT on_hand", "A1b"] {
            assert!(taste.suits(text.as_bytes()), "{text}");
        }
        for text in ["ONtal_office", " JOIN_orders", "INTERSECTALEScepting", "x WHEREgr"] {
            assert!(!taste.suits(text.as_bytes()), "{text}");
        }
        for text in ["foRM", "SeLeCT", " sElect", "placedoN", "ORders", "jSon_", "1 lIKe 2", "seLECT x", "leFT "] {
            assert!(!taste.suits(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_word_is_judged_across_tokens_and_parentheses_are_counted_outside_quotes() {
        let mut taste = taste();
        taste.advance(b"SELECT se");
        assert!(taste.suits(b"lect") && taste.suits(b"t") && !taste.suits(b"LECT") && !taste.suits(b"LE"));
        let mut stuck = taste.clone();
        stuck.advance(b"t 1 ON");
        assert!(stuck.suits(b" a") && stuck.suits(b"LY") && !stuck.suits(b"ntal"));
        taste.advance(b"t || '((((((((((' || ");
        for _ in 0..MOST_OPEN {
            assert!(taste.suits(b"abs("));
            taste.advance(b"abs(");
        }
        assert!(!taste.suits(b"abs(") && taste.suits(b"1)") && taste.suits(b") + ("));
        taste.advance(b"'(");
        assert!(taste.takes_all() && taste.suits(b"foRMat (("));
    }
}
