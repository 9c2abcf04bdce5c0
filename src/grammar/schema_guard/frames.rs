//! What a parse thread knows of the query around it: a stack of frames, each made once and shared.

use std::collections::HashMap;

use super::names::{NONE, NameId};

/// A stack of frames; equal numbers are equal stacks. 0 is the empty one.
pub type FrameId = u32;

/// The empty stack.
pub const EMPTY: FrameId = 0;

/// A list of columns, in order; equal numbers are equal lists. 0 is the empty one.
pub type ListId = u32;

/// How often a name stands among columns; what has no name is nowhere.
pub fn times(columns: &[NameId], name: NameId) -> usize {
    if name == NONE { 0 } else { columns.iter().filter(|column| **column == name).count() }
}

/// Whether a name means one of these columns: PostgreSQL lets a query have two of one name and refuses their use.
pub fn is_once(columns: &[NameId], name: NameId) -> bool {
    times(columns, name) == 1
}

/// Where in a SELECT the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Phase {
    #[default]
    List,
    From,
    Where,
    Group,
    Having,
    Window,
    /// ORDER BY of one SELECT.
    Order,
    /// ORDER BY of a set operation: output columns only.
    CompoundOrder,
    /// VALUES: expressions without aggregates.
    Values,
}

/// Something in a FROM clause that columns come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The exposed name.
    pub name: NameId,
    /// Its columns.
    pub columns: ListId,
    /// Columns that USING or NATURAL merged into those of a source to the left.
    pub hidden: ListId,
}

/// What an item of a SELECT list gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// A column: its name where it has one that can be used, whether AS gave it, and what its expression holds.
    Column { name: NameId, alias: bool, aggregate: bool, window: bool },
    /// All columns.
    Star,
    /// All columns of one source.
    StarOf(NameId),
}

/// A name that waits for its FROM clause. `column` 0: all columns of the qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Obligation {
    pub qualifier: NameId,
    pub column: NameId,
    /// It must come from this very FROM clause: arguments of aggregates.
    pub pinned: bool,
}

/// A CTE that may be read from: the one being defined, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recursive {
    pub name: NameId,
    pub columns: ListId,
}

/// A SELECT (or VALUES, or what an ORDER BY sees).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Select {
    pub phase: Phase,
    /// The FROM clause is complete, or it is certain that there is none.
    pub sourced: bool,
    pub sources: Vec<Source>,
    /// Where the sources begin that a join may look at (PostgreSQL: behind the last comma).
    pub start: u16,
    pub outputs: Vec<Output>,
    pub obligations: Vec<Obligation>,
    /// How many columns it must have.
    pub expected: Option<u16>,
    /// Names that its columns must not have.
    pub forbidden: ListId,
    pub aggregates: bool,
    pub grouped: bool,
    pub in_on: bool,
    /// An ON condition names a source that comes later.
    pub ahead: bool,
    /// There is an outer join: SQLite then wants what an ON condition names to its left.
    pub outer: bool,
    pub windows_needed: Vec<NameId>,
    pub windows: Vec<NameId>,
    /// The CTE that it may read from, as the recursive term of its definition.
    pub recursive: Option<RecursiveUse>,
    /// Values in the row of VALUES at hand, and rows.
    pub row: (u16, u16),
}

/// The recursive term's own CTE and whether it has been read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecursiveUse {
    pub name: NameId,
    pub columns: ListId,
    pub used: bool,
}

/// A query: its CTEs, its terms, what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Query {
    pub ctes: Vec<(NameId, ListId)>,
    pub terms: u8,
    /// The columns of the first term.
    pub outputs: Vec<(NameId, bool, bool)>,
    /// The names by which ORDER BY of a set operation finds them.
    pub sortable: Vec<NameId>,
    pub expected: Option<u16>,
    pub forbidden: ListId,
    /// The one SELECT, as ORDER BY sees it.
    pub single: Option<Box<Select>>,
    pub recursive_keyword: bool,
    /// The last set operator was UNION.
    pub union: bool,
    /// A term read from the CTE being defined.
    pub recursed: bool,
    pub last_is_values: bool,
    /// The only term is a query in parentheses.
    pub is_group: bool,
}

/// Around a subquery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A value, IN, EXISTS: sees all that its place sees.
    Value { expected: Option<u16> },
    /// In FROM: does not see its siblings.
    Derived { forbidden: ListId, expected: Option<u16> },
}

/// A function call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// 1 + its index among the dialect's functions.
    pub function: u16,
    pub arguments: u8,
    pub star: bool,
    pub distinct: bool,
    pub over: bool,
    pub filter: bool,
    pub ordered: bool,
}

/// What stands first in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lead {
    Nothing,
    /// A parenthesis.
    Parenthesis,
    /// A bare column and nothing else so far.
    Column(NameId),
    /// The same in parentheses.
    Enclosed(NameId),
    /// A constant that is no number, and nothing else so far: PostgreSQL neither groups nor sorts by one.
    Constant,
    /// A name that is an output column only: nothing may follow.
    Alias,
    /// `*` or `t.*`.
    Star,
    StarOf(NameId),
    Other,
}

/// Which kind of term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TermKind {
    Item,
    Order,
    Group,
}

