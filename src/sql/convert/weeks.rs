//! Weeks as MySQL and SQLite count them. PostgreSQL has only the ISO week, in which weeks begin on Monday and week 1 has
//! the year's first Thursday; all others are counted by the day of the year.

use sqlparser::ast::{BinaryOperator, DateTimeField, Expr};

use super::Rewriter;
use super::build::{self, binary, call, case, digits, extract, interval, number, to_text};
use super::functions::part;
use super::value_type::Ty;

use BinaryOperator as Op;
use DateTimeField as F;

impl Rewriter<'_> {
    /// `WEEK(d, mode)` for the modes whose weeks can be counted.
    pub(super) fn week(&mut self, mut arguments: Vec<Expr>, ty: Ty) -> (Expr, Ty) {
        let mode = arguments.get(1).map_or(Some("0".to_owned()), digits);
        let moment = self.timestamp(arguments.remove(0), ty);
        match mode.as_deref() {
            Some("3") => part(F::Week(None), moment),
            Some("0") => (sunday_week(moment), Ty::Numeric),
            Some("5") => (monday_week(moment), Ty::Numeric),
            Some("1") => (iso_week_of_year(moment), Ty::Numeric),
            Some("2") => (week_with_sunday(moment), Ty::Numeric),
            mode => {
                self.warn(&format!("WEEK in mode {} has no equivalent", mode.unwrap_or("?")));
                part(F::Week(None), moment)
            }
        }
    }

    /// `YEARWEEK(d, mode)`: the year that the week belongs to and the week.
    pub(super) fn year_week(&mut self, mut arguments: Vec<Expr>, ty: Ty) -> (Expr, Ty) {
        let mode = arguments.get(1).map_or(Some("0".to_owned()), digits);
        let moment = self.timestamp(arguments.remove(0), ty);
        let (year, week) = match mode.as_deref() {
            Some("1" | "3") => (extract(F::Isoyear, moment.clone()), extract(F::Week(None), moment)),
            Some("0" | "2") => (extract(F::Year, sunday(moment.clone())), week_with_sunday(moment)),
            mode => {
                self.warn(&format!("YEARWEEK in mode {} has no equivalent", mode.unwrap_or("?")));
                (extract(F::Isoyear, moment.clone()), extract(F::Week(None), moment))
            }
        };
        (build::operand(binary(binary(year, Op::Multiply, number(100)), Op::Plus, week)), Ty::Numeric)
    }
}

/// The text of a week's code in a date format: MySQL's %U %u %V %X, SQLite's %W and %U.
pub(super) fn formatted(moment: Expr, code: char) -> Expr {
    let week = match code {
        'X' => return call("TO_CHAR", vec![sunday(moment), build::text("YYYY")]),
        'U' => sunday_week(moment),
        'u' => iso_week_of_year(moment),
        'V' => week_with_sunday(moment),
        _ => monday_week(moment),
    };
    call("LPAD", vec![to_text(week), number(2), build::text("0")])
}

/// The Sunday that a moment's week begins with.
fn sunday(moment: Expr) -> Expr {
    let days = binary(extract(F::Dow, moment.clone()), Op::Multiply, interval("1 DAY"));
    binary(moment, Op::Minus, days)
}

/// Weeks begin on Sunday; the days before the year's first Sunday are week 0.
fn sunday_week(moment: Expr) -> Expr {
    let day = binary(extract(F::Doy, moment.clone()), Op::Plus, number(6));
    call("DIV", vec![binary(day, Op::Minus, extract(F::Dow, moment)), number(7)])
}

/// Weeks begin on Monday; the days before the year's first Monday are week 0.
fn monday_week(moment: Expr) -> Expr {
    let weekday = build::operand(binary(extract(F::Isodow, moment.clone()), Op::Minus, number(1)));
    let day = binary(extract(F::Doy, moment), Op::Plus, number(6));
    call("DIV", vec![binary(day, Op::Minus, weekday), number(7)])
}

/// The number of the week's own Sunday: the days before the year's first Sunday belong to the year before.
fn week_with_sunday(moment: Expr) -> Expr {
    call("DIV", vec![binary(extract(F::Doy, sunday(moment)), Op::Plus, number(6)), number(7)])
}

/// ISO weeks numbered within the calendar year: 0 before the first, 53 where the next year's first has begun.
fn iso_week_of_year(moment: Expr) -> Expr {
    let years = |op: Op| binary(extract(F::Isoyear, moment.clone()), op, extract(F::Year, moment.clone()));
    let before = binary(moment.clone(), Op::Minus, interval("7 DAY"));
    let next = binary(extract(F::Week(None), before), Op::Plus, number(1));
    let within = case(years(Op::Gt), next, Some(extract(F::Week(None), moment.clone())));
    case(years(Op::Lt), number(0), Some(within))
}
