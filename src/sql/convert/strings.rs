//! Functions of text, numbers as text and JSON, and the odd ones that PostgreSQL says in several words.

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Subscript,
};

use super::build::{self, binary, call, case, cast, digits, keyword, number, string, take, take_arguments, to_text};
use super::dates::numeric;
use super::value_type::Ty;
use super::{Rewriter, Source};

use BinaryOperator as Op;

/// A number with commas between thousands, as far as 64 bits go.
const THOUSANDS: &str = "FM9,999,999,999,999,999,990";

impl Rewriter<'_> {
    /// One of these functions; none: it is another. The arguments are rewritten already and have these types.
    pub(super) fn odd_call(&mut self, expr: &mut Expr, name: &str, types: &[Ty]) -> Option<Ty> {
        let Expr::Function(function) = expr else { return None };
        let count = build::arguments(function)?.len();
        let first = types.first().copied().unwrap_or_default();
        let mysql = self.source == Source::MySql;
        let (found, ty, rule) = match (name, count) {
            ("HEX", 1) if !(first == Ty::Unknown && mysql) => {
                let argument = take_arguments(function).remove(0);
                let hex = match first {
                    Ty::Int | Ty::Numeric | Ty::Float if mysql => call("TO_HEX", vec![argument]),
                    Ty::Blob => call("ENCODE", vec![argument, build::text("hex")]),
                    ty => call("ENCODE", vec![bytes(argument, ty), build::text("hex")]),
                };
                (call("UPPER", vec![hex]), Ty::Text, "hexadecimal-text")
            }
            ("UNHEX", 1) => {
                let argument = take_arguments(function).remove(0);
                (call("DECODE", vec![argument, build::text("hex")]), Ty::Blob, "hexadecimal-text")
            }
            ("BIN", 1) => (binary_digits(take_arguments(function).remove(0)), Ty::Text, "number-bases"),
            ("BIT_COUNT", 1) => {
                let argument = take_arguments(function).remove(0);
                (call("BIT_COUNT", vec![cast(argument, DataType::Bit(Some(64)))]), Ty::Int, "bit-count")
            }
            ("CONV", 3) => (other_base(function, first)?, Ty::Text, "number-bases"),
            ("ELT", 2..) => {
                let mut items = take_arguments(function);
                let index = items.remove(0);
                (element(Array { elem: items, named: true }, index), Ty::Text, "elt")
            }
            ("STRCMP", 2) => {
                let mut arguments = take_arguments(function);
                let (b, a) = (arguments.remove(1), arguments.remove(0));
                let is = |op: Op| binary(a.clone(), op, b.clone());
                let equal = case(is(Op::Eq), number(0), None);
                let found = case(is(Op::Lt), number(-1), Some(case(is(Op::Gt), number(1), Some(equal))));
                (found, Ty::Int, "strcmp")
            }
            ("CHAR", 2..) => {
                let letters = take_arguments(function).into_iter().map(|code| call("CHR", vec![code]));
                let joined = letters.reduce(|a, b| binary(a, Op::StringConcat, b))?;
                (joined, Ty::Text, "renamed-functions")
            }
            ("INSERT", 4) => {
                let mut arguments = take_arguments(function);
                let mut next = || Box::new(arguments.remove(0));
                let (expr, from, length, what) = (next(), next(), next(), next());
                let found = Expr::Overlay { expr, overlay_what: what, overlay_from: from, overlay_for: Some(length) };
                (found, Ty::Text, "renamed-functions")
            }
            ("FORMAT", 2 | 3) if mysql => {
                let mut arguments = take_arguments(function);
                let Some(places) = digits(&arguments[1]).and_then(|places| places.parse::<usize>().ok()) else {
                    *expr = call("FORMAT", arguments);
                    self.warn("FORMAT with a number of places that is no literal");
                    return Some(Ty::Text);
                };
                let mut value = arguments.remove(0);
                if !matches!(self.number_operand(&mut value, first), Ty::Int | Ty::Numeric) {
                    value = cast(value, numeric());
                }
                let places = if places == 0 { String::new() } else { format!(".{}", "0".repeat(places.min(30))) };
                (call("TO_CHAR", vec![value, build::text(&format!("{THOUSANDS}{places}"))]), Ty::Text, "number-format")
            }
            ("SHA2", 2) => {
                let mut arguments = take_arguments(function);
                let length = digits(&arguments[1]).unwrap_or_default();
                let wanted = match length.as_str() {
                    "0" | "256" => "SHA256",
                    "224" => "SHA224",
                    "384" => "SHA384",
                    "512" => "SHA512",
                    _ => {
                        *expr = call("SHA2", arguments);
                        self.warn("SHA2 of this length");
                        return Some(Ty::Text);
                    }
                };
                let hashed = call(wanted, vec![bytes(arguments.remove(0), first)]);
                (call("ENCODE", vec![hashed, build::text("hex")]), Ty::Text, "hashes")
            }
            ("QUOTE", 1) => {
                let argument = take_arguments(function).remove(0);
                (call("QUOTE_NULLABLE", vec![argument]), Ty::Text, "renamed-functions")
            }
            ("REGEXP_REPLACE", 3) if mysql => {
                let mut arguments = take_arguments(function);
                if let Some(raw) = string(&arguments[2]) {
                    arguments[2] = build::value(sqlparser::ast::Value::SingleQuotedString(raw.replace('$', "\\")));
                }
                let flags = if self.has_schema() && !self.idiomatic { "gi" } else { "g" };
                arguments.push(build::text(flags));
                (call(name, arguments), Ty::Text, "regexp")
            }
            ("REGEXP_SUBSTR", 2) if mysql && self.has_schema() && !self.idiomatic => {
                let mut arguments = take_arguments(function);
                arguments.extend([number(1), number(1), build::text("i")]);
                (call(name, arguments), Ty::Text, "regexp")
            }
            ("REGEXP_LIKE", 3) if mysql => {
                let mut arguments = take_arguments(function);
                let exact = string(&arguments[2]).is_some_and(|flags| flags.contains('c'));
                let op = if exact { Op::PGRegexMatch } else { Op::PGRegexIMatch };
                let pattern = arguments.remove(1);
                (binary(arguments.remove(0), op, pattern), Ty::Bool, "regexp")
            }
            ("JSON_UNQUOTE", 1) => {
                let mut argument = take_arguments(function).remove(0);
                let path = matches!(&argument, Expr::Function(f) if build::function_name(f) == "JSON_EXTRACT_PATH");
                let found = match &mut argument {
                    Expr::Function(inner) if path => {
                        build::rename(inner, "JSON_EXTRACT_PATH_TEXT");
                        argument
                    }
                    _ => binary(as_json(argument, first, DataType::JSON), Op::HashLongArrow, build::text("{}")),
                };
                (found, Ty::Text, "json-functions")
            }
            ("JSON_LENGTH" | "JSON_ARRAY_LENGTH", 1) => {
                let argument = take_arguments(function).remove(0);
                (call("JSON_ARRAY_LENGTH", vec![as_json(argument, first, DataType::JSON)]), Ty::Int, "json-functions")
            }
            ("JSON_CONTAINS", 2) => {
                let mut arguments =
                    take_arguments(function).into_iter().map(|argument| cast(argument, DataType::JSONB));
                let (whole, part) = (arguments.next()?, arguments.next()?);
                (binary(whole, Op::AtArrow, part), Ty::Bool, "json-functions")
            }
            ("JSON_TYPE", 1) => {
                let argument = as_json(take_arguments(function).remove(0), first, DataType::JSON);
                let found = call("JSON_TYPEOF", vec![argument]);
                self.warn("JSON_TYPEOF has PostgreSQL's names of types");
                (if mysql { call("UPPER", vec![found]) } else { found }, Ty::Text, "json-functions")
            }
            ("ANY_VALUE", 1) if self.has_schema() => {
                let argument = take_arguments(function).remove(0);
                let found = match first {
                    Ty::Bool | Ty::Other | Ty::Unknown | Ty::Blob => {
                        let all = call("ARRAY_AGG", vec![argument]);
                        subscript(all, number(1))
                    }
                    _ => call("MIN", vec![argument]),
                };
                (found, first, "any-value")
            }
            ("USER" | "CURRENT_USER" | "SESSION_USER" | "SYSTEM_USER", 0)
                if !matches!(function.args, FunctionArguments::None) =>
            {
                (keyword(if name == "SESSION_USER" { name } else { "CURRENT_USER" }), Ty::Text, "renamed-functions")
            }
            ("CURRENT_TIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIME" | "LOCALTIMESTAMP", 0)
                if !matches!(function.args, FunctionArguments::None) =>
            {
                let ty = match name {
                    "CURRENT_DATE" => Ty::Date,
                    "CURRENT_TIME" => Ty::Time,
                    _ => Ty::Timestamp,
                };
                (keyword(name), ty, "renamed-functions")
            }
            ("NOW" | "SYSDATE", 1) => {
                build::rename(function, "CURRENT_TIMESTAMP");
                self.did("renamed-functions");
                return Some(Ty::Timestamp);
            }
            ("CONNECTION_ID", 0) => (call("PG_BACKEND_PID", vec![]), Ty::Int, "renamed-functions"),
            ("SLEEP", 1) => (call("PG_SLEEP", take_arguments(function)), Ty::Unknown, "renamed-functions"),
            ("ATAN", 2) => (call("ATAN2", take_arguments(function)), Ty::Float, "renamed-functions"),
            ("LIKELY" | "UNLIKELY", 1) | ("LIKELIHOOD", 2) => {
                (take_arguments(function).remove(0), first, "planner-hints-dropped")
            }
            ("RAND", 1) => {
                self.warn("RAND with a seed gives other numbers");
                (call("RANDOM", vec![]), Ty::Float, "renamed-functions")
            }
            ("TYPEOF", 1) if kind_name(first).is_some() => {
                let argument = take_arguments(function).remove(0);
                let kind = build::text(kind_name(first)?);
                (
                    case(Expr::IsNull(Box::new(build::operand(argument))), build::text("null"), Some(kind)),
                    Ty::Text,
                    "typeof",
                )
            }
            _ => return None,
        };
        *expr = found;
        self.did(rule);
        Some(ty)
    }

    /// `COUNT(DISTINCT a, b)`: rows in which none of them is NULL.
    pub(super) fn count_of_several(&mut self, function: &mut Function) -> Ty {
        let arguments = take_arguments(function);
        let null_first = arguments.iter().rev().fold(Expr::Tuple(arguments.clone()), |other, argument| {
            let is_null = Expr::IsNull(Box::new(build::operand(argument.clone())));
            match other {
                Expr::Case { case_token, end_token, operand, mut conditions, else_result } => {
                    conditions.insert(0, sqlparser::ast::CaseWhen { condition: is_null, result: build::null() });
                    Expr::Case { case_token, end_token, operand, conditions, else_result }
                }
                row => case(is_null, build::null(), Some(row)),
            }
        });
        if let FunctionArguments::List(list) = &mut function.args {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(null_first))];
        }
        self.did("count-of-several");
        Ty::Int
    }

    /// SQLite's printf, piece by piece; none: it has a code that nothing here says.
    pub(super) fn printf_pieces(&mut self, format: &str, arguments: Vec<Expr>, types: &[Ty]) -> Option<Expr> {
        let mut arguments = arguments.into_iter().zip(types.iter().copied().chain(std::iter::repeat(Ty::Unknown)));
        let mut pieces: Vec<Expr> = Vec::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            let (before, behind) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(raw_text(before));
            }
            let spec = &behind[1..];
            let flags = &spec[..spec.len() - spec.trim_start_matches(['-', '0', '+', ' ', ',']).len()];
            let sized = &spec[flags.len()..];
            let width = &sized[..sized.len() - sized.trim_start_matches(|c: char| c.is_ascii_digit()).len()];
            let sized = &sized[width.len()..];
            let (precision, sized) = match sized.strip_prefix('.') {
                Some(more) => {
                    let length = more.len() - more.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                    (Some(more[..length].parse::<usize>().unwrap_or(0)), &more[length..])
                }
                None => (None, sized),
            };
            let code = sized.chars().next()?;
            rest = &sized[code.len_utf8()..];
            if code == '%' {
                pieces.push(raw_text("%"));
                continue;
            }
            let (value, ty) = arguments.next()?;
            let piece = self.printf_piece(value, ty, code, precision, flags)?;
            pieces.push(match width.parse::<usize>() {
                Ok(width) if width > 0 => padded(piece, width, flags),
                _ => piece,
            });
        }
        if !rest.is_empty() {
            pieces.push(raw_text(rest));
        }
        pieces.into_iter().reduce(|a, b| binary(a, Op::StringConcat, b))
    }

    fn printf_piece(
        &mut self,
        mut value: Expr,
        ty: Ty,
        code: char,
        precision: Option<usize>,
        flags: &str,
    ) -> Option<Expr> {
        if flags.contains(['+', ' ']) {
            return None;
        }
        Some(match code {
            'd' | 'i' | 'u' => {
                let ty = self.number_operand(&mut value, ty);
                if matches!(ty, Ty::Float | Ty::Numeric) {
                    value = cast(call("TRUNC", vec![value]), DataType::BigInt(None));
                }
                let value = build::coalesce(value, number(0));
                match flags.contains(',') {
                    true => call("TO_CHAR", vec![value, build::text(THOUSANDS)]),
                    false => to_text(value),
                }
            }
            'f' => {
                if self.number_operand(&mut value, ty) != Ty::Numeric {
                    value = cast(value, numeric());
                }
                let places = precision.unwrap_or(6);
                let value = build::coalesce(value, number(0));
                match flags.contains(',') {
                    true => {
                        let places = if places == 0 { String::new() } else { format!(".{}", "0".repeat(places)) };
                        call("TO_CHAR", vec![value, build::text(&format!("{THOUSANDS}{places}"))])
                    }
                    false => to_text(call("ROUND", vec![value, number(places)])),
                }
            }
            's' => {
                if ty != Ty::Text && ty != Ty::Literal {
                    value = to_text(value);
                }
                let value = build::coalesce(value, build::text(""));
                match precision {
                    Some(length) => call("LEFT", vec![value, number(length)]),
                    None => value,
                }
            }
            'x' => call("TO_HEX", vec![value]),
            'X' => call("UPPER", vec![call("TO_HEX", vec![value])]),
            _ => return None,
        })
    }
}

