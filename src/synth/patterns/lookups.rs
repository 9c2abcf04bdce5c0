//! More lists and tops: searches in two columns, rows with several columns of their parent, two sums, best sellers.

use super::joins::{family, labelled};
use super::{Pattern, pattern};
use crate::synth::Cell;
use crate::synth::draft::{Condition, Difficulty::*, Draft, Phrase, Slot, where_clause};
use crate::synth::facts::ColumnFacts;
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("search in two", Medium, search),
    pattern("rows with parent columns", Medium, with_parent_columns),
    pattern("two sums per group", Hard, two_sums),
    pattern("two sums per parent", Hard, two_sums_per_parent),
    pattern("top parents with measure", Hard, top_with_measure),
    pattern("leaders", Extra, leaders),
];

/// A word in one of two text columns, without regard to case.
fn search(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let text = |column: &ColumnFacts| {
        matches!(column.role, Role::Label | Role::Text | Role::Email) && !column.values.is_empty()
    };
    let columns = maker.columns(table, text);
    let [a, b] = maker.draws.some(&columns, 2).try_into().ok()?;
    let Some(Cell::Text(value)) = maker.draws.pick(&maker.facts_of(table, a).values) else { return None };
    let words: Vec<String> = value
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() >= 3 && word.chars().all(char::is_alphabetic))
        .map(str::to_lowercase)
        .collect();
    let word = maker.draws.pick(&words)?.clone();
    let pattern = format!("%{word}%");
    let tests = [a, b].map(|column| maker.style.like(&maker.bare(table, column), &pattern)).join(" OR ");
    let shown = maker.shown(table, false)?;
    let counted = maker.draws.chance(0.2);
    let what = if counted { "COUNT(*)".to_owned() } else { shown.sql };
    let sql = format!("SELECT {what} FROM {} WHERE {tests}", maker.name(table));
    let phrase = match (counted, shown.columns) {
        (true, _) => Phrase::new("count"),
        (false, Some(columns)) => Phrase::new("list columns").with("columns", columns),
        (false, None) => Phrase::new("list rows"),
    };
    let test = Phrase::new("where.contains.either").column("a", table, a).column("b", table, b).value("value", word);
    let draft = Draft::new(sql, phrase.table("table", table).phrase("where", test)).part(if counted {
        "count"
    } else {
        "rows"
    });
    Some(if maker.draws.chance(0.4) { draft.evidence(Phrase::new("evidence case")) } else { draft })
}

/// Children with two or three columns of their parent.
fn with_parent_columns(maker: &mut Maker<'_>) -> Option<Draft> {
    let edge = maker.pair()?;
    let columns =
        maker.columns(edge.parent, |column| !matches!(column.role, Role::Reference | Role::Key | Role::Other));
    let count = *maker.draws.pick(&[1, 2, 2, 3])?;
    let mut chosen = maker.draws.some(&columns, count);
    if chosen.is_empty() {
        return None;
    }
    if let Some(label) = maker.label(edge.parent) {
        chosen.retain(|column| *column != label);
        chosen.insert(0, label);
    }
    let condition = maker.maybe(0.25, edge.child, true, &[]);
    let list: Vec<String> = chosen.iter().map(|column| maker.dotted(edge.parent, *column)).collect();
    let sql = format!(
        "SELECT {}.*, {} FROM {} {}{}",
        maker.name(edge.child),
        list.join(", "),
        maker.name(edge.child),
        maker.join_parent(edge),
        where_clause(condition.as_ref())
    );
    let columns = chosen.into_iter().map(|column| (edge.parent, column)).collect();
    let phrase = family("rows with parent columns", edge).with("columns", Slot::Columns { columns, full: false });
    Some(Draft::new(sql, phrase.given(condition.as_ref())).given(condition.as_ref()))
}

/// Two different columns of a table that add up.
fn two_columns(maker: &mut Maker<'_>, table: usize) -> Option<(usize, usize)> {
    let columns = maker.columns(table, |column| column.adds_up() && column.values.len() >= 2);
    let [a, b] = maker.draws.some(&columns, 2).try_into().ok()?;
    Some((a, b))
}

/// By a category, or by the key of a parent as it stands in the table.
fn two_sums(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.table_where(|table| table.count(|column| column.adds_up() && column.values.len() >= 2) >= 2)?;
    let (a, b) = two_columns(maker, table)?;
    let key =
        |column: &ColumnFacts| column.role == Role::Reference && column.nulls == 0 && column.words.ends_with(" id");
    let by_key = maker.draws.chance(0.5);
    let group = if by_key { maker.column(table, key)? } else { maker.grouping(table)? };
    let (first, second) = (maker.aggregate_of("sum", table, a, false), maker.aggregate_of("sum", table, b, false));
    let condition: Option<Condition> = maker.maybe(0.2, table, false, &[group]);
    let name = maker.bare(table, group);
    let sql = format!(
        "SELECT {name}, {}, {} FROM {}{} GROUP BY {name}",
        first.sql,
        second.sql,
        maker.name(table),
        where_clause(condition.as_ref())
    );
    let words = &maker.facts_of(table, group).words;
    let phrase = Phrase::new("two sums per group")
        .table("table", table)
        .words("group", words.strip_suffix(" id").unwrap_or(words))
        .phrase("a", first.phrase)
        .phrase("b", second.phrase)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).part(if by_key { "key" } else { "category" }).given(condition.as_ref()))
}

