//! Spider's exact set match and hardness, to the letter of the published evaluator (taoyds/test-suite-sql-eval, e97acc5).
//!
//! Its reader accepts a small SQL: what it rejects counts as an empty prediction. Values, LIMIT's number, join conditions
//! and DISTINCT do not count.

mod matching;
mod parse;
mod tokens;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::sql::Schema;

pub use matching::ForeignKeys;
pub use parse::Tables;

/// What exact match says about a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the prediction is the gold, set by set.
    pub exact: bool,
    /// How hard the gold is.
    pub hardness: &'static str,
    /// Whether the evaluator reads the prediction at all.
    pub read: bool,
}

/// Judges a prediction. `value` in it becomes `1` first, as the evaluator does; a gold that it cannot read gives none.
pub fn exact_match(predicted: &str, gold: &str, tables: &Tables, keys: &ForeignKeys) -> Option<Verdict> {
    exact_match_as_written(&prepared(predicted), gold, tables, keys)
}

/// [`exact_match`] of the prediction as it is.
pub fn exact_match_as_written(predicted: &str, gold: &str, tables: &Tables, keys: &ForeignKeys) -> Option<Verdict> {
    let gold = parse::parse(gold, tables)?;
    let hardness = matching::hardness(&gold);
    let predicted = parse::parse(predicted, tables);
    let read = predicted.is_some();
    let exact =
        matching::exact(&matching::comparable(predicted.unwrap_or_default(), keys), &matching::comparable(gold, keys));
    Some(Verdict { exact: exact && read, hardness, read })
}

/// The tables of a database, in lower case.
pub fn tables(schema: &Schema) -> Tables {
    let lower = |name: &str| name.to_lowercase();
    Tables(
        schema
            .tables()
            .iter()
            .filter(|table| table.query.is_none())
            .map(|table| {
                let columns = table.columns.iter().map(|column| lower(column.name.text())).collect();
                (lower(table.name.text()), columns)
            })
            .collect(),
    )
}

/// The foreign keys of an entry of Spider's `tables.json`: columns that refer to one another count as the first of them.
pub fn foreign_keys(entry: &Json) -> ForeignKeys {
    let tables: Vec<String> = strings(&entry["table_names_original"]);
    let columns: Vec<String> = entry["column_names_original"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| {
            let table = column[0].as_u64().and_then(|at| tables.get(usize::try_from(at).ok()?));
            table.map_or_else(
                || "__all__".to_owned(),
                |table| format!("__{}.{}__", table.to_lowercase(), column[1].as_str().unwrap_or("").to_lowercase()),
            )
        })
        .collect();
    let pairs = entry["foreign_keys"].as_array().into_iter().flatten().map(|pair| {
        pair.as_array().into_iter().flatten().filter_map(|end| usize::try_from(end.as_u64()?).ok()).collect()
    });
    folded(&columns, pairs)
}

/// The foreign keys of a schema, as [`foreign_keys`] gives those of an entry.
pub fn foreign_keys_of(schema: &Schema) -> ForeignKeys {
    let name = |table: &str, column: &str| format!("__{}.{}__", table.to_lowercase(), column.to_lowercase());
    let mut columns: Vec<String> = vec!["__all__".to_owned()];
    for table in schema.tables() {
        columns.extend(table.columns.iter().map(|column| name(table.name.text(), column.name.text())));
    }
    let place = |table: &str, column: &str| columns.iter().position(|known| *known == name(table, column));
    let mut pairs: Vec<Vec<usize>> = Vec::new();
    for table in schema.tables() {
        for key in &table.foreign_keys {
            let target = key.table.text();
            let referred = if key.references.is_empty() {
                schema.table(target).map(|table| table.primary_key.clone()).unwrap_or_default()
            } else {
                key.references.clone()
            };
            for (own, other) in key.columns.iter().zip(&referred) {
                pairs.push(
                    [place(table.name.text(), own.text()), place(target, other.text())].into_iter().flatten().collect(),
                );
            }
        }
    }
    folded(&columns, pairs.into_iter())
}

/// Every column of a pair, and of pairs that share one, stands for the first of them.
fn folded(columns: &[String], pairs: impl Iterator<Item = Vec<usize>>) -> ForeignKeys {
    let mut sets: Vec<BTreeSet<usize>> = Vec::new();
    for ends in pairs {
        match sets.iter_mut().find(|set| ends.iter().any(|end| set.contains(end))) {
            Some(set) => set.extend(ends),
            None => sets.push(ends.into_iter().collect()),
        }
    }
    let mut keys = ForeignKeys::new();
    for set in &sets {
        let Some(first) = set.first().and_then(|at| columns.get(*at)) else { continue };
        for name in set.iter().filter_map(|at| columns.get(*at)) {
            keys.insert(name.clone(), first.clone());
        }
    }
    keys
}

fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// A prediction as the evaluator runs and reads it.
pub fn prepared(predicted: &str) -> String {
    predicted.replace("value", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(predicted: &str, gold: &str) -> Option<Verdict> {
        let column = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let tables = Tables(vec![
            ("singer".into(), column(&["id", "name", "age"])),
            ("concert".into(), column(&["id", "singer_id", "year"])),
        ]);
        let mut keys = ForeignKeys::new();
        for name in ["__singer.id__", "__concert.singer_id__"] {
            keys.insert(name.into(), "__singer.id__".into());
        }
        exact_match(predicted, gold, &tables, &keys)
    }

    #[test]
    fn what_counts_and_what_does_not() {
        let gold = "SELECT name , age FROM singer WHERE age > 20 ORDER BY age DESC LIMIT 3";
        for (predicted, exact) in [
            (gold, true),
            ("select AGE, name from singer where age > 99 order by age desc limit 1", true),
            ("SELECT DISTINCT name, age FROM singer WHERE age > 20 ORDER BY age DESC LIMIT 3", true),
            ("SELECT name, age FROM singer WHERE age > 20 ORDER BY age LIMIT 3", false),
            ("SELECT name FROM singer WHERE age > 20 ORDER BY age DESC LIMIT 3", false),
            ("SELECT name, age FROM singer WHERE age >= 20 ORDER BY age DESC LIMIT 3", false),
            ("SELECT name AS n, age FROM singer", false),
        ] {
            assert_eq!(judge(predicted, gold).unwrap().exact, exact, "{predicted}");
        }
        let join = "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id GROUP BY T1.id";
        let other = "SELECT T1.name FROM concert AS T2 JOIN singer AS T1 ON T2.singer_id = T1.id GROUP BY T2.singer_id";
        assert!(judge(other, join).unwrap().exact, "a key counts as the column it refers to");
        assert!(judge("SELECT 1", "SELECT no FROM singer").is_none(), "a gold that cannot be read");
    }

    #[test]
    fn hardness_is_counted() {
        for (gold, hardness) in [
            ("SELECT count(*) FROM singer", "easy"),
            ("SELECT name, age FROM singer", "medium"),
            ("SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)", "hard"),
            (
                "SELECT name, age FROM singer WHERE age > 3 INTERSECT SELECT name, age FROM singer WHERE age < 9 AND id = 1",
                "extra",
            ),
        ] {
            assert_eq!(judge(gold, gold).unwrap().hardness, hardness, "{gold}");
        }
    }
}
