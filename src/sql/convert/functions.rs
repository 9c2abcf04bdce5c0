//! Functions that the sources have and PostgreSQL has under another name, or not at all.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr, Function, FunctionArguments, OrderByOptions};

use super::build::{
    self, binary, call, case, cast, coalesce, extract, keyword, number, operand, string, take, take_arguments,
};
use super::dates::numeric;
use super::formats;
use super::order::plain_order;
use super::scope::Scope;
use super::value_type::Ty;
use super::{Rewriter, Source, Stage};

use BinaryOperator as Op;

/// Functions that only go by another name in PostgreSQL.
const RENAMED: &[(&str, &str, Ty)] = &[
    ("BIT_LENGTH", "BIT_LENGTH", Ty::Int),
    ("CHARACTER_LENGTH", "CHAR_LENGTH", Ty::Int),
    ("GEN_RANDOM_UUID", "GEN_RANDOM_UUID", Ty::Other),
    ("JSON_ARRAY", "JSON_BUILD_ARRAY", Ty::Other),
    ("JSON_ARRAYAGG", "JSON_AGG", Ty::Other),
    ("JSON_GROUP_ARRAY", "JSON_AGG", Ty::Other),
    ("JSON_GROUP_OBJECT", "JSON_OBJECT_AGG", Ty::Other),
    ("JSON_OBJECT", "JSON_BUILD_OBJECT", Ty::Other),
    ("JSON_OBJECTAGG", "JSON_OBJECT_AGG", Ty::Other),
    ("LAST_INSERT_ROWID", "LASTVAL", Ty::Int),
    ("LAST_INSERT_ID", "LASTVAL", Ty::Int),
    ("LCASE", "LOWER", Ty::Text),
    ("POW", "POWER", Ty::Float),
    ("RAND", "RANDOM", Ty::Float),
    ("SCHEMA", "CURRENT_SCHEMA", Ty::Text),
    ("STD", "STDDEV_POP", Ty::Numeric),
    ("UCASE", "UPPER", Ty::Text),
    ("UUID", "GEN_RANDOM_UUID", Ty::Other),
    ("ORD", "ASCII", Ty::Int),
    ("UNICODE", "ASCII", Ty::Int),
    ("SYSDATE", "CLOCK_TIMESTAMP", Ty::Timestamp),
    ("UTC_TIMESTAMP", "NOW", Ty::Timestamp),
];

/// Functions that PostgreSQL has nothing like.
const LACKING: &[&str] = &[
    "CHANGES",
    "CONV",
    "CRC32",
    "EXPORT_SET",
    "FOUND_ROWS",
    "HEX",
    "INET_ATON",
    "INET_NTOA",
    "MAKE_SET",
    "RANDOMBLOB",
    "ROW_COUNT",
    "SOUNDEX",
    "SQLITE_VERSION",
    "JSON_KEYS",
    "JSON_VALID",
    "OCT",
    "SHA",
    "SHA1",
    "TO_BASE64",
    "FROM_BASE64",
    "ZEROBLOB",
];

