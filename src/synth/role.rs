//! What a column is for, told by its words, its type and its values: which questions make sense about it.

use super::words;
use crate::sql::{Column, Table};

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The row's own number.
    Key,
    /// Another table's key.
    Reference,
    /// What people call the row: a name, a title.
    Label,
    /// One of few words: a status, a city.
    Category,
    /// Other text.
    Text,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A code or number that is not counted with.
    Code,
    /// Pieces: whole numbers that add up.
    Quantity,
    /// Money: adds up.
    Money,
    /// Something measured; sums of it say nothing (age, rating, height).
    Measure,
    /// A year as a number.
    Year,
    /// A day.
    Date,
    /// A day and a time.
    Timestamp,
    /// Yes or no.
    Flag,
    /// Nothing we ask about.
    Other,
}

impl Role {
    /// Numbers one compares and averages.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Quantity | Self::Money | Self::Measure)
    }

    /// Numbers one adds up.
    pub fn adds_up(self) -> bool {
        matches!(self, Self::Quantity | Self::Money)
    }

    /// Days, with or without a time.
    pub fn is_date(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// Text that a person would type.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Label | Self::Category | Self::Text)
    }
}

const MONEY: &[&str] = &[
    "price",
    "cost",
    "amount",
    "total",
    "revenue",
    "salary",
    "budget",
    "fee",
    "balance",
    "payment",
    "wage",
    "income",
    "profit",
    "tax",
    "discount",
    "fare",
    "rent",
    "fine",
    "premium",
    "value",
    "subtotal",
    "spend",
    "sales",
    "preco",
    "preço",
    "valor",
    "custo",
    "salario",
    "salário",
    "receita",
    "saldo",
    "bonus",
    "commission",
    "donation",
    "expense",
    "earnings",
    "worth",
    "deposit",
    "jackpot",
    "payroll",
    "refund",
    "payout",
    "stake",
    "tip",
    "money",
    "spent",
    "winnings",
    "postage",
    "debit",
    "bail",
    "damages",
    "prize",
    "assets",
    "funding",
    "charge",
    "loan",
    "gdp",
];
const QUANTITY: &[&str] = &[
    "quantity",
    "count",
    "number",
    "stock",
    "units",
    "seats",
    "points",
    "goals",
    "copies",
    "pages",
    "views",
    "likes",
    "hours",
    "minutes",
    "days",
    "credits",
    "attendance",
    "votes",
    "visits",
    "downloads",
    "tickets",
    "quantidade",
    "estoque",
    "plays",
    "followers",
    "passengers",
    "clicks",
    "shares",
    "nights",
    "items",
    "sold",
    "enrollment",
    "servings",
    "trees",
    "beds",
    "wins",
    "losses",
    "members",
    "viewers",
    "listeners",
    "subscribers",
    "headcount",
    "employees",
    "visitors",
    "words",
    "spectators",
    "bottles",
    "kilos",
    "liters",
    "tons",
    "miles",
    "participants",
    "residents",
    "guests",
    "rooms",
    "players",
    "games",
    "medals",
    "deaths",
    "injured",
];
const MEASURE: &[&str] = &[
    "age",
    "rating",
    "score",
    "height",
    "weight",
    "width",
    "length",
    "duration",
    "temperature",
    "distance",
    "speed",
    "rate",
    "percentage",
    "level",
    "grade",
    "capacity",
    "area",
    "population",
    "depth",
    "size",
    "volume",
    "rank",
    "gpa",
    "latitude",
    "longitude",
    "elevation",
    "altitude",
    "power",
    "mileage",
    "calories",
    "idade",
    "nota",
    "peso",
    "stars",
    "floors",
    "floor",
    "ranking",
    "terms",
    "experience",
    "horsepower",
    "diameter",
    "density",
    "humidity",
    "pressure",
    "magnitude",
    "efficiency",
    "probability",
    "turnout",
    "radius",
    "mass",
    "carat",
    "resolution",
    "elo",
    "memory",
    "ram",
    "prominence",
    "bitterness",
    "alcohol",
    "complexity",
    "difficulty",
    "rarity",
    "range",
    "wingspan",
    "index",
];
const LABEL: &[&str] =
    &["name", "title", "nome", "titulo", "título", "label", "username", "subject", "fullname", "login"];
