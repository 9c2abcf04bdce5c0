//! Conversion of texts that nobody would write, and of those that need none.

use expert_cli::data::draws::Draws;
use expert_cli::sql::convert::{Fidelity, Source, Target, detect, translate};
use expert_cli::sql::{Dialect, Name, Schema};

use crate::convert::cases;

/// The cases and their tables with pieces taken out, doubled and exchanged: nothing panics, whatever comes of them.
#[test]
fn damaged_cases_and_tables_do_not_make_it_panic() {
    let mut draws = Draws::of(11, &["damage"]);
    let mut damaged = |text: &str| {
        let mut pieces: Vec<&str> = text.split_inclusive([' ', '(', ')', ',', '\'', '"', '`', '.']).collect();
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(pieces.len());
            match draws.below(4) {
                0 if pieces.len() > 1 => drop(pieces.remove(at)),
                1 => pieces.insert(at, pieces[at]),
                2 => {
                    let other = draws.below(pieces.len());
                    pieces.swap(at, other);
                }
                _ => pieces.truncate(at.max(1)),
            }
        }
        pieces.concat()
    };
    let mut defects = Vec::new();
    for case in cases() {
        for _ in 0..6 {
            let text = damaged(&case.input);
            for to in [Target::Postgres, Target::Sqlite, Target::MySql, Target::Oracle] {
                let _ = translate(&text, case.from, to, case.schema.as_ref(), case.fidelity);
            }
            let found = detect(&text, case.schema.as_ref());
            let _ = translate(&text, found.source, Target::Postgres, None, Fidelity::Idiomatic);
        }
        if let Some(schema) = &case.schema {
            let ddl = damaged(&schema.to_ddl());
            if let Ok(schema) = Schema::parse(&ddl, case.from.dialect()) {
                let _ = translate(&case.input, case.from, case.to, Some(&schema), case.fidelity);
                let canonical = schema.to_ddl();
                let again = Schema::parse(&canonical, case.from.dialect());
                match again {
                    Err(error) => defects.push(format!("{error}: {canonical}\nread from {ddl}")),
                    Ok(again) if again != told(&schema) => {
                        defects.push(format!("{canonical}\nread from {ddl}\n{again:?}"));
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    assert!(defects.is_empty(), "canonical text that does not read back:\n{}", defects.join("\n\n"));
}

/// What a schema's text tells: SQLite's and MySQL's has no quotes for capitals alone, which they do not need.
fn told(schema: &Schema) -> Schema {
    if !matches!(schema.dialect(), Dialect::Sqlite | Dialect::MySql) {
        return schema.clone();
    }
    let mut tables = schema.tables().to_vec();
    tables.iter_mut().for_each(|table| table.rename(|name| Name::new(name.text(), false)));
    Schema::from_tables(schema.dialect(), tables)
}

/// PostgreSQL's own queries keep every byte, whatever they are taken for.
#[test]
fn a_pass_from_postgres_to_postgres_changes_nothing() {
    for case in cases() {
        let texts = [(&case.output, case.to == Target::Postgres), (&case.input, case.from == Source::Postgres)];
        for (text, _) in texts.iter().filter(|(_, ours)| *ours) {
            let same =
                translate(text, Source::Postgres, Target::Postgres, case.schema.as_ref(), case.fidelity).unwrap();
            assert_eq!(&same.sql, *text, "{}", case.place);
            assert!(same.applied.is_empty() && same.warnings.is_empty());
        }
    }
}
