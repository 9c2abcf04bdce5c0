//! The run: reads in order, prepares chunks in parallel, decides and writes in order, publishes the folder.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::flow::{self, Chunk, Flow};
use super::metadata::{Counts, Drop, FirstDrops, Kind, build};
use super::resume::Journal;
use super::row::{Parts, Prepared, Shared, dropped_line};
use super::selection::{Mix, Portion, Waiting, choose};
use super::{Options, Reason};
use crate::data::draws::Draws;
use crate::data::records::Place;
use crate::data::shapes::Shape;
use crate::data::shots::{self, Shots};
use crate::data::source::Source;
use crate::data::spider::Databases;
use crate::data::tasks::Task;
use crate::error::{Problem, Result};
use crate::fsx::{self, AtomicFile, Staging};
use crate::sql::convert::Unsupported;

/// Below this many defects the share of them is not looked at: small files are shown as they are.
const FEW_DEFECTS: u64 = 20;

/// Rows that wait for others are read back so many at a time.
const SPOOL_CHUNK: usize = 1024;

/// A row that waits: side, file, line, its line, its text, what it is like, what it is rendered of.
type Entry = (String, String, u64, String, String, Kind, Option<Parts>);

/// The files that a run writes: a folder that holds others is not replaced.
const OWN_FILES: [&str; 5] = ["train.jsonl", "val.jsonl", "metadata.json", "dropped.jsonl", "grammar-refused.jsonl"];

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of `total_bytes`.
    pub bytes: u64,
    /// Size of all files.
    pub total_bytes: u64,
    /// Records read.
    pub read: u64,
    /// Rows kept so far.
    pub kept: u64,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it counted.
    pub counts: Counts,
    /// The first dropped rows.
    pub first_drops: FirstDrops,
    /// The first rows of the result, as many as were asked for.
    pub samples: Vec<String>,
    /// The content of `metadata.json`.
    pub metadata: Value,
}

/// One source of a run.
#[derive(Debug)]
pub struct Job<'a> {
    /// Its files.
    pub source: &'a Source,
    /// The schemas that its rows name.
    pub databases: &'a Databases,
    /// How its records become rows. What concerns all rows (deduplication, split, limits, shares) is taken from the
    /// run's own options.
    pub options: &'a Options,
    /// How much of it is wanted.
    pub portion: Portion,
}

/// Makes training rows of a data set and publishes them as the folder `output`; `samples` rows are handed back to be
/// shown. Nothing is published when it fails.
pub fn run(
    source: &Source,
    databases: &Databases,
    options: &Options,
    output: &Path,
    samples: usize,
    observe: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    let job = Job { source, databases, options, portion: Portion::default() };
    run_jobs(&[job], options, &Mix::default(), output, samples, observe)
}

/// [`run`] over several sources, balanced to a mix.
pub fn run_jobs(
    jobs: &[Job<'_>],
    options: &Options,
    mix: &Mix,
    output: &Path,
    samples: usize,
    observe: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    fsx::sweep_of(output)?;
    refuse_foreign_folder(output)?;
    let staging = Staging::new(output)?;
    let portions: Vec<Portion> = jobs.iter().map(|job| job.portion).collect();
    let mut sink = Sink::new(staging.path(), options, portions, mix, samples)?;
    let journal = options.resume.then(|| Journal::open(jobs, options, output)).transpose()?;
    let shared = Shared::new(options)?;
    take_all(jobs, &mut sink, &shared, journal.as_ref(), observe)?;
    let (counts, first_drops, samples) = sink.finish()?;
    check_result(&counts, &first_drops, options)?;
    let metadata = build(jobs, options, &counts, &first_drops, staging.path())?;
    let text = serde_json::to_string_pretty(&metadata)? + "\n";
    fsx::write_atomic(&staging.path().join("metadata.json"), text.as_bytes())?;
    staging.publish()?;
    journal.map(Journal::close).transpose()?;
    Ok(Outcome { counts, first_drops, samples, metadata })
}

fn refuse_foreign_folder(output: &Path) -> Result<()> {
    if !output.exists() {
        return Ok(());
    }
    if !output.is_dir() {
        return Err(Problem::usage(format!("{} is not a folder", output.display())).hint("--output DIR").into());
    }
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| OWN_FILES.iter().any(|own| name == *own));
    match fsx::list_dir(output)?.into_iter().find(|path| !is_ours(path)) {
        None => Ok(()),
        Some(other) => Err(Problem::usage(format!("{} holds other files and would be replaced", output.display()))
            .detail(format!("for one, {}", other.display()))
            .hint("choose a folder of its own: --output DIR")
            .into()),
    }
}

