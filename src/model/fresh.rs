//! Where a decoder's tensors come from: the files of a checkpoint, or random numbers for training from scratch.

use super::weight::{Checkpoint, Weight};
use crate::error::Result;
use crate::kernels::random::{mix, normal};

/// Tensors by their HF names.
pub(super) trait Tensors {
    /// A [rows, cols] weight.
    fn weight(&self, name: &str, rows: usize, cols: usize) -> Result<Weight>;
    /// A norm or bias `[len]`.
    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>>;
}

impl Tensors for Checkpoint {
    fn weight(&self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        Checkpoint::weight(self, name, rows, cols)
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        Checkpoint::vector(self, name, len)
    }
}

/// Initial values as transformers draws them: linears and embedding N(0, `initializer_range`²), norms 1, biases 0. A
/// tensor's numbers hang on the seed and its name alone.
pub(super) struct Fresh {
    pub seed: u64,
    /// `initializer_range` of config.json.
    pub deviation: f64,
}

impl Tensors for Fresh {
    fn weight(&self, name: &str, rows: usize, cols: usize) -> Result<Weight> {
        let key = name.bytes().fold(mix(&[self.seed]), |key, byte| mix(&[key, u64::from(byte)]));
        Ok(Weight::from_f32(normal(key, rows * cols, self.deviation), rows, cols))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(vec![if name.ends_with(".bias") { 0.0 } else { 1.0 }; len])
    }
}
