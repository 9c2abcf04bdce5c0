//! Numbers in memory that is used again. A training step asks for the same sizes over and over; memory fresh from the
//! system costs a page fault and a clearing for every 4 KiB, a fifth of a small model's step.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers below which memory is the allocator's business.
const POOLED_FROM: usize = 4096;

/// Calls of [`settle`] that memory may lie idle before it is given back.
const IDLE: u64 = 3;

/// A slice of numbers that owns its memory and lends it to the next buffer of its size when it is dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    /// All of it written once, so that what an earlier buffer left behind may be read.
    memory: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` numbers that nobody may rely on: whoever asks writes all of them.
    pub fn unspecified(len: usize) -> Self {
        if len < POOLED_FROM {
            return Self { memory: vec![0.0; len], len };
        }
        let memory = pool().take(len);
        // Allocated without the lock.
        let memory = memory.unwrap_or_else(|| vec![0.0; size_class(len)]);
        Self { memory, len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut zeros = Self::unspecified(len);
        zeros.fill(0.0);
        zeros
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut copy = Self::unspecified(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.memory.len() >= POOLED_FROM {
            pool().put(std::mem::take(&mut self.memory));
        }
    }
}

/// A step is over: memory that lay idle for several steps goes back to the system.
pub fn settle() {
    pool().settle();
}

/// Sizes are rounded up to sixteenths of a power of two, so that batches of nearly the same size share memory.
fn size_class(len: usize) -> usize {
    len.next_multiple_of(len.next_power_of_two() / 16)
}

/// Memory at rest by its size, each piece with the step in which it came.
struct Pool {
    idle: BTreeMap<usize, Vec<(u64, Vec<f32>)>>,
    step: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: BTreeMap::new(), step: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// The smallest piece that `len` numbers fit into, unless it is more than twice as large. Where there is none, as much
    /// smaller memory as will be allocated goes back to the system: the pool does not grow beyond what was in use at once.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        if let Some(size) = self.idle.range(len..=2 * len).next().map(|(size, _)| *size) {
            return self.pop(size);
        }
        let mut owed = len;
        while let Some(size) = self.idle.range(..len).next_back().map(|(size, _)| *size).filter(|_| owed > 0) {
            owed = owed.saturating_sub(size);
            self.pop(size);
        }
        None
    }

    fn pop(&mut self, size: usize) -> Option<Vec<f32>> {
        let pieces = self.idle.get_mut(&size)?;
        let memory = pieces.pop().map(|(_, memory)| memory);
        if pieces.is_empty() {
            self.idle.remove(&size);
        }
        memory
    }

    fn put(&mut self, memory: Vec<f32>) {
        self.idle.entry(memory.len()).or_default().push((self.step, memory));
    }

    fn settle(&mut self) {
        self.step += 1;
        let oldest = self.step.saturating_sub(IDLE);
        self.idle.retain(|_, pieces| {
            pieces.retain(|(step, _)| *step >= oldest);
            !pieces.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_length_that_was_asked_for_and_zeros_are_zero() {
        for len in [0, 1, 4095, 4096, 4097, 70_001] {
            let mut first = Buffer::unspecified(len);
            assert_eq!(first.len(), len);
            first.fill(7.0);
            let copy = first.clone();
            drop(first);
            assert!(Buffer::zeros(len).iter().all(|x| *x == 0.0));
            assert!(copy.len() == len && copy.iter().all(|x| *x == 7.0));
        }
    }

    #[test]
    fn memory_is_used_again_for_a_while_and_then_given_back() {
        let mut pool = Pool { idle: BTreeMap::new(), step: 0 };
        pool.put(vec![0.0; 8192]);
        assert!(pool.take(4000).is_none(), "too large");
        let memory = pool.take(8000).unwrap();
        pool.put(memory);
        (0..IDLE).for_each(|_| pool.settle());
        assert_eq!(pool.idle.len(), 1);
        pool.settle();
        assert!(pool.idle.is_empty());
    }

    #[test]
    fn what_is_too_small_makes_room_for_what_is_allocated() {
        let mut pool = Pool { idle: BTreeMap::new(), step: 0 };
        (0..3).for_each(|_| pool.put(vec![0.0; 5000]));
        assert!(pool.take(6000).is_none());
        assert_eq!(pool.idle[&5000].len(), 1);
        assert!(pool.take(6000).is_none());
        assert!(pool.idle.is_empty());
    }

    #[test]
    fn sizes_are_rounded_by_an_eighth_at_most() {
        for len in (4096..300_000).step_by(997) {
            let size = size_class(len);
            assert!((len..=len + len / 8).contains(&size), "{len} → {size}");
        }
    }
}
