//! Casts, literals and the functions that have a syntax of their own.

use sqlparser::ast::{BinaryOperator, CharacterLength, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value};

use super::build::{self, call, cast, string, take};
use super::compare::is_leading_number;
use super::scope::Scope;
use super::value_type::Ty;
use super::{Rewriter, Source, Stage, Target};

use BinaryOperator as Op;

impl<'s> Rewriter<'s> {
    /// `CAST(x AS type)`.
    pub fn cast(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Cast { expr: inner, data_type, .. } = expr else { return Ty::Unknown };
        let ty = self.expr(inner, scope);
        if let Stage::FromPostgres(target) = self.stage {
            return self.cast_from_postgres(expr, ty, target);
        }
        if self.source == Source::Postgres {
            return Ty::of_cast(data_type);
        }
        let declared = data_type.clone();
        if self.source == Source::MySql && matches!(declared, DataType::Binary(None)) {
            // BINARY x compares byte by byte, as PostgreSQL does anyway.
            *expr = take(inner);
            self.did("binary-comparison");
            return ty;
        }
        self.cast_type(data_type);
        let result = Ty::of_cast(data_type);
        match result {
            Ty::Int | Ty::Numeric | Ty::Float if ty == Ty::Text && !is_template(inner) && !is_leading_number(inner) => {
                **inner = self.leading_number(take(inner));
                self.did("text-as-number");
                if result == Ty::Int {
                    **inner = call("TRUNC", vec![take(inner)]);
                }
            }
            Ty::Float | Ty::Numeric
                if ty == Ty::Literal && string(inner).is_some_and(|raw| raw.trim().parse::<f64>().is_err()) =>
            {
                self.number_operand(inner, Ty::Literal);
            }
            Ty::Int if ty == Ty::Literal && string(inner).is_some_and(|raw| raw.trim().parse::<i64>().is_err()) => {
                self.number_operand(inner, Ty::Literal);
                **inner = call("TRUNC", vec![take(inner)]);
            }
            // SQLite cuts the fraction off, PostgreSQL rounds.
            Ty::Int if matches!(ty, Ty::Float | Ty::Numeric) && self.source == Source::Sqlite && !is_extract(inner) => {
                **inner = call("TRUNC", vec![take(inner)]);
                self.did("cast-truncates");
            }
            Ty::Int if ty == Ty::Bool && matches!(data_type, DataType::Int(_) | DataType::Integer(_)) => {}
            Ty::Text | Ty::Int | Ty::Numeric | Ty::Float if ty == Ty::Bool => {
                self.number_operand(inner, Ty::Bool);
            }
            Ty::Date if self.source == Source::Sqlite && matches!(declared, DataType::Date) => {}
            _ => {}
        }
        result
    }

    /// The type of a cast in PostgreSQL's words.
    fn cast_type(&mut self, data_type: &mut DataType) {
        use DataType as D;
        let mysql = self.source == Source::MySql;
        let wanted = match &*data_type {
            D::Signed | D::SignedInteger | D::Unsigned | D::UnsignedInteger => D::BigInt(None),
            D::Char(None) | D::Nvarchar(None) if mysql => D::Text,
            D::Char(Some(length)) if mysql => D::Varchar(Some(*length)),
            D::Binary(_) | D::Varbinary(_) if mysql => D::Bytea,
            D::Int(Some(_)) | D::Int(None) | D::Integer(_) if self.source == Source::Sqlite => {
                // SQLite's integers have 64 bits; most values do not need them.
                D::Integer(None)
            }
            other => match self.plain_type(other) {
                Some(wanted) => wanted,
                None => return,
            },
        };
        if wanted != *data_type && !matches!((&*data_type, &wanted), (D::Int(None), D::Integer(None))) {
            self.did("cast-types");
            *data_type = wanted;
        }
    }

