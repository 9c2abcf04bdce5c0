//! The judging of one answer: run beside the gold on every database of its item, by the suite's own rule and by every other
//! measure that applies.

use std::borrow::Cow;

use super::databases::Opened;
use super::execution::ves_reward;
use super::outcome::{Measures, Verdict, shown};
use super::suite::wikisql::Query;
use super::suite::{Form, Item, Suite};
use super::{official, rules, spider};
use crate::db::{Limits, QueryError, Rows, Source};
use crate::error::{Problem, Result};
use crate::sql::convert::{self, Fidelity, Target, translate};
use crate::sql::{Dialect, Schema, lint};

/// What one query may take: the databases are small, so that anything slow is no answer.
pub const LIMITS: Limits =
    Limits { time: std::time::Duration::from_secs(5), rows: 10_000, value_bytes: 1 << 20, result_bytes: 64 << 20 };

/// What the published evaluators allow.
pub const OFFICIAL_LIMITS: Limits =
    Limits { time: std::time::Duration::from_secs(30), rows: 100_000, value_bytes: 1 << 20, result_bytes: 256 << 20 };

/// How answers are judged.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    /// By the published evaluators, to the letter.
    pub official: bool,
    /// How often a right answer and its gold are run by turns for R-VES; 0: not at all.
    pub timed_runs: usize,
    /// The dialect of the answers.
    pub dialect: Dialect,
    /// What one query may take.
    pub limits: Limits,
}

impl Judge {
    /// The default rules, for answers in a dialect.
    pub fn new(dialect: Dialect) -> Self {
        Self { official: false, timed_runs: 0, dialect, limits: LIMITS }
    }

    /// By the published evaluators.
    #[must_use]
    pub fn official(mut self) -> Self {
        self.official = true;
        self.limits = OFFICIAL_LIMITS;
        self
    }

    /// Why an item cannot be judged; none: it can.
    pub fn unusable(&self, suite: &Suite, item: &Item, opened: &Opened) -> Option<String> {
        opened
            .sources
            .iter()
            .find_map(|source| self.golds(suite, item, opened, source).err().map(|why| why.to_string()))
    }

    /// The results of the right queries on a database, the gold's first.
    fn golds(&self, suite: &Suite, item: &Item, opened: &Opened, source: &Source) -> Result<Vec<Rows>> {
        item.gold
            .iter()
            .chain(&item.also)
            .map(|sql| {
                let sql = for_database(sql, suite.dialect, opened);
                let refuse = |why: &str| Problem::input(format!("the gold of {} {why}", item.id)).detail(sql.clone());
                let rows =
                    source.query(&sql, &self.limits).map_err(|error| refuse(&format!("does not run: {error}")))?;
                if rows.truncated { Err(refuse("finds more rows than are compared").into()) } else { Ok(rows) }
            })
            .collect()
    }

    /// Judges an answer.
    pub fn judge(&self, suite: &Suite, item: &Item, opened: &Opened, sql: &str) -> Result<Verdict> {
        let parses = crate::sql::parse(sql, self.dialect).is_ok();
        let resolves = parses && lint(sql, &opened.schema, self.dialect).is_empty();
        let mut verdict =
            Verdict { parses, resolves, measures: self.exact(suite, item, opened, sql), ..Verdict::default() };
        let runnable = for_database(sql, self.dialect, opened);
        let mut all = Tally::default();
        for source in &opened.sources {
            let golds = self.golds(suite, item, opened, source)?;
            let Some(gold) = golds.first() else { continue };
            let own = source.query(&runnable, &self.limits);
            let on_this = self.compare(suite, item, (&golds, &own), source, &runnable);
            if verdict.reason.is_none() && !on_this.right {
                verdict.reason = Some(reason(gold, &own));
                verdict.rows = Some((own.as_ref().ok().map(shown), shown(gold)));
            }
            all.add(&on_this, gold, &own);
        }
        let runs = all.databases.max(1) as f64;
        verdict.right = all.databases > 0 && all.wrong == 0;
        verdict.measures.spider = Some(all.databases > 0 && all.not_spider == 0);
        verdict.measures.bird = Some(all.databases > 0 && all.not_bird == 0);
        verdict.measures.critic = Some(all.databases > 0 && all.not_bird == 0 && all.found);
        verdict.measures.soft_f1 = Some(all.soft_f1 / runs);
        verdict.measures.gold_found_nothing = !all.gold_found;
        if suite.form == Form::WikiSql {
            verdict.measures.logical = Some(self.logical(item, opened, sql));
        }
        if self.timed_runs > 0 {
            let right = verdict.measures.bird == Some(true);
            verdict.measures.ves = Some(if right { self.ves(suite, item, opened, &runnable) } else { 0.0 });
        }
        Ok(verdict)
    }

