//! The schema guard: keeps every name of a statement to what the schema and the statement itself define.
//!
//! A [`Guard`] over the hook rules of the shipped SQL grammars. What a parse thread knows is a stack of frames (queries,
//! SELECTs with their sources and the names that wait for a FROM clause, calls, joins) and how far into a name the text
//! has come; both are interned, so a thread carries one number. `events` says what each rule does, `resolve` which
//! names mean what, `sources` builds FROM clauses, `terms` watches what GROUP BY and ORDER BY may hold.
//!
//! Of queries it accepts less than the database where certainty would cost more than it brings (the README lists it). Of
//! statements that write it keeps only the names to those that are known, so a database may still refuse them.

mod catalog;
mod events;
mod frames;
mod functions;
mod names;
mod plans;
mod queries;
mod resolve;
mod sources;
mod terms;
mod waiting;

use catalog::Catalog;
use frames::{EMPTY, Frame, FrameId, Frames, Phase};
use functions::Kind;
use names::{NONE, NameId, Names, Quote, Reading, VEILED};

use super::automaton::hash::Map;
use super::guard::Guard;
use crate::sql::{Dialect, Schema};
use events::Hook;

/// What a thread knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    top: FrameId,
    /// The qualifier in front of the name that comes.
    pending: NameId,
    reading: Reading,
    /// Free names are all alike: what masks walk with.
    veiled: bool,
}

/// A function as the guard looks it up.
#[derive(Debug, Clone, Copy)]
struct Known {
    name: NameId,
    least: u8,
    most: u8,
    kind: Kind,
}

/// The guard of one schema.
#[derive(Debug)]
pub struct SchemaGuard {
    dialect: Dialect,
    names: Names,
    frames: Frames,
    catalog: Catalog,
    functions: Vec<Known>,
    /// Table functions and their columns.
    table_functions: Vec<(NameId, frames::ListId)>,
    collations: Vec<NameId>,
    /// Types of one word: a schema tells of no others.
    types: Vec<NameId>,
    states: Vec<State>,
    known: Map<State, u32>,
    free: Vec<u32>,
    moves: Map<(u32, u32), Option<u32>>,
}

/// A byte move's key beside those of hooks.
const BYTE: u32 = 1 << 16;
/// An exit's key.
const EXIT: u32 = 1 << 8;

/// ` OVER ()`, which a window function still needs.
const OVER_BYTES: u32 = 7;

/// `, orders AS o`: what a name that waits for its source still needs, about.
const JOIN_BYTES: u32 = 12;

/// ` WINDOW w AS ()`, which a window that was named still needs.
const WINDOW_BYTES: u32 = 15;

/// What a state and a move take with their keys.
const STATE_BYTES: usize = 2 * size_of::<State>() + 40;
const MOVE_BYTES: usize = 32;

impl SchemaGuard {
    /// The guard of a schema, for the shipped grammar of its dialect (SQLite or PostgreSQL).
    pub fn new(schema: &Schema, dialect: Dialect, grammar: &str) -> Self {
        let mut names = Names::new(dialect, grammar);
        let mut frames = Frames::new();
        let catalog = Catalog::new(schema, dialect, &mut names, &mut frames);
        let functions = functions::of(dialect)
            .iter()
            .map(|(name, least, most, kind)| Known {
                name: names.intern(name),
                least: *least,
                most: *most,
                kind: *kind,
            })
            .collect();
        let table_functions = functions::tables(dialect)
            .iter()
            .map(|(name, columns)| {
                let columns: Vec<NameId> = columns.iter().map(|column| names.intern(column)).collect();
                (names.intern(name), frames.list(&columns))
            })
            .collect();
        let collations = functions::collations(dialect).iter().map(|name| names.intern(name)).collect();
        let types = functions::types(dialect).iter().map(|name| names.intern(name)).collect();
        let mut own = Self {
            dialect,
            names,
            frames,
            catalog,
            functions,
            table_functions,
            collations,
            types,
            states: Vec::new(),
            known: Map::default(),
            free: Vec::new(),
            moves: Map::default(),
        };
        own.number(State { top: EMPTY, pending: NONE, reading: Reading::Nothing, veiled: false });
        own
    }

