//! What a row teaches beyond its record: whether its answer runs, a broken attempt to mend, candidates to choose from,
//! the same question over a schema that is shown another way. Every change is tried out on made-up rows: what no longer
//! gives the answer's own result is not used.

use sqlparser::ast::Statement;

use super::row::{Dropped, Shared};
use super::{Options, Reason};
use crate::data::draws::Draws;
use crate::data::tasks::{self, Task};
use crate::data::trial::{Trial, Verdict};
use crate::db::{Order, Rows, TOLERANCE, postgres, same_rows};
use crate::sql::{self, Dialect, Schema};

/// How often the order of tables is changed, and how often tables that the answer does not need are left out: the
/// probabilities of askGuru-SQL's pipeline.
const SHUFFLE: f64 = 0.5;
const FILTER: f64 = 0.8;
/// How often the columns of a table, the spelling of a question and the form of an answer are changed.
const PERMUTE: f64 = 0.3;
const SPELLING: f64 = 0.2;
const REWRITE: f64 = 0.2;

/// Candidates that a selection shows at most, the right one among them.
const CANDIDATES: usize = 4;

/// A row's parts before a lesson is made of them.
pub(super) struct Given<'a> {
    /// The question.
    pub question: &'a str,
    /// The answer in the rows' dialect.
    pub answer: &'a str,
    /// The answer's tree.
    pub statements: &'a [Statement],
    /// What it is checked against.
    pub schema: &'a Schema,
    /// What is shown.
    pub shown: &'a Schema,
}

/// The parts of the row that is written.
pub(super) struct Lesson {
    /// What is asked.
    pub question: String,
    /// What is to be answered.
    pub answer: String,
    /// The schema to show, where it is another one.
    pub schema: Option<Schema>,
    /// Whether the answer ran: none where it was not tried or cannot be judged.
    pub rows: Option<usize>,
}

/// Makes the row of this task.
pub(super) fn make(given: &Given<'_>, task: Task, options: &Options, shared: &Shared) -> Result<Lesson, Dropped> {
    let mut session = shared.session(options)?;
    let lesson = make_on(given, task, options, session.as_mut());
    shared.give_back(session);
    lesson
}

/// [`make`] with the temporary tables of a PostgreSQL, where there is one, else with SQLite.
fn make_on(
    given: &Given<'_>,
    task: Task,
    options: &Options,
    session: Option<&mut postgres::Temporary>,
) -> Result<Lesson, Dropped> {
    let mut lesson =
        Lesson { question: given.question.to_owned(), answer: given.answer.to_owned(), schema: None, rows: None };
    if task != Task::Question && options.dialect != Dialect::Sqlite && session.is_none() {
        let detail = "results and errors must be the dialect's own: --dialect sqlite, or a PostgreSQL by --db";
        return Err((Reason::Task, detail.into()));
    }
    let literals = sql::literals(given.statements);
    let trial = match session {
        Some(session) => Trial::on_postgres(session, given.shown, &literals, options.seed),
        None => Trial::new(given.schema, &literals, options.seed),
    };
    let Some(mut trial) = trial else {
        return match task {
            Task::Question => Ok(lesson),
            _ => Err((Reason::Task, "the database cannot hold the schema".into())),
        };
    };
    let gold = match trial.run(given.answer, options.dialect) {
        Verdict::Ran(rows) => Some(rows),
        Verdict::Failed(error) if options.execute || task != Task::Question => return Err((Reason::Execution, error)),
        Verdict::Failed(_) | Verdict::Unjudged(_) => None,
    };
    lesson.rows = gold.as_ref().map(|rows| rows.rows.len());
    let mut draws = Draws::of(options.seed, &[given.question, given.answer]);
    match (task, &gold) {
        (Task::Question, _) => {}
        (Task::SelfRefine, _) => lesson.question = mending(given, &mut trial, options, &mut draws)?,
        (Task::Select, Some(gold)) => lesson.question = choosing(given, gold, &mut trial, options, &mut draws)?,
        (Task::Select, None) => return Err((Reason::Task, "the answer's result is not known".into())),
    }
    if options.augment {
        lesson.schema = Some(other_schema(given, &mut draws));
        if task == Task::Question {
            lesson.question = other_spelling(given, &literals, &mut draws);
            if let Some(gold) = &gold
                && let Some(answer) = other_form(given, gold, &mut trial, options, &mut draws)
            {
                lesson.answer = answer;
            }
        }
    }
    Ok(lesson)
}

