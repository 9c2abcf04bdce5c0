//! A shop's questions and SQL: text that the tokenizers of random models are made from.

use serde_json::json;

const SCHEMA: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, joined DATE);
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT, price REAL, stock INTEGER);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), product_id INTEGER REFERENCES product (id), quantity INTEGER, bought DATE);
";

const TABLES: [(&str, &str, &[&str], &[&str]); 3] = [
    ("customer", "customers", &["name", "city", "joined"], &["id"]),
    ("product", "products", &["name", "category"], &["price", "stock"]),
    ("purchase", "purchases", &["bought"], &["quantity", "customer_id", "product_id"]),
];

const CITIES: [&str; 6] = ["Lisbon", "Braga", "Recife", "Oslo", "Lima", "Kyoto"];

/// (question, answer) pairs: counting, listing, filtering, extremes, grouping.
fn pairs() -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (table, plural, words, numbers) in TABLES {
        pairs.push((format!("How many {plural} are there?"), format!("SELECT COUNT(*) FROM {table}")));
        pairs.push((format!("Count the {plural}."), format!("SELECT COUNT(*) FROM {table}")));
        for column in words.iter().chain(numbers) {
            pairs.push((format!("List the {column} of all {plural}."), format!("SELECT {column} FROM {table}")));
            pairs.push((
                format!("Show every different {column} of the {plural}."),
                format!("SELECT DISTINCT {column} FROM {table}"),
            ));
            pairs.push((
                format!("Which {plural} have no {column}?"),
                format!("SELECT id FROM {table} WHERE {column} IS NULL"),
            ));
        }
        for column in words {
            pairs.push((
                format!("How many {plural} are there for each {column}?"),
                format!("SELECT {column}, COUNT(*) FROM {table} GROUP BY {column}"),
            ));
        }
        for column in numbers {
            for (word, function) in [("largest", "MAX"), ("smallest", "MIN"), ("average", "AVG"), ("total", "SUM")] {
                pairs.push((
                    format!("What is the {word} {column} of the {plural}?"),
                    format!("SELECT {function}({column}) FROM {table}"),
                ));
            }
            for limit in [3, 10, 25, 100] {
                pairs.push((
                    format!("Which {plural} have a {column} above {limit}?"),
                    format!("SELECT id FROM {table} WHERE {column} > {limit}"),
                ));
            }
        }
    }
    for city in CITIES {
        pairs.push((
            format!("How many customers live in {city}?"),
            format!("SELECT COUNT(*) FROM customer WHERE city = '{city}'"),
        ));
        pairs.push((
            format!("What did customers from {city} buy?"),
            format!(
                "SELECT DISTINCT product.name FROM purchase JOIN customer ON customer.id = purchase.customer_id \
                 JOIN product ON product.id = purchase.product_id WHERE customer.city = '{city}'"
            ),
        ));
    }
    pairs
}

/// The rows as JSON lines in the shape of sql-create-context.
pub(super) fn json_lines() -> String {
    pairs()
        .into_iter()
        .map(|(question, answer)| json!({"question": question, "context": SCHEMA, "answer": answer}).to_string() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_runs_on_the_shop() {
        let shop = rusqlite::Connection::open_in_memory().unwrap();
        shop.execute_batch(SCHEMA).unwrap();
        for (question, answer) in pairs() {
            shop.prepare(&answer).unwrap_or_else(|error| panic!("{question}: {error}"));
        }
    }
}
