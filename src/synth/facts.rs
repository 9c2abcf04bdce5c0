//! What is known about a database: its tables with their words, roles and values, and how they hang together.

use std::collections::BTreeMap;

use super::Cell;
use super::role::{self, Role};
use super::words;
use crate::sql::{Column, Dialect, Schema, Table};

/// Different values that are kept of a column. Price: 40 strings a column; enough that filters rarely repeat.
const KEPT_VALUES: usize = 40;

/// Longest text that may stand in a question, in characters.
const LONGEST_VALUE: usize = 40;

/// A column of a table.
#[derive(Debug, Clone)]
pub(super) struct ColumnFacts {
    /// The name, unquoted.
    pub name: String,
    /// Its words, or a short comment that says it better.
    pub words: String,
    /// What it is for.
    pub role: Role,
    /// Some of its different values without NULL, in order.
    pub values: Vec<Cell>,
    /// Rows without a value.
    pub nulls: usize,
    /// Whether no value comes twice.
    pub unique: bool,
}

impl ColumnFacts {
    /// Whether a sum over it means something: of prices and rates for one piece it does not.
    pub fn adds_up(&self) -> bool {
        let single = ["price", "rate", "fare", "wage", "premium", "preço", "preco"];
        self.role.adds_up() && !single.iter().any(|word| self.words.ends_with(word))
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct TableFacts {
    /// The name, unquoted.
    pub name: String,
    /// Its words, the last in the singular.
    pub words: String,
    /// Its columns.
    pub columns: Vec<ColumnFacts>,
    /// The only column of its primary key.
    pub key: Option<usize>,
    /// The column people know a row by.
    pub label: Option<usize>,
    /// Rows.
    pub rows: usize,
    /// Nothing but keys of other tables: it links them.
    pub links: bool,
}

impl TableFacts {
    /// How many columns `wanted` holds for.
    pub fn count(&self, wanted: impl Fn(&ColumnFacts) -> bool) -> usize {
        self.columns.iter().filter(|column| wanted(column)).count()
    }
}

/// `child.column` refers to `parent.column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    /// The referring table.
    pub child: usize,
    /// Its column.
    pub child_column: usize,
    /// The table referred to.
    pub parent: usize,
    /// Its key.
    pub parent_column: usize,
}

/// The tables of a database and the keys between them.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The tables.
    pub tables: Vec<TableFacts>,
    /// The keys between them; declared ones, and where none is declared those that the names tell.
    pub edges: Vec<Edge>,
    /// The schema they were read from.
    pub schema: Schema,
}

impl Facts {
    /// Facts of a schema whose rows (all columns, in order) are at hand.
    pub fn new(schema: &Schema, rows: &[Vec<Vec<Cell>>]) -> Self {
        let usable: Vec<&Table> = schema.tables().iter().collect();
        let mut tables: Vec<TableFacts> =
            usable.iter().zip(rows).map(|(table, rows)| table_facts(table, rows)).collect();
        let edges = edges(&usable, &tables);
        for (at, table) in tables.iter_mut().enumerate() {
            let own: Vec<usize> = edges.iter().filter(|edge| edge.child == at).map(|edge| edge.child_column).collect();
            for column in &own {
                table.columns[*column].role = Role::Reference;
            }
            table.links = own.len() >= 2
                && table.columns.iter().enumerate().all(|(at, column)| own.contains(&at) || column.role == Role::Key);
            if table.label.is_some_and(|label| own.contains(&label)) {
                table.label = None;
            }
        }
        Self { tables, edges, schema: schema.clone() }
    }
}

fn table_facts(table: &Table, rows: &[Vec<Cell>]) -> TableFacts {
    let columns: Vec<ColumnFacts> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| column_facts(table, column, rows.iter().filter_map(|row| row.get(at))))
        .collect();
    let key = match table.primary_key.as_slice() {
        [name] => columns.iter().position(|column| name.is(&column.name)),
        [] => columns.iter().position(|column| column.role == Role::Key && column.unique),
        _ => None,
    };
    let label = columns
        .iter()
        .position(|column| column.role == Role::Label && column.words.ends_with("name"))
        .or_else(|| columns.iter().position(|column| column.role == Role::Label));
    let words = remark(table.comment.as_deref()).unwrap_or_else(|| words::table(table.name.text()).join(" "));
    TableFacts { name: table.name.text().to_owned(), words, columns, key, label, rows: rows.len(), links: false }
}

