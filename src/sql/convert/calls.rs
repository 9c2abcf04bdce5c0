//! Functions whose rules take more than a line: aggregates of text, pieces of text, the largest of several.

use sqlparser::ast::{BinaryOperator, DuplicateTreatment, Expr, FunctionArgumentClause, FunctionArguments, Value};

use super::build::{self, binary, call, case, cast, digits, number, operand, string, take, take_arguments, to_text};
use super::dates::numeric;
use super::scope::Scope;
use super::value_type::Ty;
use super::{Rewriter, Source};

use BinaryOperator as Op;

impl<'s> Rewriter<'s> {
    /// SQLite's `max(a, b)` and MySQL's GREATEST are NULL if one of their arguments is; PostgreSQL's skips it.
    pub(super) fn greatest(&mut self, expr: &mut Expr, largest: bool, types: &mut [Ty], scope: &Scope<'_, 's>) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let mut arguments = take_arguments(function);
        let mut all: Vec<&mut Expr> = arguments.iter_mut().collect();
        let ty = self.unify(&mut all, types);
        let nullable = arguments.iter().filter(|argument| !self.never_null(argument, scope)).cloned();
        let is_null = nullable.map(|argument| Expr::IsNull(Box::new(operand(argument))));
        let any_null = is_null.reduce(|a, b| super::operators::plain(a, Op::Or, b));
        let result = call(if largest { "GREATEST" } else { "LEAST" }, arguments);
        *expr = match any_null.filter(|_| !self.idiomatic) {
            Some(condition) => case(condition, build::null(), Some(result)),
            None => result,
        };
        self.did("scalar-max");
        ty
    }

    pub(super) fn group_concat(&mut self, expr: &mut Expr, types: &[Ty]) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let Some(arguments) = build::arguments(function) else { return Ty::Text };
        let FunctionArguments::List(_) = &function.args else { return Ty::Text };
        let mut values: Vec<Expr> = arguments.into_iter().cloned().collect();
        let mut separator = build::text(",");
        if self.source != Source::MySql && values.len() == 2 {
            separator = values.remove(1);
        }
        let first = types.first().copied().unwrap_or_default();
        let mut value = if values.len() > 1 {
            values.into_iter().reduce(|a, b| binary(a, Op::StringConcat, b)).unwrap_or_else(build::null)
        } else {
            values.into_iter().next().unwrap_or_else(build::null)
        };
        let original = value.clone();
        let needs_cast = first.needs_text_cast()
            || (first == Ty::Unknown && self.has_schema() && !matches!(value, Expr::BinaryOp { .. }));
        if needs_cast {
            value = to_text(value);
        }
        let FunctionArguments::List(list) = &mut function.args else { return Ty::Text };
        let mut order = Vec::new();
        for clause in std::mem::take(&mut list.clauses) {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => order = keys,
                FunctionArgumentClause::Separator(text) => separator = Expr::Value(text),
                other => list.clauses.push(other),
            }
        }
        // DISTINCT wants the very argument as the key.
        if needs_cast && list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            order.iter_mut().filter(|by| by.expr == original).for_each(|by| by.expr = value.clone());
        }
        list.args = [value, separator]
            .map(|argument| sqlparser::ast::FunctionArg::Unnamed(sqlparser::ast::FunctionArgExpr::Expr(argument)))
            .into();
        if !order.is_empty() {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
        build::rename(function, "STRING_AGG");
        self.did("group-concat");
        Ty::Text
    }

    /// MySQL's CONCAT is NULL if an argument is; PostgreSQL's skips it, `||` does not.
    pub(super) fn concat_call(&mut self, expr: &mut Expr, types: &[Ty]) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let mut arguments = take_arguments(function);
        if arguments.len() < 2 || !types.iter().take(2).any(|ty| ty.is_text()) {
            let first = types.first().copied().unwrap_or_default();
            if first.needs_text_cast() || arguments.len() == 1 {
                arguments[0] = to_text(take(&mut arguments[0]));
            }
        }
        *expr = arguments.into_iter().reduce(|a, b| binary(a, Op::StringConcat, b)).unwrap_or_else(build::null);
        self.did("concat");
        Ty::Text
    }

    /// SUBSTR with a place counted from the end.
    pub(super) fn substring_of(&mut self, mut arguments: Vec<Expr>) -> Expr {
        let start = digits(&arguments[1]).and_then(|digits| digits.parse::<i64>().ok());
        let faithful = !self.idiomatic && self.has_schema();
        match (start, arguments.len()) {
            // MySQL has nothing at place 0 and nothing before a text that is too short.
            (Some(0), _) if self.source == Source::MySql && faithful => {
                self.did("substring-from-end");
                call("LEFT", vec![arguments.swap_remove(0), number(0)])
            }
            (Some(start), _) if start < 0 && self.source == Source::MySql && faithful => {
                self.did("substring-from-end");
                let length = (arguments.len() == 3).then(|| arguments.remove(2));
                let text = arguments.swap_remove(0);
                let tail = call("RIGHT", vec![text.clone(), number(-start)]);
                let found = match length {
                    Some(length) => call("LEFT", vec![tail, length]),
                    None => tail,
                };
                let short = binary(call("CHAR_LENGTH", vec![text]), Op::Lt, number(-start));
                case(short, build::text(""), Some(found))
            }
            (Some(start), 2) if start < 0 => {
                self.did("substring-from-end");
                call("RIGHT", vec![arguments.swap_remove(0), number(-start)])
            }
            // Places before the text count, as they do in SQLite.
            (Some(start), 3) if start < 0 && faithful => {
                self.did("substring-from-end");
                let length = arguments.remove(2);
                let text = arguments.swap_remove(0);
                let from = binary(call("CHAR_LENGTH", vec![text.clone()]), Op::Minus, number(-start - 1));
                Expr::Substring {
                    expr: Box::new(text),
                    substring_from: Some(Box::new(from)),
                    substring_for: Some(Box::new(length)),
                    special: false,
                    shorthand: false,
                }
            }
            (Some(start), 3) if start < 0 => {
                self.did("substring-from-end");
                let length = arguments.remove(2);
                let tail = call("RIGHT", vec![arguments.swap_remove(0), number(-start)]);
                call("LEFT", vec![tail, length])
            }
            _ => {
                let mut parts = arguments.into_iter();
                let text = parts.next().unwrap_or_else(build::null);
                Expr::Substring {
                    expr: Box::new(text),
                    substring_from: parts.next().map(Box::new),
                    substring_for: parts.next().map(Box::new),
                    special: false,
                    shorthand: false,
                }
            }
        }
    }

    pub(super) fn substring_index(&mut self, expr: &mut Expr) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let arguments = take_arguments(function);
        match digits(&arguments[2]).and_then(|digits| digits.parse::<i64>().ok()) {
            Some(1 | -1) => *expr = call("SPLIT_PART", arguments),
            Some(count) => {
                let [text, separator, _] =
                    <[Expr; 3]>::try_from(arguments).unwrap_or_else(|_| [build::null(), build::null(), build::null()]);
                let parts = call("STRING_TO_ARRAY", vec![text, separator.clone()]);
                let length = call("CARDINALITY", vec![parts.clone()]);
                let (lower, upper) = if count > 0 {
                    (number(1), number(count))
                } else {
                    let lower = binary(binary(length.clone(), Op::Plus, number(1)), Op::Minus, number(-count));
                    (call("GREATEST", vec![lower, number(1)]), length)
                };
                let slice = Expr::CompoundFieldAccess {
                    root: Box::new(Expr::Nested(Box::new(parts))),
                    access_chain: vec![sqlparser::ast::AccessExpr::Subscript(sqlparser::ast::Subscript::Slice {
                        lower_bound: Some(lower),
                        upper_bound: Some(upper),
                        stride: None,
                    })],
                };
                *expr = call("ARRAY_TO_STRING", vec![slice, separator]);
            }
            None => {
                *expr = call("SUBSTRING_INDEX", arguments);
                self.warn("SUBSTRING_INDEX with a count that is no literal");
                return Ty::Text;
            }
        }
        self.did("substring-index");
        Ty::Text
    }

    /// ROUND(double, n) does not exist in PostgreSQL; TRUNCATE is TRUNC.
    pub(super) fn round(&mut self, expr: &mut Expr, name: &str, ty: Ty) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let mut arguments = take_arguments(function);
        let ty = self.number_operand(&mut arguments[0], ty);
        if matches!(ty, Ty::Float | Ty::Unknown) {
            arguments[0] = cast(take(&mut arguments[0]), numeric());
            self.did("round-as-numeric");
        }
        let wanted = if name == "ROUND" { "ROUND" } else { "TRUNC" };
        if wanted != name {
            self.did("renamed-functions");
        }
        *expr = call(wanted, arguments);
        Ty::Numeric
    }

    pub(super) fn printf(&mut self, expr: &mut Expr, types: &[Ty]) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let mut arguments = take_arguments(function);
        let Some(raw) = string(&arguments[0]).map(str::to_owned) else {
            *expr = call("FORMAT", arguments);
            self.warn("printf with a format that is no literal");
            return Ty::Text;
        };
        let one_fixed =
            raw.strip_prefix("%.").and_then(|rest| rest.strip_suffix('f')).and_then(|n| n.parse::<u32>().ok());
        if let (Some(places), 2) = (one_fixed, arguments.len()) {
            let mut value = arguments.remove(1);
            let ty = self.number_operand(&mut value, types.get(1).copied().unwrap_or_default());
            if ty != Ty::Numeric {
                value = cast(value, numeric());
            }
            *expr = to_text(call("ROUND", vec![value, number(places)]));
            self.did("printf");
            return Ty::Text;
        }
        if !raw.replace("%d", "").replace("%s", "").contains('%') {
            arguments[0] = build::value(Value::SingleQuotedString(raw.replace("%d", "%s")));
            self.did("printf");
        } else {
            let rest = types.get(1..).unwrap_or_default();
            if let Some(found) = self.printf_pieces(&raw, arguments[1..].to_vec(), rest) {
                *expr = found;
                self.did("printf");
                return Ty::Text;
            }
            self.warn("a printf format that PostgreSQL's FORMAT does not know");
        }
        *expr = call("FORMAT", arguments);
        Ty::Text
    }
}
