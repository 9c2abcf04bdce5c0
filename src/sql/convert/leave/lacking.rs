//! Functions of PostgreSQL that MySQL, SQLite or Oracle say in other words, and those that they lack.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr, ExtractSyntax, Interval, TrimWhereField, Value};

use crate::sql::convert::build::{self, binary, call, case, cast, coalesce, digits, number, string, take_arguments};
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::{Rewriter, Target};

use BinaryOperator as Op;

/// Functions that have nothing like them: MySQL, SQLite, Oracle.
const LACKING: &[(&str, bool, bool, bool)] = &[
    ("ARRAY_LENGTH", true, true, true),
    ("ARRAY_POSITION", true, true, true),
    ("ARRAY_TO_STRING", true, true, true),
    ("BIT_AND", false, true, false),
    ("BIT_OR", false, true, false),
    ("BIT_XOR", false, true, false),
    ("CBRT", true, true, true),
    ("CORR", true, true, false),
    ("GENERATE_SERIES", true, true, true),
    ("INITCAP", true, true, false),
    ("JSON_OBJECT_KEYS", true, true, true),
    ("MD5", false, true, true),
    ("MODE", true, true, true),
    ("PERCENTILE_CONT", true, true, false),
    ("PERCENTILE_DISC", true, true, false),
    ("REGEXP_MATCHES", true, true, true),
    ("REGEXP_REPLACE", false, true, false),
    ("REGEXP_SPLIT_TO_ARRAY", true, true, true),
    ("REVERSE", false, true, false),
    ("SPLIT_PART", false, true, true),
    ("STRING_TO_ARRAY", true, true, true),
    ("TO_CHAR", false, true, false),
    ("TO_DATE", false, true, false),
    ("TO_NUMBER", true, true, false),
    ("TRANSLATE", true, true, false),
    ("UNNEST", true, true, true),
];

