//! What no sane answer has though the language does: `foRMat`, `SeLeCT`, an alias `JOINkufeaceal` where a blank was
//! refused, a ninth parenthesis in eight others, `orders.phone` where `orders` has no such column and could only become the
//! alias of a table that has. After a refused token a model that is lost takes such tokens, for one of
//! the thousand ways to spell a word is always left, and finds no end from there.
//!
//! Lexical only: quotes, the word at hand, what stands in front of it, names given by then and open parentheses. It refuses no text by itself; a constraint leaves such
//! tokens out as long as it knows another way.

use std::collections::HashMap;
use std::sync::Arc;

use crate::grammar::Grammar;
use crate::sql::{Name, Schema};

/// Most parentheses open at once. Gold queries have three, hand-written test cases of other rooms eight.
const MOST_OPEN: u16 = 8;

/// Longest word that nothing has named so far and that is not behind AS, so that only an alias yet to come explains it.
const LONGEST_UNKNOWN: usize = 24;

/// Fewest letters of a keyword that is seen in front of other capitals: `INVOICE` is no `IN`.
const LONG_KEYWORD: usize = 4;

/// The words whose case matters, and where a text stands.
#[derive(Debug, Clone)]
pub struct Taste {
    words: Arc<Words>,
    place: Place,
}

#[derive(Debug, Default)]
struct Words {
    /// Keywords in capitals, sorted.
    keywords: Vec<String>,
    /// Keywords, functions and names of the schema in lower case, sorted.
    folded: Vec<String>,
    /// Names of the schema as they are written there, sorted.
    spelt: Vec<String>,
    /// Its tables by name with their columns, all in lower case; the columns sorted.
    tables: HashMap<String, Vec<String>>,
}

/// A finished word: a place is copied for every token that is asked about.
type Word = Arc<[u8]>;

/// Where a text stands, as far as this room looks.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The closing quote that is still to come.
    quote: Option<u8>,
    /// The word at hand.
    word: Vec<u8>,
    /// The two before it in lower case, the last one first; none where more than blanks stand between.
    before: [Option<Word>; 2],
    /// Names in lower case that the text has given to something itself: aliases and common table expressions.
    declared: Arc<Vec<Word>>,
    /// Behind `name.`: what stands in front of the point, in lower case.
    qualifier: Option<Word>,
    open: u16,
}

impl Words {
    fn new(grammar: &Grammar, functions: &[&str], schema: &Schema) -> Self {
        let is_keyword = |rule: &&str| rule.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let mut keywords: Vec<String> = grammar.rules().filter(is_keyword).map(|rule| rule.replace('-', "_")).collect();
        let tables = schema.tables().iter();
        let names = tables.flat_map(|table| std::iter::once(&table.name).chain(table.columns.iter().map(|c| &c.name)));
        let mut spelt: Vec<String> = names.map(|name| name.text().to_owned()).collect();
        let functions = functions.iter().map(|name| (*name).to_owned());
        let mut folded: Vec<String> = keywords.iter().cloned().chain(functions).chain(spelt.iter().cloned()).collect();
        folded.iter_mut().for_each(|word| word.make_ascii_lowercase());
        for list in [&mut keywords, &mut folded, &mut spelt] {
            list.sort_unstable();
            list.dedup();
        }
        let fold = |name: &Name| name.text().to_lowercase();
        // Tables of one name in several namespaces are taken together: what stands in front of the name is not looked at.
        let mut tables: HashMap<String, Vec<String>> = HashMap::new();
        for table in schema.tables() {
            tables.entry(fold(&table.name)).or_default().extend(table.columns.iter().map(|column| fold(&column.name)));
        }
        tables.values_mut().for_each(|columns| columns.sort_unstable());
        Self { keywords, folded, spelt, tables }
    }

    fn columns_of(&self, table: &[u8]) -> Option<&Vec<String>> {
        self.tables.get(std::str::from_utf8(table).ok()?)
    }

