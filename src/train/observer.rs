//! Who watches a run. The loop calls, it never prints.

use std::path::Path;

use super::metrics::Record;

/// What a watcher hears. Every method may be left out.
pub trait Observer {
    /// An optimiser step is done; the record holds what is known now (the loss is that of this step).
    fn step(&mut self, _record: &Record, _total: u64) {}
    /// `done` of `of` validation rows are evaluated.
    fn evaluating(&mut self, _done: usize, _of: usize) {}
    /// An evaluation is done. `best`: it is the best so far.
    fn evaluated(&mut self, _record: &Record, _best: bool) {}
    /// A checkpoint is on disk.
    fn saved(&mut self, _path: &Path) {}
    /// Something a person should know.
    fn note(&mut self, _text: &str) {}
}

/// Nobody watches.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
