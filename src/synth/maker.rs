//! What every pattern builds from: a table, columns, a condition, an aggregate, a pair of tables.

use super::conditions::single as simple;
use super::draft::{Condition, Phrase, Slot};
use super::draw::Draws;
use super::facts::{ColumnFacts, Edge, Facts, TableFacts, quoted};
use super::role::Role;
use super::style::Style;

/// Share of the single-table conditions that are put together from two.
const DOUBLE_CONDITIONS: f64 = 0.25;

/// Share of the lists that show whole rows.
const WHOLE_ROWS: f64 = 0.35;

/// Share of the aggregates that are sums of pieces times price, where a table has both.
const PRODUCTS: f64 = 0.35;

/// What a pattern draws from.
#[derive(Debug, Clone)]
pub(super) struct Maker<'a> {
    /// The database.
    pub facts: &'a Facts,
    /// The draws.
    pub draws: Draws,
    /// How SQL is written.
    pub style: Style,
}

/// What a query shows of a table.
pub(super) struct Shown {
    /// What stands behind SELECT.
    pub sql: String,
    /// The columns; none: whole rows.
    pub columns: Option<Slot>,
}

/// AVG, SUM, MIN, MAX of a column.
pub(super) struct Aggregate {
    /// The SQL.
    pub sql: String,
    /// What is said.
    pub phrase: Phrase,
    /// `avg`, `sum`, `min` or `max`.
    pub kind: &'static str,
}