/// The question with a statement that fails, and the database's error.
fn mending(given: &Given<'_>, trial: &mut Trial<'_>, options: &Options, draws: &mut Draws) -> Result<String, Dropped> {
    let mut broken = sql::broken(given.answer, options.dialect, given.schema);
    draws.shuffle(&mut broken);
    for attempt in broken {
        if let Verdict::Failed(error) = trial.run(&attempt, options.dialect) {
            return Ok(tasks::refine(given.question, &attempt, Some(&error)));
        }
    }
    Err((Reason::Task, "no mistake in it makes it fail".into()))
}

/// The question with candidates: the answer, statements that give something else, now and then one that fails.
fn choosing(
    given: &Given<'_>,
    gold: &Rows,
    trial: &mut Trial<'_>,
    options: &Options,
    draws: &mut Draws,
) -> Result<String, Dropped> {
    let mut others = sql::altered(given.answer, options.dialect);
    draws.shuffle(&mut others);
    let mut candidates = vec![(given.answer.to_owned(), Ok(gold.clone()))];
    for other in others {
        if candidates.len() >= CANDIDATES - 1 {
            break;
        }
        if let Verdict::Ran(rows) = trial.run(&other, options.dialect)
            && !same_rows(&rows, gold, Order::Any, TOLERANCE)
        {
            candidates.push((other, Ok(rows)));
        }
    }
    if draws.chance(0.5) {
        let mut broken = sql::broken(given.answer, options.dialect, given.schema);
        draws.shuffle(&mut broken);
        let failing = broken.into_iter().find_map(|sql| match trial.run(&sql, options.dialect) {
            Verdict::Failed(error) => Some((sql, Err(error))),
            _ => None,
        });
        candidates.extend(failing);
    }
    if candidates.len() < 2 {
        return Err((Reason::Task, "no other statement gives another result".into()));
    }
    draws.shuffle(&mut candidates);
    Ok(tasks::select(given.question, &candidates))
}

/// The schema with its tables in another order, without some that the answer does not use, with columns exchanged.
fn other_schema(given: &Given<'_>, draws: &mut Draws) -> Schema {
    let mut schema = given.shown.clone();
    if draws.chance(FILTER) {
        let used = sql::relations(given.statements);
        let is_used = |table: &sql::Table| used.iter().any(|name| table.name.is(name));
        let keep: Vec<bool> = schema.tables().iter().map(|table| is_used(table) || draws.chance(0.5)).collect();
        if keep.contains(&true) {
            schema = schema.only(|at| keep[at]);
        }
    }
    if draws.chance(SHUFFLE) {
        let mut order: Vec<usize> = (0..schema.tables().len()).collect();
        draws.shuffle(&mut order);
        schema = schema.reordered(&order);
    }
    // Where columns are meant by their place (`*`, INSERT without names), that place must stay.
    let by_name = matches!(given.statements, [Statement::Query(_)]) && !given.answer.contains('*');
    if by_name && draws.chance(PERMUTE) {
        let mut tables = schema.tables().to_vec();
        for table in tables.iter_mut().filter(|table| table.query.is_none()) {
            draws.shuffle(&mut table.columns);
        }
        schema = Schema::from_tables(schema.dialect(), tables);
    }
    schema
}

/// The question as somebody in a hurry types it: small letters, no end mark, two letters exchanged in a word that no
/// value or name of the answer needs.
fn other_spelling(given: &Given<'_>, literals: &[String], draws: &mut Draws) -> String {
    let mut question = given.question.to_owned();
    if !draws.chance(SPELLING) {
        return question;
    }
    let values: Vec<String> = literals.iter().map(|text| text.to_lowercase()).collect();
    match draws.below(3) {
        // Values are copied from the question: their case must stay readable from it.
        0 if !values.iter().any(|value| value.chars().any(char::is_alphabetic)) => question.make_ascii_lowercase(),
        1 => question.truncate(question.trim_end_matches(['?', '.', '!', ' ']).len()),
        _ => {
            let answer = given.answer.to_lowercase();
            let words: Vec<(usize, &str)> = question
                .split_whitespace()
                .map(|word| (word.as_ptr() as usize - question.as_ptr() as usize, word))
                .filter(|(_, word)| word.len() > 4 && word.bytes().all(|b| b.is_ascii_lowercase()))
                .filter(|(_, word)| !answer.contains(&word[..word.len() - 1]))
                .collect();
            if let Some((start, word)) = draws.pick(&words).copied() {
                let at = start + 1 + draws.below(word.len() - 3);
                let exchanged: String = [&question[at + 1..at + 2], &question[at..at + 1]].concat();
                question.replace_range(at..at + 2, &exchanged);
            }
        }
    }
    question
}

