use super::*;
use proptest::prelude::*;

fn canonical(ddl: &str, dialect: Dialect) -> String {
    let schema = Schema::parse(ddl, dialect).unwrap();
    let text = schema.to_ddl();
    assert_eq!(Schema::parse(&text, dialect).unwrap(), schema, "{text}");
    text
}

#[test]
fn canonical_text_of_all_dialects() {
    use Dialect::{Generic, MySql, Postgres, Sqlite};
    for (dialect, ddl, text) in [
        (Postgres, "create table  head(age integer)", "CREATE TABLE head (age INTEGER);"),
        (Sqlite, "CREATE TABLE t (a, b,c)", "CREATE TABLE t (a, b, c);"),
        (Generic, "CREATE TABLE a (x INT); CREATE TABLE b (y INT)", "CREATE TABLE a (x INT);\nCREATE TABLE b (y INT);"),
        (Generic, "CREATE TABLE a (x INT) CREATE TABLE b (y INT)", "CREATE TABLE a (x INT);\nCREATE TABLE b (y INT);"),
        (
            Postgres,
            "CREATE TABLE public.\"Users\" (id serial PRIMARY KEY NOT NULL, \"Home Town\" character varying(20) COLLATE \"C\" DEFAULT 'it''s'::text NOT NULL, tags text[], at timestamp with time zone DEFAULT now())",
            "CREATE TABLE public.\"Users\" (id SERIAL PRIMARY KEY, \"Home Town\" CHARACTER VARYING(20) NOT NULL DEFAULT 'it''s'::text, tags TEXT[], at TIMESTAMP WITH TIME ZONE DEFAULT now());",
        ),
        (
            MySql,
            "CREATE TABLE `t` (`id` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'the key', `key` varchar(10) CHARACTER SET utf8 DEFAULT 'a\\'b', `e` enum('a','b') DEFAULT NULL, `u` datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (`id`), UNIQUE KEY `k` (`e`), KEY `i` (`u`), FULLTEXT KEY `f` (`key`(10)), CONSTRAINT `fk` FOREIGN KEY (`id`) REFERENCES `o` (`id`) ON DELETE CASCADE) ENGINE=InnoDB DEFAULT CHARSET=utf8 COMMENT='things'",
            "CREATE TABLE t /* things */ (id INT(11) UNSIGNED PRIMARY KEY /* the key */, `key` VARCHAR(10) DEFAULT 'a\\'b', e ENUM('a','b') UNIQUE, u DATETIME DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (id) REFERENCES o(id));",
        ),
        (
            Sqlite,
            "CREATE TABLE IF NOT EXISTS [my table] (id INTEGER PRIMARY KEY AUTOINCREMENT, price DECIMAL (10, 2) CHECK (price  >  0), o INT REFERENCES other ON DELETE SET NULL, UNIQUE (price, o), PRIMARY KEY (id)) WITHOUT ROWID",
            "CREATE TABLE \"my table\" (id INTEGER PRIMARY KEY, price DECIMAL(10,2) CHECK (price > 0), o INT, UNIQUE (price, o), FOREIGN KEY (o) REFERENCES other);",
        ),
        (
            Postgres,
            "CREATE TABLE t (\n  a INT, -- the first\n  b INT /* the second */,\n  c INT -- the last\n);\nCOMMENT ON TABLE t IS 'all of it';\nCOMMENT ON COLUMN public.t.c IS 'was c';",
            "CREATE TABLE t /* all of it */ (a INT /* the first */, b INT /* the second */, c INT /* was c */);",
        ),
        (
            Generic,
            "CREATE TABLE t (index INT, key VARCHAR(10), unique INT, 2nd_place TEXT, no-win INT)",
            "CREATE TABLE t (\"index\" INT, \"key\" VARCHAR(10), \"unique\" INT, \"2nd_place\" TEXT, \"no-win\" INT);",
        ),
        (
            Sqlite,
            "CREATE TABLE t (a INT); CREATE TABLE T (A TEXT, b TEXT); CREATE TABLE u (c INT, C INT)",
            "CREATE TABLE t (a INT, b TEXT);\nCREATE TABLE u (c INT);",
        ),
        (
            Generic,
            "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), ('x; CREATE TABLE no (n INT)'); DROP TABLE x;",
            "CREATE TABLE t (a INT);",
        ),
        (
            Postgres,
            "CREATE VIEW v AS SELECT a, b AS c FROM t; CREATE VIEW w(x) AS SELECT count(*) FROM t",
            "CREATE VIEW v (a, c) AS SELECT a, b AS c FROM t;\nCREATE VIEW w (x) AS SELECT count(*) FROM t;",
        ),
        (
            Postgres,
            "CREATE TABLE ONLY_t (id int);\nALTER TABLE ONLY public.only_t\n    ADD CONSTRAINT p PRIMARY KEY (id);\nCOPY public.only_t (id) FROM stdin;\n1\t'\n\\.\n",
            "CREATE TABLE ONLY_t (id INT PRIMARY KEY);",
        ),
        (Sqlite, "CREATE VIRTUAL TABLE f USING fts5(title, body)", "CREATE TABLE f (title, body);"),
    ] {
        assert_eq!(canonical(ddl, dialect), text, "{ddl}");
    }
}

