//! The whole room on databases of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Difficulty;
use super::draw::Draws;
use super::maker::Maker;
use super::speak::Speaker;
use super::style::Style;
use super::*;

/// Tables for every pattern: a tree, a link, a chain of three, a column in two tables, two names to put together.
const RICH: &str = "CREATE TABLE clients (id INT PRIMARY KEY, first_name TEXT, last_name TEXT, name TEXT, email TEXT, city TEXT, \
    registered_on DATE, active BOOLEAN);\
    CREATE TABLE articles (id INT PRIMARY KEY, name TEXT, category TEXT, price DECIMAL(8,2) NOT NULL, \
    cost DECIMAL(8,2) NOT NULL, stock INT, brand TEXT);\
    CREATE TABLE purchases (id INT PRIMARY KEY, client_id INT REFERENCES clients(id), purchase_date DATE, delivery_date DATE, \
    status TEXT, total DECIMAL(8,2));\
    CREATE TABLE purchase_lines (id INT PRIMARY KEY, purchase_id INT REFERENCES purchases(id), \
    article_id INT REFERENCES articles(id), quantity INT, unit_price DECIMAL(8,2));\
    CREATE TABLE suppliers (id INT PRIMARY KEY, name TEXT, city TEXT, country TEXT, region_id INT REFERENCES regions(id));\
    CREATE TABLE regions (id INT PRIMARY KEY, name TEXT, population INT);\
    CREATE TABLE deliveries (id INT PRIMARY KEY, article_id INT NOT NULL REFERENCES articles(id), delivered_on DATE NOT NULL, \
    quantity INT NOT NULL, unit_price DECIMAL(8,2) NOT NULL, freight_cost DECIMAL(8,2) NOT NULL, carrier TEXT);\
    CREATE TABLE supplies (article_id INT REFERENCES articles(id), supplier_id INT REFERENCES suppliers(id));\
    CREATE TABLE workers (id INT PRIMARY KEY, name TEXT, job TEXT, salary INT, manager_id INT REFERENCES workers(id), hired_on DATE);";

/// What [`RICH`] lacks: tables that hold a year each, and children whose names and lengths all differ.
const SPLIT: &str = "CREATE TABLE yards (id INT PRIMARY KEY, name TEXT NOT NULL);\
    CREATE TABLE boats (id INT PRIMARY KEY, yard_id INT NOT NULL REFERENCES yards(id), name TEXT NOT NULL, \
    length DECIMAL(8,2) NOT NULL, price DECIMAL(8,2) NOT NULL, weight INT NOT NULL);\
    CREATE TABLE takings_2022 (id INT PRIMARY KEY, city TEXT NOT NULL, taken_on DATE NOT NULL, amount INT NOT NULL, price DECIMAL(8,2) NOT NULL);\
    CREATE TABLE takings_2023 (id INT PRIMARY KEY, city TEXT NOT NULL, taken_on DATE NOT NULL, amount INT NOT NULL, price DECIMAL(8,2) NOT NULL);\
    CREATE TABLE takings_2024 (id INT PRIMARY KEY, city TEXT NOT NULL, taken_on DATE NOT NULL, amount INT NOT NULL, price DECIMAL(8,2) NOT NULL);";

fn options(count: usize) -> Options {
    Options {
        count,
        held_out: count / 5,
        languages: vec!["en".into(), "pt".into()],
        dialect: Dialect::Sqlite,
        seed: 7,
        changes: true,
        phrasing: None,
        exclude: Vec::new(),
    }
}

fn rich() -> World {
    World::of_schema(&Schema::parse(RICH, Dialect::Sqlite).unwrap(), 3).unwrap()
}

/// Every section that a pattern names has a line for its slots in every voice of every language.
#[test]
fn every_draft_can_be_said_in_every_voice() {
    // Made-up rows have gaps here and there, and some patterns want none: not every world has all.
    let world = |(ddl, seed)| World::of_schema(&Schema::parse(ddl, Dialect::Sqlite).unwrap(), seed).unwrap();
    let worlds: Vec<World> = (3..11).flat_map(|seed| [(RICH, seed), (SPLIT, seed)]).map(world).collect();
    let rules = rules::Rules::load(None).unwrap();
    let mut never = Vec::new();
    for pattern in patterns::reading().chain(patterns::changing()) {
        let mut drawn = 0;
        for seed in 0..320 {
            let world = &worlds[seed as usize % worlds.len()];
            let style = Style { dialect: Dialect::Sqlite };
            let mut maker = Maker { facts: &world.facts, draws: Draws::new(&[seed, 1]), style };
            let Some(draft) = (pattern.make)(&mut maker) else { continue };
            drawn += 1;
            for file in rules.files.iter().filter(|file| !file.shared) {
                let speaker = Speaker { rules: &rules, file, facts: &world.facts };
                let said = speaker.say(&draft.phrase, &mut Draws::new(&[seed]));
                let said = said.unwrap_or_else(|| {
                    panic!("{} {} cannot say [{}] {:?}", file.language, file.voice, draft.phrase.key, draft.phrase)
                });
                assert!(!said.contains(['{', '}']) && !said.contains("  "), "{said}");
            }
        }
        if drawn == 0 {
            never.push(pattern.name);
        }
    }
    assert!(never.is_empty(), "never drawn: {never:?}");
}

