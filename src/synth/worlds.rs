//! Small databases made up from nothing, for training a base model: names from `domains.txt`, half of them replaced by
//! words nobody has seen, so that a model has to read the schema instead of knowing it by heart.

use std::sync::LazyLock;

use super::branches;
use super::draw::Draws;
use super::made_up::syllables;
use super::writing::Writing;
use crate::sql::{Column, Dialect, ForeignKey, Name, Schema, Table};

/// Share of the databases in which half of the names are new words.
const PSEUDO: f64 = 0.5;

/// Share of the databases whose keys are declared; elsewhere the names tell.
const DECLARED_KEYS: f64 = 0.7;

/// Share of the databases that hold a table with two tables above it and those above these: sums over four tables.
const DEEP: f64 = 0.22;

/// Tables of such a database.
const DEEPEST: usize = 5;

/// Share of the databases in which one table more refers to itself.
const TREES: f64 = 0.14;

/// Share of the databases in which one table is split into years or quarters.
const SPLIT: f64 = 0.16;

/// Names that databases for measuring use. One of them stands in a made-up database of four tables and more at most, so
/// that none shares a third of its names with such a database.
const COMMON_NAMES: &[(&str, &str)] = &[
    ("client", "customer"),
    ("article", "product"),
    ("purchase", "order"),
    ("purchase line", "order item"),
    ("colleague", "employee"),
    ("division", "department"),
    ("learner", "student"),
    ("broker", "agent"),
    ("shopper", "customer"),
    ("merchandise", "product"),
    ("basket", "order"),
    ("basket line", "order item"),
    ("staff member", "employee"),
    ("business unit", "department"),
    ("undergraduate", "student"),
    ("lecturer", "instructor"),
    ("module", "course"),
    ("sick person", "patient"),
    ("surgeon", "physician"),
    ("recording act", "artist"),
    ("long play", "album"),
    ("nation", "country"),
    ("province", "region"),
    ("novelist", "author"),
    ("novel", "book"),
    ("grocery", "product"),
    ("suite", "room"),
    ("lodger", "guest"),
    ("saver", "customer"),
    ("faculty", "department"),
    ("corporate client", "customer"),
    ("viewer", "user"),
    ("profile", "user"),
    ("deal", "sale"),
    ("cashier", "employee"),
    ("vacancy", "job"),
    ("payee", "employee"),
    ("drug", "medication"),
    ("consultation", "appointment"),
    ("dish", "product"),
    ("museum visit", "visit"),
    ("shop", "store"),
    ("singer", "artist"),
    ("song", "track"),
    ("bank transfer", "payment"),
    ("savings book", "account"),
    ("flat", "apartment"),
    ("dentist", "physician"),
    ("call agent", "employee"),
    ("caller", "customer"),
];

/// Columns that tables of all kinds have, with their type letter.
const COMMON_COLUMNS: &[(&str, char)] = &[
    ("details", 't'),
    ("other details", 't'),
    ("description", 't'),
    ("notes", 't'),
    ("comment", 't'),
    ("type", 't'),
    ("type code", 't'),
    ("status", 't'),
    ("status code", 't'),
    ("reference", 't'),
    ("created at", 'T'),
    ("updated at", 'T'),
    ("active", 'b'),
];

static DOMAINS: LazyLock<Vec<Domain>> = LazyLock::new(|| domains(include_str!("domains.txt")));

#[derive(Debug, Clone, Default)]
struct Domain {
    tables: Vec<Entity>,
}

#[derive(Debug, Clone)]
struct Entity {
    names: Vec<String>,
    /// Name and type letter.
    columns: Vec<(String, char)>,
    /// Table referred to and what the reference is called.
    parents: Vec<(String, String)>,
    links: bool,
}

impl Domain {
    /// The tables that a table refers to, itself left out.
    fn above(&self, at: usize) -> Vec<usize> {
        let refers = |other: &usize| {
            *other != at && self.tables[at].parents.iter().any(|(parent, _)| *parent == self.tables[*other].names[0])
        };
        (0..self.tables.len()).filter(refers).collect()
    }
}

