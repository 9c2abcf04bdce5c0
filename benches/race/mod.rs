//! Contestants run by turns in one process, so that ratios hold on a shared machine: a table of best and median, and
//! the best as a share of the first contestant's.
//!
//! Plain `harness = false` instead of criterion or divan: both time one case after the other, and a neighbour's load
//! that comes and goes would decide the ratio.

use std::io::{self, Write};
use std::time::Instant;

/// One contestant.
pub struct Contestant<'a> {
    name: &'static str,
    work: f64,
    run: Box<dyn FnMut() + 'a>,
}

/// A contestant that does `work` operations (or bytes) a run.
pub fn contestant<'a>(name: &'static str, work: f64, run: impl FnMut() + 'a) -> Contestant<'a> {
    Contestant { name, work, run: Box::new(run) }
}

/// Runs all by turns, `rounds` times, and prints the table. `unit` is that of 10⁹ of the work a second.
pub fn race(title: &str, unit: &str, rounds: usize, contestants: &mut [Contestant<'_>]) -> io::Result<()> {
    let mut seconds = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds {
        for (contestant, seconds) in contestants.iter_mut().zip(&mut seconds) {
            let start = Instant::now();
            (contestant.run)();
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "\n{title}  ({unit}: best, median; share of the first)")?;
    let mut first = None;
    for (contestant, seconds) in contestants.iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        let rate = |seconds: f64| contestant.work / seconds / 1e9;
        let (best, median) = (rate(seconds[0]), rate(seconds[rounds / 2]));
        let yardstick = *first.get_or_insert(best);
        writeln!(out, "  {:<36} {best:>9.2} {median:>9.2} {:>6.2}", contestant.name, best / yardstick)?;
    }
    Ok(())
}