/// Takes every chunk of records as it comes, in order, until the limit.
fn take_all(
    jobs: &[Job<'_>],
    sink: &mut Sink,
    shared: &Shared,
    journal: Option<&Journal>,
    observe: &mut dyn FnMut(Progress),
) -> Result<()> {
    let files = jobs.iter().flat_map(|job| &job.source.files);
    let total_bytes = files.map(|(path, _)| path.metadata().map_or(0, |meta| meta.len())).sum();
    let bytes = Arc::new(AtomicU64::new(0));
    flow::each_chunk(jobs, shared, journal, &bytes, |at, chunk| {
        sink.job = at;
        let job = &jobs[at];
        sink.take(chunk, job)?;
        let (read, kept) = (sink.counts.read, sink.counts.kept() + sink.spooled);
        observe(Progress { bytes: bytes.load(Ordering::Relaxed), total_bytes, read, kept });
        if sink.is_full() {
            return Ok(Flow::Stop);
        }
        sink.check_defects(job.options)?;
        Ok(Flow::On)
    })
}

fn check_result(counts: &Counts, first: &FirstDrops, options: &Options) -> Result<()> {
    let named = |mut problem: Problem| {
        for drop in first.first(2) {
            problem = problem.detail(format!("{}: {} ({})", drop.place, drop.detail, drop.reason.name()));
        }
        problem
    };
    if counts.read == 0 {
        return Err(Problem::input("the data set holds no record").hint("look at the file: it may be empty").into());
    }
    if counts.kept() == 0 {
        let problem = named(Problem::input(format!("of {} records none is left", counts.read)));
        let hint = hint_for(first, "--map names columns, --min-length and --max-length set the limits");
        return Err(problem.hint(hint).into());
    }
    if counts.train == 0 {
        let problem = Problem::input(format!("all {} rows fell to the validation side", counts.val));
        return Err(problem.hint(format!("--val-split {} is too much for so few rows", options.val_split)).into());
    }
    Ok(())
}

/// Texts whose layout nobody knows are no defect of the mapping: what keeps them is another flag.
fn hint_for<'a>(first: &FirstDrops, otherwise: &'a str) -> &'a str {
    let unknown = first.first(1).any(|drop| drop.reason == Reason::Columns && drop.detail.contains("no known layout"));
    if unknown { "--no-validate-sql keeps texts whose layout is not known, unchecked" } else { otherwise }
}

/// Decides row by row, in order, and writes.
struct Sink {
    folder: PathBuf,
    train: Option<AtomicFile>,
    val: Option<AtomicFile>,
    dropped: Option<AtomicFile>,
    /// Where not every row stays: rows wait here until all are known.
    spool: Option<AtomicFile>,
    /// What the rows in the spool are chosen by, in its order.
    waiting: Vec<Waiting>,
    portions: Vec<Portion>,
    mix: Mix,
    /// The place of the source that is being read.
    job: usize,
    seen: HashSet<u128>,
    /// The first answer to each question over a schema.
    answers: HashMap<u128, u128>,
    ambiguous: HashSet<u128>,
    options: Options,
    wanted_samples: usize,
    spooled: u64,
    counts: Counts,
    first_drops: FirstDrops,
    samples: Vec<String>,
}

impl Sink {
    fn new(folder: &Path, options: &Options, portions: Vec<Portion>, mix: &Mix, samples: usize) -> Result<Self> {
        let chooses = *mix != Mix::default() || portions.iter().any(|portion| *portion != Portion::default());
        let spool = match options.drop_ambiguous || chooses || options.few_shot > 0 {
            true => Some(AtomicFile::create(&folder.join("spool"))?),
            false => None,
        };
        Ok(Self {
            train: Some(AtomicFile::create(&folder.join("train.jsonl"))?),
            val: None,
            dropped: None,
            spool,
            waiting: Vec::new(),
            portions,
            mix: mix.clone(),
            job: 0,
            seen: HashSet::new(),
            answers: HashMap::new(),
            ambiguous: HashSet::new(),
            options: options.clone(),
            folder: folder.to_owned(),
            wanted_samples: samples,
            spooled: 0,
            counts: Counts::default(),
            first_drops: FirstDrops::default(),
            samples: Vec::new(),
        })
    }

    fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.counts.kept() + self.spooled >= limit)
    }

    /// Takes the rows of a chunk in order, up to the limit.
    fn take(&mut self, chunk: Chunk, job: &Job<'_>) -> Result<()> {
        let options = job.options;
        for (place, prepared) in chunk {
            if self.is_full() {
                break;
            }
            let place = &place;
            self.counts.read += 1;
            match prepared {
                Ok(row) => self.row(row, place, options.task)?,
                Err((Reason::Unsupported, detail)) if options.unsupported == Unsupported::Error => {
                    let problem = Problem::input(format!("{place}: {detail}"));
                    return Err(problem.hint("--on-unsupported drop leaves such rows out and counts them").into());
                }
                Err((reason, detail)) => self.drop_row(place.clone(), reason, detail)?,
            }
        }
        Ok(())
    }

    fn row(&mut self, row: Prepared, place: &Place, task: Task) -> Result<()> {
        if self.options.drop_ambiguous {
            let first = *self.answers.entry(row.keys.asked).or_insert(row.keys.answer);
            if first != row.keys.answer {
                self.ambiguous.insert(row.keys.asked);
            }
        }
        if self.options.dedupe.is_some() && !self.seen.insert(row.keys.dedupe) {
            let detail = match row.keys.answer == self.answers.get(&row.keys.asked).copied().unwrap_or(row.keys.answer)
            {
                true => "asked before",
                false => "asked before, with another answer",
            };
            return self.drop_row(place.clone(), Reason::Duplicate, detail.into());
        }
        let side = if row.keys.validation { "val" } else { "train" };
        let task = if row.shape == Shape::Refine { Task::SelfRefine } else { task };
        let own = |text: &str| text.to_owned();
        let kind = Kind {
            shape: own(row.shape.name()),
            task: own(task.name()),
            statement: row.statement.as_deref().map(own),
            source: row.source.as_deref().map(own),
            hardness: row.hardness.as_deref().map(own),
            executed: row.executed,
            conversions: row.conversions.iter().map(|name| own(name)).collect(),
        };
        match &mut self.spool {
            None => {
                self.counts.add_kind(&kind);
                self.keep(side, &row.line, &row.text)
            }
            Some(spool) => {
                self.spooled += 1;
                let place_text = place.to_string();
                self.waiting.push(Waiting {
                    asked: row.keys.asked,
                    source: self.job,
                    task,
                    select: matches!(row.statement.as_deref(), Some("select" | "with")),
                    draw: Draws::of(self.options.seed, &[&place_text]).draw(),
                });
                let entry = json!([side, &*place.file, place.line, row.line, row.text, kind, row.parts]);
                writeln!(spool, "{entry}").context("cannot write the rows")
            }
        }
    }

    fn keep(&mut self, side: &str, line: &str, text: &str) -> Result<()> {
        let (file, counter, name) = match side {
            "val" => (&mut self.val, &mut self.counts.val, "val.jsonl"),
            _ => (&mut self.train, &mut self.counts.train, "train.jsonl"),
        };
        if file.is_none() {
            *file = Some(AtomicFile::create(&self.folder.join(name))?);
        }
        if let Some(file) = file {
            writeln!(file, "{line}").with_context(|| format!("cannot write {name}"))?;
        }
        *counter += 1;
        if self.samples.len() < self.wanted_samples {
            self.samples.push(text.to_owned());
        }
        Ok(())
    }

    fn drop_row(&mut self, place: Place, reason: Reason, detail: String) -> Result<()> {
        if self.dropped.is_none() {
            self.dropped = Some(AtomicFile::create(&self.folder.join("dropped.jsonl"))?);
        }
        if let Some(file) = &mut self.dropped {
            writeln!(file, "{}", dropped_line(&place.file, place.line, reason, &detail))
                .context("cannot write dropped.jsonl")?;
        }
        *self.counts.dropped.entry(reason).or_default() += 1;
        self.first_drops.add(Drop { place, reason, detail });
        Ok(())
    }

    /// Fails when too many records are no records of this kind: the file or the mapping is the wrong one.
    fn check_defects(&self, options: &Options) -> Result<()> {
        let defects = self.counts.dropped.iter().filter(|(reason, _)| reason.is_defect_of_the_file());
        let defects: u64 = defects.map(|(_, count)| count).sum();
        if defects < FEW_DEFECTS || defects as f64 <= options.max_bad * self.counts.read as f64 {
            return Ok(());
        }
        let message = format!("{defects} of the first {} records cannot be used", self.counts.read);
        let mut problem = Problem::input(message);
        for drop in self.first_drops.first(3).filter(|drop| drop.reason.is_defect_of_the_file()) {
            problem = problem.detail(format!("{}: {}", drop.place, drop.detail));
        }
        Err(problem
            .hint(hint_for(&self.first_drops, "--map names the columns; --max-bad SHARE lets more of them pass"))
            .into())
    }

    fn finish(mut self) -> Result<(Counts, FirstDrops, Vec<String>)> {
        self.check_defects(&self.options.clone())?;
        if let Some(spool) = self.spool.take() {
            spool.commit()?;
            self.unspool()?;
        }
        for file in [self.train.take(), self.val.take(), self.dropped.take()].into_iter().flatten() {
            file.commit()?;
        }
        Ok((self.counts, self.first_drops, self.samples))
    }

    /// Writes the rows that waited, but those whose question turned out to have several answers and those that the mix
    /// has no room for, with the examples that are wanted before their questions.
    fn unspool(&mut self) -> Result<()> {
        let path = self.folder.join("spool");
        let waiting = std::mem::take(&mut self.waiting);
        let alive = waiting.iter().map(|row| !self.ambiguous.contains(&row.asked)).collect();
        let chosen = choose(&waiting, alive, &self.portions, &self.mix);
        let shots = self.shots(&path, &waiting, &chosen)?;
        let mut lines = BufReader::new(fsx::open(&path)?).lines();
        let mut at = 0;
        loop {
            let mut chunk = Vec::with_capacity(SPOOL_CHUNK);
            for line in lines.by_ref().take(SPOOL_CHUNK) {
                chunk.push(line.context("cannot read the rows back")?);
            }
            if chunk.is_empty() {
                break;
            }
            let options = &self.options;
            let entries: Vec<Result<Entry>> = chunk
                .par_iter()
                .map(|line| {
                    let mut entry: Entry = serde_json::from_str(line)?;
                    if let Some(parts) = &entry.6 {
                        let examples = shots.nearest(&parts.asked, options.few_shot);
                        (entry.3, entry.4) = parts.rendered(&examples, options);
                    }
                    Ok(entry)
                })
                .collect();
            for entry in entries {
                let (side, file, number, text_line, text, kind, _) = entry?;
                let place = Place { file: file.into(), line: number };
                if self.ambiguous.contains(&waiting[at].asked) {
                    self.drop_row(place, Reason::Ambiguous, "asked again with another answer".into())?;
                } else if !chosen[at] {
                    self.drop_row(place, Reason::Balance, "more than the mix has room for".into())?;
                } else {
                    self.counts.add_kind(&kind);
                    self.keep(&side, &text_line, &text)?;
                }
                at += 1;
            }
        }
        fsx::remove(&path)
    }

    /// What examples are taken from: questions of the training side that stay, chosen by their draw where there are more
    /// than are looked through.
    fn shots(&self, path: &Path, waiting: &[Waiting], chosen: &[bool]) -> Result<Shots> {
        if self.options.few_shot == 0 {
            return Ok(Shots::default());
        }
        let mut draws: Vec<u64> =
            waiting.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(r, _)| r.draw).collect();
        draws.sort_unstable();
        // A tenth more, for those on the validation side and those that come twice.
        let bound = draws.get(shots::MOST + shots::MOST / 10).copied().unwrap_or(u64::MAX);
        let mut solved = Vec::new();
        for ((line, row), chosen) in BufReader::new(fsx::open(path)?).lines().zip(waiting).zip(chosen) {
            let line = line.context("cannot read the rows back")?;
            if !chosen || row.draw > bound || row.task != Task::Question {
                continue;
            }
            let (side, .., parts): Entry = serde_json::from_str(&line)?;
            if let Some(parts) = parts.filter(|_| side == "train") {
                solved.push((parts.asked, parts.answer));
            }
        }
        Ok(Shots::new(solved))
    }
}