    /// The functions that it knows in a dialect.
    pub fn functions(dialect: Dialect) -> Vec<&'static str> {
        functions::of(dialect).iter().map(|(name, ..)| *name).collect()
    }

    fn number(&mut self, state: State) -> u32 {
        if let Some(number) = self.known.get(&state) {
            return *number;
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.states[number as usize] = state;
                number
            }
            None => {
                self.states.push(state);
                (self.states.len() - 1) as u32
            }
        };
        self.known.insert(state, number);
        number
    }

    fn is_postgres(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// A hook's answer, worked out once for each state.
    fn move_by(&mut self, key: u32, from: u32, work: impl FnOnce(&mut Self, State) -> Option<State>) -> Option<u32> {
        if let Some(known) = self.moves.get(&(key, from)) {
            return *known;
        }
        let state = self.states[from as usize];
        let to = work(self, state).map(|state| self.number(state));
        self.moves.insert((key, from), to);
        to
    }

    fn read(&mut self, byte: u8, state: State) -> Option<State> {
        // SQLite compares the names of windows as they are written, quotes and all.
        if let Reading::Free { quote: Quote::Start, hook, .. } | Reading::Known { quote: Quote::Start, hook, .. } =
            state.reading
            && hook == Hook::WindowName as u8
            && !self.is_postgres()
            && names::opening(byte)
        {
            return None;
        }
        let mut reading = self.names.byte(byte, state.reading)?;
        if let Reading::Free { text, quote, hook } = reading {
            if state.veiled && text != VEILED && !self.is_of_interest(state.top, text) {
                reading = Reading::Free { text: VEILED, quote, hook };
            }
            // A closing quote that would end a name that may not be: only the same quote could follow, and is let
            // through only towards a name that waits.
            let closed = State { reading, ..state };
            if let Quote::Closed(mark) = quote
                && self.leave(Hook::of(hook)?, closed).is_none()
                && !self.wanted(state.top, hook).into_iter().any(|name| self.names.goes_on(text, mark, name))
            {
                return None;
            }
        }
        Some(State { reading, ..state })
    }

    /// Free names that something waits for.
    fn wanted(&self, top: FrameId, hook: u8) -> Vec<NameId> {
        if hook == Hook::WindowName as u8 { self.windows_waiting(top) } else { self.waiting(top) }
    }

    /// Whether a free name begins like one that the statement waits for or has: then it matters which one it is.
    fn is_of_interest(&self, top: FrameId, text: u32) -> bool {
        let read = self.names.read_so_far(text).to_ascii_lowercase();
        let read = read.strip_prefix(b"\"").unwrap_or(&read);
        self.names_of_interest(top)
            .iter()
            .any(|name| self.names.text(*name).to_ascii_lowercase().as_bytes().starts_with(read))
    }
}

