//! The answers to a suite, judged as they come: asked of a model as `chat` asks it, or read from a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::answering::Loaded;
use crate::cli::answering::best::{Choice, best, critic};
use crate::cli::answering::live::is_interrupted;
use crate::cli::args::chat::CandidateArgs;
use crate::cli::args::eval::Args;
use crate::cli::ui::{Progress, Ui};
use crate::db::Source;
use crate::error::{Exit, Problem, Result};
use crate::eval::{Answer, Databases, Item, Judge, Outcome, Suite, spread};
use crate::fsx;
use crate::generate::conversation::{Context, Question};
use crate::generate::decode::{Finish, Observer};

/// Questions of `--quick`.
const QUICK: usize = 40;

/// What is asked, and how it is judged.
pub(super) struct Course<'a> {
    pub args: &'a Args,
    pub ui: &'a Ui,
    pub suite: &'a Suite,
    pub databases: Databases,
    pub judge: Judge,
    /// Item and language of every question.
    pub tasks: Vec<(usize, String)>,
    /// Items that cannot be judged, and why.
    pub skipped: Vec<(String, String)>,
}

/// Somebody's answers, judged.
pub(super) struct Side {
    /// Who.
    pub name: String,
    /// One for every task, in their order.
    pub outcomes: Vec<Outcome>,
    /// Who it is and how it answers, as fields of a JSON object.
    pub who: Value,
}

impl<'a> Course<'a> {
    /// The questions that the flags ask for, of those whose gold runs.
    pub fn new(args: &'a Args, suite: &'a Suite, mut databases: Databases, judge: Judge, ui: &'a Ui) -> Result<Self> {
        let mut tasks = suite.tasks(&args.lang);
        if tasks.is_empty() {
            return Err(Problem::usage(format!("the suite asks nothing in {}", args.lang.join(", "))).into());
        }
        let mut known: BTreeMap<usize, bool> = BTreeMap::new();
        let mut skipped = Vec::new();
        let mut usable = |task: &(usize, String)| {
            *known.entry(task.0).or_insert_with(|| {
                let item = &suite.items[task.0];
                let why = match databases.open(suite, item.database) {
                    Ok(opened) => judge.unusable(suite, item, &opened),
                    Err(error) => Some(format!("{error:#}")),
                };
                let fits = why.is_none();
                skipped.extend(why.map(|why| (item.id.clone(), why)));
                fits
            })
        };
        // Where few are asked, only those are looked at.
        if args.quick {
            tasks = spread(&tasks, QUICK);
        }
        let most = args.limit.unwrap_or(usize::MAX);
        let tasks: Vec<_> = tasks.into_iter().filter(|task| usable(task)).take(most).collect();
        if tasks.is_empty() {
            let mut problem = Problem::input(format!("no question of {} can be judged", suite.name));
            if let Some((id, why)) = skipped.first() {
                problem = problem.detail(format!("{id}: {why}"));
            }
            return Err(problem.into());
        }
        Ok(Self { args, ui, suite, databases, judge, tasks, skipped })
    }

    fn outcome(&mut self, at: usize, answer: Answer) -> Result<Outcome> {
        let (item, language) = &self.tasks[at];
        let item = &self.suite.items[*item];
        let opened = self.databases.open(self.suite, item.database)?;
        let verdict = self.judge.judge(self.suite, item, &opened, &answer.sql)?;
        Ok(Outcome::new(item, language, answer, verdict))
    }

    /// Asks a model every question, one at a time, so that seconds are those of an answer.
    pub fn ask(&mut self, loaded: &Loaded) -> Result<Side> {
        // Greedy, alone and as it was drawn, unless a flag says otherwise.
        let candidates =
            CandidateArgs { repair: self.args.candidates.repair.or(Some(0)), ..self.args.candidates.clone() };
        let critic = critic(&candidates, &self.args.model, &self.args.sampling, loaded, self.ui)?;
        let choice = Choice::new(&candidates, true, critic.as_ref())?;
        let runs_answers = !choice.is_single() || candidates.repair != Some(0);
        let total = self.tasks.len();
        let mut watch = Watch { progress: self.ui.progress(total as u64, "question"), done: 0, right: 0 };
        let mut outcomes = Vec::with_capacity(total);
        let mut contexts: BTreeMap<usize, Context> = BTreeMap::new();
        for at in 0..total {
            let (item, language) = self.tasks[at].clone();
            let item: &Item = &self.suite.items[item];
            let opened = self.databases.open(self.suite, item.database)?;
            let context =
                contexts.entry(item.database).or_insert_with(|| Context::from_schema(opened.schema.clone())).clone();
            let question = Question { text: item.asked(&language), context: Some(context) };
            let source = opened.sources.first().filter(|_| runs_answers);
            let answer = answer(loaded, &question, choice, source, &mut watch)?;
            let outcome = self.outcome(at, answer)?;
            watch.done += 1;
            watch.right += u64::from(outcome.is_right());
            outcomes.push(outcome);
        }
        watch.progress.finish();
        let mut who = loaded.to_json();
        choice.add_to(&mut who);
        Ok(Side { name: loaded.name.clone(), outcomes, who })
    }

