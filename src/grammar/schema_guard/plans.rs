//! What a FROM clause could be so that every name that waits for it is bound: texts that the search for a way to the
//! end tries as a whole. Tables of the schema where they fit, else a derived table with just the columns that are needed.

use std::cmp::Reverse;

use super::SchemaGuard;
use super::frames::{self, Frame, FrameId, From, JoinKind, ListId, Output, Phase, Place, Select};
use super::names::{NONE, NameId};

/// A source that may be planned: how it is written, its name, its columns.
type Possible = (String, NameId, ListId);

/// A source that is planned, and the columns that USING must merge with those to its left.
#[derive(Default)]
struct Planned {
    text: String,
    using: Vec<NameId>,
}

/// What a plan still has to bring and what it must not bring again.
struct Needs {
    /// Qualifiers without a source.
    qualifiers: Vec<NameId>,
    /// Bare columns that no source has.
    open: Vec<NameId>,
    /// Bare columns that a source has.
    settled: Vec<NameId>,
    /// Names that sources are known by.
    exposed: Vec<NameId>,
}

impl Needs {
    /// A source with these columns is there.
    fn settle(&mut self, name: NameId, columns: &[NameId]) {
        self.exposed.push(name);
        let (brought, open) = std::mem::take(&mut self.open).into_iter().partition(|column| columns.contains(column));
        self.open = open;
        self.settled.extend::<Vec<NameId>>(brought);
    }

    /// The columns that would be there twice.
    fn twice(&self, columns: &[NameId]) -> Vec<NameId> {
        self.settled.iter().copied().filter(|column| columns.contains(column)).collect()
    }
}