impl Guard for SchemaGuard {
    fn hooks(&self) -> Vec<String> {
        Hook::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn fold(&self, byte: u8) -> u8 {
        // PostgreSQL tells cases apart behind quotes.
        if self.is_postgres() { byte } else { byte.to_ascii_lowercase() }
    }

    fn enter(&mut self, hook: usize, guard: u32) -> Option<u32> {
        let hook = Hook::NAMES[hook].1;
        self.move_by(hook as u32, guard, |own, state| own.arrive(hook, state))
    }

    fn byte(&mut self, byte: u8, guard: u32) -> Option<u32> {
        if self.states[guard as usize].reading == Reading::Nothing {
            return Some(guard);
        }
        self.move_by(BYTE | u32::from(byte), guard, |own, state| own.read(byte, state))
    }

    fn exit(&mut self, hook: usize, guard: u32) -> Option<u32> {
        let hook = Hook::NAMES[hook].1;
        self.move_by(EXIT | hook as u32, guard, |own, state| own.leave(hook, state))
    }

    fn is_blind(&self, guard: u32) -> bool {
        match self.states[guard as usize].reading {
            Reading::Nothing => true,
            Reading::Free { text, quote, .. } => text == VEILED && !matches!(quote, Quote::Start | Quote::Closed(_)),
            Reading::Known { .. } => false,
        }
    }

    fn may_end(&mut self, guard: u32) -> bool {
        let state = self.states[guard as usize];
        state.top == EMPTY && state.reading == Reading::Nothing
    }

    fn next_bytes(&mut self, guard: u32) -> Option<Vec<u8>> {
        let state = self.states[guard as usize];
        let wanted = match state.reading {
            Reading::Free { hook, .. } => self.wanted(state.top, hook),
            _ => Vec::new(),
        };
        let taken = match state.reading {
            Reading::Free { .. } => self.names_of_interest(state.top),
            _ => Vec::new(),
        };
        self.names.next_bytes(state.reading, &wanted, &taken)
    }

    fn plans(&mut self, guard: u32) -> Vec<String> {
        let state = self.states[guard as usize];
        let at_a_table = |hook| hook == Hook::TableName as u8 || hook == Hook::SchemaName as u8;
        match state.reading {
            _ if state.pending != NONE => return Vec::new(),
            Reading::Nothing => {}
            Reading::Known { quote: Quote::Start, hook, .. } if at_a_table(hook) => {}
            _ => return Vec::new(),
        }
        SchemaGuard::plans(self, state.top)
    }

    fn clause(&self) -> Option<(&'static str, &'static str)> {
        Some(("select-core", "from-clause"))
    }

    fn owes(&self, guard: u32, clauses: &mut Vec<bool>) -> u32 {
        let mut more = 0;
        let mut joining = false;
        let (mut reading, mut derived) = (None, false);
        let top = self.states[guard as usize].top;
        let mut at = top;
        // Whether the frame above is a SELECT, which counts its own columns.
        let mut above = false;
        while let Some((frame, under)) = self.frames.top(at) {
            let selecting = std::mem::replace(&mut above, matches!(frame, Frame::Select(_)));
            match frame {
                // A query with so many columns is still to come.
                Frame::Cte(_, Some(columns), None) if at == top => {
                    more += 2 * self.frames.names(*columns).len().saturating_sub(1) as u32;
                }
                Frame::Query(query) if query.terms == 0 && !selecting => {
                    more += 2 * u32::from(query.expected.unwrap_or(1).saturating_sub(1));
                }
                Frame::Item(_, from) => {
                    joining = true;
                    if let frames::From::Columns { columns, .. } = from {
                        reading = Some(*columns);
                    }
                }
                Frame::Join(join) => {
                    joining |= !join.right;
                    if !join.must.is_empty() {
                        more += JOIN_BYTES + 4 * join.must.len() as u32;
                    }
                }
                // A subquery is the longest way to a column: no other way is left aside for it.
                Frame::Use(frames::Place::Derived { .. }, None) | Frame::Group(_) => derived = true,
                Frame::Call(call) => {
                    let function = self.function(*call);
                    if function.kind == Kind::Window && !call.over {
                        more += OVER_BYTES;
                    }
                    if !call.star {
                        more += 2 * u32::from(function.least.saturating_sub(call.arguments.max(1)));
                    }
                }
                Frame::Select(select) if select.phase == Phase::Values => {
                    let wanted = select.expected.unwrap_or(0);
                    more += 2 * u32::from(wanted.saturating_sub(select.row.0.max(1)));
                }
                Frame::Select(select) if select.phase < Phase::Order => {
                    if let (Phase::List, Some(expected)) = (select.phase, select.expected) {
                        let items = select.outputs.len() + 1;
                        more += 2 * usize::from(expected).saturating_sub(items) as u32;
                    }
                    let waits = !select.obligations.is_empty()
                        || select.outputs.iter().any(|o| !matches!(o, frames::Output::Column { .. }));
                    if select.phase == Phase::List {
                        clauses.push(!select.sourced && waits);
                    }
                    if select.phase <= Phase::From && !select.sourced {
                        let coming = (joining || select.sources.is_empty()) && !derived;
                        let missing = self.missing(at, select, reading).saturating_sub(usize::from(coming));
                        more += JOIN_BYTES * missing as u32;
                        if !coming && self.room(select).is_some_and(|room| room > 0) {
                            more += JOIN_BYTES;
                        }
                    }
                    let windows = select.windows_needed.iter().filter(|name| !select.windows.contains(name));
                    let begun = usize::from(select.phase == Phase::Window);
                    more += WINDOW_BYTES * windows.count().saturating_sub(begun) as u32;
                    (joining, reading, derived) = (false, None, false);
                }
                _ => {}
            }
            at = under;
        }
        more
    }

    fn memory(&self) -> usize {
        self.known.len() * STATE_BYTES + self.moves.len() * MOVE_BYTES + self.frames.memory + self.names.memory
    }

    fn keep(&mut self, live: &mut dyn Iterator<Item = u32>) {
        let mut keep = vec![false; self.states.len()];
        keep[0] = true;
        for number in live {
            keep[number as usize] = true;
        }
        self.moves.clear();
        self.moves.shrink_to_fit();
        self.known.clear();
        self.free.clear();
        for (number, kept) in keep.iter().enumerate() {
            match kept {
                true => {
                    self.known.insert(self.states[number], number as u32);
                }
                false => self.free.push(number as u32),
            }
        }
        self.known.shrink_to_fit();
        let tops: Vec<FrameId> = self.known.keys().map(|state| state.top).collect();
        self.frames.sweep(tops.into_iter());
    }

    fn veil(&mut self, guard: u32) -> u32 {
        let state = self.states[guard as usize];
        let mut veiled = State { veiled: true, ..state };
        if let Reading::Free { text, quote, hook } = state.reading
            && quote != Quote::Start
            && !self.is_of_interest(state.top, text)
        {
            veiled.reading = Reading::Free { text: VEILED, quote, hook };
        }
        self.number(veiled)
    }
}

#[cfg(test)]
mod tests;
