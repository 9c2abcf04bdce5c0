//! The keys of an adapter's random numbers: initial values and dropout masks per site.

use rayon::prelude::*;

use crate::kernels::random::{drop_row, mix};
use crate::model::{RowNoise, Site};

/// The word that stands for a site.
pub(super) fn site_word(site: Site) -> u64 {
    (site.layer as u64) << 8 | site.module as u64
}

/// The dropout masks of one linear's input [rows, inner] in one pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks<'a> {
    pub noise: RowNoise<'a>,
    pub site: Site,
    pub inner: usize,
    /// Probability of a zero.
    pub p: f64,
}

impl Masks<'_> {
    /// Multiplies x by the masks.
    pub(super) fn apply(&self, x: &mut [f32]) {
        let RowNoise { noise, rows } = self.noise;
        let site = site_word(self.site);
        x.par_chunks_exact_mut(self.inner).zip(rows).for_each(|(row, (sequence, offset))| {
            drop_row(row, mix(&[noise.seed, noise.step, *sequence, u64::from(*offset), site]), self.p);
        });
    }
}
