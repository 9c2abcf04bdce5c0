//! What each rule of the grammar means to the guard when it begins and when it ends.

use super::frames::{Call, EMPTY, Frame, FrameId, From, JoinKind, Lead, Output, Phase, Place, Select, TermKind};
use super::functions::Kind;
use super::names::{NONE, NameId, Reading, VEILED};
use super::{SchemaGuard, State};

macro_rules! hooks {
    ($($hook:ident $name:literal),* $(,)?) => {
        /// A rule that the guard hears of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Hook {
            $($hook),*
        }

        impl Hook {
            /// Every hook by its rule's name.
            pub const NAMES: &[(&str, Hook)] = &[$(($name, Hook::$hook)),*];
        }
    };
}

hooks! {
    Recursive "RECURSIVE", Cte "cte", CteName "cte-name", CteColumn "cte-column", Query "query",
    SetOperator "set-operator", Union "UNION", QueryGroup "query-group", TableTerm "table-term",
    SelectCore "select-core", SelectList "select-list", Values "values", Row "row", Value "value",
    SelectItem "select-item", SignItem "sign-item", ItemRest "item-rest", ValueRest "value-rest", Star "star", QualifiedStar "qualified-star",
    AliasName "alias-name", BareAliasName "bare-alias-name",
    FromClause "from-clause", WhereClause "where-clause", GroupClause "group-clause", HavingClause "having-clause",
    WindowClause "window-clause", WindowDefinition "window-definition", WindowName "window-name",
    BaseWindowName "base-window-name", WindowSpec "window-spec",
    OrderClause "order-clause", OrderTerm "order-term", OrderTermSign "order-term-sign",
    GroupTerm "group-term", GroupTermSign "group-term-sign", LimitClause "limit-clause",
    QualifierName "qualifier-name", ColumnName "column-name", SchemaName "schema-name", TableName "table-name",
    FunctionName "function-name", TableFunctionName "table-function-name", CollationName "collation-name", SingleType "single-type",
    Call "call", CallStar "call-star", Argument "argument", DistinctArgument "distinct-argument",
    VariadicArgument "variadic-argument", AllArgument "all-argument", ArgumentRest "argument-rest", CallEnd "call-end", WithinGroup "within-group", Filter "filter", Over "over",
    TableItem "table-item", TableItemSign "table-item-sign", Derived "derived", LateralDerived "lateral-derived", Only "only", Lateral "lateral",
    ParenJoin "paren-join", CommaJoin "comma-join", CrossJoin "cross-join", NaturalJoin "natural-join",
    PlainJoin "plain-join", OnCondition "on-condition", UsingCondition "using-condition", UsingColumn "using-column", UsingRest "using-rest", Alias "alias", RangeOffset "range-offset",
    Left "LEFT", Right "RIGHT", Full "FULL",
    TableCall "table-call", IndexedBy "indexed-by", ColumnAliases "column-aliases",
    ScalarSubquery "scalar-subquery", Exists "exists", InList "in-list", InTable "in-table", Quantified "quantified",
    Array "array", Case "case", Cast "cast", StringLiteral "string-literal", Literal "literal",
    UnsignedNumber "unsigned-number", UnarySign "unary-sign", Not "NOT", Parenthesised "parenthesised",
    RowRest "row-rest", Tail "tail", ComparisonTail "comparison-tail", PatternTail "pattern-tail", ListTail "list-tail",
    IsTail "is-tail", DistinctTail "distinct-tail", LogicTail "logic-tail", Postfix "postfix", KeptPostfix "kept-postfix", CollatePostfix "collate-postfix", SpecialForm "special-form", Unknown "unknown-operator", WholeRow "whole-row",
    Insert "insert", Update "update", Delete "delete", CreateTable "create-table",
}

impl Hook {
    /// The hook of this number.
    pub fn of(number: u8) -> Option<Self> {
        Self::NAMES.get(usize::from(number)).map(|(_, hook)| *hook)
    }
}

impl State {
    fn at(self, top: FrameId) -> Self {
        Self { top, reading: Reading::Nothing, ..self }
    }
}

