//! Dates and times: parts, modifiers, spans.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, ExactNumberInfo, Expr, TimezoneInfo};

use super::build::{self, binary, call, cast, digits, extract, interval, keyword, number, string, take, to_timestamp};
use super::formats;
use super::scope::Scope;
use super::value_type::Ty;
use super::{Rewriter, Source, Stage};

use BinaryOperator as Op;

/// The day on which SQLite's count of days begins, seen from 1970.
const JULIAN_1970: &str = "2440587.5";

/// Whether the first argument of this function is a unit of time, not a column.
pub(super) fn takes_unit(name: &str) -> bool {
    matches!(name, "TIMESTAMPDIFF" | "TIMESTAMPADD" | "DATE_TRUNC" | "DATEDIFF" | "DATEADD")
}

/// The timestamp inside of what `julian_day` makes.
pub(super) fn days_of(expr: &Expr) -> Option<Expr> {
    let Expr::Nested(inner) = expr else { return None };
    let Expr::BinaryOp { left, op: Op::Plus, right } = &**inner else { return None };
    if digits(right)? != JULIAN_1970 {
        return None;
    }
    let Expr::Nested(days) = &**left else { return None };
    match &**days {
        Expr::BinaryOp { left: seconds, .. } => match &**seconds {
            Expr::Extract { expr, .. } => Some((**expr).clone()),
            _ => None,
        },
        _ => None,
    }
}

impl<'s> Rewriter<'s> {
    /// A value as a timestamp of the target.
    pub fn timestamp(&mut self, expr: Expr, ty: Ty) -> Expr {
        match ty {
            Ty::Timestamp | Ty::Date | Ty::Interval => expr,
            Ty::Unknown if self.source == Source::MySql => expr,
            _ => {
                self.did("text-as-date");
                to_timestamp(expr)
            }
        }
    }

    /// SQLite's `date(x, modifier, …)` and its kin: the moment they speak of.
    pub fn moment(&mut self, arguments: Vec<Expr>, types: &[Ty]) -> Expr {
        let mut rest = arguments.into_iter();
        let first = rest.next().unwrap_or_else(|| build::text("now"));
        let first_type = types.first().copied().unwrap_or(Ty::Literal);
        let now = string(&first).is_some_and(|text| text.eq_ignore_ascii_case("now"));
        let mut from_epoch = None;
        let mut moment = if now {
            let utc =
                Expr::AtTimeZone { timestamp: Box::new(call("NOW", vec![])), time_zone: Box::new(build::text("UTC")) };
            Expr::Nested(Box::new(utc))
        } else if first_type == Ty::Timestamp {
            first
        } else {
            from_epoch = Some(first.clone());
            to_timestamp(first)
        };
        for modifier in rest {
            let Some(raw) = string(&modifier).map(|raw| raw.trim().to_ascii_lowercase()) else {
                moment = binary(moment, Op::Plus, cast(modifier, interval_type()));
                continue;
            };
            moment = match raw.as_str() {
                "start of month" | "start of year" | "start of day" => {
                    call("DATE_TRUNC", vec![build::text(&raw[9..]), build::strip(moment)])
                }
                "unixepoch" | "auto" => {
                    let seconds = from_epoch.take().unwrap_or(moment);
                    let at = call("TO_TIMESTAMP", vec![seconds]);
                    let utc = Expr::AtTimeZone { timestamp: Box::new(at), time_zone: Box::new(build::text("UTC")) };
                    Expr::Nested(Box::new(utc))
                }
                "localtime" | "utc" | "subsec" | "subsecond" => moment,
                weekday if weekday.starts_with("weekday ") => {
                    let wanted = number(weekday[8..].trim());
                    let today = cast(extract(DateTimeField::Dow, moment.clone()), DataType::Integer(None));
                    let ahead =
                        binary(binary(binary(wanted, Op::Minus, today), Op::Plus, number(7)), Op::Modulo, number(7));
                    binary(moment, Op::Plus, binary(ahead, Op::Multiply, interval("1 DAY")))
                }
                span => match span.strip_prefix('-') {
                    Some(span) => binary(moment, Op::Minus, interval(span.trim())),
                    None => binary(moment, Op::Plus, interval(span.trim_start_matches('+').trim())),
                },
            };
        }
        moment
    }

