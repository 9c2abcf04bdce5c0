//! Processes with a GPU each: gradients are added up by NCCL between the GPUs, everything small goes through MPI.
//!
//! Not built or run yet: see `docs/GPU.md`.

use std::sync::Arc;

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaStream, DriverError};
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::safe::{Comm, Id, ReduceOp};

use super::Group;
use super::mpi::Ranks;
use crate::error::{Problem, Result};

/// Length of NCCL's unique id in bytes.
const ID: usize = 128;

/// The processes of a job and the ring of their GPUs.
#[derive(Debug)]
pub struct Gpus {
    ranks: Ranks,
    ring: Comm,
}

impl Gpus {
    /// Joins the ring with this process's GPU. Every process of the job has to, each with a GPU of its own.
    pub fn join(ranks: Ranks, device: &Device) -> Result<Self> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let mut bytes = match ranks.rank() {
            0 => Id::new().map_err(failed)?.internal().iter().map(|byte| byte.cast_unsigned()).collect(),
            _ => Vec::new(),
        };
        ranks.broadcast(&mut bytes)?;
        let mut id = [0; ID];
        id.iter_mut().zip(&bytes).for_each(|(to, from)| *to = from.cast_signed());
        let ring = Comm::from_rank(stream, ranks.rank(), ranks.size(), Id::uninit(id)).map_err(failed)?;
        Ok(Self { ranks, ring })
    }

    fn stream(&self) -> Arc<CudaStream> {
        self.ring.stream()
    }
}

impl Group for Gpus {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<()> {
        let stream = self.stream();
        let mut there = stream.clone_htod(&*numbers).map_err(lost)?;
        self.ring.all_reduce_in_place(&mut there, &ReduceOp::Sum).map_err(failed)?;
        stream.memcpy_dtoh(&there, numbers).map_err(lost)?;
        stream.synchronize().map_err(lost)
    }

    fn sum_f64(&self, numbers: &mut [f64]) -> Result<()> {
        self.ranks.sum_f64(numbers)
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<()> {
        self.ranks.broadcast(bytes)
    }
}

fn failed(error: NcclError) -> anyhow::Error {
    Problem::failed("the GPUs of this job cannot reach each other").detail(format!("NCCL: {error:?}")).into()
}

fn lost(error: DriverError) -> anyhow::Error {
    Problem::resource("the GPU does not answer").detail(error.to_string()).into()
}
