//! MySQL's date functions.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr};

use super::Rewriter;
use super::build::{self, binary, call, cast, extract, number, string, to_text};
use super::functions::{mysql_format, part, today, whole};
use super::value_type::Ty;
use super::walk::same_ident;

use BinaryOperator as Op;

/// Whether this is one of them, with as many arguments as it takes.
pub(super) fn is_known(name: &str, count: usize) -> bool {
    match name {
        "YEAR" | "MONTH" | "DAY" | "DAYOFMONTH" | "HOUR" | "MINUTE" | "SECOND" | "QUARTER" | "DAYOFYEAR"
        | "MICROSECOND" | "WEEKOFYEAR" | "DAYOFWEEK" | "WEEKDAY" | "DAYNAME" | "MONTHNAME" | "LAST_DAY" | "TO_DAYS"
        | "DATE" | "TIME" | "TO_SECONDS" | "FROM_DAYS" | "TIME_TO_SEC" | "SEC_TO_TIME" => count == 1,
        "TIMESTAMP" => count == 1 || count == 2,
        "WEEK" | "YEARWEEK" | "FROM_UNIXTIME" => count == 1 || count == 2,
        "UNIX_TIMESTAMP" => count < 2,
        "DATE_FORMAT" | "STR_TO_DATE" | "DATE_ADD" | "DATE_SUB" | "ADDDATE" | "SUBDATE" | "DATEDIFF" | "MAKEDATE"
        | "ADDTIME" | "SUBTIME" | "TIMEDIFF" | "TIME_FORMAT" | "PERIOD_ADD" | "PERIOD_DIFF" => count == 2,
        "TIMESTAMPDIFF" | "TIMESTAMPADD" | "MAKETIME" | "CONVERT_TZ" => count == 3,
        "CURDATE" | "CURTIME" | "UTC_DATE" => count == 0,
        _ => false,
    }
}