const CATEGORY: &[&str] = &[
    "status",
    "type",
    "category",
    "city",
    "country",
    "state",
    "region",
    "department",
    "color",
    "colour",
    "gender",
    "role",
    "kind",
    "genre",
    "language",
    "currency",
    "segment",
    "channel",
    "method",
    "priority",
    "nationality",
    "brand",
    "class",
    "position",
    "job",
    "industry",
    "source",
    "platform",
    "breed",
    "style",
    "shift",
    "plan",
    "tier",
    "season",
    "material",
    "severity",
    "stage",
    "cidade",
    "categoria",
    "tipo",
    "estado",
    "pais",
    "país",
    "unit",
    "theme",
    "surface",
    "cuisine",
    "format",
    "condition",
    "page",
    "continent",
    "sport",
    "instrument",
    "major",
    "sector",
    "phase",
    "result",
    "outcome",
    "direction",
    "climate",
    "topic",
    "cause",
    "reason",
    "occupation",
    "headquarters",
    "hometown",
    "birthplace",
    "capital",
    "specialty",
    "crop",
    "species",
    "field",
    "trade",
    "discipline",
    "series",
    "degree",
    "education",
    "semester",
    "weekday",
    "mineral",
    "metal",
    "fabric",
    "origin",
    "profession",
    "publisher",
    "sponsor",
    "symbol",
    "subject",
    "side",
    "decision",
    "party",
];
const CODE: &[&str] =
    &["code", "sku", "isbn", "serial", "barcode", "reference", "zip", "postal", "plate", "cpf", "ssn", "iban"];
const FLAG_FIRST: &[&str] = &["is", "has", "was", "can", "allows", "needs"];

/// The role that name and type give a column of `table`.
pub(super) fn of(table: &Table, column: &Column) -> Role {
    let name = column.name.text();
    let words = words::column(name);
    let kind = column.data_type.as_deref().unwrap_or("").to_ascii_uppercase();
    let last = words.last().map_or("", String::as_str);
    let among = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let ends = |list: &[&str]| list.contains(&last);
    let is_key = table.primary_key.len() == 1 && table.primary_key[0].is(name);
    if table.foreign_keys.iter().any(|key| key.columns.len() == 1 && key.columns[0].is(name)) {
        return Role::Reference;
    }
    if is_key || words == ["id"] {
        return Role::Key;
    }
    if last == "id" || last == "uuid" || last == "guid" {
        return Role::Reference;
    }
    if kind.contains("BOOL") || words.first().is_some_and(|first| FLAG_FIRST.contains(&first.as_str())) {
        return Role::Flag;
    }
    if kind.contains("TIMESTAMP") || kind.contains("DATETIME") {
        return Role::Timestamp;
    }
    if kind.contains("DATE") {
        return Role::Date;
    }
    if kind.contains("BLOB") || kind.contains("BYTEA") || kind.contains("JSON") || kind.starts_with("TIME") {
        return Role::Other;
    }
    let number = is_number_type(&kind);
    if number {
        let whole = kind.contains("INT");
        return match () {
            () if ends(&["year", "ano"]) => Role::Year,
            () if ends(CODE) || ends(&["phone"]) => Role::Code,
            () if ends(MEASURE) || among(&["percentage", "rate"]) => Role::Measure,
            () if ends(MONEY) => Role::Money,
            () if ends(QUANTITY) => Role::Quantity,
            () if words.last().is_some_and(|last| last == "no" || last == "number") && words.len() > 1 => Role::Code,
            () if among(MEASURE) => Role::Measure,
            () if among(MONEY) => Role::Money,
            () if among(QUANTITY) || whole => Role::Quantity,
            () => Role::Measure,
        };
    }
    match () {
        () if among(&["email", "mail"]) => Role::Email,
        () if among(&["phone", "mobile", "fax", "telefone"]) => Role::Phone,
        () if ends(&["date", "day"]) && words.len() > 1 || words == ["date"] => Role::Date,
        () if ends(&[
            "address",
            "url",
            "description",
            "comment",
            "comments",
            "note",
            "notes",
            "details",
            "password",
            "path",
            "bio",
            "text",
            "image",
            "hash",
            "token",
        ]) =>
        {
            Role::Text
        }
        () if ends(LABEL) => Role::Label,
        () if ends(CODE) => Role::Code,
        () if ends(CATEGORY) || among(CATEGORY) => Role::Category,
        () => Role::Text,
    }
}

/// Whether a type holds numbers.
pub(super) fn is_number_type(kind: &str) -> bool {
    let kind = kind.to_ascii_uppercase();
    ["INT", "DEC", "NUM", "REAL", "FLOA", "DOUB", "MONEY", "SERIAL"].iter().any(|word| kind.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Schema};

    #[test]
    fn names_and_types_tell_the_role() {
        let schema = Schema::parse(
            "CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT, total DECIMAL(10,2), status VARCHAR(20), \
             created_at TIMESTAMP, is_paid BOOLEAN, quantity INT, title TEXT, notes TEXT, model_year INT, age INT, \
             email TEXT, order_date DATE, sku TEXT, unit_price REAL)",
            Dialect::Sqlite,
        )
        .unwrap();
        let table = &schema.tables()[0];
        let roles: Vec<Role> = table.columns.iter().map(|column| of(table, column)).collect();
        use Role::*;
        let expected = [
            Key, Reference, Money, Category, Timestamp, Flag, Quantity, Label, Text, Year, Measure, Email, Date, Code,
            Money,
        ];
        assert_eq!(roles, expected);
    }
}
