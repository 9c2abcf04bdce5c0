//! Dates for MySQL, SQLite and Oracle.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr, Interval, Value};

use crate::sql::convert::build::{self, binary, call, cast, digits, number, string, take};
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::{Rewriter, Target, formats};

use BinaryOperator as Op;

impl Rewriter<'_> {
    /// EXTRACT where the target has it, else its function for the part.
    pub fn extract_from_postgres(&mut self, expr: &mut Expr, target: Target) -> Ty {
        let Expr::Extract { field, expr: inner, .. } = expr else { return Ty::Numeric };
        let word = field.to_string().to_ascii_uppercase();
        let moment = take(inner);
        let found = match (target, word.as_str()) {
            (Target::MySql, "YEAR" | "MONTH") if word == "YEAR" && aged(&moment).is_some() => {
                let (to, from) = aged(&moment).unwrap_or_else(|| (build::null(), build::null()));
                call("TIMESTAMPDIFF", vec![build::word("YEAR"), from, to])
            }
            (Target::MySql, "ISOYEAR") => {
                let week = call("YEARWEEK", vec![moment, number(3)]);
                build::operand(binary(week, Op::MyIntegerDivide, number(100)))
            }
            (Target::MySql, "EPOCH") => call("UNIX_TIMESTAMP", vec![moment]),
            (Target::MySql, "DOW") => build::operand(binary(call("DAYOFWEEK", vec![moment]), Op::Minus, number(1))),
            (Target::MySql, "ISODOW") => build::operand(binary(call("WEEKDAY", vec![moment]), Op::Plus, number(1))),
            (Target::MySql, "DOY") => call("DAYOFYEAR", vec![moment]),
            (Target::MySql, "WEEK") => call("WEEK", vec![moment, number(3)]),
            (Target::Sqlite, part) => {
                let of = |code: &str, moment: &Expr| {
                    cast(call("STRFTIME", vec![build::text(code), moment.clone()]), DataType::Integer(None))
                };
                // Years between two moments: the digits of their dates, as numbers.
                if let ("YEAR", Some((to, from))) = (part, super::dates::aged(&moment)) {
                    let day = |moment: Expr| call("STRFTIME", vec![build::text("%Y.%m%d"), moment]);
                    *expr = cast(binary(day(to), Op::Minus, day(from)), DataType::Integer(None));
                    self.did("date-difference");
                    return Ty::Int;
                }
                match part {
                    "QUARTER" => {
                        let month = build::operand(binary(of("%m", &moment), Op::Plus, number(2)));
                        *expr = build::operand(binary(month, Op::Divide, number(3)));
                        self.did("date-parts");
                        return Ty::Int;
                    }
                    "ISODOW" => {
                        let day = build::operand(binary(of("%w", &moment), Op::Plus, number(6)));
                        *expr = build::operand(binary(binary(day, Op::Modulo, number(7)), Op::Plus, number(1)));
                        self.did("date-parts");
                        return Ty::Int;
                    }
                    _ => {}
                }
                let code = match part {
                    "WEEK" => "%V",
                    "ISOYEAR" => "%G",
                    "YEAR" => "%Y",
                    "MONTH" => "%m",
                    "DAY" => "%d",
                    "HOUR" => "%H",
                    "MINUTE" => "%M",
                    "SECOND" => "%S",
                    "DOW" => "%w",
                    "DOY" => "%j",
                    "EPOCH" => "%s",
                    _ => {
                        self.warn("EXTRACT of a part that SQLite does not have");
                        **inner = moment;
                        return Ty::Numeric;
                    }
                };
                cast(call("STRFTIME", vec![build::text(code), moment]), DataType::Integer(None))
            }
            (Target::Oracle, "DOW") => {
                let day = call("TO_CHAR", vec![moment, build::text("D")]);
                build::operand(binary(call("TO_NUMBER", vec![day]), Op::Minus, number(1)))
            }
            (Target::Oracle, "DOY" | "WEEK" | "QUARTER") => {
                let template = match word.as_str() {
                    "DOY" => "DDD",
                    "WEEK" => "IW",
                    _ => "Q",
                };
                call("TO_NUMBER", vec![call("TO_CHAR", vec![moment, build::text(template)])])
            }
            _ => {
                **inner = moment;
                return Ty::Numeric;
            }
        };
        *expr = found;
        self.did("date-parts");
        Ty::Numeric
    }

    /// INTERVAL in the target's form.
    pub fn interval_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        let Expr::Interval(literal) = expr else { return };
        if literal.leading_field.is_some() {
            return;
        }
        let Some(parts) = string(&literal.value).and_then(amounts) else { return };
        let [(amount, unit)] = parts.as_slice() else { return };
        let Some(field) = field_of(unit) else { return };
        let value = match target {
            Target::MySql => match amount.parse::<i64>() {
                Ok(_) => number(amount),
                Err(_) => build::text(amount),
            },
            Target::Oracle => build::text(amount),
            Target::Sqlite | Target::Postgres => return,
        };
        *expr = Expr::Interval(Interval { value: Box::new(value), leading_field: Some(field), ..literal.clone() });
        self.did("interval-literal");
    }

    /// `a ± span` in SQLite: a modifier of DATETIME.
    pub fn shift_in_sqlite(&mut self, moment: Expr, op: &Op, span: &Expr) -> Option<Expr> {
        let Expr::Interval(literal) = span else { return None };
        let raw = match &literal.leading_field {
            Some(field) => {
                format!("{} {field}", string(&literal.value).map(str::to_owned).or_else(|| digits(&literal.value))?)
            }
            None => string(&literal.value)?.to_owned(),
        };
        let sign = if *op == Op::Minus { "-" } else { "+" };
        let (name, mut arguments) = match moment {
            Expr::Function(function) if build::function_name(&function) == "CURRENT_DATE" => {
                ("DATE", vec![build::text("now")])
            }
            Expr::Function(function)
                if matches!(build::function_name(&function).as_str(), "NOW" | "CURRENT_TIMESTAMP") =>
            {
                ("DATETIME", vec![build::text("now")])
            }
            Expr::Function(mut function) if build::function_name(&function) == "DATETIME" => {
                ("DATETIME", build::take_arguments(&mut function))
            }
            Expr::Cast { expr, data_type: DataType::Date, .. } => ("DATE", vec![*expr]),
            other => ("DATETIME", vec![build::strip(other)]),
        };
        for (amount, unit) in amounts(&raw)? {
            let flipped = if sign == "-" && amount.starts_with('-') {
                format!("+{}", &amount[1..])
            } else {
                format!("{sign}{}", amount.trim_start_matches('+'))
            };
            arguments.push(build::text(&format!("{flipped} {}", unit.to_ascii_lowercase())));
        }
        self.did("date-arithmetic");
        Some(call(name, arguments))
    }

    /// `DATE 'x'` and `TIMESTAMP 'x'`.
    pub fn typed_string_from_postgres(&mut self, expr: &mut Expr, target: Target) {
        let Expr::TypedString(typed) = expr else { return };
        let Value::SingleQuotedString(raw) = &typed.value.value else { return };
        let text = build::value(Value::SingleQuotedString(raw.clone()));
        *expr = match (target, &typed.data_type) {
            (Target::MySql, DataType::Timestamp(..)) => cast(text, DataType::Datetime(None)),
            (Target::MySql, DataType::Date) => cast(text, DataType::Date),
            (Target::Sqlite, DataType::Date) => call("DATE", vec![text]),
            (Target::Sqlite, DataType::Timestamp(..)) => call("DATETIME", vec![text]),
            _ => return,
        };
        self.did("date-literals");
    }

    /// `TO_CHAR`, `TO_DATE`, `DATE_TRUNC` and their kin; none: the call stays.
    pub fn date_function_from_postgres(
        &mut self,
        name: &str,
        arguments: &mut Vec<Expr>,
        target: Target,
    ) -> Option<Expr> {
        let template = arguments.get(1).and_then(string).map(str::to_owned);
        match (name, target, arguments.len()) {
            ("TO_CHAR", Target::MySql, 2) => {
                let format = formats::to_mysql(&template?)?;
                Some(call("DATE_FORMAT", vec![arguments.remove(0), build::text(&format)]))
            }
            ("TO_CHAR", Target::Sqlite, 2) => {
                let format = formats::to_strftime(&template?)?;
                Some(call("STRFTIME", vec![build::text(&format), arguments.remove(0)]))
            }
            ("TO_DATE" | "TO_TIMESTAMP", Target::MySql, 2) => {
                let format = formats::to_mysql(&template?)?;
                Some(call("STR_TO_DATE", vec![arguments.remove(0), build::text(&format)]))
            }
            ("TO_DATE" | "TO_TIMESTAMP", Target::Oracle, 2) => {
                let format = template?;
                if format == format.to_ascii_uppercase() || format.contains('"') {
                    return None;
                }
                Some(call(name, vec![arguments.remove(0), build::text(&format.to_ascii_uppercase())]))
            }
            ("TO_TIMESTAMP", Target::MySql, 1) => Some(call("FROM_UNIXTIME", std::mem::take(arguments))),
            ("TO_TIMESTAMP", Target::Oracle, 1) => {
                let epoch = call("TO_DATE", vec![build::text("1970-01-01"), build::text("YYYY-MM-DD")]);
                let days = binary(build::operand(arguments.remove(0)), Op::Divide, number(86_400));
                Some(build::operand(binary(epoch, Op::Plus, days)))
            }
            ("TO_TIMESTAMP", Target::Sqlite, 1) => {
                Some(call("DATETIME", vec![arguments.remove(0), build::text("unixepoch")]))
            }
            ("DATE_TRUNC", target, 2) => {
                let unit = string(&arguments[0]).map(str::to_owned).unwrap_or_else(|| arguments[0].to_string());
                let moment = arguments[1].clone();
                self.truncate_date(&unit.to_ascii_uppercase(), moment, target)
            }
            ("AGE", Target::Sqlite, 2) => {
                let to = call("JULIANDAY", vec![arguments.remove(1)]);
                let from = call("JULIANDAY", vec![arguments.remove(0)]);
                Some(build::operand(binary(from, Op::Minus, to)))
            }
            ("MAKE_INTERVAL", Target::MySql, _) => None,
            ("MAKE_TIME", Target::MySql, 3) => Some(call("MAKETIME", std::mem::take(arguments))),
            _ => None,
        }
    }

    fn truncate_date(&mut self, unit: &str, moment: Expr, target: Target) -> Option<Expr> {
        match target {
            Target::MySql if unit == "WEEK" && self.has_schema() => {
                // Weeks begin on Monday; those that TIMESTAMPDIFF counts begin on the weekday of its first moment.
                let day = call("DATE", vec![moment.clone()]);
                let span = Expr::Interval(Interval {
                    value: Box::new(call("WEEKDAY", vec![moment])),
                    leading_field: Some(DateTimeField::Day),
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
                Some(call("DATE_SUB", vec![day, span]))
            }
            Target::MySql => {
                let zero = build::text("0000-01-01 00:00:00");
                let distance = call("TIMESTAMPDIFF", vec![build::word(unit), zero.clone(), moment]);
                let span = Expr::Interval(Interval {
                    value: Box::new(Expr::Nested(Box::new(distance))),
                    leading_field: Some(field_of(unit)?),
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
                Some(call("DATE_ADD", vec![zero, span]))
            }
            Target::Sqlite => {
                let unit = unit.to_ascii_lowercase();
                match unit.as_str() {
                    "week" => {
                        let steps = ["weekday 0", "-6 days"].map(build::text);
                        Some(call("DATE", std::iter::once(moment).chain(steps).collect()))
                    }
                    "quarter" => {
                        let month = call("STRFTIME", vec![build::text("%m"), moment.clone()]);
                        let back = binary(build::operand(binary(month, Op::Minus, number(1))), Op::Modulo, number(3));
                        let back = binary(build::text("-"), Op::StringConcat, build::operand(back));
                        let back = binary(back, Op::StringConcat, build::text(" months"));
                        Some(call("DATE", vec![moment, build::text("start of month"), back]))
                    }
                    "year" | "month" => Some(call("DATE", vec![moment, build::text(&format!("start of {unit}"))])),
                    "day" => Some(call("DATE", vec![moment])),
                    "hour" => Some(call("STRFTIME", vec![build::text("%Y-%m-%d %H:00:00"), moment])),
                    "minute" => Some(call("STRFTIME", vec![build::text("%Y-%m-%d %H:%M:00"), moment])),
                    _ => None,
                }
            }
            Target::Oracle => {
                let format = match unit {
                    "YEAR" => "YYYY",
                    "QUARTER" => "Q",
                    "MONTH" => "MM",
                    "WEEK" => "IW",
                    "DAY" => "DD",
                    "HOUR" => "HH24",
                    "MINUTE" => "MI",
                    _ => return None,
                };
                Some(call("TRUNC", vec![moment, build::text(format)]))
            }
            Target::Postgres => None,
        }
    }
}

/// The moments of `AGE(to, from)`, or of what SQLite's rule has made of it.
pub(super) fn aged(expr: &Expr) -> Option<(Expr, Expr)> {
    match expr {
        Expr::Nested(inner) => aged(inner),
        Expr::Function(function) if build::function_name(function) == "AGE" => {
            let arguments = build::arguments(function)?;
            let [to, from] = arguments.as_slice() else { return None };
            Some(((*to).clone(), (*from).clone()))
        }
        Expr::BinaryOp { left, op: Op::Minus, right } => {
            let day = |side: &Expr| match side {
                Expr::Function(function) if build::function_name(function) == "JULIANDAY" => {
                    Some(build::arguments(function)?.first().map(|day| (*day).clone())?)
                }
                _ => None,
            };
            Some((day(left)?, day(right)?))
        }
        _ => None,
    }
}

/// The unit of time a word names.
pub(super) fn field_of(unit: &str) -> Option<DateTimeField> {
    use DateTimeField as F;
    let upper = unit.trim().to_ascii_uppercase();
    Some(match upper.trim_end_matches('S') {
        "YEAR" => F::Year,
        "QUARTER" => F::Quarter,
        "MONTH" | "MON" => F::Month,
        "WEEK" => F::Week(None),
        "DAY" => F::Day,
        "HOUR" => F::Hour,
        "MINUTE" | "MIN" => F::Minute,
        "SECOND" | "SEC" => F::Second,
        _ => return None,
    })
}

/// The parts of a span such as `1 year 2 months`.
pub(super) fn amounts(raw: &str) -> Option<Vec<(String, String)>> {
    let words: Vec<&str> = raw.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return None;
    }
    words
        .chunks_exact(2)
        .map(|pair| {
            (pair[0].parse::<f64>().is_ok() && field_of(pair[1]).is_some())
                .then(|| (pair[0].to_owned(), pair[1].to_owned()))
        })
        .collect()
}
