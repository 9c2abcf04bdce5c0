//! WikiSQL: questions about one table each, gold as selected column, aggregate and conditions; its two measures compare
//! results and that form.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Select, SelectItem, SetExpr,
    Statement, TableFactor, UnaryOperator, Value,
};

use super::{Content, Database, Form, Item, Suite, lines};
use crate::error::{Problem, Result};
use crate::sql::{Column, Dialect, Name, Schema, Table, parse};

/// Aggregates by their number.
const AGGREGATES: [&str; 6] = ["", "MAX", "MIN", "COUNT", "SUM", "AVG"];

/// Comparisons by their number.
const COMPARISONS: [&str; 3] = ["=", ">", "<"];

/// The form of a query: numbers of column, aggregate and comparison, as the data set has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The selected column.
    pub selected: usize,
    /// The aggregate.
    pub aggregate: usize,
    /// Column, comparison, value in lower case; sorted, none twice.
    pub conditions: Vec<(usize, usize, String)>,
}

/// Reads `dev.jsonl` with `dev.tables.jsonl` beside it.
pub(super) fn read(file: &Path) -> Result<Suite> {
    let stem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let beside = file.with_file_name(format!("{stem}.tables.jsonl"));
    let mut databases = Vec::new();
    let mut places: BTreeMap<String, (usize, Table)> = BTreeMap::new();
    for (number, row) in lines(&beside)? {
        let read = table(&row).ok_or_else(|| {
            Problem::input(format!("{}:{number}: no `id`, `header`, `types` and `rows`", beside.display()))
        })?;
        let (id, table, script) = read;
        let ddl = Schema::from_tables(Dialect::Sqlite, [table.clone()]).to_ddl();
        places.insert(id, (databases.len(), table.clone()));
        databases.push(Database {
            name: table.name.text().to_owned(),
            ddl: Some(ddl),
            content: Content::Script(script),
        });
    }
    let mut items = Vec::new();
    for (number, row) in lines(file)? {
        let wrong = |why: &str| Problem::input(format!("{}:{number}: {why}", file.display()));
        let id = row["table_id"].as_str().ok_or_else(|| wrong("no `table_id`"))?;
        let (database, table) = places.get(id).ok_or_else(|| wrong("its table is not among the tables"))?;
        let question = row["question"].as_str().ok_or_else(|| wrong("no `question`"))?;
        let gold = gold(&row["sql"], table).ok_or_else(|| wrong("no `sql` with sel, agg and conds"))?;
        let (logical, sql) = gold;
        items.push(Item {
            id: (number - 1).to_string(),
            category: match AGGREGATES[logical.aggregate] {
                "" => "no aggregate".to_owned(),
                name => name.to_owned(),
            },
            difficulty: format!("{} conditions", logical.conditions.len()),
            question: [("en".to_owned(), question.trim().to_owned())].into(),
            database: *database,
            gold: vec![sql],
            logical: Some(logical),
            ..Item::default()
        });
    }
    let name = format!("wikisql-{stem}");
    Ok(Suite { name, form: Form::WikiSql, dialect: Dialect::Sqlite, items, databases, tables: BTreeMap::new() })
}

/// Id, table, and the statements that make and fill it. Text is compared without case, as the data set's own database has
/// everything in lower case.
fn table(row: &Json) -> Option<(String, Table, String)> {
    let id = row["id"].as_str()?.to_owned();
    let (header, types) = (row["header"].as_array()?, row["types"].as_array()?);
    let mut columns: Vec<Column> = Vec::new();
    for (at, name) in header.iter().enumerate() {
        let mut name = name.as_str()?.trim().to_owned();
        // Two columns of one name cannot be told apart in SQL.
        while name.is_empty() || columns.iter().any(|known| known.name.is(&name)) {
            name = format!("{name}_{at}");
        }
        let data_type = if types.get(at)?.as_str()? == "real" { "REAL" } else { "TEXT" };
        columns.push(Column::new(name, Some(data_type.to_owned())));
    }
    let name = format!("table_{}", id.replace('-', "_"));
    let table = Table { columns, columns_known: true, ..Table::new(name) };
    let defined: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let name = column.name.to_sql(Dialect::Sqlite);
            match column.data_type.as_deref() {
                Some("REAL") => format!("{name} REAL"),
                _ => format!("{name} TEXT COLLATE NOCASE"),
            }
        })
        .collect();
    let mut script = format!("CREATE TABLE {} ({});\n", table.name.to_sql(Dialect::Sqlite), defined.join(", "));
    for row in row["rows"].as_array()? {
        let cells: Vec<String> = row.as_array()?.iter().map(cell).collect();
        script += &format!("INSERT INTO {} VALUES ({});\n", table.name.to_sql(Dialect::Sqlite), cells.join(", "));
    }
    Some((id, table, script))
}

fn cell(value: &Json) -> String {
    match value {
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Null => "NULL".to_owned(),
        other => quoted(&other.to_string()),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace('\0', ""))
}

