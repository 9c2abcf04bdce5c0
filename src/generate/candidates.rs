//! Several answers to one question: which are the same in all but form, and which one most of them stand behind.
//!
//! Pure: whoever calls has drawn the answers and run them.

use std::ops::ControlFlow;

use sqlparser::ast::{TableFactor, VisitorMut};

use crate::db::{Order, Rows, TOLERANCE, same_rows};
use crate::sql::scan::{Quoting, outside};
use crate::sql::walk::walk_mut;
use crate::sql::{Dialect, parse};

/// How many answers of each kind are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plan {
    /// Width of the beam search, all of whose beams are answers; 0: none.
    pub beams: usize,
    /// Number of samples.
    pub samples: usize,
}

impl Plan {
    /// askGuru's recommendation: three beams and two samples.
    pub const HYBRID: Self = Self { beams: 3, samples: 2 };

    /// Reads `BEAMS,SAMPLES`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not BEAMS,SAMPLES, like 3,2");
        let (beams, samples) = text.split_once(',').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number <= 64);
        let plan = Self { beams: number(beams).ok_or_else(wrong)?, samples: number(samples).ok_or_else(wrong)? };
        if plan.total() == 0 { Err(wrong()) } else { Ok(plan) }
    }

    /// Number of answers.
    pub fn total(self) -> usize {
        self.beams + self.samples
    }
}

/// A statement's form-free text: as its syntax tree is written, names and keywords without case where quotes do not keep
/// it. White space, comments, redundant `AS` and the final `;` are gone. Text that does not parse is taken as it is.
pub fn canonical(sql: &str, dialect: Dialect) -> String {
    let Ok(mut statements) = parse(sql, dialect) else { return sql.trim().to_owned() };
    let _ = walk_mut(&mut statements, &mut WithAs);
    let text = statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let code = outside(&text, Quoting::of(dialect));
    let lower = |(c, code): (char, &bool)| if *code { c.to_ascii_lowercase() } else { c };
    text.char_indices().map(|(at, c)| lower((c, &code[at]))).collect()
}

/// Writes `AS` before every alias of a table.
struct WithAs;

impl VisitorMut for WithAs {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } = factor
        {
            alias.explicit = true;
        }
        ControlFlow::Continue(())
    }
}

/// Answers that differ only in form: for each different one, the indices of all that mean it, in the order they came.
pub fn merge(statements: &[&str], dialect: Dialect) -> Vec<Vec<usize>> {
    let mut forms: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, sql) in statements.iter().enumerate() {
        let form = canonical(sql, dialect);
        match forms.iter_mut().find(|(known, _)| *known == form) {
            Some((_, members)) => members.push(index),
            None => forms.push((form, vec![index])),
        }
    }
    forms.into_iter().map(|(_, members)| members).collect()
}

/// An answer that stands for election.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// How many answers were drawn that mean it.
    pub count: usize,
    /// The model's score: the higher, the better.
    pub score: f64,
    /// Whether the checks find nothing wrong with it.
    pub valid: bool,
    /// Its rows, if it was run and gave some.
    pub rows: Option<&'a Rows>,
    /// Whether it was to be run.
    pub executed: bool,
}

/// The outcome of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The answer that won.
    pub winner: usize,
    /// Groups of answers with equal results, the strongest first.
    pub groups: Vec<Vec<usize>>,
    /// How many drawn answers stand behind the winner.
    pub votes: usize,
}

