//! Functions for MySQL, SQLite and Oracle.

use sqlparser::ast::{DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Value};

use crate::sql::convert::build::{self, call, case, number, take, take_arguments};
use crate::sql::convert::functions::result_type;
use crate::sql::convert::value_type::Ty;
use crate::sql::convert::{Rewriter, Target};

/// PostgreSQL's name, and what the targets call it: MySQL, SQLite, Oracle. Empty: the same.
const NAMES: &[(&str, &str, &str, &str)] = &[
    ("ARRAY_AGG", "GROUP_CONCAT", "GROUP_CONCAT", "COLLECT"),
    ("CHAR_LENGTH", "", "LENGTH", "LENGTH"),
    ("CHARACTER_LENGTH", "", "LENGTH", "LENGTH"),
    ("CHR", "CHAR", "CHAR", ""),
    ("CLOCK_TIMESTAMP", "SYSDATE", "DATETIME", "SYSTIMESTAMP"),
    ("GREATEST", "", "MAX", ""),
    ("JSON_AGG", "JSON_ARRAYAGG", "JSON_GROUP_ARRAY", "JSON_ARRAYAGG"),
    ("JSONB_AGG", "JSON_ARRAYAGG", "JSON_GROUP_ARRAY", "JSON_ARRAYAGG"),
    ("JSON_BUILD_ARRAY", "JSON_ARRAY", "JSON_ARRAY", "JSON_ARRAY"),
    ("JSON_BUILD_OBJECT", "JSON_OBJECT", "JSON_OBJECT", "JSON_OBJECT"),
    ("JSON_OBJECT_AGG", "JSON_OBJECTAGG", "JSON_GROUP_OBJECT", "JSON_OBJECTAGG"),
    ("LEAST", "", "MIN", ""),
    ("LEN", "LENGTH", "LENGTH", "LENGTH"),
    ("RANDOM", "RAND", "", "DBMS_RANDOM.VALUE"),
    ("STRPOS", "INSTR", "INSTR", "INSTR"),
    ("TRUNC", "TRUNCATE", "", ""),
    ("UNICODE", "ORD", "UNICODE", "ASCII"),
];

