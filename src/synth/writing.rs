//! How the names of a made-up database are written: in the ways that people have.

use super::draw::Draws;
use super::words;
use crate::sql::Dialect;

/// How the words of a name are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// `order_item`
    Snake,
    /// `orderItem`
    Camel,
    /// `OrderItem`
    Pascal,
    /// `Order_Item`
    Capitals,
    /// `ORDER_ITEM`
    Upper,
}

/// How tables and columns are written, and how many databases in a hundred do so: an estimate.
const CASES: &[(usize, Case, Case)] = &[
    (46, Case::Snake, Case::Snake),
    (5, Case::Camel, Case::Camel),
    (8, Case::Pascal, Case::Pascal),
    (5, Case::Pascal, Case::Camel),
    (6, Case::Pascal, Case::Snake),
    (14, Case::Capitals, Case::Snake),
    (11, Case::Capitals, Case::Capitals),
    (5, Case::Upper, Case::Upper),
];

impl Case {
    /// Words, put together. `ID` stays in capitals where `initials`.
    fn join(self, said: &[String], initials: bool) -> String {
        let capital = |word: &String| {
            let mut chars = word.chars();
            match chars.next() {
                _ if initials && word == "id" => "ID".to_owned(),
                Some(first) => first.to_uppercase().chain(chars).collect(),
                None => String::new(),
            }
        };
        match self {
            Self::Snake => said.join("_"),
            Self::Upper => said.join("_").to_uppercase(),
            Self::Capitals => said.iter().map(capital).collect::<Vec<_>>().join("_"),
            Self::Pascal => said.iter().map(capital).collect(),
            Self::Camel => said[..1].iter().cloned().chain(said[1..].iter().map(capital)).collect(),
        }
    }
}

/// How the names of one database are written.
pub(super) struct Writing {
    tables: Case,
    columns: Case,
    /// `ReaderID`, `Reader_ID`.
    initials: bool,
    plural: bool,
    /// `reader_id` instead of `id` for a table's own key.
    long_keys: bool,
    short: bool,
    prefix: &'static str,
    /// Share of the columns that begin with their table's name: `customer_name`.
    prefixed: f64,
}

impl Writing {
    /// A way to write that is common in databases of a dialect: PostgreSQL wants quotes for anything but snake case.
    pub fn draw(draws: &mut Draws, dialect: Dialect) -> Self {
        let ways: Vec<_> = CASES.iter().flat_map(|way| std::iter::repeat_n(way, way.0)).collect();
        let (_, tables, columns) = match draws.pick(&ways) {
            Some(way) if dialect != Dialect::Postgres || draws.chance(0.5) => **way,
            _ => CASES[0],
        };
        Self {
            tables,
            columns,
            initials: draws.chance(0.4),
            plural: draws.chance(0.65),
            long_keys: draws.chance(0.5),
            short: draws.chance(0.1),
            prefixed: [0.0, 0.0, 0.0, 0.5, 1.0][draws.below(5)],
            prefix: if tables == Case::Snake && draws.chance(0.08) { "tbl_" } else { "" },
        }
    }

    /// A column's name.
    pub fn name(&self, said: &str) -> String {
        self.columns.join(&self.words(said), self.initials)
    }

    /// What a column of a table is called: some databases put the table in front.
    pub fn said(&self, table: &str, column: &str, draws: &mut Draws) -> String {
        let known = column.split(' ').next() == table.split(' ').next();
        if !known && table.split(' ').count() < 3 && draws.chance(self.prefixed) {
            return format!("{table} {column}");
        }
        column.to_owned()
    }

    /// The name of a table's own key.
    pub fn key(&self, table: &str) -> String {
        if self.long_keys { self.name(&format!("{table} id")) } else { self.name("id") }
    }

    fn words(&self, said: &str) -> Vec<String> {
        said.split(' ').map(|word| if self.short { shortened(word) } else { word.to_owned() }).collect()
    }

    /// A table's name.
    pub fn table(&self, said: &str) -> String {
        if let Some((front, part)) = said.rsplit_once(' ')
            && words::is_part(part)
        {
            return format!("{}_{part}", self.table(front));
        }
        let said = match said.rsplit_once(' ') {
            _ if !self.plural => said.to_owned(),
            Some((front, last)) => format!("{front} {}", words::plural(last)),
            None => words::plural(said),
        };
        format!("{}{}", self.prefix, self.tables.join(&self.words(&said), self.initials))
    }
}

/// The usual shortening of a word, where there is one that `words` reads back.
fn shortened(word: &str) -> String {
    for (long, short) in [
        ("quantity", "qty"),
        ("number", "num"),
        ("amount", "amt"),
        ("department", "dept"),
        ("address", "addr"),
        ("date", "dt"),
        ("category", "cat"),
    ] {
        if word == long {
            return short.to_owned();
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_put_together_in_each_case_and_reads_back() {
        let said: Vec<String> = ["order", "item", "id"].map(String::from).into();
        for (case, plain, initials) in [
            (Case::Snake, "order_item_id", "order_item_id"),
            (Case::Camel, "orderItemId", "orderItemID"),
            (Case::Pascal, "OrderItemId", "OrderItemID"),
            (Case::Capitals, "Order_Item_Id", "Order_Item_ID"),
            (Case::Upper, "ORDER_ITEM_ID", "ORDER_ITEM_ID"),
        ] {
            assert_eq!(case.join(&said, false), plain);
            assert_eq!(case.join(&said, true), initials);
            assert_eq!(words::split(plain), said, "{plain}");
            assert_eq!(words::split(initials), said, "{initials}");
        }
        assert_eq!(CASES.iter().map(|(share, ..)| share).sum::<usize>(), 100);
    }
}
