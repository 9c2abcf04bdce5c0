//! Against a local PostgreSQL; skipped with a word where there is none.

use super::*;
use crate::db::Value;

#[path = "../../../tests/it/postgres.rs"]
#[allow(dead_code, clippy::disallowed_methods, reason = "a server for tests, shared with the integration tests")]
mod server;

use server::Postgres;

fn address(server: &Postgres, user: &str, password: &str) -> Address {
    let host = Host::Socket(server.socket().to_owned());
    let (user, password) = (user.to_owned(), password.to_owned());
    Address { host, port: 5432, user, password, database: "postgres".into(), namespace: None }
}

fn limits() -> Limits {
    Limits { time: Duration::from_secs(3), ..Limits::default() }
}

const SETUP: &str = "\
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE \"Users\" (id serial PRIMARY KEY, name varchar(20) NOT NULL UNIQUE, mood mood, born date);
CREATE TABLE orders (user_id int REFERENCES \"Users\"(id), no int, total numeric(8,2) CHECK (total >= 0), tags text[],
  raw bytea, paid boolean DEFAULT false, at timestamp with time zone, PRIMARY KEY (user_id, no));
CREATE VIEW rich AS SELECT id AS who FROM \"Users\";
CREATE SCHEMA side; CREATE TABLE side.notes (body text);
COMMENT ON TABLE orders IS 'what was bought'; COMMENT ON COLUMN orders.total IS 'in euros';
CREATE SEQUENCE counter;
INSERT INTO \"Users\" (name, mood, born) VALUES ('a', 'ok', '2000-01-02'), ('b', NULL, NULL);
INSERT INTO orders VALUES (1, 1, 12.50, '{x,\"y z\"}', '\\x00ff', true, '2020-01-01 00:00+00');
";

#[test]
fn on_a_real_server() {
    let Some(server) = Postgres::start() else { return };
    let _ = server.run(SETUP, &["SELECT 1"]);
    let root = address(&server, "postgres", "");
    rows_have_their_types(&root);
    the_catalogue_is_read(&root);
    nothing_gets_through(&server, &root);
    limits_hold(&root);
    passwords_are_proved(&server);
    a_schema_of_our_own_goes_again(&root);
}

fn a_schema_of_our_own_goes_again(root: &Address) {
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'expert!_eval!_%' ESCAPE '!'";
    let count = |address: &Address| read(address, ours, &limits()).unwrap().rows.remove(0).remove(0);
    let own = OwnSchema::create(root, "CREATE TABLE orders (no int); INSERT INTO orders VALUES (7)").unwrap();
    assert_eq!(count(root), Value::Integer(1));
    assert_eq!(read(own.address(), "SELECT * FROM orders", &limits()).unwrap().rows, [[Value::Integer(7)]]);
    assert_eq!(
        read(own.address(), "SELECT current_setting('TimeZone')", &limits()).unwrap().rows,
        [[Value::Text("UTC".into())]]
    );
    // What is outside is not in the way, and is not touched.
    assert!(read(own.address(), "SELECT * FROM \"Users\"", &limits()).is_err());
    assert_eq!(read(root, "SELECT no FROM orders", &limits()).unwrap().rows.len(), 1);
    assert!(read(own.address(), "DELETE FROM orders RETURNING no", &limits()).is_err(), "answers only read");
    drop(own);
    assert_eq!(count(root), Value::Integer(0));
    assert!(OwnSchema::create(root, "CREATE TABLE a (b int); nonsense").is_err());
    assert_eq!(count(root), Value::Integer(0), "what could not be filled goes too");
}

fn rows_have_their_types(address: &Address) {
    let rows = read(address, "SELECT *, 1.5::float8 AS f, NULL AS n FROM orders;", &limits()).unwrap();
    assert_eq!(rows.columns, ["user_id", "no", "total", "tags", "raw", "paid", "at", "f", "n"]);
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(
        rows.rows[0][..4],
        [Value::Integer(1), Value::Integer(1), Value::Decimal("12.50".into()), text("{x,\"y z\"}")]
    );
    assert_eq!(rows.rows[0][4..6], [Value::Blob(vec![0, 255]), Value::Boolean(true)]);
    assert_eq!(rows.rows[0][7..], [Value::Real(1.5), Value::Null]);
    let empty = read(address, "SELECT id FROM \"Users\" WHERE false -- none", &limits()).unwrap();
    assert!(empty.rows.is_empty() && empty.columns == ["id"]);
    for sql in [
        "TABLE \"Users\"",
        "VALUES (1)",
        "WITH c AS (SELECT 1 AS x) SELECT x FROM c",
        "EXPLAIN SELECT 1",
        "SHOW search_path",
    ] {
        assert!(!read(address, sql, &limits()).unwrap().rows.is_empty(), "{sql}");
    }
    let error = read(address, "SELECT nmae FROM \"Users\"", &limits()).unwrap_err();
    assert!(
        matches!(&error, QueryError::Failed(m) if m.contains("nmae\" does not exist") && m.contains("Users.name")),
        "{error}"
    );
}

