//! Values of different types: SQLite and MySQL convert them silently, PostgreSQL wants it said.

use sqlparser::ast::{BinaryOperator, DataType, Expr, Query, Value};

use super::build::{self, binary, cast, number, operand, string, take, to_text, to_timestamp};
use super::order::cast_only_output;
use super::value_type::Ty;
use super::{Rewriter, Source, Stage};

/// The number at the beginning of a text, as SQLite and MySQL read text where they want a number.
const LEADING_NUMBER: &str = r"^\s*([-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?)";

/// Whether an expression is the number at the beginning of a text already.
pub(super) fn is_leading_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Substring { substring_from: Some(from), .. } if string(from) == Some(LEADING_NUMBER))
}

impl Rewriter<'_> {
    /// Makes the two sides of a comparison comparable.
    pub fn align(&mut self, left: &mut Expr, left_type: Ty, right: &mut Expr, right_type: Ty, equality: bool) {
        if self.stage != Stage::ToPostgres {
            return;
        }
        let (mut left_type, mut right_type) = (left_type, right_type);
        match (left_type, right_type) {
            (Ty::Bool, Ty::Text | Ty::Loose) => left_type = self.number_operand(left, left_type),
            (Ty::Text | Ty::Loose, Ty::Bool) => right_type = self.number_operand(right, right_type),
            _ => {}
        }
        if !self.align_to(left, left_type, right, right_type, equality) {
            self.align_to(right, right_type, left, left_type, equality);
        }
    }

    /// Makes one more value comparable with an expression that is compared with several.
    pub fn align_one(&mut self, left: &mut Expr, left_type: Ty, right: &mut Expr, right_type: Ty) {
        self.align(left, left_type, right, right_type, true);
    }

    fn align_to(&mut self, left: &mut Expr, left_type: Ty, right: &mut Expr, right_type: Ty, equality: bool) -> bool {
        match (left_type, right_type) {
            (Ty::Text | Ty::Blob, right_type) if right_type.is_number() => {
                if let Some(digits) = build::digits(right) {
                    *right = build::text(&digits);
                    self.did("number-beside-text");
                } else if equality || self.idiomatic || !is_column(right) {
                    // Only a column's own type turns text into a number; a computed one is compared as text.
                    *right = self.number_as_text(take(right), right_type);
                    self.did("number-beside-text");
                } else {
                    *left = self.leading_number(take(left));
                    self.did("text-beside-number");
                }
            }
            (Ty::Literal, right_type) if right_type.is_number() => {
                let Some(raw) = string(left) else { return false };
                if raw.trim().parse::<f64>().is_ok() {
                    // An integer column beside '1.5' would be refused.
                    if right_type == Ty::Int && raw.trim().parse::<i64>().is_err() {
                        *left = number(raw.trim());
                    }
                    return false;
                }
                *right = self.number_as_text(take(right), right_type);
                self.did("number-beside-text");
            }
            (Ty::Loose, right_type) if right_type.is_number() => {
                *left = to_text(take(left));
                match build::digits(right) {
                    Some(digits) => *right = build::text(&digits),
                    None => *right = self.number_as_text(take(right), right_type),
                }
                self.did("date-beside-number");
            }
            (Ty::Loose, Ty::Date | Ty::Timestamp) => {
                *left = to_timestamp(take(left));
                self.did("date-kept-as-text");
            }
            (Ty::Loose, Ty::Text) => {
                *left = to_text(take(left));
                self.did("date-kept-as-text");
            }
            (Ty::Loose, Ty::Literal) => {
                if string(right).is_some_and(|raw| !looks_like_date(raw)) {
                    *left = to_text(take(left));
                    self.did("date-kept-as-text");
                }
            }
            (Ty::Date | Ty::Timestamp, Ty::Int) => {
                let Some(digits) = build::digits(right).filter(|digits| digits.len() == 8) else { return false };
                *right = build::text(&format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]));
                self.did("date-beside-number");
            }
            (Ty::Date | Ty::Timestamp, Ty::Text) => {
                *right = to_timestamp(take(right));
                self.did("text-beside-date");
            }
            (Ty::Bool, right_type) if right_type.is_number() => self.align_flag(left, right),
            (Ty::Bool, Ty::Literal) => {
                if string(right).is_some_and(|raw| raw == "0" || raw == "1") {
                    let digits = string(right).unwrap_or_default().to_owned();
                    *right = number(digits);
                    self.align_flag(left, right);
                }
            }
            _ => return false,
        }
        true
    }

    /// A condition or BOOLEAN column compared with a number.
    fn align_flag(&mut self, left: &mut Expr, right: &mut Expr) {
        *left = self.flag_as_number(take(left));
        let _ = right;
        self.did("flag-beside-number");
    }

    fn flag_as_number(&self, expr: Expr) -> Expr {
        cast(expr, DataType::Integer(None))
    }

    fn number_as_text(&self, expr: Expr, ty: Ty) -> Expr {
        // Averages are exact in PostgreSQL and show sixteen decimals; the others print as they are.
        if ty == Ty::Numeric && build::digits(&expr).is_none() {
            return to_text(cast(expr, DataType::DoublePrecision));
        }
        to_text(expr)
    }

    /// What SQLite and MySQL take a text for where they want a number.
    pub fn leading_number(&mut self, expr: Expr) -> Expr {
        if self.idiomatic {
            return cast(expr, DataType::Numeric(sqlparser::ast::ExactNumberInfo::None));
        }
        let found = Expr::Substring {
            expr: Box::new(expr.clone()),
            substring_from: Some(Box::new(build::text(LEADING_NUMBER))),
            substring_for: None,
            special: false,
            shorthand: false,
        };
        let parsed = cast(found, DataType::Numeric(sqlparser::ast::ExactNumberInfo::None));
        let zero = build::coalesce(parsed, number(0));
        build::case(Expr::IsNotNull(Box::new(operand(expr))), zero, None)
    }

    /// An operand of arithmetic, or the argument of SUM and AVG.
    pub fn number_operand(&mut self, expr: &mut Expr, ty: Ty) -> Ty {
        if self.stage != Stage::ToPostgres {
            return ty;
        }
        match ty {
            Ty::Literal if string(expr).is_none() => self.number_operand(expr, Ty::Text),
            Ty::Text => {
                *expr = self.leading_number(take(expr));
                self.did("text-as-number");
                Ty::Numeric
            }
            Ty::Loose => {
                *expr = self.leading_number(to_text(take(expr)));
                self.did("text-as-number");
                Ty::Numeric
            }
            Ty::Literal => {
                let parsed = string(expr).map_or("0", leading).to_owned();
                let ty = if parsed.bytes().all(|b| b.is_ascii_digit()) { Ty::Int } else { Ty::Numeric };
                *expr = number(parsed);
                self.did("text-as-number");
                ty
            }
            Ty::Bool => {
                let condition = build::strip(take(expr));
                // CASE would make 0 of a condition that is NULL.
                *expr = if !self.idiomatic || matches!(condition, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    self.flag_as_number(condition)
                } else {
                    build::case(condition, number(1), Some(number(0)))
                };
                self.did("condition-as-number");
                Ty::Int
            }
            // MySQL's 0xFF is a number beside numbers.
            Ty::Blob if self.source == Source::MySql => {
                let Expr::Value(literal) = &expr else { return ty };
                let Value::HexStringLiteral(hex) = &literal.value else { return ty };
                let Ok(found) = i64::from_str_radix(hex, 16) else { return ty };
                *expr = number(found);
                self.did("hexadecimal-numbers");
                Ty::Int
            }
            ty => ty,
        }
    }

    /// A condition or flag in a sum: 1 where it holds, else 0.
    pub fn counted(&mut self, expr: &mut Expr) -> Ty {
        let condition = build::strip(take(expr));
        *expr = match condition {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.flag_as_number(condition),
            condition => build::case(condition, number(1), Some(number(0))),
        };
        self.did("condition-as-number");
        Ty::Int
    }

    /// An operand of a text function.
    pub fn text_operand(&mut self, expr: &mut Expr, ty: Ty) {
        if self.stage == Stage::ToPostgres && ty.needs_text_cast() {
            if ty == Ty::Bool {
                self.number_operand(expr, ty);
            }
            *expr = to_text(take(expr));
            self.did("text-function-cast");
        }
    }

    /// A value where a condition is wanted.
    pub fn truth(&mut self, expr: &mut Expr, ty: Ty) {
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            return;
        }
        match ty {
            Ty::Int | Ty::Numeric | Ty::Float => {
                match build::digits(expr) {
                    Some(digits) => {
                        *expr = build::value(Value::Boolean(!digits.trim_matches(['0', '.', '-']).is_empty()))
                    }
                    None => *expr = binary(build::strip(take(expr)), BinaryOperator::NotEq, number(0)),
                }
                self.did("number-as-condition");
            }
            Ty::Text | Ty::Literal => {
                let mut found = take(expr);
                self.number_operand(&mut found, ty);
                *expr = binary(found, BinaryOperator::NotEq, number(0));
                self.did("text-as-condition");
            }
            _ => {}
        }
    }

    /// `x IN (a, b)`.
    pub fn in_list(&mut self, expr: &mut Expr, ty: Ty, list: &mut [Expr], types: &[Ty]) {
        if self.stage != Stage::ToPostgres {
            return;
        }
        let any_word = |(item, ty): (&Expr, &Ty)| {
            *ty == Ty::Text || string(item).is_some_and(|raw| raw.trim().parse::<f64>().is_err())
        };
        if ty.is_number() && list.iter().zip(types).any(any_word) {
            *expr = self.number_as_text(take(expr), ty);
            for (item, found) in list.iter_mut().zip(types) {
                if found.is_number() {
                    *item = match build::digits(item) {
                        Some(digits) => build::text(&digits),
                        None => self.number_as_text(take(item), *found),
                    };
                }
            }
            self.did("number-beside-text");
            return;
        }
        for (item, found) in list.iter_mut().zip(types) {
            self.align(expr, ty, item, *found, true);
        }
    }

    /// `x IN (SELECT y …)`.
    pub fn in_query(&mut self, expr: &mut Expr, ty: Ty, query: &mut Query, found: Ty) {
        if self.stage != Stage::ToPostgres {
            return;
        }
        if ty.is_number() && found == Ty::Text {
            *expr = self.number_as_text(take(expr), ty);
            self.did("number-beside-text");
        } else if (ty == Ty::Text && (found.is_number() || found == Ty::Loose)) && cast_only_output(query) {
            self.did("number-beside-text");
        } else if ty == Ty::Loose && found == Ty::Text {
            *expr = to_text(take(expr));
            self.did("date-kept-as-text");
        }
    }

    /// Alternatives of one value must agree: numbers beside text become text.
    pub fn unify(&mut self, alternatives: &mut [&mut Expr], types: &mut [Ty]) -> Ty {
        if self.stage == Stage::ToPostgres {
            let word = |expr: &Expr| string(expr).is_some_and(|raw| raw.trim().parse::<f64>().is_err());
            let text = alternatives.iter().zip(types.iter()).any(|(expr, ty)| *ty == Ty::Text || word(expr));
            let other = types.iter().any(|ty| ty.is_number() || ty.is_temporal() || *ty == Ty::Bool);
            if text && other {
                for (expr, ty) in alternatives.iter_mut().zip(types.iter_mut()) {
                    if let Some(digits) = build::digits(expr) {
                        **expr = build::text(&digits);
                        *ty = Ty::Literal;
                    } else if ty.needs_text_cast() {
                        let found = if *ty == Ty::Bool { self.number_operand(expr, *ty) } else { *ty };
                        **expr = self.number_as_text(take(expr), found);
                        *ty = Ty::Text;
                    }
                }
                self.did("mixed-alternatives");
                return Ty::Text;
            }
            if types.contains(&Ty::Bool) && types.iter().any(|ty| ty.is_number()) {
                for (expr, ty) in alternatives.iter_mut().zip(types.iter_mut()).filter(|(_, ty)| **ty == Ty::Bool) {
                    *ty = self.number_operand(expr, Ty::Bool);
                }
            }
        }
        types.iter().copied().reduce(Ty::either).unwrap_or_default()
    }
}

/// The number that a text begins with; 0 without one.
fn leading(raw: &str) -> &str {
    let raw = raw.trim_start();
    let bytes = raw.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(raw.starts_with(['-', '+']));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += if whole + fraction > 0 { 1 + fraction } else { 0 };
    }
    if whole + fraction == 0 {
        return "0";
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(signed);
        end = if exponent > 0 { signed + exponent } else { end };
    }
    raw[..end].trim_start_matches('+').trim_end_matches('.')
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn looks_like_date(raw: &str) -> bool {
    let bytes = raw.trim().as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-/: .TZ+".contains(b))
        && bytes[4] == b'-'
}