impl<'s> Rewriter<'s> {
    /// A call; its arguments are rewritten already and have these types.
    pub fn function(&mut self, expr: &mut Expr, name: &str, types: &mut [Ty], scope: &Scope<'_, 's>) -> Ty {
        if let Stage::FromPostgres(target) = self.stage {
            return self.function_from_postgres(expr, name, types, target);
        }
        let Expr::Function(function) = expr else { return Ty::Unknown };
        if self.source == Source::Postgres {
            return result_type(name, types);
        }
        if let Some((_, wanted, ty)) = RENAMED.iter().find(|(known, wanted, _)| *known == name && known != wanted)
            && (name != "RAND" || types.is_empty())
        {
            if name == "STD"
                && let Some(argument) = build::first_argument(function)
            {
                self.number_operand(argument, types[0]);
            }
            build::rename(function, wanted);
            self.did("renamed-functions");
            return *ty;
        }
        if let Some(ty) = self.odd_call(expr, name, types) {
            return ty;
        }
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let plain = build::arguments(function).map(|arguments| arguments.len());
        let first = types.first().copied().unwrap_or_default();
        match (name, plain) {
            (
                "SUM" | "AVG" | "STDDEV" | "VARIANCE" | "STDDEV_POP" | "VAR_POP" | "STDDEV_SAMP" | "VAR_SAMP",
                Some(1),
            ) => {
                let ty = match build::first_argument(function) {
                    // A sum of conditions counts; NULL counts for nothing, as it would in the sum.
                    Some(argument) if name == "SUM" && first == Ty::Bool => self.counted(argument),
                    Some(argument) => self.number_operand(argument, first),
                    None => first,
                };
                if self.source == Source::MySql && matches!(name, "STDDEV" | "VARIANCE") {
                    build::rename(function, if name == "STDDEV" { "STDDEV_POP" } else { "VAR_POP" });
                    self.did("renamed-functions");
                }
                match (name, ty) {
                    ("SUM", ty) => ty,
                    (_, Ty::Float) => Ty::Float,
                    _ => Ty::Numeric,
                }
            }
            ("TOTAL", Some(1)) => {
                if let Some(argument) = build::first_argument(function) {
                    self.number_operand(argument, first);
                }
                build::rename(function, "SUM");
                self.did("total");
                *expr = coalesce(take(expr), number("0.0"));
                Ty::Numeric
            }
            ("MAX" | "MIN", Some(count)) if count > 1 => self.greatest(expr, name == "MAX", types, scope),
            ("GREATEST" | "LEAST", Some(_)) if self.source == Source::MySql => {
                self.greatest(expr, name == "GREATEST", types, scope)
            }
            ("MAX" | "MIN", Some(1)) => {
                if first == Ty::Bool
                    && let Some(argument) = build::first_argument(function)
                {
                    return self.number_operand(argument, first);
                }
                if first == Ty::Literal { Ty::Text } else { first }
            }
            ("GROUP_CONCAT" | "STRING_AGG", _) => self.group_concat(expr, types),
            ("COUNT", Some(count)) if count > 1 => self.count_of_several(function),
            ("IF" | "IIF", Some(2 | 3)) => {
                let mut arguments = take_arguments(function).into_iter();
                let mut condition = arguments.next().unwrap_or_else(build::null);
                self.truth(&mut condition, first);
                let mut result = arguments.next().unwrap_or_else(build::null);
                let mut other = arguments.next();
                let mut found = types.get(1..).unwrap_or_default().to_vec();
                let mut results: Vec<&mut Expr> = std::iter::once(&mut result).chain(other.as_mut()).collect();
                let ty = self.unify(&mut results, &mut found);
                *expr = case(build::strip(condition), result, other);
                self.did("if-as-case");
                ty
            }
            ("IFNULL" | "COALESCE" | "NVL", Some(_)) => {
                let mut arguments = take_arguments(function);
                let mut results: Vec<&mut Expr> = arguments.iter_mut().collect();
                let ty = self.unify(&mut results, types);
                if name != "COALESCE" {
                    self.did("ifnull");
                }
                *expr = call("COALESCE", arguments);
                ty
            }
            ("NULLIF", Some(2)) => {
                let mut arguments = take_arguments(function);
                let mut compared = arguments[0].clone();
                self.align(&mut compared, first, &mut arguments[1], types[1], true);
                *expr = if compared == arguments[0] {
                    call("NULLIF", arguments)
                } else {
                    // The comparison is one of text, the result is not.
                    let equal = binary(compared, Op::Eq, arguments.remove(1));
                    case(equal, build::null(), Some(arguments.remove(0)))
                };
                first
            }
            ("ISNULL", Some(1)) => {
                let argument = take_arguments(function).remove(0);
                self.did("isnull");
                let inner = if matches!(argument, Expr::Nested(_)) { argument } else { operand(argument) };
                *expr = Expr::Nested(Box::new(Expr::IsNull(Box::new(inner))));
                Ty::Bool
            }
            ("CONCAT", Some(_)) if self.source == Source::MySql => self.concat_call(expr, types),
            ("LENGTH" | "OCTET_LENGTH", Some(1)) => {
                if let Some(argument) = build::first_argument(function) {
                    self.text_operand(argument, first);
                }
                if name == "LENGTH" && self.source == Source::MySql {
                    build::rename(function, "OCTET_LENGTH");
                    self.did("length-in-bytes");
                }
                Ty::Int
            }
            (
                "UPPER" | "LOWER" | "TRIM" | "LTRIM" | "RTRIM" | "REPLACE" | "REVERSE" | "LEFT" | "RIGHT" | "LPAD"
                | "RPAD" | "REPEAT" | "CHAR_LENGTH" | "INITCAP" | "MD5" | "ASCII" | "TRANSLATE",
                Some(count),
            ) if count > 0 => {
                if name != "REPLACE" {
                    if let Some(argument) = build::first_argument(function) {
                        self.text_operand(argument, first);
                    }
                } else if count == 3 {
                    let mut arguments = take_arguments(function);
                    for (argument, ty) in arguments.iter_mut().zip(types.iter()) {
                        self.text_operand(argument, *ty);
                    }
                    *expr = call("REPLACE", arguments);
                }
                if matches!(name, "CHAR_LENGTH" | "ASCII") { Ty::Int } else { Ty::Text }
            }
            ("SUBSTR" | "SUBSTRING" | "MID", Some(2 | 3)) => {
                let mut arguments = take_arguments(function);
                self.text_operand(&mut arguments[0], first);
                *expr = self.substring_of(arguments);
                Ty::Text
            }
            ("INSTR" | "LOCATE" | "POSITION", Some(2)) => {
                let mut arguments = take_arguments(function);
                if name != "INSTR" {
                    arguments.swap(0, 1);
                    types.swap(0, 1);
                }
                for (argument, ty) in arguments.iter_mut().zip(types.iter()) {
                    self.text_operand(argument, *ty);
                }
                self.did("position");
                *expr = call("STRPOS", arguments);
                Ty::Int
            }
            ("LOCATE", Some(3)) => {
                let mut arguments = take_arguments(function);
                let from = arguments.remove(2);
                let (what, whole) = (arguments.remove(0), arguments.remove(0));
                let tail = call("SUBSTRING", vec![whole, from.clone()]);
                let found = call("STRPOS", vec![tail, what]);
                let place = binary(binary(found.clone(), Op::Plus, from), Op::Minus, number(1));
                *expr = case(binary(found, Op::Gt, number(0)), place, Some(number(0)));
                self.did("position");
                Ty::Int
            }
            ("SUBSTRING_INDEX", Some(3)) => self.substring_index(expr),
            ("SPACE", Some(1)) => {
                let count = take_arguments(function).remove(0);
                *expr = call("REPEAT", vec![build::text(" "), count]);
                self.did("renamed-functions");
                Ty::Text
            }
            ("CHAR", Some(1)) => {
                build::rename(function, "CHR");
                self.did("renamed-functions");
                Ty::Text
            }
            ("FIELD", Some(count)) if count > 1 => {
                let mut arguments = take_arguments(function);
                let mut wanted = arguments.remove(0);
                for (item, ty) in arguments.iter_mut().zip(types.iter().skip(1)) {
                    self.align(&mut wanted, first, item, *ty, true);
                }
                let list = Expr::Array(sqlparser::ast::Array { elem: arguments, named: true });
                *expr = coalesce(call("ARRAY_POSITION", vec![list, wanted]), number(0));
                self.did("field");
                Ty::Int
            }
            ("FIND_IN_SET", Some(2)) => {
                let mut arguments = take_arguments(function);
                let set = call("STRING_TO_ARRAY", vec![arguments.remove(1), build::text(",")]);
                *expr = coalesce(call("ARRAY_POSITION", vec![set, arguments.remove(0)]), number(0));
                self.did("find-in-set");
                Ty::Int
            }
            ("ROUND" | "TRUNCATE" | "TRUNC", Some(2)) => self.round(expr, name, first),
            ("ROUND" | "CEIL" | "CEILING" | "FLOOR" | "ABS" | "SIGN" | "SQRT" | "EXP" | "POWER" | "MOD", Some(_)) => {
                let mut ty = first;
                if let Some(argument) = build::first_argument(function) {
                    ty = self.number_operand(argument, first);
                    if name == "ROUND" && ty == Ty::Float {
                        *argument = cast(take(argument), numeric());
                        self.did("round-as-numeric");
                    }
                }
                match name {
                    "SQRT" | "EXP" | "POWER" => Ty::Float,
                    "ROUND" if ty != Ty::Int => Ty::Numeric,
                    "FLOOR" | "CEIL" | "CEILING" if ty == Ty::Int => Ty::Float,
                    _ => ty,
                }
            }
            ("LOG2" | "LOG10", Some(1)) => {
                let mut argument = take_arguments(function).remove(0);
                let ty = self.number_operand(&mut argument, first);
                if ty == Ty::Float {
                    argument = cast(argument, numeric());
                }
                *expr = call("LOG", vec![number(&name[3..]), argument]);
                self.did("logarithms");
                Ty::Numeric
            }
            ("LOG", Some(1)) if self.source == Source::MySql => {
                build::rename(function, "LN");
                self.did("logarithms");
                Ty::Float
            }
            ("RANDOM", Some(0)) => Ty::Int,
            ("TYPEOF", Some(1)) => {
                build::rename(function, "PG_TYPEOF");
                self.warn("typeof gives PostgreSQL's names of types");
                Ty::Text
            }
            ("DATABASE", Some(0)) => {
                *expr = call("CURRENT_DATABASE", vec![]);
                self.did("renamed-functions");
                Ty::Text
            }
            ("JSON_EXTRACT" | "JSON_VALUE", Some(2)) => {
                let mut arguments = take_arguments(function);
                let keys = string(&arguments[1]).and_then(super::operators::json_path);
                let Some(keys) = keys else {
                    *expr = call(name, arguments);
                    self.warn("a JSON path that is no plain path");
                    return Ty::Unknown;
                };
                arguments.truncate(1);
                if first == Ty::Text {
                    arguments[0] = cast(take(&mut arguments[0]), DataType::JSON);
                }
                arguments.extend(keys.iter().map(|key| build::text(key)));
                let wanted = if name == "JSON_VALUE" || self.source == Source::Sqlite && self.has_schema() {
                    "JSON_EXTRACT_PATH_TEXT"
                } else {
                    "JSON_EXTRACT_PATH"
                };
                *expr = call(wanted, arguments);
                self.did("json-path");
                Ty::Unknown
            }
            ("REGEXP_LIKE", Some(2)) => {
                let mut arguments = take_arguments(function);
                let pattern = arguments.remove(1);
                *expr = binary(arguments.remove(0), Op::PGRegexIMatch, pattern);
                self.did("regexp");
                Ty::Bool
            }
            ("PRINTF" | "FORMAT", Some(count)) if count > 0 && self.source == Source::Sqlite => {
                self.printf(expr, types)
            }
            (name, _) if LACKING.contains(&name) => {
                self.warn(&format!("PostgreSQL has no {name}"));
                Ty::Unknown
            }
            _ => self.date_call(expr, name, types),
        }
    }