/// A string whose quotes are doubled already.
fn raw_text(raw: &str) -> Expr {
    build::value(sqlparser::ast::Value::SingleQuotedString(raw.to_owned()))
}

/// Text filled up to a width; it is never cut.
fn padded(piece: Expr, width: usize, flags: &str) -> Expr {
    let (name, fill) = match (flags.contains('-'), flags.contains('0')) {
        (true, _) => ("RPAD", " "),
        (_, true) => ("LPAD", "0"),
        _ => ("LPAD", " "),
    };
    let length = call("GREATEST", vec![number(width), call("LENGTH", vec![piece.clone()])]);
    call(name, vec![piece, length, build::text(fill)])
}

/// The bytes of a value's text.
fn bytes(value: Expr, ty: Ty) -> Expr {
    let value = if ty.needs_text_cast() { to_text(value) } else { value };
    call("CONVERT_TO", vec![value, build::text("UTF8")])
}

/// A value as JSON; a literal takes the type by itself.
fn as_json(value: Expr, ty: Ty, wanted: DataType) -> Expr {
    if ty == Ty::Text || (ty == Ty::Literal && wanted == DataType::JSON) { cast(value, wanted) } else { value }
}

fn element(array: Array, index: Expr) -> Expr {
    subscript(Expr::Array(array), index)
}