impl SchemaGuard {
    fn known(&mut self, state: State, hook: Hook, names: Vec<NameId>) -> Option<State> {
        let set = self.names.set(names)?;
        Some(State { reading: self.names.begin_known(set, hook as u8), ..state })
    }

    fn free(&self, state: State, hook: Hook) -> State {
        State { reading: self.names.begin_free(hook as u8), ..state }
    }

    /// A rule begins.
    pub(super) fn arrive(&mut self, hook: Hook, state: State) -> Option<State> {
        let top = state.top;
        let frame = self.frames.top(top).map(|(frame, _)| frame.clone());
        match hook {
            Hook::AliasName | Hook::BareAliasName => match frame {
                Some(Frame::Term(_) | Frame::Open) => Some(self.free(state, hook)),
                Some(Frame::Item(_, From::Columns { .. })) => Some(self.free(state, hook)),
                _ => None,
            },
            Hook::CteName | Hook::CteColumn => Some(self.free(state, hook)),
            Hook::QualifierName if state.pending != NONE => None,
            Hook::QualifierName => {
                if matches!(frame, Some(Frame::Term(_))) {
                    self.operand(top)?;
                }
                match self.qualifiers(top) {
                    Some(names) => self.known(state, hook, names),
                    // Nothing in sight has columns: a CTE of the same name hides the only table.
                    None if self.qualified(top, VEILED).iter().all(|column| *column == NONE) => None,
                    None => Some(self.free(state, hook)),
                }
            }
            Hook::ColumnName => {
                let names = self.columns_at(top, state.pending)?;
                self.known(state, hook, names)
            }
            Hook::TableName => {
                let names = self.tables_at(top, state.pending);
                self.known(state, hook, names)
            }
            Hook::SchemaName => {
                let mut names = vec![self.catalog.default_namespace];
                names.extend(self.catalog.tables.iter().map(|table| table.namespace));
                names.retain(|name| *name != NONE && !self.tables_at(top, *name).is_empty());
                self.known(state, hook, names)
            }
            Hook::FunctionName => {
                let names = self.functions_at(top);
                self.known(state, hook, names)
            }
            Hook::TableFunctionName => {
                let names = self.table_functions_at(top);
                self.known(state, hook, names)
            }
            Hook::UsingColumn => {
                let names = self.using_columns(top);
                self.known(state, hook, names)
            }
            Hook::CollationName => {
                let names = self.collations.clone();
                self.known(state, hook, names)
            }
            Hook::SingleType => {
                let names = self.types.clone();
                self.known(state, hook, names)
            }
            Hook::WindowName => match (frame, self.nearest(top)) {
                (Some(Frame::Window(_)), _) => Some(self.free(state, hook)),
                (Some(Frame::Call(_)), Some((select, _))) if select.phase == Phase::List => {
                    Some(self.free(state, hook))
                }
                (Some(Frame::Call(_)), Some((select, _))) => {
                    let names = select.windows.clone();
                    self.known(state, hook, names)
                }
                _ => None,
            },
            Hook::UnsignedNumber => match frame {
                Some(Frame::Term(term)) => self.number_in_term(state, term),
                _ => Some(state),
            },
            Hook::BaseWindowName
            | Hook::IndexedBy
            | Hook::RowRest
            | Hook::Unknown
            | Hook::ColumnAliases
            | Hook::WholeRow
            | Hook::WithinGroup
            | Hook::VariadicArgument
            | Hook::Only
            | Hook::Lateral
            | Hook::AllArgument
            | Hook::RangeOffset => None,
            Hook::Recursive
            | Hook::Cte
            | Hook::Query
            | Hook::SetOperator
            | Hook::Union
            | Hook::QueryGroup
            | Hook::TableTerm
            | Hook::SelectCore
            | Hook::Values
            | Hook::Row
            | Hook::Value
            | Hook::WhereClause
            | Hook::GroupClause
            | Hook::HavingClause
            | Hook::WindowClause
            | Hook::OrderClause
            | Hook::LimitClause => self.begin_query_part(hook, top, frame).map(|top| state.at(top)),
            _ => self.begin(hook, state, frame).map(|top| state.at(top)),
        }
    }