    /// Exact set match and hardness, where Spider's reader takes the gold.
    fn exact(&self, suite: &Suite, item: &Item, opened: &Opened, sql: &str) -> Measures {
        let Some(gold) = item.gold.first().filter(|_| suite.dialect == Dialect::Sqlite) else {
            return Measures::default();
        };
        let verdict = match self.official {
            true => spider::exact_match(sql, gold, &opened.tables, &opened.keys),
            false => spider::exact_match_as_written(sql, gold, &opened.tables, &opened.keys),
        };
        Measures {
            exact: verdict.map(|verdict| verdict.exact),
            hardness: verdict.map(|verdict| verdict.hardness),
            ..Measures::default()
        }
    }

    fn compare(
        &self,
        suite: &Suite,
        item: &Item,
        (golds, own): (&[Rows], &Result<Rows, QueryError>),
        source: &Source,
        sql: &str,
    ) -> OnOne {
        let Some(gold) = golds.first() else { return OnOne::default() };
        let rows = own.as_ref().ok().filter(|rows| !rows.truncated);
        let (spider, bird, soft_f1) = if self.official {
            let text = &item.gold[0];
            let (bird, soft_f1) = official::bird_scores(source, text, sql, &self.limits);
            (official::spider_execution(source, text, sql, &self.limits), bird, soft_f1)
        } else {
            rows.map_or((false, false, 0.0), |rows| {
                (
                    rules::spider(gold, rows, item.ordered),
                    rules::bird(gold, rows),
                    rules::soft(gold, rows, item.ordered),
                )
            })
        };
        let right = match suite.form {
            Form::Own => rows
                .is_some_and(|rows| golds.iter().any(|gold| rules::matches(gold, rows, item.ordered, item.tolerance))),
            Form::Pairs | Form::Spider => spider,
            Form::Bird => bird,
            // The data set's own evaluator compares lists.
            Form::WikiSql => rows.is_some_and(|rows| match self.official {
                true => gold.rows == rows.rows,
                false => rules::spider(gold, rows, false),
            }),
        };
        OnOne { right, spider, bird, soft_f1 }
    }

    /// Whether an answer has WikiSQL's form of the gold.
    fn logical(&self, item: &Item, opened: &Opened, sql: &str) -> bool {
        let table = opened.schema.tables().first();
        let own = table.and_then(|table| Query::of_sql(sql, table));
        own.is_some() && own == item.logical
    }

    /// R-VES of a right answer: the root of its reward, times 100.
    fn ves(&self, suite: &Suite, item: &Item, opened: &Opened, sql: &str) -> f64 {
        let (Some(source), Some(gold)) = (opened.sources.first(), item.gold.first()) else { return 0.0 };
        let gold = for_database(gold, suite.dialect, opened);
        let seconds = |sql: &str| source.query(sql, &self.limits).ok().map(|rows| rows.elapsed.as_secs_f64());
        let ratios: Vec<f64> = (0..self.timed_runs)
            .filter_map(|_| {
                let (own, gold) = (seconds(sql)?, seconds(&gold)?);
                Some(gold / own.max(1e-9))
            })
            .collect();
        ves_reward(&ratios, self.official).sqrt() * 100.0
    }
}

/// What one database says.
#[derive(Debug, Clone, Copy, Default)]
struct OnOne {
    right: bool,
    spider: bool,
    bird: bool,
    soft_f1: f64,
}

/// What all of them say.
#[derive(Debug, Default)]
struct Tally {
    databases: usize,
    wrong: usize,
    not_spider: usize,
    not_bird: usize,
    soft_f1: f64,
    gold_found: bool,
    found: bool,
}

impl Tally {
    fn add(&mut self, one: &OnOne, gold: &Rows, own: &Result<Rows, QueryError>) {
        self.databases += 1;
        self.wrong += usize::from(!one.right);
        self.not_spider += usize::from(!one.spider);
        self.not_bird += usize::from(!one.bird);
        self.soft_f1 += one.soft_f1;
        self.gold_found |= !gold.rows.is_empty();
        self.found |= own.as_ref().is_ok_and(|rows| !rows.rows.is_empty());
    }
}

/// A statement as the database of an item takes it: converted where it speaks another dialect.
fn for_database<'a>(sql: &'a str, dialect: Dialect, opened: &Opened) -> Cow<'a, str> {
    converted(sql, dialect, opened.speaks, &opened.schema).unwrap_or(Cow::Borrowed(sql))
}

fn converted<'a>(sql: &'a str, from: Dialect, to: Dialect, schema: &Schema) -> Option<Cow<'a, str>> {
    if from == to {
        return None;
    }
    let (from, to) = (convert::Source::from_name(from.name())?, Target::from_name(to.name())?);
    translate(sql, from, to, Some(schema), Fidelity::Exact).ok().map(|done| done.sql)
}

/// Why a result is not the gold's.
fn reason(gold: &Rows, own: &Result<Rows, QueryError>) -> String {
    match own {
        Err(error) => format!("{}: {error}", error.kind()),
        Ok(own) if own.truncated => "its result was cut off".into(),
        Ok(own) if own.rows.len() != gold.rows.len() => {
            format!("{} rows instead of {}", own.rows.len(), gold.rows.len())
        }
        Ok(own) if own.columns.len() != gold.columns.len() => {
            format!("{} columns instead of {}", own.columns.len(), gold.columns.len())
        }
        Ok(_) => "other values, or another order".to_owned(),
    }
}
