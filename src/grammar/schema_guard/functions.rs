//! Functions by dialect: what they are called, how many arguments they take, and what kind they are.

use crate::sql::Dialect;

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value from values.
    Scalar,
    /// A value from rows; over a window too.
    Aggregate,
    /// Over a window only.
    Window,
    /// SQLite's `min` and `max`: of rows with one argument, of its arguments with more.
    Either,
}

/// A function: name, fewest and most arguments, kind.
pub type Function = (&'static str, u8, u8, Kind);

/// Most arguments of functions that take any number.
const MANY: u8 = 100;

use Kind::{Aggregate, Either, Scalar, Window};

/// SQLite's built-in functions (`lang_corefunc`, `lang_aggfunc`, `windowfunctions`, `lang_datefunc`, `lang_mathfunc`,
/// `json1`), without those that need an extension, change the connection or are for internal use.
const SQLITE: &[Function] = &[
    ("abs", 1, 1, Scalar),
    ("changes", 0, 0, Scalar),
    ("char", 1, MANY, Scalar),
    ("coalesce", 2, MANY, Scalar),
    ("glob", 2, 2, Scalar),
    ("hex", 1, 1, Scalar),
    ("ifnull", 2, 2, Scalar),
    ("iif", 3, 3, Scalar),
    ("instr", 2, 2, Scalar),
    ("length", 1, 1, Scalar),
    ("like", 2, 3, Scalar),
    ("lower", 1, 1, Scalar),
    ("ltrim", 1, 2, Scalar),
    ("nullif", 2, 2, Scalar),
    ("printf", 1, MANY, Scalar),
    ("format", 1, MANY, Scalar),
    ("quote", 1, 1, Scalar),
    ("random", 0, 0, Scalar),
    ("replace", 3, 3, Scalar),
    ("round", 1, 2, Scalar),
    ("rtrim", 1, 2, Scalar),
    ("sign", 1, 1, Scalar),
    ("substr", 2, 3, Scalar),
    ("substring", 2, 3, Scalar),
    ("trim", 1, 2, Scalar),
    ("typeof", 1, 1, Scalar),
    ("unicode", 1, 1, Scalar),
    ("upper", 1, 1, Scalar),
    ("zeroblob", 1, 1, Scalar),
    ("date", 0, MANY, Scalar),
    ("time", 0, MANY, Scalar),
    ("datetime", 0, MANY, Scalar),
    ("julianday", 0, MANY, Scalar),
    ("unixepoch", 0, MANY, Scalar),
    ("strftime", 1, MANY, Scalar),
    ("json", 1, 1, Scalar),
    ("json_array", 0, MANY, Scalar),
    ("json_array_length", 1, 2, Scalar),
    ("json_extract", 2, MANY, Scalar),
    ("json_type", 1, 2, Scalar),
    ("json_valid", 1, 1, Scalar),
    ("json_quote", 1, 1, Scalar),
    ("min", 1, MANY, Either),
    ("max", 1, MANY, Either),
    ("avg", 1, 1, Aggregate),
    ("count", 0, 1, Aggregate),
    ("group_concat", 1, 2, Aggregate),
    ("sum", 1, 1, Aggregate),
    ("total", 1, 1, Aggregate),
    ("json_group_array", 1, 1, Aggregate),
    ("json_group_object", 2, 2, Aggregate),
    ("row_number", 0, 0, Window),
    ("rank", 0, 0, Window),
    ("dense_rank", 0, 0, Window),
    ("percent_rank", 0, 0, Window),
    ("cume_dist", 0, 0, Window),
    ("ntile", 1, 1, Window),
    ("lag", 1, 3, Window),
    ("lead", 1, 3, Window),
    ("first_value", 1, 1, Window),
    ("last_value", 1, 1, Window),
    ("nth_value", 2, 2, Window),
];

/// PostgreSQL's functions that queries over tables use; a function of a user's own is not known.
const POSTGRES: &[Function] = &[
    ("abs", 1, 1, Scalar),
    ("age", 1, 2, Scalar),
    ("array_length", 2, 2, Scalar),
    ("array_to_string", 2, 3, Scalar),
    ("btrim", 1, 2, Scalar),
    ("cardinality", 1, 1, Scalar),
    ("ceil", 1, 1, Scalar),
    ("ceiling", 1, 1, Scalar),
    ("char_length", 1, 1, Scalar),
    ("chr", 1, 1, Scalar),
    ("concat", 1, MANY, Scalar),
    ("concat_ws", 2, MANY, Scalar),
    ("date_part", 2, 2, Scalar),
    ("date_trunc", 2, 3, Scalar),
    ("exp", 1, 1, Scalar),
    ("floor", 1, 1, Scalar),
    ("format", 1, MANY, Scalar),
    ("initcap", 1, 1, Scalar),
    ("length", 1, 2, Scalar),
    ("left", 2, 2, Scalar),
    ("ln", 1, 1, Scalar),
    ("log", 1, 2, Scalar),
    ("lower", 1, 1, Scalar),
    ("lpad", 2, 3, Scalar),
    ("ltrim", 1, 2, Scalar),
    ("md5", 1, 1, Scalar),
    ("mod", 2, 2, Scalar),
    ("now", 0, 0, Scalar),
    ("power", 2, 2, Scalar),
    ("random", 0, 0, Scalar),
    ("regexp_replace", 3, 4, Scalar),
    ("repeat", 2, 2, Scalar),
    ("replace", 3, 3, Scalar),
    ("reverse", 1, 1, Scalar),
    ("right", 2, 2, Scalar),
    ("round", 1, 2, Scalar),
    ("rpad", 2, 3, Scalar),
    ("rtrim", 1, 2, Scalar),
    ("sign", 1, 1, Scalar),
    ("split_part", 3, 3, Scalar),
    ("sqrt", 1, 1, Scalar),
    ("strpos", 2, 2, Scalar),
    ("substr", 2, 3, Scalar),
    ("to_char", 2, 2, Scalar),
    ("to_date", 2, 2, Scalar),
    ("to_number", 2, 2, Scalar),
    ("to_timestamp", 1, 2, Scalar),
    ("trunc", 1, 2, Scalar),
    ("upper", 1, 1, Scalar),
    ("array_agg", 1, 1, Aggregate),
    ("avg", 1, 1, Aggregate),
    ("bool_and", 1, 1, Aggregate),
    ("bool_or", 1, 1, Aggregate),
    ("count", 0, 1, Aggregate),
    ("every", 1, 1, Aggregate),
    ("json_agg", 1, 1, Aggregate),
    ("jsonb_agg", 1, 1, Aggregate),
    ("max", 1, 1, Aggregate),
    ("min", 1, 1, Aggregate),
    ("stddev", 1, 1, Aggregate),
    ("string_agg", 2, 2, Aggregate),
    ("sum", 1, 1, Aggregate),
    ("variance", 1, 1, Aggregate),
    ("row_number", 0, 0, Window),
    ("rank", 0, 0, Window),
    ("dense_rank", 0, 0, Window),
    ("percent_rank", 0, 0, Window),
    ("cume_dist", 0, 0, Window),
    ("ntile", 1, 1, Window),
    ("lag", 1, 3, Window),
    ("lead", 1, 3, Window),
    ("first_value", 1, 1, Window),
    ("last_value", 1, 1, Window),
    ("nth_value", 2, 2, Window),
];

/// The functions of a dialect.
pub fn of(dialect: Dialect) -> &'static [Function] {
    if dialect == Dialect::Postgres { POSTGRES } else { SQLITE }
}