impl<'a> Maker<'a> {
    /// A table's facts.
    pub fn table(&self, table: usize) -> &'a TableFacts {
        &self.facts.tables[table]
    }

    /// A column's facts.
    pub fn facts_of(&self, table: usize, column: usize) -> &'a ColumnFacts {
        &self.facts.tables[table].columns[column]
    }

    /// A table's name in SQL.
    pub fn name(&self, table: usize) -> String {
        quoted(&self.table(table).name, self.style.dialect)
    }

    /// A column's name in SQL.
    pub fn bare(&self, table: usize, column: usize) -> String {
        quoted(&self.facts_of(table, column).name, self.style.dialect)
    }

    /// A column's name in SQL with its table's.
    pub fn dotted(&self, table: usize, column: usize) -> String {
        format!("{}.{}", self.name(table), self.bare(table, column))
    }

    /// One or the other.
    pub fn column_sql(&self, table: usize, column: usize, dotted: bool) -> String {
        if dotted { self.dotted(table, column) } else { self.bare(table, column) }
    }

    /// A table that people ask about.
    pub fn any_table(&mut self) -> Option<usize> {
        let tables: Vec<usize> = (0..self.facts.tables.len())
            .filter(|table| !self.table(*table).links && self.table(*table).columns.len() >= 2)
            .collect();
        self.draws.pick(&tables).copied()
    }

    /// A table that people ask about and for which `wanted` holds.
    pub fn table_where(&mut self, wanted: impl Fn(&TableFacts) -> bool) -> Option<usize> {
        let tables: Vec<usize> = (0..self.facts.tables.len())
            .filter(|table| !self.table(*table).links && wanted(self.table(*table)))
            .collect();
        self.draws.pick(&tables).copied()
    }

    /// The columns of a table for which `wanted` holds.
    pub fn columns(&self, table: usize, wanted: impl Fn(&ColumnFacts) -> bool) -> Vec<usize> {
        let columns = &self.table(table).columns;
        (0..columns.len()).filter(|column| wanted(&columns[*column])).collect()
    }

    /// One of them.
    pub fn column(&mut self, table: usize, wanted: impl Fn(&ColumnFacts) -> bool) -> Option<usize> {
        let columns = self.columns(table, wanted);
        self.draws.pick(&columns).copied()
    }

    /// A number to compare, average and sort by, with values.
    pub fn number(&mut self, table: usize) -> Option<usize> {
        self.column(table, |column| column.role.is_number() && column.values.len() >= 2)
    }

    /// A number whose sum means something.
    pub fn summable(&mut self, table: usize) -> Option<usize> {
        self.column(table, |column| column.adds_up() && column.values.len() >= 2)
    }

    /// A number or day without NULLs to sort by.
    pub fn sortable(&mut self, table: usize) -> Option<usize> {
        self.column(table, |column| {
            (column.role.is_number() || column.role.is_date()) && column.nulls == 0 && column.values.len() >= 3
        })
    }

    /// A column whose values make groups.
    pub fn grouping(&mut self, table: usize) -> Option<usize> {
        let grouping = |column: &ColumnFacts| {
            matches!(column.role, Role::Category | Role::Year)
                && column.nulls == 0
                && !column.unique
                && column.values.len() >= 2
        };
        self.column(table, grouping)
    }

    /// A day column.
    pub fn date(&mut self, table: usize) -> Option<usize> {
        self.column(table, |column| column.role.is_date() && !column.values.is_empty())
    }

    /// The column people know the rows of a table by.
    pub fn label(&self, table: usize) -> Option<usize> {
        self.table(table).label
    }

    /// Columns a list may show, in the order of the table.
    fn showable(&self, table: usize) -> Vec<usize> {
        self.columns(table, |column| !matches!(column.role, Role::Reference | Role::Key | Role::Other))
    }

    /// Whole rows or one to three columns of a table.
    pub fn shown(&mut self, table: usize, dotted: bool) -> Option<Shown> {
        if self.draws.chance(WHOLE_ROWS) {
            let sql = if dotted { format!("{}.*", self.name(table)) } else { "*".into() };
            return Some(Shown { sql, columns: None });
        }
        self.shown_columns(table, dotted)
    }

    /// One to three columns of a table.
    pub fn shown_columns(&mut self, table: usize, dotted: bool) -> Option<Shown> {
        let all = self.showable(table);
        let count = [1, 1, 2, 2, 3][self.draws.below(5)];
        let mut chosen = self.draws.some(&all, count);
        if chosen.is_empty() {
            return None;
        }
        // The label belongs in front, where a person would say it.
        if let Some(label) = self.label(table)
            && let Some(at) = chosen.iter().position(|column| *column == label)
        {
            chosen.swap(0, at);
        }
        let sql = chosen.iter().map(|column| self.column_sql(table, *column, dotted)).collect::<Vec<_>>().join(", ");
        let columns = chosen.into_iter().map(|column| (table, column)).collect();
        Some(Shown { sql, columns: Some(Slot::Columns { columns, full: false }) })
    }

    /// A condition on a table, or none with probability `1 - p`.
    pub fn maybe(&mut self, p: f64, table: usize, dotted: bool, avoid: &[usize]) -> Option<Condition> {
        if self.draws.chance(p) { self.condition(table, dotted, avoid) } else { None }
    }

    /// A condition on a table: one, or two joined by AND or OR.
    pub fn condition(&mut self, table: usize, dotted: bool, avoid: &[usize]) -> Option<Condition> {
        let (first, column) = self.simple(table, dotted, avoid)?;
        if !self.draws.chance(DOUBLE_CONDITIONS) {
            return Some(first);
        }
        let mut avoid = avoid.to_vec();
        avoid.push(column);
        let Some((second, _)) = self.simple(table, dotted, &avoid) else { return Some(first) };
        Some(self.joined(first, second))
    }

    /// Two conditions joined by AND or, less often, OR.
    pub fn joined(&mut self, first: Condition, second: Condition) -> Condition {
        let or = self.draws.chance(0.3);
        let (word, key) = if or { ("OR", "where.or") } else { ("AND", "where.and") };
        Condition {
            sql: format!("{} {word} {}", first.sql, second.sql),
            phrase: Phrase::new(key).phrase("a", first.phrase).phrase("b", second.phrase),
            kind: format!("{}+{}", first.kind, second.kind),
            loose: or,
        }
    }

    /// A condition on one column, and the column.
    pub fn simple(&mut self, table: usize, dotted: bool, avoid: &[usize]) -> Option<(Condition, usize)> {
        let usable: Vec<usize> = self
            .columns(table, |column| {
                !matches!(column.role, Role::Key | Role::Reference | Role::Other) && !column.values.is_empty()
            })
            .into_iter()
            .filter(|column| !avoid.contains(column))
            .collect();
        let column = *self.draws.pick(&usable)?;
        let facts = self.facts_of(table, column);
        let name = self.column_sql(table, column, dotted);
        let said = |key: &'static str| Phrase::new(key).column("column", table, column);
        if facts.nulls > 0 && self.draws.chance(0.25) {
            let (sql, key) = if self.draws.chance(0.5) {
                (format!("{name} IS NULL"), "where.null")
            } else {
                (format!("{name} IS NOT NULL"), "where.not.null")
            };
            return Some((simple(sql, said(key)), column));
        }
        let condition = match facts.role {
            Role::Flag => self.flag(table, column, &name),
            role if role.is_number() || role == Role::Year => self.number_condition(&name, facts, said)?,
            role if role.is_date() => self.date_condition(&name, facts, said)?,
            _ => self.text_condition(&name, facts, said)?,
        };
        Some((condition, column))
    }

    /// Pieces of `table` times the price of a piece, summed up: both columns of it, or the price of `priced`.
    pub fn product(&mut self, table: usize, priced: usize, dotted: bool) -> Option<Aggregate> {
        let pieces = self.column(table, |column| column.role == Role::Quantity && column.nulls == 0)?;
        let single = ["price", "cost", "fee", "rate", "fare", "wage"];
        let price = self.column(priced, |column| {
            column.role == Role::Money && column.nulls == 0 && single.iter().any(|word| column.words.ends_with(word))
        })?;
        let sql =
            format!("SUM({} * {})", self.column_sql(table, pieces, dotted), self.column_sql(priced, price, dotted));
        let phrase = Phrase::new("product").column("pieces", table, pieces);
        let phrase =
            if table == priced { phrase.column("price", priced, price) } else { phrase.full("price", priced, price) };
        Some(Aggregate { sql, phrase, kind: "sum" })
    }

    /// An aggregate of a number of a table.
    pub fn aggregate(&mut self, table: usize, dotted: bool) -> Option<Aggregate> {
        if self.draws.chance(PRODUCTS)
            && let Some(product) = self.product(table, table, dotted)
        {
            return Some(product);
        }
        let column = self.number(table)?;
        let adds_up = self.facts_of(table, column).adds_up();
        let kinds: &[&'static str] =
            if adds_up { &["avg", "sum", "sum", "min", "max"] } else { &["avg", "avg", "min", "max"] };
        let kind = *self.draws.pick(kinds)?;
        Some(self.aggregate_of(kind, table, column, dotted))
    }

    /// This aggregate of this column.
    pub fn aggregate_of(&self, kind: &'static str, table: usize, column: usize, dotted: bool) -> Aggregate {
        let key = match kind {
            "avg" => "average",
            "sum" => "sum",
            "min" => "lowest",
            _ => "highest",
        };
        let sql = format!("{}({})", kind.to_uppercase(), self.column_sql(table, column, dotted));
        Aggregate { sql, phrase: Phrase::new(key).column("column", table, column), kind }
    }

    /// A key between two tables that people ask about, the child no mere link.
    pub fn pair(&mut self) -> Option<Edge> {
        let edges: Vec<Edge> = self
            .facts
            .edges
            .iter()
            .copied()
            .filter(|edge| edge.child != edge.parent && !self.table(edge.child).links)
            .filter(|edge| self.only_way(edge.child, edge.parent))
            .collect();
        self.draws.pick(&edges).copied()
    }

    /// Whether one key alone leads from child to parent: with two (billing and shipping address) a question would have
    /// to say which.
    pub fn only_way(&self, child: usize, parent: usize) -> bool {
        self.facts.edges.iter().filter(|edge| edge.child == child && edge.parent == parent).count() == 1
    }

    /// `JOIN parent ON child.x = parent.id`.
    pub fn join_parent(&self, edge: Edge) -> String {
        let on = format!(
            "{} = {}",
            self.dotted(edge.child, edge.child_column),
            self.dotted(edge.parent, edge.parent_column)
        );
        format!("JOIN {} ON {on}", self.name(edge.parent))
    }

    /// `JOIN child ON child.x = parent.id`.
    pub fn join_child(&self, edge: Edge) -> String {
        let on = format!(
            "{} = {}",
            self.dotted(edge.child, edge.child_column),
            self.dotted(edge.parent, edge.parent_column)
        );
        format!("JOIN {} ON {on}", self.name(edge.child))
    }

    /// `parent.id, parent.name` to group by: two rows of the same name stay two.
    pub fn group_by_row(&self, edge: Edge, label: usize) -> String {
        let key = self.dotted(edge.parent, edge.parent_column);
        let label = self.dotted(edge.parent, label);
        if key == label { key } else { format!("{key}, {label}") }
    }

    /// Two keys in a row: grandchild → child → parent.
    pub fn chain(&mut self) -> Option<(Edge, Edge)> {
        let edges = &self.facts.edges;
        let mut chains = Vec::new();
        for lower in edges {
            for upper in edges {
                let different =
                    lower.child != lower.parent && upper.child != upper.parent && lower.child != upper.parent;
                if lower.parent == upper.child
                    && different
                    && !self.table(lower.child).links
                    && self.only_way(lower.child, lower.parent)
                    && self.only_way(upper.child, upper.parent)
                    && !edges.iter().any(|edge| edge.child == lower.child && edge.parent == upper.parent)
                {
                    chains.push((*lower, *upper));
                }
            }
        }
        self.draws.pick(&chains).copied()
    }

    /// A table that links two others: its two keys, in random order.
    pub fn bridge(&mut self) -> Option<(Edge, Edge)> {
        let edges = &self.facts.edges;
        let mut bridges = Vec::new();
        for left in edges {
            for right in edges {
                let linked = left.child == right.child && left.parent != right.parent;
                if linked
                    && left.child != left.parent
                    && right.child != right.parent
                    && self.only_way(left.child, left.parent)
                    && self.only_way(right.child, right.parent)
                    && self.label(left.parent).is_some()
                    && self.label(right.parent).is_some()
                {
                    bridges.push((*left, *right));
                }
            }
        }
        self.draws.pick(&bridges).copied()
    }
}
