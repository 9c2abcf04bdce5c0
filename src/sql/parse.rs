//! Statements from text, by `sqlparser`, with the limits that keep hostile text from exhausting the stack.

use sqlparser::ast::Statement;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::Dialect;
use crate::error::{Problem, Result};

/// How deep brackets and subqueries may nest. The deepest query of Spider has 6 levels.
const DEEPEST_NESTING: usize = 60;

/// How many operators one text may chain (`a OR b OR …`). Each is one level of the tree, and a tree this deep is freed
/// within a quarter of a 2 MiB thread stack even without optimisation.
const MOST_OPERATORS: usize = 2_000;

/// Parses one or more statements. Text without any statement is an error.
pub fn parse(sql: &str, dialect: Dialect) -> Result<Vec<Statement>> {
    let refuse = |reason: &str| Problem::input(format!("the SQL does not parse as {}: {reason}", dialect.name()));
    let tokens =
        Tokenizer::new(dialect.parser(), sql).tokenize_with_location().map_err(|error| refuse(&error.to_string()))?;
    check_size(&tokens).map_err(|reason| refuse(&reason))?;
    let statements = parse_tokens(tokens, dialect).map_err(|reason| refuse(&reason))?;
    if statements.is_empty() {
        return Err(refuse("there is no statement in it").into());
    }
    Ok(statements)
}

/// Refuses what would make a tree too deep.
pub(super) fn check_size(tokens: &[TokenWithSpan]) -> Result<(), String> {
    if tokens.iter().filter(|token| is_operator(token)).count() > MOST_OPERATORS {
        return Err(format!("more than {MOST_OPERATORS} operators"));
    }
    Ok(())
}

/// Parses tokens, nested no deeper than is safe.
pub(super) fn parse_tokens(tokens: Vec<TokenWithSpan>, dialect: Dialect) -> Result<Vec<Statement>, String> {
    Parser::new(dialect.parser())
        .with_recursion_limit(DEEPEST_NESTING)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| without_prefix(&error.to_string()).to_owned())
}

/// The kind of a statement as one lower-case word (`select`, `insert`, `create`, …), for counts.
pub fn summary(statement: &Statement) -> &'static str {
    match statement {
        Statement::Query(query) if query.with.is_some() => "with",
        Statement::Query(_) => "select",
        Statement::Insert(_) => "insert",
        Statement::Update(_) => "update",
        Statement::Delete(_) => "delete",
        Statement::CreateTable(_) | Statement::CreateView(_) | Statement::CreateIndex(_) => "create",
        Statement::AlterTable(_) => "alter",
        Statement::Drop { .. } => "drop",
        _ => "other",
    }
}

/// The names of the tables that statements read and write, once each, without what they are qualified with.
pub fn relations(statements: &[Statement]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for statement in statements {
        let _ = crate::sql::walk::visit_relations(statement, |name| {
            if let Some(ident) = name.0.last().and_then(|part| part.as_ident())
                && !names.iter().any(|known| known.eq_ignore_ascii_case(&ident.value))
            {
                names.push(ident.value.clone());
            }
            std::ops::ControlFlow::Continue(())
        });
    }
    names
}

/// The strings and numbers that statements name, once each.
pub fn literals(statements: &[Statement]) -> Vec<String> {
    use sqlparser::ast::{Expr, Value};
    let mut found: Vec<String> = Vec::new();
    for statement in statements {
        let _ = crate::sql::walk::visit_expressions(statement, |expr| {
            if let Expr::Value(literal) = expr
                && let Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::Number(text, _) =
                    &literal.value
                && !found.contains(text)
            {
                found.push(text.clone());
            }
            std::ops::ControlFlow::Continue(())
        });
    }
    found
}

/// Whether the rows of a statement come in an order that it asks for: its outermost query has ORDER BY.
pub fn is_ordered(statements: &[Statement]) -> bool {
    matches!(statements, [Statement::Query(query)] if query.order_by.is_some())
}

fn without_prefix(message: &str) -> &str {
    message.strip_prefix("sql parser error: ").unwrap_or(message)
}

fn is_operator(token: &TokenWithSpan) -> bool {
    use sqlparser::keywords::Keyword as K;
    match &token.token {
        Token::Word(word) => {
            matches!(word.keyword, K::AND | K::OR | K::XOR | K::IS | K::LIKE | K::UNION | K::INTERSECT | K::EXCEPT)
        }
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_table_expressions_and_casts_stay() {
        let sql = "WITH t AS (SELECT SUM(price::numeric) AS s FROM orders) SELECT s FROM t";
        assert_eq!(parse(sql, Dialect::Postgres).unwrap()[0].to_string().to_lowercase(), sql.to_lowercase());
    }

    #[test]
    fn what_is_no_sql_is_refused_with_the_place() {
        for sql in ["", " ; ", "-- nothing", "SELEC 1", "SELECT 'open", "MATCH (n) RETURN n"] {
            let error = parse(sql, Dialect::Postgres).unwrap_err();
            assert_eq!(crate::error::classify(&error).0, crate::error::Exit::Input, "{sql}");
        }
        assert!(parse("SELECT FROM WHERE )", Dialect::Sqlite).unwrap_err().to_string().contains("Column"));
    }

    #[test]
    fn bombs_are_refused_and_what_is_accepted_can_be_dropped() {
        let chain = |n: usize| format!("SELECT 1{}", " + 1".repeat(n));
        let run = move || {
            assert!(parse(&chain(MOST_OPERATORS + 1), Dialect::Postgres).is_err());
            assert!(parse(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)), Dialect::Postgres).is_err());
            drop(parse(&chain(MOST_OPERATORS - 10), Dialect::Postgres).unwrap());
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    }
}
