//! Training by several processes as the command line sees it: whether this process was started as one of several, who
//! speaks, and how all of them end.
//!
//! Only the first process speaks to people. One that fails ends them all, since the others would wait for its numbers
//! for ever.

use candle_core::Device;

use super::ui::Ui;
use crate::error::{Exit, Problem, Result, classify};
use crate::train::group::{Alone, Group};

/// What launchers set in the environment of every process: its number.
#[cfg(feature = "mpi")]
const NUMBERS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
/// The same: how many there are.
#[cfg(not(feature = "mpi"))]
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// The same: its number on its machine.
const LOCAL_NUMBERS: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];

/// How long the first process has to say what is wrong before another one does.
const FIRST_WORD: std::time::Duration = std::time::Duration::from_secs(1);

/// This process's number among those on its machine: the GPU that is its own.
pub(super) fn on_this_machine() -> usize {
    let number = LOCAL_NUMBERS.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
    number.unwrap_or(0)
}

/// Joins the processes that `mpirun` or `srun` started beside this one; alone where none did. With a GPU each, built with
/// `nccl`, the GPUs talk to each other.
#[cfg(feature = "mpi")]
pub(super) fn join(device: Option<&Device>) -> Result<Box<dyn Group>> {
    if !NUMBERS.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(Box::new(Alone));
    }
    let ranks = crate::train::group::mpi::join()?;
    #[cfg(feature = "nccl")]
    if let Some(device) = device.filter(|device| device.is_cuda()) {
        return Ok(Box::new(crate::train::group::nccl::Gpus::join(ranks, device)?));
    }
    let _ = device;
    Ok(Box::new(ranks))
}

/// A build without MPI is one process: started as several it would train the same thing several times.
#[cfg(not(feature = "mpi"))]
pub(super) fn join(_: Option<&Device>) -> Result<Box<dyn Group>> {
    let size = SIZES.iter().find_map(|name| std::env::var(name).ok()?.parse::<usize>().ok());
    match size {
        Some(size) if size > 1 => {
            Err(Problem::usage(format!("started as one of {size} processes, but this build trains in one only"))
                .hint("`cargo build --release --features mpi` makes one that trains in several")
                .into())
        }
        _ => Ok(Box::new(Alone)),
    }
}

/// The console of this process: the first speaks, the others only say why they failed.
pub(super) fn console(group: &dyn Group, ui: &Ui) -> Ui {
    if group.rank() == 0 { ui.clone() } else { ui.silent() }
}

/// What a process ended with, as `main` is to hear it: the first says everything itself; the others leave the word to it
/// where all ended alike, and say what was wrong with them alone.
pub(super) fn said_once(group: &dyn Group, ui: &Ui, result: Result<()>) -> Result<()> {
    let Err(error) = result else { return Ok(()) };
    let (exit, hint) = classify(&error);
    if group.rank() == 0 {
        return Err(error);
    }
    if exit != Exit::Interrupted {
        // What went wrong everywhere was said by the first process meanwhile, and this one was ended.
        std::thread::sleep(FIRST_WORD);
        ui.error(&error.context(format!("process {} of {}", group.rank(), group.size())), exit, hint.as_deref());
    }
    Err(Problem::reported(exit).into())
}

/// Ends the job: together where all came to the same end, at once for all where one failed. Nothing to do for a process
/// that is alone.
pub(super) fn end(exit: Option<Exit>) {
    #[cfg(feature = "mpi")]
    match exit {
        None | Some(Exit::Interrupted) => crate::train::group::mpi::leave(),
        Some(exit) => crate::train::group::mpi::abort(exit.code()),
    }
    #[cfg(not(feature = "mpi"))]
    let _ = exit;
}
