//! The shop that `quickstart` plays with where no database is named: four tables and some hundred rows, made here. The
//! same every time.

use std::path::Path;

use crate::db::sqlite::Scratch;
use crate::db::{Limits, Value};
use crate::error::{Problem, Result};
use crate::kernels::random::mix;

/// The shop's tables.
const SCHEMA: &str = "\
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, joined DATE);
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT, price REAL, stock INTEGER);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), \
product_id INTEGER REFERENCES product (id), quantity INTEGER, bought DATE);
CREATE TABLE review (id INTEGER PRIMARY KEY, product_id INTEGER REFERENCES product (id), \
customer_id INTEGER REFERENCES customer (id), stars INTEGER, written DATE);
";

/// What is asked at the end.
pub(super) const QUESTIONS: [&str; 3] = [
    "How many customers live in Porto?",
    "What is the average price of the products of each category?",
    "List the names of the customers who have never made a purchase.",
];

const FIRST: [&str; 12] =
    ["Ana", "Bruno", "Clara", "Diego", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kenji", "Lena"];
const LAST: [&str; 8] = ["Alves", "Berg", "Costa", "Duarte", "Evans", "Ferro", "Gomes", "Haddad"];
const CITIES: [&str; 6] = ["Porto", "Lisbon", "Braga", "Recife", "Oslo", "Kyoto"];
const PRODUCTS: [(&str, &str, f64); 24] = [
    ("Teapot", "Kitchen", 34.5),
    ("Frying Pan", "Kitchen", 42.0),
    ("Bread Knife", "Kitchen", 18.9),
    ("Cutting Board", "Kitchen", 22.4),
    ("Kettle", "Kitchen", 39.0),
    ("Desk Lamp", "Office", 56.0),
    ("Notebook", "Office", 4.8),
    ("Stapler", "Office", 12.3),
    ("Office Chair", "Office", 189.0),
    ("Pencil Case", "Office", 9.9),
    ("Tent", "Outdoor", 149.0),
    ("Sleeping Bag", "Outdoor", 89.5),
    ("Hiking Boots", "Outdoor", 129.0),
    ("Headlamp", "Outdoor", 27.0),
    ("Water Bottle", "Outdoor", 16.5),
    ("Chess Set", "Games", 31.0),
    ("Playing Cards", "Games", 6.2),
    ("Jigsaw Puzzle", "Games", 19.9),
    ("Board Game", "Games", 44.9),
    ("Guitar", "Music", 249.0),
    ("Tambourine", "Music", 25.0),
    ("Flute", "Music", 119.0),
    ("Drumsticks", "Music", 13.7),
    ("Music Stand", "Music", 33.3),
];
const CUSTOMERS: u64 = 60;
/// The last customers have bought nothing yet, and the last products were never sold.
const BUYING: u64 = 52;
const SOLD: u64 = 22;
const PURCHASES: u64 = 320;
const REVIEWS: u64 = 140;

/// Draws that are the same every time.
fn draw(what: u64, row: u64, below: u64) -> u64 {
    (mix(&[0x73_68_6f_70, what, row]) >> 16) % below
}

fn day(what: u64, row: u64) -> Value {
    let [year, month, day] = [2023 + draw(what, row, 3), 1 + draw(what + 1, row, 12), 1 + draw(what + 2, row, 28)];
    Value::Text(format!("{year}-{month:02}-{day:02}"))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn whole(number: u64) -> Value {
    Value::Integer(number as i64)
}

/// Writes the shop's database into a new file.
pub(super) fn write(path: &Path) -> Result<()> {
    let mut shop = Scratch::new()?;
    shop.execute(SCHEMA, &Limits::default()).map_err(Problem::from)?;
    let customers = (0..CUSTOMERS).map(|i| {
        let name = format!("{} {}", FIRST[(i % 12) as usize], LAST[((i / 12 + i) % 8) as usize]);
        vec![whole(i + 1), text(&name), text(CITIES[draw(1, i, 6) as usize]), day(10, i)]
    });
    let products = PRODUCTS.iter().zip(0..).map(|((name, category, price), i)| {
        vec![whole(i + 1), text(name), text(category), Value::Real(*price), whole(draw(2, i, 90))]
    });
    let purchases = (0..PURCHASES).map(|i| {
        let (customer, product) = (1 + draw(3, i, BUYING), 1 + draw(4, i, SOLD));
        vec![whole(i + 1), whole(customer), whole(product), whole(1 + draw(5, i, 6)), day(20, i)]
    });
    let reviews = (0..REVIEWS).map(|i| {
        let (product, customer) = (1 + draw(6, i, SOLD - 3), 1 + draw(7, i, BUYING));
        vec![whole(i + 1), whole(product), whole(customer), whole(1 + draw(8, i, 5)), day(30, i)]
    });
    let tables: [(&str, Vec<Vec<Value>>); 4] = [
        ("customer", customers.collect()),
        ("product", products.collect()),
        ("purchase", purchases.collect()),
        ("review", reviews.collect()),
    ];
    for (table, rows) in &tables {
        shop.insert(table, rows).map_err(Problem::from)?;
    }
    shop.save(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Source;

    #[test]
    fn the_shop_has_rows_for_the_questions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        write(&path).unwrap();
        let shop = Source::Sqlite(path.clone());
        let count = |sql: &str| shop.query(sql, &Limits::default()).unwrap().rows[0][0].as_number().unwrap();
        assert!(count("SELECT COUNT(*) FROM customer WHERE city = 'Porto'") > 2.0);
        let idle =
            "SELECT COUNT(*) FROM customer c WHERE NOT EXISTS (SELECT 1 FROM purchase p WHERE p.customer_id = c.id)";
        assert!(count(idle) >= (CUSTOMERS - BUYING) as f64);
        assert_eq!(count("SELECT COUNT(DISTINCT name) FROM customer"), CUSTOMERS as f64, "names are told apart");
        assert!(write(&path).is_err(), "never over a file that is there");
    }
}
