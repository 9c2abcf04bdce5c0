//! Rows for a schema without any: keys that fit, values that fit, some parents without children.

use super::Cell;
use super::draw::Draws;
use super::facts::{Edge, Facts};
use super::made_up::Maker;
use crate::sql::Schema;

/// Share of the parents that may have children: the others answer "which have none?".
const PARENTS_WITH_CHILDREN: f64 = 0.75;

/// Share of the rows that refer to nobody, where a table refers to itself.
const TOPS: f64 = 0.2;

/// Rows for every table of a schema, all columns in order.
pub(super) fn rows(schema: &Schema, draws: &mut Draws) -> Vec<Vec<Vec<Cell>>> {
    let empty: Vec<Vec<Vec<Cell>>> = vec![Vec::new(); schema.tables().len()];
    let facts = Facts::new(schema, &empty);
    let sizes: Vec<usize> = (0..facts.tables.len()).map(|table| size(&facts, table, draws)).collect();
    let mut tables: Vec<Vec<Vec<Cell>>> = Vec::new();
    for (at, table) in schema.tables().iter().enumerate() {
        let makers: Vec<Maker> = table.columns.iter().map(|column| Maker::new(table, column, draws)).collect();
        let mut rows: Vec<Vec<Cell>> =
            (0..sizes[at]).map(|row| makers.iter().map(|maker| maker.value(row, draws)).collect()).collect();
        let dates: Vec<usize> = (0..makers.len()).filter(|column| makers[*column].is_date()).collect();
        for row in &mut rows {
            in_order(row, &dates, &makers);
        }
        // A key that is text or drawn from a range must still be a key.
        if let Some(key) = facts.tables[at].key {
            for (number, row) in rows.iter_mut().enumerate() {
                let text = matches!(row[key], Cell::Text(_));
                row[key] =
                    if text { Cell::Text(format!("K{:03}", number + 1)) } else { Cell::Integer(number as i64 + 1) };
            }
        }
        tables.push(rows);
    }
    for edge in &facts.edges {
        refer(&mut tables, edge, draws);
    }
    for (at, table) in facts.tables.iter().enumerate() {
        if table.links || schema.tables()[at].primary_key.len() > 1 {
            let keys: Vec<usize> =
                facts.edges.iter().filter(|edge| edge.child == at).map(|edge| edge.child_column).collect();
            let mut seen = std::collections::BTreeSet::new();
            tables[at].retain(|row| seen.insert(keys.iter().map(|key| row[*key].clone()).collect::<Vec<_>>()));
        }
    }
    tables
}

/// Children outnumber parents.
fn size(facts: &Facts, table: usize, draws: &mut Draws) -> usize {
    let parents = facts.edges.iter().filter(|edge| edge.child == table && edge.parent != table).count();
    match parents {
        0 => 8 + draws.below(18),
        1 => 25 + draws.below(30),
        _ => 40 + draws.below(40),
    }
}

/// Days of one row in the order of their columns: nothing ends before it starts.
fn in_order(row: &mut [Cell], dates: &[usize], makers: &[Maker]) {
    let birth = |column: &usize| makers[*column].words().contains("birth");
    let dates: Vec<usize> =
        dates.iter().copied().filter(|column| !birth(column) && row[*column] != Cell::Null).collect();
    let mut days: Vec<Cell> = dates.iter().map(|column| row[*column].clone()).collect();
    days.sort();
    for (column, day) in dates.into_iter().zip(days) {
        row[column] = day;
    }
}

fn refer(tables: &mut [Vec<Vec<Cell>>], edge: &Edge, draws: &mut Draws) {
    let keys: Vec<Cell> = tables[edge.parent].iter().filter_map(|row| row.get(edge.parent_column).cloned()).collect();
    if edge.child == edge.parent {
        let own = keys;
        for (number, row) in tables[edge.child].iter_mut().enumerate() {
            // Only earlier rows: no circles.
            let top = number == 0 || draws.chance(TOPS);
            row[edge.child_column] = if top { Cell::Null } else { own[draws.below(number)].clone() };
        }
        return;
    }
    let count = ((keys.len() as f64) * PARENTS_WITH_CHILDREN).ceil() as usize;
    let chosen = draws.some(&keys, count.max(1));
    for row in &mut tables[edge.child] {
        if let Some(key) = draws.pick(&chosen) {
            row[edge.child_column] = key.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    #[test]
    fn made_up_rows_fit_their_schema() {
        let schema = Schema::parse(
            "CREATE TABLE customers (id INT PRIMARY KEY, name TEXT, email TEXT, status TEXT CHECK (status IN ('on','off'))); \
             CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT REFERENCES customers(id), order_date DATE, \
             ship_date DATE, total DECIMAL(8,2)); \
             CREATE TABLE staff (code VARCHAR(5) PRIMARY KEY, boss VARCHAR(5) REFERENCES staff(code))",
            Dialect::Postgres,
        )
        .unwrap();
        let tables = rows(&schema, &mut Draws::new(&[7]));
        assert_eq!(tables, rows(&schema, &mut Draws::new(&[7])), "the same seed, the same rows");
        let customers: Vec<&Cell> = tables[0].iter().map(|row| &row[0]).collect();
        for order in &tables[1] {
            assert!(customers.contains(&&order[1]));
            assert!(order[2] <= order[3] || order[2] == Cell::Null || order[3] == Cell::Null);
            assert!(order[4].number().is_some() || order[4] == Cell::Null);
        }
        assert!(tables[1].len() > tables[0].len());
        for customer in &tables[0] {
            assert!([Cell::Text("on".into()), Cell::Text("off".into()), Cell::Null].contains(&customer[3]));
        }
        let with: std::collections::BTreeSet<&Cell> = tables[1].iter().map(|row| &row[1]).collect();
        assert!(with.len() < customers.len(), "some customers have no orders");
        let codes: Vec<&Cell> = tables[2].iter().map(|row| &row[0]).collect();
        assert!(tables[2].iter().all(|row| row[1] == Cell::Null || codes.contains(&&row[1])));
        let facts = Facts::new(&schema, &tables);
        assert_eq!(facts.tables[1].columns[1].role, super::super::role::Role::Reference);
    }
}