impl Rewriter<'_> {
    /// One of these functions; `first` is the type of its first argument.
    pub fn mysql_date(&mut self, name: &str, mut arguments: Vec<Expr>, first: Ty, types: &[Ty]) -> (Expr, Ty) {
        use DateTimeField as F;
        let second = types.get(1).copied().unwrap_or_default();
        if let Some(field) = field_of(name) {
            let moment = self.timestamp(arguments.remove(0), first);
            return part(field, moment);
        }
        match name {
            "MICROSECOND" => {
                let moment = self.timestamp(arguments.remove(0), first);
                let all = whole(extract(F::Microseconds, moment));
                (build::operand(binary(all, Op::Modulo, number(1_000_000))), Ty::Int)
            }
            "YEARWEEK" => self.year_week(arguments, first),
            "FROM_DAYS" => {
                let ahead = binary(arguments.remove(0), Op::Minus, number(366));
                let begin = cast(build::text("0001-01-01"), DataType::Date);
                (build::operand(binary(begin, Op::Plus, build::operand(ahead))), Ty::Date)
            }
            "TIME_TO_SEC" => {
                let seconds = extract(F::Epoch, span_of(arguments.remove(0), first));
                (cast(seconds, DataType::BigInt(None)), Ty::Int)
            }
            "SEC_TO_TIME" => {
                let seconds = build::operand(arguments.remove(0));
                (binary(seconds, Op::Multiply, build::interval("1 SECOND")), Ty::Interval)
            }
            "PERIOD_ADD" => {
                let months = months_of(arguments.remove(0));
                let months = build::operand(binary(months, Op::Plus, build::operand(arguments.remove(0))));
                let year = build::operand(binary(months.clone(), Op::Divide, number(12)));
                let month = build::operand(binary(months, Op::Modulo, number(12)));
                let period = binary(binary(year, Op::Multiply, number(100)), Op::Plus, month);
                (build::operand(binary(period, Op::Plus, number(1))), Ty::Int)
            }
            "PERIOD_DIFF" => {
                let (later, earlier) = (months_of(arguments.remove(0)), months_of(arguments.remove(0)));
                (build::operand(binary(later, Op::Minus, earlier)), Ty::Int)
            }
            "CONVERT_TZ" => {
                let (to, from) = (zone(arguments.remove(2)), zone(arguments.remove(1)));
                let moment = match first {
                    Ty::Timestamp => arguments.remove(0),
                    _ => build::to_timestamp(arguments.remove(0)),
                };
                let there = Expr::AtTimeZone { timestamp: Box::new(build::operand(moment)), time_zone: Box::new(from) };
                (Expr::AtTimeZone { timestamp: Box::new(there), time_zone: Box::new(to) }, Ty::Timestamp)
            }
            "TIMESTAMP" if arguments.len() == 2 => {
                let span = span_of(arguments.remove(1), second);
                let moment = build::to_timestamp(arguments.remove(0));
                (build::operand(binary(moment, Op::Plus, span)), Ty::Timestamp)
            }
            "CURDATE" | "UTC_DATE" => (today(), Ty::Date),
            "CURTIME" => (build::keyword("CURRENT_TIME"), Ty::Time),
            "DATE" => (cast(arguments.remove(0), DataType::Date), Ty::Date),
            "TIME" => (cast(arguments.remove(0), DataType::Time(None, sqlparser::ast::TimezoneInfo::None)), Ty::Time),
            "TIMESTAMP" => (build::to_timestamp(arguments.remove(0)), Ty::Timestamp),
            "DAYOFWEEK" => {
                let moment = self.timestamp(arguments.remove(0), first);
                (build::operand(binary(extract(F::Dow, moment), Op::Plus, number(1))), Ty::Numeric)
            }
            "WEEKDAY" => {
                let moment = self.timestamp(arguments.remove(0), first);
                (build::operand(binary(extract(F::Isodow, moment), Op::Minus, number(1))), Ty::Numeric)
            }
            "WEEK" => self.week(arguments, first),
            "DAYNAME" | "MONTHNAME" => {
                let template = if name == "DAYNAME" { "FMDay" } else { "FMMonth" };
                let moment = self.timestamp(arguments.remove(0), first);
                (call("TO_CHAR", vec![moment, build::text(template)]), Ty::Text)
            }
            "LAST_DAY" => {
                let moment = self.timestamp(arguments.remove(0), first);
                let month = call("DATE_TRUNC", vec![build::text("month"), moment]);
                let last = binary(month, Op::Plus, build::interval("1 MONTH - 1 DAY"));
                (cast(last, DataType::Date), Ty::Date)
            }
            "TO_DAYS" => {
                let day = cast(arguments.remove(0), DataType::Date);
                let days = binary(day, Op::Minus, cast(build::text("0001-01-01"), DataType::Date));
                (build::operand(binary(days, Op::Plus, number(366))), Ty::Int)
            }
            "TO_SECONDS" => {
                let moment = self.timestamp(arguments.remove(0), first);
                let seconds = binary(extract(F::Epoch, moment), Op::Plus, number(62_167_219_200_i64));
                (cast(seconds, DataType::BigInt(None)), Ty::Int)
            }
            "DATE_FORMAT" | "TIME_FORMAT" => {
                let format = arguments.remove(1);
                let moment = match first {
                    // A time of day has no date to be cast to.
                    Ty::Time => span_of(arguments.remove(0), first),
                    Ty::Literal | Ty::Text if name == "TIME_FORMAT" => span_of(arguments.remove(0), first),
                    _ => self.timestamp(arguments.remove(0), first),
                };
                match string(&format).map(str::to_owned) {
                    Some(raw) => (mysql_format(self, moment, &raw), Ty::Text),
                    None => {
                        self.warn("DATE_FORMAT with a format that is no literal");
                        (call("TO_CHAR", vec![moment, format]), Ty::Text)
                    }
                }
            }
            "STR_TO_DATE" => self.string_to_date(arguments, first),
            "DATE_ADD" | "DATE_SUB" | "ADDDATE" | "SUBDATE" => {
                let span = arguments.remove(1);
                let back = matches!(name, "DATE_SUB" | "SUBDATE");
                let span = if second == Ty::Interval || matches!(span, Expr::Interval(_)) {
                    span
                } else {
                    self.span(span, "DAY")
                };
                self.shift(arguments.remove(0), first, span, back)
            }
            "ADDTIME" | "SUBTIME" => {
                let span = cast(arguments.remove(1), super::dates::interval_type());
                let time = string(&arguments[0]).is_some_and(|raw| !raw.contains('-'));
                let moment = if time { span_of(arguments.remove(0), first) } else { arguments.remove(0) };
                self.shift(moment, if time { Ty::Interval } else { first }, span, name == "SUBTIME")
            }
            "TIMESTAMPADD" => {
                let unit = arguments[0].to_string();
                let moment = arguments.remove(2);
                let span = self.span(arguments.remove(1), &unit.to_ascii_uppercase());
                let ty = types.get(2).copied().unwrap_or_default();
                self.shift(moment, ty, span, false)
            }
            "TIMESTAMPDIFF" => {
                let unit = arguments[0].to_string();
                let to = self.timestamp(arguments.remove(2), types.get(2).copied().unwrap_or_default());
                let from = self.timestamp(arguments.remove(1), second);
                self.timestamp_difference(&unit, from, to)
            }
            "DATEDIFF" => {
                let to = cast(arguments.remove(1), DataType::Date);
                let from = cast(arguments.remove(0), DataType::Date);
                self.did("date-difference");
                (build::operand(binary(from, Op::Minus, to)), Ty::Int)
            }
            "TIMEDIFF" => {
                let moment = |value: Expr, ty: Ty| match (ty, string(&value).is_some_and(|raw| raw.contains('-'))) {
                    (Ty::Literal, true) => build::to_timestamp(value),
                    (Ty::Literal, false) => span_of(value, ty),
                    (Ty::Text | Ty::Loose, _) => build::to_timestamp(value),
                    _ => value,
                };
                let to = moment(arguments.remove(1), second);
                (build::operand(binary(moment(arguments.remove(0), first), Op::Minus, to)), Ty::Interval)
            }
            "FROM_UNIXTIME" => {
                let at = call("TO_TIMESTAMP", vec![arguments.remove(0)]);
                match arguments.pop().as_ref().and_then(|format| string(format).map(str::to_owned)) {
                    Some(raw) => (mysql_format(self, at, &raw), Ty::Text),
                    None => (at, Ty::Timestamp),
                }
            }
            "UNIX_TIMESTAMP" => {
                let moment = match arguments.pop() {
                    Some(moment) => self.timestamp(moment, first),
                    None => call("NOW", vec![]),
                };
                (cast(extract(F::Epoch, moment), DataType::BigInt(None)), Ty::Int)
            }
            "MAKEDATE" => {
                let day = arguments.remove(1);
                let year = call("MAKE_DATE", vec![arguments.remove(0), number(1), number(1)]);
                let ahead = binary(day, Op::Minus, number(1));
                (build::operand(binary(year, Op::Plus, ahead)), Ty::Date)
            }
            "MAKETIME" => (call("MAKE_TIME", arguments), Ty::Time),
            _ => (call(name, arguments), Ty::Unknown),
        }
    }

    fn string_to_date(&mut self, mut arguments: Vec<Expr>, ty: Ty) -> (Expr, Ty) {
        let format = arguments.remove(1);
        let mut text = arguments.remove(0);
        if ty.needs_text_cast() {
            text = to_text(text);
        }
        let Some(raw) = string(&format).map(str::to_owned) else {
            self.warn("STR_TO_DATE with a format that is no literal");
            return (call("TO_DATE", vec![text, format]), Ty::Date);
        };
        let time = ["%H", "%h", "%i", "%s", "%S", "%T", "%r", "%k", "%l", "%I"].iter().any(|code| raw.contains(code));
        let mut template = String::new();
        for piece in super::formats::pieces(&raw, super::formats::of_mysql) {
            match piece {
                super::formats::Piece::Template(part) => template.push_str(&part),
                _ => self.warn("a code of STR_TO_DATE without equivalent"),
            }
        }
        // The FM of TO_CHAR means nothing to TO_DATE.
        let template = build::text(&template.replace("FM", ""));
        if time {
            (build::to_timestamp(call("TO_TIMESTAMP", vec![text, template])), Ty::Timestamp)
        } else {
            (call("TO_DATE", vec![text, template]), Ty::Date)
        }
    }

    /// `EXTRACT(unit FROM x)`.
    pub fn extract_call(&mut self, expr: &mut Expr, ty: Ty) -> Ty {
        if let super::Stage::FromPostgres(target) = self.stage {
            return self.extract_from_postgres(expr, target);
        }
        if self.source == super::Source::Postgres {
            return Ty::Numeric;
        }
        let Expr::Extract { field, expr: inner, .. } = expr else { return Ty::Numeric };
        if let DateTimeField::Custom(unit) = field
            && same_ident(unit, &sqlparser::ast::Ident::new("YEAR_MONTH"))
        {
            let moment = self.timestamp(build::take(inner), ty);
            *expr = whole(call("TO_CHAR", vec![moment, build::text("YYYYMM")]));
            self.did("date-functions");
            return Ty::Int;
        }
        if let DateTimeField::Custom(unit) = field
            && let Some(template) = template_of(&unit.value.to_ascii_uppercase())
        {
            let moment = self.timestamp(build::take(inner), ty);
            *expr = cast(call("TO_CHAR", vec![moment, build::text(template)]), DataType::BigInt(None));
            self.did("date-functions");
            return Ty::Int;
        }
        // MySQL's EXTRACT counts weeks as WEEK does without a mode.
        if matches!(field, DateTimeField::Week(None)) && self.source == super::Source::MySql && self.has_schema() {
            let (found, ty) = self.week(vec![build::take(inner)], ty);
            *expr = found;
            self.did("date-functions");
            return ty;
        }
        if matches!(ty, Ty::Text | Ty::Literal | Ty::Loose) {
            **inner = self.timestamp(build::take(inner), ty);
        }
        Ty::Numeric
    }
}

