//! Reads the statements of a DDL text: which create or extend a table, and where each ends. Tolerant on purpose: what
//! it does not know it skips, because a dump holds much that no prompt needs.

use sqlparser::ast::{SelectItem, SetExpr, Statement};
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Piece, remark, spell, split_at_commas, string, tokens};
use super::statement::{Body, table_body};
use super::{Column, Dialect, Name, Schema, Table};
use crate::error::{Problem, Result};

/// Reads a schema; text without any table is an error.
pub(super) fn schema(ddl: &str, dialect: Dialect) -> Result<Schema> {
    let text = without_copy_data(ddl);
    let mut cursor = tokens(&text, dialect)?;
    let mut schema = Schema { dialect, tables: Vec::new() };
    while !cursor.is_done() {
        cursor.take_comments();
        statement(&mut cursor, &mut schema)?;
    }
    if schema.tables.is_empty() {
        return Err(Problem::input("there is no CREATE TABLE in the schema")
            .hint("give the tables as CREATE TABLE statements")
            .into());
    }
    Ok(schema)
}

/// Drops the data lines that `pg_dump` writes between `COPY … FROM stdin;` and `\.`: they are no SQL.
fn without_copy_data(ddl: &str) -> std::borrow::Cow<'_, str> {
    if !ddl.contains("\n\\.") {
        return ddl.into();
    }
    let mut inside = false;
    let kept = ddl.lines().filter(|line| {
        let was_inside = inside;
        inside = if inside { *line != "\\." } else { line.starts_with("COPY ") && line.ends_with("FROM stdin;") };
        !was_inside
    });
    kept.collect::<Vec<_>>().join("\n").into()
}

fn statement(cursor: &mut Cursor, schema: &mut Schema) -> Result<()> {
    if cursor.eat_words(&["CREATE"]) {
        while cursor.at_word(&["OR", "REPLACE", "TEMP", "TEMPORARY", "GLOBAL", "LOCAL", "UNLOGGED", "MATERIALIZED"])
            || cursor.at_word(&["EXTERNAL", "FOREIGN", "RECURSIVE", "VIRTUAL"])
        {
            cursor.next();
        }
        if cursor.eat_words(&["TABLE"]) {
            return create_table(cursor, schema);
        }
        if cursor.eat_words(&["VIEW"]) {
            create_view(cursor, schema);
            return Ok(());
        }
    } else if cursor.eat_words(&["ALTER", "TABLE"]) {
        alter_table(cursor, schema);
        return Ok(());
    } else if cursor.eat_words(&["COMMENT", "ON"]) {
        comment_on(cursor, schema);
        return Ok(());
    }
    cursor.rest_of_statement();
    Ok(())
}

fn named_table(cursor: &mut Cursor) -> Option<Table> {
    let _ = cursor.eat_words(&["IF", "NOT", "EXISTS"]) || cursor.eat_words(&["IF", "EXISTS"]);
    let (namespace, name) = cursor.dotted_name()?;
    Some(Table { namespace, name, columns_known: true, ..Table::default() })
}

fn create_table(cursor: &mut Cursor, schema: &mut Schema) -> Result<()> {
    let Some(mut table) = named_table(cursor) else {
        return Err(Problem::input("CREATE TABLE without a name").into());
    };
    let starts_body = cursor.peek().is_some_and(|piece| piece.token == Token::LParen);
    table.comment = cursor.take_comments();
    if starts_body {
        let Some(body) = cursor.group() else {
            return Err(Problem::input(format!("CREATE TABLE {} is not closed", table.name.text())).into());
        };
        for item in split_at_commas(body) {
            Body { table: &mut table, schema }.item(item);
        }
    }
    // What follows: storage options, or the query of CREATE TABLE … AS. A missing `;` before the next CREATE is common.
    let mut rest = Vec::new();
    while !cursor.is_done() && !cursor.at_word(&["CREATE"]) {
        match cursor.next() {
            Some(piece) if piece.token != Token::SemiColon => rest.push(piece),
            _ => break,
        }
    }
    let mut tail = Cursor::of(rest);
    while !tail.is_done() {
        if tail.eat_words(&["AS"]) {
            with_query(&mut table, &tail.rest_of_statement(), schema.dialect);
        } else if tail.eat_words(&["LIKE"]) {
            Body { table: &mut table, schema }.like(&mut tail);
        } else if tail.eat_words(&["USING"]) && !starts_body {
            // A virtual table: `USING fts5(title, body, …)`.
            tail.name();
            for item in tail.group().map(split_at_commas).unwrap_or_default() {
                if item.len() == 1 {
                    table.columns.extend(Cursor::of(item).name().map(|name| Column { name, ..Column::default() }));
                }
            }
        } else if tail.eat_words(&["COMMENT"]) {
            tail.eat(&Token::Eq);
            if let Some(text) = tail.peek().and_then(|piece| string(&piece.token)) {
                table.comment = remark(&text);
            }
        } else {
            tail.next();
        }
    }
    if table.columns.is_empty() {
        table.columns_known = false;
    }
    schema.add(table);
    Ok(())
}

