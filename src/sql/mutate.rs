//! Other statements made of one: broken the way models break them, altered so that they answer something else, and
//! rewritten so that they mean the same. What a change really does is for a database to say, not for this file.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, JoinOperator, LimitClause, OrderByKind, Query, Select, SelectItem,
    SetExpr, Statement, TableFactor,
};

use super::walk::{visit_expressions_mut, visit_relations_mut};
use super::{Dialect, Schema, parse};

/// The statement with one mistake that models make: a column or table that is not there but nearly, a column of the
/// wrong table, an alias that was never given, another dialect's function, a missing GROUP BY, a bracket too few.
pub fn broken(sql: &str, dialect: Dialect, schema: &Schema) -> Vec<String> {
    let Ok(statements) = parse(sql, dialect) else { return Vec::new() };
    let mut found = Vec::new();
    let columns = count_names(&statements);
    for at in 0..columns {
        for misname in [misspelt as fn(&str) -> String, other_number, words_joined] {
            let mut changed = statements.clone();
            nth_name(&mut changed, at, &mut |ident| ident.value = misname(&ident.value));
            found.push(text(&changed));
        }
        let mut changed = statements.clone();
        nth_owner(&mut changed, at, schema);
        found.push(text(&changed));
    }
    let mut changed = statements.clone();
    let _ = visit_relations_mut(&mut changed, |name| {
        if let Some(sqlparser::ast::ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
            ident.value = other_number(&ident.value);
        }
        ControlFlow::Continue(())
    });
    found.push(text(&changed));
    let mut changed = statements.clone();
    selects(&mut changed, &mut |select| {
        for item in &mut select.from {
            drop_alias(&mut item.relation);
        }
    });
    found.push(text(&changed));
    let plain = text(&statements);
    for (from, to) in [("STRFTIME('%Y', ", "YEAR("), ("LENGTH(", "LEN("), ("IFNULL(", "NVL("), ("AVG(", "AVERAGE(")] {
        found.extend(plain.to_uppercase().find(from).and_then(|at| {
            let end = at + from.len();
            plain.is_char_boundary(end).then(|| format!("{}{to}{}", &plain[..at], &plain[end..]))
        }));
    }
    found.extend(plain.rfind(')').map(|at| format!("{}{}", &plain[..at], &plain[at + 1..])));
    let mut kept = Vec::new();
    for text in found {
        if text != plain && !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

/// The statement with one thing changed that it still runs with: another aggregate, comparison, order or join, a
/// condition or DISTINCT less, another limit.
pub fn altered(sql: &str, dialect: Dialect) -> Vec<String> {
    let Ok(statements) = parse(sql, dialect) else { return Vec::new() };
    let plain = text(&statements);
    let mut found = Vec::new();
    let mut change = |apply: &mut dyn FnMut(&mut Vec<Statement>)| {
        let mut changed = statements.clone();
        apply(&mut changed);
        let changed = text(&changed);
        if changed != plain && !found.contains(&changed) {
            found.push(changed);
        }
    };
    change(&mut |all| selects(all, &mut |select| select.selection = select.selection.take().and_then(first_side)));
    change(&mut |all| {
        expressions(all, &mut |expr| {
            if let Expr::Function(function) = expr
                && let Some(sqlparser::ast::ObjectNamePart::Identifier(ident)) = function.name.0.last_mut()
            {
                let other = match ident.value.to_ascii_uppercase().as_str() {
                    "MAX" => "MIN",
                    "MIN" => "MAX",
                    "SUM" => "AVG",
                    "AVG" => "SUM",
                    _ => return,
                };
                ident.value = other.to_owned();
            }
        });
    });
    change(&mut |all| {
        expressions(all, &mut |expr| {
            let join = is_join(expr);
            if let Expr::BinaryOp { op, .. } = expr {
                *op = match op {
                    BinaryOperator::Gt => BinaryOperator::Lt,
                    BinaryOperator::Lt => BinaryOperator::Gt,
                    BinaryOperator::GtEq => BinaryOperator::Gt,
                    BinaryOperator::LtEq => BinaryOperator::Lt,
                    BinaryOperator::Eq if !join => BinaryOperator::NotEq,
                    _ => return,
                };
            }
        });
    });
    change(&mut |all| {
        queries(all, &mut |query| {
            if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) {
                keys.iter_mut().for_each(turn);
            }
        });
    });
    change(&mut |all| selects(all, &mut |select| select.distinct = None));
    change(&mut |all| selects(all, &mut |select| select.having = None));
    change(&mut |all| {
        selects(all, &mut |select| {
            for join in select.from.iter_mut().flat_map(|item| &mut item.joins) {
                join.join_operator = match join.join_operator.clone() {
                    JoinOperator::Join(on) | JoinOperator::Inner(on) => JoinOperator::Left(on),
                    JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => JoinOperator::Join(on),
                    other => other,
                };
            }
        });
    });
    change(&mut |all| {
        queries(all, &mut |query| {
            if let Some(LimitClause::LimitOffset { .. }) = query.limit_clause {
                query.limit_clause = None;
            }
        });
    });
    change(&mut |all| {
        selects(all, &mut |select| {
            let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
            if let [SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)), _, ..] =
                select.projection.as_slice()
                && !grouped
            {
                select.projection.remove(0);
            }
        });
    });
    found
}