impl SchemaGuard {
    /// Texts that may bring a place nearer to the end.
    pub(super) fn plans(&mut self, top: FrameId) -> Vec<String> {
        let Some((frame, _)) = self.frames.top(top) else { return Vec::new() };
        let frame = frame.clone();
        if let Frame::Select(select) = &frame
            && select.phase <= Phase::Window
            && (select.sourced || select.obligations.is_empty())
        {
            let windows: Vec<String> =
                self.windows_waiting(top).into_iter().map(|name| format!("{} AS ()", self.window(name))).collect();
            if !windows.is_empty() {
                let separator = if select.phase == Phase::Window { ", " } else { " WINDOW " };
                return vec![format!("{separator}{}", windows.join(", "))];
            }
        }
        match frame {
            Frame::Query(query) if query.terms == 0 && query.expected.is_some_and(|columns| columns > 1) => {
                let columns = usize::from(query.expected.unwrap_or(1));
                vec![format!("SELECT {}", vec!["1"; columns].join(", "))]
            }
            Frame::Select(select) if select.phase == Phase::List && !select.sourced && !select.outputs.is_empty() => {
                let sources = self.sources_for(top, &select);
                self.written(" FROM ", false, &sources)
            }
            Frame::Join(join) if join.right && !join.must.is_empty() => vec![self.using(&join.must)],
            // The rules of joins begin with their own separators.
            Frame::Join(join) if !join.right => {
                let (separator, merges) = match join.kind {
                    JoinKind::Comma => (", ", false),
                    JoinKind::Cross => (" CROSS JOIN ", false),
                    JoinKind::Plain => (" JOIN ", true),
                    JoinKind::Natural => return Vec::new(),
                };
                let sources = self.sources_around(top);
                self.written(separator, merges, &sources)
            }
            Frame::Item(NONE, From::Nothing) | Frame::Use(Place::Derived { .. }, None) => {
                let sources = self.sources_around(top);
                [false, true].into_iter().flat_map(|merges| self.written("", merges, &sources)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Sources behind a separator, if that is one behind which the first may be merged or need not be.
    fn written(&self, separator: &str, merges: bool, sources: &[Planned]) -> Vec<String> {
        let Some((first, others)) = sources.split_first() else { return Vec::new() };
        if merges == first.using.is_empty() {
            return Vec::new();
        }
        let mut text = format!("{separator}{}{}", first.text, self.using(&first.using));
        for source in others {
            // A comma would cut what USING looks at short in PostgreSQL.
            text += if source.using.is_empty() { " CROSS JOIN " } else { " JOIN " };
            text += &source.text;
            text += &self.using(&source.using);
        }
        vec![text]
    }

    fn using(&self, columns: &[NameId]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| self.names.spelt(*column)).collect();
        if columns.is_empty() { String::new() } else { format!(" USING ({})", columns.join(", ")) }
    }

    /// Sources for the SELECT whose FROM clause a place is in.
    fn sources_around(&mut self, mut at: FrameId) -> Vec<Planned> {
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(select) => {
                    let select = select.clone();
                    return self.sources_for(at, &select);
                }
                Frame::Item(..) | Frame::Join(_) | Frame::Group(_) | Frame::Use(Place::Derived { .. }, None) => {
                    at = under
                }
                _ => break,
            }
        }
        Vec::new()
    }

    /// Sources with which a SELECT's names are all bound, if it needs any.
    fn sources_for(&mut self, at: FrameId, select: &Select) -> Vec<Planned> {
        let mut needs = self.needs(at, select);
        if let Some(room) = self.room(select) {
            let source = (room > 0).then(|| Planned { text: self.as_wide_as(at, room, &needs), using: Vec::new() });
            return source.into_iter().collect();
        }
        let possible = self.possible(at);
        let mut sources: Vec<Planned> = Vec::new();
        for qualifier in std::mem::take(&mut needs.qualifiers) {
            let wanted = Self::needed(select, qualifier);
            let fits = |(_, _, columns): &&Possible| {
                let columns = self.frames.names(*columns);
                wanted.iter().all(|column| frames::is_once(columns, *column))
            };
            // The fewest columns twice, then the most bare columns brought.
            let worth = |(_, _, columns): &&Possible| {
                let columns = self.frames.names(*columns);
                let open = needs.open.iter().filter(|column| columns.contains(column)).count();
                (Reverse(needs.twice(columns).len()), open)
            };
            let best = possible.iter().filter(fits).max_by_key(worth);
            let merges = |(_, _, columns): &Possible| !needs.twice(self.frames.names(*columns)).is_empty();
            match best {
                // A table of just the columns that are needed has none twice, if those are not.
                Some(best) if !merges(best) || !needs.twice(&wanted).is_empty() => {
                    let (text, name, columns) = best;
                    let same = *name == qualifier;
                    let alias = if same { String::new() } else { format!(" AS {}", self.names.spelt(qualifier)) };
                    let columns = self.frames.names(*columns);
                    sources.push(Planned { text: format!("{text}{alias}"), using: needs.twice(columns) });
                    needs.settle(qualifier, columns);
                }
                _ => {
                    sources.push(Planned { text: self.derived(&wanted, qualifier), using: Vec::new() });
                    needs.settle(qualifier, &wanted);
                }
            }
        }
        while let Some(first) = needs.open.first().copied() {
            let fits = |(_, name, columns): &&Possible| {
                let columns = self.frames.names(*columns);
                frames::is_once(columns, first) && needs.twice(columns).is_empty() && !needs.exposed.contains(name)
            };
            match possible.iter().find(fits) {
                Some((text, name, columns)) => {
                    sources.push(Planned { text: text.clone(), using: Vec::new() });
                    needs.settle(*name, self.frames.names(*columns));
                }
                None => {
                    let open = std::mem::take(&mut needs.open);
                    let name = self.fresh(&needs.exposed);
                    sources.push(Planned { text: self.derived(&open, name), using: Vec::new() });
                }
            }
        }
        if sources.is_empty() && select.sources.is_empty() && select.outputs.contains(&Output::Star) {
            let first = possible.iter().find(|(_, _, columns)| *columns != 0);
            sources.extend(first.map(|(text, ..)| Planned { text: text.clone(), using: Vec::new() }));
        }
        // What is merged stands behind what it is merged with.
        sources.sort_by_key(|source| !source.using.is_empty());
        sources
    }

    /// What a SELECT's FROM clause must still bring, leaving to the query around it what that can provide.
    fn needs(&self, at: FrameId, select: &Select) -> Needs {
        let mut needs = Needs {
            qualifiers: Vec::new(),
            open: Vec::new(),
            settled: Vec::new(),
            exposed: select.sources.iter().map(|source| source.name).collect(),
        };
        for obligation in &select.obligations {
            let name = obligation.qualifier;
            if name == NONE {
                match self.count(select, obligation.column) {
                    0 if self.is_provided_outside(at, *obligation) => {}
                    0 => needs.open.push(obligation.column),
                    _ => needs.settled.push(obligation.column),
                }
            } else if !needs.exposed.contains(&name)
                && !needs.qualifiers.contains(&name)
                && !self.is_provided_outside(at, *obligation)
            {
                needs.qualifiers.push(name);
            }
        }
        needs
    }

    fn window(&self, name: NameId) -> String {
        if self.is_postgres() { self.names.spelt(name) } else { self.names.text(name).to_owned() }
    }

    /// The tables and CTEs that can be read from.
    fn possible(&self, at: FrameId) -> Vec<Possible> {
        let mut found: Vec<Possible> = Vec::new();
        for (name, columns) in self.tables_in_sight(at) {
            found.push((self.names.spelt(name), name, columns));
        }
        for table in self.catalog.tables.iter().filter(|table| table.namespace != NONE) {
            let text = format!("{}.{}", self.names.spelt(table.namespace), self.names.spelt(table.name));
            found.push((text, table.name, table.columns));
        }
        found
    }

    /// A source of so many columns.
    fn as_wide_as(&mut self, at: FrameId, room: usize, needs: &Needs) -> String {
        let fits = |(_, name, columns): &&Possible| {
            let columns = self.frames.names(*columns);
            columns.len() == room
                && !needs.exposed.contains(name)
                && !needs.settled.iter().any(|column| columns.contains(column))
        };
        if let Some((text, ..)) = self.possible(at).iter().find(fits) {
            return text.clone();
        }
        let name = self.fresh(&needs.exposed);
        format!("(SELECT {}) AS {}", vec!["1"; room].join(", "), self.names.spelt(name))
    }

    /// A derived table with these columns.
    fn derived(&self, columns: &[NameId], name: NameId) -> String {
        let columns: Vec<String> =
            columns.iter().map(|column| format!("NULL AS {}", self.names.spelt(*column))).collect();
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        format!("(SELECT {columns}) AS {}", self.names.spelt(name))
    }

    /// A name that nothing is known by.
    fn fresh(&mut self, taken: &[NameId]) -> NameId {
        let mut number = 1;
        loop {
            let name = self.names.intern(&format!("x{number}"));
            let is_table = self.catalog.tables.iter().any(|table| table.name == name);
            if !taken.contains(&name) && !is_table {
                return name;
            }
            number += 1;
        }
    }
}