/// The digits that a composite unit of EXTRACT gives, as a template.
fn template_of(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "DAY_HOUR" => "DDHH24",
        "DAY_MINUTE" => "DDHH24MI",
        "DAY_SECOND" => "DDHH24MISS",
        "HOUR_MINUTE" => "HH24MI",
        "HOUR_SECOND" => "HH24MISS",
        "MINUTE_SECOND" => "MISS",
        _ => return None,
    })
}

/// A time of day as a span, which may be longer than a day and has a TO_CHAR.
fn span_of(value: Expr, ty: Ty) -> Expr {
    match ty {
        Ty::Interval => value,
        // PostgreSQL takes the time of a moment only on request.
        Ty::Timestamp => {
            cast(cast(value, DataType::Time(None, sqlparser::ast::TimezoneInfo::None)), super::dates::interval_type())
        }
        _ => cast(value, super::dates::interval_type()),
    }
}

/// The months of a period such as 202001, counted from the year 0.
fn months_of(period: Expr) -> Expr {
    let period = build::operand(period);
    let years = build::operand(binary(period.clone(), Op::Divide, number(100)));
    let month = build::operand(binary(period, Op::Modulo, number(100)));
    let months = binary(binary(years, Op::Multiply, number(12)), Op::Plus, month);
    build::operand(binary(months, Op::Minus, number(1)))
}

/// A time zone: PostgreSQL reads the sign of '+02:00' the other way round unless it is an interval.
fn zone(name: Expr) -> Expr {
    match string(&name) {
        Some(offset) if offset.starts_with(['+', '-']) => build::interval(offset),
        _ => name,
    }
}

fn field_of(name: &str) -> Option<DateTimeField> {
    use DateTimeField as F;
    Some(match name {
        "YEAR" => F::Year,
        "MONTH" => F::Month,
        "DAY" | "DAYOFMONTH" => F::Day,
        "HOUR" => F::Hour,
        "MINUTE" => F::Minute,
        "SECOND" => F::Second,
        "QUARTER" => F::Quarter,
        "DAYOFYEAR" => F::Doy,
        "WEEKOFYEAR" => F::Week(None),
        _ => return None,
    })
}
