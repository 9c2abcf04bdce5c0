//! Operators: arithmetic, concatenation, logic and patterns, as each dialect means them.

use sqlparser::ast::{BinaryOperator, DataType, Expr, Function, Value};

use super::build::{self, binary, call, cast, digits, not, number, operand, string, take, to_text};
use super::scope::Scope;
use super::value_type::Ty;
use super::{Rewriter, Source, Stage};

use BinaryOperator as Op;

impl<'s> Rewriter<'s> {
    /// `a AND b`, `a OR b`, `a XOR b`; both sides are conditions already.
    pub fn logical(&mut self, left: Expr, op: Op, right: Expr) -> (Expr, Ty) {
        if op == Op::Xor && self.stage == Stage::ToPostgres {
            self.did("xor");
            return (binary(operand(left), Op::NotEq, operand(right)), Ty::Bool);
        }
        (plain(left, op, right), Ty::Bool)
    }

    /// Any other operator; both sides are rewritten already.
    pub fn binary(&mut self, mut left: Expr, lt: Ty, op: Op, mut right: Expr, rt: Ty) -> (Expr, Ty) {
        if let Stage::FromPostgres(target) = self.stage {
            return self.binary_from_postgres(left, lt, op, right, rt, target);
        }
        match op {
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                if let Some(flag) = self.flag_test(&mut left, lt, &op, &right) {
                    return (flag, Ty::Bool);
                }
                let equality = matches!(op, Op::Eq | Op::NotEq);
                self.align(&mut left, lt, &mut right, rt, equality);
                (plain(left, op, right), Ty::Bool)
            }
            Op::Spaceship => {
                self.align(&mut left, lt, &mut right, rt, true);
                self.did("null-safe-equal");
                (Expr::IsNotDistinctFrom(Box::new(operand(left)), Box::new(operand(right))), Ty::Bool)
            }
            Op::Plus | Op::Minus | Op::Multiply => self.sum(left, lt, op, right, rt),
            Op::Divide => self.divide(left, lt, right, rt),
            Op::MyIntegerDivide | Op::DuckIntegerDivide => {
                self.number_operand(&mut left, lt);
                self.number_operand(&mut right, rt);
                self.did("integer-division");
                let right = self.never_zero(right);
                (call("DIV", vec![build::strip(left), build::strip(right)]), Ty::Int)
            }
            Op::Modulo => {
                let lt = self.number_operand(&mut left, lt);
                let rt = self.number_operand(&mut right, rt);
                for (side, ty) in [(&mut left, lt), (&mut right, rt)] {
                    if ty == Ty::Float {
                        *side = match self.source {
                            Source::Sqlite => {
                                cast(call("TRUNC", vec![build::strip(take(side))]), DataType::BigInt(None))
                            }
                            _ => cast(take(side), numeric()),
                        };
                        self.did("modulo-of-float");
                    }
                }
                let right = self.never_zero(right);
                (plain(left, op, right), lt.number_with(rt))
            }
            Op::StringConcat => self.concat(left, lt, right, rt),
            Op::PGOverlap if self.source != Source::Postgres => self.logical(left, Op::And, right),
            Op::Regexp => {
                self.text_operand(&mut left, lt);
                self.did("regexp");
                let op = if self.source == Source::MySql { Op::PGRegexIMatch } else { Op::PGRegexMatch };
                (plain(left, op, right), Ty::Bool)
            }
            Op::Glob => {
                self.text_operand(&mut left, lt);
                self.glob(left, right)
            }
            Op::BitwiseXor if self.source == Source::MySql => {
                self.did("bitwise-xor");
                (plain(left, Op::PGBitwiseXor, right), Ty::Int)
            }
            Op::BitwiseAnd | Op::BitwiseOr | Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight => {
                self.number_operand(&mut left, lt);
                self.number_operand(&mut right, rt);
                (plain(left, op, right), Ty::Int)
            }
            Op::Arrow | Op::LongArrow => self.json_arrow(left, lt, op, right),
            op => {
                let ty = match op {
                    Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch => Ty::Bool,
                    _ => Ty::Unknown,
                };
                (plain(left, op, right), ty)
            }
        }
    }

    /// `flag = 1` of a condition, or of a BOOLEAN column where its values are known to be 0 and 1.
    fn flag_test(&mut self, left: &mut Expr, lt: Ty, op: &Op, right: &Expr) -> Option<Expr> {
        if lt != Ty::Bool || !matches!(op, Op::Eq | Op::NotEq) {
            return None;
        }
        let wanted = match digits(right)?.as_str() {
            "1" => true,
            "0" => false,
            _ => return None,
        };
        // SQLite's BOOLEAN is a name for a number: a faithful test keeps the number.
        let column = matches!(left, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if column && self.source == Source::Sqlite && !self.idiomatic {
            return None;
        }
        self.did("flag-beside-number");
        let left = take(left);
        Some(if wanted == (*op == Op::Eq) { left } else { not(build::strip(left)) })
    }

    fn sum(&mut self, mut left: Expr, mut lt: Ty, op: Op, mut right: Expr, mut rt: Ty) -> (Expr, Ty) {
        // The difference of two days of the Julian calendar needs no epoch.
        if op == Op::Minus
            && let (Some(a), Some(b)) = (super::dates::days_of(&left), super::dates::days_of(&right))
        {
            let seconds = binary(a, Op::Minus, b);
            let days =
                binary(build::extract(sqlparser::ast::DateTimeField::Epoch, seconds), Op::Divide, number("86400.0"));
            return (build::operand(days), Ty::Numeric);
        }
        if lt == Ty::Interval || rt == Ty::Interval {
            // Text beside an interval is a date and time.
            for (side, ty) in [(&mut left, &mut lt), (&mut right, &mut rt)] {
                if matches!(*ty, Ty::Text | Ty::Loose) || (*ty == Ty::Literal && self.source == Source::MySql) {
                    *side = build::to_timestamp(take(side));
                    *ty = Ty::Timestamp;
                    self.did("text-as-date");
                }
            }
            let ty = match (lt, rt) {
                (Ty::Interval, Ty::Interval) => Ty::Interval,
                (Ty::Date | Ty::Timestamp, _) | (_, Ty::Date | Ty::Timestamp) => Ty::Timestamp,
                _ => Ty::Unknown,
            };
            return (plain(left, op, right), ty);
        }
        let temporal = matches!(lt, Ty::Date | Ty::Timestamp) || matches!(rt, Ty::Date | Ty::Timestamp);
        if !temporal {
            lt = self.number_operand(&mut left, lt);
            rt = self.number_operand(&mut right, rt);
        }
        (plain(left, op, right), lt.number_with(rt))
    }

    fn divide(&mut self, mut left: Expr, lt: Ty, mut right: Expr, rt: Ty) -> (Expr, Ty) {
        let lt = self.number_operand(&mut left, lt);
        let rt = self.number_operand(&mut right, rt);
        let mut ty = lt.number_with(rt);
        let right = self.never_zero(right);
        match self.source {
            Source::MySql if !matches!(ty, Ty::Float | Ty::Numeric) => {
                left = cast(left, DataType::DoublePrecision);
                ty = Ty::Float;
                self.did("true-division");
            }
            _ => {}
        }
        (plain(left, Op::Divide, right), ty)
    }

    /// A divisor that is NULL instead of zero, as the sources have it.
    fn never_zero(&mut self, divisor: Expr) -> Expr {
        let is_zero = |digits: &str| digits.parse::<f64>().is_ok_and(|value| value == 0.0);
        let is_nullif = matches!(&divisor, Expr::Function(f) if build::function_name(f) == "NULLIF");
        if is_nullif || self.source == Source::Postgres || digits(&divisor).is_some_and(|digits| !is_zero(&digits)) {
            return divisor;
        }
        self.did("division-by-zero");
        call("NULLIF", vec![build::strip(divisor), number(0)])
    }

    fn concat(&mut self, mut left: Expr, mut lt: Ty, mut right: Expr, mut rt: Ty) -> (Expr, Ty) {
        for (ty, side) in [(&mut lt, &mut left), (&mut rt, &mut right)] {
            if *ty == Ty::Bool {
                *ty = self.number_operand(side, *ty);
                *side = operand(take(side));
            }
        }
        let parts = [(lt, &mut left), (rt, &mut right)];
        if !parts.iter().any(|(ty, _)| matches!(ty, Ty::Text | Ty::Literal)) {
            // One side must be text for PostgreSQL to see a concatenation.
            for (ty, side) in parts {
                if ty.needs_text_cast() {
                    self.text_operand(side, ty);
                    self.did("concatenation-of-numbers");
                    break;
                }
            }
        }
        (plain(left, Op::StringConcat, right), Ty::Text)
    }

    /// SQLite's GLOB: LIKE where `*` and `?` are all there is, else a regular expression.
    fn glob(&mut self, left: Expr, right: Expr) -> (Expr, Ty) {
        self.did("glob");
        let Some(raw) = string(&right) else {
            self.warn("GLOB with a pattern that is no literal");
            return (plain(left, Op::Glob, right), Ty::Bool);
        };
        // Converted again, LIKE would be taken for SQLite's, which is blind to case.
        if !self.idiomatic || raw.contains(['[', ']']) {
            let pattern = build::value(Value::SingleQuotedString(super::mend::glob_as_regex(raw)));
            return (plain(left, Op::PGRegexMatch, pattern), Ty::Bool);
        }
        let mut pattern = String::with_capacity(raw.len());
        for c in raw.chars() {
            match c {
                '*' => pattern.push('%'),
                '?' => pattern.push('_'),
                '%' | '_' | '\\' => pattern.extend(['\\', c]),
                c => pattern.push(c),
            }
        }
        (like(left, build::value(Value::SingleQuotedString(pattern))), Ty::Bool)
    }

    /// LIKE, ILIKE, RLIKE, SIMILAR TO.
    pub fn pattern(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let (Expr::Like { expr: subject, pattern, .. }
        | Expr::ILike { expr: subject, pattern, .. }
        | Expr::RLike { expr: subject, pattern, .. }
        | Expr::SimilarTo { expr: subject, pattern, .. }) = expr
        else {
            return Ty::Bool;
        };
        let bytes = [&*subject, &*pattern].into_iter().any(|side| match &**side {
            Expr::Cast { data_type: DataType::Binary(None), .. } => self.source == Source::MySql,
            _ => false,
        });
        let ty = self.part(subject, scope);
        self.string_hint(pattern, scope);
        let pattern_type = self.part(pattern, scope);
        if let Stage::FromPostgres(target) = self.stage {
            self.pattern_from_postgres(expr, target);
            return Ty::Bool;
        }
        if ty.needs_text_cast() {
            self.text_operand(subject, ty);
            self.did("pattern-on-number");
        }
        if pattern_type.is_number() {
            **pattern = match digits(pattern) {
                Some(digits) => build::text(&digits),
                None => to_text(take(pattern)),
            };
            self.did("pattern-on-number");
        }
        if self.source == Source::Postgres {
            return Ty::Bool;
        }
        match expr {
            Expr::Like { negated, any, expr: subject, pattern, escape_char } => {
                let raw = string(pattern);
                if self.source == Source::Sqlite && escape_char.is_none() && raw.is_some_and(|raw| raw.contains('\\')) {
                    // Only PostgreSQL reads a backslash as an escape here.
                    *escape_char = Some(Box::new(build::text("")));
                    self.did("like-escape");
                }
                if bytes || self.idiomatic && raw.is_some_and(|raw| !raw.chars().any(char::is_alphabetic)) {
                    return Ty::Bool;
                }
                *expr = Expr::ILike {
                    negated: *negated,
                    any: *any,
                    expr: Box::new(take(subject)),
                    pattern: Box::new(take(pattern)),
                    escape_char: escape_char.take(),
                };
                self.did("like-ignores-case");
            }
            Expr::RLike { negated, expr: subject, pattern, .. } => {
                let op = if *negated { Op::PGRegexNotIMatch } else { Op::PGRegexIMatch };
                *expr = plain(operand(take(subject)), op, operand(take(pattern)));
                self.did("regexp");
            }
            _ => {}
        }
        Ty::Bool
    }

    /// `IS [NOT] DISTINCT FROM` where the target has other words for it.
    pub fn distinct_from(&mut self, expr: &mut Expr) -> Ty {
        if let Stage::FromPostgres(target) = self.stage {
            self.distinct_from_postgres(expr, target);
        }
        Ty::Bool
    }

    /// `x -> '$.a[0]'`: PostgreSQL walks down key by key.
    fn json_arrow(&mut self, left: Expr, lt: Ty, op: Op, right: Expr) -> (Expr, Ty) {
        let ty = if op == Op::LongArrow { Ty::Text } else { Ty::Other };
        let Some(keys) = string(&right).and_then(json_path) else {
            // A key or an index alone: PostgreSQL has that, but not on text.
            let left = match lt {
                Ty::Text | Ty::Literal => {
                    self.did("json-path");
                    cast(left, DataType::JSON)
                }
                _ => left,
            };
            return (plain(left, op, right), ty);
        };
        self.did("json-path");
        let left = if lt == Ty::Text { cast(left, DataType::JSON) } else { left };
        let name = if op == Op::LongArrow { "JSON_EXTRACT_PATH_TEXT" } else { "JSON_EXTRACT_PATH" };
        (call(name, std::iter::once(left).chain(keys.iter().map(|key| build::text(key))).collect()), ty)
    }
}