    fn date_call(&mut self, expr: &mut Expr, name: &str, types: &mut [Ty]) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let Some(count) = build::arguments(function).map(|arguments| arguments.len()) else {
            return result_type(name, types);
        };
        let first = types.first().copied().unwrap_or_default();
        let sqlite = matches!(name, "STRFTIME" | "JULIANDAY" | "DATETIME" | "UNIXEPOCH")
            || matches!(name, "DATE" | "TIME") && (self.source != Source::MySql || count > 1);
        if sqlite && !matches!(function.args, FunctionArguments::None) {
            let arguments = take_arguments(function);
            let (found, ty) = self.sqlite_date(name, arguments, types);
            *expr = found;
            return ty;
        }
        if super::mysql_dates::is_known(name, count) {
            let arguments = take_arguments(function);
            let (found, ty) = self.mysql_date(name, arguments, first, types);
            *expr = found;
            self.did("date-functions");
            return ty;
        }
        result_type(name, types)
    }
}

/// The type of a call that stays as it is.
pub(super) fn result_type(name: &str, types: &[Ty]) -> Ty {
    match name {
        "COUNT" | "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "NTILE" | "STRPOS" | "POSITION" | "LENGTH" | "CHAR_LENGTH"
        | "OCTET_LENGTH" | "DIV" | "ARRAY_POSITION" | "CARDINALITY" => Ty::Int,
        "AVG" | "LOG" => Ty::Numeric,
        "SUM" | "MIN" | "MAX" | "LAG" | "LEAD" | "FIRST_VALUE" | "LAST_VALUE" | "ABS" | "COALESCE" | "NULLIF"
        | "GREATEST" | "LEAST" => types.iter().copied().reduce(Ty::either).unwrap_or_default(),
        "ROUND" | "TRUNC" if types.len() == 2 => Ty::Numeric,
        "UPPER" | "LOWER" | "TRIM" | "CONCAT" | "CONCAT_WS" | "TO_CHAR" | "STRING_AGG" | "SPLIT_PART" | "LEFT"
        | "RIGHT" | "REPEAT" | "REPLACE" | "LPAD" | "RPAD" => Ty::Text,
        "NOW" | "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" | "DATE_TRUNC" | "TO_TIMESTAMP" => Ty::Timestamp,
        "CURRENT_DATE" | "TO_DATE" => Ty::Date,
        "CURRENT_TIME" | "LOCALTIME" => Ty::Time,
        "RANDOM" | "SQRT" | "POWER" | "EXP" | "LN" => Ty::Float,
        "AGE" => Ty::Interval,
        _ => Ty::Unknown,
    }
}