fn the_catalogue_is_read(address: &Address) {
    let ddl = read_schema(address).unwrap().to_ddl();
    let expected = [
        "CREATE TABLE \"Users\" (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE, mood MOOD /* one of 'sad', 'ok' */, born DATE);",
        "CREATE VIEW rich (who)",
        "CREATE TABLE side.notes (body TEXT);",
        "REFERENCES \"Users\"",
        "CHECK ((total >= (0)::numeric))",
        "what was bought",
        "in euros",
        "paid BOOLEAN DEFAULT false",
        "PRIMARY KEY (user_id, no)",
        "at TIMESTAMPTZ",
    ];
    // How remarks are written is the schema's own affair.
    let plain =
        |text: &str| text.replace("-- ", "").replace(['\n', '(', ')'], " ").replace("/* ", "").replace(" */", "");
    for part in expected {
        let (ddl, part) = (plain(&ddl), plain(part));
        assert!(part.split_whitespace().all(|word| ddl.contains(word.trim_matches([',', ';']))), "{part}: {ddl}");
    }
    assert_eq!(crate::sql::Schema::parse(&ddl, Dialect::Postgres).unwrap().to_ddl(), ddl, "it reads back as it is");
}

/// Statements that must not be run, or must not leave anything behind.
const ATTACKS: &[&str] = &[
    "INSERT INTO side.notes VALUES ('x')",
    "INSERT INTO side.notes VALUES ('x') RETURNING body",
    "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT * FROM gone",
    "UPDATE orders SET total = 0 RETURNING total",
    "DELETE FROM orders",
    "DROP TABLE orders",
    "CREATE TABLE t (x int)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "SELECT 1 INTO t",
    "TRUNCATE orders",
    "COPY side.notes FROM '/etc/passwd'",
    "COPY (SELECT 1) TO 'DIR/attack'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO STDOUT",
    "DO $$ BEGIN PERFORM 1; END $$",
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "SET statement_timeout = 0",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "RESET ALL",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE orders",
    "PREPARE p AS SELECT 1",
    "VACUUM",
    "SELECT nextval('counter')",
    "SELECT setval('counter', 5)",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT 1; SELECT 2",
    "SELECT 1; COMMIT; DROP TABLE orders",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT \"set_config\"('role', 'none', false)",
    "SELECT U&\"\\0073et_config\"('role', 'none', false)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_terminate_backend(1)",
    "SELECT lo_export(1, 'DIR/attack')",
    "SELECT pg_advisory_lock(1)",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "",
    ";",
    "-- nothing",
    "SELECT 1\0",
];

/// What got through.
fn attack(server: &Postgres, address: &Address, locks: Locks) -> Vec<&'static str> {
    let refused = |sql: &&&str| {
        let sql = sql.replace("DIR", &server.socket().display().to_string());
        let answer = guarded(address, &sql, &limits(), locks);
        answer.is_err_and(|error| matches!(error, QueryError::Refused(_)))
    };
    let mut through: Vec<&str> = ATTACKS.iter().filter(|sql| !refused(sql)).copied().collect();
    // What only the rollback undoes: advisory locks and settings of the transaction would go with the session anyway,
    // but a large object is a write that READ ONLY lets through up to version 15, and a notification is sent on COMMIT.
    let _ = guarded(address, "SELECT lo_from_bytea(0, 'x')", &limits(), locks);
    let left = server.run("", &["SELECT count(*) FROM pg_largeobject_metadata"]);
    if left[0].as_ref().unwrap()[0][0].as_deref() != Some("0") {
        through.push("a large object");
        let _ = server.run("", &["SELECT lo_unlink(oid) FROM pg_largeobject_metadata"]);
    }
    let many = guarded(address, "SELECT generate_series(1, 1500)", &limits(), locks).unwrap();
    if many.rows.len() > 1000 || !many.truncated {
        through.push("1,500 rows");
    }
    let short = Limits { time: Duration::from_millis(50), ..limits() };
    if !matches!(guarded(address, "SELECT pg_sleep(1)", &short, locks), Err(QueryError::TimedOut(_))) {
        through.push("sleep");
    }
    through
}