fn column_facts<'a>(table: &Table, column: &Column, cells: impl Iterator<Item = &'a Cell>) -> ColumnFacts {
    let mut counts: BTreeMap<&Cell, usize> = BTreeMap::new();
    let mut nulls = 0;
    for cell in cells {
        match cell {
            Cell::Null => nulls += 1,
            cell => *counts.entry(cell).or_default() += 1,
        }
    }
    let unique = counts.values().all(|count| *count == 1);
    let speakable = |cell: &&Cell| match cell {
        Cell::Text(text) => {
            !text.trim().is_empty() && text.chars().count() <= LONGEST_VALUE && !text.contains(['\'', '"', '\n'])
        }
        Cell::Real(real) => real.is_finite(),
        _ => true,
    };
    let all: Vec<&Cell> = counts.keys().copied().filter(speakable).collect();
    let stride = all.len().div_ceil(KEPT_VALUES).max(1);
    let values: Vec<Cell> = all.iter().step_by(stride).map(|cell| (*cell).clone()).collect();
    let mut role = role::of(table, column);
    let texts = values.iter().filter(|cell| matches!(cell, Cell::Text(_))).count();
    let dates = values.iter().filter(|cell| matches!(cell, Cell::Text(text) if is_iso_date(text))).count();
    if role.is_date() && dates < values.len() {
        role = if texts == values.len() { Role::Text } else { Role::Other };
    }
    if (role.is_number() || role == Role::Year) && texts > 0 {
        role = Role::Text;
    }
    if (role == Role::Text || role == Role::Label) && texts < values.len() {
        role = Role::Code;
    }
    if role == Role::Flag && values.iter().any(|cell| !matches!(cell, Cell::Integer(0 | 1))) {
        role = if texts > 0 { Role::Category } else { Role::Other };
    }
    // Few words that come again and again are a category, whatever the name says.
    if role == Role::Text && counts.len() >= 2 && counts.len() * 3 <= counts.values().sum() {
        role = Role::Category;
    }
    let words = remark(column.comment.as_deref()).unwrap_or_else(|| words::column(column.name.text()).join(" "));
    ColumnFacts { name: column.name.text().to_owned(), words, role, values, nulls, unique }
}

/// A comment of up to four plain words says what a name means.
fn remark(comment: Option<&str>) -> Option<String> {
    let text = comment?.trim().trim_end_matches('.').to_lowercase();
    let plain = text.chars().all(|c| c.is_alphabetic() || c == ' ');
    (plain && !text.is_empty() && text.split(' ').count() <= 4).then_some(text)
}

/// Whether text begins with `YYYY-MM-DD`.
pub(super) fn is_iso_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Declared keys; for a table without any, `x_id` refers to the table called x whose key is `id` or `x_id`.
fn edges(schema: &[&Table], tables: &[TableFacts]) -> Vec<Edge> {
    let mut edges = Vec::new();
    let position = |name: &crate::sql::Name| schema.iter().position(|table| table.name.is(name.text()));
    for (child, table) in schema.iter().enumerate() {
        for key in &table.foreign_keys {
            let ([own], Some(parent)) = (key.columns.as_slice(), position(&key.table)) else { continue };
            let Some(child_column) = tables[child].columns.iter().position(|column| own.is(&column.name)) else {
                continue;
            };
            let parent_column = match key.references.as_slice() {
                [to] => tables[parent].columns.iter().position(|column| to.is(&column.name)),
                _ => tables[parent].key,
            };
            if let Some(parent_column) = parent_column {
                edges.push(Edge { child, child_column, parent, parent_column });
            }
        }
        if !table.foreign_keys.is_empty() {
            continue;
        }
        for (child_column, column) in tables[child].columns.iter().enumerate() {
            if tables[child].key == Some(child_column) {
                continue;
            }
            let words = words::column(&column.name);
            let [stem @ .., last] = words.as_slice() else { continue };
            if last != "id" || stem.is_empty() {
                continue;
            }
            let named = stem.join(" ");
            let parent =
                tables.iter().position(|table| table.words == named || table.words.ends_with(&format!(" {named}")));
            let person = super::made_up::is_person(&tables[child].words);
            let superior = ["manager", "supervisor", "boss", "mentor"].contains(&named.as_str()) && person;
            let itself = (superior || named == "parent").then_some(child);
            if let Some(parent) = parent.or(itself)
                && let Some(parent_column) = tables[parent].key
                && (parent != child || itself.is_some())
            {
                edges.push(Edge { child, child_column, parent, parent_column });
            }
        }
    }
    edges
}

/// A name as it stands in SQL.
pub(super) fn quoted(name: &str, dialect: Dialect) -> String {
    Column::new(name, None).name.to_sql(dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_inferred_where_none_is_declared() {
        let schema = Schema::parse(
            "CREATE TABLE customers (id INT, name TEXT); CREATE TABLE orders (id INT, customer_id INT, total REAL); \
             CREATE TABLE staff (id INT, name TEXT, manager_id INT)",
            Dialect::Sqlite,
        )
        .unwrap();
        let facts = Facts::new(&schema, &[vec![], vec![], vec![]]);
        let told: Vec<(usize, usize)> = facts.edges.iter().map(|edge| (edge.child, edge.parent)).collect();
        assert_eq!(told, [(1, 0), (2, 2)]);
        assert_eq!(facts.tables[0].label, Some(1));
    }

    #[test]
    fn values_decide_where_names_mislead() {
        let schema = Schema::parse("CREATE TABLE t (id INT, start_date TEXT, shade TEXT)", Dialect::Sqlite).unwrap();
        let text = |text: &str| Cell::Text(text.into());
        let rows: Vec<Vec<Cell>> = (0..12)
            .map(|i| vec![Cell::Integer(i), text("12/04/90"), text(if i % 2 == 0 { "red" } else { "blue" })])
            .collect();
        let facts = Facts::new(&schema, &[rows]);
        let roles: Vec<Role> = facts.tables[0].columns.iter().map(|column| column.role).collect();
        assert_eq!(roles, [Role::Key, Role::Text, Role::Category]);
        assert!(is_iso_date("2024-02-03 10:00:00") && !is_iso_date("2024/02/03"));
    }
}