/// The keys of a path such as `$.a[0].b`.
pub(super) fn json_path(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('$')?;
    let mut keys = Vec::new();
    for part in path.split('.').skip(usize::from(path.starts_with('.'))) {
        let (key, indexes) = part.split_once('[').map_or((part, ""), |(key, indexes)| (key, indexes));
        if !key.is_empty() {
            keys.push(key.trim_matches('"').to_owned());
        }
        for index in indexes.split('[').filter(|index| !index.is_empty()) {
            keys.push(index.strip_suffix(']')?.to_owned());
        }
    }
    Some(keys)
}

/// `left op right` as it was: brackets are where the source had them.
pub(super) fn plain(left: Expr, op: Op, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn like(left: Expr, pattern: Expr) -> Expr {
    Expr::Like { negated: false, any: false, expr: Box::new(left), pattern: Box::new(pattern), escape_char: None }
}

fn numeric() -> DataType {
    DataType::Numeric(sqlparser::ast::ExactNumberInfo::None)
}

/// Whether a call is one of these.
pub(super) fn is_call(expr: &Expr, names: &[&str]) -> bool {
    matches!(expr, Expr::Function(function) if is_named(function, names))
}

fn is_named(function: &Function, names: &[&str]) -> bool {
    names.contains(&build::function_name(function).as_str())
}
