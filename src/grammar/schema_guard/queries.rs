//! Queries, CTEs, terms of set operations, VALUES, and the clauses that stand around them.

use super::SchemaGuard;
use super::events::Hook;
use super::frames::{EMPTY, Frame, FrameId, ListId, Output, Phase, Place, Query, Recursive, RecursiveUse, Select};
use super::names::{NONE, NameId};

impl SchemaGuard {
    pub(super) fn begin_query_part(&mut self, hook: Hook, top: FrameId, frame: Option<Frame>) -> Option<FrameId> {
        match (hook, frame) {
            (Hook::Query, frame) => self.begin_query(top, frame),
            (Hook::Cte, Some(Frame::Query(_))) => Some(self.frames.push(Frame::Cte(NONE, None, None), top)),
            (Hook::Recursive, Some(Frame::Query(mut query))) => {
                query.recursive_keyword = true;
                Some(self.replace(top, Frame::Query(query)))
            }
            (Hook::SetOperator, Some(Frame::Query(mut query))) => {
                if query.recursed {
                    return None;
                }
                query.union = false;
                Some(self.replace(top, Frame::Query(query)))
            }
            (Hook::Union, Some(Frame::Query(mut query))) => {
                query.union = true;
                Some(self.replace(top, Frame::Query(query)))
            }
            (Hook::QueryGroup, Some(Frame::Query(query))) => {
                // PostgreSQL refuses a second WITH, which the query in parentheses could have.
                if self.is_postgres() && query.terms == 0 && !query.ctes.is_empty() {
                    return None;
                }
                let expected = expected(&query);
                Some(self.frames.push(Frame::Use(Place::Value { expected }, None), top))
            }
            (Hook::TableTerm, Some(Frame::Query(_))) => Some(top),
            (Hook::SelectCore | Hook::Values, Some(Frame::Query(query))) => {
                let recursive = self.recursive_of(&query, top);
                let select = Select {
                    expected: expected(&query),
                    forbidden: if query.terms == 0 { query.forbidden } else { 0 },
                    phase: if hook == Hook::Values { Phase::Values } else { Phase::List },
                    sourced: hook == Hook::Values,
                    recursive,
                    ..Select::default()
                };
                Some(self.frames.push(Frame::Select(Box::new(select)), top))
            }
            (Hook::Values, _) => Some(top),
            (Hook::Row, Some(Frame::Select(mut select))) => {
                select.row.0 = 0;
                Some(self.replace(top, Frame::Select(select)))
            }
            (Hook::Value, Some(Frame::Select(mut select))) => {
                select.row.0 += 1;
                let fits = select.expected.is_none_or(|expected| select.row.0 <= expected) && select.row.0 < 100;
                fits.then(|| self.replace(top, Frame::Select(select)))
            }
            (
                Hook::WhereClause | Hook::GroupClause | Hook::HavingClause | Hook::WindowClause,
                Some(Frame::Select(select)),
            ) => self.begin_clause(hook, top, *select),
            (Hook::OrderClause, Some(Frame::Query(query))) => {
                if !self.may_order(&query) {
                    return None;
                }
                let seen = match &query.single {
                    Some(select) => Select { phase: Phase::Order, expected: None, forbidden: 0, ..(**select).clone() },
                    None => Select {
                        phase: Phase::CompoundOrder,
                        sourced: true,
                        outputs: query
                            .sortable
                            .iter()
                            .copied()
                            .map(|name| Output::Column { name, alias: true, aggregate: false, window: false })
                            .collect(),
                        ..Select::default()
                    },
                };
                Some(self.frames.push(Frame::Select(Box::new(seen)), top))
            }
            (Hook::OrderClause, Some(Frame::Call(mut call))) => {
                let kind = self.function(call).kind;
                if !self.may_aggregate_as(top, kind, call.arguments) || call.distinct && self.is_postgres() {
                    return None;
                }
                call.ordered = true;
                Some(self.replace(top, Frame::Call(call)))
            }
            (Hook::LimitClause, Some(Frame::Query(query))) => {
                self.may_order(&query).then(|| self.frames.push(Frame::Wall, top))
            }
            (Hook::Cte | Hook::QueryGroup | Hook::TableTerm | Hook::SelectCore, _) => None,
            _ => Some(top),
        }
    }

    /// Whether ORDER BY and LIMIT may follow the terms: in PostgreSQL not a query in parentheses, which could have its own.
    fn may_order(&self, query: &Query) -> bool {
        if self.is_postgres() { !query.recursed && !query.is_group } else { !query.last_is_values }
    }