/// An item of the SELECT list, of ORDER BY or of GROUP BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term {
    pub kind: TermKind,
    pub lead: Lead,
    pub alias: NameId,
    pub aggregate: bool,
    pub window: bool,
}

/// How a join's right side is tied to its left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    Comma,
    Cross,
    Natural,
    Plain,
}

/// A join that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Join {
    pub kind: JoinKind,
    /// Its left side: the sources from `start` to `left`.
    pub start: u16,
    pub left: u16,
    /// Where the sources begin that a join around it may look at.
    pub around: u16,
    /// Its right side is complete.
    pub right: bool,
    /// Columns that USING must name, for they are used without a qualifier.
    pub must: Vec<NameId>,
    pub used: Vec<NameId>,
}

/// What a table item reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum From {
    Nothing,
    Columns {
        columns: ListId,
        derived: bool,
    },
    /// A parenthesised join, whose sources are already there.
    Group,
}

/// One thing that may stand on the stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    Query(Query),
    Select(Box<Select>),
    Use(Place, Option<ListId>),
    /// Name, columns if it lists them, and what its query gave.
    Cte(NameId, Option<ListId>, Option<ListId>),
    Call(Call),
    Term(Term),
    /// Inside a window's definition; the name where it is in a WINDOW clause.
    Window(NameId),
    /// Nothing around is seen.
    Wall,
    /// A parenthesised join; its sources begin here.
    Group(u16),
    Join(Join),
    Item(NameId, From),
    /// A statement that writes: its names are looked up in the schema at large.
    Open,
}

/// All frames and column lists.
#[derive(Debug)]
pub struct Frames {
    frames: Vec<Option<(Frame, FrameId)>>,
    known: HashMap<(Frame, FrameId), FrameId>,
    free: Vec<FrameId>,
    lists: Vec<std::sync::Arc<[NameId]>>,
    known_lists: HashMap<std::sync::Arc<[NameId]>, ListId>,
    /// Bytes held, roughly.
    pub memory: usize,
}

/// What a frame takes beside its lists, with its key.
const FRAME_BYTES: usize = 2 * size_of::<(Frame, FrameId)>() + 32;

impl Frames {
    pub fn new() -> Self {
        let empty: std::sync::Arc<[NameId]> = [].into();
        Self {
            frames: vec![None],
            known: HashMap::new(),
            free: Vec::new(),
            known_lists: HashMap::from([(std::sync::Arc::clone(&empty), 0)]),
            lists: vec![empty],
            memory: 0,
        }
    }

    pub fn push(&mut self, frame: Frame, under: FrameId) -> FrameId {
        let key = (frame, under);
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        self.memory += bytes(&key.0);
        let id = match self.free.pop() {
            Some(id) => {
                self.frames[id as usize] = Some(key.clone());
                id
            }
            None => {
                self.frames.push(Some(key.clone()));
                (self.frames.len() - 1) as FrameId
            }
        };
        self.known.insert(key, id);
        id
    }

    /// The top frame and what lies under it; none for the empty stack.
    pub fn top(&self, id: FrameId) -> Option<(&Frame, FrameId)> {
        self.frames.get(id as usize)?.as_ref().map(|(frame, under)| (frame, *under))
    }

    pub fn list(&mut self, names: &[NameId]) -> ListId {
        if let Some(id) = self.known_lists.get(names) {
            return *id;
        }
        let names: std::sync::Arc<[NameId]> = names.into();
        let id = self.lists.len() as ListId;
        self.memory += 8 * names.len() + 96;
        self.lists.push(std::sync::Arc::clone(&names));
        self.known_lists.insert(names, id);
        id
    }

    pub fn names(&self, list: ListId) -> &[NameId] {
        self.lists.get(list as usize).map_or(&[], |names| names)
    }

    /// Drops every frame that lies under none of these.
    pub fn sweep(&mut self, roots: impl Iterator<Item = FrameId>) {
        let mut live = vec![false; self.frames.len()];
        live[EMPTY as usize] = true;
        for root in roots {
            let mut at = root;
            while !live[at as usize] {
                live[at as usize] = true;
                at = self.top(at).map_or(EMPTY, |(_, under)| under);
            }
        }
        self.free.clear();
        for (id, live) in live.iter().enumerate().skip(1) {
            if !live {
                self.free.push(id as FrameId);
                if let Some(key) = self.frames[id].take() {
                    self.memory = self.memory.saturating_sub(bytes(&key.0));
                    self.known.remove(&key);
                }
            }
        }
        self.known.shrink_to_fit();
    }
}

fn bytes(frame: &Frame) -> usize {
    let inside = |select: &Select| {
        size_of::<Select>()
            + select.sources.len() * size_of::<Source>()
            + select.outputs.len() * size_of::<Output>()
            + select.obligations.len() * size_of::<Obligation>()
            + (select.windows.len() + select.windows_needed.len()) * 4
    };
    FRAME_BYTES
        + 2 * match frame {
            Frame::Select(select) => inside(select),
            Frame::Query(query) => {
                query.ctes.len() * 8
                    + query.outputs.len() * 8
                    + query.single.as_ref().map_or(0, |select| inside(select))
            }
            Frame::Join(join) => (join.must.len() + join.used.len()) * 4,
            _ => 0,
        }
}
