//! A team of threads for many short pieces of work one after the other: decoding a token is some two hundred products
//! of microseconds, and waking a sleeping thread for each would cost more than the product.
//!
//! [`work_together`] borrows rayon's threads for as long as it runs. They wait for work spinning, give their core away
//! to whoever needs it more, and go home at the end. Inside it [`chunks_mut`] hands pieces to all of them; anywhere else
//! it goes through rayon. Nobody has to come: what no helper takes, the leader does itself. Pieces are independent, so
//! who does what changes no bit.
#![expect(unsafe_code, reason = "pieces of one buffer are handed to threads that outlive no borrow")]

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use rayon::prelude::*;

/// Rounds of spinning before a waiting thread offers its core to others. Smaller ones make the system call between two
/// products of a small model; larger ones keep the core from a neighbour for longer: this is about 20 µs.
const SPINS: u32 = 2_000;

/// Helpers at most: decoding is bound by memory, which a few cores exhaust.
const HELPERS: usize = 15;

/// Bytes of a piece at most. Larger ones leave threads idle at the end, smaller ones begin more streams from memory.
const LARGEST_PIECE: usize = 1 << 17;

/// One piece of work: the job with the index of the piece.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// What the threads of a team share.
#[derive(Default)]
struct Team {
    /// Pieces of the job in the upper half, how many are taken in the lower one. All are taken between two jobs.
    ticket: AtomicU64,
    /// Pieces done.
    done: AtomicUsize,
    /// The job, behind one more pointer because a `dyn` is two words; valid while a taken piece is not done.
    job: AtomicPtr<&'static Job<'static>>,
    /// A piece panicked.
    failed: AtomicBool,
    /// The leader has gone home.
    closed: AtomicBool,
}

thread_local! {
    /// The team that this thread leads.
    static LED: Cell<*const Team> = const { Cell::new(ptr::null()) };
    /// Whether this thread leads or helps. Rayon may hand a call for help to one that does already, while it waits for
    /// something else; staying there would keep both waiting for ever.
    static TAKES_PART: Cell<bool> = const { Cell::new(false) };
}

/// Counts a piece as done, also when it panics.
struct Done<'a>(&'a Team);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        self.0.done.fetch_add(1, Ordering::Release);
    }
}

impl Team {
    /// Takes a piece, does it, and says whether there was one.
    fn take(&self) -> bool {
        let ticket = self.ticket.load(Ordering::Acquire);
        let (count, taken) = (ticket >> 32, ticket & u64::from(u32::MAX));
        if taken >= count {
            return false;
        }
        if self.ticket.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true; // somebody else took it: look again
        }
        let done = Done(self);
        // SAFETY: the piece is ours and not done, so the leader is still inside `share`, whose job this is: it was
        // stored before the ticket that we took from.
        let job = unsafe { *self.job.load(Ordering::Relaxed) };
        job(taken as usize);
        drop(done);
        true
    }

    /// Works for the leader until it goes home.
    fn help(&self) {
        if TAKES_PART.get() {
            return;
        }
        let _part = TakesPart::begin();
        let mut idle = 0;
        while !self.closed.load(Ordering::Acquire) {
            idle = if self.take() { 0 } else { wait(idle) };
        }
    }

    /// Does all pieces of a job, together with whoever helps.
    fn share(&self, count: usize, job: &Job<'_>) {
        assert!(u32::try_from(count).is_ok(), "pieces of a job");
        // SAFETY: only the lifetime changes. `Finish` keeps this frame, and with it the borrow, until every taken piece
        // is done and no other can be taken, also when a piece panics.
        let job: &Job<'static> = unsafe { std::mem::transmute::<&Job<'_>, &Job<'static>>(job) };
        let mut job = job;
        self.done.store(0, Ordering::Relaxed);
        self.job.store(&raw mut job, Ordering::Relaxed);
        self.ticket.store((count as u64) << 32, Ordering::Release);
        let finish = Finish(self);
        while self.take() {}
        drop(finish);
        assert!(!self.failed.load(Ordering::Relaxed), "a thread failed in a shared product");
    }
}

/// Ends a job: nothing more is taken, and what was taken gets done.
struct Finish<'a>(&'a Team);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let ticket = self.0.ticket.swap(0, Ordering::AcqRel);
        let taken = (ticket & u64::from(u32::MAX)) as usize;
        let mut idle = 0;
        while self.0.done.load(Ordering::Acquire) < taken {
            idle = wait(idle);
        }
    }
}