/// The same statement written another way: the sides of the first AND exchanged. None: there is nothing to exchange.
pub fn rewritten(sql: &str, dialect: Dialect) -> Option<String> {
    let mut statements = parse(sql, dialect).ok()?;
    let plain = text(&statements);
    let mut done = false;
    selects(&mut statements, &mut |select| {
        if let Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) = &mut select.selection
            && !done
            && !matches!(**left, Expr::BinaryOp { op: BinaryOperator::Or, .. })
            && !matches!(**right, Expr::BinaryOp { op: BinaryOperator::Or, .. })
        {
            // `a AND b AND c` is (a AND b) AND c: only the last two can be exchanged without brackets.
            match &mut **left {
                Expr::BinaryOp { op: BinaryOperator::And, right: middle, .. } => std::mem::swap(middle, right),
                _ => std::mem::swap(left, right),
            }
            done = true;
        }
    });
    let changed = text(&statements);
    (done && changed != plain).then_some(changed)
}

fn text(statements: &[Statement]) -> String {
    statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn is_join(expr: &Expr) -> bool {
    let name = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    matches!(expr, Expr::BinaryOp { left, right, .. } if name(left) && name(right))
}

/// One side of a condition's AND; nothing of any other condition.
fn first_side(condition: Expr) -> Option<Expr> {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, .. } => Some(*left),
        _ => None,
    }
}

fn expressions(statements: &mut Vec<Statement>, change: &mut dyn FnMut(&mut Expr)) {
    let _ = visit_expressions_mut(statements, |expr| {
        change(expr);
        ControlFlow::Continue(())
    });
}

/// The column names of the statements, qualified or not.
fn names(statements: &mut Vec<Statement>, look: &mut dyn FnMut(&mut Expr)) {
    expressions(statements, &mut |expr| {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            look(expr);
        }
    });
}

fn count_names(statements: &[Statement]) -> usize {
    let mut count = 0;
    names(&mut statements.to_vec(), &mut |_| count += 1);
    count
}

fn nth_name(statements: &mut Vec<Statement>, wanted: usize, change: &mut dyn FnMut(&mut Ident)) {
    let mut at = 0;
    names(statements, &mut |expr| {
        if at == wanted {
            match expr {
                Expr::Identifier(ident) => change(ident),
                Expr::CompoundIdentifier(parts) => parts.last_mut().into_iter().for_each(&mut *change),
                _ => {}
            }
        }
        at += 1;
    });
}

/// The n-th qualified name with another table of the schema before it.
fn nth_owner(statements: &mut Vec<Statement>, wanted: usize, schema: &Schema) {
    let mut at = 0;
    names(statements, &mut |expr| {
        if at == wanted
            && let Expr::CompoundIdentifier(parts) = expr
            && let [owner, column] = parts.as_mut_slice()
            && let Some(other) = schema.tables().iter().find(|table| table.column(&column.value).is_none())
        {
            *owner = Ident::new(other.name.text());
        }
        at += 1;
    });
}