#[test]
fn the_held_out_files_fall_back_to_nothing_and_say_everything() {
    let rules = rules::Rules::load(None).unwrap();
    for language in rules.languages() {
        let shared: Vec<_> = rules.files.iter().filter(|file| file.shared && file.language == language).collect();
        assert!(!shared.is_empty());
        for held_out in rules.voices(language, true) {
            for section in shared.iter().flat_map(|file| file.sections()) {
                assert!(held_out.has(section), "{language}: the held-out file has no [{section}]");
            }
        }
    }
}

/// A wording that both parts had would be no test of new wordings; the shortest (`total {column}`) cannot be avoided.
#[test]
fn no_line_of_the_training_files_stands_in_a_held_out_file() {
    let rules = rules::Rules::load(None).unwrap();
    for language in rules.languages() {
        for held_out in rules.voices(language, true) {
            for file in rules.files.iter().filter(|file| !file.held_out && file.language == language) {
                for (section, line) in file.all_lines().filter(|(section, line)| *section != "ask" && line.words() > 2)
                {
                    let known = held_out.all_lines().any(|(own, other)| own == section && other == line);
                    assert!(!known, "{language} {}: [{section}] {line:?}", file.voice);
                }
            }
        }
    }
}

#[test]
fn equal_seeds_give_equal_pairs_and_others_do_not() {
    let write = |seed| synthesize(&mut rich(), &Options { seed, ..options(300) }).unwrap();
    let (a, b, c) = (write(1), write(1), write(2));
    assert_eq!((&a.train, &a.held_out), (&b.train, &b.held_out));
    assert_ne!(a.train, c.train);
}

#[test]
fn parts_share_no_statement_no_question_and_no_voice() {
    let pairs = synthesize(&mut rich(), &options(2000)).unwrap();
    assert_eq!((pairs.train.len(), pairs.held_out.len()), (2000, 400));
    let voices: BTreeSet<&str> = pairs.train.iter().map(|pair| pair.voice.as_str()).collect();
    let trained: BTreeSet<&str> = pairs.train.iter().map(|pair| pair.answer.as_str()).collect();
    let asked: BTreeSet<String> = pairs.train.iter().map(|pair| run::normal(&pair.question)).collect();
    for pair in &pairs.held_out {
        assert!(!voices.contains(pair.voice.as_str()));
        assert!(!trained.contains(pair.answer.as_str()), "{}", pair.answer);
        assert!(!asked.contains(&run::normal(&pair.question)), "{}", pair.question);
        assert!(pair.unseen.starts_with("phrasing"));
    }
    assert!(pairs.held_out.iter().any(|pair| pair.unseen.contains("combination")));
    let mut levels: BTreeMap<Difficulty, usize> = BTreeMap::new();
    for pair in &pairs.train {
        *levels.entry(pair.difficulty).or_default() += 1;
    }
    for difficulty in Difficulty::ALL {
        assert!(levels[&difficulty] >= 400, "{levels:?}");
    }
    let patterns: BTreeSet<&str> = pairs.train.iter().map(|pair| pair.pattern).collect();
    assert!(patterns.len() >= 130, "{}", patterns.len());
    assert!(pairs.counts.empty * 10 <= pairs.counts.kept, "{:?}", pairs.counts);
}