    fn begin(&mut self, hook: Hook, state: State, frame: Option<Frame>) -> Option<FrameId> {
        let top = state.top;
        match (hook, frame) {
            (Hook::SelectItem | Hook::SignItem, Some(Frame::Select(select))) => {
                self.has_room(&select).then(|| self.push_term(TermKind::Item, top))
            }
            (Hook::ItemRest, Some(Frame::Select(select))) => self.has_room(&select).then_some(top),
            (Hook::SelectItem | Hook::SignItem, Some(Frame::Open)) => Some(self.push_term(TermKind::Item, top)),
            (Hook::OrderTerm | Hook::OrderTermSign, Some(Frame::Select(_))) => {
                Some(self.push_term(TermKind::Order, top))
            }
            (Hook::OrderTerm | Hook::OrderTermSign, _) => Some(top),
            (Hook::GroupTerm | Hook::GroupTermSign, Some(Frame::Select(_))) => {
                Some(self.push_term(TermKind::Group, top))
            }
            (Hook::Star | Hook::QualifiedStar, Some(Frame::Term(_))) => {
                self.may_star(top, hook == Hook::QualifiedStar).then_some(top)
            }
            (Hook::FromClause, Some(Frame::Select(select))) => {
                let mut select = *select;
                select.phase = Phase::From;
                Some(self.replace(top, Frame::Select(Box::new(select))))
            }
            (Hook::TableItem | Hook::TableItemSign, _) => Some(self.frames.push(Frame::Item(NONE, From::Nothing), top)),
            (Hook::Derived, Some(Frame::Item(_, From::Nothing))) => {
                let forbidden = self.forbidden_in_derived(top);
                let room = self.nearest(top).and_then(|(select, _)| self.room(select));
                let expected = room.map(|room| room as u16);
                Some(self.frames.push(Frame::Use(Place::Derived { forbidden, expected }, None), top))
            }
            (Hook::ParenJoin, Some(Frame::Item(_, From::Nothing))) => self.begin_group(top),
            (Hook::CommaJoin, Some(frame)) => self.begin_join(JoinKind::Comma, top, &frame),
            (Hook::CrossJoin, Some(frame)) => self.begin_join(JoinKind::Cross, top, &frame),
            (Hook::NaturalJoin, Some(frame)) => self.begin_join(JoinKind::Natural, top, &frame),
            (Hook::PlainJoin, Some(frame)) => self.begin_join(JoinKind::Plain, top, &frame),
            // Columns that are used without a qualifier and come from both sides: only USING merges them.
            (Hook::OnCondition, Some(Frame::Join(join))) if !join.must.is_empty() => None,
            (Hook::OnCondition, Some(Frame::Join(join))) => self.edit_select(top, &mut |_, select| {
                select.in_on = true;
                select.start = join.start;
                true
            }),
            (Hook::UsingCondition, Some(Frame::Join(_))) => (!self.using_columns(top).is_empty()).then_some(top),
            // PostgreSQL's functions in FROM have columns that depend on their arguments.
            (Hook::TableCall, Some(Frame::Item(_, From::Nothing))) => (!self.is_postgres()).then_some(top),
            (Hook::Call, frame) => {
                let top = if matches!(frame, Some(Frame::Term(_))) { self.naming_operand(top)? } else { top };
                let call = Call {
                    function: 0,
                    arguments: 0,
                    star: false,
                    distinct: false,
                    over: false,
                    filter: false,
                    ordered: false,
                };
                Some(self.frames.push(Frame::Call(call), top))
            }
            (Hook::CallStar, Some(Frame::Call(mut call))) => {
                call.star = true;
                let function = self.function(call);
                let counts = self.names.text(function.name) == "count";
                counts.then(|| self.replace(top, Frame::Call(call)))
            }
            (Hook::Argument | Hook::DistinctArgument, Some(Frame::Call(call))) => {
                self.begin_argument(hook == Hook::DistinctArgument, top, call)
            }
            (Hook::Argument, _) => Some(top),
            (Hook::ArgumentRest, Some(Frame::Call(call))) => self.may_go_on(call).then_some(top),
            (Hook::ArgumentRest, Some(Frame::Item(name, _))) => (name != NONE).then_some(top),
            (Hook::CallEnd, Some(Frame::Call(call))) => self.may_close(top, call).then_some(top),
            (Hook::Left, Some(Frame::Join(_))) if !self.is_postgres() => self.edit_select(top, &mut |_, select| {
                select.outer = true;
                true
            }),
            (Hook::Right | Hook::Full, Some(Frame::Join(_))) if !self.is_postgres() => {
                self.edit_select(top, &mut |_, select| {
                    select.outer = true;
                    // `*` then looks for what USING or NATURAL merged by its bare name.
                    let merged = select.sources.iter().any(|source| source.hidden != 0);
                    !(select.ahead || merged && select.outputs.contains(&Output::Star))
                })
            }
            (Hook::UsingRest, Some(Frame::Join(_))) => (!self.using_columns(top).is_empty()).then_some(top),
            (Hook::Alias, Some(Frame::Item(_, From::Group | From::Nothing))) => None,
            (Hook::ValueRest, Some(Frame::Select(select))) => {
                select.expected.is_none_or(|expected| select.row.0 < expected).then_some(top)
            }
            (Hook::Filter, Some(Frame::Call(call))) => self.begin_filter(top, call),
            (Hook::Over, Some(Frame::Call(call))) => self.begin_over(top, call),
            (Hook::WindowSpec, Some(Frame::Call(_))) => Some(self.frames.push(Frame::Window(NONE), top)),
            (Hook::WindowSpec, Some(Frame::Window(_))) => Some(top),
            (Hook::WindowDefinition, Some(Frame::Select(_))) => Some(self.frames.push(Frame::Window(NONE), top)),
            (Hook::ScalarSubquery, Some(Frame::Term(_))) => {
                let top = self.naming_operand(top)?;
                self.begin_use(top, None, Some(1))
            }
            (Hook::ScalarSubquery | Hook::Array, frame) => self.begin_use(top, frame, Some(1)),
            (Hook::InList | Hook::Quantified, frame) => self.begin_use(top, frame, Some(1)),
            (Hook::Exists, frame) => self.begin_use(top, frame, None),
            (Hook::StringLiteral | Hook::Literal, Some(Frame::Term(term))) => {
                let alone = matches!(term.lead, Lead::Nothing | Lead::Parenthesis);
                let top = self.operand(top)?;
                Some(if alone { self.lead(top, term, Lead::Constant) } else { top })
            }
            (Hook::Case | Hook::SpecialForm | Hook::Not, Some(Frame::Term(_))) => self.operand(top),
            (Hook::Cast, Some(Frame::Term(_))) => self.naming_operand(top),
            (Hook::UnarySign, Some(Frame::Term(term))) => {
                (term.kind == TermKind::Item).then_some(())?;
                self.operand(top)
            }
            (Hook::Parenthesised, Some(Frame::Term(term))) => self.parenthesis(top, term),
            (Hook::KeptPostfix | Hook::CollatePostfix, Some(Frame::Term(term))) => match term.lead {
                Lead::Alias => None,
                Lead::Column(name) | Lead::Enclosed(name) => {
                    let top = self.operand(top)?;
                    Some(self.lead(top, term, Lead::Enclosed(name)))
                }
                _ => self.operand(top),
            },
            (
                Hook::Tail
                | Hook::ComparisonTail
                | Hook::PatternTail
                | Hook::ListTail
                | Hook::IsTail
                | Hook::DistinctTail
                | Hook::LogicTail
                | Hook::Postfix,
                Some(Frame::Term(term)),
            ) => {
                if term.lead == Lead::Alias {
                    return None;
                }
                self.operand(top)
            }
            (Hook::Insert | Hook::Update | Hook::Delete | Hook::CreateTable, None) => {
                Some(self.frames.push(Frame::Open, top))
            }
            (Hook::Insert | Hook::Update | Hook::Delete | Hook::CreateTable | Hook::LateralDerived, _) => None,
            _ => Some(top),
        }
    }