    fn begin_query(&mut self, top: FrameId, frame: Option<Frame>) -> Option<FrameId> {
        let query = match frame {
            Some(Frame::Use(Place::Value { expected }, _)) => Query { expected, ..Query::default() },
            Some(Frame::Use(Place::Derived { forbidden, expected }, _)) => {
                Query { forbidden, expected, ..Query::default() }
            }
            Some(Frame::Cte(_, columns, _)) => {
                Query { expected: columns.map(|list| self.frames.names(list).len() as u16), ..Query::default() }
            }
            None | Some(Frame::Open) => Query::default(),
            Some(_) => return None,
        };
        Some(self.frames.push(Frame::Query(query), top))
    }

    /// The CTE that a term may read from because it defines it.
    fn recursive_of(&mut self, query: &Query, top: FrameId) -> Option<RecursiveUse> {
        if query.terms != 1 || !query.union {
            return None;
        }
        let (_, under) = self.frames.top(top)?;
        let (name, columns, around) = match self.frames.top(under) {
            Some((Frame::Cte(name, columns, _), around)) => (*name, *columns, around),
            _ => return None,
        };
        let keyword = matches!(self.frames.top(around), Some((Frame::Query(outer), _)) if outer.recursive_keyword);
        if self.is_postgres() && !keyword {
            return None;
        }
        let columns = match columns {
            Some(columns) => columns,
            None => {
                let names: Vec<NameId> = usable(&query.outputs, self.is_postgres());
                self.frames.list(&names)
            }
        };
        let Recursive { name, columns } = Recursive { name, columns };
        Some(RecursiveUse { name, columns, used: false })
    }

    fn begin_clause(&mut self, hook: Hook, top: FrameId, mut select: Select) -> Option<FrameId> {
        let (_, mut under) = self.frames.top(top)?;
        if !select.sourced {
            under = self.settle(&mut select, under)?;
        }
        let used = select.recursive.is_some_and(|recursive| recursive.used);
        match hook {
            Hook::WhereClause => select.phase = Phase::Where,
            Hook::GroupClause => {
                if used {
                    return None;
                }
                select.phase = Phase::Group;
                select.grouped = true;
            }
            Hook::HavingClause => {
                if !select.grouped && !select.aggregates {
                    return None;
                }
                select.phase = Phase::Having;
            }
            _ => select.phase = Phase::Window,
        }
        Some(self.frames.push(Frame::Select(Box::new(select)), under))
    }

    pub(super) fn end_query_part(&mut self, hook: Hook, top: FrameId, frame: Frame, under: FrameId) -> Option<FrameId> {
        match (hook, frame) {
            (Hook::SelectCore, Frame::Select(select)) => self.end_select(*select, under),
            (Hook::Row, Frame::Select(mut select)) => {
                match select.expected {
                    Some(expected) if expected != select.row.0 => return None,
                    _ => select.expected = Some(select.row.0),
                }
                select.row.1 = 1;
                Some(self.frames.push(Frame::Select(select), under))
            }
            (Hook::Values, Frame::Select(select)) => {
                let count = select.expected?;
                let outputs = (1..=count).map(|n| (self.names.intern(&format!("column{n}")), false, false)).collect();
                self.deliver(under, outputs, None, true)
            }
            (Hook::QueryGroup, Frame::Use(_, Some(list))) => {
                let outputs = self.frames.names(list).iter().map(|name| (*name, false, false)).collect();
                let top = self.deliver(under, outputs, None, false)?;
                let (Frame::Query(query), _) = self.frames.top(top)? else { return None };
                let query = Query { is_group: query.terms == 1, ..query.clone() };
                Some(self.replace(top, Frame::Query(query)))
            }
            (Hook::OrderClause, Frame::Select(select)) if select.phase >= Phase::Order => {
                select.obligations.is_empty().then_some(under)
            }
            (Hook::LimitClause, Frame::Wall) => Some(under),
            (Hook::Query, Frame::Query(query)) => self.end_query(query, under),
            (Hook::Cte, Frame::Cte(name, columns, Some(result))) => {
                let columns = columns.unwrap_or(result);
                let (frame, around) = self.frames.top(under)?;
                let Frame::Query(query) = frame else { return None };
                let mut query = query.clone();
                query.ctes.push((name, columns));
                Some(self.frames.push(Frame::Query(query), around))
            }
            (Hook::Cte | Hook::SelectCore | Hook::Query, _) => None,
            _ => Some(top),
        }
    }