fn nothing_gets_through(server: &Postgres, address: &Address) {
    assert_eq!(attack(server, address, Locks::ALL), Vec::<&str>::new());
    assert!(!server.socket().join("attack").exists());
    for (expected, locks) in [
        ("UPDATE orders SET total = 0 RETURNING total", Locks { read_only: false, ..Locks::ALL }),
        ("sleep", Locks { timeout: false, ..Locks::ALL }),
        ("SELECT pg_terminate_backend(1)", Locks { functions: false, ..Locks::ALL }),
        ("SET statement_timeout = 0", Locks { columns: false, ..Locks::ALL }),
        ("1,500 rows", Locks { result: false, ..Locks::ALL }),
    ] {
        let through = attack(server, address, locks);
        assert!(through.contains(&expected), "{expected} does not need {locks:?}: {through:?}");
    }
    // Rolling back is the second lock behind READ ONLY: with both open a write stays.
    let write = "INSERT INTO side.notes VALUES ('stays') RETURNING body";
    let kept = |rolled_back: bool| {
        guarded(address, write, &limits(), Locks { read_only: false, rolled_back, ..Locks::ALL }).unwrap();
        read(address, "SELECT count(*) FROM side.notes", &limits()).unwrap().rows[0][0].clone()
    };
    assert_eq!((kept(true), kept(false)), (Value::Integer(0), Value::Integer(1)));
    let left = read(address, "SELECT count(*), sum(total) FROM orders", &limits()).unwrap();
    assert_eq!(left.rows[0], [Value::Integer(1), Value::Decimal("12.50".into())]);
}

fn limits_hold(address: &Address) {
    let small = Limits { result_bytes: 200_000, ..limits() };
    let wide = read(address, "SELECT repeat('x', 50000) FROM generate_series(1, 20)", &small).unwrap();
    assert!(wide.truncated && wide.rows.len() == 4, "{}", wide.rows.len());
    let huge = read(address, "SELECT repeat('x', 500000)", &small);
    assert!(matches!(huge, Err(QueryError::TooLarge(_))), "{huge:?}");
    let gone = Address { port: 1, ..address.clone() };
    assert!(matches!(read(&gone, "SELECT 1", &limits()), Err(QueryError::Unavailable(_))));
    let nobody = Address { database: "nothing".into(), ..address.clone() };
    let error = read(&nobody, "SELECT 1", &limits()).unwrap_err();
    assert!(matches!(&error, QueryError::Unavailable(p) if p.to_string().contains("nothing")), "{error}");
}

fn passwords_are_proved(server: &Postgres) {
    let hba = server.socket().join("data/pg_hba.conf");
    let setup = format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE s LOGIN PASSWORD 'pässword';
         SET password_encryption = 'md5'; CREATE ROLE m LOGIN PASSWORD 'secret'; CREATE ROLE c LOGIN PASSWORD 'clear';
         CREATE TABLE hba (line text); INSERT INTO hba VALUES ('local all s scram-sha-256'), ('local all m md5'),
           ('local all c password'), ('local all all trust');
         COPY hba TO '{}';",
        hba.display()
    );
    let _ = server.run(&setup, &["SELECT pg_reload_conf()", "SELECT pg_sleep(0.5)"]);
    for (user, password) in [("s", "pässword"), ("m", "secret"), ("c", "clear")] {
        let rows = read(&address(server, user, password), "SELECT current_user", &limits()).unwrap();
        assert_eq!(rows.rows[0][0], Value::Text(user.into()));
        let error = read(&address(server, user, "wrong"), "SELECT 1", &limits()).unwrap_err();
        assert!(
            matches!(&error, QueryError::Unavailable(p) if p.to_string().contains("password authentication failed")),
            "{error}"
        );
        assert!(!error.to_string().contains("wrong\""));
    }
    let error = read_schema(&address(server, "s", "pässword")).unwrap_err().to_string();
    assert!(error.contains("no tables that s may read"), "{error}");
}
