//! Stop sequences over random token borders, inside and outside quotes; thinking blocks.

use super::*;
use proptest::prelude::*;

fn rules(sequences: &[&str]) -> StopRules {
    StopRules { sequences: sequences.iter().map(|s| (*s).to_owned()).collect(), turn_markers: vec!["<|end|>".into()] }
}

/// Feeds the text whole; what is released always adds up to the answer.
fn read(rules: &StopRules, quoting: Quoting, text: &str) -> Watch {
    feed(rules, quoting, &[text])
}

fn feed(rules: &StopRules, quoting: Quoting, pieces: &[&str]) -> Watch {
    let mut watch = Watch::new(rules, quoting, false);
    let mut released = String::new();
    for piece in pieces {
        let out = watch.push(piece);
        released.push_str(&out.text);
        if out.stopped {
            break;
        }
    }
    released.push_str(&watch.finish());
    assert_eq!(released, watch.answer());
    watch
}

#[test]
fn a_stop_fires_only_in_code() {
    let stops = rules(&[";", "\n\n", "END"]);
    for (quoting, text, answer) in [
        (Quoting::GENERIC, "SELECT 1; SELECT 2", "SELECT 1"),
        (Quoting::GENERIC, "SELECT 'a;b' FROM t; x", "SELECT 'a;b' FROM t"),
        (Quoting::GENERIC, "SELECT 'it''s;' FROM t; x", "SELECT 'it''s;' FROM t"),
        (Quoting::GENERIC, "SELECT \"a;b\", `c;d` FROM t;", "SELECT \"a;b\", `c;d` FROM t"),
        (Quoting::SQLITE, "SELECT [a;b] FROM t;", "SELECT [a;b] FROM t"),
        (Quoting::POSTGRES, "SELECT $x$ ; $x$, E'\\';' FROM t;", "SELECT $x$ ; $x$, E'\\';' FROM t"),
        (Quoting::MYSQL, "SELECT 'a\\';' FROM t # no; END\n;", "SELECT 'a\\';' FROM t # no; END\n"),
        (Quoting::GENERIC, "SELECT 1 -- one; END\n + 2 /* ; */;", "SELECT 1 -- one; END\n + 2 /* ; */"),
        (Quoting::GENERIC, "SELECT 1 -- one\n\nThis", "SELECT 1 -- one"),
        (Quoting::GENERIC, "SELECT 'a\n\nb'\n\nThis", "SELECT 'a\n\nb'"),
        (Quoting::GENERIC, "-- it's; all\nSELECT 'x;';", "-- it's; all\nSELECT 'x;'"),
        (Quoting::GENERIC, "PRAGMA a(';');", "PRAGMA a(';')"),
        (Quoting::GENERIC, "Here's the query: SELECT 'a;' FROM t; It's done", "Here's the query: SELECT 'a;' FROM t"),
        (Quoting::GENERIC, "\n\nSELECT 1\n\n2", "\n\nSELECT 1"),
        (Quoting::GENERIC, "SELECT 'open <|end|> x", "SELECT 'open "),
        (Quoting::GENERIC, "SELECT 'never closed; ", "SELECT 'never closed; "),
    ] {
        assert_eq!(read(&stops, quoting, text).answer(), answer, "{text}");
    }
    assert_eq!(read(&stops, Quoting::GENERIC, "SELECT 1;").stopped(), Some(";"));
    assert_eq!(read(&stops, Quoting::GENERIC, "SELECT 1").stopped(), None);
}

#[test]
fn of_two_stops_that_end_together_the_longer_counts() {
    let watch = read(&rules(&["\n", ";\n"]), Quoting::GENERIC, "SELECT 1;\nx");
    assert_eq!((watch.answer(), watch.stopped()), ("SELECT 1", Some(";\n")));
}

