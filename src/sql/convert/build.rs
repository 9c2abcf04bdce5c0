//! Small makers of syntax trees, so that rules read like the SQL they write.
//!
//! Strings in the trees of this room are raw: their quotes are already doubled, as `Display` then writes them verbatim.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, DateTimeField, Expr, ExtractSyntax, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, TimezoneInfo, UnaryOperator,
    Value, ValueWithSpan,
};
use sqlparser::tokenizer::Span;

/// A value.
pub(super) fn value(value: Value) -> Expr {
    Expr::Value(ValueWithSpan { value, span: Span::empty() })
}

/// A string; `text` is not escaped yet.
pub(super) fn text(text: &str) -> Expr {
    value(Value::SingleQuotedString(text.replace('\'', "''")))
}

/// A number.
pub(super) fn number(number: impl ToString) -> Expr {
    value(Value::Number(number.to_string(), false))
}

/// NULL.
pub(super) fn null() -> Expr {
    value(Value::Null)
}

/// A bare word.
pub(super) fn word(word: &str) -> Expr {
    Expr::Identifier(Ident::new(word))
}

/// Moves an expression out of a tree that is being rewritten.
pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

/// `name(arguments)`.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    function(name, FunctionArguments::List(list))
}

/// `NAME` without brackets, as CURRENT_DATE.
pub(super) fn keyword(name: &str) -> Expr {
    function(name, FunctionArguments::None)
}

fn function(name: &str, args: FunctionArguments) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The expression as an operand: in brackets unless it holds together by itself.
pub(super) fn operand(expr: Expr) -> Expr {
    if holds_together(&expr) { expr } else { Expr::Nested(Box::new(expr)) }
}

/// Whether an expression needs no brackets as an operand.
pub(super) fn holds_together(expr: &Expr) -> bool {
    !matches!(
        expr,
        Expr::BinaryOp { .. }
            | Expr::UnaryOp { .. }
            | Expr::Between { .. }
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::RLike { .. }
            | Expr::SimilarTo { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::AtTimeZone { .. }
            | Expr::Exists { negated: true, .. }
    )
}

/// `left op right`, with brackets where an operand needs them.
pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let keeps = |expr: &Expr| matches!((expr, &op), (Expr::BinaryOp { op: inner, .. }, outer) if inner == outer && matches!(outer, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::StringConcat | BinaryOperator::Plus));
    if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        let looser = |expr: &Expr| matches!(expr, Expr::BinaryOp { op: BinaryOperator::Or | BinaryOperator::Xor, .. });
        let part = |expr: Expr| if looser(&expr) && op == BinaryOperator::And { operand(expr) } else { expr };
        let (left, right) = (part(left), part(right));
        return Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    }
    let left = if keeps(&left) { left } else { operand(left) };
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(operand(right)) }
}

/// `CAST(expr AS data_type)`.
pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(strip(expr)), data_type, format: None }
}

/// `CAST(expr AS TEXT)`.
pub(super) fn to_text(expr: Expr) -> Expr {
    cast(expr, DataType::Text)
}

/// `CAST(expr AS TIMESTAMP)`.
pub(super) fn to_timestamp(expr: Expr) -> Expr {
    cast(expr, DataType::Timestamp(None, TimezoneInfo::None))
}

/// Without the brackets around it.
pub(super) fn strip(expr: Expr) -> Expr {
    match expr {
        Expr::Nested(inner) if !matches!(*inner, Expr::Subquery(_)) => strip(*inner),
        expr => expr,
    }
}

/// `EXTRACT(field FROM expr)`.
pub(super) fn extract(field: DateTimeField, expr: Expr) -> Expr {
    Expr::Extract { field, syntax: ExtractSyntax::From, expr: Box::new(expr) }
}

/// `INTERVAL 'text'`.
pub(super) fn interval(amount: &str) -> Expr {
    Expr::Interval(Interval {
        value: Box::new(text(amount)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// `CASE WHEN condition THEN result ELSE other END`.
pub(super) fn case(condition: Expr, result: Expr, other: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: other.map(Box::new),
    }
}

/// `NOT expr`.
pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(operand(expr)) }
}

/// `COALESCE(expr, other)`.
pub(super) fn coalesce(expr: Expr, other: Expr) -> Expr {
    call("COALESCE", vec![expr, other])
}

/// The raw text of a string literal.
pub(super) fn string(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        Expr::Nested(inner) => string(inner),
        _ => None,
    }
}

/// The digits of a number literal, with its sign.
pub(super) fn digits(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Some(digits.clone()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => digits(expr).map(|digits| format!("-{digits}")),
        Expr::Nested(inner) => digits(inner),
        _ => None,
    }
}

/// The arguments of a call, if they are plain expressions.
pub(super) fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return matches!(function.args, FunctionArguments::None).then(Vec::new);
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// The first plain argument of a call.
pub(super) fn first_argument(function: &mut Function) -> Option<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.first_mut()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// Takes the plain arguments out of a call.
pub(super) fn take_arguments(function: &mut Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return Vec::new() };
    std::mem::take(&mut list.args)
        .into_iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// Gives a call another name.
pub(super) fn rename(function: &mut Function, name: &str) {
    function.name = ObjectName::from(vec![Ident::new(name)]);
}

/// The function's name in upper case, if it has one part.
pub(super) fn function_name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_ascii_uppercase()).unwrap_or_default(),
        _ => String::new(),
    }
}