    fn end_select(&mut self, mut select: Select, mut under: FrameId) -> Option<FrameId> {
        if !select.sourced {
            under = self.settle(&mut select, under)?;
        }
        if !select.windows_needed.iter().all(|name| select.windows.contains(name)) {
            return None;
        }
        let outputs = self.columns_of(&select);
        if outputs.is_empty() || select.expected.is_some_and(|expected| usize::from(expected) != outputs.len()) {
            return None;
        }
        self.deliver(under, outputs, Some(select), false)
    }

    /// The columns of a SELECT, stars written out.
    pub(super) fn columns_of(&self, select: &Select) -> Vec<(NameId, bool, bool)> {
        let mut columns = Vec::new();
        for output in &select.outputs {
            match output {
                Output::Column { name, aggregate, window, .. } => columns.push((*name, *aggregate, *window)),
                Output::Star | Output::StarOf(_) => {
                    for source in &select.sources {
                        if let Output::StarOf(name) = output
                            && *name != source.name
                        {
                            continue;
                        }
                        let hidden = self.frames.names(source.hidden);
                        let own = self.frames.names(source.columns).iter();
                        let seen = own.filter(|column| *output != Output::Star || !hidden.contains(column));
                        columns.extend(seen.map(|column| (*column, false, false)));
                    }
                }
            }
        }
        columns
    }

    /// A term of a query is complete.
    fn deliver(
        &mut self,
        under: FrameId,
        outputs: Vec<(NameId, bool, bool)>,
        select: Option<Select>,
        values: bool,
    ) -> Option<FrameId> {
        let (frame, around) = self.frames.top(under)?;
        let Frame::Query(query) = frame else { return None };
        let mut query = query.clone();
        if expected(&query).is_some_and(|expected| usize::from(expected) != outputs.len()) {
            return None;
        }
        query.recursed |= select.as_ref().and_then(|select| select.recursive).is_some_and(|recursive| recursive.used);
        query.last_is_values = values;
        query.is_group = false;
        query.single = None;
        if query.terms == 0 {
            query.sortable = outputs.iter().map(|(name, ..)| *name).collect();
            if !self.is_postgres() {
                // SQLite goes by names that AS gave, or by columns that it finds in the first term's sources: neither
                // those that it gives to VALUES nor those of a query around.
                let found = |name: &NameId| {
                    let named = |output: &Output| matches!(output, Output::Column { name: own, alias: true, .. } if own == name);
                    select
                        .as_ref()
                        .is_some_and(|select| select.outputs.iter().any(named) || self.count(select, *name) == 1)
                };
                query.sortable = query.sortable.iter().map(|name| if found(name) { *name } else { NONE }).collect();
            }
            query.outputs = outputs;
            query.single = select.map(Box::new);
        }
        query.terms = (query.terms + 1).min(3);
        Some(self.frames.push(Frame::Query(query), around))
    }

    /// `TABLE t` as a term.
    pub(super) fn table_term(&mut self, under: FrameId, columns: ListId) -> Option<FrameId> {
        let outputs = self.frames.names(columns).iter().map(|name| (*name, false, false)).collect();
        self.deliver(under, outputs, None, false)
    }

    fn end_query(&mut self, query: Query, under: FrameId) -> Option<FrameId> {
        if query.terms == 0 {
            return None;
        }
        let names = usable(&query.outputs, self.is_postgres());
        let list = self.frames.list(&names);
        let (frame, around) = match self.frames.top(under) {
            None => return Some(EMPTY),
            Some((frame, around)) => (frame.clone(), around),
        };
        match frame {
            Frame::Use(place, _) => Some(self.frames.push(Frame::Use(place, Some(list)), around)),
            Frame::Cte(name, columns, _) => Some(self.frames.push(Frame::Cte(name, columns, Some(list)), around)),
            Frame::Open => Some(under),
            _ => None,
        }
    }
}

/// How many columns the next term must have.
fn expected(query: &Query) -> Option<u16> {
    if query.terms > 0 { Some(query.outputs.len() as u16) } else { query.expected }
}

/// The names of a query's columns: SQLite gives the second of equal ones another name, PostgreSQL lets both stand and
/// calls them ambiguous where they are used.
fn usable(outputs: &[(NameId, bool, bool)], postgres: bool) -> Vec<NameId> {
    let names: Vec<NameId> = outputs.iter().map(|(name, ..)| *name).collect();
    if postgres {
        return names;
    }
    names.iter().enumerate().map(|(at, name)| if names[..at].contains(name) { NONE } else { *name }).collect()
}