/// One round of waiting; the number of rounds so far.
fn wait(idle: u32) -> u32 {
    if idle < SPINS {
        std::hint::spin_loop();
        idle + 1
    } else {
        std::thread::yield_now();
        idle
    }
}

/// While it lives, the thread takes part in a team.
struct TakesPart(bool);

impl TakesPart {
    fn begin() -> Self {
        Self(TAKES_PART.replace(true))
    }
}

impl Drop for TakesPart {
    fn drop(&mut self) {
        TAKES_PART.set(self.0);
    }
}

/// Ends a team, also when its leader panics.
struct Home<'a>(&'a Team, *const Team);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        LED.set(self.1);
        self.0.closed.store(true, Ordering::Release);
    }
}

/// Runs `work` with every thread of the pool standing by for the [`chunks_mut`] inside it.
pub fn work_together<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let helpers = (rayon::current_num_threads() - 1).min(HELPERS);
    if helpers == 0 || !LED.get().is_null() {
        return work();
    }
    let team = Team::default();
    rayon::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| team.help());
        }
        let _part = TakesPart::begin();
        let _home = Home(&team, LED.replace(&raw const team));
        work()
    })
}

/// Into how many pieces a job that reads `bytes` is cut: enough for everybody, none so small that handing it out costs
/// more than doing it (half a microsecond in a team, several outside).
pub fn pieces(bytes: usize) -> usize {
    let (threads, smallest) = match LED.get().is_null() {
        true => (rayon::current_num_threads(), 1 << 17),
        false => (rayon::current_num_threads().min(HELPERS + 1), 1 << 14),
    };
    bytes.div_ceil(LARGEST_PIECE).next_multiple_of(threads).min(bytes / smallest).max(1)
}

/// Calls `task` with the index of every chunk of `data` of `size` numbers and the chunk itself, on all threads.
pub fn chunks_mut(data: &mut [f32], size: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    let (len, count) = (data.len(), data.len().div_ceil(size.max(1)));
    if count < 2 {
        return data.chunks_mut(size).for_each(|chunk| task(0, chunk));
    }
    let led = LED.get();
    if led.is_null() {
        return data.par_chunks_mut(size).enumerate().for_each(|(index, chunk)| task(index, chunk));
    }
    let start = Start(data.as_mut_ptr());
    let piece = |index: usize| {
        let first = index * size;
        // SAFETY: chunks of different indices do not overlap and lie inside `data`, which is borrowed mutably until
        // every piece is done; each index is taken once.
        let chunk = unsafe { std::slice::from_raw_parts_mut(start.at(first), size.min(len - first)) };
        task(index, chunk);
    };
    // SAFETY: `led` is the team of a `work_together` that this thread is in: it lives until that returns. A nested job
    // would take the place of the one that runs, so it is led by nobody while this one runs.
    let team = unsafe { &*led };
    let _busy = Busy(LED.replace(ptr::null()));
    team.share(count, &piece);
}

/// Puts the leader's team back.
struct Busy(*const Team);

impl Drop for Busy {
    fn drop(&mut self) {
        LED.set(self.0);
    }
}

/// Where the chunks begin.
struct Start(*mut f32);

// SAFETY: every thread makes its own chunks from it, see `chunks_mut`.
unsafe impl Sync for Start {}

impl Start {
    fn at(&self, first: usize) -> *mut f32 {
        self.0.wrapping_add(first)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Every chunk comes once, whoever does it, many jobs long, and nested calls work too.
    #[test]
    fn every_chunk_comes_once() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = || {
                for round in 0..2_000 {
                    let mut data = vec![0.0; 1 + round % 301];
                    chunks_mut(&mut data, 1 + round % 7, |index, chunk| {
                        chunk.iter_mut().for_each(|x| *x += 1.0 + index as f32);
                        let mut inner = [0.0; 9];
                        chunks_mut(&mut inner, 2, |_, chunk| chunk.fill(1.0));
                        assert_eq!(inner, [1.0; 9]);
                    });
                    let right = data.iter().enumerate().all(|(i, x)| *x == 1.0 + (i / (1 + round % 7)) as f32);
                    assert!(right, "{threads} threads, round {round}");
                }
                7
            };
            assert_eq!(pool.install(|| work_together(run)), 7);
            pool.install(run);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_hangs_nobody() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for bad in 0..40 {
            let run = || {
                work_together(|| {
                    let mut data = vec![0.0; 40];
                    chunks_mut(&mut data, 1, |index, _| assert_ne!(index, bad, "injected"));
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(|| pool.install(run))).is_err());
        }
    }
}
