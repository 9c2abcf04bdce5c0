//! Casts, and the types of MySQL, SQLite and Oracle.

use sqlparser::ast::{CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, Value};

use crate::sql::convert::build::{self, call, number, string, take};
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::{Rewriter, Target};

impl Rewriter<'_> {
    /// A cast in the target's types.
    pub fn cast_from_postgres(&mut self, expr: &mut Expr, ty: Ty, target: Target) -> Ty {
        let Expr::Cast { kind, expr: inner, data_type, .. } = expr else { return Ty::Unknown };
        let result = Ty::of_cast(data_type);
        if *kind == CastKind::DoubleColon {
            *kind = CastKind::Cast;
            **inner = build::strip(take(inner));
            self.did("double-colon-casts");
        }
        if target == Target::Sqlite
            && matches!(data_type, DataType::Date | DataType::Timestamp(..) | DataType::Time(..))
        {
            let name = match data_type {
                DataType::Date => "DATE",
                DataType::Time(..) => "TIME",
                _ => "DATETIME",
            };
            *expr = call(name, vec![take(inner)]);
            self.did("date-literals");
            return result;
        }
        if let (DataType::Bool | DataType::Boolean, Some(raw)) = (&*data_type, string(inner)) {
            // A word for true or false is no number to the others.
            let holds = ["t", "true", "y", "yes", "on", "1"].iter().any(|word| raw.eq_ignore_ascii_case(word));
            *expr = if target == Target::MySql { build::value(Value::Boolean(holds)) } else { number(u8::from(holds)) };
            self.did("boolean-literals");
            return Ty::Bool;
        }
        if target == Target::Sqlite && matches!(data_type, DataType::JSON | DataType::JSONB) {
            // SQLite's JSON is text; a cast would make a number of it.
            *expr = build::operand(take(inner));
            self.did("cast-types");
            return result;
        }
        if target == Target::Oracle && ty == Ty::Bool && result.is_number() {
            // Oracle has no values that are true or false.
            *expr = build::case(take(inner), number(1), Some(number(0)));
            self.did("condition-as-number");
            return result;
        }
        if target == Target::Sqlite
            && self.has_schema()
            && let DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. })) = data_type
        {
            let text = build::cast(take(inner), DataType::Text);
            *expr = call("SUBSTR", vec![text, number(1), number(*length)]);
            self.did("cast-types");
            return result;
        }
        let wanted = match target {
            Target::MySql => mysql_cast(data_type),
            Target::Sqlite => sqlite_cast(data_type),
            Target::Oracle => oracle_type(data_type),
            Target::Postgres => None,
        };
        if let Some(wanted) = wanted.filter(|wanted| wanted != data_type) {
            *data_type = wanted;
            self.did("cast-types");
        }
        result
    }
}

/// MySQL casts to few types.
fn mysql_cast(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::Int(_) | D::Integer(_) | D::BigInt(_) | D::SmallInt(_) | D::Int4(_) | D::Int8(_) | D::Int2(_) => D::Signed,
        D::Text | D::Varchar(None) | D::CharacterVarying(None) => D::Char(None),
        D::Varchar(Some(length)) | D::CharacterVarying(Some(length)) => D::Char(Some(*length)),
        // Without places MySQL's DECIMAL is one of whole numbers; these are the most it has.
        D::Numeric(ExactNumberInfo::None) | D::Decimal(ExactNumberInfo::None) => {
            D::Decimal(ExactNumberInfo::PrecisionAndScale(65, 30))
        }
        D::Numeric(info) => D::Decimal(*info),
        D::DoublePrecision | D::Float8 => D::Double(ExactNumberInfo::None),
        D::Real | D::Float4 => D::Float(ExactNumberInfo::None),
        D::Timestamp(..) => D::Datetime(None),
        D::Bool | D::Boolean => D::Unsigned,
        D::JSONB => D::JSON,
        D::Bytea => D::Binary(None),
        _ => return None,
    })
}

fn sqlite_cast(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::BigInt(_) | D::SmallInt(_) | D::Int4(_) | D::Int8(_) | D::Int2(_) | D::Int(_) | D::Bool | D::Boolean => {
            D::Integer(None)
        }
        D::DoublePrecision | D::Float8 | D::Float4 | D::Float(_) => D::Real,
        D::Varchar(_) | D::CharacterVarying(_) | D::Char(_) | D::Uuid => D::Text,
        D::Bytea => D::Blob(None),
        _ => return None,
    })
}

/// Oracle's types.
pub(super) fn oracle_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    let custom = |name: &str, arguments: Vec<String>| {
        D::Custom(sqlparser::ast::ObjectName::from(vec![sqlparser::ast::Ident::new(name)]), arguments)
    };
    Some(match data_type {
        D::Text => D::Clob(None),
        D::Varchar(Some(length)) | D::CharacterVarying(Some(length)) => custom("VARCHAR2", vec![length.to_string()]),
        D::Varchar(None) | D::CharacterVarying(None) => custom("VARCHAR2", vec!["4000".to_owned()]),
        D::BigInt(_) | D::Int8(_) => custom("NUMBER", vec!["19".to_owned()]),
        D::SmallInt(_) | D::Int2(_) => custom("NUMBER", vec!["5".to_owned()]),
        D::Int(_) | D::Integer(_) | D::Int4(_) => D::Int(None),
        D::Numeric(ExactNumberInfo::None) | D::Decimal(ExactNumberInfo::None) => custom("NUMBER", vec![]),
        D::Numeric(info) | D::Decimal(info) => match info {
            ExactNumberInfo::Precision(p) => custom("NUMBER", vec![p.to_string()]),
            ExactNumberInfo::PrecisionAndScale(p, s) => custom("NUMBER", vec![p.to_string(), s.to_string()]),
            ExactNumberInfo::None => return None,
        },
        D::Bool | D::Boolean => custom("NUMBER", vec!["1".to_owned()]),
        D::Bytea => D::Blob(None),
        D::JSONB => D::JSON,
        _ => return None,
    })
}