/// The answer in another form, if it still gives the same rows.
fn other_form(
    given: &Given<'_>,
    gold: &Rows,
    trial: &mut Trial<'_>,
    options: &Options,
    draws: &mut Draws,
) -> Option<String> {
    if !draws.chance(REWRITE) {
        return None;
    }
    let other = sql::rewritten(given.answer, options.dialect)?;
    match trial.run(&other, options.dialect) {
        Verdict::Ran(rows) if same_rows(&rows, gold, Order::Kept, TOLERANCE) => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, age INT); \
         CREATE TABLE orders (id INT PRIMARY KEY, user_id INT REFERENCES users(id), total REAL); CREATE TABLE log (at TEXT)";
    const SQL: &str = "SELECT name FROM users WHERE age > 30 AND name <> 'Bob' ORDER BY age DESC";

    fn lesson(sql: &str, task: Task, seed: u64) -> Result<Lesson, Dropped> {
        let options = Options { dialect: Dialect::Sqlite, augment: true, execute: true, seed, ..Options::default() };
        let schema = Schema::parse(SHOP, Dialect::Sqlite).unwrap();
        let statements = sql::parse(sql, Dialect::Sqlite).unwrap();
        let question = "Which users are older than thirty and are not called Bob?";
        let given = Given { question, answer: sql, statements: &statements, schema: &schema, shown: &schema };
        make(&given, task, &options, &Shared::default())
    }

    #[test]
    fn what_does_not_run_is_dropped() {
        let (reason, detail) = lesson("SELECT nmae FROM users", Task::Question, 1).err().unwrap();
        assert_eq!(reason, Reason::Execution);
        assert!(detail.contains("no such column: nmae"), "{detail}");
    }

    #[test]
    fn self_refinement_shows_a_real_error() {
        for seed in 0..8 {
            let lesson = lesson(SQL, Task::SelfRefine, seed).unwrap();
            assert!(lesson.question.contains("This statement failed:\n") && lesson.question.contains("\nError: "));
            assert_eq!(lesson.answer, SQL);
        }
    }

    #[test]
    fn a_selection_shows_the_answer_among_others_with_results() {
        for seed in 0..8 {
            let lesson = lesson(SQL, Task::Select, seed).unwrap();
            assert!(lesson.question.contains(SQL) && lesson.question.contains("[2] "), "{}", lesson.question);
            assert!(lesson.question.matches("\n[").count() <= CANDIDATES);
        }
    }

    #[test]
    fn what_is_shown_changes_and_the_answer_stays_true() {
        let schema = Schema::parse(SHOP, Dialect::Sqlite).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let lesson = lesson(SQL, Task::Question, seed).unwrap();
            let shown = lesson.schema.unwrap();
            assert!(sql::lint(&lesson.answer, &shown, Dialect::Sqlite).is_empty(), "{}", shown.to_ddl());
            let mut trial = Trial::new(&schema, &[], 5).unwrap();
            let run = |trial: &mut Trial<'_>, sql: &str| match trial.run(sql, Dialect::Sqlite) {
                Verdict::Ran(rows) => rows,
                other => panic!("{other:?}"),
            };
            let (gold, now) = (run(&mut trial, SQL), run(&mut trial, &lesson.answer));
            assert!(same_rows(&gold, &now, Order::Kept, TOLERANCE), "{}", lesson.answer);
            seen.insert((shown.to_ddl(), lesson.question, lesson.answer));
        }
        assert!(seen.len() > 8, "{}", seen.len());
    }
}