impl Rewriter<'_> {
    /// A call that is said in other words; none: nothing here knows it. The arguments are rewritten already.
    pub(super) fn other_words(&mut self, expr: &mut Expr, name: &str, types: &[Ty], target: Target) -> Option<Ty> {
        let Expr::Function(function) = expr else { return None };
        if function.over.is_some() {
            return None;
        }
        let count = build::arguments(function)?.len();
        let first = types.first().copied().unwrap_or_default();
        let faithful = self.has_schema() && !self.idiomatic;
        use Target::{MySql, Oracle, Sqlite};
        let (found, ty, rule) = match (name, count, target) {
            ("CONCAT", 1.., MySql | Oracle) => {
                // PostgreSQL's CONCAT skips NULL.
                let parts = take_arguments(function).into_iter();
                let empty = |part: Expr| match string(&part) {
                    Some(_) => part,
                    None => coalesce(part, build::text("")),
                };
                (call("CONCAT", parts.map(empty).collect()), Ty::Text, "concat")
            }
            ("GREATEST" | "LEAST", 2, Sqlite) | ("GREATEST" | "LEAST", 2, MySql | Oracle)
                if target == Sqlite || faithful =>
            {
                let mut arguments = take_arguments(function);
                let (b, a) = (arguments.remove(1), arguments.remove(0));
                let both = vec![coalesce(a.clone(), b.clone()), coalesce(b, a)];
                let name = match (target, name) {
                    (Sqlite, "GREATEST") => "MAX",
                    (Sqlite, _) => "MIN",
                    (_, name) => name,
                };
                (call(name, both), first, "scalar-max")
            }
            ("LENGTH", 1, MySql) => (call("CHAR_LENGTH", take_arguments(function)), Ty::Int, "renamed-functions"),
            ("DATE_PART", 2, _) => {
                let mut arguments = take_arguments(function);
                let field = string(&arguments[0]).and_then(part_of)?;
                let inner = Box::new(arguments.remove(1));
                *expr = Expr::Extract { field, syntax: ExtractSyntax::From, expr: inner };
                self.did("date-parts");
                return Some(self.extract_from_postgres(expr, target));
            }
            ("MAKE_DATE", 3, MySql) => {
                let mut parts = vec![build::text("-")];
                parts.extend(take_arguments(function));
                (cast(call("CONCAT_WS", parts), DataType::Date), Ty::Date, "date-functions")
            }
            ("MAKE_DATE", 3, Sqlite) => {
                let mut parts = vec![build::text("%04d-%02d-%02d")];
                parts.extend(take_arguments(function));
                (call("PRINTF", parts), Ty::Date, "date-functions")
            }
            ("BOOL_AND" | "EVERY", 1, _) => (call("MIN", take_arguments(function)), Ty::Bool, "boolean-aggregates"),
            ("BOOL_OR", 1, _) => (call("MAX", take_arguments(function)), Ty::Bool, "boolean-aggregates"),
            ("STDDEV" | "VARIANCE", 1, MySql) => {
                let wanted = if name == "STDDEV" { "STDDEV_SAMP" } else { "VAR_SAMP" };
                (call(wanted, take_arguments(function)), Ty::Float, "renamed-functions")
            }
            ("LOG", 1, MySql | Oracle) if faithful => {
                (call("LOG", vec![number(10), take_arguments(function).remove(0)]), Ty::Float, "logarithms")
            }
            ("TRUNC", 1, MySql) => {
                let argument = take_arguments(function).remove(0);
                (call("TRUNCATE", vec![argument, number(0)]), Ty::Numeric, "renamed-functions")
            }
            ("TRUNC", 2, Sqlite) => {
                let mut arguments = take_arguments(function);
                let places = digits(&arguments[1]).and_then(|places| places.parse::<u32>().ok()).filter(|n| *n < 16);
                let Some(places) = places else {
                    *expr = call("TRUNC", arguments);
                    self.warn("SQLite has no TRUNC with places that are no literal");
                    return Some(Ty::Numeric);
                };
                let scale = 10_u64.pow(places);
                let scaled = binary(arguments.remove(0), Op::Multiply, number(scale));
                let whole = cast(scaled, DataType::Integer(None));
                (build::operand(binary(whole, Op::Divide, number(format!("{scale}.0")))), Ty::Numeric, "truncation")
            }
            ("BTRIM" | "LTRIM" | "RTRIM", 2, MySql | Oracle) if !(target == Oracle && name != "BTRIM") => {
                let mut arguments = take_arguments(function);
                if string(&arguments[1]).is_none_or(|set| set.chars().count() != 1) {
                    self.warn("TRIM of a set of characters takes them for one text there");
                }
                let trim_where = match name {
                    "LTRIM" => Some(TrimWhereField::Leading),
                    "RTRIM" => Some(TrimWhereField::Trailing),
                    _ => None,
                };
                let what = Some(Box::new(arguments.remove(1)));
                let text = Box::new(arguments.remove(0));
                let found = Expr::Trim { expr: text, trim_where, trim_what: what, trim_characters: None };
                (found, Ty::Text, "renamed-functions")
            }
            ("BTRIM", 1 | 2, Sqlite) | ("BTRIM", 1, _) => {
                (call("TRIM", take_arguments(function)), Ty::Text, "renamed-functions")
            }
            ("REPEAT", 2, Sqlite) => {
                let mut arguments = take_arguments(function);
                let count = arguments.remove(1);
                (repeated(arguments.remove(0), count), Ty::Text, "repeated-text")
            }
            ("LPAD" | "RPAD", 2 | 3, Sqlite) => {
                let mut arguments = take_arguments(function);
                let fill = if arguments.len() == 3 { arguments.remove(2) } else { build::text(" ") };
                let (width, text) = (arguments.remove(1), arguments.remove(0));
                let length = call("LENGTH", vec![text.clone()]);
                let missing = binary(width.clone(), Op::Minus, length.clone());
                let filling = call("SUBSTR", vec![repeated(fill, width.clone()), number(1), missing]);
                let (a, b) = if name == "LPAD" { (filling, text.clone()) } else { (text.clone(), filling) };
                let cut = call("SUBSTR", vec![text, number(1), width.clone()]);
                let found = case(binary(length, Op::GtEq, width), cut, Some(binary(a, Op::StringConcat, b)));
                (found, Ty::Text, "padding")
            }
            ("ASCII", 1, Sqlite) => (call("UNICODE", take_arguments(function)), Ty::Int, "renamed-functions"),
            ("FORMAT", 1.., Sqlite) => (call("PRINTF", take_arguments(function)), Ty::Text, "renamed-functions"),
            ("REGEXP_REPLACE", 3 | 4, MySql | Oracle) => {
                let mut arguments = take_arguments(function);
                let flags = if arguments.len() == 4 { arguments.remove(3) } else { build::text("") };
                let flags = string(&flags).unwrap_or_default().to_owned();
                if !flags.contains('g') && self.has_schema() {
                    // One place only, the first.
                    arguments.extend([number(1), number(1)]);
                }
                (call(name, arguments), Ty::Text, "regexp")
            }
            ("CURRENT_DATABASE", 0, MySql) => (call("DATABASE", vec![]), Ty::Text, "renamed-functions"),
            ("GEN_RANDOM_UUID", 0, MySql) => (call("UUID", vec![]), Ty::Other, "renamed-functions"),
            ("JSONB_ARRAY_LENGTH" | "JSON_ARRAY_LENGTH", 1, MySql) => {
                (call("JSON_LENGTH", take_arguments(function)), Ty::Int, "json-functions")
            }
            ("JSONB_ARRAY_LENGTH", 1, Sqlite) => {
                (call("JSON_ARRAY_LENGTH", take_arguments(function)), Ty::Int, "json-functions")
            }
            ("JSONB_BUILD_OBJECT", _, _) => {
                (call("JSON_OBJECT", take_arguments(function)), Ty::Other, "json-functions")
            }
            ("JSONB_BUILD_ARRAY", _, _) => (call("JSON_ARRAY", take_arguments(function)), Ty::Other, "json-functions"),
            ("TO_DATE", 2, Sqlite) if string(&build::arguments(function)?[1].clone()) == Some("YYYY-MM-DD") => {
                (call("DATE", vec![take_arguments(function).remove(0)]), Ty::Date, "date-functions")
            }
            ("ROUND" | "TRUNC", 2, MySql | Sqlite) if is_plain_numeric_cast(build::arguments(function)?[0]) => {
                // A cast to NUMERIC without places is one to whole numbers there; rounding needs none.
                if let Some(argument) = build::first_argument(function)
                    && let Expr::Cast { expr: inner, .. } = argument
                {
                    *argument = build::take(inner);
                }
                self.did("round-as-numeric");
                return match target {
                    MySql | Sqlite if name == "TRUNC" => self
                        .other_words(expr, name, types, target)
                        .or_else(|| Some(self.function_from_postgres(expr, name, types, target))),
                    _ => Some(Ty::Numeric),
                };
            }
            _ => {
                let lacks = LACKING.iter().find(|(known, ..)| *known == name);
                if let Some((_, mysql, sqlite, oracle)) = lacks
                    && matches!(
                        (target, mysql, sqlite, oracle),
                        (MySql, true, ..) | (Sqlite, _, true, _) | (Oracle, .., true)
                    )
                {
                    self.warn(&format!("{} has no {name}", target.name()));
                }
                return None;
            }
        };
        *expr = found;
        self.did(rule);
        Some(ty)
    }

    /// `x = ANY (ARRAY[…])` and `x <> ALL (ARRAY[…])` are lists.
    pub(in crate::sql::convert) fn any_from_postgres(&mut self, expr: &mut Expr) {
        let found = match expr {
            Expr::AnyOp { left, compare_op: Op::Eq, right, .. } => Some((false, left, right)),
            Expr::AllOp { left, compare_op: Op::NotEq, right } => Some((true, left, right)),
            _ => None,
        };
        let Some((negated, left, right)) = found else { return };
        let left = Box::new(build::take(left));
        if let Expr::Subquery(query) = &**right {
            *expr = Expr::InSubquery { expr: left, subquery: query.clone(), negated };
            self.did("any-as-in");
        } else if let Some(list) = array_items(right) {
            *expr = Expr::InList { expr: left, list, negated };
            self.did("any-as-in");
        } else {
            let (Expr::AnyOp { left: place, .. } | Expr::AllOp { left: place, .. }) = expr else { return };
            *place = left;
        }
    }

    /// A sum or difference of dates in the target's words; none: it is one of numbers. PostgreSQL counts days.
    pub(super) fn dates_apart(
        &mut self,
        left: &Expr,
        lt: Ty,
        op: &Op,
        right: &Expr,
        rt: Ty,
        target: Target,
    ) -> Option<Expr> {
        let found = match (target, op, lt, rt) {
            (Target::MySql, Op::Minus, Ty::Date, Ty::Date) => call("DATEDIFF", vec![left.clone(), right.clone()]),
            (Target::Sqlite, Op::Minus, Ty::Date, Ty::Date) => {
                let day = |side: &Expr| call("JULIANDAY", vec![side.clone()]);
                cast(binary(day(left), Op::Minus, day(right)), DataType::Integer(None))
            }
            (Target::MySql, Op::Plus | Op::Minus, Ty::Date, Ty::Int) => {
                let name = if *op == Op::Plus { "DATE_ADD" } else { "DATE_SUB" };
                call(name, vec![left.clone(), span_of(right.clone(), DateTimeField::Day)])
            }
            (Target::Sqlite, Op::Plus | Op::Minus, Ty::Date, Ty::Int) => {
                let sign = if *op == Op::Plus { "+" } else { "-" };
                let modifier = match digits(right) {
                    Some(days) if !days.starts_with('-') => build::text(&format!("{sign}{days} days")),
                    _ => {
                        let days =
                            if *op == Op::Plus { right.clone() } else { binary(number(0), Op::Minus, right.clone()) };
                        binary(build::operand(days), Op::StringConcat, build::text(" days"))
                    }
                };
                call("DATE", vec![left.clone(), modifier])
            }
            // n * INTERVAL '1 day'
            (Target::MySql | Target::Sqlite, Op::Plus | Op::Minus, ..) => {
                let (amount, unit) = multiple(right)?;
                if target == Target::MySql {
                    binary(left.clone(), op.clone(), span_of(amount, super::dates::field_of(&unit)?))
                } else {
                    let amount = if *op == Op::Plus { amount } else { binary(number(0), Op::Minus, amount) };
                    let unit = build::text(&format!(" {}s", unit.to_ascii_lowercase().trim_end_matches('s')));
                    let modifier = binary(build::operand(amount), Op::StringConcat, unit);
                    call("DATETIME", vec![left.clone(), modifier])
                }
            }
            _ => return None,
        };
        self.did("date-arithmetic");
        Some(found)
    }
}

