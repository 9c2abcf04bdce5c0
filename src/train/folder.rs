//! The folder of a run, `weights/<model>/`: who may write there, which checkpoint is the latest and which the best,
//! which ones go, what `final` and `adapter` hold.
//!
//! `LATEST` and `BEST` hold the name of a checkpoint and are replaced atomically after the checkpoint they name is on
//! disk. Whoever holds the run's lock writes; a process that only takes part in the run holds none, and all that writes
//! does nothing there.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, Progress, TRAINING_ARGS};
use super::group::Group;
use super::metrics::Metrics;
use super::optim::Optimizer;
use super::report;
use super::student::Student;
use crate::error::{Problem, Result};
use crate::fsx;

const LATEST: &str = "LATEST";
const BEST: &str = "BEST";
const LOCK: &str = ".lock";

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// The latest complete checkpoint.
    Latest,
    /// This checkpoint: a folder, or its name inside the run's folder.
    At(PathBuf),
}

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// None: another process of the group holds it.
    lock: Option<fsx::Lock>,
}

impl RunFolder {
    /// Opens the folder (made if missing), locks it and sweeps what killed processes left.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = fsx::Lock::try_acquire(&path.join(LOCK), &format!("the run in {}", path.display()))?;
        fsx::sweep(path)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock) })
    }

    /// Opens the folder where this process is the group's first; the others only know where it is.
    pub fn open_for(group: &dyn Group, path: &Path) -> Result<Self> {
        if group.rank() == 0 { Self::open(path) } else { Ok(Self { path: path.to_owned(), lock: None }) }
    }

    fn writes(&self) -> bool {
        self.lock.is_some()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a folder that holds a run already: nothing is overwritten unasked.
    pub fn must_be_empty(&self) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        let mut held: Vec<String> = self.checkpoints()?.iter().map(|(_, path)| path.display().to_string()).collect();
        let last = self.path.join("final");
        held.extend(last.exists().then(|| last.display().to_string()));
        match held.last() {
            None => Ok(()),
            Some(newest) => Err(Problem::failed(format!("{} already holds a run", self.path.display()))
                .detail(format!("there is {newest}"))
                .hint("`--resume` goes on with it, `--restart` deletes it and starts anew, `--output DIR` leaves it alone")
                .into()),
        }
    }

    /// Deletes the run that is there.
    pub fn clear(&self) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        for (_, path) in self.checkpoints()? {
            fsx::remove(&path)?;
        }
        for name in [LATEST, BEST, "final", "adapter", TRAINING_ARGS, super::metrics::FILE, report::FILE] {
            fsx::remove(&self.path.join(name))?;
        }
        Ok(())
    }

    /// The checkpoints by rising step, complete or not.
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found: Vec<(u64, PathBuf)> = fsx::list_dir(&self.path)?
            .into_iter()
            .filter_map(|path| checkpoint::step_of(&path).map(|step| (step, path)))
            .collect();
        found.sort();
        Ok(found)
    }

    /// The checkpoint to go on from. Broken ones are passed over; `note` hears about each.
    pub fn find(&self, resume: &Resume, note: &mut dyn FnMut(&str)) -> Result<(PathBuf, Progress)> {
        if let Resume::At(wanted) = resume {
            let inside = self.path.join(wanted);
            let path = if inside.is_dir() { inside } else { wanted.clone() };
            if !path.is_dir() {
                let known: Vec<String> =
                    self.checkpoints()?.iter().map(|(step, _)| format!("checkpoint-{step}")).collect();
                return Err(Problem::input(format!("there is no checkpoint {}", wanted.display()))
                    .detail(format!(
                        "{} holds {}",
                        self.path.display(),
                        if known.is_empty() { "none".into() } else { known.join(", ") }
                    ))
                    .into());
            }
            let progress = checkpoint::inspect(&path)?;
            return Ok((path, progress));
        }
        let latest = self.pointer(LATEST);
        let mut candidates = self.checkpoints()?;
        // What LATEST names comes first, then older ones from new to old, then what is newer than LATEST says.
        candidates.sort_by_key(|(step, _)| (latest.is_some_and(|latest| *step > latest), std::cmp::Reverse(*step)));
        for (_, path) in &candidates {
            match checkpoint::inspect(path) {
                Ok(progress) => return Ok((path.clone(), progress)),
                Err(error) => note(&format!("passed over {}: {error:#}", path.display())),
            }
        }
        Err(Problem::input(format!("{} holds no complete checkpoint", self.path.display()))
            .hint("start without --resume")
            .into())
    }

    /// The checkpoint that rank 0 would go on from, for every process of the group. The others read it where they see the
    /// same path.
    pub fn find_for(
        &self,
        group: &dyn Group,
        resume: &Resume,
        note: &mut dyn FnMut(&str),
    ) -> Result<(PathBuf, Progress)> {
        let mut found = if self.writes() { Some(self.find(resume, note)?) } else { None };
        let path = found.as_ref().map(|(path, _)| path.to_string_lossy().into_owned());
        let mut path = path.unwrap_or_default().into_bytes();
        group.broadcast(&mut path)?;
        match found.take() {
            Some(found) => Ok(found),
            None => self.find(&Resume::At(String::from_utf8_lossy(&path).into_owned().into()), note),
        }
    }

    /// Writes the settings of the run.
    pub fn write_settings(&self, training_args: &serde_json::Value) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        checkpoint::write_json(&self.path.join(TRAINING_ARGS), training_args)
    }

    /// The run's metrics, cut back to `step`.
    pub fn metrics(&self, step: u64) -> Result<Metrics> {
        if self.writes() { Metrics::open(&self.path, step) } else { Ok(Metrics::nowhere()) }
    }

    /// Writes the checkpoint of `progress.step` and returns its folder.
    pub fn save(
        &self,
        student: &dyn Student,
        optimizer: &Optimizer,
        progress: Progress,
        training_args: &serde_json::Value,
    ) -> Result<PathBuf> {
        if !self.writes() {
            return Ok(checkpoint::folder(&self.path, progress.step));
        }
        checkpoint::write(&self.path, student, optimizer, progress, training_args)
    }

    /// Draws the curves so far.
    pub fn report(&self) -> Result<()> {
        if self.writes() { report::write(&self.path) } else { Ok(()) }
    }

    /// The step that LATEST or BEST names.
    fn pointer(&self, name: &str) -> Option<u64> {
        let text = fsx::read_text(&self.path.join(name)).ok()?;
        checkpoint::step_of(Path::new(text.trim()))
    }

    fn point(&self, name: &str, step: Option<u64>) -> Result<()> {
        let path = self.path.join(name);
        match step {
            _ if self.pointer(name) == step => Ok(()),
            Some(step) => fsx::write_atomic(&path, format!("checkpoint-{step}\n").as_bytes()),
            None => fsx::remove(&path),
        }
    }

    /// Names the latest and the best checkpoint, then deletes the oldest ones beyond `limit`; the latest and the best
    /// always stay. Checkpoints of a later step are left to the run that will reach them.
    pub fn keep(&self, step: u64, best: Option<u64>, limit: Option<usize>) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        self.point(BEST, best)?;
        self.point(LATEST, Some(step))?;
        fsx::failpoint("train.before_prune");
        let Some(limit) = limit else { return Ok(()) };
        let mut held: Vec<(u64, PathBuf)> =
            self.checkpoints()?.into_iter().filter(|(found, _)| *found <= step).collect();
        let mut index = 0;
        while held.len() > limit.max(1) && index < held.len() {
            let (found, path) = &held[index];
            if *found == step || Some(*found) == best {
                index += 1;
            } else {
                fsx::remove(path)?;
                held.remove(index);
            }
        }
        Ok(())
    }

    /// Publishes `final` (what was trained, and the settings) and, of an adapter, `adapter` (nothing else) from a
    /// checkpoint.
    pub fn publish(&self, student: &dyn Student, from: &Path, training_args: &serde_json::Value) -> Result<PathBuf> {
        let target = self.path.join("final");
        if !self.writes() {
            return Ok(target);
        }
        checkpoint::inspect(from)?;
        for (name, with_args) in [("final", true), ("adapter", false)] {
            if !with_args && !student.is_adapter() {
                continue;
            }
            let staging = fsx::Staging::new(&self.path.join(name))?;
            student.publish(from, staging.path())?;
            if with_args {
                checkpoint::write_json(&staging.path().join(TRAINING_ARGS), training_args)?;
            }
            staging.publish()?;
        }
        Ok(target)
    }
}