    /// Whether a word, or the beginning of one, is a known word in a case that nobody writes (neither upper nor lower nor
    /// with one capital in front, nor as the schema has it), or a keyword in capitals with another word stuck to it.
    fn is_odd(&self, word: &[u8]) -> bool {
        let has_lower = word.iter().any(u8::is_ascii_lowercase);
        let has_digit = || word.iter().any(u8::is_ascii_digit);
        let capitals = word.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let mixed = has_lower && word.iter().skip(1).any(u8::is_ascii_uppercase);
        let stuck = || capitals > 1 && (has_lower || has_digit()) && self.begins_with_keyword(&word[..capitals]);
        (mixed && begins(&self.folded, &word.to_ascii_lowercase()) || stuck()) && !begins(&self.spelt, word)
    }

    /// Whether these capitals are a keyword, or begin with one long enough to be meant.
    fn begins_with_keyword(&self, capitals: &[u8]) -> bool {
        self.is_keyword(capitals) || (LONG_KEYWORD..capitals.len()).any(|length| self.is_keyword(&capitals[..length]))
    }

    fn is_keyword(&self, word: &[u8]) -> bool {
        self.keywords.binary_search_by(|own| own.as_bytes().cmp(word)).is_ok()
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
        let plain = |byte: &u8| !byte.is_ascii_uppercase() && !matches!(byte, b'(' | b'.');
        let no_capitals = self.place.word.iter().all(|byte| !byte.is_ascii_uppercase());
        let is_short = self.place.word.len() + token.len() <= LONGEST_UNKNOWN;
        is_short && self.place.qualifier.is_none() && no_capitals && token.iter().all(plain)
            || self.place.clone().read(token, &self.words)
    }

    /// Whether the text with this token ends in a keyword in capitals that no name of the schema begins with: what it then
    /// has to be.
    pub fn ends_in_keyword(&self, token: &[u8]) -> bool {
        if !token.last().is_some_and(u8::is_ascii_uppercase) {
            return false;
        }
        let mut place = self.place.clone();
        place.read(token, &self.words);
        place.quote.is_none() && self.words.is_keyword(&place.word) && !begins(&self.words.spelt, &place.word)
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
            suits &= !words.is_odd(&self.word) && self.is_column(words, true) && self.is_known(words);
            self.end_word(byte, words);
            match byte {
                b'\'' | b'"' | b'`' => self.quote = Some(byte),
                b'[' => self.quote = Some(b']'),
                b'(' => self.open = self.open.saturating_add(1),
                b')' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
            suits &= byte != b'(' || self.open <= MOST_OPEN;
        }
        suits && !words.is_odd(&self.word) && self.is_column(words, false) && self.is_known(words)
    }

    /// The word at hand ends with this byte: notes what it declares, or qualifies.
    fn end_word(&mut self, byte: u8, words: &Words) {
        self.qualifier = None;
        if !self.word.is_empty() {
            let word: Word = self.word.to_ascii_lowercase().into();
            let is_name = !words.is_keyword(&word.to_ascii_uppercase());
            let follows_table = self.before[0].as_ref().is_some_and(|last| words.columns_of(last).is_some());
            if is_name && (self.is_naming() || follows_table) {
                self.declare(Arc::clone(&word));
            }
            if byte == b'.' && !word[0].is_ascii_digit() {
                self.qualifier = Some(Arc::clone(&word));
            }
            self.before.swap(0, 1);
            self.before[0] = Some(word);
            self.word.clear();
        }
        if byte == b'('
            && self.before[0].as_deref() == Some(b"as")
            && let Some(name) = self.before[1].take()
        {
            self.declare(name);
        }
        if !byte.is_ascii_whitespace() {
            self.before = [None, None];
        }
    }

    /// Whether the last word is one behind which a new name stands.
    fn is_naming(&self) -> bool {
        matches!(self.before[0].as_deref(), Some(b"as" | b"with" | b"recursive"))
    }

    fn declare(&mut self, name: Word) {
        if !self.declared.contains(&name) {
            Arc::make_mut(&mut self.declared).push(name);
        }
    }

