//! Spider's reading of a statement: what its evaluator accepts and nothing more, slips included.

use std::collections::BTreeMap;

use super::tokens::tokens;

/// Tables and their columns, in lower case, in order.
#[derive(Debug, Clone, Default)]
pub struct Tables(pub Vec<(String, Vec<String>)>);

/// `(aggregate, column, distinct)`; columns are written `__table.column__`, `*` is `__all__`.
pub(super) type ColumnUnit = (usize, String, Option<bool>);

/// `(operator, column, column)`.
pub(super) type ValueUnit = (usize, ColumnUnit, Option<ColumnUnit>);

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Number(f64),
    Column(ColumnUnit),
    Query(Box<Query>),
}

/// `not`, operator, left side, right side, second right side of BETWEEN.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    pub not: bool,
    pub operator: usize,
    pub left: ValueUnit,
    pub first: Option<Operand>,
    pub second: Option<Operand>,
}

/// A table or a query in FROM.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TableUnit {
    Table(String),
    Query(Box<Query>),
}

/// Conditions with the words between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tests {
    pub tests: Vec<Test>,
    pub words: Vec<String>,
}

impl Tests {
    /// The length of the evaluator's list, in which conditions and words alternate.
    pub fn len(&self) -> usize {
        self.tests.len() + self.words.len()
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Query {
    pub distinct: Option<bool>,
    pub select: Vec<(usize, ValueUnit)>,
    pub tables: Vec<TableUnit>,
    pub joins: Tests,
    pub filter: Tests,
    pub groups: Vec<ColumnUnit>,
    pub having: Tests,
    /// The direction written last, and what is sorted by.
    pub order: Option<(String, Vec<ValueUnit>)>,
    pub limit: bool,
    pub intersect: Option<Box<Query>>,
    pub except: Option<Box<Query>>,
    pub union: Option<Box<Query>>,
}

const CLAUSES: &[&str] = &["select", "from", "where", "group", "order", "limit", "intersect", "union", "except"];
const JOINS: &[&str] = &["join", "on", "as"];
const AGGREGATES: &[&str] = &["none", "max", "min", "count", "sum", "avg"];
const OPERATORS: &[&str] = &["none", "-", "+", "*", "/"];
pub(super) const TESTS: &[&str] = &["not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"];

/// Deepest nesting of queries; the evaluator's own limit is Python's stack.
const DEEPEST: usize = 30;

/// Reads a statement; none where the evaluator raises.
pub(super) fn parse(sql: &str, schema: &Tables) -> Option<Query> {
    let tokens = tokens(sql)?;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        if token == "as" {
            names.insert(tokens.get(at + 1)?.clone(), tokens.get(at.checked_sub(1)?)?.clone());
        }
    }
    for (table, _) in &schema.0 {
        if names.contains_key(table) {
            return None;
        }
        names.insert(table.clone(), table.clone());
    }
    let reader = Reader { tokens: &tokens, names: &names, schema };
    reader.query(0, 0).map(|(_, query)| query)
}

struct Reader<'a> {
    tokens: &'a [String],
    names: &'a BTreeMap<String, String>,
    schema: &'a Tables,
}

