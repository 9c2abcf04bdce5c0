//! Random choices that are a pure function of what they are for: the seed and the row, never the order of the work.

use sha2::{Digest, Sha256};

/// A stream of draws (splitmix64) whose start is a hash of a seed and some texts.
#[derive(Debug, Clone)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The stream for these texts.
    pub fn of(seed: u64, parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(seed.to_le_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut start = [0u8; 8];
        start.copy_from_slice(&hasher.finalize()[..8]);
        Self { state: u64::from_le_bytes(start) }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.draw()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or_default()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: every value fits an f64.
        ((self.draw() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// The items in another order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_draw_the_same_and_others_do_not() {
        let first = |parts: &[&str]| Draws::of(1, parts).draw();
        assert_eq!(first(&["a", "b"]), first(&["a", "b"]));
        assert_ne!(first(&["a", "b"]), first(&["ab", ""]));
        let mut draws = Draws::of(7, &["x"]);
        let share = (0..10_000).filter(|_| draws.chance(0.8)).count();
        assert!((7_800..8_200).contains(&share), "{share}");
        let mut items: Vec<usize> = (0..20).collect();
        draws.shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert!(items != sorted && sorted == (0..20).collect::<Vec<_>>());
        assert_eq!(draws.below(0), 0);
    }
}
