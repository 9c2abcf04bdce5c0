//! Processes that `mpirun` or `srun` started, on one machine or many, by MPI.
//!
//! A process that cannot go on must not leave the others waiting for it: [`abort`] ends them all, and a panic does so by
//! itself. MPI's own errors end the job with MPI's message.

use std::sync::{Mutex, PoisonError};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};

use super::Group;
use crate::error::{Exit, Problem, Result};

/// Bytes of one broadcast message: MPI counts in i32.
const MESSAGE: usize = 1 << 24;

/// MPI, from [`join`] to [`leave`].
static JOINED: Mutex<Option<Universe>> = Mutex::new(None);

/// The processes of this job.
#[derive(Debug)]
pub struct Ranks {
    rank: usize,
    size: usize,
}

/// Joins the job that started this process. From then on a panic ends the whole job.
pub fn join() -> Result<Ranks> {
    let (universe, threads) = mpi::initialize_with_threading(Threading::Multiple)
        .ok_or_else(|| Problem::failed("this process has joined its job already"))?;
    // Numbers are exchanged by one thread, but a panic may come from any.
    if threads < Threading::Serialized {
        return Err(Problem::failed("this MPI cannot be called from several threads").into());
    }
    let world = universe.world();
    let ranks = Ranks { rank: world.rank() as usize, size: world.size() as usize };
    *JOINED.lock().unwrap_or_else(PoisonError::into_inner) = Some(universe);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        abort(Exit::Failed.code());
    }));
    Ok(ranks)
}

/// Leaves the job together with all others.
pub fn leave() {
    let universe = JOINED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if universe.is_some() {
        let _ = std::panic::take_hook();
    }
    drop(universe);
}

/// Ends every process of the job with this exit code. Does nothing in a process that has joined none.
pub fn abort(code: u8) {
    // A thread that holds the lock is joining or leaving; then there is nothing to end yet, or no more.
    if JOINED.try_lock().is_ok_and(|joined| joined.is_some()) {
        SimpleCommunicator::world().abort(i32::from(code));
    }
}

impl Group for Ranks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<()> {
        let own = numbers.to_vec();
        SimpleCommunicator::world().all_reduce_into(&own[..], numbers, SystemOperation::sum());
        Ok(())
    }

    fn sum_f64(&self, numbers: &mut [f64]) -> Result<()> {
        let own = numbers.to_vec();
        SimpleCommunicator::world().all_reduce_into(&own[..], numbers, SystemOperation::sum());
        Ok(())
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<()> {
        let world = SimpleCommunicator::world();
        let root = world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        bytes.chunks_mut(MESSAGE).for_each(|piece| root.broadcast_into(piece));
        Ok(())
    }
}
