//! Names as the dialect compares them, sets of them, and how far into a set the text being read has come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::sql::Dialect;

/// A name; equal numbers are equal names. 0 is no name.
pub type NameId = u32;

/// No name.
pub const NONE: NameId = 0;

/// A name that equals no other: what a mask takes every free name for.
pub const VEILED: NameId = u32::MAX;

/// Longest free name: PostgreSQL cuts at 63 bytes, and then two names may become one.
const LONGEST_FREE: usize = 60;

/// Names that may be read at a place, sorted; those that need no quotes apart.
#[derive(Debug)]
pub struct NameSet {
    all: Vec<NameId>,
    plain: Vec<NameId>,
}

/// How the name at hand is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quote {
    /// Nothing of it has been read.
    Start,
    /// Without quotes.
    Bare,
    /// Behind this opening quote.
    Open(u8),
    /// Behind the closing quote, which a second one would turn into a part of the name.
    Closed(u8),
}

/// The name that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// None is.
    Nothing,
    /// One of a set: those from `low` to `high` begin with the `depth` bytes read.
    Known { set: u32, low: u32, high: u32, depth: u16, quote: Quote, hook: u8 },
    /// Any name.
    Free { text: u32, quote: Quote, hook: u8 },
}

/// All names, sets and texts met so far.
#[derive(Debug)]
pub struct Names {
    dialect: Dialect,
    reserved: HashSet<String>,
    /// Words that are no names only where nothing else shows that a name comes.
    half_reserved: HashSet<String>,
    texts: Vec<Arc<str>>,
    known: HashMap<Arc<str>, NameId>,
    sets: Vec<Arc<NameSet>>,
    known_sets: HashMap<Vec<NameId>, u32>,
    /// What has been read of free names.
    raw: Vec<Arc<[u8]>>,
    known_raw: HashMap<Arc<[u8]>, u32>,
    /// Bytes held, roughly.
    pub memory: usize,
}

impl Names {
    /// No names; `grammar` is the dialect's grammar, whose remarks list the words that are no names.
    pub fn new(dialect: Dialect, grammar: &str) -> Self {
        let words = |mark: &str| -> HashSet<String> {
            let lists = grammar.lines().filter_map(|line| line.strip_prefix(mark));
            lists.flat_map(str::split_whitespace).map(str::to_ascii_lowercase).collect()
        };
        let (reserved, half_reserved) = (words("# reserved: "), words("# reserved as a bare alias: "));
        let mut own = Self {
            dialect,
            reserved,
            half_reserved,
            texts: vec!["".into()],
            known: HashMap::new(),
            sets: Vec::new(),
            known_sets: HashMap::new(),
            raw: Vec::new(),
            known_raw: HashMap::new(),
            memory: 0,
        };
        own.raw_text(b"");
        own
    }

    /// The number of a name as the dialect compares it.
    pub fn intern(&mut self, text: &str) -> NameId {
        if let Some(id) = self.known.get(text) {
            return *id;
        }
        let text: Arc<str> = text.into();
        let id = self.texts.len() as NameId;
        self.memory += 2 * text.len() + 64;
        self.texts.push(Arc::clone(&text));
        self.known.insert(text, id);
        id
    }

    /// A name of a schema: `quoted` where it had quotes that matter.
    pub fn of_schema(&mut self, text: &str, quoted: bool) -> NameId {
        match self.dialect {
            Dialect::Postgres if quoted => self.intern(text),
            _ => self.intern(&text.to_ascii_lowercase()),
        }
    }

    /// The name's text.
    pub fn text(&self, name: NameId) -> &str {
        self.texts.get(name as usize).map_or("", |text| text)
    }