#[test]
fn text_that_may_become_a_stop_is_held_back() {
    let mut watch = Watch::new(&rules(&["STOP"]), Quoting::GENERIC, false);
    assert_eq!(watch.push("SELECT 1 S").text, "SELECT 1 ");
    assert_eq!(watch.push("T").text, "");
    assert_eq!(watch.push("A").text, "STA");
    assert_eq!(watch.push("<|en").text, "");
    let last = watch.push("d|>rest");
    assert_eq!((last.text.as_str(), last.stopped), ("", true));
    assert_eq!(watch.answer(), "SELECT 1 STA");
}

#[test]
fn thinking_goes_across_lines() {
    let stops = rules(&[";", "\n\n"]);
    for (text, answer, reasoning) in [
        (
            "<think>\nLet's see; it's\n\neasy. SELECT 'x\n</think>\n\nSELECT 'a;';",
            "SELECT 'a;'",
            "Let's see; it's\n\neasy. SELECT 'x",
        ),
        ("<think>\n\n</think>\n\nSELECT 1;", "SELECT 1", ""),
        ("<think>a</think><think>b</think>SELECT 1", "SELECT 1", "a\nb"),
        ("SELECT '<think>x</think>' FROM t;", "SELECT '<think>x</think>' FROM t", ""),
        ("I need a join; no.</think>SELECT 1;", "I need a join", ""),
        ("I need a join</think>SELECT 1;", "SELECT 1", "I need a join"),
        ("<think>never closed; SELECT 1", "", "never closed; SELECT 1"),
        ("<redacted_reasoning>a</redacted_reasoning>SELECT 1", "SELECT 1", "a"),
        ("SELECT a <think>hm</think>FROM t", "SELECT a FROM t", "hm"),
    ] {
        let watch = Watch::clone(&read(&stops, Quoting::GENERIC, text));
        assert_eq!(watch.answer().trim(), answer, "{text}");
        assert_eq!(watch.reasoning(), reasoning, "{text}");
    }
    assert!(read(&stops, Quoting::GENERIC, "<think>a").is_thinking());
    let mut open = Watch::new(&stops, Quoting::GENERIC, true);
    open.push("so; I\n\nthink</think>\n\nSELECT 1;");
    assert_eq!((open.answer().trim(), open.reasoning()), ("SELECT 1", "so; I\n\nthink"));
}

/// A text cut into pieces at random character borders.
fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut borders: Vec<usize> = cuts.iter().map(|c| c % (chars.len() + 1)).chain([0, chars.len()]).collect();
    borders.sort_unstable();
    borders.windows(2).map(|w| chars[w[0]..w[1]].iter().collect()).collect()
}

proptest! {
    #[test]
    fn token_borders_do_not_matter(
        text in "(SELECT |'a;b' |\"c;\" |-- x;\n|/\\* ; \\*/|<think>|</think>|é;|\n\n|E'\\\\';'|[a-z ;'<]{0,4}){0,12}",
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let stops = rules(&[";", "\n\n", "é;b", "c <"]);
        for quoting in [Quoting::GENERIC, Quoting::POSTGRES, Quoting::MYSQL, Quoting::SQLITE] {
            let mut whole = Watch::new(&stops, quoting, false);
            whole.push(&text);
            let mut split = Watch::new(&stops, quoting, false);
            for piece in pieces(&text, &cuts) {
                split.push(&piece);
            }
            prop_assert_eq!(whole.answer(), split.answer());
            prop_assert_eq!(whole.reasoning(), split.reasoning());
            prop_assert_eq!(whole.stopped(), split.stopped());
        }
    }

    #[test]
    fn a_quoted_stop_never_fires(inner in "[a-z; \n]{0,10}", kind in 0usize..3, cuts in prop::collection::vec(any::<usize>(), 0..10)) {
        let quoted = match kind {
            0 => format!("'{inner}'"),
            1 => format!("\"{inner}\""),
            _ => format!("/* {inner} */"),
        };
        let text = format!("SELECT {quoted} FROM t; rest");
        let mut watch = Watch::new(&rules(&[";", "\n\n"]), Quoting::GENERIC, false);
        for piece in pieces(&text, &cuts) {
            watch.push(&piece);
        }
        prop_assert_eq!(watch.answer(), format!("SELECT {quoted} FROM t"));
    }
}
