//! Every form of suite, from files as they are published.

use serde_json::json;

use super::*;
use crate::db::sqlite::Scratch;
use crate::db::{Limits, Source};

fn write(path: &Path, text: &str) {
    fsx::write_atomic(path, text.as_bytes()).unwrap();
}

fn jsonl(rows: &[Json]) -> String {
    rows.iter().map(|row| row.to_string() + "\n").collect()
}

fn open(name: &str, given: Option<&Source>) -> Result<Suite> {
    Suite::open(&Request { name, given, ..Request::default() })
}

#[test]
fn pairs_share_the_databases_of_one_text_and_seed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("held-out.jsonl");
    let (a, b) = ("CREATE TABLE a (x INT);", "CREATE TABLE b (y INT);");
    let row = |context: &str, seed: u64, answer: &str| {
        json!({"context": context, "question": "Q?", "answer": answer, "dialect": "sqlite", "pattern": "p",
            "difficulty": "easy", "language": "pt", "rows_seed": seed})
    };
    write(
        &path,
        &jsonl(&[
            row(a, 1, "SELECT x FROM a ORDER BY x"),
            row(b, 2, "SELECT y FROM b"),
            row(a, 1, "SELECT 1 FROM a"),
            row(a, 3, "SELECT 2 FROM a"),
        ]),
    );
    let name = path.to_str().unwrap();
    let suite = open(name, None).unwrap();
    assert_eq!((suite.form, suite.name.as_str(), suite.dialect), (Form::Pairs, "held-out", Dialect::Sqlite));
    assert_eq!(suite.items.iter().map(|item| item.database).collect::<Vec<_>>(), [0, 1, 0, 2]);
    assert_eq!(suite.databases[2].content, Content::MadeUp(3));
    assert!(suite.items[0].ordered && !suite.items[1].ordered);
    assert_eq!(suite.tasks(&["en".into(), "pt".into()]).len(), 4);
    assert_eq!(suite.tasks(&["en".into()]).len(), 0);

    let given = Source::Sqlite("shop.db".into());
    let suite = open(name, Some(&given)).unwrap();
    assert!(suite.databases.iter().all(|database| database.content == Content::Source(given.clone())));

    let mixed =
        jsonl(&[row(a, 1, "SELECT 1"), json!({"context": a, "question": "Q", "answer": "S", "dialect": "postgres"})]);
    write(&path, &mixed);
    assert!(open(name, None).unwrap_err().to_string().contains(":2: its dialect"));
    write(&path, &jsonl(&[json!({"question": "Q", "sql": "SELECT 1"})]));
    assert!(open(name, None).unwrap_err().to_string().contains("none of the keys context"));
    assert_eq!(open(name, Some(&given)).unwrap().databases[0].ddl, None);
}

#[test]
fn rows_without_a_seed_take_that_of_the_set_they_were_written_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("held-out.jsonl");
    write(&path, &jsonl(&[json!({"context": "CREATE TABLE a (x INT)", "question": "Q", "answer": "SELECT x FROM a"})]));
    let content = || open(path.to_str().unwrap(), None).unwrap().databases[0].content.clone();
    assert_eq!(content(), Content::MadeUp(42));
    write(&dir.path().join("metadata.json"), "{\"seed\": 7}");
    assert_eq!(content(), Content::MadeUp(7));
}

/// A folder with `database/shop/shop.sqlite`.
fn with_shop(folder: &Path) {
    let mut shop = Scratch::new().unwrap();
    shop.execute(
        "CREATE TABLE item (id INT, name TEXT); INSERT INTO item VALUES (1, 'a'), (2, 'b')",
        &Limits::default(),
    )
    .unwrap();
    fsx::create_dir_all(&folder.join("database/shop")).unwrap();
    shop.save(&folder.join("database/shop/shop.sqlite")).unwrap();
}