fn domains(text: &str) -> Vec<Domain> {
    let mut domains: Vec<Domain> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            domains.push(Domain::default());
            continue;
        }
        let links = line.starts_with("link:");
        let line = line.strip_prefix("link:").unwrap_or(line);
        let (Some((names, parts)), Some(domain)) = (line.split_once(':'), domains.last_mut()) else { continue };
        let names: Vec<String> = names.split('|').map(|name| name.trim().to_owned()).collect();
        let mut entity = Entity { names, columns: Vec::new(), parents: Vec::new(), links };
        for part in parts.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if let Some(parent) = part.strip_prefix('>') {
                let (parent, role) = parent.split_once(" as ").unwrap_or((parent, parent));
                let parent = if parent == "self" { entity.names[0].clone() } else { parent.to_owned() };
                entity.parents.push((parent, role.to_owned()));
            } else if let Some((name, kind)) = part.rsplit_once(' ') {
                entity.columns.push((name.to_owned(), kind.chars().next().unwrap_or('t')));
            }
        }
        domain.tables.push(entity);
    }
    domains
}

/// A database of one to six connected tables.
pub(super) fn schema(draws: &mut Draws, dialect: Dialect) -> Schema {
    let Some(domain) = draws.pick(&DOMAINS) else { return Schema::default() };
    let chosen = connected(domain, draws);
    let writing = Writing::draw(draws, dialect);
    let pseudo = draws.chance(PSEUDO);
    let declared = draws.chance(DECLARED_KEYS);
    let common = common(domain, &chosen, draws);
    // What each table is called here, and what its key is.
    let said: Vec<String> = chosen
        .iter()
        .map(|at| {
            let entity = &domain.tables[*at];
            if pseudo && draws.chance(0.6) {
                return syllables(draws).to_lowercase();
            }
            match common {
                Some((own, other)) if own == entity.names[0] => other.to_owned(),
                _ => draws.pick(&entity.names).cloned().unwrap_or_default(),
            }
        })
        .collect();
    let key = |at: usize| writing.key(&said[at]);
    let mut tables = Vec::new();
    for (own, at) in chosen.iter().enumerate() {
        let entity = &domain.tables[*at];
        let mut table = Table::new(writing.table(&said[own]));
        let mut columns: Vec<Column> = Vec::new();
        let mut named = some_columns(entity, draws);
        if !entity.links {
            let count = [0, 0, 0, 1, 1, 2][draws.below(6)];
            let more = draws.some(COMMON_COLUMNS, count).into_iter().map(|(name, kind)| (name.to_owned(), kind));
            named.extend(more.filter(|(name, _)| !entity.columns.iter().any(|(own, _)| own == name)));
        }
        for (name, kind) in named {
            let label = kind == 't' && entity.columns.first().is_some_and(|(first, _)| *first == name);
            let name = if pseudo && draws.chance(0.5) { pseudo_column(&name, label, draws) } else { name };
            let said = writing.said(&said[own], &name, draws);
            let mut column = Column::new(writing.name(&said), Some(column_type(kind, dialect, draws)));
            column.not_null = draws.chance(0.15);
            if !columns.iter().any(|known| known.name == column.name) {
                columns.push(column);
            }
        }
        for (parent, role) in &entity.parents {
            let Some(to) = chosen.iter().position(|at| domain.tables[*at].names[0] == *parent) else { continue };
            let called = if to == own || role != parent { role.clone() } else { said[to].clone() };
            let column = Column::new(writing.name(&format!("{called} id")), Some(column_type('i', dialect, draws)));
            if columns.iter().any(|known| known.name == column.name) {
                continue;
            }
            if declared || to == own {
                table.foreign_keys.push(ForeignKey {
                    columns: vec![column.name.clone()],
                    table: Table::new(writing.table(&said[to])).name,
                    references: vec![Column::new(key(to), None).name],
                });
            }
            columns.push(column);
        }
        let mut columns = if draws.chance(0.5) { draws.shuffled(&columns) } else { columns };
        if !entity.links || draws.chance(0.3) {
            let own_key = Column::new(key(own), Some(column_type('i', dialect, draws)));
            table.primary_key = vec![own_key.name.clone()];
            columns.retain(|column| column.name != own_key.name);
            columns.insert(0, own_key);
        }
        table.columns = columns;
        tables.push(table);
    }
    if draws.chance(TREES) {
        branches::plant(&mut tables, &said, &writing, dialect, draws);
    }
    if draws.chance(SPLIT) {
        branches::split(&mut tables, &said, &writing, draws);
    }
    // The case of every name counts, as it does in the catalog of a server.
    tables.iter_mut().for_each(|table| table.rename(|name| Name::new(name.text(), true)));
    Schema::from_tables(dialect, tables)
}