    /// Whether a SELECT list may go on.
    fn has_room(&self, select: &Select) -> bool {
        select.expected.is_none_or(|expected| {
            select.outputs.len() < usize::from(expected) && !select.outputs.contains(&Output::Star)
        })
    }

    fn begin_use(&mut self, top: FrameId, frame: Option<Frame>, expected: Option<u16>) -> Option<FrameId> {
        let top = if matches!(frame, Some(Frame::Term(_))) { self.operand(top)? } else { top };
        Some(self.frames.push(Frame::Use(Place::Value { expected }, None), top))
    }

    /// A rule ends.
    pub(super) fn leave(&mut self, hook: Hook, state: State) -> Option<State> {
        if let Reading::Known { hook: own, .. } | Reading::Free { hook: own, .. } = state.reading {
            if own != hook as u8 {
                return None;
            }
            let name = self.names.finished(state.reading)?;
            return self.named(hook, state, name);
        }
        let (frame, under) = match self.frames.top(state.top) {
            Some((frame, under)) => (frame.clone(), under),
            None => return Some(state),
        };
        let top = state.top;
        let left = match (hook, frame) {
            (Hook::SelectItem | Hook::SignItem | Hook::OrderTerm | Hook::OrderTermSign, Frame::Term(term)) => {
                self.end_term(term, under)
            }
            (Hook::GroupTerm | Hook::GroupTermSign, Frame::Term(term)) => self.end_term(term, under),
            (Hook::Star, Frame::Term(term)) => Some(self.lead(top, term, Lead::Star)),
            (Hook::QualifiedStar, Frame::Term(term)) => {
                let lead = Lead::StarOf(state.pending);
                let obliged = self.bind_star(top, state.pending)?;
                let _ = term;
                let term = match self.frames.top(obliged) {
                    Some((Frame::Term(term), _)) => *term,
                    _ => return None,
                };
                let top = self.lead(obliged, term, lead);
                return Some(State { pending: NONE, ..state.at(top) });
            }
            (Hook::SelectList, Frame::Select(select)) => {
                let star = select.outputs.iter().any(|output| !matches!(output, Output::Column { .. }));
                let short = select.expected.is_some_and(|expected| usize::from(expected) != select.outputs.len());
                (star || !short).then_some(top)
            }
            (Hook::FromClause, Frame::Select(select)) => self.close_sources(*select, under),
            (Hook::TableItem | Hook::TableItemSign, Frame::Item(name, from)) => self.end_item(name, from, under),
            (Hook::Derived, Frame::Use(Place::Derived { .. }, Some(columns))) => {
                Some(self.replace(under, Frame::Item(NONE, From::Columns { columns, derived: true })))
            }
            (Hook::ParenJoin, Frame::Group(_)) => Some(self.replace(under, Frame::Item(NONE, From::Group))),
            (Hook::CommaJoin | Hook::CrossJoin | Hook::NaturalJoin | Hook::PlainJoin, Frame::Join(join)) => {
                (join.must.is_empty() && join.right).then_some(under)
            }
            (Hook::OnCondition, Frame::Join(join)) => self.edit_select(top, &mut |_, select| {
                select.in_on = false;
                select.start = join.around;
                true
            }),
            (Hook::UsingCondition, Frame::Join(join)) => join.must.is_empty().then_some(top),
            (Hook::TableCall, Frame::Item(_, From::Columns { .. })) => Some(top),
            (Hook::Call, Frame::Call(call)) => self.end_call(call, under),
            (Hook::WindowSpec, Frame::Window(NONE)) => Some(under),
            (Hook::WindowDefinition, Frame::Window(name)) => self.edit_select(under, &mut |_, select| {
                select.windows.push(name);
                true
            }),
            (Hook::ScalarSubquery, Frame::Use(Place::Value { .. }, Some(columns))) => {
                let name = self.frames.names(columns).first().copied().unwrap_or(NONE);
                Some(self.name_term(under, name))
            }
            (
                Hook::ScalarSubquery | Hook::Exists | Hook::InList | Hook::Quantified | Hook::Array,
                Frame::Use(Place::Value { .. }, _),
            ) => Some(under),
            (Hook::Insert | Hook::Update | Hook::Delete | Hook::CreateTable, Frame::Open) => Some(EMPTY),
            (hook, frame) => self.end_query_part(hook, top, frame, under),
        };
        left.map(|top| state.at(top))
    }

