//! Items of SELECT lists, GROUP BY and ORDER BY terms, and function calls: what may stand where.

use super::SchemaGuard;
use super::State;
use super::events::Hook;
use super::frames::{Call, Frame, FrameId, Lead, ListId, Output, Phase, Select, Term, TermKind};
use super::functions::Kind;
use super::names::{NONE, NameId};

/// What lies between a place and its SELECT.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Between {
    /// Arguments of an aggregate.
    pub aggregate: bool,
    /// Arguments or the definition of a window.
    pub window: bool,
    /// An item of a FROM clause.
    pub item: bool,
}

impl SchemaGuard {
    pub(super) fn push_term(&mut self, kind: TermKind, top: FrameId) -> FrameId {
        let term = Term { kind, lead: Lead::Nothing, alias: NONE, aggregate: false, window: false };
        self.frames.push(Frame::Term(term), top)
    }

    /// The SELECT that a place belongs to.
    pub(super) fn nearest(&self, mut at: FrameId) -> Option<(&Select, Between)> {
        let mut between = Between::default();
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(select) => return Some((select, between)),
                Frame::Call(call) => match self.function(*call).kind {
                    Kind::Aggregate | Kind::Either => between.aggregate = true,
                    Kind::Window => between.window = true,
                    Kind::Scalar => {}
                },
                Frame::Window(_) => between.window = true,
                Frame::Item(..) => between.item = true,
                Frame::Term(_) | Frame::Join(_) | Frame::Group(_) => {}
                Frame::Query(_) | Frame::Use(..) | Frame::Cte(..) | Frame::Wall | Frame::Open => return None,
            }
            at = under;
        }
        None
    }

    /// Something that is no bare column alone stands in a term.
    pub(super) fn operand(&mut self, top: FrameId) -> Option<FrameId> {
        let (frame, under) = self.frames.top(top)?;
        let Frame::Term(term) = *frame else { return Some(top) };
        if let Some((Frame::Select(select), _)) = self.frames.top(under)
            && select.phase == Phase::CompoundOrder
        {
            return None;
        }
        Some(self.lead(top, term, Lead::Other))
    }

    /// The same for what PostgreSQL names an output column by: see [`Self::name_term`].
    pub(super) fn naming_operand(&mut self, top: FrameId) -> Option<FrameId> {
        let fresh = match self.frames.top(top) {
            Some((Frame::Term(term), _)) => matches!(term.lead, Lead::Nothing | Lead::Parenthesis).then_some(*term),
            _ => None,
        };
        let top = self.operand(top)?;
        Some(match fresh {
            Some(term) if self.is_postgres() => self.lead(top, term, Lead::Parenthesis),
            _ => top,
        })
    }

    /// A call or a subquery is complete: where nothing stands before it in its term, the term has this name until
    /// something follows.
    pub(super) fn name_term(&mut self, top: FrameId, name: NameId) -> FrameId {
        match self.frames.top(top) {
            Some((Frame::Term(term), _)) if self.is_postgres() && term.lead == Lead::Parenthesis => {
                let term = *term;
                self.lead(top, term, Lead::Enclosed(name))
            }
            _ => top,
        }
    }

    pub(super) fn lead(&mut self, top: FrameId, term: Term, lead: Lead) -> FrameId {
        self.replace(top, Frame::Term(Term { lead, ..term }))
    }

    pub(super) fn parenthesis(&mut self, top: FrameId, term: Term) -> Option<FrameId> {
        let fresh = matches!(term.lead, Lead::Nothing | Lead::Parenthesis);
        let top = self.operand(top)?;
        Some(if fresh { self.lead(top, term, Lead::Parenthesis) } else { top })
    }

    /// A number that stands first in GROUP BY or ORDER BY is the place of a column.
    pub(super) fn number_in_term(&mut self, state: State, term: Term) -> Option<State> {
        match (term.kind, term.lead) {
            (TermKind::Item, _) | (_, Lead::Other | Lead::Constant | Lead::Column(_) | Lead::Enclosed(_)) => {
                let top = self.operand(state.top)?;
                Some(State { top, ..state })
            }
            (_, Lead::Nothing) => {
                let (select, _) = self.nearest(state.top)?;
                let columns = self.columns_of(select);
                let grouping = term.kind == TermKind::Group;
                let fits = |column: &(NameId, bool, bool)| !grouping || !column.1 && !column.2;
                let places: Vec<usize> =
                    columns.iter().enumerate().filter(|(_, column)| fits(column)).map(|(at, _)| at + 1).collect();
                let names = places.into_iter().map(|place| self.names.intern(&place.to_string())).collect();
                let set = self.names.digits(names)?;
                Some(State { reading: self.names.begin_known(set, Hook::UnsignedNumber as u8), ..state })
            }
            _ => None,
        }
    }

    pub(super) fn end_term(&mut self, term: Term, under: FrameId) -> Option<FrameId> {
        let (frame, around) = self.frames.top(under)?;
        let Frame::Select(select) = frame else {
            return matches!(frame, Frame::Open).then_some(under);
        };
        if self.is_postgres() && term.kind != TermKind::Item && term.lead == Lead::Constant {
            return None;
        }
        let mut select = select.clone();
        if term.kind == TermKind::Item {
            let output = match term.lead {
                Lead::Star => Output::Star,
                Lead::StarOf(name) => Output::StarOf(name),
                Lead::Column(name) | Lead::Enclosed(name) if term.alias == NONE => {
                    Output::Column { name, alias: false, aggregate: term.aggregate, window: term.window }
                }
                _ => {
                    let (name, alias) = (term.alias, term.alias != NONE);
                    Output::Column { name, alias, aggregate: term.aggregate, window: term.window }
                }
            };
            if let Output::Column { name, .. } = output
                && name != NONE
                && self.frames.names(select.forbidden).contains(&name)
            {
                return None;
            }
            select.outputs.push(output);
        }
        select.aggregates |= term.aggregate;
        Some(self.frames.push(Frame::Select(select), around))
    }

    /// Whether `*` or `t.*` may stand as an item.
    pub(super) fn may_star(&self, top: FrameId, qualified: bool) -> bool {
        let Some((_, under)) = self.frames.top(top) else { return false };
        let Some((Frame::Select(select), around)) = self.frames.top(under) else {
            return matches!(self.frames.top(under), Some((Frame::Open, _)));
        };
        if select.forbidden != 0 {
            return false;
        }
        let Some((Frame::Query(query), _)) = self.frames.top(around) else { return false };
        match select.expected {
            None => true,
            // Where the number of columns is given, `*` stands alone, and sources follow until there are as many.
            Some(_) if qualified || !select.outputs.is_empty() => false,
            Some(_) if query.terms > 0 => true,
            Some(expected) => {
                let fits = |(_, columns): &(NameId, ListId)| self.frames.names(*columns).len() == usize::from(expected);
                self.tables_in_sight(under).iter().any(fits)
            }
        }
    }

    /// The functions that may be called at a place.
    pub(super) fn functions_at(&self, top: FrameId) -> Vec<NameId> {
        let (aggregates, windows) = self.may_call(self.frames.top(top).map_or(top, |(_, under)| under));
        let fits = |kind: Kind| match kind {
            Kind::Scalar | Kind::Either => true,
            Kind::Aggregate => aggregates,
            Kind::Window => windows,
        };
        self.functions.iter().filter(|function| fits(function.kind)).map(|function| function.name).collect()
    }

    /// Whether aggregates and window functions may be called at a place.
    fn may_call(&self, at: FrameId) -> (bool, bool) {
        let Some((select, between)) = self.nearest(at) else { return (false, false) };
        if between.aggregate || between.window || between.item || select.in_on {
            return (false, false);
        }
        if select.recursive.is_some() {
            return (false, false);
        }
        match select.phase {
            Phase::List => (true, true),
            // A query that is not one of aggregates does not become one by its ORDER BY: SQLite mostly refuses that.
            Phase::Order => (select.aggregates || select.grouped, true),
            Phase::Having => (true, false),
            _ => (false, false),
        }
    }

    /// Whether a call with so many arguments is an aggregate that may stand where it does. `top` is the call.
    pub(super) fn may_aggregate_as(&self, top: FrameId, kind: Kind, arguments: u8) -> bool {
        let around = self.frames.top(top).map_or(top, |(_, under)| under);
        match kind {
            Kind::Aggregate => self.may_call(around).0,
            Kind::Either => arguments <= 1 && self.may_call(around).0,
            Kind::Scalar | Kind::Window => false,
        }
    }

    pub(super) fn begin_argument(&mut self, distinct: bool, top: FrameId, mut call: Call) -> Option<FrameId> {
        let function = self.function(call);
        call.arguments += 1;
        call.distinct |= distinct;
        let most = if call.distinct { 1 } else { function.most };
        if call.arguments > most || call.ordered {
            return None;
        }
        if distinct && (!self.may_aggregate_as(top, function.kind, 1) || function.least > 1) {
            return None;
        }
        Some(self.replace(top, Frame::Call(call)))
    }

    /// Whether a call may have one more argument.
    pub(super) fn may_go_on(&self, call: Call) -> bool {
        let most = if call.distinct { 1 } else { self.function(call).most };
        call.arguments < most && !call.ordered && !call.star
    }

    /// Whether a call's parenthesis may close: it has what it needs, and what must follow may.
    pub(super) fn may_close(&self, top: FrameId, call: Call) -> bool {
        let function = self.function(call);
        let around = self.frames.top(top).map_or(top, |(_, under)| under);
        let (aggregates, windows) = self.may_call(around);
        self.is_complete(call)
            && (function.kind != Kind::Either || call.arguments > 1 || aggregates || windows)
            && (function.kind != Kind::Aggregate || aggregates || windows)
    }

    pub(super) fn begin_filter(&mut self, top: FrameId, mut call: Call) -> Option<FrameId> {
        let function = self.function(call);
        if !self.may_aggregate_as(top, function.kind, call.arguments) || !self.is_complete(call) {
            return None;
        }
        call.filter = true;
        Some(self.replace(top, Frame::Call(call)))
    }

    pub(super) fn begin_over(&mut self, top: FrameId, mut call: Call) -> Option<FrameId> {
        let function = self.function(call);
        let around = self.frames.top(top).map_or(top, |(_, under)| under);
        let kind_fits = match function.kind {
            Kind::Aggregate | Kind::Window => true,
            Kind::Either => call.arguments == 1,
            Kind::Scalar => false,
        };
        if !kind_fits || call.distinct || call.ordered || !self.may_call(around).1 || !self.is_complete(call) {
            return None;
        }
        call.over = true;
        Some(self.replace(top, Frame::Call(call)))
    }

    fn is_complete(&self, call: Call) -> bool {
        let function = self.function(call);
        let enough = call.arguments >= function.least && (call.arguments > 0 || !self.is_postgres() || call.star);
        call.star || enough || function.least == 0 && function.kind != Kind::Aggregate
    }

    pub(super) fn end_call(&mut self, call: Call, under: FrameId) -> Option<FrameId> {
        let function = self.function(call);
        if call.function == 0 || !self.is_complete(call) {
            return None;
        }
        let aggregate = match function.kind {
            Kind::Aggregate => !call.over,
            Kind::Either => call.arguments == 1 && !call.over,
            Kind::Scalar => false,
            Kind::Window => {
                if !call.over {
                    return None;
                }
                false
            }
        };
        if aggregate && !self.may_call(under).0 {
            return None;
        }
        if (call.distinct || call.filter || call.ordered) && !(aggregate || call.over) {
            return None;
        }
        let under = self.name_term(under, function.name);
        if !aggregate && !call.over {
            return Some(under);
        }
        self.mark(under, aggregate)
    }

    /// The term that a call stands in holds an aggregate, or a window function.
    fn mark(&mut self, at: FrameId, aggregate: bool) -> Option<FrameId> {
        let (frame, under) = self.frames.top(at)?;
        match frame.clone() {
            Frame::Term(mut term) => {
                term.aggregate |= aggregate;
                term.window |= !aggregate;
                Some(self.frames.push(Frame::Term(term), under))
            }
            Frame::Select(mut select) => {
                select.aggregates |= aggregate;
                Some(self.frames.push(Frame::Select(select), under))
            }
            frame @ (Frame::Call(_) | Frame::Window(_)) => {
                let under = self.mark(under, aggregate)?;
                Some(self.frames.push(frame, under))
            }
            _ => Some(at),
        }
    }

    /// Changes the SELECT that a place belongs to.
    pub(super) fn edit_select(
        &mut self,
        at: FrameId,
        edit: &mut dyn FnMut(&mut Self, &mut Select) -> bool,
    ) -> Option<FrameId> {
        let (frame, under) = self.frames.top(at)?;
        match frame.clone() {
            Frame::Select(mut select) => {
                edit(self, &mut select).then(|| self.frames.push(Frame::Select(select), under))
            }
            Frame::Query(_) | Frame::Use(..) | Frame::Cte(..) | Frame::Wall | Frame::Open => None,
            frame => {
                let under = self.edit_select(under, edit)?;
                Some(self.frames.push(frame, under))
            }
        }
    }
}