/// The one table, if any, that is called as in the databases for measuring.
fn common(domain: &Domain, chosen: &[usize], draws: &mut Draws) -> Option<(&'static str, &'static str)> {
    let named = |own: &str| chosen.iter().any(|at| domain.tables[*at].names[0] == own);
    let usable: Vec<(&str, &str)> = COMMON_NAMES.iter().copied().filter(|(own, _)| named(own)).collect();
    if chosen.len() < 4 || !draws.chance(0.8) {
        return None;
    }
    draws.pick(&usable).copied()
}

/// Tables that hang together, at least one with something to ask about.
fn connected(domain: &Domain, draws: &mut Draws) -> Vec<usize> {
    let wanted = [1, 2, 2, 3, 3, 4, 4, 5, 6][draws.below(9)];
    let touches = |a: usize, b: usize| {
        let refers = |from: &Entity, to: &Entity| from.parents.iter().any(|(parent, _)| *parent == to.names[0]);
        refers(&domain.tables[a], &domain.tables[b]) || refers(&domain.tables[b], &domain.tables[a])
    };
    let starts: Vec<usize> = (0..domain.tables.len()).filter(|at| !domain.tables[*at].links).collect();
    let mut chosen = draws.some(&starts, 1);
    if draws.chance(DEEP) {
        let forks: Vec<usize> = starts.iter().copied().filter(|at| domain.above(*at).len() >= 2).collect();
        if let Some(fork) = draws.pick(&forks) {
            chosen = vec![*fork];
            for at in domain.above(*fork) {
                chosen.extend(std::iter::once(at).chain(domain.above(at)));
            }
            let mut seen = std::collections::BTreeSet::new();
            chosen.retain(|at| seen.insert(*at));
            chosen.truncate(DEEPEST);
        }
    }
    while chosen.len() < wanted {
        let next: Vec<usize> = (0..domain.tables.len())
            .filter(|at| !chosen.contains(at) && chosen.iter().any(|known| touches(*at, *known)))
            // A link is of use where both of its ends are there.
            .filter(|at| {
                let entity = &domain.tables[*at];
                !entity.links
                    || entity
                        .parents
                        .iter()
                        .all(|(parent, _)| chosen.iter().any(|known| domain.tables[*known].names[0] == *parent))
            })
            .collect();
        match draws.pick(&next) {
            Some(next) => chosen.push(*next),
            // Nothing touches: a table of its own, as databases have.
            None => match draws.pick(&starts.iter().copied().filter(|at| !chosen.contains(at)).collect::<Vec<_>>()) {
                Some(next) => chosen.push(*next),
                None => break,
            },
        }
    }
    chosen
}

/// The first column and most of the others.
fn some_columns(entity: &Entity, draws: &mut Draws) -> Vec<(String, char)> {
    entity
        .columns
        .iter()
        .enumerate()
        .filter(|(at, _)| *at == 0 || draws.chance(0.8))
        .map(|(_, column)| column.clone())
        .collect()
}

/// A new word for a column; what it is for still shows where people would say it: in `name`, `date`, `price`.
fn pseudo_column(name: &str, label: bool, draws: &mut Draws) -> String {
    let word = syllables(draws).to_lowercase();
    let last = name.rsplit(' ').next().unwrap_or(name);
    let telling = ["name", "title", "date", "price", "on", "at", "count", "type", "status"].contains(&last);
    match () {
        () if label => format!("{word} name"),
        () if telling && draws.chance(0.6) => {
            format!("{word} {}", if ["on", "at"].contains(&last) { "date" } else { last })
        }
        () => word,
    }
}