impl Reader<'_> {
    fn token(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(String::as_str)
    }

    fn is(&self, at: usize, token: &str) -> bool {
        self.token(at) == Some(token)
    }

    fn among(&self, at: usize, list: &[&str]) -> bool {
        self.token(at).is_some_and(|token| list.contains(&token))
    }

    fn expect(&self, at: usize, token: &str) -> Option<usize> {
        self.is(at, token).then_some(at + 1)
    }

    fn column(&self, at: usize, default: &[String]) -> Option<(usize, String)> {
        let token = self.token(at)?;
        if token == "*" {
            return Some((at + 1, "__all__".into()));
        }
        let known = |table: &str, column: &str| {
            self.schema.0.iter().any(|(name, columns)| name == table && columns.iter().any(|own| own == column))
        };
        if token.contains('.') {
            let mut parts = token.split('.');
            let (alias, column) = (parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            let table = self.names.get(alias)?;
            return known(table, column).then(|| (at + 1, format!("__{table}.{column}__")));
        }
        for alias in default {
            let table = self.names.get(alias)?;
            if known(table, token) {
                return Some((at + 1, format!("__{table}.{token}__")));
            }
        }
        None
    }

    fn column_unit(&self, mut at: usize, default: &[String]) -> Option<(usize, ColumnUnit)> {
        let block = self.is(at, "(");
        at += usize::from(block);
        let mut distinct = false;
        if let Some(aggregate) = AGGREGATES.iter().position(|word| self.is(at, word)) {
            at = self.expect(at + 1, "(")?;
            if self.is(at, "distinct") {
                (at, distinct) = (at + 1, true);
            }
            let (at, column) = self.column(at, default)?;
            let at = self.expect(at, ")")?;
            return Some((at, (aggregate, column, Some(distinct))));
        }
        self.token(at)?;
        if self.is(at, "distinct") {
            (at, distinct) = (at + 1, true);
        }
        let (mut at, column) = self.column(at, default)?;
        if block {
            at = self.expect(at, ")")?;
        }
        Some((at, (0, column, Some(distinct))))
    }

    fn value_unit(&self, mut at: usize, default: &[String]) -> Option<(usize, ValueUnit)> {
        let block = self.is(at, "(");
        at += usize::from(block);
        let (mut at, first) = self.column_unit(at, default)?;
        let (mut operator, mut second) = (0, None);
        if let Some(found) = OPERATORS.iter().position(|word| self.is(at, word)) {
            operator = found;
            let (next, unit) = self.column_unit(at + 1, default)?;
            (at, second) = (next, Some(unit));
        }
        if block {
            at = self.expect(at, ")")?;
        }
        Some((at, (operator, first, second)))
    }

    fn operand(&self, start: usize, default: &[String], depth: usize) -> Option<(usize, Operand)> {
        let block = self.is(start, "(");
        let mut at = start + usize::from(block);
        let token = self.token(at)?;
        let operand;
        if token == "select" {
            let (next, query) = self.query(at, depth + 1)?;
            (at, operand) = (next, Operand::Query(Box::new(query)));
        } else if token.contains('"') {
            (at, operand) = (at + 1, Operand::Text(token.to_owned()));
        } else if let Some(number) = number(token) {
            (at, operand) = (at + 1, Operand::Number(number));
        } else {
            let mut end = start;
            while self.token(end).is_some()
                && !self.among(end, &[",", ")", "and"])
                && !self.among(end, CLAUSES)
                && !self.among(end, JOINS)
            {
                end += 1;
            }
            let part = Reader { tokens: &self.tokens[start..end], names: self.names, schema: self.schema };
            let (_, unit) = part.column_unit(0, default)?;
            (at, operand) = (end, Operand::Column(unit));
        }
        if block {
            at = self.expect(at, ")")?;
        }
        Some((at, operand))
    }

    fn tests(&self, mut at: usize, default: &[String], depth: usize) -> Option<(usize, Tests)> {
        let mut found = Tests::default();
        while at < self.tokens.len() {
            let (next, left) = self.value_unit(at, default)?;
            at = next;
            self.token(at)?;
            let not = self.is(at, "not");
            at += usize::from(not);
            let operator = TESTS.iter().position(|word| self.is(at, word))?;
            at += 1;
            let (next, first) = self.operand(at, default, depth)?;
            at = next;
            let mut second = None;
            if TESTS[operator] == "between" {
                at = self.expect(at, "and")?;
                let (next, operand) = self.operand(at, default, depth)?;
                (at, second) = (next, Some(operand));
            }
            found.tests.push(Test { not, operator, left, first: Some(first), second });
            if self.among(at, CLAUSES) || self.among(at, &[")", ";"]) || self.among(at, JOINS) {
                break;
            }
            if self.among(at, &["and", "or"]) {
                found.words.push(self.token(at)?.to_owned());
                at += 1;
            }
        }
        Some((at, found))
    }

    fn from(&self, start: usize, depth: usize) -> Option<(usize, Vec<TableUnit>, Tests, Vec<String>)> {
        let mut at = start + self.tokens.get(start..)?.iter().position(|token| token == "from")? + 1;
        let (mut tables, mut default, mut joins) = (Vec::new(), Vec::new(), Tests::default());
        while at < self.tokens.len() {
            let block = self.is(at, "(");
            at += usize::from(block);
            self.token(at)?;
            if self.is(at, "select") {
                let (next, query) = self.query(at, depth + 1)?;
                tables.push(TableUnit::Query(Box::new(query)));
                at = next;
            } else {
                at += usize::from(self.is(at, "join"));
                let table = self.names.get(self.token(at)?)?;
                if !self.schema.0.iter().any(|(name, _)| name == table) {
                    return None;
                }
                at += if self.is(at + 1, "as") { 3 } else { 1 };
                tables.push(TableUnit::Table(format!("__{table}__")));
                default.push(table.clone());
            }
            if self.is(at, "on") {
                let (next, more) = self.tests(at + 1, &default, depth)?;
                if joins.len() > 0 {
                    joins.words.push("and".into());
                }
                joins.tests.extend(more.tests);
                joins.words.extend(more.words);
                at = next;
            }
            if block {
                at = self.expect(at, ")")?;
            }
            if self.among(at, CLAUSES) || self.among(at, &[")", ";"]) {
                break;
            }
        }
        Some((at, tables, joins, default))
    }

    fn select(&self, at: usize, default: &[String]) -> Option<(bool, Vec<(usize, ValueUnit)>)> {
        let mut at = self.expect(at, "select")?;
        let distinct = self.is(at, "distinct");
        at += usize::from(distinct);
        let mut units = Vec::new();
        while at < self.tokens.len() && !self.among(at, CLAUSES) {
            let aggregate = AGGREGATES.iter().position(|word| self.is(at, word));
            at += usize::from(aggregate.is_some());
            let (next, unit) = self.value_unit(at, default)?;
            units.push((aggregate.unwrap_or(0), unit));
            at = next + usize::from(self.is(next, ","));
        }
        Some((distinct, units))
    }

    fn ends_list(&self, at: usize) -> bool {
        at >= self.tokens.len() || self.among(at, CLAUSES) || self.among(at, &[")", ";"])
    }

    fn query(&self, start: usize, depth: usize) -> Option<(usize, Query)> {
        if depth > DEEPEST {
            return None;
        }
        let block = self.is(start, "(");
        let (mut at, tables, joins, default) = self.from(start, depth)?;
        let (distinct, select) = self.select(start + usize::from(block), &default)?;
        let mut query = Query { distinct: Some(distinct), select, tables, joins, ..Query::default() };
        if self.is(at, "where") {
            (at, query.filter) = self.tests(at + 1, &default, depth)?;
        }
        if self.is(at, "group") {
            at = self.expect(at + 1, "by")?;
            while !self.ends_list(at) {
                let (next, unit) = self.column_unit(at, &default)?;
                query.groups.push(unit);
                at = next;
                if !self.is(at, ",") {
                    break;
                }
                at += 1;
            }
        }
        if self.is(at, "having") {
            (at, query.having) = self.tests(at + 1, &default, depth)?;
        }
        if self.is(at, "order") {
            at = self.expect(at + 1, "by")?;
            let (mut direction, mut units) = ("asc".to_owned(), Vec::new());
            while !self.ends_list(at) {
                let (next, unit) = self.value_unit(at, &default)?;
                units.push(unit);
                at = next;
                if self.among(at, &["desc", "asc"]) {
                    direction = self.token(at)?.to_owned();
                    at += 1;
                }
                if !self.is(at, ",") {
                    break;
                }
                at += 1;
            }
            query.order = Some((direction, units));
        }
        if self.is(at, "limit") {
            self.token(at + 1)?;
            at += 2;
            query.limit = true;
        }
        at = self.semicolons(at);
        if block {
            at = self.expect(at, ")")?;
        }
        at = self.semicolons(at);
        for word in ["intersect", "union", "except"] {
            if self.is(at, word) {
                let (next, other) = self.query(at + 1, depth + 1)?;
                match word {
                    "intersect" => query.intersect = Some(Box::new(other)),
                    "union" => query.union = Some(Box::new(other)),
                    _ => query.except = Some(Box::new(other)),
                }
                return Some((next, query));
            }
        }
        Some((at, query))
    }

    fn semicolons(&self, mut at: usize) -> usize {
        while self.is(at, ";") {
            at += 1;
        }
        at
    }
}

/// What Python's `float` takes.
fn number(token: &str) -> Option<f64> {
    let digits = token.trim_start_matches(['+', '-']);
    let named = ["inf", "infinity", "nan"].contains(&digits);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !named && !plain {
        return None;
    }
    token.parse().ok()
}