    /// A type that PostgreSQL has under another name; none: it has this one.
    pub fn plain_type(&mut self, data_type: &DataType) -> Option<DataType> {
        use DataType as D;
        Some(match data_type {
            D::TinyInt(_) | D::UTinyInt | D::Int2(_) => D::SmallInt(None),
            D::SmallInt(Some(_)) => D::SmallInt(None),
            D::MediumInt(_) | D::Int(Some(_)) => D::Int(None),
            D::Integer(Some(_)) => D::Integer(None),
            D::BigInt(Some(_)) => D::BigInt(None),
            D::TinyIntUnsigned(_) => D::SmallInt(None),
            D::SmallIntUnsigned(_) => D::Int(None),
            D::MediumIntUnsigned(_) => D::Int(None),
            D::IntUnsigned(_) | D::IntegerUnsigned(_) | D::UnsignedInteger | D::Unsigned => D::BigInt(None),
            D::BigIntUnsigned(_) => D::Numeric(ExactNumberInfo::Precision(20)),
            D::Double(_) | D::DoubleUnsigned(_) | D::DoublePrecisionUnsigned => D::DoublePrecision,
            D::Real | D::RealUnsigned => D::DoublePrecision,
            D::Float(ExactNumberInfo::PrecisionAndScale(..)) | D::FloatUnsigned(_) => D::DoublePrecision,
            D::Float(_) if self.source == Source::Sqlite => D::DoublePrecision,
            D::Float(ExactNumberInfo::None) => D::Real,
            D::DecimalUnsigned(info) | D::DecUnsigned(info) => D::Decimal(*info),
            D::Dec(info) => D::Decimal(*info),
            D::Datetime(_) => D::Timestamp(None, TimezoneInfo::None),
            D::Timestamp(_, TimezoneInfo::None) if self.source == Source::MySql => return None,
            D::TinyText | D::MediumText | D::LongText | D::String(_) | D::Clob(_) => D::Text,
            D::Nvarchar(Some(length)) => D::Varchar(Some(*length)),
            D::Nvarchar(None) => D::Text,
            D::Blob(_) | D::TinyBlob | D::MediumBlob | D::LongBlob | D::Binary(_) | D::Varbinary(_) => D::Bytea,
            D::Enum(..) | D::Set(_) => D::Text,
            D::Varchar(Some(CharacterLength::Max)) => D::Text,
            D::Custom(name, _) => {
                let name = name.to_string().to_ascii_uppercase();
                match name.as_str() {
                    "YEAR" => D::SmallInt(None),
                    "NUMBER" => D::Numeric(ExactNumberInfo::None),
                    "LONG" => D::Text,
                    _ => return None,
                }
            }
            D::JSON if self.source == Source::MySql => D::JSONB,
            _ => return None,
        })
    }

    /// `CONVERT(x, type)` and `CONVERT(x USING charset)`.
    pub fn convert_call(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Convert { expr: inner, data_type, .. } = expr else { return Ty::Unknown };
        if self.stage != Stage::ToPostgres || self.source == Source::Postgres {
            return self.expr(inner, scope);
        }
        self.did("convert-as-cast");
        match data_type.take() {
            Some(data_type) => {
                *expr = cast(take(inner), data_type);
                self.cast(expr, scope)
            }
            None => {
                let ty = self.expr(inner, scope);
                *expr = take(inner);
                ty
            }
        }
    }

    /// `SUBSTRING(x FROM a FOR b)` and `SUBSTR(x, a, b)` where the parser knows the form.
    pub fn substring(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Substring { expr: inner, substring_from, substring_for, special, shorthand } = expr else {
            return Ty::Text;
        };
        let ty = self.expr(inner, scope);
        self.text_operand(inner, ty);
        for part in substring_from.iter_mut().chain(substring_for.iter_mut()) {
            self.expr(part, scope);
        }
        if let Stage::FromPostgres(target) = self.stage {
            self.substring_from_postgres(expr, target);
            return Ty::Text;
        }
        let from = substring_from.as_deref().and_then(build::digits);
        let from_end = from.is_some_and(|digits| digits.starts_with('-') || digits == "0");
        if self.source != Source::Postgres && from_end {
            let mut arguments = vec![take(inner)];
            arguments.extend(substring_from.take().map(|from| *from));
            arguments.extend(substring_for.take().map(|length| *length));
            *expr = self.substring_of(arguments);
            return Ty::Text;
        }
        if self.source != Source::Postgres && (*shorthand || *special) {
            (*special, *shorthand) = (false, false);
            self.did("renamed-functions");
        }
        Ty::Text
    }