    /// A name has been read.
    fn named(&mut self, hook: Hook, state: State, name: NameId) -> Option<State> {
        let top = state.top;
        let (frame, under) = match self.frames.top(top) {
            Some((frame, under)) => (frame.clone(), under),
            None => return None,
        };
        let to = match (hook, frame) {
            (Hook::QualifierName, _) if self.qualified(top, name).iter().all(|column| *column == NONE) => None,
            (Hook::QualifierName | Hook::SchemaName, _) => {
                return Some(State { pending: name, reading: Reading::Nothing, ..state });
            }
            (Hook::ColumnName, _) => {
                let top = self.column(top, state.pending, name)?;
                return Some(State { pending: NONE, ..state.at(top) });
            }
            (Hook::TableName, frame) => {
                let top = self.table_read(top, frame, under, state.pending, name)?;
                return Some(State { pending: NONE, ..state.at(top) });
            }
            (Hook::AliasName | Hook::BareAliasName, Frame::Term(mut term)) => {
                let forbidden = self.nearest(top).map_or(0, |(select, _)| select.forbidden);
                if self.frames.names(forbidden).contains(&name) {
                    return None;
                }
                term.alias = name;
                Some(self.frames.push(Frame::Term(term), under))
            }
            (Hook::AliasName | Hook::BareAliasName, Frame::Item(_, from)) => {
                let From::Columns { columns, .. } = from else { return None };
                if !self.may_expose(under, name, columns) {
                    return None;
                }
                Some(self.frames.push(Frame::Item(name, from), under))
            }
            (Hook::AliasName | Hook::BareAliasName, Frame::Open) => Some(top),
            (Hook::CteName, Frame::Cte(_, columns, result)) => {
                // `WITH RECURSIVE AS` is the keyword and a name forgotten.
                let taken = self.names.text(name) == "recursive"
                    || matches!(self.frames.top(under), Some((Frame::Query(query), _))
                        if query.ctes.iter().any(|(own, _)| *own == name));
                (!taken).then(|| self.frames.push(Frame::Cte(name, columns, result), under))
            }
            (Hook::CteColumn, Frame::Cte(cte, columns, result)) => {
                let mut list = columns.map(|list| self.frames.names(list).to_vec()).unwrap_or_default();
                if list.contains(&name) {
                    return None;
                }
                list.push(name);
                let list = self.frames.list(&list);
                Some(self.frames.push(Frame::Cte(cte, Some(list), result), under))
            }
            (Hook::UsingColumn, Frame::Join(join)) => self.use_column(join, under, name),
            (Hook::FunctionName, Frame::Call(mut call)) => {
                let at = self.functions.iter().position(|function| function.name == name)?;
                call.function = at as u16 + 1;
                Some(self.frames.push(Frame::Call(call), under))
            }
            (Hook::TableFunctionName, Frame::Item(..)) => {
                let columns = self.table_functions.iter().find(|(own, _)| *own == name)?.1;
                Some(self.frames.push(Frame::Item(name, From::Columns { columns, derived: false }), under))
            }
            (Hook::WindowName, Frame::Window(_)) => {
                let taken = self.nearest(under).is_some_and(|(select, _)| select.windows.contains(&name));
                (!taken).then(|| self.frames.push(Frame::Window(name), under))
            }
            (Hook::WindowName, Frame::Call(_)) => self.edit_select(top, &mut |_, select: &mut Select| {
                if !select.windows.contains(&name) && !select.windows_needed.contains(&name) {
                    select.windows_needed.push(name);
                    select.windows_needed.sort_unstable();
                }
                true
            }),
            (Hook::UnsignedNumber, Frame::Term(term)) => Some(self.lead(top, term, Lead::Other)),
            (Hook::CollationName | Hook::SingleType, _) => Some(top),
            _ => None,
        };
        to.map(|top| state.at(top))
    }

    /// The kind of a call's function.
    pub(super) fn function(&self, call: Call) -> super::Known {
        let none = super::Known { name: NONE, least: 0, most: 0, kind: Kind::Scalar };
        usize::from(call.function).checked_sub(1).and_then(|at| self.functions.get(at)).copied().unwrap_or(none)
    }

    /// Another frame in place of the top one.
    pub(super) fn replace(&mut self, top: FrameId, frame: Frame) -> FrameId {
        let under = self.frames.top(top).map_or(EMPTY, |(_, under)| under);
        self.frames.push(frame, under)
    }
}