#[test]
fn what_holds_no_table_is_refused() {
    for ddl in ["", "SELECT 1", "CREATE TABLE", "CREATE TABLE t (a INT", "hello world", "CREATE TABLE t (a 'open"] {
        assert!(Schema::parse(ddl, Dialect::Postgres).is_err(), "{ddl}");
    }
}

#[test]
fn a_view_over_everything_has_unknown_columns() {
    let schema = Schema::parse("CREATE VIEW v AS SELECT * FROM t", Dialect::Sqlite).unwrap();
    assert!(!schema.tables()[0].columns_known);
}

fn name() -> impl Strategy<Value = Name> {
    ("[a-zA-Z_][a-zA-Z0-9_ .\"`é-]{0,6}", any::<bool>()).prop_map(|(text, quoted)| Name::new(text, quoted))
}

fn column() -> impl Strategy<Value = Column> {
    let data_type = prop::option::of(prop::sample::select(vec![
        "INT",
        "VARCHAR(10)",
        "DECIMAL(10,2)",
        "DOUBLE PRECISION",
        "ENUM('a','b''c')",
    ]));
    let default = prop::option::of(prop::sample::select(vec!["0", "'it''s'", "now()", "CURRENT_TIMESTAMP", "- 1"]));
    let check = prop::option::of(prop::sample::select(vec!["a > 0", "x IN ('a', 'b')", "length(a) < 10 AND b = 'c'"]));
    let comment = prop::option::of("[a-z*/' ;,]{1,12}").prop_map(|text| text.and_then(|text| cursor::remark(&text)));
    (name(), data_type, any::<bool>(), default, check, comment).prop_map(
        |(name, data_type, not_null, default, check, comment)| Column {
            name,
            data_type: data_type.map(str::to_owned),
            not_null,
            default: default.map(str::to_owned),
            check: check.map(str::to_owned),
            comment,
        },
    )
}

fn table() -> impl Strategy<Value = Table> {
    let parts =
        (prop::option::of(name()), name(), prop::collection::vec(column(), 1..6), prop::option::of("[a-z ]{1,9}"));
    let keys =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4, name()), 0..4);
    (parts, keys).prop_map(|((namespace, name, columns, comment), keys)| {
        let comment = comment.and_then(|text| cursor::remark(&text));
        let mut table = Table { namespace, name, columns, comment, columns_known: true, ..Table::default() };
        for (first, second, kind, other) in keys {
            let pick = |index: prop::sample::Index| table.columns[index.index(table.columns.len())].name.clone();
            let key = vec![pick(first), pick(second)];
            match kind {
                0 => table.primary_key = key,
                1 => table.unique.push(key),
                2 => table.unique.push(key[..1].to_vec()),
                _ => table.foreign_keys.push(ForeignKey { columns: key, table: other, references: Vec::new() }),
            }
        }
        table
    })
}

proptest! {
    #[test]
    fn reading_the_canonical_text_gives_the_schema(
        tables in prop::collection::vec(table(), 1..4),
        dialect in prop::sample::select(vec![Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Generic]),
    ) {
        let text = Schema::from_tables(dialect, tables.clone()).to_ddl();
        let mut told = tables;
        // Their text has no quotes for capitals alone, which they do not need.
        if matches!(dialect, Dialect::Sqlite | Dialect::MySql) {
            told.iter_mut().for_each(|table| table.rename(|name| Name::new(name.text(), false)));
        }
        prop_assert_eq!(Schema::parse(&text, dialect).unwrap(), Schema::from_tables(dialect, told), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-zA-Z0-9 (),;'\"`/*\\-\\[\\]\n]{0,80}") {
        let _ = Schema::parse(&format!("CREATE TABLE {text}"), Dialect::Postgres);
        let _ = Schema::parse(&text, Dialect::MySql);
    }
}
