//! What some made-up databases have beside their domain: a table that refers to itself, a table split into years or
//! quarters. `worlds` asks for it.

use super::draw::Draws;
use super::made_up::is_person;
use super::role::is_number_type;
use super::worlds::column_type;
use super::writing::Writing;
use crate::sql::{Column, Dialect, ForeignKey, Table};

/// One table gets a key to itself: a manager, what it is a part of.
pub(super) fn plant(tables: &mut [Table], said: &[String], writing: &Writing, dialect: Dialect, draws: &mut Draws) {
    let usable: Vec<usize> = (0..tables.len())
        .filter(|at| {
            tables[*at].primary_key.len() == 1
                && tables[*at].foreign_keys.iter().all(|key| key.table != tables[*at].name)
        })
        .collect();
    let Some(at) = draws.pick(&usable).copied() else { return };
    let roles: &[&str] = if is_person(&said[at]) {
        &["manager", "supervisor", "boss", "mentor", "team lead"]
    } else {
        &["parent", "main", "superior"]
    };
    let Some(role) = draws.pick(roles) else { return };
    let role = if *role == "parent" || *role == "main" { format!("{role} {}", said[at]) } else { (*role).to_owned() };
    let column = Column::new(writing.name(&format!("{role} id")), Some(column_type('i', dialect, draws)));
    let table = &mut tables[at];
    if table.columns.iter().any(|known| known.name == column.name) {
        return;
    }
    table.foreign_keys.push(ForeignKey {
        columns: vec![column.name.clone()],
        table: table.name.clone(),
        references: table.primary_key.clone(),
    });
    table.columns.push(column);
}

/// One table that no other refers to becomes two to four of the same columns, each for a year or a quarter.
pub(super) fn split(tables: &mut Vec<Table>, said: &[String], writing: &Writing, draws: &mut Draws) {
    let referred = |at: usize| {
        let inferred = Column::new(writing.name(&format!("{} id", said[at])), None).name;
        tables.iter().enumerate().any(|(other, table)| {
            table.foreign_keys.iter().any(|key| key.table == tables[at].name)
                || other != at && table.column(inferred.text()).is_some()
        })
    };
    let number = |column: &Column| column.data_type.as_deref().is_some_and(is_number_type);
    let usable: Vec<usize> = (0..tables.len())
        .filter(|at| !referred(*at) && tables[*at].columns.iter().filter(|column| number(column)).count() >= 2)
        .collect();
    let Some(at) = draws.pick(&usable).copied() else { return };
    let first = draws.between(2019, 2023);
    let count = *draws.pick(&[2, 2, 3, 4]).unwrap_or(&2);
    let parts: Vec<String> = match draws.below(5) {
        0 | 1 => (1..=4).map(|quarter| format!("q{quarter}")).collect(),
        2 => vec!["h1".into(), "h2".into()],
        _ => (first..first + count).map(|year| year.to_string()).collect(),
    };
    let mut whole = tables.remove(at);
    // A day of another year than the table's would be odd.
    let day = |kind: &str| kind.contains("DATE") || kind.contains("TIMESTAMP");
    whole.columns.retain(|column| !column.data_type.as_deref().is_some_and(day));
    for part in parts {
        let mut table = whole.clone();
        table.name = Table::new(writing.table(&format!("{} {part}", said[at]))).name;
        tables.push(table);
    }
}