/// Both languages get questions of every difficulty, and evidence.
#[test]
fn languages_share_the_difficulties_and_the_evidence() {
    let languages = vec!["en".to_owned(), "pt".to_owned()];
    let pairs = synthesize(&mut rich(), &Options { languages, ..options(2000) }).unwrap();
    let mut counts: BTreeMap<(&str, Difficulty), usize> = BTreeMap::new();
    let mut evidence: BTreeMap<&str, usize> = BTreeMap::new();
    for pair in &pairs.train {
        *counts.entry((&pair.language, pair.difficulty)).or_default() += 1;
        *evidence.entry(&pair.language).or_default() += usize::from(pair.evidence.is_some());
    }
    assert!(counts.len() == 8 && counts.values().all(|count| *count >= 150), "{counts:?}");
    assert!(evidence.values().all(|count| (100..=350).contains(count)), "{evidence:?}");
    assert!(pairs.held_out.iter().any(|pair| pair.evidence.is_some()));
    for pair in pairs.train.iter().chain(&pairs.held_out) {
        let said = pair.evidence.as_deref().unwrap_or("x");
        assert!(!said.is_empty() && !said.contains(['{', '}', '\n']), "{said}");
        let row = pair.to_json(Dialect::Sqlite);
        assert_eq!(row["evidence"].as_str(), pair.evidence.as_deref());
    }
}

#[test]
fn a_question_means_one_statement() {
    let pairs = synthesize(&mut rich(), &options(2000)).unwrap();
    let mut meaning: BTreeMap<String, &str> = BTreeMap::new();
    for pair in pairs.train.iter().chain(&pairs.held_out) {
        let known = meaning.entry(run::normal(&pair.asked())).or_insert(&pair.answer);
        assert_eq!(*known, pair.answer, "{}", pair.question);
    }
}

/// What a dialect is given parses in it and names what is there.
#[test]
fn statements_are_sound_in_every_dialect() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
        let pairs = synthesize(&mut rich(), &Options { dialect, ..options(700) }).unwrap();
        let schema = Schema::parse(&pairs.train[0].schema, dialect).unwrap();
        for pair in pairs.train.iter().chain(&pairs.held_out) {
            crate::sql::parse(&pair.answer, dialect).unwrap_or_else(|error| panic!("{}: {error}", pair.answer));
            let issues = crate::sql::lint(&pair.answer, &schema, dialect);
            assert!(issues.is_empty(), "{}: {issues:?}", pair.answer);
        }
    }
}

#[test]
fn made_up_databases_are_asked_about_too() {
    let (pairs, tables, rows) = synthesize_many(40, &options(1000), |_| ()).unwrap();
    assert!(pairs.train.len() >= 990, "{}", pairs.train.len());
    let schemas: BTreeSet<&str> = pairs.train.iter().map(|pair| &*pair.schema).collect();
    assert!(schemas.len() >= 38 && tables > 60 && rows > 1000);
    let held_out: BTreeSet<&str> = pairs.held_out.iter().map(|pair| &*pair.schema).collect();
    assert!(held_out.is_disjoint(&schemas));
}

/// Databases that are asked two questions each would otherwise all be asked the easy ones of the first language.
#[test]
fn few_pairs_of_many_databases_take_turns() {
    let own = Options { held_out: 8, ..options(80) };
    let (pairs, ..) = synthesize_many(40, &own, |_| ()).unwrap();
    for part in [&pairs.train, &pairs.held_out] {
        let kinds: BTreeSet<(&str, &str)> = part.iter().map(|pair| (&*pair.language, pair.difficulty.name())).collect();
        assert!(kinds.len() > 4, "{kinds:?}");
    }
    let of = |language: &str| pairs.train.iter().filter(|pair| pair.language == language).count();
    assert!(of("en").abs_diff(of("pt")) <= 8, "{} and {}", of("en"), of("pt"));
}

#[test]
fn excluded_questions_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("suite.jsonl");
    let all = synthesize(&mut rich(), &options(400)).unwrap();
    let row = json!({"question": {"en": all.train[0].question, "pt": all.train[1].question}});
    crate::fsx::write_atomic(&file, row.to_string().as_bytes()).unwrap();
    let fewer = synthesize(&mut rich(), &Options { exclude: vec![file], ..options(400) }).unwrap();
    let asked = |pairs: &Pairs, pair: &Pair| pairs.train.iter().any(|own| own.question == pair.question);
    assert!(!asked(&fewer, &all.train[0]) && !asked(&fewer, &all.train[1]));
    assert!(fewer.counts.excluded > 0 && asked(&all, &all.train[0]));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let empty = Schema::parse("CREATE VIEW v AS SELECT 1", Dialect::Sqlite).unwrap();
    assert!(World::of_schema(&empty, 1).unwrap_err().to_string().contains("no table"));
    let languages = vec!["xx".to_owned()];
    let error = synthesize(&mut rich(), &Options { languages, ..options(10) }).unwrap_err();
    assert!(error.to_string().contains("`xx`"), "{error}");
}
