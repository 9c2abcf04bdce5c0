//! What is liked better among tokens that are all allowed: values of the compared column's type, and texts that stand in
//! the question. Soft: a model that is sure has its way. A small model copies a value letter by letter and slips
//! (`'Ofslo'`); what the question holds is nearly always what was meant.
//!
//! Lexical, as [`super::Taste`]: the column that was named last, the operator behind it, the literal at hand.

use std::collections::HashMap;
use std::sync::Arc;

use crate::grammar::TokenTrie;
use crate::kernels::softmax;
use crate::sql::Schema;

/// Taken from the logit of a token that is not liked: it has to be about 20 times as probable.
const WEIGHT: f32 = 3.0;

/// Logits this far below the highest are not looked at: they would not be drawn anyway.
const WINDOW: f32 = 12.0;

/// What a column holds, where that is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    Text,
}

impl Class {
    /// By the declared type. Dates and what nobody declared are neither.
    fn of(declared: &str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match declared {
            _ if has(&["CHAR", "TEXT", "CLOB"]) => Some(Self::Text),
            _ if has(&["INTERVAL", "POINT", "[]", "ARRAY"]) => None,
            _ if has(&["INT", "REAL", "DOUBLE", "FLOAT", "NUMERIC", "DECIMAL", "SERIAL"]) => Some(Self::Number),
            _ => None,
        }
    }
}

/// The question in lower case, and the schema's columns.
#[derive(Debug)]
struct Known {
    asked: Vec<u8>,
    /// Names in lower case; none where tables disagree.
    columns: HashMap<String, Option<Class>>,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Elsewhere,
    /// Behind a column.
    Column(Class),
    /// Behind its operator.
    Operand(Class),
    /// In the text that it is compared with.
    Value(Class),
    /// Behind a value, which another one may follow: in a list, after BETWEEN.
    More(Class),
}

#[derive(Debug, Clone, Default)]
struct Place {
    phase: Phase,
    /// The closing quote that is still to come.
    quote: Option<u8>,
    /// What stands in the quotes.
    quoted: Vec<u8>,
    /// The word at hand.
    word: Vec<u8>,
    /// Whether a list or BETWEEN goes on.
    goes_on: bool,
}

/// The likings of one answer.
#[derive(Debug, Clone)]
pub struct Leaning {
    known: Arc<Known>,
    place: Place,
}

impl Known {
    /// Whether the question holds this text from the beginning of a word on; a whole text has to end with a word. `%`
    /// stands for anything.
    fn holds(&self, text: &[u8], whole: bool) -> bool {
        let inner = text.strip_prefix(b"%").unwrap_or(text);
        let (anywhere, before) = (inner.len() < text.len(), inner.len());
        let inner = inner.strip_suffix(b"%").unwrap_or(inner);
        let open = !whole || inner.len() < before;
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        let wanted = inner.to_ascii_lowercase();
        wanted.is_empty()
            || self.asked.windows(wanted.len()).enumerate().any(|(at, window)| {
                let begins = anywhere || at == 0 || !is_word(self.asked.get(at - 1));
                window == wanted && begins && (open || !is_word(self.asked.get(at + wanted.len())))
            })
    }
}

impl Leaning {
    /// The likings of an answer to this question about these tables.
    pub fn new(question: &str, schema: &Schema) -> Self {
        let mut columns: HashMap<String, Option<Class>> = HashMap::new();
        for column in schema.tables().iter().flat_map(|table| &table.columns) {
            let class = column.data_type.as_deref().and_then(|declared| Class::of(&declared.to_ascii_uppercase()));
            let known = columns.entry(column.name.text().to_lowercase()).or_insert(class);
            *known = known.filter(|known| Some(*known) == class);
        }
        let asked = question.to_ascii_lowercase().into_bytes();
        Self { known: Arc::new(Known { asked, columns }), place: Place::default() }
    }

