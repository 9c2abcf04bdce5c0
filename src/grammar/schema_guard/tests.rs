//! The guard on its own: cases whose verdicts `tests/it/guard.rs` checks on the real databases, and what it remembers.

use std::sync::Arc;

use super::*;
use crate::grammar::{BitMask, Grammar, Matcher, TokenTrie, Verdict, Vocabulary, examine_with, shipped};

const DDL: &str = "CREATE TABLE users (id INT, name TEXT, city TEXT);
CREATE TABLE orders (id INT, user_id INT, total REAL, \"Placed On\" TEXT);";

fn matcher(dialect: Dialect) -> Matcher {
    let text = shipped(if dialect == Dialect::Sqlite { "sql-sqlite" } else { "sql-postgres" }).unwrap();
    let guard = SchemaGuard::new(&Schema::parse(DDL, dialect).unwrap(), dialect, text);
    Matcher::with_guard(Arc::new(Grammar::parse(text).unwrap()), Box::new(guard))
}

#[test]
fn names_are_kept_to_the_schema_and_quotes_to_the_dialect() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let matcher = matcher(dialect);
        let inside = |query: &str| examine_with(&matcher, query.as_bytes()) == Verdict::Inside;
        assert!(inside("SELECT u.NAME, \"Placed On\" FROM Users AS u JOIN orders o ON o.user_id = u.id"));
        assert!(!inside("SELECT nme FROM users") && !inside("SELECT name FROM usrs"));
        assert!(!inside("SELECT id FROM users JOIN orders ON users.id = orders.user_id"), "ambiguous");
        assert_eq!(inside("SELECT \"NAME\" FROM users"), dialect == Dialect::Sqlite);
        assert_eq!(inside("SELECT city AS c FROM users WHERE c = 'x'"), dialect == Dialect::Sqlite);
    }
}

#[test]
fn a_refused_name_is_refused_at_the_byte_that_no_name_has() {
    let matcher = matcher(Dialect::Sqlite);
    let Verdict::Outside { offset, .. } = examine_with(&matcher, b"SELECT name FROM orders") else { panic!() };
    assert_eq!(offset, "SELECT name FROM orders".len(), "`orders` may still be joined with `users`");
    let Verdict::Outside { offset, .. } = examine_with(&matcher, b"SELECT nama FROM users") else { panic!() };
    assert_eq!(offset, "SELECT nama".len(), "`nama.` may still become an alias");
}

#[test]
fn a_way_to_the_end_keeps_the_names_promised() {
    let matcher = matcher(Dialect::Sqlite);
    for prefix in [
        "SELECT ",
        "SELECT u.na",
        "SELECT a.name, b.total",
        "SELECT count(*) FROM users u, orders o WHERE u.",
        "WITH x AS (SELECT ",
    ] {
        let mut matcher = matcher.restarted();
        assert!(matcher.advance(prefix.as_bytes()), "{prefix}");
        let rest = matcher.completion().unwrap_or_else(|| panic!("no way to the end of {prefix}"));
        assert!(matcher.advance(&rest) && matcher.can_end(), "{prefix}{}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_mask_is_what_the_tokens_say_one_by_one() {
    let mut words: Vec<Vec<u8>> = (32..127u8).map(|byte| vec![byte]).collect();
    words.extend(
        [" FROM", " users", " orders", "name", "id FROM", " AS", " u", " zq", "u.", ", o", " WHERE", " u.id", "x y"]
            .map(|word| word.as_bytes().to_vec()),
    );
    let trie = TokenTrie::new(&Vocabulary::from_bytes(words.clone()), &[]);
    let mut matcher = matcher(Dialect::Sqlite);
    for text in ["", "SELECT", " u.name", " FROM", " users", " AS", " u", " WHERE", " u", ".id", "=1"] {
        assert!(matcher.advance(text.as_bytes()), "{text}");
        let mut mask = BitMask::default();
        matcher.mask(&trie, &mut mask);
        for id in 0..words.len() as u32 {
            assert_eq!(mask.contains(id), matcher.accepts_token(&trie, id), "{:?} behind {text}", trie.bytes(id));
        }
    }
}

#[test]
fn what_nobody_stands_on_is_forgotten_and_the_rest_keeps_its_meaning() {
    let text = shipped("sql-sqlite").unwrap();
    let mut guard = SchemaGuard::new(&Schema::parse(DDL, Dialect::Sqlite).unwrap(), Dialect::Sqlite, text);
    let hook = |name: &str| Hook::NAMES.iter().position(|(own, _)| *own == name).unwrap();
    let mut at = 0;
    for name in ["query", "select-core", "select-item", "column-name"] {
        at = guard.enter(hook(name), at).unwrap();
    }
    let before = guard.memory();
    let mut others = Vec::new();
    for byte in b"abcdefghijklmnopqrstuvwxyz" {
        others.extend(guard.byte(*byte, at));
    }
    assert_eq!(others.len(), 5, "c i n t u begin columns; \"Placed On\" needs quotes");
    guard.keep(&mut [at].into_iter());
    assert!(guard.memory() <= before);
    let n = guard.byte(b'n', at).unwrap();
    assert!(guard.byte(b'z', n).is_none() && guard.byte(b'a', n).is_some());
}
