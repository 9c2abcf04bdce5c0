//! Rotary position embedding (Su et al. 2021) in the half-split form of HF: pairs (i, i + d/2) of each head are turned
//! by position · frequency(i). The backward is the rotation by the negative angle.

use rayon::prelude::*;

/// cos and sin of every position and frequency, in f32 from f64 angles.
#[derive(Debug, Clone)]
pub struct Table {
    /// [positions, half]
    cos: Vec<f32>,
    /// [positions, half]
    sin: Vec<f32>,
    half: usize,
}

impl Table {
    /// Angles position · `frequencies[i]` for positions `0..positions`; cos and sin are multiplied by `magnitude`
    /// (YaRN's attention factor, else 1).
    pub fn new(frequencies: &[f64], positions: usize, magnitude: f64) -> Self {
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (cos, sin) = angles.map(|a| ((a.cos() * magnitude) as f32, (a.sin() * magnitude) as f32)).unzip();
        Self { cos, sin, half: frequencies.len() }
    }

    /// cos and sin of rows at these positions, [rows, half] each.
    pub fn rows(&self, positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let pick = |from: &[f32]| {
            let row = |p: &u32| &from[*p as usize * self.half..][..self.half];
            positions.iter().flat_map(row).copied().collect()
        };
        (pick(&self.cos), pick(&self.sin))
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }
}

/// Which way to turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The forward rotation.
    Forward,
    /// Its transpose: turns a gradient of the output into one of the input.
    Backward,
}

/// Turns every head of x [rows, heads · 2·half] in place; row i stands at `positions[i]`.
pub fn apply(x: &mut [f32], heads: usize, positions: &[u32], table: &Table, turn: Turn) {
    let half = table.half;
    let width = heads * 2 * half;
    assert_eq!(x.len(), positions.len() * width, "rope of rows of {width}");
    let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
    x.par_chunks_exact_mut(width).zip(positions.par_iter()).with_min_len(8).for_each(|(row, &position)| {
        let start = position as usize * half;
        let (cos, sin) = (&table.cos[start..start + half], &table.sin[start..start + half]);
        for head in row.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                let (x, y, s) = (*a, *b, sign * s);
                *a = x * c - y * s;
                *b = y * c + x * s;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, assert_gradient, dot, narrow, random64};

    /// HF's x·cos + rotate_half(x)·sin for one head.
    fn reference(x: &[f64], position: u32, frequencies: &[f64]) -> Vec<f64> {
        let half = frequencies.len();
        let angle = |i: usize| f64::from(position) * frequencies[i % half];
        let turned = |i: usize| if i < half { -x[i + half] } else { x[i - half] };
        (0..2 * half).map(|i| x[i] * angle(i).cos() + turned(i) * angle(i).sin()).collect()
    }

    #[test]
    fn turns_as_the_formula_says_and_backward_is_its_slope() {
        let frequencies = [1.0, 0.1, 0.003];
        let table = Table::new(&frequencies, 64, 1.0);
        for position in [0u32, 1, 17, 63] {
            let (x, dy) = (random64(12, 1), random64(12, 2));
            let both = |x: &[f64]| {
                [reference(&x[..6], position, &frequencies), reference(&x[6..], position, &frequencies)].concat()
            };
            let mut y = narrow(&x);
            apply(&mut y, 2, &[position], &table, Turn::Forward);
            assert_close(&y, &both(&x), 1e-6);
            let mut dx = narrow(&dy);
            apply(&mut dx, 2, &[position], &table, Turn::Backward);
            let dx: Vec<f64> = dx.iter().map(|v| f64::from(*v)).collect();
            let exact: Vec<f64> = (0..12)
                .map(|i| {
                    let mut e = vec![0.0; 12];
                    e[i] = 1.0;
                    dot(&both(&e), &dy)
                })
                .collect();
            assert_close(&narrow(&dx), &exact, 1e-6);
            assert_gradient(&x, &exact, |x| dot(&both(x), &dy));
        }
    }
}
