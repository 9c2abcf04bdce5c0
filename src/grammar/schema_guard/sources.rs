//! FROM clauses: tables and what they are called, joins and what they merge.

use super::SchemaGuard;
use super::frames::{self, Frame, FrameId, From, Join, JoinKind, ListId, Output, Select, Source};
use super::names::{NONE, NameId};

impl SchemaGuard {
    /// Tables and CTEs that can be read from at a place, by their names and columns.
    pub(super) fn tables_in_sight(&self, at: FrameId) -> Vec<(NameId, ListId)> {
        let mut found = self.ctes_in_sight(at);
        let mut own = Vec::new();
        let mut up = at;
        while let Some((frame, under)) = self.frames.top(up) {
            if let Frame::Cte(name, ..) = frame {
                own.push(*name);
            }
            up = under;
        }
        if let Some((select, _)) = self.nearest(at)
            && let Some(recursive) = select.recursive.filter(|recursive| !recursive.used)
            && !select.aggregates
        {
            found.retain(|(name, _)| *name != recursive.name);
            found.push((recursive.name, recursive.columns));
        }
        // A CTE's own name means nothing else inside it, except where PostgreSQL is not told RECURSIVE; that one is
        // left out too.
        let recursive = |name: NameId| {
            self.nearest(at).and_then(|(select, _)| select.recursive).is_some_and(|own| own.name == name && !own.used)
        };
        found.retain(|(name, _)| !own.contains(name) || recursive(*name));
        let ctes: Vec<NameId> = found.iter().map(|(name, _)| *name).collect();
        let tables = self.catalog.tables.iter().filter(|table| table.namespace == NONE);
        let free = tables.filter(|table| !ctes.contains(&table.name) && !own.contains(&table.name));
        found.extend(free.map(|table| (table.name, table.columns)));
        found
    }

    /// The tables that can be named at a place.
    pub(super) fn tables_at(&self, top: FrameId, namespace: NameId) -> Vec<NameId> {
        let tables: Vec<(NameId, ListId)> = if namespace == NONE {
            self.tables_in_sight(top)
        } else {
            let wanted = if namespace == self.catalog.default_namespace { NONE } else { namespace };
            let own = self.catalog.tables.iter().filter(|table| table.namespace == wanted);
            own.map(|table| (table.name, table.columns)).collect()
        };
        let fits = |columns: ListId| match self.frames.top(top) {
            Some((Frame::Item(..), _)) => self.may_join(top, columns),
            Some((Frame::Open, _)) => true,
            // `x IN t`, `TABLE t`.
            _ => match self.frames.top(top) {
                Some((Frame::Query(query), _)) => {
                    let expected = if query.terms > 0 { Some(query.outputs.len() as u16) } else { query.expected };
                    expected.is_none_or(|expected| usize::from(expected) == self.frames.names(columns).len())
                }
                _ => self.frames.names(columns).len() == 1,
            },
        };
        tables.into_iter().filter(|(_, columns)| fits(*columns)).map(|(name, _)| name).collect()
    }

    /// The table functions that can be called as a source.
    pub(super) fn table_functions_at(&self, top: FrameId) -> Vec<NameId> {
        self.table_functions.iter().filter(|(_, c)| self.may_join(top, *c)).map(|(name, _)| *name).collect()
    }

    /// Whether a source with these columns may be the next one: it must not make a name ambiguous for good.
    fn may_join(&self, item: FrameId, columns: ListId) -> bool {
        let Some((select, _)) = self.nearest(item) else { return true };
        let columns = self.frames.names(columns);
        if self.room(select).is_some_and(|room| columns.len() > room) {
            return false;
        }
        if self.is_twice(select, columns) {
            return false;
        }
        let Some(join) = self.join_of(item) else { return true };
        match join.kind {
            JoinKind::Plain if self.room(select).is_some() => self.colliding(select, columns).is_empty(),
            JoinKind::Natural => columns.iter().all(|column| match self.count_left(select, &join, *column) {
                0 => true,
                1 => frames::is_once(columns, *column),
                _ => false,
            }),
            JoinKind::Plain => {
                self.colliding(select, columns).iter().all(|column| self.count_left(select, &join, *column) == 1)
            }
            JoinKind::Comma | JoinKind::Cross => self.colliding(select, columns).is_empty(),
        }
    }