    /// `POSITION(a IN b)`.
    pub fn position(&mut self, expr: &mut Expr) {
        if let (Stage::FromPostgres(target), Expr::Position { expr: what, r#in }) = (self.stage, &mut *expr)
            && target != Target::MySql
        {
            *expr = call("INSTR", vec![take(r#in), take(what)]);
            self.did("position");
        }
    }

    /// `TRIM(…)`.
    pub fn trim(&mut self, expr: &mut Expr) {
        if let Stage::FromPostgres(target) = self.stage {
            self.trim_from_postgres(expr, target);
        }
    }

    /// `x COLLATE name`: names of collations are each system's own.
    pub fn collate(&mut self, expr: &mut Expr) {
        let Expr::Collate { expr: inner, collation } = expr else { return };
        if self.stage != Stage::ToPostgres || self.source != Source::Postgres {
            if collation.to_string().eq_ignore_ascii_case("nocase") && self.stage == Stage::ToPostgres {
                *expr = call("LOWER", vec![take(inner)]);
                self.did("collate-nocase");
                return;
            }
            self.did("collation-dropped");
            *expr = take(inner);
        }
    }

    /// `x AT TIME ZONE z`.
    pub fn at_time_zone(&mut self, expr: &mut Expr) {
        if let (Stage::FromPostgres(Target::MySql | Target::Sqlite), Expr::AtTimeZone { timestamp, .. }) =
            (self.stage, &mut *expr)
        {
            self.warn("AT TIME ZONE has no equivalent and was dropped");
            *expr = take(timestamp);
        }
    }

    /// `_utf8'x'`.
    pub fn prefixed(&mut self, expr: &mut Expr) {
        if let Expr::Prefixed { value, .. } = expr
            && self.source == Source::MySql
        {
            *expr = take(value);
            self.did("charset-prefix-dropped");
        }
    }

    /// `DATE 'x'`.
    pub fn typed_string(&mut self, expr: &mut Expr) {
        match self.stage {
            Stage::FromPostgres(target) => self.typed_string_from_postgres(expr, target),
            Stage::ToPostgres => {
                if let Expr::TypedString(typed) = expr
                    && matches!(typed.data_type, DataType::Datetime(_))
                {
                    typed.data_type = DataType::Timestamp(None, TimezoneInfo::None);
                    self.did("cast-types");
                }
            }
        }
    }

    /// `MATCH (a, b) AGAINST ('x')`: full-text search of each column.
    pub fn match_against(&mut self, expr: &mut Expr, _scope: &Scope<'_, 's>) -> Ty {
        let Expr::MatchAgainst { columns, match_value, .. } = expr else { return Ty::Bool };
        if self.stage != Stage::ToPostgres {
            return Ty::Bool;
        }
        let pattern = Expr::Value(match_value.clone());
        let found = columns.iter().map(|name| {
            let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
            let column = match <[_; 1]>::try_from(parts) {
                Ok([ident]) => Expr::Identifier(ident),
                Err(parts) => Expr::CompoundIdentifier(parts),
            };
            super::operators::plain(column, Op::AtAt, pattern.clone())
        });
        let any = found.reduce(|a, b| super::operators::plain(a, Op::Or, b)).unwrap_or_else(build::null);
        *expr = Expr::Nested(Box::new(any));
        self.did("full-text-search");
        Ty::Bool
    }

    /// Literals that only the source has.
    pub fn foreign_literal(&mut self, literal: &mut Value) {
        match self.stage {
            Stage::ToPostgres => {
                if let Value::Number(digits, _) = literal
                    && let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"))
                    && let Ok(found) = i64::from_str_radix(hex, 16)
                    && self.source == Source::Sqlite
                {
                    *digits = found.to_string();
                    self.did("hexadecimal-numbers");
                }
                if let Value::NationalStringLiteral(text) = literal {
                    *literal = Value::SingleQuotedString(std::mem::take(text));
                    self.did("charset-prefix-dropped");
                }
            }
            Stage::FromPostgres(target) => self.literal_from_postgres(literal, target),
        }
    }
}

/// `x COLLATE NOCASE`.
pub(super) fn is_nocase(expr: &Expr) -> bool {
    matches!(build_ref(expr), Expr::Collate { collation, .. } if collation.to_string().eq_ignore_ascii_case("nocase"))
}

/// The operators that a collation concerns.
pub(super) fn is_comparison(op: &Op) -> bool {
    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
}

/// The value in small letters, once.
pub(super) fn lowered(expr: Expr) -> Expr {
    match (build::string(&expr), &expr) {
        (Some(raw), _) => build::value(Value::SingleQuotedString(raw.to_lowercase())),
        (_, Expr::Function(function)) if build::function_name(function) == "LOWER" => expr,
        _ => call("LOWER", vec![build::strip(expr)]),
    }
}

/// What TO_CHAR gives is a number if the template says so: no leading number to look for.
fn is_template(expr: &Expr) -> bool {
    super::operators::is_call(build_ref(expr), &["TO_CHAR"])
}

fn is_extract(expr: &Expr) -> bool {
    matches!(build_ref(expr), Expr::Extract { .. })
}

fn build_ref(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => build_ref(inner),
        expr => expr,
    }
}