#[test]
fn spider_and_bird_are_read_as_they_are_published() {
    let dir = tempfile::tempdir().unwrap();
    with_shop(dir.path());
    let list = json!([
        {"db_id": "shop", "question": "How many?", "query": "SELECT count(*) FROM item"},
        {"db_id": "shop", "question": "Names?", "query": "SELECT name FROM item ORDER BY name"},
    ]);
    write(&dir.path().join("dev.json"), &list.to_string());
    write(&dir.path().join("tables.json"), &json!([{"db_id": "shop", "foreign_keys": []}]).to_string());
    let suite = open(&format!("spider:{}", dir.path().display()), None).unwrap();
    assert_eq!(
        (suite.form, suite.name.as_str(), suite.items.len(), suite.databases.len()),
        (Form::Spider, "spider-dev", 2, 1)
    );
    assert!(suite.tables.contains_key("shop") && suite.items[1].ordered && suite.items[0].category == "shop");

    let packed = dir.path().join("train.json.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, list.to_string().as_bytes()).unwrap();
    fsx::write_atomic(&packed, &gzip.finish().unwrap()).unwrap();
    let none = open(&format!("spider:{}", packed.display()), None).unwrap();
    assert_eq!(none.items.len(), 2);
    let only = Suite::open(&Request {
        name: &format!("spider:{}", packed.display()),
        only: &["other".to_owned()],
        ..Request::default()
    });
    assert!(only.unwrap_err().to_string().contains("holds no questions"));

    let list = json!([{"question_id": 7, "db_id": "shop", "question": "Names?", "evidence": "name is text",
        "SQL": "SELECT name FROM item", "difficulty": "simple"}]);
    let bird = tempfile::tempdir().unwrap();
    write(&bird.path().join("dev.json"), &list.to_string());
    let request = Request {
        name: &format!("bird:{}", bird.path().display()),
        db_dir: Some(&dir.path().join("database")),
        ..Request::default()
    };
    let suite = Suite::open(&request).unwrap();
    assert_eq!(suite.items[0].asked("en"), "Names?\nEvidence: name is text");
    assert_eq!((suite.items[0].id.as_str(), suite.items[0].difficulty.as_str()), ("7", "simple"));
    let missing = open(&format!("bird:{}", bird.path().display()), None).unwrap_err();
    assert!(missing.to_string().contains("there is no database shop.sqlite"), "{missing}");
}

#[test]
fn wikisql_is_read_and_its_form_is_found_in_sql() {
    let dir = tempfile::tempdir().unwrap();
    let table = json!({"id": "1-23-4", "header": ["Player", "Goals", "Player"], "types": ["text", "real", "text"],
        "rows": [["Ann", 3, "x"], ["Bob", "n/a", "y"]]});
    write(&dir.path().join("dev.tables.jsonl"), &jsonl(&[table]));
    let question = json!({"table_id": "1-23-4", "question": "Goals of ann?",
        "sql": {"sel": 1, "agg": 1, "conds": [[0, 0, "ann"], [1, 1, "1,000 m"]]}});
    write(&dir.path().join("dev.jsonl"), &jsonl(&[question]));
    let suite = open(&format!("wikisql:{}", dir.path().join("dev.jsonl").display()), None).unwrap();
    let item = &suite.items[0];
    assert_eq!(item.gold, ["SELECT MAX(Goals) FROM table_1_23_4 WHERE Player = 'ann' AND Goals > 1000"]);
    assert_eq!((item.category.as_str(), item.difficulty.as_str()), ("MAX", "2 conditions"));
    let ddl = suite.databases[0].ddl.as_deref().unwrap();
    assert!(ddl.contains("Player_2"), "{ddl}");
    let Content::Script(script) = &suite.databases[0].content else { panic!("no script") };
    let mut made = Scratch::new().unwrap();
    made.execute(script, &Limits::default()).unwrap();
    let rows = made.query("SELECT goals FROM table_1_23_4 WHERE player = 'ANN'", &Limits::default()).unwrap();
    assert_eq!(rows.rows, [[crate::db::Value::Real(3.0)]]);

    let schema = crate::sql::Schema::parse(ddl, Dialect::Sqlite).unwrap();
    let form = |sql: &str| wikisql::Query::of_sql(sql, &schema.tables()[0]);
    let gold = form("SELECT MAX(t.Goals) FROM table_1_23_4 AS t WHERE (t.goals > 1000) AND t.Player = 'Ann'").unwrap();
    assert_eq!((gold.selected, gold.aggregate), (1, 1));
    assert_eq!(gold.conditions, [(0, 0, "ann".to_owned()), (1, 1, "1000".to_owned())]);
    for other in [
        "SELECT MAX(Goals), Player FROM table_1_23_4",
        "SELECT Goals FROM table_1_23_4 LIMIT 1",
        "SELECT Goals FROM table_1_23_4 WHERE Player = 'a' OR Goals > 3",
        "SELECT DISTINCT Goals FROM table_1_23_4",
        "SELECT Goals FROM other",
        "SELECT COUNT(*) FROM table_1_23_4",
        "nothing",
    ] {
        assert_eq!(form(other), None, "{other}");
    }
}
