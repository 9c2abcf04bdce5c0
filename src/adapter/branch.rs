//! LoRA and DoRA on one linear: forward, backward, norms, merge.
//!
//! With W [out, in], A [r, in], B [out, r], s the scaling, n the row norms of W + sBA (constant in the backward, DoRA
//! §4.3), g = m / n and U = xWᵀ + s(xAᵀ)Bᵀ:
//! LoRA  y = xWᵀ + b + s(x̂Aᵀ)Bᵀ; DoRA  y = g⊙U + b, and with dropout y = xWᵀ + b − x̂Wᵀ + g⊙U(x̂), as PEFT does it: the
//! magnitude acts on the dropped-out x̂, the base on x (peft lora/dora.py, lora/variants.py).

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::error::{Problem, Result};
use crate::kernels::buffer::Buffer;
use crate::kernels::gemm::small::{self, Product, Strided};
use crate::kernels::gemm::{Mat, MatMut, Write, matmul};
use crate::kernels::linear;
use crate::model::{Linear, Saved, Site};

/// Multiplies x [rows, in] by its dropout mask: the same one whenever it is called in a step.
pub(super) type Drop<'a> = dyn Fn(&mut [f32]) + Sync + 'a;

/// What one linear's adapter is made of, besides its parameters.
#[derive(Debug)]
pub(super) struct Branch {
    pub site: Site,
    pub rank: usize,
    pub scaling: f32,
    /// Indices of A, B and (DoRA) the magnitude among the adapter's parameters.
    pub a: usize,
    pub b: usize,
    pub m: Option<usize>,
    /// DoRA only.
    pub norms: Norms,
}

/// DoRA's row norms: those of the frozen weight once, those of W + sBA after every step; and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Norms {
    /// ‖W‖² per row.
    pub base_squared: Vec<f64>,
    /// n = ‖W + sBA‖ per row.
    pub n: Vec<f32>,
    /// g = m / n.
    pub gain: Vec<f32>,
    /// s·(g⊙B)ᵀ [r, out] (LoRA: s·Bᵀ), made by the first answer after a change.
    pub folded: OnceLock<Vec<f32>>,
}

/// The values of a branch's parameters.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub m: Option<&'a [f32]>,
}

/// Where a branch's gradients go.
pub(super) struct Grads<'a> {
    pub a: &'a mut [f32],
    pub b: &'a mut [f32],
    pub m: Option<&'a mut [f32]>,
}

impl Branch {
    /// n² = ‖W‖² + 2s·rowsum((WAᵀ)⊙B) + s²·rowsum((B(AAᵀ))⊙B), clamped at 0; W + sBA is never built.
    pub(super) fn refresh(&mut self, base: &Linear, values: Values<'_>) -> Result<()> {
        self.norms.folded = OnceLock::new();
        let Some(m) = values.m else { return Ok(()) };
        let (r, inner, out) = (self.rank, base.inner(), base.out());
        let mut projected = vec![0.0; r * out];
        // Exact: n² is a small difference of large sums, and PEFT leaves A unrounded.
        linear::few::products(base.weight().matrix(), values.a, &mut projected);
        let mut gram = vec![0.0; r * r];
        matmul(
            MatMut::new(&mut gram, r, r),
            Write::Set,
            1.0,
            Mat::new(values.a, r, inner),
            Mat::new(values.a, r, inner).t(),
        );
        let s = f64::from(self.scaling);
        let norm = |j: usize| {
            let b = &values.b[j * r..(j + 1) * r];
            let (mut cross, mut square) = (0.0, 0.0);
            for (k, bk) in b.iter().enumerate() {
                cross += f64::from(projected[j * r + k]) * f64::from(*bk);
                let row: f64 =
                    b.iter().zip(&gram[k * r..(k + 1) * r]).map(|(x, g)| f64::from(*x) * f64::from(*g)).sum();
                square += row * f64::from(*bk);
            }
            (self.norms.base_squared[j] + 2.0 * s * cross + s * s * square).max(0.0).sqrt() as f32
        };
        let n: Vec<f32> = (0..out).into_par_iter().map(norm).collect();
        if let Some(row) = n.iter().position(|n| *n == 0.0 || !n.is_finite()) {
            return Err(Problem::failed(format!("{}: row {row} of the adapted weight has norm {}", self.site, n[row]))
                .hint("DoRA divides by this norm; use adapter_type \"lora\" or another base model")
                .into());
        }
        self.norms.gain = m.iter().zip(&n).map(|(m, n)| m / n).collect();
        self.norms.n = n;
        Ok(())
    }