fn subscript(array: Expr, index: Expr) -> Expr {
    Expr::CompoundFieldAccess {
        root: Box::new(Expr::Nested(Box::new(array))),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
    }
}

/// A number's binary digits without zeros in front.
fn binary_digits(value: Expr) -> Expr {
    let bits = to_text(cast(value.clone(), DataType::Bit(Some(64))));
    let shown = call("LTRIM", vec![bits, build::text("0")]);
    case(binary(value, Op::Eq, number(0)), build::text("0"), Some(shown))
}

/// `CONV(x, from, to)` for the bases that PostgreSQL writes.
fn other_base(function: &mut Function, ty: Ty) -> Option<Expr> {
    let given = build::arguments(function)?;
    let (from, to) = (digits(given[1])?, digits(given[2])?);
    let bits = |value: Expr| to_text(cast(cast(value, DataType::Bit(Some(64))), DataType::BigInt(None)));
    let known = matches!((from.as_str(), to.as_str()), ("10", "16" | "2") | ("16" | "2", "10"));
    if !known {
        return None;
    }
    let mut value = take_arguments(function).remove(0);
    if from != "10" && ty.needs_text_cast() {
        value = to_text(value);
    }
    Some(match (from.as_str(), to.as_str()) {
        ("10", "16") => call("UPPER", vec![call("TO_HEX", vec![cast(value, DataType::BigInt(None))])]),
        ("10", _) => binary_digits(cast(value, DataType::BigInt(None))),
        ("16", _) => {
            let filled = call("LPAD", vec![value, number(16), build::text("0")]);
            bits(build::operand(binary(build::text("x"), Op::StringConcat, filled)))
        }
        _ => bits(call("LPAD", vec![take(&mut value), number(64), build::text("0")])),
    })
}

/// What SQLite's typeof says of a column of this type that holds something.
fn kind_name(ty: Ty) -> Option<&'static str> {
    Some(match ty {
        Ty::Int | Ty::Bool => "integer",
        Ty::Float => "real",
        Ty::Text | Ty::Literal => "text",
        Ty::Blob => "blob",
        _ => return None,
    })
}
