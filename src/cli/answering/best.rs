//! The best of several answers: drawn, merged, run, voted on; and what is faulty, mended.

use serde_json::{Value as Json, json};

use super::Loaded;
use super::database::{Executed, execute};
use crate::cli::args::chat::{CandidateArgs, ModelArgs, SamplingArgs};
use crate::cli::ui::{Table, Ui, escape};
use crate::data::tasks::select;
use crate::db::{Rows, Source};
use crate::error::{Problem, Result};
use crate::generate::candidates::{Plan, Standing, canonical, elect, merge};
use crate::generate::conversation::{Answer, Question};
use crate::generate::decode::{Finish, Observer};
use crate::generate::repair::{Attempt, mend};

/// How many times a faulty answer is given back where nobody says otherwise.
const REPAIRS: usize = 2;

/// What is asked for besides one answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Choice<'a> {
    /// Who chooses in place of the vote.
    critic: Option<&'a Loaded>,
    /// How many answers are drawn; none: one.
    plan: Option<Plan>,
    repairs: usize,
}

impl<'a> Choice<'a> {
    /// What the flags say. Where nothing is said, faulty answers are mended if there is a database to tell what is wrong:
    /// tables alone would make every answer of a model that knows nothing cost seven more.
    pub fn new(args: &CandidateArgs, has_database: bool, critic: Option<&'a Loaded>) -> Result<Self> {
        let hybrid = args.hybrid.as_deref().map(Plan::parse).transpose();
        let hybrid = hybrid.map_err(|wrong| Problem::usage(wrong).hint("--hybrid=BEAMS,SAMPLES"))?;
        let parts = Plan { beams: args.beams.unwrap_or(0), samples: args.candidates.unwrap_or(0) };
        let plan = hybrid.or((parts.total() > 0).then_some(parts));
        if plan.is_none() && critic.is_some() {
            return Err(Problem::usage("--critic chooses between several answers")
                .hint("add --hybrid, or -n K for K answers")
                .into());
        }
        Ok(Self { critic, plan, repairs: args.repair.unwrap_or(if has_database { REPAIRS } else { 0 }) })
    }

    /// Adds what was asked for to an object.
    pub fn add_to(self, object: &mut Json) {
        if let Some(plan) = self.plan {
            object["several"] = json!({"beams": plan.beams, "samples": plan.samples});
        }
        if self.repairs != REPAIRS {
            object["repair"] = json!(self.repairs);
        }
        if let Some(critic) = self.critic {
            object["critic"] = json!(critic.name);
        }
    }

    /// Whether one answer is all that is asked for.
    pub fn is_single(self) -> bool {
        self.plan.is_none()
    }
}

/// The expert that --critic names; where it has the same base model, that is in memory once.
pub(in crate::cli) fn critic(
    args: &CandidateArgs,
    model: &ModelArgs,
    sampling: &SamplingArgs,
    loaded: &Loaded,
    ui: &Ui,
) -> Result<Option<Loaded>> {
    let load = |name: &String| {
        let model = ModelArgs { experts: Some(name.clone()), adapter: None, ..model.clone() };
        Loaded::new(&model, sampling, Some(loaded), ui)
    };
    args.critic.as_ref().map(load).transpose()
}

/// One of several answers, with all that mean the same.
#[derive(Debug)]
struct Candidate {
    answer: Answer,
    count: usize,
    executed: Option<Executed>,
}

/// The answer that was chosen, and how.
#[derive(Debug)]
pub(in crate::cli) struct Best {
    /// The answer.
    pub answer: Answer,
    /// What the database said to it, if it was run for the choice.
    pub executed: Option<Executed>,
    /// Everything that stood for election, as `{sql, count, score, valid, result, group}`; empty where nothing did.
    candidates: Vec<Json>,
    votes: usize,
    attempts: Vec<Attempt>,
}

/// Asks one question. `source` is asked for votes and faults; none: nothing is run.
pub(in crate::cli) fn best(
    loaded: &Loaded,
    question: &Question,
    choice: Choice<'_>,
    source: Option<&Source>,
    logits: bool,
    observer: &mut dyn Observer,
) -> Result<Best> {
    let first = match choice.plan {
        Some(plan) => chosen(loaded, question, (plan, choice.critic), source, observer)?,
        None => single(loaded.conversation(logits).answer(question, observer)?, source, choice),
    };
    mended(loaded, question, first, choice, source, observer)
}