/// Table functions and their columns.
pub fn tables(dialect: Dialect) -> &'static [(&'static str, &'static [&'static str])] {
    const JSON: &[&str] = &["key", "value", "type", "atom", "id", "parent", "fullkey", "path"];
    if dialect == Dialect::Postgres { &[] } else { &[("json_each", JSON), ("json_tree", JSON)] }
}

/// Types of one word that are always there; SQLite takes any.
pub fn types(dialect: Dialect) -> &'static [&'static str] {
    if dialect != Dialect::Postgres {
        return &[];
    }
    &[
        "bigint",
        "bit",
        "bool",
        "boolean",
        "bytea",
        "char",
        "character",
        "cidr",
        "date",
        "daterange",
        "decimal",
        "float",
        "float4",
        "float8",
        "inet",
        "int",
        "int2",
        "int4",
        "int4range",
        "int8",
        "integer",
        "json",
        "jsonb",
        "money",
        "numeric",
        "numrange",
        "oid",
        "point",
        "real",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timestamptz",
        "timetz",
        "tsquery",
        "tsrange",
        "tstzrange",
        "tsvector",
        "uuid",
        "varchar",
        "xml",
    ]
}

/// Collations that are always there.
pub fn collations(dialect: Dialect) -> &'static [&'static str] {
    if dialect == Dialect::Postgres { &["C", "POSIX"] } else { &["binary", "nocase", "rtrim"] }
}
