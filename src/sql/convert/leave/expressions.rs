//! Operators and literals for MySQL, SQLite and Oracle.

use sqlparser::ast::{BinaryOperator, DataType, Expr, TrimWhereField, UnaryOperator, Value};

use crate::sql::convert::build::{self, binary, call, not, number, operand, string, take};
use crate::sql::convert::compare::is_leading_number;
use crate::sql::convert::operators::plain;
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::{Rewriter, Target};

use BinaryOperator as Op;

impl Rewriter<'_> {
    /// An operator that the target lacks or means differently.
    pub fn binary_from_postgres(
        &mut self,
        left: Expr,
        lt: Ty,
        op: Op,
        right: Expr,
        rt: Ty,
        target: Target,
    ) -> (Expr, Ty) {
        let ty = match op {
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => Ty::Bool,
            Op::StringConcat => Ty::Text,
            Op::Plus | Op::Minus if lt == Ty::Interval || rt == Ty::Interval => Ty::Timestamp,
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => lt.number_with(rt),
            _ => Ty::Unknown,
        };
        if let Some(found) = self.dates_apart(&left, lt, &op, &right, rt, target) {
            let ty = if lt == Ty::Date && rt == Ty::Date { Ty::Int } else { Ty::Timestamp };
            return (found, ty);
        }
        let found = match (op, target) {
            (Op::StringConcat, Target::MySql) => {
                self.did("concat");
                let mut arguments = match left {
                    Expr::Function(mut function) if build::function_name(&function) == "CONCAT" => {
                        build::take_arguments(&mut function)
                    }
                    left => vec![build::strip(left)],
                };
                arguments.push(build::strip(right));
                call("CONCAT", arguments)
            }
            (Op::Divide, Target::MySql) if lt == Ty::Int && rt == Ty::Int => {
                self.did("integer-division");
                plain(left, Op::MyIntegerDivide, right)
            }
            (Op::Divide, Target::Oracle) if lt == Ty::Int && rt == Ty::Int => {
                self.did("integer-division");
                call("TRUNC", vec![plain(left, Op::Divide, right)])
            }
            (Op::Divide, Target::Oracle) if is_double(&left) => {
                // Oracle's division is never one of integers.
                let Expr::Cast { expr, .. } = left else { return (plain(left, Op::Divide, right), ty) };
                self.did("true-division");
                plain(operand(*expr), Op::Divide, right)
            }
            (Op::Modulo, Target::Oracle) => {
                self.did("modulo");
                call("MOD", vec![build::strip(left), build::strip(right)])
            }
            (op @ (Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch), target) => {
                self.did("regexp");
                let negated = matches!(op, Op::PGRegexNotMatch | Op::PGRegexNotIMatch);
                let matched = match target {
                    Target::Sqlite => {
                        let blind = matches!(op, Op::PGRegexIMatch | Op::PGRegexNotIMatch);
                        let pattern = match string(&right) {
                            Some(raw) if blind => build::value(Value::SingleQuotedString(format!("(?i){raw}"))),
                            _ => right,
                        };
                        plain(left, Op::Regexp, pattern)
                    }
                    _ => {
                        let mut arguments = vec![left, right];
                        if matches!(op, Op::PGRegexIMatch | Op::PGRegexNotIMatch) {
                            arguments.push(build::text("i"));
                        } else if target == Target::MySql {
                            arguments.push(build::text("c"));
                        }
                        call("REGEXP_LIKE", arguments)
                    }
                };
                return (if negated { not(matched) } else { matched }, Ty::Bool);
            }
            (Op::PGILikeMatch, _) => {
                self.did("like-operators");
                lower_like(left, right, false, None)
            }
            (Op::PGNotILikeMatch, _) => {
                self.did("like-operators");
                lower_like(left, right, true, None)
            }
            (op @ (Op::PGLikeMatch | Op::PGNotLikeMatch), _) => {
                self.did("like-operators");
                let negated = op == Op::PGNotLikeMatch;
                let (expr, pattern) = (Box::new(left), Box::new(right));
                Expr::Like { negated, any: false, expr, pattern, escape_char: None }
            }
            (op @ (Op::Arrow | Op::LongArrow), target) => {
                let path = string(&right)
                    .map(|key| format!("$.{key}"))
                    .or_else(|| build::digits(&right).map(|at| format!("$[{at}]")));
                match (path, target) {
                    (Some(path), _) if string(&right).is_some_and(|key| key.starts_with('$')) => {
                        drop(path);
                        plain(left, op, right)
                    }
                    (Some(path), Target::Sqlite) => {
                        self.did("json-path");
                        plain(left, op, build::text(&path))
                    }
                    (Some(path), Target::MySql)
                        if op == Op::LongArrow && matches!(left, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
                    {
                        self.did("json-path");
                        plain(left, op, build::text(&path))
                    }
                    (Some(path), _) => {
                        self.did("json-path");
                        let found = call("JSON_EXTRACT", vec![left, build::text(&path)]);
                        match (op, target) {
                            (Op::LongArrow, Target::MySql) => call("JSON_UNQUOTE", vec![found]),
                            _ => found,
                        }
                    }
                    _ => plain(left, op, right),
                }
            }
            (op @ (Op::Plus | Op::Minus), Target::Sqlite) if matches!(right, Expr::Interval(_)) => {
                match self.shift_in_sqlite(left.clone(), &op, &right) {
                    Some(found) => found,
                    None => {
                        self.warn("an interval that is no plain literal");
                        plain(left, op, right)
                    }
                }
            }
            (op @ (Op::Plus | Op::Minus), Target::MySql | Target::Oracle) if parts_of(&right).is_some() => {
                self.did("interval-literal");
                let parts = parts_of(&right).unwrap_or_default();
                parts.into_iter().fold(left, |moment, (amount, unit)| {
                    let mut span = build::interval(&format!("{amount} {unit}"));
                    self.interval_from_postgres(&mut span, target);
                    plain(moment, op.clone(), span)
                })
            }
            (op @ (Op::Plus | Op::Minus), Target::MySql) if matches!(&right, Expr::Function(f) if build::function_name(f) == "MAKE_INTERVAL") => {
                self.make_interval(left, &op, right)
            }
            (op @ (Op::HashArrow | Op::HashLongArrow), target) => {
                let keys = super::lacking::array_items(&right);
                match keys {
                    Some(keys) => {
                        self.did("json-path");
                        let mut path = String::from("$");
                        for key in &keys {
                            match (build::digits(key), string(key)) {
                                (Some(at), _) => path.push_str(&format!("[{at}]")),
                                (_, Some(key)) => path.push_str(&format!(".{key}")),
                                _ => {}
                            }
                        }
                        let found = call("JSON_EXTRACT", vec![left, build::text(&path)]);
                        match (op, target) {
                            (Op::HashLongArrow, Target::MySql) => call("JSON_UNQUOTE", vec![found]),
                            _ => found,
                        }
                    }
                    None => plain(left, op, right),
                }
            }
            (Op::Question, Target::MySql | Target::Sqlite) if string(&right).is_some() => {
                self.did("json-functions");
                let path = build::text(&format!("$.{}", string(&right).unwrap_or_default()));
                match target {
                    Target::MySql => call("JSON_CONTAINS_PATH", vec![left, build::text("one"), path]),
                    _ => Expr::IsNotNull(Box::new(call("JSON_TYPE", vec![left, path]))),
                }
            }
            (Op::AtArrow, Target::MySql) => {
                self.did("json-functions");
                call("JSON_CONTAINS", vec![left, right])
            }
            (Op::PGBitwiseXor, Target::Sqlite) => {
                self.did("bitwise-xor");
                let both = plain(left.clone(), Op::BitwiseAnd, right.clone());
                let any = plain(left, Op::BitwiseOr, right);
                operand(plain(operand(any), Op::Minus, operand(both)))
            }
            (Op::PGBitwiseXor, Target::MySql) => {
                self.did("bitwise-xor");
                plain(left, Op::BitwiseXor, right)
            }
            (Op::PGExp, _) => {
                self.did("power");
                call("POWER", vec![build::strip(left), build::strip(right)])
            }
            (op, _) => plain(left, op, right),
        };
        (found, ty)
    }

    fn make_interval(&mut self, left: Expr, op: &Op, right: Expr) -> Expr {
        use sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments, Interval};
        let Expr::Function(function) = &right else { return plain(left, op.clone(), right) };
        let FunctionArguments::List(list) = &function.args else { return plain(left, op.clone(), right) };
        let mut result = left;
        for argument in &list.args {
            let (name, amount) = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(amount), .. } => (name.value.clone(), amount),
                FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(amount), .. } => (name.to_string(), amount),
                _ => return plain(result, op.clone(), right.clone()),
            };
            let Some(field) = super::dates::field_of(&name) else {
                return plain(result, op.clone(), right.clone());
            };
            let span = Expr::Interval(Interval {
                value: Box::new(amount.clone()),
                leading_field: Some(field),
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            });
            result = plain(result, op.clone(), span);
        }
        self.did("interval-literal");
        result
    }

    /// LIKE is blind to case in MySQL and SQLite, ILIKE is only PostgreSQL's.
    pub fn pattern_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        if let (Target::Sqlite, Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) =
            (target, &mut *expr)
        {
            // SQLite has no escape unless it is told one.
            let none = escape_char.as_deref().and_then(string) == Some("");
            let escapes = escape_char.is_none() && string(pattern).is_some_and(|raw| raw.contains('\\'));
            if none || escapes {
                *escape_char = escapes.then(|| Box::new(build::text("\\")));
                self.did("like-escape");
            }
        }
        match expr {
            Expr::ILike { negated, expr: subject, pattern, escape_char, .. } => {
                let (negated, escape) = (*negated, escape_char.take());
                *expr = lower_like(take(subject), take(pattern), negated, escape);
                self.did("ilike");
            }
            Expr::SimilarTo { .. } => self.warn("SIMILAR TO has no equivalent"),
            _ => {}
        }
    }

    /// IS NOT DISTINCT FROM.
    pub fn distinct_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        let negated = matches!(expr, Expr::IsDistinctFrom(..));
        let (Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right)) = expr else { return };
        let (left, right) = (take(left), take(right));
        *expr = match target {
            Target::MySql => {
                let equal = plain(left, Op::Spaceship, right);
                if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(equal) } } else { equal }
            }
            Target::Sqlite => {
                let op = if negated { "IS NOT" } else { "IS" };
                plain(left, Op::Custom(op.to_owned()), operand(right))
            }
            _ => {
                let decode = call("DECODE", vec![left, right, number(1), number(0)]);
                binary(decode, Op::Eq, number(u8::from(!negated)))
            }
        };
        self.did("null-safe-equal");
    }

    /// SUBSTRING for targets that have only SUBSTR.
    pub fn substring_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        if is_leading_number(expr) && target != Target::Oracle {
            // A cast takes the number at the beginning of a text there.
            let Expr::Substring { expr: inner, .. } = expr else { return };
            *expr = take(inner);
            self.did("leading-number");
            return;
        }
        let Expr::Substring { expr: inner, substring_from, substring_for, .. } = expr else { return };
        // SUBSTRING(x FROM 'pattern')
        if substring_for.is_none() && substring_from.as_deref().is_some_and(|from| string(from).is_some()) {
            if target == Target::Sqlite {
                self.warn("SQLite has no SUBSTRING by a pattern");
                return;
            }
            let pattern = substring_from.take().map_or_else(build::null, |from| *from);
            *expr = call("REGEXP_SUBSTR", vec![take(inner), pattern]);
            self.did("regexp");
            return;
        }
        if target == Target::MySql {
            return;
        }
        let mut arguments = vec![take(inner)];
        arguments.push(substring_from.take().map_or_else(|| number(1), |from| *from));
        arguments.extend(substring_for.take().map(|length| *length));
        *expr = call("SUBSTR", arguments);
        self.did("renamed-functions");
    }

    /// TRIM with words: SQLite has TRIM(x, y) and one function per side.
    pub fn trim_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        let Expr::Trim { trim_where, trim_what, expr: inner, .. } = expr else { return };
        if target != Target::Sqlite || (trim_where.is_none() && trim_what.is_none()) {
            return;
        }
        let name = match trim_where {
            Some(TrimWhereField::Leading) => "LTRIM",
            Some(TrimWhereField::Trailing) => "RTRIM",
            _ => "TRIM",
        };
        let mut arguments = vec![take(inner)];
        arguments.extend(trim_what.take().map(|what| *what));
        *expr = call(name, arguments);
        self.did("renamed-functions");
    }

    /// Literals that the target writes differently.
    pub fn literal_from_postgres(&mut self, literal: &mut Value, target: Target) {
        match literal {
            Value::Boolean(value) if target == Target::Oracle => {
                *literal = Value::Number(u8::from(*value).to_string(), false);
                self.did("boolean-literals");
            }
            Value::EscapedStringLiteral(text) => {
                let raw = if target == Target::MySql {
                    text.replace('\\', "\\\\")
                        .replace('\'', "''")
                        .replace('\t', "\\t")
                        .replace('\n', "\\n")
                        .replace('\r', "\\r")
                } else {
                    text.replace('\'', "''")
                };
                *literal = Value::SingleQuotedString(raw);
                self.did("escaped-strings");
            }
            Value::SingleQuotedString(text) if target == Target::MySql && text.contains('\\') => {
                *text = text.replace('\\', "\\\\");
                self.did("escaped-strings");
            }
            Value::UnicodeStringLiteral(text) => {
                *literal = Value::SingleQuotedString(text.replace('\'', "''"));
                self.did("escaped-strings");
            }
            Value::DollarQuotedString(text) => {
                *literal = Value::SingleQuotedString(text.value.replace('\'', "''"));
                self.did("escaped-strings");
            }
            Value::HexStringLiteral(hex) if target == Target::Oracle => {
                if let Ok(found) = i64::from_str_radix(hex, 16) {
                    *literal = Value::Number(found.to_string(), false);
                    self.did("hexadecimal-numbers");
                }
            }
            Value::SingleQuotedByteStringLiteral(bits) if target == Target::Oracle => {
                if let Ok(found) = i64::from_str_radix(bits, 2) {
                    *literal = Value::Number(found.to_string(), false);
                    self.did("binary-numbers");
                }
            }
            _ => {}
        }
    }
}

/// The parts of an interval of several, such as `1 year 2 months`.
fn parts_of(expr: &Expr) -> Option<Vec<(String, String)>> {
    let Expr::Interval(literal) = expr else { return None };
    string(&literal.value)
        .filter(|_| literal.leading_field.is_none())
        .and_then(super::dates::amounts)
        .filter(|p| p.len() > 1)
}

fn is_double(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast { data_type: DataType::DoublePrecision, .. })
}

fn lower_like(left: Expr, pattern: Expr, negated: bool, escape_char: Option<Box<Expr>>) -> Expr {
    Expr::Like {
        negated,
        any: false,
        expr: Box::new(call("LOWER", vec![left])),
        pattern: Box::new(call("LOWER", vec![pattern])),
        escape_char,
    }
}