/// An answer that stands alone; run only where a fault would be mended.
pub(in crate::cli) fn single(answer: Answer, source: Option<&Source>, choice: Choice<'_>) -> Best {
    let executed = source.filter(|_| choice.repairs > 0).map(|source| execute(&answer, source));
    Best { answer, executed, candidates: Vec::new(), votes: 0, attempts: Vec::new() }
}

/// Gives a faulty answer back until it is sound or the tries are used up; then five more are drawn.
pub(in crate::cli) fn mended(
    loaded: &Loaded,
    question: &Question,
    first: Best,
    choice: Choice<'_>,
    source: Option<&Source>,
    observer: &mut dyn Observer,
) -> Result<Best> {
    if choice.repairs == 0 || fault(&first.answer, first.executed.as_ref()).is_none() {
        return Ok(first);
    }
    let Best { answer, executed, candidates, votes, .. } = first;
    let mut asked = 0;
    let done = mend(
        &question.text,
        (answer, executed),
        choice.repairs,
        |(answer, _)| answer.sql.clone(),
        |(answer, executed)| fault(answer, executed.as_ref()),
        |text| {
            asked += 1;
            let again = Question { text, context: question.context.clone() };
            let answer = loaded.conversation(false).answer(&again, observer)?;
            let executed = source.map(|source| execute(&answer, source));
            Ok((answer, executed))
        },
    )?;
    let (answer, executed) = done.answer;
    let stopped = answer.finish == Finish::Interrupted;
    let own = Best { answer, executed, candidates, votes, attempts: done.attempts };
    if done.sound || stopped {
        return Ok(own);
    }
    let other = chosen(loaded, question, (Plan::HYBRID, choice.critic), source, observer)?;
    match fault(&other.answer, other.executed.as_ref()) {
        None => Ok(Best { attempts: own.attempts, ..other }),
        Some(_) => Ok(own),
    }
}

/// What is wrong with an answer that mending could change. One that was cut off needs more room, not another try.
fn fault(answer: &Answer, executed: Option<&Executed>) -> Option<String> {
    if !answer.finish.is_complete() {
        return None;
    }
    if let Some(Executed::Failed(error)) = executed {
        return Some(error.to_string());
    }
    let verdict = answer.verdict.as_ref().filter(|verdict| !verdict.is_valid())?;
    Some(verdict.issues.first().map_or_else(String::new, |issue| issue.message.clone()))
}

/// The mean log-probability of a token.
fn score(answer: &Answer) -> f64 {
    answer.log_probability / answer.ids.len().max(1) as f64
}

/// Draws the answers of a plan and lets them vote.
fn chosen(
    loaded: &Loaded,
    question: &Question,
    (plan, critic): (Plan, Option<&Loaded>),
    source: Option<&Source>,
    observer: &mut dyn Observer,
) -> Result<Best> {
    let drawn = loaded.conversation(false).candidates(question, plan, observer)?;
    let statements: Vec<&str> = drawn.iter().map(|answer| answer.sql.as_str()).collect();
    let forms = merge(&statements, loaded.sql_dialect());
    let mut drawn: Vec<Option<Answer>> = drawn.into_iter().map(Some).collect();
    let mut candidates: Vec<Candidate> = Vec::new();
    for members in forms {
        let count = members.len();
        // Of answers that mean the same, the whole ones, then the most probable one, stand for all.
        let of_form: Vec<Answer> = members.into_iter().filter_map(|index| drawn[index].take()).collect();
        let rank = |answer: &Answer| (answer.finish.is_complete(), score(answer));
        let best = of_form.into_iter().max_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let Some(answer) = best else { continue };
        let executed = source.map(|source| execute(&answer, source));
        candidates.push(Candidate { answer, count, executed });
    }
    let standing: Vec<Standing<'_>> = candidates.iter().map(Candidate::standing).collect();
    let ballot = elect(&standing).ok_or_else(|| Problem::failed("no answer came back"))?;
    let group = |index: usize| ballot.groups.iter().position(|group| group.contains(&index));
    let shown = candidates.iter().enumerate().map(|(index, one)| one.to_json(group(index))).collect();
    let (mut winner, mut votes) = (ballot.winner, ballot.votes);
    let judged = critic.filter(|_| candidates.len() > 1);
    let verdict = judged.map(|critic| judge(critic, question, &candidates, &ballot.groups, observer)).transpose()?;
    if let Some(index) = verdict.flatten() {
        let group = group(index).and_then(|group| ballot.groups.get(group));
        votes = group.map_or(0, |group| group.iter().map(|index| candidates[*index].count).sum());
        winner = index;
    }
    let winner = candidates.swap_remove(winner);
    Ok(Best { answer: winner.answer, executed: winner.executed, candidates: shown, votes, attempts: Vec::new() })
}

