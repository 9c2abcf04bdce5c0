//! Answers that are run: `--run`, the commands of the conversation, databases by every kind of address. The random model
//! answers noise, so statements come from `/edit`.

use serde_json::Value;

use crate::chat::{Place, err, out, write_expert};
use crate::postgres::Postgres;

fn shop() -> Place {
    let place = Place::new();
    let db = rusqlite::Connection::open(place.path().join("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO customer VALUES (1, 'Ana'), (2, NULL), (3, 'x' || char(27) || '[31m');",
    )
    .unwrap();
    place
}

/// What a conversation over a pipe says: stdout and stderr.
fn talk(place: &Place, more: &[&str], script: &str) -> (String, String) {
    let base = ["chat", "--base-model", "model", "--max-tokens", "4", "--validation", "none"];
    let output = place.run_with(&[&base, more].concat(), script);
    assert!(output.status.success(), "{}", err(&output));
    (out(&output), err(&output))
}

const DB: [&str; 2] = ["--db", "sqlite:shop.db"];

#[test]
fn statements_are_run_shown_explained_and_saved() {
    let place = shop();
    let script = "/edit SELECT id, name FROM customer ORDER BY id\n/run\n/explain\n/save rows.csv\n/save rows.csv\n\
                  /save a.sql\n/format json\n/edit SELECT count(*) AS n FROM customer\n/run\n/timing\n/run\n/exit\n";
    let (data, said) = talk(&place, &DB, script);
    assert!(data.contains(" id | name\n----+") && data.contains("  2 | NULL"), "{data}");
    assert!(data.contains("\\u{1b}[31m") && !data.contains('\u{1b}'), "a table is for people: {data}");
    assert!(data.contains("SCAN customer"), "{data}");
    assert!(data.contains("[\n  {\n    \"n\": 3\n  }\n]"), "{data}");
    assert_eq!(
        said.matches("rows in").count(),
        1,
        "the second /run comes after /format, the third without timing: {said}"
    );
    assert!(said.contains("is there already"), "{said}");
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(read("rows.csv"), "id,name\n1,Ana\n2,\n3,x\u{1b}[31m\n");
    assert_eq!(read("a.sql"), "SELECT id, name FROM customer ORDER BY id\n");
}

#[test]
fn what_writes_is_printed_and_never_run() {
    let place = shop();
    let before = std::fs::read(place.path().join("shop.db")).unwrap();
    let script = "/run auto\n/edit DELETE FROM customer\n/edit ATTACH 'x.db' AS x\n/edit SELECT nobody FROM customer\n";
    let (data, said) = talk(&place, &DB, script);
    assert!(data.contains("DELETE FROM customer"), "printed: {data}");
    assert!(said.contains("not run: ") && said.contains("is not a read"), "{said}");
    assert!(said.contains("no such column: nobody"), "{said}");
    assert_eq!(std::fs::read(place.path().join("shop.db")).unwrap(), before);
    assert!(!place.path().join("x.db").exists());

    let (data, said) =
        talk(&place, &["--db", "sqlite:shop.db", "--no-execute"], "/edit SELECT 1 AS one\n/run\n/run auto\n/explain\n");
    assert!(!data.contains("one\n---"), "{data}");
    assert_eq!(said.matches("--no-execute forbids").count(), 3, "{said}");
}

#[test]
fn a_cut_answer_is_not_run() {
    let place = shop();
    let answer = place.ask(&["--db", "sqlite:shop.db", "--run", "--prompt", "How many?"]);
    assert_eq!((&answer["incomplete"], &answer["execution"]["kind"]), (&true.into(), &"refused".into()), "{answer}");
    assert!(answer["execution"]["error"].as_str().unwrap().contains("incomplete"));
    let (_, said) = talk(&place, &DB, "How many?;\n/run\n/why\n");
    assert!(said.contains("the answer is incomplete: it is not run") && said.contains("ended by"), "{said}");
    for (args, code, message) in [
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--run"], 2, "--run needs a database"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--run", "--no-execute"], 2, "cannot be used with"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--compare"], 2, "--compare needs an expert"),
        (vec!["chat", "--base-model", "model", "--prompt", "x", "--db-config", "none.json"], 3, "none.json"),
    ] {
        let output = place.run(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(message), "{args:?}: {}", err(&output));
    }
}

#[test]
fn a_postgresql_answers_by_socket_and_by_configuration() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::new();
    let _ = server.run(
        "CREATE TABLE customer (id int PRIMARY KEY, paid numeric(6,2)); INSERT INTO customer VALUES (1, 2.50);",
        &["SELECT 1"],
    );
    let url = format!("postgres://postgres@/postgres?host={}", server.socket().display());
    let script = "/schema\n/edit SELECT * FROM customer\n/run\n/explain\n/edit DROP TABLE customer\n/run\n";
    let (data, said) = talk(&place, &["--db", &url], script);
    assert!(
        said.contains("customer | id, paid") && data.contains("  1 | 2.50") && data.contains("Seq Scan"),
        "{data}{said}"
    );
    assert!(said.contains("not run: the statement gives no columns"), "{said}");
    let config = serde_json::json!({"host": server.socket(), "port": 5432, "user": "postgres", "password": "",
        "dialect": "postgresql", "databases": {"shop": "postgres", "other": "none"}});
    expert_cli::fsx::write_atomic(&place.path().join("db_conn.json"), config.to_string().as_bytes()).unwrap();
    let answer = place.ask(&["--db-config", "db_conn.json", "--db", "shop", "--prompt", "How many?"]);
    assert_eq!(answer["dialect"], Value::from("postgres"));
    let output =
        place.run(&["chat", "--base-model", "model", "--prompt", "x", "--db-config", "db_conn.json", "--db", "other"]);
    assert!(err(&output).contains("\"none\" does not exist"), "{}", err(&output));
}

