//! Quantised rows times a few rows of f32: decoding, and an adapter's W·Aᵀ. Strips are read once, where they lie.
//!
//! Activations are never rounded to the precision of the codes: results are those of f32 arithmetic on the dequantised
//! weight. A result is one sum in an order fixed by the width, so neither threads nor the other rows change a bit.

use super::{Blocks, PANEL, STRIP};
#[cfg(target_arch = "x86_64")]
use super::{Form, avx2, avx512, digits};
use crate::kernels::simd::{mul_add, multiversion};
use crate::kernels::team;

/// w [n, k], small [r, k] → out [n, r] = w·smallᵀ.
pub(in crate::kernels) fn products(w: &Blocks<'_>, small: &[f32], out: &mut [f32]) {
    let (n, k) = (w.rows(), w.cols());
    if n == 0 || k == 0 || small.is_empty() {
        return out.fill(0.0);
    }
    let r = small.len() / k;
    assert!(small.len() == r * k && out.len() == n * r, "[{n}, {k}] times {r} rows");
    let strips = w.strips.len().div_ceil(w.form().strip_bytes(k)).div_ceil(team::pieces(w.strips.len()));
    #[cfg(target_arch = "x86_64")]
    if avx512::has_vnni() {
        let blocks = match w.form() {
            Form::Nf4 => Vec::new(),
            _ => digits::digits(small),
        };
        let small = Small { floats: small, digits: &blocks, k };
        return team::chunks_mut(out, strips * STRIP * r, |task, out| {
            for (strip, out) in out.chunks_mut(STRIP * r).enumerate() {
                vnni(w, task * strips + strip, &small, out, r);
            }
        });
    }
    #[cfg(target_arch = "x86_64")]
    if avx2::available() {
        let sums = panel_sums(w, small);
        return team::chunks_mut(out, strips * STRIP * r, |task, out| {
            for (strip, out) in out.chunks_mut(STRIP * r).enumerate() {
                floats(w, task * strips + strip, small, &sums, out);
            }
        });
    }
    team::chunks_mut(out, strips * STRIP * r, |task, out| {
        for (strip, out) in out.chunks_mut(STRIP * r).enumerate() {
            plain(w, task * strips + strip, small, out);
        }
    });
}

/// The sums of the activations of each panel, which Q4_K's minima are multiplied with; nothing for the other forms.
#[cfg(target_arch = "x86_64")]
fn panel_sums(w: &Blocks<'_>, small: &[f32]) -> Vec<f32> {
    match w.form() {
        Form::Q4K => small.chunks_exact(PANEL).map(|panel| panel.iter().sum()).collect(),
        Form::Q8_0 | Form::Nf4 => Vec::new(),
    }
}

/// One strip in AVX2, two few rows at once.
#[cfg(target_arch = "x86_64")]
fn floats(w: &Blocks<'_>, strip: usize, small: &[f32], sums: &[f32], out: &mut [f32]) {
    let (k, r) = (w.cols(), small.len() / w.cols());
    let scales: Vec<[f32; STRIP]> = match w.form() {
        Form::Nf4 => (0..k / super::nf4::BLOCK).map(|block| w.scales.of(strip, block)).collect(),
        _ => Vec::new(),
    };
    let row = |at: usize| &small[at * k..][..k];
    let with_sums = |at: usize| (row(at), &sums[at * (k / PANEL)..][..k / PANEL]);
    for first in (0..r).step_by(2) {
        let mut write = |found: &[[f32; STRIP]]| {
            for (i, sums) in found.iter().enumerate() {
                out.chunks_exact_mut(r).zip(sums).for_each(|(row, sum)| row[first + i] = *sum);
            }
        };
        let pair = first + 1 < r;
        match w.form() {
            Form::Q8_0 if pair => write(&avx2::q8_0(w.strip(strip), [row(first), row(first + 1)])),
            Form::Q8_0 => write(&avx2::q8_0(w.strip(strip), [row(first)])),
            Form::Q4K if pair => write(&avx2::q4_k(w.strip(strip), [with_sums(first), with_sums(first + 1)])),
            Form::Q4K => write(&avx2::q4_k(w.strip(strip), [with_sums(first)])),
            Form::Nf4 if pair => write(&avx2::nf4(w.strip(strip), &scales, [row(first), row(first + 1)])),
            Form::Nf4 => write(&avx2::nf4(w.strip(strip), &scales, [row(first)])),
        }
    }
}

/// The few rows in both forms.
#[cfg(target_arch = "x86_64")]
struct Small<'a> {
    floats: &'a [f32],
    digits: &'a [digits::Block],
    k: usize,
}