    /// The logits, less the weight for every token that is not liked; `None` where all are alike.
    pub fn leaned(&self, logits: &[f32], trie: &TokenTrie) -> Option<Vec<f32>> {
        if !self.has_likings() {
            return None;
        }
        let least = softmax::highest(logits) - WINDOW;
        let mut leaned: Option<Vec<f32>> = None;
        for (id, logit) in logits.iter().enumerate().take(trie.size()).filter(|(_, logit)| **logit >= least) {
            if !self.likes(trie.bytes(id as u32)) {
                leaned.get_or_insert_with(|| logits.to_vec())[id] = logit - WEIGHT;
            }
        }
        leaned
    }

    fn has_likings(&self) -> bool {
        match self.place.phase {
            // The word at hand may be a column: a token can hold the operator and the value's beginning.
            Phase::Elsewhere => {
                !self.place.word.is_empty() && column(&self.known, &self.place.word) != Phase::Elsewhere
            }
            Phase::More(_) => false,
            Phase::Column(_) | Phase::Operand(_) => true,
            // A text that the question does not hold goes its own way.
            Phase::Value(_) => self.known.holds(&self.place.quoted, false),
        }
    }

    /// Whether the text with this token is liked.
    fn likes(&self, token: &[u8]) -> bool {
        self.place.clone().read(token, &self.known)
    }

    /// A token was taken.
    pub fn advance(&mut self, token: &[u8]) {
        self.place.read(token, &self.known);
    }
}

impl Place {
    /// Goes on behind these bytes; whether all of it is liked.
    fn read(&mut self, bytes: &[u8], known: &Known) -> bool {
        let mut liked = true;
        for &byte in bytes {
            if let Some(quote) = self.quote {
                if byte != quote {
                    self.quoted.push(byte);
                    continue;
                }
                self.quote = None;
                self.phase = match self.phase {
                    Phase::Value(class) => {
                        liked &= known.holds(&self.quoted, true);
                        Phase::More(class)
                    }
                    _ if quote != b'\'' => column(known, &self.quoted),
                    _ => Phase::Elsewhere,
                };
                continue;
            }
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii() {
                if self.word.is_empty() && byte.is_ascii_digit() {
                    liked &= self.phase != Phase::Operand(Class::Text);
                }
                self.word.push(byte);
                continue;
            }
            if !self.word.is_empty() {
                self.end_word(known);
            }
            self.punctuation(byte, &mut liked);
        }
        liked && !matches!(self.phase, Phase::Value(_) if !known.holds(&self.quoted, false))
    }

    fn end_word(&mut self, known: &Known) {
        let word = std::mem::take(&mut self.word).to_ascii_uppercase();
        self.phase = match (word.as_slice(), self.phase) {
            (b"NOT", phase @ Phase::Column(_)) => phase,
            (b"LIKE" | b"ILIKE", Phase::Column(class)) => Phase::Operand(class),
            (b"IN" | b"BETWEEN", Phase::Column(class)) => {
                self.goes_on = true;
                Phase::Operand(class)
            }
            (b"AND", Phase::More(class)) if self.goes_on => {
                self.goes_on = false;
                Phase::Operand(class)
            }
            // A number and its places, or another column.
            (_, Phase::Operand(class) | Phase::More(class)) if word[0].is_ascii_digit() => Phase::More(class),
            _ => column(known, &word),
        };
    }

    fn punctuation(&mut self, byte: u8, liked: &mut bool) {
        self.phase = match (byte, self.phase) {
            (b' ' | b'\n' | b'\t', phase) => phase,
            (b'=' | b'<' | b'>' | b'!', Phase::Column(class) | Phase::Operand(class)) => Phase::Operand(class),
            (b'(', phase @ Phase::Operand(_)) if self.goes_on => phase,
            (b',', Phase::More(class)) if self.goes_on => Phase::Operand(class),
            (b'.', Phase::More(class)) => Phase::More(class),
            (b'\'', Phase::Operand(Class::Text)) => Phase::Value(Class::Text),
            (b'\'', Phase::Operand(Class::Number)) => {
                *liked = false;
                Phase::Elsewhere
            }
            _ => {
                self.goes_on = false;
                Phase::Elsewhere
            }
        };
        if matches!(byte, b'\'' | b'"' | b'`') {
            self.quote = Some(byte);
            self.quoted.clear();
        }
    }
}