    /// Where `*` must give a certain number of columns: how many are still to come.
    pub(super) fn room(&self, select: &Select) -> Option<usize> {
        let expected = select.expected.filter(|_| select.outputs.contains(&Output::Star))?;
        let there: usize = select.sources.iter().map(|source| self.frames.names(source.columns).len()).sum();
        Some(usize::from(expected).saturating_sub(there))
    }

    /// Columns used without a qualifier that the sources so far have and these columns too.
    fn colliding(&self, select: &Select, columns: &[NameId]) -> Vec<NameId> {
        let bare = select.obligations.iter().filter(|o| o.qualifier == NONE).map(|o| o.column);
        bare.filter(|column| columns.contains(column) && self.count_all(select, *column) > 0).collect()
    }

    /// Whether a column used without a qualifier is there twice among these: nothing tells the two apart.
    fn is_twice(&self, select: &Select, columns: &[NameId]) -> bool {
        let mut bare = select.obligations.iter().filter(|o| o.qualifier == NONE);
        bare.any(|o| frames::times(columns, o.column) > 1)
    }

    fn count_all(&self, select: &Select, column: NameId) -> usize {
        self.count_in(&select.sources, column)
    }

    fn count_left(&self, select: &Select, join: &Join, column: NameId) -> usize {
        self.count_in(&select.sources[usize::from(join.start)..usize::from(join.left)], column)
    }

    fn count_in(&self, sources: &[Source], column: NameId) -> usize {
        sources.iter().map(|source| self.times_in(source, column)).sum()
    }