#[test]
fn several_answers_stand_for_election() {
    let place = shop();
    let ask = |more: &[&str]| place.ask(&[&["--db", "sqlite:shop.db", "--prompt", "How many?"], more].concat());
    let counts = |answer: &Value| -> Vec<u64> {
        answer["candidates"].as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).collect()
    };
    let five = ask(&["-n", "5"]);
    assert_eq!(counts(&five).iter().sum::<u64>(), 5, "{five}");
    assert!(counts(&five).len() > 1, "samples differ from the greedy answer");
    let winner = five["candidates"].as_array().unwrap().iter().find(|one| one["sql"] == five["sql"]).unwrap();
    assert_eq!(winner["group"], 1);
    assert!(winner["result"]["error"].as_str().unwrap().contains("incomplete"), "a cut answer is never run: {winner}");
    let again = ask(&["-n", "5"]);
    assert_eq!((&again["candidates"], &again["sql"]), (&five["candidates"], &five["sql"]), "the same seed");
    // The first of them is what one answer would have been.
    let one = ask(&[]);
    assert!(five["candidates"].as_array().unwrap().iter().any(|candidate| candidate["sql"] == one["sql"]));
    assert!(one.get("candidates").is_none());
    let hybrid = ask(&["--hybrid"]);
    assert_eq!(counts(&hybrid).iter().sum::<u64>(), 5, "{hybrid}");
    let unrun = ask(&["--hybrid=2,1", "--no-execute"]);
    assert_eq!(counts(&unrun).iter().sum::<u64>(), 3);
    assert!(unrun["candidates"][0]["result"].is_null());
    let (_, said) = talk(&place, &["--db", "sqlite:shop.db", "-n", "3"], "How many?;\n/why\n");
    assert!(said.contains("of 3 answers agree") && said.contains("group | votes |"), "{said}");
    for (args, message) in [
        (["--hybrid=9", "--quiet"], "is not BEAMS,SAMPLES"),
        (["-n", "0"], "1 to 64"),
        (["--critic", "sql"], "not installed"),
    ] {
        let output = place.run(&[&["chat", "--base-model", "model", "--prompt", "x"][..], &args].concat());
        assert!(!output.status.success() && err(&output).contains(message), "{args:?}: {}", err(&output));
    }
}

#[test]
fn infer_draws_several_answers_too() {
    let place = shop();
    let row = serde_json::json!({"question": "How many?", "db": "sqlite:shop.db"}).to_string();
    expert_cli::fsx::write_atomic(&place.path().join("q.jsonl"), format!("{row}\n{row}\n").as_bytes()).unwrap();
    let infer =
        ["infer", "--base-model", "model", "--max-tokens", "6", "--input", "q.jsonl", "--output", "p.jsonl", "-n", "3"];
    let output = place.run(&infer);
    assert!(output.status.success(), "{}", err(&output));
    let text = std::fs::read_to_string(place.path().join("p.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]), (2, &rows[1]));
    assert!(rows[0]["predicted_sql"].is_string() && rows[0]["candidates"].is_array() && rows[0]["votes"].is_u64());
    let other = place.run(&[&infer[..infer.len() - 2], &["--json"]].concat());
    assert!(out(&other).contains("made with other settings"), "{}", out(&other));
}

#[test]
fn experts_are_chosen_by_keywords_and_by_name() {
    let place = Place::new();
    write_expert(place.path());
    assert!(place.run(&["install", "expert"]).status.success());
    let path = place.path().join("expert/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["name"] = "expert-graph".into();
    manifest["routing"]["keywords"] = serde_json::json!(["shortest path"]);
    manifest["constraints"]["incompatible_with"] = serde_json::json!([]);
    let install = |manifest: &Value| {
        expert_cli::fsx::write_atomic(&path, manifest.to_string().as_bytes()).unwrap();
        let installed = place.run(&["install", "expert", "--force"]);
        assert!(installed.status.success(), "{}", err(&installed));
    };
    install(&manifest);
    let ask = |experts: &str, question: &str, more: &[&str]| {
        let args = ["chat", "--experts", experts, "--max-tokens", "4", "--prompt", question, "--json"];
        let output = place.run(&[&args, more].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let routed = ask("shop,graph", "What is the shortest path?", &["--route"]);
    assert_eq!(
        (&routed["expert"]["name"], &routed["routed_by"]),
        (&"expert-graph".into(), &"shortest path (score 0.50)".into()),
        "{routed}"
    );
    assert_eq!(ask("shop,graph", "shop totals", &["--route"])["expert"]["name"], "expert-shop");
    assert_eq!(ask("shop,graph", "What is the shortest path?", &[])["expert"]["name"], "expert-shop", "no --route");
    let output = place.run_with(
        &["chat", "--experts", "shop,graph", "--max-tokens", "4"],
        "/expert graph\n/expert\n/expert nobody\n",
    );
    let said = err(&output);
    assert_eq!(said.matches("loading ").count(), 1, "one base model in memory: {said}");
    assert!(
        said.contains("expert-graph@0.3.0 answers in sqlite") && said.contains("also here: expert-shop@0.3.0"),
        "{said}"
    );
    assert!(said.contains("not installed"), "{said}");
    manifest["constraints"]["incompatible_with"] = serde_json::json!(["expert-shop"]);
    install(&manifest);
    let refused = ask("shop,graph", "x", &[]);
    assert!(refused["error"].as_str().unwrap().contains("do not work together"), "{refused}");
}
