//! A schema cut down to what a question may need: tables by how well their names and columns' names match its words,
//! the tables on the foreign-key paths between them, and as much of the rest as a budget of tokens allows.

use std::collections::{BTreeSet, VecDeque};

use super::{Schema, Table};

/// Characters of DDL that make a token, about. Tokenizers differ; three errs on the safe side for DDL, whose names are
/// mostly plain words. Price: a schema may be cut a little earlier than it had to be.
const CHARACTERS_PER_TOKEN: usize = 3;

impl Schema {
    /// Tokens that the canonical text of the schema takes, estimated from its length.
    pub fn estimated_tokens(&self) -> usize {
        self.to_ddl().len().div_ceil(CHARACTERS_PER_TOKEN)
    }

    /// The schema within `budget` tokens, tables in their order. `needed` tables (those of the answer, in training) stay
    /// whatever they cost; then the tables that match the question best, each with the tables that connect it to those
    /// already there. A schema that fits is returned whole.
    #[must_use]
    pub fn pruned(&self, question: &str, needed: &[&str], budget: usize) -> Self {
        let costs: Vec<usize> = self.tables.iter().map(|table| cost(table, self)).collect();
        if costs.iter().sum::<usize>() <= budget {
            return self.clone();
        }
        let words = words_of(question);
        let scores: Vec<usize> = self.tables.iter().map(|table| score(table, &words)).collect();
        let edges = self.edges();
        let mut kept: BTreeSet<usize> = BTreeSet::new();
        for name in needed {
            kept.extend(self.tables.iter().position(|table| table.name.is(name)));
        }
        // What joins the needed tables is needed too.
        let first: Vec<usize> = kept.iter().copied().collect();
        for pair in first.windows(2) {
            kept.extend(path(pair[0], pair[1], &edges).unwrap_or_default());
        }
        let mut order: Vec<usize> = (0..self.tables.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(scores[at]), at));
        let spent = |kept: &BTreeSet<usize>| kept.iter().map(|&at| costs[at]).sum::<usize>();
        for at in order {
            if kept.contains(&at) || (scores[at] == 0 && !kept.is_empty()) {
                continue;
            }
            let mut wanted: BTreeSet<usize> = kept.clone();
            wanted.insert(at);
            let nearest = kept.iter().filter_map(|&there| path(there, at, &edges)).min_by_key(Vec::len);
            wanted.extend(nearest.unwrap_or_default());
            if spent(&wanted) <= budget || kept.is_empty() {
                kept = wanted;
            }
        }
        self.only(|at| kept.contains(&at))
    }

    /// The schema with some of its tables, by their place; foreign keys to tables that are gone go with them.
    #[must_use]
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut schema = Self { dialect: self.dialect, tables: Vec::new() };
        schema.tables = self.tables.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, t)| t.clone()).collect();
        let names: Vec<String> = schema.tables.iter().map(|table| table.name.text().to_owned()).collect();
        for table in &mut schema.tables {
            table.foreign_keys.retain(|key| names.iter().any(|name| key.table.is(name)));
        }
        schema
    }

    /// The schema with its tables in another order: `order` holds each place once.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let tables = order.iter().filter_map(|&at| self.tables.get(at).cloned()).collect();
        Self { dialect: self.dialect, tables }
    }

    fn table_place(&self, name: &super::Name) -> Option<usize> {
        self.tables.iter().position(|table| table.name.is(name.text()))
    }

    /// Which tables are joined by a foreign key, by place.
    fn edges(&self) -> Vec<Vec<usize>> {
        let mut edges = vec![Vec::new(); self.tables.len()];
        for (at, table) in self.tables.iter().enumerate() {
            for key in &table.foreign_keys {
                if let Some(other) = self.table_place(&key.table) {
                    edges[at].push(other);
                    edges[other].push(at);
                }
            }
        }
        edges
    }
}

/// The tables between two tables along foreign keys, the shortest way; none: there is no way.
fn path(from: usize, to: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut before: Vec<Option<usize>> = vec![None; edges.len()];
    let mut queue = VecDeque::from([from]);
    before[from] = Some(from);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut way = Vec::new();
            let mut here = to;
            while here != from {
                way.push(here);
                here = before[here]?;
            }
            return Some(way);
        }
        for &next in &edges[at] {
            if before[next].is_none() {
                before[next] = Some(at);
                queue.push_back(next);
            }
        }
    }
    None
}

fn cost(table: &Table, schema: &Schema) -> usize {
    let one = Schema { dialect: schema.dialect, tables: vec![table.clone()] };
    one.estimated_tokens()
}

/// How many words of the question a table's names answer to; its own name counts three times.
fn score(table: &Table, words: &BTreeSet<String>) -> usize {
    let hits = |text: &str| words_of(text).intersection(words).count();
    let columns: usize = table.columns.iter().map(|column| hits(column.name.text())).sum();
    3 * hits(table.name.text()) + columns
}

/// The words of a text or a name (`userIds`, `user_id`), lower case, without the plural's ending.
fn words_of(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        let mut found = std::mem::take(word).to_lowercase();
        if found.len() > 3 && found.ends_with("ies") {
            found.truncate(found.len() - 3);
            found.push('y');
        } else if found.len() > 2 && found.ends_with('s') && !found.ends_with("ss") {
            found.pop();
        }
        if found.len() > 1 {
            words.insert(found);
        }
    };
    let mut lower = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            end(&mut word);
        }
        lower = c.is_lowercase();
        if c.is_alphanumeric() {
            word.push(c);
        }
    }
    end(&mut word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    const SHOP: &str = "CREATE TABLE customers (id INT PRIMARY KEY, name TEXT);\
        CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT REFERENCES customers(id));\
        CREATE TABLE order_items (order_id INT REFERENCES orders(id), product_id INT REFERENCES products(id));\
        CREATE TABLE products (id INT PRIMARY KEY, title TEXT);\
        CREATE TABLE audit_log (at TIMESTAMP, who TEXT, what TEXT, before TEXT, after TEXT)";

    fn names(schema: &Schema) -> Vec<&str> {
        schema.tables().iter().map(|table| table.name.text()).collect()
    }

    #[test]
    fn tables_between_the_chosen_ones_come_along() {
        let schema = Schema::parse(SHOP, Dialect::Postgres).unwrap();
        let all = schema.estimated_tokens();
        assert_eq!(schema.pruned("anything", &[], all + 5), schema);
        let pruned = schema.pruned("Which products did each customer buy?", &[], all - 10);
        assert_eq!(names(&pruned), ["customers", "orders", "order_items", "products"]);
        assert!(pruned.estimated_tokens() <= all - 10);
        let one = schema.pruned("the title of a product", &[], 20);
        assert_eq!(names(&one), ["products"]);
    }

    #[test]
    fn what_the_answer_needs_stays_whatever_it_costs() {
        let schema = Schema::parse(SHOP, Dialect::Postgres).unwrap();
        let pruned = schema.pruned("How many products?", &["audit_log", "customers"], 1);
        assert_eq!(names(&pruned), ["customers", "audit_log"]);
        assert!(pruned.tables().iter().all(|table| table.foreign_keys.is_empty()));
        let joined = schema.pruned("x", &["customers", "products"], 1);
        assert_eq!(names(&joined), ["customers", "orders", "order_items", "products"]);
    }

    #[test]
    fn names_are_words() {
        let words: Vec<String> = words_of("userIds order_items Categories").into_iter().collect();
        assert_eq!(words, ["category", "id", "item", "order", "user"]);
    }
}