fn selects(statements: &mut [Statement], change: &mut dyn FnMut(&mut Select)) {
    queries(statements, &mut |query| arms(&mut query.body, change));
}

fn arms(body: &mut SetExpr, change: &mut dyn FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => change(select),
        SetExpr::SetOperation { left, right, .. } => {
            arms(left, change);
            arms(right, change);
        }
        _ => {}
    }
}

/// The outermost queries: nested ones stay as they are, so that one change is made at a time.
fn queries(statements: &mut [Statement], change: &mut dyn FnMut(&mut Query)) {
    for statement in statements {
        if let Statement::Query(query) = statement {
            change(query);
        }
    }
}

fn turn(key: &mut sqlparser::ast::OrderByExpr) {
    use sqlparser::ast::OrderBySort as Sort;
    key.options.sort = Some(match key.options.sort {
        Some(Sort::Desc) => Sort::Asc,
        _ => Sort::Desc,
    });
}

fn drop_alias(factor: &mut TableFactor) {
    if let TableFactor::Table { alias, .. } = factor {
        *alias = None;
    }
}

/// `name` → `nmae`.
fn misspelt(name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    if letters.len() > 2 {
        let at = letters.len() / 2;
        letters.swap(at - 1, at);
    }
    letters.into_iter().collect()
}

/// `user` → `users` and back.
fn other_number(name: &str) -> String {
    match name.strip_suffix('s').filter(|rest| rest.len() > 1) {
        Some(singular) => singular.to_owned(),
        None => format!("{name}s"),
    }
}

/// `first_name` → `firstname`, `id` → `the_id`'s like: a name without its underscores, or with its kind behind it.
fn words_joined(name: &str) -> String {
    if name.contains('_') { name.replace('_', "") } else { format!("{name}_name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_those_of_models() {
        let schema = Schema::parse(
            "CREATE TABLE users (id INT, first_name TEXT); CREATE TABLE orders (total INT)",
            Dialect::Sqlite,
        )
        .unwrap();
        let found = broken("SELECT u.first_name FROM users AS u WHERE u.id = 3", Dialect::Sqlite, &schema);
        for wanted in [
            "SELECT u.firstname FROM users AS u WHERE u.id = 3",
            "SELECT orders.first_name FROM users AS u WHERE u.id = 3",
            "SELECT u.first_name FROM user AS u WHERE u.id = 3",
            "SELECT u.first_name FROM users WHERE u.id = 3",
        ] {
            assert!(found.iter().any(|text| text == wanted), "{wanted}\n{found:#?}");
        }
        assert!(broken("SELEC", Dialect::Sqlite, &schema).is_empty());
    }

    #[test]
    fn altered_statements_ask_something_else() {
        let sql =
            "SELECT DISTINCT a, MAX(b) FROM t JOIN u ON t.i = u.i WHERE a > 1 AND c = 2 GROUP BY a ORDER BY a LIMIT 3";
        let found = altered(sql, Dialect::Sqlite);
        assert!(found.len() >= 6 && !found.iter().any(|text| text == sql), "{found:#?}");
        assert!(
            found.iter().any(|text| text.contains("MIN(b)")) && found.iter().any(|text| text.contains("LEFT JOIN"))
        );
        assert!(found.iter().all(|text| parse(text, Dialect::Sqlite).is_ok()));
    }

    #[test]
    fn the_sides_of_and_change_places() {
        let rewrite = |sql| rewritten(sql, Dialect::Sqlite);
        assert_eq!(rewrite("SELECT a FROM t WHERE b = 1 AND c > 2").unwrap(), "SELECT a FROM t WHERE c > 2 AND b = 1");
        assert_eq!(
            rewrite("SELECT a FROM t WHERE b = 1 AND c > 2 AND d").unwrap(),
            "SELECT a FROM t WHERE b = 1 AND d AND c > 2"
        );
        assert_eq!(rewrite("SELECT a FROM t WHERE b = 1 OR c > 2"), None);
    }
}