fn gold(sql: &Json, table: &Table) -> Option<(Query, String)> {
    let number = |value: &Json| usize::try_from(value.as_u64()?).ok();
    let (selected, aggregate) = (number(&sql["sel"])?, number(&sql["agg"])?);
    let name = |at: usize| Some(table.columns.get(at)?.name.to_sql(Dialect::Sqlite));
    let column = name(selected)?;
    let shown = match AGGREGATES.get(aggregate)? {
        &"" => column,
        function => format!("{function}({column})"),
    };
    let mut conditions = Vec::new();
    let mut tests = Vec::new();
    for condition in sql["conds"].as_array()? {
        let (at, comparison) = (number(&condition[0])?, number(&condition[1])?);
        let text = match &condition[2] {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let real = table.columns.get(at)?.data_type.as_deref() == Some("REAL");
        let value = match first_number(&text).filter(|_| real) {
            Some(number) => number,
            None => quoted(&text),
        };
        tests.push(format!("{} {} {value}", name(at)?, COMPARISONS.get(comparison)?));
        conditions.push((at, comparison, text.to_lowercase()));
    }
    let filter = if tests.is_empty() { String::new() } else { format!(" WHERE {}", tests.join(" AND ")) };
    let from = table.name.to_sql(Dialect::Sqlite);
    Some((Query::new(selected, aggregate, conditions), format!("SELECT {shown} FROM {from}{filter}")))
}

/// The number in a text, thousands without their commas.
fn first_number(text: &str) -> Option<String> {
    let text = text.replace(',', "");
    if let Ok(number) = text.trim().parse::<f64>() {
        return number.is_finite().then(|| text.trim().to_owned());
    }
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let from = if text[..from].ends_with('-') { from - 1 } else { from };
    let length =
        text[from..].chars().enumerate().take_while(|(at, c)| c.is_ascii_digit() || *c == '.' || *at == 0 && *c == '-');
    let found: String = length.map(|(_, c)| c).collect();
    let found = found.trim_end_matches('.').to_owned();
    found.parse::<f64>().is_ok().then_some(found)
}

impl Query {
    fn new(selected: usize, aggregate: usize, mut conditions: Vec<(usize, usize, String)>) -> Self {
        conditions.sort();
        conditions.dedup();
        Self { selected, aggregate, conditions }
    }

    /// The form of a statement over a table; none where the statement says more than the form can.
    pub fn of_sql(sql: &str, table: &Table) -> Option<Self> {
        let statements = parse(sql, Dialect::Sqlite).ok()?;
        let [Statement::Query(query)] = statements.as_slice() else { return None };
        if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            return None;
        }
        let SetExpr::Select(select) = &*query.body else { return None };
        let plain_groups = matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
        if select.distinct.is_some() || select.having.is_some() || select.top.is_some() || !plain_groups {
            return None;
        }
        let place = |name: &str| table.columns.iter().position(|column| column.name.is(name));
        let (selected, aggregate) = selected(select, &place)?;
        reads_only(select, &table.name)?;
        let mut conditions = Vec::new();
        if let Some(filter) = &select.selection {
            tests(filter, &place, &mut conditions)?;
        }
        Some(Self::new(selected, aggregate, conditions))
    }
}

fn reads_only(select: &Select, table: &Name) -> Option<()> {
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, .. } = &from.relation else { return None };
    let last = name.0.last()?.as_ident()?;
    (from.joins.is_empty() && table.is(&last.value)).then_some(())
}

fn column(expr: &Expr, place: &dyn Fn(&str) -> Option<usize>) -> Option<usize> {
    match expr {
        Expr::Identifier(name) => place(&name.value),
        Expr::CompoundIdentifier(parts) => place(&parts.last()?.value),
        Expr::Nested(inner) => column(inner, place),
        _ => None,
    }
}

fn selected(select: &Select, place: &dyn Fn(&str) -> Option<usize>) -> Option<(usize, usize)> {
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_slice() else {
        return None;
    };
    if let Some(at) = column(expr, place) {
        return Some((at, 0));
    }
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string();
    let aggregate = AGGREGATES.iter().skip(1).position(|known| name.eq_ignore_ascii_case(known))? + 1;
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    if list.duplicate_treatment.is_some() || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    Some((column(argument, place)?, aggregate))
}

fn tests(
    expr: &Expr,
    place: &dyn Fn(&str) -> Option<usize>,
    conditions: &mut Vec<(usize, usize, String)>,
) -> Option<()> {
    match expr {
        Expr::Nested(inner) => tests(inner, place, conditions),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            tests(left, place, conditions)?;
            tests(right, place, conditions)
        }
        Expr::BinaryOp { left, op, right } => {
            let comparison = match op {
                BinaryOperator::Eq => 0,
                BinaryOperator::Gt => 1,
                BinaryOperator::Lt => 2,
                _ => return None,
            };
            conditions.push((column(left, place)?, comparison, literal(right)?.to_lowercase()));
            Some(())
        }
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::Number(text, _) => {
                Some(text.clone())
            }
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(format!("-{}", literal(expr)?)),
        // What stands in double quotes and is no column is text to SQLite.
        Expr::Identifier(name) if name.quote_style == Some('"') => Some(name.value.clone()),
        _ => None,
    }
}
