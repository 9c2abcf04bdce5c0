//! A fast hash for small integer keys (FxHash's multiply-rotate, public domain): the standard one costs five times as
//! much, and nobody outside chooses these keys.

use std::hash::{BuildHasherDefault, Hasher};

/// A map with the fast hash.
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Fast>>;
/// A set with the fast hash.
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<Fast>>;

/// The state of the hash.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits, the product is good in the high ones.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}
