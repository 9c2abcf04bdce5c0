//! Draws: a stream of numbers that is a pure function of its key, so that equal seeds give equal data sets.

use crate::kernels::random::mix;

/// A stream of draws. A copy draws the same numbers again: a pattern is written once for every dialect that way.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    key: u64,
    next: u64,
}

impl Draws {
    /// The stream of these words.
    pub fn new(words: &[u64]) -> Self {
        Self { key: mix(words), next: 0 }
    }

    fn word(&mut self) -> u64 {
        self.next += 1;
        mix(&[self.key, self.next])
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // A bound here is at most some thousands: the remainder's bias is under 1e-15.
        (self.word() % bound.max(1) as u64) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(usize::try_from(high - low).unwrap_or(0) + 1) as i64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        ((self.word() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len()))
    }

    /// `count` different items in random order; all of them where there are fewer.
    pub fn some<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut rest = items.to_vec();
        let mut chosen = Vec::with_capacity(count.min(rest.len()));
        while chosen.len() < count && !rest.is_empty() {
            let at = self.below(rest.len());
            chosen.push(rest.swap_remove(at));
        }
        chosen
    }

    /// The items in random order.
    pub fn shuffled<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        self.some(items, items.len())
    }
}

/// A hash of text that is the same on every machine.
pub(super) fn text_key(text: &str) -> u64 {
    let words: Vec<u64> = text.bytes().map(u64::from).collect();
    mix(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_draws_the_same_and_bounds_hold() {
        let mut a = Draws::new(&[1, 2]);
        let mut b = a.clone();
        for _ in 0..100 {
            let x = a.below(7);
            assert!(x < 7 && x == b.below(7));
            assert!((-3..=3).contains(&a.between(-3, 3)));
            b.between(-3, 3);
        }
        let mut all = a.shuffled(&[1, 2, 3, 4]);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4]);
        assert!(a.pick::<u8>(&[]).is_none());
    }
}