    /// Whether a name can stand without quotes.
    fn is_plain(&self, name: NameId) -> bool {
        let text = self.text(name);
        let mut bytes = text.bytes();
        let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80;
        bytes.next().is_some_and(begins)
            && bytes.all(|b| begins(b) || b.is_ascii_digit() || b == b'$')
            && !self.reserved.contains(&text.to_ascii_lowercase())
            && !(self.dialect == Dialect::Postgres && text.bytes().any(|b| b.is_ascii_uppercase()))
    }

    /// A name as it is written, in quotes where it needs them.
    pub fn spelt(&self, name: NameId) -> String {
        let text = self.text(name);
        let spoken = text.to_ascii_lowercase();
        if self.is_plain(name) && !self.half_reserved.contains(&spoken) {
            text.to_owned()
        } else {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
    }

    /// The number of a set; none for the empty one.
    pub fn set(&mut self, mut names: Vec<NameId>) -> Option<u32> {
        names.retain(|name| *name != NONE && *name != VEILED);
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        if let Some(set) = self.known_sets.get(&names) {
            return Some(*set);
        }
        let mut all = names.clone();
        all.sort_by(|a, b| self.text(*a).as_bytes().cmp(self.text(*b).as_bytes()));
        let plain = all.iter().copied().filter(|name| self.is_plain(*name)).collect();
        let set = self.sets.len() as u32;
        self.memory += 12 * names.len() + 96;
        self.sets.push(Arc::new(NameSet { all, plain }));
        self.known_sets.insert(names, set);
        Some(set)
    }

    /// A set of numbers: digits need no quotes, though no name begins with one.
    pub fn digits(&mut self, mut names: Vec<NameId>) -> Option<u32> {
        names.sort_by(|a, b| self.text(*a).as_bytes().cmp(self.text(*b).as_bytes()));
        if names.is_empty() {
            return None;
        }
        // Its own key: no set of names holds `NONE`.
        let key: Vec<NameId> = std::iter::once(NONE).chain(names.iter().copied()).collect();
        if let Some(set) = self.known_sets.get(&key) {
            return Some(*set);
        }
        let set = self.sets.len() as u32;
        self.sets.push(Arc::new(NameSet { all: Vec::new(), plain: names }));
        self.known_sets.insert(key, set);
        Some(set)
    }

    /// Begins to read one of a set.
    pub fn begin_known(&self, set: u32, hook: u8) -> Reading {
        Reading::Known { set, low: 0, high: 0, depth: 0, quote: Quote::Start, hook }
    }

    /// Begins to read any name.
    pub fn begin_free(&self, hook: u8) -> Reading {
        Reading::Free { text: 0, quote: Quote::Start, hook }
    }

    fn raw_text(&mut self, bytes: &[u8]) -> u32 {
        if let Some(id) = self.known_raw.get(bytes) {
            return *id;
        }
        let bytes: Arc<[u8]> = bytes.into();
        let id = self.raw.len() as u32;
        self.memory += bytes.len() + 64;
        self.raw.push(Arc::clone(&bytes));
        self.known_raw.insert(bytes, id);
        id
    }

    /// Reads a byte of a name.
    pub fn byte(&mut self, byte: u8, reading: Reading) -> Option<Reading> {
        match reading {
            Reading::Nothing => Some(reading),
            Reading::Known { set, mut low, mut high, depth, quote, hook } => {
                let names = Arc::clone(&self.sets[set as usize]);
                let (quote, read) = match quote {
                    Quote::Start => match opening(byte) {
                        true => {
                            let high = names.all.len() as u32;
                            return (high > 0).then_some(Reading::Known {
                                set,
                                low: 0,
                                high,
                                depth: 0,
                                quote: Quote::Open(byte),
                                hook,
                            });
                        }
                        false => {
                            (low, high) = (0, names.plain.len() as u32);
                            (Quote::Bare, self.fold(byte, false))
                        }
                    },
                    Quote::Bare => (quote, self.fold(byte, false)),
                    Quote::Open(open) if byte == closing(open) => {
                        let list = &names.all[low as usize..high as usize];
                        let complete = self.is_complete(list, depth);
                        let inside = byte != b']' && self.narrow(list, depth, byte).is_some();
                        return (complete || inside).then_some(Reading::Known {
                            set,
                            low,
                            high,
                            depth,
                            quote: Quote::Closed(open),
                            hook,
                        });
                    }
                    Quote::Open(_) => (quote, self.fold(byte, true)),
                    Quote::Closed(open) if byte == closing(open) && byte != b']' => (Quote::Open(open), byte),
                    Quote::Closed(_) => return None,
                };
                let list = if quote == Quote::Bare { &names.plain } else { &names.all };
                let (from, to) = self.narrow(&list[low as usize..high as usize], depth, read)?;
                Some(Reading::Known { set, low: low + from, high: low + to, depth: depth + 1, quote, hook })
            }
            Reading::Free { text, quote, hook } => {
                let quote = match quote {
                    Quote::Start if opening(byte) => Quote::Open(byte),
                    Quote::Start => Quote::Bare,
                    Quote::Open(open) if byte == closing(open) => Quote::Closed(open),
                    Quote::Closed(open) if byte == closing(open) && byte != b']' => Quote::Open(open),
                    Quote::Closed(_) => return None,
                    same => same,
                };
                if text == VEILED {
                    return Some(Reading::Free { text, quote, hook });
                }
                let mut bytes = self.raw[text as usize].to_vec();
                if bytes.len() >= LONGEST_FREE && !matches!(quote, Quote::Closed(_)) {
                    return None;
                }
                bytes.push(if self.dialect == Dialect::Postgres { byte } else { byte.to_ascii_lowercase() });
                Some(Reading::Free { text: self.raw_text(&bytes), quote, hook })
            }
        }
    }

    fn fold(&self, byte: u8, quoted: bool) -> u8 {
        if quoted && self.dialect == Dialect::Postgres { byte } else { byte.to_ascii_lowercase() }
    }

    /// The part of a sorted run of names that go on with this byte.
    fn narrow(&self, names: &[NameId], depth: u16, byte: u8) -> Option<(u32, u32)> {
        let at = |name: &NameId| self.text(*name).as_bytes().get(usize::from(depth)).copied();
        let from = names.partition_point(|name| at(name).is_none_or(|own| own < byte));
        let to = names.partition_point(|name| at(name).is_none_or(|own| own <= byte));
        (from < to).then_some((from as u32, to as u32))
    }

    fn is_complete(&self, names: &[NameId], depth: u16) -> bool {
        names.first().is_some_and(|name| self.text(*name).len() == usize::from(depth))
    }

    /// The name that has been read, if it may end here.
    pub fn finished(&mut self, reading: Reading) -> Option<NameId> {
        match reading {
            Reading::Nothing => None,
            Reading::Known { set, low, high, depth, quote, .. } => {
                let names = Arc::clone(&self.sets[set as usize]);
                let list = match quote {
                    Quote::Bare => &names.plain,
                    Quote::Closed(_) => &names.all,
                    _ => return None,
                };
                let list = &list[low as usize..high as usize];
                self.is_complete(list, depth).then(|| list[0])
            }
            Reading::Free { text: VEILED, quote, .. } => {
                matches!(quote, Quote::Bare | Quote::Closed(_)).then_some(VEILED)
            }
            Reading::Free { text, quote, .. } => {
                let raw = Arc::clone(&self.raw[text as usize]);
                let text = std::str::from_utf8(&raw).ok()?;
                let (text, exact) = match quote {
                    Quote::Bare => (text.to_owned(), false),
                    Quote::Closed(open) => {
                        let inner = &text[1..text.len() - 1];
                        let mark = char::from(closing(open)).to_string();
                        (inner.replace(&mark.repeat(2), &mark), true)
                    }
                    _ => return None,
                };
                if text.is_empty() {
                    return None;
                }
                let exact = exact && self.dialect == Dialect::Postgres;
                Some(if exact { self.intern(&text) } else { self.intern(&text.to_ascii_lowercase()) })
            }
        }
    }

    /// Whether a quoted name of which so much has been read, up to a quote, is the beginning of a name.
    pub fn goes_on(&self, text: u32, mark: u8, name: NameId) -> bool {
        let quoted = format!("\"{}\"", self.text(name).replace('"', "\"\""));
        let read = self.read_so_far(text);
        mark == b'"' && quoted.as_bytes().strip_prefix(read).is_some_and(|rest| rest.first() == Some(&b'"'))
    }

    /// What has been read of a free name, quotes included.
    pub fn read_so_far(&self, text: u32) -> &[u8] {
        self.raw.get(text as usize).map_or(&[], |raw| raw)
    }

    /// The bytes that may be read next; `wanted` are the free names worth reading,
    /// `taken` those that are not.
    pub fn next_bytes(&self, reading: Reading, wanted: &[NameId], taken: &[NameId]) -> Option<Vec<u8>> {
        match reading {
            Reading::Nothing => None,
            Reading::Known { set, low, high, depth, quote, .. } => {
                let names = &self.sets[set as usize];
                let nexts = |list: &[NameId]| -> Vec<u8> {
                    let mut next: Vec<u8> = list
                        .iter()
                        .filter_map(|name| self.text(*name).as_bytes().get(usize::from(depth)).copied())
                        .collect();
                    next.dedup();
                    next
                };
                Some(match quote {
                    Quote::Start => {
                        let mut next = nexts(&names.plain);
                        if names.plain.len() < names.all.len() {
                            next.push(b'"');
                        }
                        next
                    }
                    Quote::Bare => nexts(&names.plain[low as usize..high as usize]),
                    Quote::Open(open) => {
                        let list = &names.all[low as usize..high as usize];
                        let mut next = nexts(list);
                        if self.is_complete(list, depth) {
                            next.push(closing(open));
                        }
                        next
                    }
                    Quote::Closed(open) => {
                        let list = &names.all[low as usize..high as usize];
                        if nexts(list).contains(&closing(open)) { vec![closing(open)] } else { Vec::new() }
                    }
                })
            }
            Reading::Free { text, quote, .. } => {
                let read = self.read_so_far(text).to_ascii_lowercase();
                let mut next: Vec<u8> = Vec::new();
                for name in wanted {
                    let name_text = self.text(*name);
                    let spelt = if self.is_plain(*name) { name_text.to_owned() } else { format!("\"{name_text}\"") };
                    if spelt.to_ascii_lowercase().as_bytes().starts_with(&read) {
                        next.extend(spelt.as_bytes().get(read.len()));
                    }
                }
                match quote {
                    Quote::Start => {
                        let taken = |letter: &u8| taken.iter().any(|name| self.text(*name).as_bytes() == [*letter]);
                        next.extend(b"xyzwvutsrqpmnklj".iter().copied().find(|letter| !taken(letter)));
                    }
                    // A word that is no name so far (`END`) must grow to be one.
                    Quote::Bare if next.is_empty() => {
                        let word = String::from_utf8_lossy(&read).into_owned();
                        let refused = self.reserved.contains(&word) || self.half_reserved.contains(&word);
                        if refused || self.is_taken(&word, taken) {
                            next.push(b'1');
                        }
                    }
                    Quote::Open(open) if next.is_empty() => next.extend([b'x', closing(open)]),
                    _ => {}
                }
                next.sort_unstable();
                next.dedup();
                Some(next)
            }
        }
    }

    fn is_taken(&self, word: &str, taken: &[NameId]) -> bool {
        taken.iter().any(|name| self.text(*name).eq_ignore_ascii_case(word))
    }
}

pub(super) fn opening(byte: u8) -> bool {
    matches!(byte, b'"' | b'`' | b'[' | b'\'')
}

fn closing(open: u8) -> u8 {
    if open == b'[' { b']' } else { open }
}