    /// Whether the word at hand is short, the beginning of something known, or may be a new name.
    fn is_known(&self, words: &Words) -> bool {
        if self.word.len() <= LONGEST_UNKNOWN || self.is_naming() {
            return true;
        }
        let word = self.word.to_ascii_lowercase();
        begins(&words.folded, &word) || self.declared.iter().any(|name| name.starts_with(&word))
    }

    /// Whether the word at hand is a column of the table in front of the point, or begins like one.
    fn is_column(&self, words: &Words, whole: bool) -> bool {
        let Some(table) = self.qualifier.as_ref().filter(|name| !self.declared.contains(name)) else { return true };
        let Some(columns) = words.columns_of(table) else { return true };
        let word = self.word.to_ascii_lowercase();
        if !whole || word.is_empty() {
            return begins(columns, &word);
        }
        columns.binary_search_by(|own| own.as_bytes().cmp(&word)).is_ok()
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
            "AS ORDER_TOTAL",
            "AS INVOICE_no",
            "AS IDs",
        ] {
            assert!(taste.suits(text.as_bytes()), "{text}");
        }
        for text in [
            "foRM",
            "SeLeCT",
            " sElect",
            "placedoN",
            "ORders",
            "jSon_",
            "1 lIKe 2",
            "seLECT x",
            "leFT ",
            " JOINorders",
            " ON_ordersId",
            "FROM0",
            " FROMSELECTal",
        ] {
            assert!(!taste.suits(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_keyword_is_seen_at_the_end_of_a_text() {
        let mut taste = taste();
        assert!(taste.ends_in_keyword(b"1 ON") && taste.ends_in_keyword(b"SELECT"));
        assert!(!taste.ends_in_keyword(b" on") && !taste.ends_in_keyword(b"ON ") && !taste.ends_in_keyword(b"ONE"));
        taste.advance(b"'a GROUP B");
        assert!(!taste.ends_in_keyword(b" ON"));
    }

    #[test]
    fn a_table_in_front_of_a_point_has_the_column() {
        for (before, suits, odd) in [
            ("SELECT orders", ".total", ".phone"),
            ("SELECT orders.", "plac", "name"),
            ("SELECT orders.", "*", "xyz"),
            ("SELECT Orders.to", "tal,", "t,"),
            ("SELECT orders.", "id FROM", "i FROM"),
            ("SELECT orders.", "\"id\"", "placedOnly"),
            ("SELECT x", ".phone", ""),
            ("WITH orders AS (SELECT 1 AS phone) SELECT orders", ".phone", ""),
            ("SELECT 1 FROM people AS orders WHERE orders", ".phone", ""),
            ("SELECT 1 FROM orders people WHERE people", ".phone", ""),
            ("SELECT 1", ".5", ""),
            ("SELECT 'orders", ".phone", ""),
            ("SELECT a_name_that_is", "_new", "_no_alias_of_anything"),
            ("SELECT 1 AS a_name_that_is", "_no_alias_of_anything", ""),
        ] {
            let mut taste = taste();
            taste.advance(before.as_bytes());
            assert!(taste.suits(suits.as_bytes()), "{before}{suits}");
            assert!(odd.is_empty() || !taste.suits(odd.as_bytes()), "{before}{odd}");
        }
    }

    #[test]
    fn tables_of_one_name_have_all_their_columns() {
        let ddl = "CREATE TABLE a.orders (id INT); CREATE TABLE b.orders (total REAL)";
        let grammar = Grammar::parse(shipped("sql-postgres").unwrap()).unwrap();
        let schema = Schema::parse(ddl, Dialect::Postgres).unwrap();
        let mut taste = Taste::new(&grammar, &SchemaGuard::functions(Dialect::Postgres), &schema);
        taste.advance(b"SELECT orders.");
        assert!(taste.suits(b"id,") && taste.suits(b"total,") && !taste.suits(b"phone,"));
    }

    #[test]
    fn a_word_is_judged_across_tokens_and_parentheses_are_counted_outside_quotes() {
        let mut taste = taste();
        taste.advance(b"SELECT se");
        assert!(taste.suits(b"lect") && taste.suits(b"t") && !taste.suits(b"LECT") && !taste.suits(b"LE"));
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
