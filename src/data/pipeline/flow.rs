//! The flow of records through a run: one thread reads, the pool prepares a chunk, the caller decides and writes the one
//! before. Chunks come in the order of the files, so that what is made of them does not depend on threads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rayon::prelude::*;

use super::resume::Journal;
use super::row::{Dropped, Prepared, Shared, prepare};
use super::{Job, Reason};
use crate::data::records::{self, Place, Read, Unparsed};
use crate::error::Result;

/// Records worked on together. More would only hold more text in memory.
const CHUNK_RECORDS: usize = 1024;

/// Bytes of text worked on together, about: a few huge records make a chunk as well.
const CHUNK_BYTES: usize = 8 << 20;

/// Chunks that wait between two stages. One keeps all of them busy; each more would only hold more text.
const WAITING: usize = 1;

/// Records of one source, prepared.
pub(super) type Chunk = Vec<(Place, Result<Prepared, Dropped>)>;

/// Whether more is wanted.
pub(super) enum Flow {
    /// Go on.
    On,
    /// The limit is reached.
    Stop,
}

/// Hands every chunk with the place of its source to `take`, in order.
pub(super) fn each_chunk(
    jobs: &[Job<'_>],
    shared: &Shared,
    journal: Option<&Journal>,
    bytes: &Arc<AtomicU64>,
    mut take: impl FnMut(usize, Chunk) -> Result<Flow>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (raw_sender, raw) = sync_channel(WAITING);
        let (sender, prepared) = sync_channel(WAITING);
        scope.spawn(move || read(jobs, bytes, &raw_sender));
        scope.spawn(move || prepare_all(jobs, shared, journal, &raw, &sender));
        // Where the loop is left early the channels close, and the threads end with their next chunk.
        for chunk in &prepared {
            let (at, chunk) = chunk?;
            if matches!(take(at, chunk)?, Flow::Stop) {
                break;
            }
        }
        drop(prepared);
        Ok(())
    })
}

type Raw = Result<(usize, Vec<Unparsed>)>;

fn read(jobs: &[Job<'_>], bytes: &Arc<AtomicU64>, sender: &SyncSender<Raw>) {
    for (at, job) in jobs.iter().enumerate() {
        let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
        let mut chunk_bytes = 0;
        for (path, shown) in &job.source.files {
            let records = match records::open_unparsed(path, shown, bytes.clone()) {
                Ok(records) => records,
                Err(error) => return drop(sender.send(Err(error))),
            };
            for read in records {
                match read {
                    Ok(read) => {
                        chunk_bytes += read.size();
                        chunk.push(read);
                    }
                    Err(error) => return drop(sender.send(Err(error))),
                }
                if chunk.len() >= CHUNK_RECORDS || chunk_bytes >= CHUNK_BYTES {
                    let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_RECORDS));
                    chunk_bytes = 0;
                    if sender.send(Ok((at, full))).is_err() {
                        return;
                    }
                }
            }
        }
        if sender.send(Ok((at, chunk))).is_err() {
            return;
        }
    }
}

fn prepare_all(
    jobs: &[Job<'_>],
    shared: &Shared,
    journal: Option<&Journal>,
    raw: &Receiver<Raw>,
    sender: &SyncSender<Result<(usize, Chunk)>>,
) {
    for (number, chunk) in raw.iter().enumerate() {
        let done = chunk.and_then(|(at, chunk)| Ok((at, prepared_chunk(chunk, number, &jobs[at], shared, journal)?)));
        let failed = done.is_err();
        if sender.send(done).is_err() || failed {
            return;
        }
    }
}

fn prepared_chunk(
    chunk: Vec<Unparsed>,
    number: usize,
    job: &Job<'_>,
    shared: &Shared,
    journal: Option<&Journal>,
) -> Result<Chunk> {
    let places: Vec<Place> = chunk.iter().map(|read| read.place().clone()).collect();
    if let Some(kept) = journal.and_then(|journal| journal.chunk(number, chunk.len())) {
        return Ok(places.into_iter().zip(kept).collect());
    }
    let rows: Vec<Result<Prepared, Dropped>> =
        chunk.into_par_iter().map(|read| prepared(read.parsed(), job, shared)).collect();
    if let Some(problem) = shared.failure() {
        return Err(problem.into());
    }
    if let Some(journal) = journal {
        journal.keep(number, &rows)?;
    }
    Ok(places.into_iter().zip(rows).collect())
}

fn prepared(read: Read, job: &Job<'_>, shared: &Shared) -> Result<Prepared, Dropped> {
    match read {
        Read::Record(record) => prepare(&record, job.databases, shared, job.options),
        Read::Bad(_, reason) => Err((Reason::Unreadable, reason)),
    }
}