    /// y [rows, out] = the adapted linear of x [rows, in].
    pub(super) fn forward(
        &self,
        base: &Linear,
        values: Values<'_>,
        x: &[f32],
        y: &mut [f32],
        saved: Option<&mut Saved>,
        drop: Option<&Drop<'_>>,
    ) {
        if saved.is_none() && drop.is_none() && x.len() <= linear::FEW_ROWS * base.inner() {
            return self.answer(base, values, x, y);
        }
        let dropped = dropped(x, drop);
        let branch_input = dropped.as_deref().unwrap_or(x);
        let low_rank = self.low_rank(base, values, branch_input);
        let mut keep = Buffer::default();
        if values.m.is_none() {
            base.forward(x, y);
            self.add_branch(base, values, &low_rank, y);
        } else {
            // U, the product before the magnitude.
            base.product(branch_input, y);
            let base_of_dropped = dropped.is_some().then(|| Buffer::from(&*y));
            self.add_branch(base, values, &low_rank, y);
            if saved.is_some() {
                keep = Buffer::unspecified(y.len());
            }
            let bias = base.bias();
            finish(y, &mut keep, &self.norms.gain, if dropped.is_none() { bias } else { None });
            if let Some(mut base_term) = base_of_dropped {
                // y = xWᵀ − x̂Wᵀ + g⊙U.
                for (y, p) in y.iter_mut().zip(base_term.iter()) {
                    *y -= p;
                }
                base.product(x, &mut base_term);
                for (y, p) in y.iter_mut().zip(base_term.iter()) {
                    *y += p;
                }
                if let Some(bias) = bias {
                    linear::add_bias(y, bias);
                }
            }
        }
        if let Some(saved) = saved {
            saved.0 = vec![low_rank, keep];
        }
    }

    /// [`Branch::forward`] of a few rows while answering: beside the base's product two small ones in one pass each, with
    /// s, g and B folded into one matrix.
    fn answer(&self, base: &Linear, values: Values<'_>, x: &[f32], y: &mut [f32]) {
        base.product(x, y);
        let (rows, out, r) = (x.len() / base.inner(), base.out(), self.rank);
        let a = linear::Matrix::new(linear::Values::F32(values.a), r, base.inner());
        let mut low_rank = vec![0.0; r * rows];
        linear::few::products(a, x, &mut low_rank);
        if values.m.is_some() {
            for y in y.chunks_exact_mut(out) {
                y.iter_mut().zip(&self.norms.gain).for_each(|(y, g)| *y *= g);
            }
        }
        let folded = self.norms.folded.get_or_init(|| self.fold(out, values));
        let product = Product::new((rows, r, out), out, out, Write::Add);
        small::multiply(y, product, Strided::columns(&low_rank, rows), folded);
        if let Some(bias) = base.bias() {
            linear::add_bias(y, bias);
        }
    }

    /// s·(g⊙B)ᵀ [r, out]; LoRA: s·Bᵀ.
    fn fold(&self, out: usize, values: Values<'_>) -> Vec<f32> {
        let mut folded = vec![0.0; self.rank * out];
        small::transpose(&mut folded, out, values.b, self.rank, (out, self.rank));
        for row in folded.chunks_exact_mut(out) {
            row.iter_mut().for_each(|b| *b *= self.scaling);
            if values.m.is_some() {
                row.iter_mut().zip(&self.norms.gain).for_each(|(b, g)| *b *= g);
            }
        }
        folded
    }

    /// Adds dA = (sHB)ᵀx̂, dB = sHᵀ(x̂Aᵀ), dm = Σ dy⊙U / n with H = g⊙dy (LoRA: H = dy), and
    /// dx += HW + (sHB)A, with dropout dx += dy·W + mask⊙((dy⊙(g−1))W + (sHB)A).
    #[expect(clippy::too_many_arguments, reason = "everything one linear's backward needs")]
    pub(super) fn backward(
        &self,
        base: &Linear,
        values: Values<'_>,
        grads: Grads<'_>,
        x: &[f32],
        saved: &Saved,
        drop: Option<&Drop<'_>>,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let (r, inner, out, s) = (self.rank, base.inner(), base.out(), self.scaling);
        let rows = x.len() / inner;
        let dropped = dropped(x, drop);
        let branch_input = dropped.as_deref().unwrap_or(x);
        let (low_rank, product) = match saved.0.as_slice() {
            [low_rank, product] => (&**low_rank, &**product),
            _ => (&[][..], &[][..]),
        };
        let gain = values.m.map(|_| self.norms.gain.as_slice());
        if let Some(dm) = grads.m {
            add_magnitude_gradient(dm, dy, product, &self.norms.n);
        }
        // H = g⊙dy is not built: g scales the rows of dyᵀ(x̂Aᵀ) and of B, and the columns of dy inside the product.
        let mut db = vec![0.0; out * r];
        matmul(MatMut::new(&mut db, out, r), Write::Set, s, Mat::new(dy, rows, out).t(), Mat::new(low_rank, rows, r));
        for (row, (to, from)) in grads.b.chunks_exact_mut(r).zip(db.chunks_exact(r)).enumerate() {
            let g = gain.map_or(1.0, |gain| gain[row]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to += g * from);
        }
        let mut b = values.b.to_vec();
        for (b, g) in b.chunks_exact_mut(r).zip(gain.unwrap_or_default()) {
            b.iter_mut().for_each(|b| *b *= g);
        }
        let mut d_low_rank = vec![0.0; rows * r];
        matmul(MatMut::new(&mut d_low_rank, rows, r), Write::Set, s, Mat::new(dy, rows, out), Mat::new(&b, out, r));
        let d_low_rank = Mat::new(&d_low_rank, rows, r);
        matmul(MatMut::new(grads.a, r, inner), Write::Add, 1.0, d_low_rank.t(), Mat::new(branch_input, rows, inner));

        let a = Mat::new(values.a, r, inner);
        let matrix = base.weight().matrix();
        if dropped.is_none() {
            match gain {
                Some(gain) => linear::backward_input_scaled(dy, gain, rows, matrix, dx, Write::Add),
                None => base.backward_input(dy, dx),
            }
            matmul(MatMut::new(dx, rows, inner), Write::Add, 1.0, d_low_rank, a);
            return;
        }
        base.backward_input(dy, dx);
        let mut through = Buffer::unspecified(rows * inner);
        matmul(MatMut::new(&mut through, rows, inner), Write::Set, 1.0, d_low_rank, a);
        if let Some(gain) = gain {
            let rest: Vec<f32> = gain.iter().map(|g| g - 1.0).collect();
            linear::backward_input_scaled(dy, &rest, rows, matrix, &mut through, Write::Add);
        }
        if let Some(drop) = drop {
            drop(&mut through);
        }
        dx.iter_mut().zip(through.iter()).for_each(|(dx, t)| *dx += t);
    }