/// The phase behind a name.
fn column(known: &Known, name: &[u8]) -> Phase {
    let name = String::from_utf8_lossy(name).to_lowercase();
    known.columns.get(&name).copied().flatten().map_or(Phase::Elsewhere, Phase::Column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    fn leaning(text: &str) -> Leaning {
        let ddl = "CREATE TABLE t (city TEXT, \"Full Name\" VARCHAR(20), price REAL, born DATE, qty INT); \
                   CREATE TABLE u (qty TEXT)";
        let schema = Schema::parse(ddl, Dialect::Sqlite).unwrap();
        let mut leaning = Leaning::new("Shops in Oslo, or named O'Hara & New York from 2023-04 for 20?", &schema);
        text.as_bytes().chunks(3).for_each(|chunk| leaning.advance(chunk));
        leaning
    }

    #[test]
    fn texts_of_the_question_are_liked() {
        for (before, token, liked) in [
            ("WHERE city = '", "Os", true),
            ("WHERE city = '", "os", true),
            ("WHERE city = '", "Of", false),
            ("WHERE city = '", "slo", false),
            ("WHERE city = 'Osl", "o'", true),
            ("WHERE city = 'Osl", "'", false),
            ("WHERE t.city = 'Os", "lo' AND", true),
            ("WHERE city = 'New", " York'", true),
            ("WHERE city LIKE '%", "slo", true),
            ("WHERE city LIKE 'Os", "%'", true),
            ("WHERE city IN ('Oslo', '", "Berlin", false),
            ("WHERE city NOT IN ('Oslo', '", "New", true),
            ("WHERE \"Full Name\" = '", "Of", false),
            ("WHERE city = 'Xy", "zzy", true),
            ("WHERE STRFTIME('%Y', born) = '", "19", true),
            ("WHERE born >= '", "1999", true),
            ("SELECT '", "Of", true),
            ("WHERE city", " = 'Of", false),
        ] {
            let leaning = leaning(before);
            assert_eq!(!leaning.has_likings() || leaning.likes(token.as_bytes()), liked, "{before}{token}");
        }
    }

    #[test]
    fn values_of_the_columns_type_are_liked() {
        for (before, token, liked) in [
            ("WHERE price > ", "20", true),
            ("WHERE price > ", "'20'", false),
            ("WHERE price BETWEEN 1.5 AND ", "'", false),
            ("WHERE price BETWEEN 1.5 AND ", "20", true),
            ("WHERE city = ", "20", false),
            ("WHERE city = ", "'", true),
            ("WHERE city = ", "name", true),
            ("WHERE qty = ", "'", true),
            ("WHERE qty = ", "2", true),
            ("WHERE price IN (1, ", "'", false),
            ("WHERE price > 1 AND name = ", "'", true),
        ] {
            let leaning = leaning(before);
            assert_eq!(!leaning.has_likings() || leaning.likes(token.as_bytes()), liked, "{before}{token}");
        }
    }

    #[test]
    fn a_sure_model_has_its_way() {
        let tokens: Vec<Vec<u8>> = ["Os", "Of"].iter().map(|token| token.as_bytes().to_vec()).collect();
        let trie = TokenTrie::new(&crate::grammar::Vocabulary::from_bytes(tokens), &[]);
        let leaning = leaning("WHERE city = '");
        assert_eq!(leaning.leaned(&[1.0, 2.0], &trie), Some(vec![1.0, 2.0 - WEIGHT]));
        assert_eq!(leaning.leaned(&[2.0, 2.0 - WINDOW - 1.0], &trie), None);
    }
}
