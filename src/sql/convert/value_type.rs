//! What kind of value an expression has, as far as the schema and the text tell.

use sqlparser::ast::{DataType, Value};

use super::Source;

/// The kind of a value in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ty {
    /// Not known.
    #[default]
    Unknown,
    /// NULL.
    Null,
    /// An integer.
    Int,
    /// An exact number.
    Numeric,
    /// A binary floating-point number.
    Float,
    /// Text of a column or a function.
    Text,
    /// A string literal, which takes the type of what it meets.
    Literal,
    /// A condition.
    Bool,
    /// A date.
    Date,
    /// A date and time.
    Timestamp,
    /// A column that its DDL calls a date but that SQLite keeps as text or number: either in the target.
    Loose,
    /// A time of day.
    Time,
    /// A span of time.
    Interval,
    /// Bytes.
    Blob,
    /// Anything else.
    Other,
}

impl Ty {
    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Numeric | Self::Float)
    }

    /// Whether it is text, a literal included.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Literal)
    }

    /// Whether it is a date or time of some kind.
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::Time | Self::Loose)
    }

    /// Whether text functions take it only after a cast.
    pub fn needs_text_cast(self) -> bool {
        self.is_number() || self.is_temporal() || matches!(self, Self::Bool | Self::Interval)
    }

    /// The type of a column declared as `declared` (words in upper case).
    pub fn of_column(declared: Option<&str>, source: Source) -> Self {
        let Some(declared) = declared else { return Self::Unknown };
        let declared = declared.to_ascii_uppercase();
        let word = declared.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        if declared.ends_with("[]") {
            return Self::Other;
        }
        match word {
            "INT" | "INTEGER" | "SMALLINT" | "BIGINT" | "TINYINT" | "MEDIUMINT" | "INT2" | "INT4" | "INT8"
            | "SERIAL" | "BIGSERIAL" | "SMALLSERIAL" | "YEAR" => Self::Int,
            "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" | "MONEY" | "FIXED" => Self::Numeric,
            "REAL" | "DOUBLE" | "FLOAT" | "FLOAT4" | "FLOAT8" => Self::Float,
            "BOOL" | "BOOLEAN" => Self::Bool,
            "DATE" if source != Source::Sqlite => Self::Date,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMPTZ" if source != Source::Sqlite => Self::Timestamp,
            "DATE" | "DATETIME" | "TIMESTAMP" | "TIMESTAMPTZ" => Self::Loose,
            "TIME" | "TIMETZ" => {
                if source == Source::Sqlite {
                    Self::Loose
                } else {
                    Self::Time
                }
            }
            "INTERVAL" => Self::Interval,
            "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => Self::Blob,
            "JSON" | "JSONB" | "UUID" | "XML" | "BIT" | "POINT" | "GEOMETRY" => Self::Other,
            "" => Self::Unknown,
            _ if source == Source::Sqlite && declared.contains("INT") => Self::Int,
            _ => Self::Text,
        }
    }

    /// The type that a cast gives.
    pub fn of_cast(data_type: &DataType) -> Self {
        use DataType as D;
        match data_type {
            D::Date => Self::Date,
            D::Datetime(_) | D::Timestamp(..) => Self::Timestamp,
            D::Time(..) => Self::Time,
            D::Interval { .. } => Self::Interval,
            D::Bool | D::Boolean => Self::Bool,
            D::JSON | D::JSONB | D::Array(_) | D::Uuid => Self::Other,
            D::Signed | D::SignedInteger | D::Unsigned | D::UnsignedInteger => Self::Int,
            other => Self::of_column(Some(&other.to_string().to_ascii_uppercase()), Source::Postgres),
        }
    }

    /// The type of a literal.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Number(digits, _) if digits.bytes().all(|b| b.is_ascii_digit()) => Self::Int,
            Value::Number(..) => Self::Numeric,
            Value::Boolean(_) => Self::Bool,
            Value::Null => Self::Null,
            Value::HexStringLiteral(_) => Self::Blob,
            Value::Placeholder(_) => Self::Unknown,
            _ => Self::Literal,
        }
    }

    /// The type of one of several alternatives (CASE, COALESCE, UNION).
    pub fn either(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, b) => b,
            (a, Self::Null) => a,
            (Self::Literal, b) => b,
            (a, Self::Literal) => a,
            (a, b) if a.is_number() && b.is_number() => a.number_with(b),
            (Self::Date, Self::Timestamp) | (Self::Timestamp, Self::Date) => Self::Timestamp,
            _ => Self::Unknown,
        }
    }

    /// The type of `a + b` for two numbers.
    pub fn number_with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Float, _) | (_, Self::Float) => Self::Float,
            (Self::Numeric, _) | (_, Self::Numeric) => Self::Numeric,
            (Self::Int, Self::Int) => Self::Int,
            _ => Self::Unknown,
        }
    }
}