    /// SQLite's `date`, `time`, `datetime`, `julianday`, `unixepoch`, `strftime`.
    pub fn sqlite_date(&mut self, name: &str, mut arguments: Vec<Expr>, types: &[Ty]) -> (Expr, Ty) {
        self.did("date-functions");
        let only_now = arguments.is_empty()
            || arguments.len() == 1 && string(&arguments[0]).is_some_and(|text| text.eq_ignore_ascii_case("now"));
        match name {
            "DATE" if only_now => (keyword("CURRENT_DATE"), Ty::Date),
            "DATE" => {
                let simple = arguments.len() == 1;
                let moment = if simple && types.first() != Some(&Ty::Timestamp) {
                    arguments.remove(0)
                } else {
                    self.moment(arguments, types)
                };
                (cast(moment, DataType::Date), Ty::Date)
            }
            "TIME" => (cast(self.moment(arguments, types), DataType::Time(None, TimezoneInfo::None)), Ty::Time),
            "DATETIME" => (self.moment(arguments, types), Ty::Timestamp),
            "JULIANDAY" => {
                let moment = self.moment(arguments, types);
                let seconds = extract(DateTimeField::Epoch, build::strip(moment));
                let days = binary(seconds, Op::Divide, number("86400.0"));
                (Expr::Nested(Box::new(binary(build::operand(days), Op::Plus, number(JULIAN_1970)))), Ty::Numeric)
            }
            "UNIXEPOCH" => {
                let moment = self.moment(arguments, types);
                (cast(extract(DateTimeField::Epoch, build::strip(moment)), DataType::BigInt(None)), Ty::Int)
            }
            _ => {
                let format = if arguments.is_empty() { build::null() } else { arguments.remove(0) };
                let moment = build::strip(self.moment(arguments, types.get(1..).unwrap_or_default()));
                let Some(raw) = string(&format) else {
                    self.warn("strftime with a format that is no literal");
                    return (call("TO_CHAR", vec![moment, format]), Ty::Text);
                };
                let raw = raw.to_owned();
                (self.format(moment, &raw, formats::of_strftime), Ty::Text)
            }
        }
    }

    /// A moment as text by a format of the source, piece by piece.
    pub fn format(&mut self, moment: Expr, format: &str, code: fn(char) -> formats::Code) -> Expr {
        let mut pieces = Vec::new();
        for piece in formats::pieces(format, code) {
            pieces.push(match piece {
                formats::Piece::Template(template) => call("TO_CHAR", vec![moment.clone(), build::text(&template)]),
                formats::Piece::Field(field) => {
                    build::to_text(cast(extract(field, moment.clone()), DataType::Integer(None)))
                }
                formats::Piece::Epoch => {
                    build::to_text(cast(extract(DateTimeField::Epoch, moment.clone()), DataType::BigInt(None)))
                }
                formats::Piece::Week(code) => super::weeks::formatted(moment.clone(), code),
                formats::Piece::Unknown(code) => {
                    self.warn(&format!("no equivalent of the date format code %{code}"));
                    build::text(&format!("%{code}"))
                }
            });
        }
        pieces.into_iter().reduce(|a, b| binary(a, Op::StringConcat, b)).unwrap_or_else(|| build::text(""))
    }

    /// `x ± INTERVAL n unit`: DATE_ADD, DATE_SUB, ADDDATE, TIMESTAMPADD.
    pub fn shift(&mut self, moment: Expr, ty: Ty, span: Expr, back: bool) -> (Expr, Ty) {
        self.did("date-arithmetic");
        let moment = match ty {
            Ty::Literal if self.has_schema() => self.timestamp(moment, ty),
            Ty::Text | Ty::Loose => self.timestamp(moment, ty),
            _ => moment,
        };
        let op = if back { Op::Minus } else { Op::Plus };
        (binary(moment, op, span), Ty::Timestamp)
    }