fn two_sums_per_parent(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let column = maker.summable(edge.child)?;
    let sum = maker.aggregate_of("sum", edge.child, column, true);
    let key = maker.table(edge.child).key.unwrap_or(edge.child_column);
    let two = two_columns(maker, edge.child).filter(|_| maker.draws.chance(0.5));
    let (what, phrase) = match two {
        Some((a, b)) => {
            let (a, b) =
                (maker.aggregate_of("sum", edge.child, a, true), maker.aggregate_of("sum", edge.child, b, true));
            let phrase = family("two sums per parent", edge).phrase("a", a.phrase).phrase("b", b.phrase);
            (format!("{}, {}", a.sql, b.sql), phrase)
        }
        None => {
            let count = format!("COUNT({})", maker.dotted(edge.child, key));
            (format!("{count}, {}", sum.sql), family("count and sum per parent", edge).phrase("measure", sum.phrase))
        }
    };
    let sql = format!(
        "SELECT {}, {what} FROM {} {} GROUP BY {}",
        maker.dotted(edge.parent, label),
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label)
    );
    let key = phrase.key;
    Some(Draft::new(sql, phrase.column("label", edge.parent, label)).part(key))
}

fn top_with_measure(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let complete = |column: &ColumnFacts| column.adds_up() && column.nulls == 0 && column.values.len() >= 2;
    let column = maker.column(edge.child, complete)?;
    let measure = maker.aggregate_of("sum", edge.child, column, true);
    let count = *maker.draws.pick(&[3, 3, 5, 5, 10])?;
    let most = maker.draws.chance(0.8);
    let (word, key) = if most { (" DESC", "top parents with measure") } else { ("", "bottom parents with measure") };
    let body = format!(
        "FROM {} {} GROUP BY {} ORDER BY {}{word} LIMIT",
        maker.name(edge.parent),
        maker.join_child(edge),
        maker.group_by_row(edge, label),
        measure.sql
    );
    let sql = format!("SELECT {}, {} {body} {count}", maker.dotted(edge.parent, label), measure.sql);
    let ties = format!("SELECT {} {body} {}", measure.sql, count + 1);
    let phrase =
        family(key, edge).column("label", edge.parent, label).phrase("measure", measure.phrase).value("n", count);
    Some(Draft::new(sql, phrase).part(key).ties(ties, count))
}

/// The best-selling, the most valuable, the most active: what that means stands in the evidence.
fn leaders(maker: &mut Maker<'_>) -> Option<Draft> {
    let (edge, label) = labelled(maker)?;
    let complete =
        |role: Role| move |column: &ColumnFacts| column.role == role && column.adds_up() && column.nulls == 0;
    let role = *maker.draws.pick(&[Some(Role::Quantity), Some(Role::Quantity), Some(Role::Money), None])?;
    let (what, code, key, evidence) = match role {
        Some(role) => {
            let column = maker.column(edge.child, complete(role))?;
            let sum = maker.aggregate_of("sum", edge.child, column, true);
            let code = format!("SUM({})", maker.bare(edge.child, column));
            let sold = ["quantity", "sold", "units", "copies", "pieces", "tickets", "items", "bottles"];
            let words = &maker.facts_of(edge.child, column).words;
            let sold = words.split(' ').any(|word| sold.contains(&word));
            match (role, sold && !crate::synth::made_up::is_person(&maker.table(edge.parent).words)) {
                (Role::Quantity, true) => (sum.sql, code, "best sellers", "evidence best sellers"),
                (Role::Quantity, false) => (sum.sql, code, "most important", "evidence most important"),
                _ => (sum.sql, code, "most valuable", "evidence most valuable"),
            }
        }
        None => ("COUNT(*)".into(), String::new(), "most active", "evidence most active"),
    };
    let count = *maker.draws.pick(&[3, 3, 5, 5, 10])?;
    let other = maker.column(edge.parent, |column| column.role == Role::Category).filter(|_| maker.draws.chance(0.5));
    let chosen: Vec<usize> = std::iter::once(label).chain(other).collect();
    let shown: Vec<String> = chosen.iter().map(|column| maker.dotted(edge.parent, *column)).collect();
    let mut by = vec![maker.group_by_row(edge, label)];
    by.extend(other.map(|other| maker.dotted(edge.parent, other)));
    let body = format!(
        "FROM {} {} GROUP BY {} ORDER BY {what} DESC LIMIT",
        maker.name(edge.parent),
        maker.join_child(edge),
        by.join(", ")
    );
    let sql = format!("SELECT {} {body} {count}", shown.join(", "));
    let ties = format!("SELECT {what} {body} {}", count + 1);
    let columns = chosen.into_iter().map(|column| (edge.parent, column)).collect();
    let phrase = Phrase::new(key)
        .table("parent", edge.parent)
        .with("columns", Slot::Columns { columns, full: false })
        .value("n", count);
    let told = family(evidence, edge).code("code", code);
    Some(Draft::new(sql, phrase).part(key).ties(ties, count).evidence(told))
}