    /// Judges a file of answers; a question without one is wrong, an id that the suite does not know is an error, so that a
    /// wrong file is not a score of 0.
    pub fn read(&mut self, file: &Path) -> Result<Side> {
        let found = predictions(file, self.suite, &self.args.lang)?;
        let mut outcomes = Vec::with_capacity(self.tasks.len());
        for at in 0..self.tasks.len() {
            let (item, language) = &self.tasks[at];
            let answer = found.get(&(self.suite.items[*item].id.clone(), language.clone())).cloned();
            let nothing = || Answer { failed: Some("no prediction".into()), ..Answer::default() };
            outcomes.push(self.outcome(at, answer.unwrap_or_else(nothing))?);
        }
        Ok(Side { name: file.display().to_string(), outcomes, who: json!({"predictions": file}) })
    }
}

/// One answer. What could not be asked, or was cut off, is wrong whatever it says.
fn answer(
    loaded: &Loaded,
    question: &Question,
    choice: Choice<'_>,
    source: Option<&Source>,
    watch: &mut Watch,
) -> Result<Answer> {
    let begun = Instant::now();
    let best = best(loaded, question, choice, source, false, watch);
    let seconds = Some(begun.elapsed().as_secs_f64());
    if is_interrupted() {
        return Err(Problem::new(Exit::Interrupted, format!("stopped after {} questions", watch.done))
            .hint("--limit N or --quick asks fewer")
            .into());
    }
    Ok(match best {
        Ok(best) => {
            let failed = match best.answer.finish {
                Finish::Budget => Some("cut off by the token budget"),
                Finish::Context => Some("cut off at the end of the model's context"),
                Finish::Interrupted => Some("stopped"),
                Finish::EndOfSequence | Finish::Finished | Finish::StopSequence => None,
            };
            Answer { sql: best.answer.sql, seconds, failed: failed.map(str::to_owned) }
        }
        Err(error) => Answer { sql: String::new(), seconds: None, failed: Some(format!("not answered: {error:#}")) },
    })
}

/// Answers by item and language.
type Predictions = BTreeMap<(String, String), Answer>;

fn predictions(file: &Path, suite: &Suite, languages: &[String]) -> Result<Predictions> {
    let ids: std::collections::BTreeSet<&str> = suite.items.iter().map(|item| item.id.as_str()).collect();
    let mut found = Predictions::new();
    for (number, line) in fsx::read_text(file)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: &str| {
            Problem::input(format!("{}:{}: {why}", file.display(), number + 1))
                .hint("one JSON object a line: {\"id\": …, \"sql\": …, \"language\": \"en\"}")
        };
        let row: Value = serde_json::from_str(line).map_err(|error| wrong(&format!("no JSON: {error}")))?;
        let id = row["id"].as_str().ok_or_else(|| wrong("no `id`"))?;
        let keys = ["sql", "answer", "predicted_sql"];
        let sql = keys.iter().find_map(|key| row[*key].as_str()).ok_or_else(|| wrong("no `sql`"))?;
        if !ids.contains(id) {
            return Err(wrong(&format!("the suite {} has no item `{id}`", suite.name)).into());
        }
        let failed = (row["incomplete"] == true).then(|| "cut off".to_owned());
        let answer = Answer { sql: sql.to_owned(), seconds: row["seconds"].as_f64(), failed };
        let languages = match row["language"].as_str() {
            Some(language) => vec![language.to_owned()],
            None => languages.to_vec(),
        };
        for language in languages {
            if found.insert((id.to_owned(), language), answer.clone()).is_some() {
                return Err(wrong(&format!("a second answer to `{id}`")).into());
            }
        }
    }
    Ok(found)
}

/// Shows how far a suite is, and how it goes.
struct Watch {
    progress: Progress,
    done: u64,
    right: u64,
}

impl Observer for Watch {
    fn token(&mut self, _sequence: usize, _text: &str) {
        let share = if self.done == 0 { 0.0 } else { self.right as f64 / self.done as f64 * 100.0 };
        self.progress.update(self.done, &format!("{} right ({share:.0} %)", self.right));
    }

    fn interrupted(&mut self) -> bool {
        is_interrupted()
    }
}
