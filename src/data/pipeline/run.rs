//! The run: reads in order, prepares chunks in parallel, decides and writes in order, publishes the folder.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::metadata::{Counts, Drop, FirstDrops, build};
use super::row::{Dropped, Prepared, dropped_line, prepare};
use super::{Options, Reason};
use crate::data::records::{self, Place, Read};
use crate::data::source::Source;
use crate::data::spider::Databases;
use crate::error::{Problem, Result};
use crate::fsx::{self, AtomicFile, Staging};

/// Records worked on together. More would only hold more text in memory.
const CHUNK_RECORDS: usize = 1024;

/// Bytes of text worked on together, about: a few huge records make a chunk as well.
const CHUNK_BYTES: usize = 8 << 20;

/// Below this many defects the share of them is not looked at: small files are shown as they are.
const FEW_DEFECTS: u64 = 20;

/// The files that a run writes: a folder that holds others is not replaced.
const OWN_FILES: [&str; 4] = ["train.jsonl", "val.jsonl", "metadata.json", "dropped.jsonl"];

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
    fsx::sweep_of(output)?;
    refuse_foreign_folder(output)?;
    let staging = Staging::new(output)?;
    let mut sink = Sink::new(staging.path(), options, samples)?;
    read_all(source, databases, options, &mut sink, observe)?;
    let (counts, first_drops, samples) = sink.finish()?;
    check_result(&counts, &first_drops, options)?;
    let metadata = build(source, options, &counts, &first_drops, staging.path())?;
    let text = serde_json::to_string_pretty(&metadata)? + "\n";
    fsx::write_atomic(&staging.path().join("metadata.json"), text.as_bytes())?;
    staging.publish()?;
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

fn read_all(
    source: &Source,
    databases: &Databases,
    options: &Options,
    sink: &mut Sink,
    observe: &mut dyn FnMut(Progress),
) -> Result<()> {
    let sizes = source.files.iter().map(|(path, _)| path.metadata().map_or(0, |meta| meta.len()));
    let total_bytes = sizes.sum();
    let bytes = Arc::new(AtomicU64::new(0));
    let mut chunk: Vec<Read> = Vec::with_capacity(CHUNK_RECORDS);
    let mut chunk_bytes = 0;
    for (path, shown) in &source.files {
        for read in records::open_counted(path, shown, bytes.clone())? {
            let read = read?;
            chunk_bytes += size_of_text(&read);
            chunk.push(read);
            if chunk.len() >= CHUNK_RECORDS || chunk_bytes >= CHUNK_BYTES {
                sink.take(&chunk, databases, options)?;
                chunk.clear();
                chunk_bytes = 0;
                let (read, kept) = (sink.counts.read, sink.counts.kept());
                observe(Progress { bytes: bytes.load(Ordering::Relaxed), total_bytes, read, kept });
                if sink.is_full() {
                    return Ok(());
                }
                sink.check_defects(options)?;
            }
        }
    }
    sink.take(&chunk, databases, options)
}

fn size_of_text(read: &Read) -> usize {
    match read {
        Read::Record(record) => record.fields.values().map(|value| value.as_str().map_or(64, str::len)).sum(),
        Read::Bad(_, reason) => reason.len(),
    }
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
        return Err(problem.hint("--map names columns, --min-length and --max-length set the limits").into());
    }
    if counts.train == 0 {
        let problem = Problem::input(format!("all {} rows fell to the validation side", counts.val));
        return Err(problem.hint(format!("--val-split {} is too much for so few rows", options.val_split)).into());
    }
    Ok(())
}

/// Decides row by row, in order, and writes.
struct Sink {
    folder: PathBuf,
    train: Option<AtomicFile>,
    val: Option<AtomicFile>,
    dropped: Option<AtomicFile>,
    /// With `drop_ambiguous`: rows wait here until all answers are known.
    spool: Option<AtomicFile>,
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
    fn new(folder: &Path, options: &Options, samples: usize) -> Result<Self> {
        let spool = match options.drop_ambiguous {
            true => Some(AtomicFile::create(&folder.join("spool"))?),
            false => None,
        };
        Ok(Self {
            train: Some(AtomicFile::create(&folder.join("train.jsonl"))?),
            val: None,
            dropped: None,
            spool,
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

    /// Prepares a chunk in parallel, then takes its rows in order, up to the limit.
    fn take(&mut self, chunk: &[Read], databases: &Databases, options: &Options) -> Result<()> {
        let prepared: Vec<Result<Prepared, Dropped>> = chunk
            .par_iter()
            .map(|read| match read {
                Read::Record(record) => prepare(record, databases, options),
                Read::Bad(_, reason) => Err((Reason::Unreadable, reason.clone())),
            })
            .collect();
        for (read, prepared) in chunk.iter().zip(prepared) {
            if self.is_full() {
                break;
            }
            let place = match read {
                Read::Record(record) => &record.place,
                Read::Bad(place, _) => place,
            };
            self.counts.read += 1;
            match prepared {
                Ok(row) => self.row(row, place)?,
                Err((reason, detail)) => self.drop_row(place.clone(), reason, detail)?,
            }
        }
        Ok(())
    }

    fn row(&mut self, row: Prepared, place: &Place) -> Result<()> {
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
        match &mut self.spool {
            None => {
                self.counts.add_kind(row.shape.name(), row.statement, &row.conversions);
                self.keep(side, &row.line, &row.text)
            }
            Some(spool) => {
                self.spooled += 1;
                let kind = (row.shape.name(), row.statement, &row.conversions);
                let asked = format!("{:032x}", row.keys.asked);
                let entry = json!([asked, side, &*place.file, place.line, row.line, row.text, kind]);
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
        Err(problem.hint("--map names the columns; --max-bad SHARE lets more of them pass").into())
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

    /// Writes the rows that waited, but those whose question turned out to have several answers.
    fn unspool(&mut self) -> Result<()> {
        let path = self.folder.join("spool");
        for line in BufReader::new(fsx::open(&path)?).lines() {
            let line = line.context("cannot read the rows back")?;
            type Entry = (String, String, String, u64, String, String, (String, Option<String>, Vec<String>));
            let (asked, side, file, number, row, text, (shape, statement, conversions)): Entry =
                serde_json::from_str(&line)?;
            let asked = u128::from_str_radix(&asked, 16).context("cannot read the rows back")?;
            if self.ambiguous.contains(&asked) {
                let place = Place { file: file.into(), line: number };
                self.drop_row(place, Reason::Ambiguous, "asked again with another answer".into())?;
            } else {
                self.counts.add_kind(&shape, statement.as_deref(), &conversions);
                self.keep(&side, &row, &text)?;
            }
        }
        fsx::remove(&path)
    }
}