    /// INTERVAL in the target's form.
    pub fn interval_literal(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Interval(literal) = expr else { return Ty::Interval };
        self.expr(&mut literal.value, scope);
        if let Stage::FromPostgres(target) = self.stage {
            self.interval_from_postgres(expr, target);
            return Ty::Interval;
        }
        if self.source == Source::Postgres {
            return Ty::Interval;
        }
        if let Some(unit) = literal.leading_field.clone() {
            let unit = unit.to_string().to_ascii_uppercase();
            let amount = take(&mut literal.value);
            *expr = self.span(amount, &unit);
            self.did("interval-literal");
        }
        Ty::Interval
    }

    /// `n unit` as an interval; a span that is no literal is a multiple of one.
    pub fn span(&mut self, amount: Expr, unit: &str) -> Expr {
        let unit = unit.trim_end_matches('S');
        let known = digits(&amount).or_else(|| string(&amount).map(str::to_owned));
        if let Some(text) = known {
            let text = text.trim().trim_matches('\'');
            return match unit {
                "QUARTER" => match text.parse::<i64>() {
                    Ok(quarters) => interval(&format!("{} MONTH", quarters.saturating_mul(3))),
                    Err(_) => interval(&format!("{text} MONTH")),
                },
                "YEAR_MONTH" => {
                    let (years, months) = text.split_once(['-', ':', ' ']).unwrap_or(("0", text));
                    interval(&format!("{years} YEAR {months} MONTH"))
                }
                "DAY_HOUR" | "DAY_MINUTE" | "DAY_SECOND" | "HOUR_MINUTE" | "HOUR_SECOND" | "MINUTE_SECOND" => {
                    interval(text)
                }
                unit => interval(&format!("{text} {unit}")),
            };
        }
        let (factor, unit) = match unit {
            "QUARTER" => (Some(3), "MONTH"),
            unit => (None, unit),
        };
        let amount = match factor {
            Some(factor) => binary(amount, Op::Multiply, number(factor)),
            None => amount,
        };
        binary(interval(&format!("1 {unit}")), Op::Multiply, build::operand(amount))
    }

    /// `TIMESTAMPDIFF(unit, a, b)`.
    pub fn timestamp_difference(&mut self, unit: &str, from: Expr, to: Expr) -> (Expr, Ty) {
        self.did("date-difference");
        let whole = |expr: Expr| cast(expr, DataType::BigInt(None));
        let unit = unit.to_ascii_uppercase();
        let months = |age: Expr| {
            let years = binary(extract(DateTimeField::Year, age.clone()), Op::Multiply, number(12));
            binary(years, Op::Plus, extract(DateTimeField::Month, age))
        };
        let age = || call("AGE", vec![to.clone(), from.clone()]);
        let seconds = |per: Option<u32>| {
            let seconds = extract(DateTimeField::Epoch, binary(to.clone(), Op::Minus, from.clone()));
            match per {
                Some(per) => call("TRUNC", vec![binary(seconds, Op::Divide, number(per))]),
                None => seconds,
            }
        };
        let result = match unit.trim_start_matches("SQL_TSI_") {
            "YEAR" => extract(DateTimeField::Year, age()),
            "QUARTER" => call("TRUNC", vec![binary(build::operand(months(age())), Op::Divide, number(3))]),
            "MONTH" => months(age()),
            "WEEK" => seconds(Some(604_800)),
            "DAY" => seconds(Some(86_400)),
            "HOUR" => seconds(Some(3600)),
            "MINUTE" => seconds(Some(60)),
            "MICROSECOND" => binary(seconds(None), Op::Multiply, number(1_000_000)),
            _ => seconds(None),
        };
        (whole(result), Ty::Int)
    }
}

/// INTERVAL as a type.
pub(super) fn interval_type() -> DataType {
    DataType::Interval { fields: None, precision: None }
}

/// NUMERIC as a type.
pub(super) fn numeric() -> DataType {
    DataType::Numeric(ExactNumberInfo::None)
}
