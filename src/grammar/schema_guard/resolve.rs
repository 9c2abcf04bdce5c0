//! Which names may be read at a place, and what becomes of one that was: bound, or kept as an obligation until the
//! FROM clause that must provide it.

use super::SchemaGuard;
use super::frames::{self, EMPTY, Frame, FrameId, Lead, Obligation, Output, Phase, Place, Select};
use super::functions::Kind;
use super::names::{NONE, NameId};
use super::terms::Between;

impl SchemaGuard {
    /// How many unmerged columns of this name the sources in sight have.
    pub(super) fn count(&self, select: &Select, column: NameId) -> usize {
        self.in_sight(select).iter().map(|source| self.times_in(source, column)).sum()
    }

    /// How many columns of this name a source has, merged ones left out.
    pub(super) fn times_in(&self, source: &frames::Source, column: NameId) -> usize {
        let merged = self.frames.names(source.hidden).contains(&column);
        if merged { 0 } else { frames::times(self.frames.names(source.columns), column) }
    }

    /// The sources that a place may look at: in PostgreSQL, an ON condition sees its own join only.
    pub(super) fn in_sight<'a>(&self, select: &'a Select) -> &'a [super::frames::Source] {
        let from = if self.is_postgres() && select.in_on { usize::from(select.start) } else { 0 };
        &select.sources[from..]
    }

    /// Whether a SELECT's sources are still to come.
    fn waits(select: &Select) -> bool {
        !select.sourced && select.phase == Phase::List
    }

    /// Whether a qualifier may be that of a source still to come: SQLite looks at ON conditions when it has them all,
    /// unless there is an outer join.
    pub(super) fn looks_ahead(&self, select: &Select) -> bool {
        Self::waits(select) || !self.is_postgres() && select.in_on && !select.outer
    }

    /// The bare columns that can be named at a place; `skip`: the next SELECT outwards is not seen.
    fn bare(&self, at: FrameId, mut skip: bool, mut pinned: bool, found: &mut Vec<NameId>) {
        let mut hidden: Vec<NameId> = Vec::new();
        let mut at = at;
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(_) if skip => skip = false,
                Frame::Select(select) => {
                    if Self::waits(select) {
                        found.extend(self.catalog.columns.iter().filter(|column| !hidden.contains(column)));
                        let own = select.recursive.map(|own| (own.name, own.columns));
                        for (_, columns) in self.ctes_in_sight(at).into_iter().chain(own) {
                            let columns = self.frames.names(columns).iter();
                            found.extend(columns.filter(|column| !hidden.contains(column)));
                        }
                    } else {
                        let own: Vec<NameId> = self
                            .in_sight(select)
                            .iter()
                            .flat_map(|source| self.frames.names(source.columns))
                            .copied()
                            .collect();
                        for column in &own {
                            if !hidden.contains(column) && self.count(select, *column) == 1 {
                                found.push(*column);
                            }
                        }
                        hidden.extend(own);
                    }
                    if pinned {
                        return;
                    }
                }
                Frame::Use(Place::Derived { .. }, _) => skip = true,
                Frame::Call(call) => {
                    pinned |= matches!(self.function(*call).kind, Kind::Aggregate | Kind::Either);
                }
                Frame::Wall | Frame::Cte(..) => return,
                Frame::Open => {
                    found.extend_from_slice(&self.catalog.columns);
                    return;
                }
                _ => {}
            }
            at = under;
        }
    }

    /// The columns that can be named at a place, behind a qualifier or without one. None where no name fits.
    pub(super) fn columns_at(&mut self, top: FrameId, pending: NameId) -> Option<Vec<NameId>> {
        if pending != NONE {
            return Some(self.qualified(top, pending));
        }
        let Some((select, between)) = self.nearest(top) else {
            let mut found = Vec::new();
            self.bare(top, false, false, &mut found);
            return Some(found);
        };
        let term = match self.frames.top(top) {
            Some((Frame::Term(term), _)) => Some(*term),
            _ => None,
        };
        if select.phase == Phase::CompoundOrder {
            term.filter(|term| term.lead == Lead::Nothing)?;
            let outputs = self.columns_of(select).iter().map(|(name, ..)| *name).collect();
            return Some(outputs);
        }
        let mut found = Vec::new();
        self.bare(top, false, false, &mut found);
        let alone = term.is_some_and(|term| term.lead == Lead::Nothing);
        found.extend(self.aliases(select, between, alone));
        Some(found)
    }

    /// The output columns that can be named at a place.
    fn aliases(&self, select: &Select, between: Between, alone: bool) -> Vec<NameId> {
        let may_hold = match (self.is_postgres(), select.phase) {
            (true, Phase::Order) if alone => (true, true),
            (true, Phase::Group) if alone => (false, false),
            (true, _) => return Vec::new(),
            (false, Phase::Where | Phase::Group) => (false, false),
            (false, Phase::Having) => (true, false),
            (false, Phase::Order) => (true, true),
            (false, _) => return Vec::new(),
        };
        if select.in_on {
            return Vec::new();
        }
        let inside = between.aggregate || between.window;
        let fits =
            |aggregate: bool, window: bool| (!aggregate || may_hold.0 && !inside) && (!window || may_hold.1 && !inside);
        let outputs = select.outputs.iter().filter_map(|output| match output {
            // SQLite looks at names that AS gave, where it does not compare whole expressions.
            Output::Column { name, alias, aggregate, window }
                if *name != NONE && (*alias || self.is_postgres()) && fits(*aggregate, *window) =>
            {
                Some(*name)
            }
            _ => None,
        });
        // PostgreSQL refuses a name that two output columns have.
        let twice = |name: NameId| {
            select.outputs.iter().filter(|o| matches!(o, Output::Column { name: own, .. } if *own == name)).count() > 1
        };
        // SQLite takes the first of equal names: all of them must fit.
        let unfit = |name: NameId| {
            select.outputs.iter().any(|o| {
                matches!(o, Output::Column { name: own, aggregate, window, .. }
                    if *own == name && !fits(*aggregate, *window))
            })
        };
        let refused = |name: NameId| unfit(name) || self.is_postgres() && twice(name);
        outputs.filter(|name| !refused(*name)).collect()
    }

    /// The columns behind a qualifier.
    pub(super) fn qualified(&self, at: FrameId, qualifier: NameId) -> Vec<NameId> {
        let (mut at, mut skip, mut pinned) = (at, false, false);
        let mut found = Vec::new();
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(_) if skip => skip = false,
                Frame::Select(select) => {
                    if let Some(source) = self.in_sight(select).iter().find(|s| s.name == qualifier) {
                        let columns = self.frames.names(source.columns);
                        found.extend(columns.iter().filter(|column| frames::is_once(columns, **column)));
                        return found;
                    }
                    if self.looks_ahead(select) {
                        let needed: Vec<NameId> = Self::needed(select, qualifier);
                        let tables = self.tables_in_sight(at);
                        for (_, columns) in &tables {
                            let columns = self.frames.names(*columns);
                            if needed.iter().all(|column| frames::is_once(columns, *column)) {
                                found.extend(columns.iter().filter(|column| frames::is_once(columns, **column)));
                            }
                        }
                    } else if select.phase == Phase::CompoundOrder {
                        return found;
                    }
                    if pinned {
                        return found;
                    }
                }
                Frame::Use(Place::Derived { .. }, _) => skip = true,
                Frame::Call(call) => {
                    pinned |= matches!(self.function(*call).kind, Kind::Aggregate | Kind::Either);
                }
                Frame::Wall | Frame::Cte(..) => return found,
                Frame::Open => {
                    found.extend_from_slice(&self.catalog.columns);
                    return found;
                }
                _ => {}
            }
            at = under;
        }
        found
    }

    /// The columns that a qualifier must have.
    pub(super) fn needed(select: &Select, qualifier: NameId) -> Vec<NameId> {
        let own = select.obligations.iter().filter(|o| o.qualifier == qualifier && o.column != NONE);
        own.map(|obligation| obligation.column).collect()
    }

    /// The qualifiers that can be named at a place; none: any may still become one.
    pub(super) fn qualifiers(&self, at: FrameId) -> Option<Vec<NameId>> {
        let (mut at, mut skip, mut pinned) = (at, false, false);
        let mut found = Vec::new();
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(_) if skip => skip = false,
                Frame::Select(select) => {
                    if self.looks_ahead(select) {
                        return None;
                    }
                    if select.phase == Phase::CompoundOrder {
                        return Some(Vec::new());
                    }
                    found.extend(self.in_sight(select).iter().map(|source| source.name));
                    if pinned {
                        return Some(found);
                    }
                }
                Frame::Use(Place::Derived { .. }, _) => skip = true,
                Frame::Call(call) => {
                    pinned |= matches!(self.function(*call).kind, Kind::Aggregate | Kind::Either);
                }
                Frame::Wall | Frame::Cte(..) => return Some(found),
                Frame::Open => return None,
                _ => {}
            }
            at = under;
        }
        Some(found)
    }

    /// A column has been named.
    pub(super) fn column(&mut self, top: FrameId, pending: NameId, name: NameId) -> Option<FrameId> {
        let term = match self.frames.top(top) {
            Some((Frame::Term(term), _)) => Some(*term),
            _ => None,
        };
        let alone = term.is_some_and(|term| term.lead == Lead::Nothing);
        let mut alias_only = false;
        let mut bound = top;
        if let Some((select, between)) = self.nearest(top) {
            if select.phase == Phase::CompoundOrder {
                return term.map(|term| self.lead(top, term, Lead::Alias));
            }
            let is_alias = pending == NONE && self.aliases(select, between, alone).contains(&name);
            let own = self.count(select, name);
            // In ORDER BY of PostgreSQL the output column goes before the table's, else the table's goes before.
            let by_alias = is_alias && (own == 0 || self.is_postgres() && select.phase == Phase::Order && own != 1);
            if by_alias {
                alias_only = self.is_postgres();
            } else {
                bound = self.bind(top, Obligation { qualifier: pending, column: name, pinned: false }, false)?;
            }
        } else {
            bound = self.bind(top, Obligation { qualifier: pending, column: name, pinned: false }, false)?;
        }
        if let Some((Frame::Term(term), _)) = self.frames.top(bound) {
            let term = *term;
            let lead = match term.lead {
                Lead::Nothing if alias_only => Lead::Alias,
                Lead::Nothing => Lead::Column(name),
                // Both databases name an output column by a column in parentheses too.
                Lead::Parenthesis => Lead::Enclosed(name),
                _ => Lead::Other,
            };
            bound = self.lead(bound, term, lead);
        }
        Some(bound)
    }

    /// `t.*` has been read.
    pub(super) fn bind_star(&mut self, top: FrameId, qualifier: NameId) -> Option<FrameId> {
        if self.nearest(top).is_none() {
            return Some(top);
        }
        let obligation = Obligation { qualifier, column: NONE, pinned: true };
        self.edit_select(top, &mut |own, select| {
            if Self::waits(select) {
                oblige(select, obligation);
                return true;
            }
            own.in_sight(select).iter().any(|source| source.name == qualifier)
        })
    }

    /// Finds what a name means from a place outwards, or leaves it as an obligation where that is still open.
    pub(super) fn bind(&mut self, at: FrameId, obligation: Obligation, skip: bool) -> Option<FrameId> {
        if at == EMPTY {
            return None;
        }
        let (frame, under) = self.frames.top(at).map(|(frame, under)| (frame.clone(), under))?;
        let outwards = |own: &mut Self, obligation, skip| {
            let under = own.bind(under, obligation, skip)?;
            Some(own.frames.push(frame.clone(), under))
        };
        match &frame {
            Frame::Select(_) if skip => outwards(self, obligation, false),
            Frame::Select(select)
                if Self::waits(select)
                    || obligation.qualifier != NONE
                        && self.looks_ahead(select)
                        && !select.sources.iter().any(|source| source.name == obligation.qualifier) =>
            {
                let mut select = select.clone();
                select.ahead |= !Self::waits(&select);
                oblige(&mut select, obligation);
                if obligation.qualifier != NONE && !self.can_serve(at, &select, obligation) {
                    return None;
                }
                Some(self.frames.push(Frame::Select(select), under))
            }
            Frame::Select(select) if obligation.qualifier != NONE => {
                let source = self.in_sight(select).iter().find(|source| source.name == obligation.qualifier);
                match source {
                    Some(source) => frames::is_once(self.frames.names(source.columns), obligation.column).then_some(at),
                    None if obligation.pinned => None,
                    None => outwards(self, obligation, false),
                }
            }
            Frame::Select(select) => match self.count(select, obligation.column) {
                1 => {
                    if select.phase != Phase::From || self.is_postgres() && select.in_on {
                        return Some(at);
                    }
                    // SQLite looks at all sources, those to come too.
                    let mut select = select.clone();
                    oblige(&mut select, Obligation { pinned: true, ..obligation });
                    Some(self.frames.push(Frame::Select(select), under))
                }
                0 if !obligation.pinned => outwards(self, obligation, false),
                _ => None,
            },
            Frame::Use(Place::Derived { .. }, _) => outwards(self, obligation, true),
            Frame::Call(call) => {
                let aggregate = matches!(self.function(*call).kind, Kind::Aggregate | Kind::Either);
                outwards(self, Obligation { pinned: obligation.pinned || aggregate, ..obligation }, skip)
            }
            Frame::Wall | Frame::Cte(..) => None,
            Frame::Open => Some(at),
            _ => outwards(self, obligation, skip),
        }
    }

    /// Whether some table in sight, or a source further out, has all that the obligation's qualifier must have.
    fn can_serve(&self, at: FrameId, select: &Select, obligation: Obligation) -> bool {
        let needed = Self::needed(select, obligation.qualifier);
        let (_, under) = match self.frames.top(at) {
            Some(top) => top,
            None => return false,
        };
        let outer = || {
            let columns = self.qualified(under, obligation.qualifier);
            !obligation.pinned && needed.iter().all(|column| columns.contains(column))
        };
        self.catalog.has_all(&needed, &self.frames)
            || self.tables_in_sight(at).iter().any(|(_, columns)| {
                let columns = self.frames.names(*columns);
                needed.iter().all(|column| frames::is_once(columns, *column))
            })
            || outer()
    }

    /// The CTEs in sight, the nearest of each name.
    pub(super) fn ctes_in_sight(&self, mut at: FrameId) -> Vec<(NameId, super::frames::ListId)> {
        let mut found: Vec<(NameId, super::frames::ListId)> = Vec::new();
        while let Some((frame, under)) = self.frames.top(at) {
            if let Frame::Query(query) = frame {
                for (name, columns) in query.ctes.iter().rev() {
                    if !found.iter().any(|(own, _)| own == name) {
                        found.push((*name, *columns));
                    }
                }
            }
            at = under;
        }
        found
    }

    /// Settles what a SELECT's FROM clause (or its absence) leaves open: each name is bound here exactly once, or
    /// further out.
    pub(super) fn settle(&mut self, select: &mut Select, mut under: FrameId) -> Option<FrameId> {
        if select.sources.is_empty() && select.outputs.contains(&Output::Star) {
            return None;
        }
        select.sourced = true;
        select.start = 0;
        for obligation in std::mem::take(&mut select.obligations) {
            if obligation.qualifier != NONE {
                match select.sources.iter().find(|source| source.name == obligation.qualifier) {
                    Some(source) => {
                        let columns = self.frames.names(source.columns);
                        if obligation.column != NONE && !frames::is_once(columns, obligation.column) {
                            return None;
                        }
                        continue;
                    }
                    None if obligation.column == NONE || obligation.pinned => return None,
                    None => {}
                }
            } else {
                match self.count(select, obligation.column) {
                    1 => continue,
                    0 if !obligation.pinned => {}
                    _ => return None,
                }
            }
            under = self.bind(under, obligation, false)?;
        }
        Some(under)
    }
}

/// Adds an obligation; a pinned one replaces the same one that is not.
fn oblige(select: &mut Select, obligation: Obligation) {
    let same = |o: &Obligation| o.qualifier == obligation.qualifier && o.column == obligation.column;
    match select.obligations.iter_mut().find(|o| same(o)) {
        Some(known) => known.pinned |= obligation.pinned,
        None => {
            select.obligations.push(obligation);
            select.obligations.sort_unstable();
        }
    }
}