impl Rewriter<'_> {
    /// A call in the target's words; its arguments are rewritten already.
    pub fn function_from_postgres(&mut self, expr: &mut Expr, name: &str, types: &[Ty], target: Target) -> Ty {
        if let Some(ty) = self.other_words(expr, name, types, target) {
            return ty;
        }
        let ty = result_type(name, types);
        let Expr::Function(function) = expr else { return ty };
        let plain = build::arguments(function).map(|arguments| arguments.len());
        if let Some(count) = plain {
            let mut arguments: Vec<Expr> = Vec::new();
            if matches!(function.args, FunctionArguments::List(_)) && function.over.is_none() && is_date(name) {
                arguments = build::arguments(function).unwrap_or_default().into_iter().cloned().collect();
            }
            if !arguments.is_empty()
                && let Some(found) = self.date_function_from_postgres(name, &mut arguments, target)
            {
                *expr = found;
                self.did("date-functions");
                return ty;
            }
            match (name, target) {
                ("NOW", Target::MySql) => {
                    build::rename(function, "CURRENT_TIMESTAMP");
                    self.did("renamed-functions");
                    return ty;
                }
                ("NOW" | "LOCALTIMESTAMP", Target::Sqlite | Target::Oracle) => {
                    *expr = build::keyword("CURRENT_TIMESTAMP");
                    self.did("renamed-functions");
                    return ty;
                }
                ("LOG2" | "LOG10", _) if count == 1 => {
                    let argument = take_arguments(function).remove(0);
                    *expr = call("LOG", vec![number(&name[3..]), argument]);
                    self.did("logarithms");
                    return ty;
                }
                ("LPAD" | "RPAD", Target::MySql) if count == 2 => {
                    let mut arguments = take_arguments(function);
                    arguments.push(build::text(" "));
                    *expr = call(name, arguments);
                    self.did("padding");
                    return ty;
                }
                ("LEFT", Target::Sqlite | Target::Oracle) if count == 2 => {
                    let mut arguments = take_arguments(function);
                    let length = arguments.remove(1);
                    *expr = call("SUBSTR", vec![arguments.remove(0), number(1), length]);
                    self.did("renamed-functions");
                    return ty;
                }
                ("RIGHT", Target::Sqlite | Target::Oracle) if count == 2 => {
                    let mut arguments = take_arguments(function);
                    let length = build::operand(arguments.remove(1));
                    let back = Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr: Box::new(length) };
                    *expr = call("SUBSTR", vec![arguments.remove(0), back]);
                    self.did("renamed-functions");
                    return ty;
                }
                ("TRUNC", Target::Sqlite) if count == 1 => {
                    let argument = take_arguments(function).remove(0);
                    *expr = build::cast(argument, DataType::Integer(None));
                    self.did("renamed-functions");
                    return Ty::Int;
                }
                ("DIV", Target::Sqlite | Target::MySql) if count == 2 => {
                    let mut arguments = take_arguments(function);
                    let right = build::operand(arguments.remove(1));
                    let left = build::operand(arguments.remove(0));
                    let op = if target == Target::MySql {
                        sqlparser::ast::BinaryOperator::MyIntegerDivide
                    } else {
                        sqlparser::ast::BinaryOperator::Divide
                    };
                    *expr = crate::sql::convert::operators::plain(left, op, right);
                    self.did("integer-division");
                    return Ty::Int;
                }
                ("JSON_EXTRACT_PATH" | "JSON_EXTRACT_PATH_TEXT" | "JSONB_EXTRACT_PATH", _) if count > 1 => {
                    let mut arguments = take_arguments(function).into_iter();
                    let value = arguments.next().unwrap_or_else(build::null);
                    let mut path = String::from("$");
                    for key in arguments {
                        let key = build::string(&key).unwrap_or_default().to_owned();
                        if key.bytes().all(|b| b.is_ascii_digit()) && !key.is_empty() {
                            path.push_str(&format!("[{key}]"));
                        } else {
                            path.push_str(&format!(".{key}"));
                        }
                    }
                    let found = call("JSON_EXTRACT", vec![value, build::text(&path)]);
                    *expr = if name.ends_with("TEXT") && target == Target::MySql {
                        call("JSON_UNQUOTE", vec![found])
                    } else {
                        found
                    };
                    self.did("json-path");
                    return ty;
                }
                ("SPLIT_PART", Target::MySql) if count == 3 => {
                    let arguments = take_arguments(function);
                    let separator = arguments[1].clone();
                    *expr = call("SUBSTRING_INDEX", vec![call("SUBSTRING_INDEX", arguments), separator, number(-1)]);
                    self.did("substring-index");
                    return ty;
                }
                ("CONCAT", Target::Sqlite) => {
                    let parts = take_arguments(function).into_iter();
                    let parts = parts.map(|part| build::coalesce(part, build::text("")));
                    let joined = parts.reduce(|a, b| build::binary(a, sqlparser::ast::BinaryOperator::StringConcat, b));
                    *expr = build::operand(joined.unwrap_or_else(build::null));
                    self.did("concat");
                    return ty;
                }
                ("STDDEV" | "STDDEV_POP" | "STDDEV_SAMP" | "VARIANCE" | "VAR_POP" | "VAR_SAMP", Target::Sqlite) => {
                    self.warn(&format!("SQLite has no {name}"));
                    return ty;
                }
                _ => {}
            }
        }
        if let Some(filter) = function.filter.take_if(|_| target != Target::Sqlite) {
            // SUM(x) FILTER (WHERE c) counts the rows where c holds.
            if let Some(argument) = build::first_argument(function) {
                *argument = case(*filter, take(argument), None);
            } else if let FunctionArguments::List(list) = &mut function.args {
                let one = case(*filter, number(1), None);
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(one))];
            }
            self.did("aggregate-filter");
        }
        if name == "STRING_AGG" {
            self.string_aggregate(expr, target);
            return Ty::Text;
        }
        let wanted = NAMES.iter().find(|(known, ..)| *known == name).map(|(_, mysql, sqlite, oracle)| match target {
            Target::MySql => *mysql,
            Target::Sqlite => *sqlite,
            Target::Oracle => *oracle,
            Target::Postgres => "",
        });
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            if let Some((package, name)) = wanted.split_once('.') {
                let parts = vec![sqlparser::ast::Ident::new(package), sqlparser::ast::Ident::new(name)];
                function.name = sqlparser::ast::ObjectName::from(parts);
            } else {
                build::rename(function, wanted);
            }
            self.did("renamed-functions");
        }
        ty
    }

    /// STRING_AGG(x, sep ORDER BY y).
    fn string_aggregate(&mut self, expr: &mut Expr, target: Target) {
        let Expr::Function(function) = expr else { return };
        let FunctionArguments::List(list) = &mut function.args else { return };
        match target {
            Target::MySql => {
                let separator = if list.args.len() == 2 { list.args.pop() } else { None };
                match separator {
                    Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(text)))) => {
                        let default = matches!(&text.value, Value::SingleQuotedString(text) if text == ",");
                        list.clauses.extend((!default).then_some(FunctionArgumentClause::Separator(text)));
                    }
                    // MySQL takes only a literal there.
                    Some(other) => {
                        list.args.push(other);
                        self.warn("STRING_AGG with a separator that is no literal");
                        return;
                    }
                    None => {}
                }
                build::rename(function, "GROUP_CONCAT");
            }
            Target::Oracle => {
                let mut order = Vec::new();
                for clause in std::mem::take(&mut list.clauses) {
                    match clause {
                        FunctionArgumentClause::OrderBy(keys) => order = keys,
                        other => list.clauses.push(other),
                    }
                }
                function.within_group = order;
                build::rename(function, "LISTAGG");
            }
            _ => {
                build::rename(function, "GROUP_CONCAT");
            }
        }
        self.did("group-concat");
    }
}

fn is_date(name: &str) -> bool {
    matches!(name, "TO_CHAR" | "TO_DATE" | "TO_TIMESTAMP" | "DATE_TRUNC" | "AGE" | "MAKE_TIME")
}