/// Elects: answers with equal results vote together; the largest group wins, ties by the best model score in it; within
/// a group the best score wins. What the database refused or the checks found wrong stands alone and wins only where
/// there is nothing else. Row order counts for nothing: a question that asks for one is rare, and a group that splits
/// over it loses to a wrong answer. None without candidates.
pub fn elect(standing: &[Standing<'_>]) -> Option<Ballot> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, one) in standing.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| match (one.rows, standing[group[0]].rows) {
            (Some(a), Some(b)) => a.truncated == b.truncated && same_rows(a, b, Order::Any, TOLERANCE),
            _ => false,
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    let votes = |group: &[usize]| group.iter().map(|index| standing[*index].count).sum::<usize>();
    let better = |a: &usize, b: &usize| standing[*b].score.total_cmp(&standing[*a].score).then(a.cmp(b));
    // Rows beat no rows, sound beats unsound; then votes, then score.
    let rank = |group: &[usize]| {
        let first = &standing[group[0]];
        let sound = group.iter().any(|index| standing[*index].valid);
        (first.rows.is_some() || !first.executed, sound, votes(group))
    };
    for group in &mut groups {
        group.sort_by(better);
    }
    groups.sort_by(|a, b| rank(b).cmp(&rank(a)).then(better(&a[0], &b[0])));
    let first = groups.first()?;
    Some(Ballot { winner: first[0], votes: votes(first), groups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Value;

    fn rows(numbers: &[i64]) -> Rows {
        Rows {
            columns: vec!["n".into()],
            rows: numbers.iter().map(|n| vec![Value::Integer(*n)]).collect(),
            ..Rows::default()
        }
    }

    fn standing(rows: Option<&Rows>, score: f64) -> Standing<'_> {
        Standing { count: 1, score, valid: true, rows, executed: true }
    }

    #[test]
    fn form_does_not_count_and_quotes_do() {
        for (a, b, same) in [
            ("SELECT name FROM users u", "select NAME\nfrom Users as U;", true),
            ("SELECT 'A'", "SELECT 'a'", false),
            ("SELECT a <> 1 FROM t", "SELECT a != 1 FROM t", true),
            ("SELECT a FROM t -- why", "SELECT a FROM t", true),
            ("SELECT \"A\" FROM t", "SELECT \"a\" FROM t", false),
            ("SELECT a, b FROM t", "SELECT b, a FROM t", false),
            ("no sql", "no sql ", true),
        ] {
            assert_eq!(merge(&[a, b], Dialect::Postgres).len() == 1, same, "{a} {b}");
        }
        assert_eq!(merge(&["SELECT 1", "SELECT 2", "select 1;"], Dialect::Sqlite), [vec![0, 2], vec![1]]);
        assert_eq!(canonical("SELECT 'é' AS Ü", Dialect::Sqlite), "select 'é' as Ü");
    }

    #[test]
    fn the_largest_group_wins_and_ties_go_to_the_score() {
        let (a, b, c) = (rows(&[1, 2]), rows(&[2, 1]), rows(&[3]));
        let ballot = elect(&[standing(Some(&c), -0.1), standing(Some(&a), -0.9), standing(Some(&b), -0.5)]).unwrap();
        assert_eq!(ballot, Ballot { winner: 2, groups: vec![vec![2, 1], vec![0]], votes: 2 });
        let tie = elect(&[standing(Some(&a), -0.9), standing(Some(&c), -0.1)]).unwrap();
        assert_eq!((tie.winner, tie.votes), (1, 1));
        let merged = Standing { count: 3, ..standing(Some(&a), -9.0) };
        assert_eq!(elect(&[standing(Some(&c), -0.1), merged]).unwrap().winner, 1, "merged answers vote too");
    }

    #[test]
    fn what_failed_wins_only_alone() {
        let empty = rows(&[]);
        let failed = Standing { count: 9, ..standing(None, 0.0) };
        assert_eq!(elect(&[failed, standing(Some(&empty), -5.0)]).unwrap().winner, 1);
        assert_eq!(elect(&[failed, Standing { score: 1.0, ..failed }]).unwrap().winner, 1);
        let unsound = Standing { valid: false, count: 5, executed: false, ..standing(None, 0.0) };
        let sound = Standing { executed: false, ..standing(None, -3.0) };
        assert_eq!(elect(&[unsound, sound]).unwrap().winner, 1);
        assert_eq!(elect(&[]), None);
    }

    #[test]
    fn plans() {
        assert_eq!(Plan::parse("3,2"), Ok(Plan::HYBRID));
        for wrong in ["3", "0,0", "a,b", "1,2,3", "99,1"] {
            assert!(Plan::parse(wrong).is_err(), "{wrong}");
        }
    }
}