/// One strip, four few rows at once and the last ones by the smaller forms.
#[cfg(target_arch = "x86_64")]
fn vnni(w: &Blocks<'_>, strip: usize, small: &Small<'_>, out: &mut [f32], r: usize) {
    let scales: Vec<[f32; STRIP]> = match w.form() {
        Form::Nf4 => avx512::nf4_scales(&w.scales, strip),
        _ => Vec::new(),
    };
    let mut first = 0;
    while first < r {
        first += match r - first {
            1 => some::<1>(w, strip, small, &scales, first, out, r),
            2 => some::<2>(w, strip, small, &scales, first, out, r),
            3 => some::<3>(w, strip, small, &scales, first, out, r),
            _ => some::<4>(w, strip, small, &scales, first, out, r),
        };
    }
}

#[cfg(target_arch = "x86_64")]
fn some<const COUNT: usize>(
    w: &Blocks<'_>,
    strip: usize,
    small: &Small<'_>,
    scales: &[[f32; STRIP]],
    first: usize,
    out: &mut [f32],
    r: usize,
) -> usize {
    let (k, blocks) = (small.k, small.k / PANEL);
    let floats = || std::array::from_fn(|i| &small.floats[(first + i) * k..][..k]);
    let digits = || std::array::from_fn(|i| &small.digits[(first + i) * blocks..][..blocks]);
    let sums = match w.form() {
        Form::Q8_0 => avx512::q8_0::<COUNT>(w.strip(strip), digits()),
        Form::Q4K => avx512::q4_k::<COUNT>(w.strip(strip), digits()),
        Form::Nf4 => avx512::nf4::<COUNT>(w.strip(strip), scales, floats()),
    };
    for (i, sums) in sums.iter().enumerate() {
        for (row, sum) in out.chunks_exact_mut(r).zip(sums) {
            row[first + i] = *sum;
        }
    }
    COUNT
}

/// One strip, panel by panel in f32.
fn plain(w: &Blocks<'_>, strip: usize, small: &[f32], out: &mut [f32]) {
    let (k, r) = (w.cols(), small.len() / w.cols());
    let mut panel = [[0.0; STRIP]; PANEL];
    let mut sums = vec![[0.0; STRIP]; r];
    for index in 0..k / PANEL {
        w.panel(strip, index, &mut panel);
        for (sums, small) in sums.iter_mut().zip(small.chunks_exact(k)) {
            add(&panel, &small[index * PANEL..][..PANEL], sums);
        }
    }
    for (row, out) in out.chunks_exact_mut(r).enumerate() {
        out.iter_mut().zip(&sums).for_each(|(out, sums)| *out = sums[row]);
    }
}

multiversion! { fn add(panel: &super::Panel, x: &[f32], sums: &mut [f32; STRIP]) = add_columns }

#[inline(always)]
fn add_columns<const FMA: bool>(panel: &super::Panel, x: &[f32], sums: &mut [f32; STRIP]) {
    let mut own = [0.0; STRIP];
    for (column, x) in panel.iter().zip(x) {
        for row in 0..STRIP {
            own[row] = mul_add::<FMA>(column[row], *x, own[row]);
        }
    }
    for row in 0..STRIP {
        sums[row] += own[row];
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantise;
    use super::*;
    use crate::kernels::check::{assert_close, random};

    #[test]
    fn products_are_those_of_the_dequantised_rows() {
        for (form, widths) in [(Form::Q8_0, [32, 352]), (Form::Q4K, [256, 768]), (Form::Nf4, [64, 320])] {
            for (n, k) in [(1, widths[0]), (16, widths[1]), (37, widths[0]), (200, widths[1])] {
                let bytes = quantise(form, &random(n * k, 1), n, k);
                let w = Blocks::new(form, n, k, &bytes);
                let mut wide = vec![0.0; n * k];
                wide.chunks_exact_mut(k).enumerate().for_each(|(row, into)| w.widen(row, 0, into));
                for r in [1, 2, 3, 4, 5, 12] {
                    let small = random(r * k, 2);
                    let want: Vec<f64> = (0..n * r)
                        .map(|at| {
                            let (w, s) = (&wide[at / r * k..][..k], &small[at % r * k..][..k]);
                            w.iter().zip(s).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                        })
                        .collect();
                    let mut out = vec![9.0; n * r];
                    products(&w, &small, &mut out);
                    assert_close(&out, &want, 2e-6);
                    let mut same = vec![9.0; n * r];
                    for (strip, out) in same.chunks_mut(STRIP * r).enumerate() {
                        plain(&w, strip, &small, out);
                    }
                    assert_close(&same, &want, 2e-6);
                    #[cfg(target_arch = "x86_64")]
                    if avx2::available() {
                        let mut same = vec![9.0; n * r];
                        let sums = panel_sums(&w, &small);
                        for (strip, out) in same.chunks_mut(STRIP * r).enumerate() {
                            floats(&w, strip, &small, &sums, out);
                        }
                        assert_close(&same, &want, 2e-6);
                    }
                    // Alone or among others, a row comes out the same.
                    let mut alone = vec![9.0; n];
                    products(&w, &small[(r - 1) * k..], &mut alone);
                    assert!(alone.iter().enumerate().all(|(i, x)| *x == out[i * r + r - 1]));
                }
            }
        }
    }
}