/// The candidate that the critic names, of the best of each group; none if it names nobody: then the vote stands.
fn judge(
    critic: &Loaded,
    question: &Question,
    candidates: &[Candidate],
    groups: &[Vec<usize>],
    observer: &mut dyn Observer,
) -> Result<Option<usize>> {
    let standing: Vec<usize> = groups.iter().filter_map(|group| group.first().copied()).take(26).collect();
    let shown: Vec<(String, Result<Rows, String>)> =
        standing.iter().map(|&index| (candidates[index].answer.sql.clone(), candidates[index].outcome())).collect();
    let text = select(question.text.trim(), &shown);
    let said = critic.conversation(false).answer(&Question { text, context: question.context.clone() }, observer)?;
    // Selection rows are answered with the statement itself.
    let chosen = canonical(&said.sql, critic.sql_dialect());
    Ok(standing.into_iter().find(|&index| canonical(&candidates[index].answer.sql, critic.sql_dialect()) == chosen))
}

impl Candidate {
    /// What the database said.
    fn outcome(&self) -> Result<Rows, String> {
        match &self.executed {
            None => Err("not run".into()),
            Some(Executed::NotRun(reason)) => Err(format!("not run: {reason}")),
            Some(Executed::Failed(error)) => Err(error.to_string()),
            Some(Executed::Rows(rows)) => Ok(rows.clone()),
        }
    }

    fn standing(&self) -> Standing<'_> {
        let sound = self.answer.verdict.as_ref().is_none_or(|verdict| verdict.is_valid());
        Standing {
            count: self.count,
            score: score(&self.answer),
            valid: sound && self.answer.finish.is_complete(),
            rows: match &self.executed {
                Some(Executed::Rows(rows)) => Some(rows),
                _ => None,
            },
            executed: self.executed.is_some(),
        }
    }

    fn to_json(&self, group: Option<usize>) -> Json {
        let result = self.executed.as_ref().map(|executed| match executed {
            Executed::Rows(rows) => json!({"rows": rows.rows.len(), "truncated": rows.truncated}),
            other => other.to_json(),
        });
        json!({
            "sql": self.answer.sql,
            "count": self.count,
            "score": score(&self.answer),
            "valid": self.standing().valid,
            "result": result,
            "group": group.map(|group| group + 1),
        })
    }
}

impl Best {
    /// Adds `candidates`, `votes` and `repairs` to an object.
    pub fn add_to(&self, object: &mut Json) {
        if !self.candidates.is_empty() {
            object["candidates"] = json!(self.candidates);
            object["votes"] = json!(self.votes);
        }
        if !self.attempts.is_empty() {
            let repairs = self.attempts.iter().map(|attempt| json!({"sql": attempt.sql, "error": attempt.fault}));
            object["repairs"] = repairs.collect();
        }
    }

    /// Says how the answer came to be, one line for each thing that is not plain.
    pub fn note(&self, ui: &Ui) {
        if !self.candidates.is_empty() {
            let drawn: u64 = self.candidates.iter().filter_map(|one| one["count"].as_u64()).sum();
            let different = self.candidates.len();
            ui.note(&format!("{} of {drawn} answers agree; {different} different statements (/why)", self.votes));
        }
        for attempt in &self.attempts {
            let what = if attempt.sql == self.answer.sql { "still faulty" } else { "mended" };
            ui.note(&escape(&format!("{what}: {}", attempt.fault)));
        }
    }

    /// The election as a table; none where nothing stood for it.
    pub fn table(&self) -> Option<String> {
        let mut table = Table::new(["group", "votes", "score", "result", "statement"]);
        for one in &self.candidates {
            let result = match (&one["result"]["rows"], &one["result"]["error"]) {
                (Json::Number(rows), _) => format!("{rows} rows"),
                (_, Json::String(error)) => error.clone(),
                _ => String::new(),
            };
            let score = one["score"].as_f64().map_or_else(String::new, |score| format!("{score:.3}"));
            let sql = one["sql"].as_str().unwrap_or_default().to_owned();
            table.row([one["group"].to_string(), one["count"].to_string(), score, result, sql]);
        }
        (!self.candidates.is_empty()).then(|| table.render())
    }
}