/// The type that a letter of `domains.txt` stands for.
pub(super) fn column_type(kind: char, dialect: Dialect, draws: &mut Draws) -> String {
    let mut one = |types: &[&str]| draws.pick(types).map_or_else(String::new, |kind| (*kind).to_owned());
    match (kind, dialect) {
        ('i', Dialect::Sqlite) => one(&["INTEGER", "INT"]),
        ('i', _) => one(&["INT", "INTEGER"]),
        ('d', Dialect::Sqlite) => one(&["REAL", "REAL", "DECIMAL(10,2)", "FLOAT", "NUMERIC"]),
        ('d', _) => one(&["DECIMAL(10,2)", "NUMERIC", "DECIMAL"]),
        ('D', _) => "DATE".into(),
        ('T', Dialect::MySql) => "DATETIME".into(),
        ('T', Dialect::Sqlite) => one(&["TIMESTAMP", "DATETIME"]),
        ('T', _) => "TIMESTAMP".into(),
        ('b', _) => "BOOLEAN".into(),
        (_, Dialect::Sqlite) => one(&["TEXT", "TEXT", "VARCHAR(50)", "VARCHAR(255)", "CHAR(20)"]),
        (_, Dialect::MySql) => one(&["VARCHAR(50)", "VARCHAR(100)"]),
        _ => one(&["TEXT", "VARCHAR(50)", "VARCHAR"]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    #[test]
    fn databases_hang_together_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let schema = schema(&mut Draws::new(&[seed]), Dialect::Postgres);
            assert!(!schema.tables().is_empty());
            let again = Schema::parse(&schema.to_ddl(), Dialect::Postgres).unwrap();
            assert_eq!(again.to_ddl(), schema.to_ddl(), "reads back");
            for table in schema.tables() {
                for key in &table.foreign_keys {
                    let parent = schema.table(key.table.text()).unwrap();
                    assert!(parent.column(key.references[0].text()).is_some(), "{}", schema.to_ddl());
                }
            }
            seen.insert(schema.to_ddl());
        }
        assert!(seen.len() > 290, "{}", seen.len());
    }

    #[test]
    fn names_are_written_in_many_ways_and_quoted_where_case_counts() {
        let ddl = |dialect| -> String {
            (0..300).map(|seed| schema(&mut Draws::new(&[seed]), dialect).to_ddl()).collect::<Vec<_>>().join("\n")
        };
        let (sqlite, postgres) = (ddl(Dialect::Sqlite), ddl(Dialect::Postgres));
        let found = |pattern: &str, text: &str| regex::Regex::new(pattern).unwrap().find_iter(text).count();
        for table in
            ["[a-z]+_[a-z]+s?", "[a-z]+[A-Z][a-z]+", "[A-Z][a-z]+[A-Z][a-z]+", "[A-Z][a-z]+_[A-Z][a-z]+", "[A-Z]{4,}"]
        {
            assert!(found(&format!(r"CREATE TABLE {table} \("), &sqlite) > 2, "{table}");
        }
        assert!(found(r#"CREATE TABLE "[A-Z]"#, &postgres) > 20);
        assert_eq!(found(r"CREATE TABLE [A-Z]", &postgres), 0);
    }

    #[test]
    fn some_databases_put_the_table_in_front_of_its_columns() {
        let in_front = |table: &Table| {
            let (own, columns) = (words::table(table.name.text()), table.columns.iter());
            columns.filter(|column| words::split(column.name.text()).starts_with(&own)).count() > 2
        };
        let with = |seed: &u64| schema(&mut Draws::new(&[*seed]), Dialect::Sqlite).tables().iter().any(in_front);
        let count = (0..300).filter(with).count();
        assert!((60..180).contains(&count), "{count}");
    }

    /// Tables of the databases for measuring, as words.
    fn measured() -> Vec<(&'static str, Vec<String>)> {
        let lines = include_str!("measured.txt").lines().filter(|line| !line.starts_with('#'));
        let said = |name: &str| words::table(name).join(" ");
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(database, tables)| (database, tables.split_whitespace().map(said).collect()))
            .collect()
    }

    #[test]
    fn no_domain_shares_a_name_with_a_database_for_measuring() {
        let measured = measured();
        assert_eq!(measured.len(), 10);
        for (database, tables) in &measured {
            for domain in DOMAINS.iter() {
                for name in domain.tables.iter().flat_map(|table| &table.names) {
                    assert!(!tables.contains(&words::table(name).join(" ")), "{database} has a `{name}` too");
                }
            }
        }
    }

    #[test]
    fn no_database_shares_a_third_of_its_names_with_one_for_measuring() {
        let measured = measured();
        let mut shared = 0;
        for seed in 0..3000 {
            let schema = schema(&mut Draws::new(&[seed, 5]), Dialect::Sqlite);
            let own: Vec<String> =
                schema.tables().iter().map(|table| words::table(table.name.text()).join(" ")).collect();
            for (database, tables) in &measured {
                let count = own.iter().filter(|name| tables.contains(name)).count();
                shared += count;
                assert!(count * 10 < own.len() * 3, "{database}: {own:?}");
            }
        }
        assert!(shared > 100, "the common names are hardly used: {shared}");
    }

    #[test]
    fn every_reference_of_the_domains_is_to_a_table_there() {
        for domain in DOMAINS.iter() {
            for entity in &domain.tables {
                assert!(entity.links || !entity.columns.is_empty());
                for (parent, _) in &entity.parents {
                    assert!(domain.tables.iter().any(|table| table.names[0] == *parent), "{parent}");
                }
            }
        }
    }
}