    /// The merged weight g⊙(W + sBA), [out, in]; LoRA: W + sBA.
    pub(super) fn merged(&self, base: &Linear, values: Values<'_>) -> Vec<f32> {
        let (r, inner, out) = (self.rank, base.inner(), base.out());
        let mut merged = vec![0.0; out * inner];
        let matrix = base.weight().matrix();
        merged.par_chunks_exact_mut(inner).enumerate().for_each(|(row, into)| matrix.widen_row(row, into));
        let (a, b) = (Mat::new(values.a, r, inner), Mat::new(values.b, out, r));
        matmul(MatMut::new(&mut merged, out, inner), Write::Add, self.scaling, b, a);
        if values.m.is_some() {
            merged
                .par_chunks_exact_mut(inner)
                .zip(&self.norms.gain)
                .for_each(|(row, g)| row.iter_mut().for_each(|w| *w *= g));
        }
        merged
    }

    /// x·Aᵀ [rows, r].
    fn low_rank(&self, base: &Linear, values: Values<'_>, x: &[f32]) -> Buffer {
        let rows = x.len() / base.inner();
        let mut low_rank = Buffer::unspecified(rows * self.rank);
        let a = Mat::new(values.a, self.rank, base.inner()).t();
        matmul(MatMut::new(&mut low_rank, rows, self.rank), Write::Set, 1.0, Mat::new(x, rows, base.inner()), a);
        low_rank
    }

    /// y += s·(xAᵀ)·Bᵀ.
    fn add_branch(&self, base: &Linear, values: Values<'_>, low_rank: &[f32], y: &mut [f32]) {
        let rows = low_rank.len() / self.rank;
        let b = Mat::new(values.b, base.out(), self.rank).t();
        matmul(MatMut::new(y, rows, base.out()), Write::Add, self.scaling, Mat::new(low_rank, rows, self.rank), b);
    }
}

/// The dropped-out copy of x; none where nothing is dropped.
fn dropped(x: &[f32], drop: Option<&Drop<'_>>) -> Option<Buffer> {
    drop.map(|drop| {
        let mut dropped = Buffer::from(x);
        drop(&mut dropped);
        dropped
    })
}

/// keep = y (unless it is empty), then y = gain⊙y + bias, in one pass.
fn finish(y: &mut [f32], keep: &mut [f32], gain: &[f32], bias: Option<&[f32]>) {
    let n = gain.len();
    let scale = |y: &mut [f32]| {
        y.iter_mut().zip(gain).for_each(|(y, g)| *y *= g);
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    };
    if keep.is_empty() {
        return y.par_chunks_exact_mut(n).with_min_len(8).for_each(scale);
    }
    y.par_chunks_exact_mut(n).zip(keep.par_chunks_exact_mut(n)).with_min_len(8).for_each(|(y, keep)| {
        keep.copy_from_slice(y);
        scale(y);
    });
}

/// dmⱼ += Σᵢ dyᵢⱼ·Uᵢⱼ / nⱼ, summed over the rows in order.
fn add_magnitude_gradient(dm: &mut [f32], dy: &[f32], product: &[f32], n: &[f32]) {
    const COLUMNS: usize = 256;
    let out = n.len();
    dm.par_chunks_mut(COLUMNS).zip(n.par_chunks(COLUMNS)).enumerate().for_each(|(chunk, (dm, n))| {
        let first = chunk * COLUMNS;
        let mut sums = vec![0.0f32; dm.len()];
        for (dy, u) in dy.chunks_exact(out).zip(product.chunks_exact(out)) {
            for ((sum, dy), u) in sums.iter_mut().zip(&dy[first..]).zip(&u[first..]) {
                *sum += dy * u;
            }
        }
        for ((dm, sum), n) in dm.iter_mut().zip(sums).zip(n) {
            *dm += sum / n;
        }
    });
}

#[cfg(test)]
mod tests;