    /// The join whose right side a place is in.
    fn join_of(&self, mut at: FrameId) -> Option<Join> {
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Join(join) => return Some(join.clone()),
                Frame::Item(..) => at = under,
                _ => return None,
            }
        }
        None
    }

    /// Names that a derived table's columns must not have: nothing could tell them apart later.
    pub(super) fn forbidden_in_derived(&mut self, item: FrameId) -> ListId {
        let Some((select, _)) = self.nearest(item) else { return 0 };
        let select = select.clone();
        let names: Vec<NameId> = match self.join_any(item) {
            None => return 0,
            Some(join) if join.kind == JoinKind::Natural => {
                let left = &select.sources[usize::from(join.start)..usize::from(join.left)];
                let all = left.iter().flat_map(|source| self.frames.names(source.columns)).copied();
                all.filter(|column| self.count_left(&select, &join, *column) > 1).collect()
            }
            Some(_) => {
                let bare = select.obligations.iter().filter(|o| o.qualifier == NONE).map(|o| o.column);
                bare.filter(|column| self.count_all(&select, *column) > 0).collect()
            }
        };
        self.frames.list(&names)
    }

    /// The innermost join around a place, through groups.
    fn join_any(&self, mut at: FrameId) -> Option<Join> {
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Join(join) => return Some(join.clone()),
                Frame::Item(..) | Frame::Group(_) => at = under,
                _ => return None,
            }
        }
        None
    }

    pub(super) fn begin_group(&mut self, item: FrameId) -> Option<FrameId> {
        // SQLite makes a subquery of a group: aliases inside it are sometimes lost, and columns twice there.
        if !self.is_postgres() {
            return None;
        }
        // Inside a group NATURAL and USING would look at sources that the outer join merges: one level of merging.
        if self.join_any(item).is_some_and(|join| join.kind == JoinKind::Natural) {
            return None;
        }
        let (select, _) = self.nearest(item)?;
        if select.expected.is_some() && select.outputs.contains(&Output::Star) {
            return None;
        }
        let start = select.sources.len() as u16;
        Some(self.frames.push(Frame::Group(start), item))
    }

    pub(super) fn begin_join(&mut self, kind: JoinKind, top: FrameId, frame: &Frame) -> Option<FrameId> {
        let (select, _) = self.nearest(top)?;
        if self.room(select).is_some_and(|room| room == 0 || kind == JoinKind::Natural) {
            return None;
        }
        let left = select.sources.len() as u16;
        let (in_group, group) = match frame {
            Frame::Group(start) => (true, *start),
            Frame::Select(_) => (false, 0),
            Frame::Open => return Some(top),
            _ => return None,
        };
        if kind == JoinKind::Comma && self.is_postgres() && in_group {
            return None;
        }
        let start = if in_group { group } else { select.start };
        if kind == JoinKind::Natural {
            let sources = &select.sources[usize::from(start)..];
            let twice = sources.iter().flat_map(|source| self.frames.names(source.columns));
            if twice.clone().any(|column| self.count_in(sources, *column) > 1) {
                return None;
            }
        }
        let mut top = top;
        let mut start = start;
        if kind == JoinKind::Comma && self.is_postgres() {
            start = left;
            top = self.edit_select(top, &mut |_, select| {
                select.start = left;
                true
            })?;
        }
        let around = self.nearest(top)?.0.start;
        let join = Join { kind, start, left, around, right: false, must: Vec::new(), used: Vec::new() };
        Some(self.frames.push(Frame::Join(join), top))
    }

    /// A table's name has been read.
    pub(super) fn table_read(
        &mut self,
        top: FrameId,
        frame: Frame,
        under: FrameId,
        namespace: NameId,
        name: NameId,
    ) -> Option<FrameId> {
        let columns = if namespace == NONE {
            self.tables_in_sight(top).into_iter().find(|(own, _)| *own == name)?.1
        } else {
            let wanted = if namespace == self.catalog.default_namespace { NONE } else { namespace };
            self.catalog.tables.iter().find(|table| table.name == name && table.namespace == wanted)?.columns
        };
        match frame {
            Frame::Item(..) => {
                let mut under = under;
                let recursive = self.nearest(under).and_then(|(select, _)| select.recursive);
                if namespace == NONE && recursive.is_some_and(|recursive| recursive.name == name && !recursive.used) {
                    under = self.edit_select(under, &mut |_, select| {
                        if let Some(recursive) = &mut select.recursive {
                            recursive.used = true;
                        }
                        true
                    })?;
                }
                Some(self.frames.push(Frame::Item(name, From::Columns { columns, derived: false }), under))
            }
            Frame::Query(_) => self.table_term(top, columns),
            _ => Some(top),
        }
    }

    /// Whether a source with these columns may be known by this name.
    pub(super) fn may_expose(&self, under: FrameId, name: NameId, columns: ListId) -> bool {
        let Some((select, _)) = self.nearest(under) else { return true };
        let columns = self.frames.names(columns);
        !select.sources.iter().any(|source| source.name == name && name != NONE)
            && Self::needed(select, name).iter().all(|column| frames::is_once(columns, *column))
    }

    /// A table item is complete.
    pub(super) fn end_item(&mut self, name: NameId, from: From, under: FrameId) -> Option<FrameId> {
        let under = match from {
            From::Nothing => return None,
            From::Group => under,
            From::Columns { columns, derived } => {
                let needs_name = self.is_postgres() || !derived;
                if name == NONE && needs_name || !self.may_expose(under, name, columns) {
                    return None;
                }
                if self.nearest(under).is_none() {
                    return Some(under);
                }
                self.edit_select(under, &mut |own, select| {
                    let fits = own.room(select).is_none_or(|room| own.frames.names(columns).len() <= room);
                    let clear = !own.is_twice(select, own.frames.names(columns));
                    select.sources.push(Source { name, columns, hidden: 0 });
                    fits && clear && select.sources.len() <= 60
                })?
            }
        };
        match self.frames.top(under) {
            Some((Frame::Join(join), around)) => {
                let join = join.clone();
                self.end_right(join, around)
            }
            _ => Some(under),
        }
    }

    /// The right side of a join is complete: what NATURAL merges, what USING must.
    fn end_right(&mut self, mut join: Join, around: FrameId) -> Option<FrameId> {
        join.right = true;
        let (select, _) = self.nearest(around)?;
        let select = select.clone();
        let right = &select.sources[usize::from(join.left)..];
        let mut around = around;
        match join.kind {
            JoinKind::Natural => {
                let common: Vec<NameId> = right
                    .iter()
                    .flat_map(|source| self.frames.names(source.columns))
                    .copied()
                    .filter(|column| *column != NONE && self.count_left(&select, &join, *column) == 1)
                    .collect();
                if common.iter().any(|column| self.count_in(right, *column) > 1) {
                    return None;
                }
                around = self.hide(around, &join, &common)?;
            }
            JoinKind::Plain => {
                let bare = select.obligations.iter().filter(|o| o.qualifier == NONE).map(|o| o.column);
                join.must = bare.filter(|column| self.count_all(&select, *column) > 1).collect();
                let usable = |column: &NameId| {
                    self.count_left(&select, &join, *column) == 1 && self.count_in(right, *column) == 1
                };
                if !join.must.iter().all(usable) {
                    return None;
                }
            }
            JoinKind::Comma | JoinKind::Cross => {}
        }
        if join.kind != JoinKind::Plain {
            let (select, _) = self.nearest(around)?;
            let mut bare = select.obligations.iter().filter(|o| o.qualifier == NONE);
            if bare.any(|obligation| self.count_all(select, obligation.column) > 1) {
                return None;
            }
        }
        Some(self.frames.push(Frame::Join(join), around))
    }

    /// Merges columns of a join's right side into those of its left.
    fn hide(&mut self, around: FrameId, join: &Join, columns: &[NameId]) -> Option<FrameId> {
        let left = usize::from(join.left);
        self.edit_select(around, &mut |own, select| {
            for source in &mut select.sources[left..] {
                let mut hidden = own.frames.names(source.hidden).to_vec();
                hidden.extend(columns.iter().filter(|c| own.frames.names(source.columns).contains(c)));
                hidden.sort_unstable();
                hidden.dedup();
                source.hidden = own.frames.list(&hidden);
            }
            true
        })
    }

    /// Columns that USING may name.
    pub(super) fn using_columns(&self, top: FrameId) -> Vec<NameId> {
        let Some((Frame::Join(join), around)) = self.frames.top(top) else { return Vec::new() };
        let Some((select, _)) = self.nearest(around) else { return Vec::new() };
        if self.room(select).is_some() {
            return Vec::new();
        }
        let right = &select.sources[usize::from(join.left)..];
        let all = right.iter().flat_map(|source| self.frames.names(source.columns)).copied();
        let fits = |column: &NameId| {
            *column != NONE
                && !join.used.contains(column)
                && self.count_left(select, join, *column) == 1
                && self.count_in(right, *column) == 1
        };
        all.filter(fits).collect()
    }

    /// A column of USING has been read.
    pub(super) fn use_column(&mut self, mut join: Join, around: FrameId, name: NameId) -> Option<FrameId> {
        join.must.retain(|column| *column != name);
        join.used.push(name);
        let around = self.hide(around, &join, &[name])?;
        Some(self.frames.push(Frame::Join(join), around))
    }

    /// A FROM clause is complete.
    pub(super) fn close_sources(&mut self, mut select: Select, under: FrameId) -> Option<FrameId> {
        if self.room(&select).is_some_and(|room| room > 0) {
            return None;
        }
        let under = self.settle(&mut select, under)?;
        Some(self.frames.push(Frame::Select(Box::new(select)), under))
    }
}