fn create_view(cursor: &mut Cursor, schema: &mut Schema) {
    let Some(mut view) = named_table(cursor) else {
        cursor.rest_of_statement();
        return;
    };
    view.comment = cursor.take_comments();
    let listed = cursor.group().map(split_at_commas).unwrap_or_default();
    for item in listed {
        view.columns.extend(Cursor::of(item).name().map(|name| Column { name, ..Column::default() }));
    }
    cursor.eat_words(&["AS"]);
    let query = cursor.rest_of_statement();
    with_query(&mut view, &query, schema.dialect);
    schema.add(view);
}

/// Gives a view its query, and the columns that the query names where the view does not.
fn with_query(table: &mut Table, query: &[Piece], dialect: Dialect) {
    let text = spell(query, false);
    if table.columns.is_empty() {
        match query_columns(&text, dialect) {
            Some(names) => {
                let column = |name| Column { name, ..Column::default() };
                table.columns = names.into_iter().map(column).collect();
            }
            None => table.columns_known = false,
        }
    }
    table.query = Some(text);
}

/// The column names of a query, if each is spelled out.
fn query_columns(text: &str, dialect: Dialect) -> Option<Vec<Name>> {
    let statements = super::super::parse(text, dialect).ok()?;
    let [Statement::Query(query)] = statements.as_slice() else { return None };
    let mut body = &*query.body;
    while let SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    let name = |ident: &sqlparser::ast::Ident| Name::new(ident.value.clone(), ident.quote_style.is_some());
    let SetExpr::Select(select) = body else { return None };
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(name(alias)),
        SelectItem::UnnamedExpr(sqlparser::ast::Expr::Identifier(ident)) => Some(name(ident)),
        SelectItem::UnnamedExpr(sqlparser::ast::Expr::CompoundIdentifier(parts)) => parts.last().map(name),
        _ => None,
    });
    names.collect()
}

/// `ALTER TABLE t ADD …`: dumps add keys this way.
fn alter_table(cursor: &mut Cursor, schema: &mut Schema) {
    let _ = cursor.eat_words(&["ONLY"]) || cursor.eat_words(&["IF", "EXISTS", "ONLY"]);
    let named = named_table(cursor);
    let actions = split_at_commas(cursor.rest_of_statement());
    let Some(at) = named.and_then(|named| schema.tables.iter().position(|t| t.name.is(named.name.text()))) else {
        return;
    };
    let mut table = std::mem::take(&mut schema.tables[at]);
    for action in actions {
        let mut action = Cursor::of(action);
        if action.eat_words(&["ADD"]) {
            action.eat_words(&["COLUMN"]);
            action.eat_words(&["IF", "NOT", "EXISTS"]);
            Body { table: &mut table, schema }.item(action.rest_of_statement());
        }
    }
    table_body::normalise(&mut table);
    schema.tables[at] = table;
}

/// `COMMENT ON TABLE t IS '…'`, `COMMENT ON COLUMN t.c IS '…'`.
fn comment_on(cursor: &mut Cursor, schema: &mut Schema) {
    let column = cursor.at_word(&["COLUMN"]);
    let known = column || cursor.at_word(&["TABLE", "VIEW"]);
    cursor.next();
    let mut names = Vec::new();
    while let Some(name) = cursor.name() {
        names.push(name);
        if !cursor.eat(&Token::Period) {
            break;
        }
    }
    cursor.eat_words(&["IS"]);
    let text = cursor.peek().and_then(|piece| string(&piece.token)).and_then(|text| remark(&text));
    cursor.rest_of_statement();
    let last = if column { names.pop() } else { None };
    let Some(table) = names.last().filter(|_| known).and_then(|name| schema.table_mut(name.text())) else { return };
    match last {
        Some(name) => {
            if let Some(column) = table.columns.iter_mut().find(|column| column.name.is(name.text())) {
                column.comment = text;
            }
        }
        None => table.comment = text,
    }
}