/// `n * INTERVAL '1 unit'`, either way round.
fn multiple(expr: &Expr) -> Option<(Expr, String)> {
    let expr = match expr {
        Expr::Nested(inner) => inner,
        expr => expr,
    };
    let Expr::BinaryOp { left, op: Op::Multiply, right } = expr else { return None };
    let one = |side: &Expr| match side {
        Expr::Interval(literal) => match &literal.leading_field {
            Some(field) if digits(&literal.value).as_deref() == Some("1") => Some(field.to_string()),
            Some(_) => None,
            None => string(&literal.value).and_then(|raw| raw.strip_prefix("1 ")).map(str::to_owned),
        },
        _ => None,
    };
    if let Some(unit) = one(right) {
        return Some(((**left).clone(), unit));
    }
    one(left).map(|unit| ((**right).clone(), unit))
}

fn span_of(amount: Expr, field: DateTimeField) -> Expr {
    Expr::Interval(Interval {
        value: Box::new(amount),
        leading_field: Some(field),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// `CAST(x AS NUMERIC)` without a precision.
fn is_plain_numeric_cast(expr: &Expr) -> bool {
    let plain = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Numeric(sqlparser::ast::ExactNumberInfo::None)
                | DataType::Decimal(sqlparser::ast::ExactNumberInfo::None)
        )
    };
    matches!(expr, Expr::Cast { data_type, .. } if plain(data_type))
}

/// SQLite has no REPEAT: zeros in hexadecimal, replaced.
fn repeated(text: Expr, count: Expr) -> Expr {
    let zeros = call("HEX", vec![call("ZEROBLOB", vec![count])]);
    call("REPLACE", vec![zeros, build::text("00"), text])
}

fn part_of(word: &str) -> Option<DateTimeField> {
    use DateTimeField as F;
    Some(match word.to_ascii_uppercase().as_str() {
        "DOW" => F::Dow,
        "DOY" => F::Doy,
        "EPOCH" => F::Epoch,
        "ISODOW" => F::Isodow,
        "ISOYEAR" => F::Isoyear,
        other => super::dates::field_of(other)?,
    })
}

/// The values of `'{1,3}'` as literals.
pub(super) fn array_items(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Array(array) => Some(array.elem.clone()),
        Expr::Nested(inner) => array_items(inner),
        Expr::Cast { expr, .. } => array_items(expr),
        other => {
            let inside = string(other)?.strip_prefix('{')?.strip_suffix('}')?;
            let item = |item: &str| match item.trim() {
                number if number.parse::<f64>().is_ok() => build::number(number),
                text => build::value(Value::SingleQuotedString(text.trim_matches('"').to_owned())),
            };
            Some(inside.split(',').map(item).collect())
        }
    }
}

/// `x IS UNKNOWN` is `x IS NULL`.
pub(in crate::sql::convert) fn unknown_as_null(expr: &mut Expr) {
    match expr {
        Expr::IsUnknown(inner) => *expr = Expr::IsNull(Box::new(build::take(inner))),
        Expr::IsNotUnknown(inner) => *expr = Expr::IsNotNull(Box::new(build::take(inner))),
        _ => {}
    }
}