/// An ORDER BY key without options, for aggregates made here.
pub(super) fn key(expr: Expr, options: OrderByOptions) -> sqlparser::ast::OrderByExpr {
    plain_order(expr, options)
}

/// The names in a call are never looked at twice.
pub(super) fn is_aggregate(function: &Function) -> bool {
    function.over.is_none()
        && matches!(
            build::function_name(function).as_str(),
            "COUNT"
                | "SUM"
                | "AVG"
                | "MIN"
                | "MAX"
                | "GROUP_CONCAT"
                | "STRING_AGG"
                | "ARRAY_AGG"
                | "TOTAL"
                | "JSON_AGG"
                | "JSON_OBJECT_AGG"
                | "JSON_ARRAYAGG"
                | "BOOL_AND"
                | "BOOL_OR"
                | "EVERY"
                | "STDDEV"
                | "STDDEV_POP"
                | "STDDEV_SAMP"
                | "VARIANCE"
                | "VAR_POP"
                | "VAR_SAMP"
                | "BIT_AND"
                | "BIT_OR"
                | "BIT_XOR"
                | "MEDIAN"
                | "PERCENTILE_CONT"
                | "PERCENTILE_DISC"
                | "MODE"
                | "CORR"
                | "ANY_VALUE"
                | "STD"
                | "LISTAGG"
                | "GROUPING"
        )
}

/// TO_CHAR by a MySQL format.
pub(super) fn mysql_format(rewriter: &mut Rewriter<'_>, moment: Expr, raw: &str) -> Expr {
    rewriter.format(moment, raw, formats::of_mysql)
}

/// `CURRENT_DATE` and the like.
pub(super) fn today() -> Expr {
    keyword("CURRENT_DATE")
}

/// EXTRACT as the number it is in the sources.
pub(super) fn part(field: DateTimeField, moment: Expr) -> (Expr, Ty) {
    (extract(field, moment), Ty::Numeric)
}

/// A cast to INTEGER.
pub(super) fn whole(expr: Expr) -> Expr {
    cast(expr, DataType::Integer(None))
}
