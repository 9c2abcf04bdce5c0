//! MySQL's date functions.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr};

use super::Rewriter;
use super::build::{self, binary, call, cast, digits, extract, number, string, to_text};
use super::functions::{mysql_format, part, today, whole};
use super::value_type::Ty;
use super::walk::same_ident;

use BinaryOperator as Op;

/// Whether this is one of them, with as many arguments as it takes.
pub(super) fn is_known(name: &str, count: usize) -> bool {
    match name {
        "YEAR" | "MONTH" | "DAY" | "DAYOFMONTH" | "HOUR" | "MINUTE" | "SECOND" | "QUARTER" | "DAYOFYEAR"
        | "MICROSECOND" | "WEEKOFYEAR" | "DAYOFWEEK" | "WEEKDAY" | "DAYNAME" | "MONTHNAME" | "LAST_DAY" | "TO_DAYS"
        | "DATE" | "TIME" | "TIMESTAMP" | "TO_SECONDS" => count == 1,
        "WEEK" | "FROM_UNIXTIME" => count == 1 || count == 2,
        "UNIX_TIMESTAMP" => count < 2,
        "DATE_FORMAT" | "STR_TO_DATE" | "DATE_ADD" | "DATE_SUB" | "ADDDATE" | "SUBDATE" | "DATEDIFF" | "MAKEDATE"
        | "ADDTIME" | "TIMEDIFF" | "TIME_FORMAT" => count == 2,
        "TIMESTAMPDIFF" | "TIMESTAMPADD" | "MAKETIME" => count == 3,
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
                let moment = self.timestamp(arguments.remove(0), first);
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
            "ADDTIME" => {
                let span = cast(arguments.remove(1), super::dates::interval_type());
                self.shift(arguments.remove(0), first, span, false)
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
                let to = arguments.remove(1);
                (build::operand(binary(arguments.remove(0), Op::Minus, to)), Ty::Interval)
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

    /// WEEK counts in eight modes; only mode 3 is the ISO week.
    fn week(&mut self, mut arguments: Vec<Expr>, ty: Ty) -> (Expr, Ty) {
        let mode = arguments.get(1).map_or(Some("0".to_owned()), digits);
        let moment = self.timestamp(arguments.remove(0), ty);
        match mode.as_deref() {
            Some("3") => part(DateTimeField::Week(None), moment),
            // Weeks begin on Sunday (0) or Monday (5); week 1 begins with the year's first such day.
            Some(mode @ ("0" | "5")) => {
                let day = extract(DateTimeField::Doy, moment.clone());
                let weekday = if mode == "0" {
                    extract(DateTimeField::Dow, moment)
                } else {
                    build::operand(binary(extract(DateTimeField::Isodow, moment), Op::Minus, number(1)))
                };
                let shifted = binary(binary(day, Op::Plus, number(6)), Op::Minus, weekday);
                (call("DIV", vec![shifted, number(7)]), Ty::Numeric)
            }
            mode => {
                self.warn(&format!("WEEK in mode {} has no equivalent", mode.unwrap_or("?")));
                part(DateTimeField::Week(None), moment)
            }
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
        if matches!(ty, Ty::Text | Ty::Literal | Ty::Loose) {
            **inner = self.timestamp(build::take(inner), ty);
        }
        Ty::Numeric
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
        "MICROSECOND" => F::Microseconds,
        "QUARTER" => F::Quarter,
        "DAYOFYEAR" => F::Doy,
        "WEEKOFYEAR" => F::Week(None),
        _ => return None,
    })
}
