//! Products of f32 operands that lie in a core's cache already: nothing is packed, one thread.
//!
//! Attention multiplies tiles this way, adapters their few rows. Every element of the result is one sum over k in order,
//! begun at zero and then written or added, whatever the other rows and columns are.

use super::Write;
use crate::kernels::simd::{mul_add, multiversion};

/// A strided left operand: element (i, p) lies at `i · row_stride + p · col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    /// The numbers.
    pub data: &'a [f32],
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub col_stride: usize,
}

impl<'a> Strided<'a> {
    /// Rows of `stride` numbers.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: stride, col_stride: 1 }
    }

    /// The transpose of rows of `stride` numbers.
    pub fn columns(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: 1, col_stride: stride }
    }
}

/// The shape of dst [m, n] (=, +=) a [m, k] · b [k, n].
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Terms of a sum.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
    /// From one row of b to the next.
    pub b_stride: usize,
    /// From one row of dst to the next.
    pub dst_stride: usize,
    /// Add to dst instead of replacing it.
    pub add: bool,
}

impl Product {
    /// A product with b of row length `b_stride` and dst of row length `dst_stride`.
    pub fn new((m, k, n): (usize, usize, usize), b_stride: usize, dst_stride: usize, write: Write) -> Self {
        Self { m, k, n, b_stride, dst_stride, add: write == Write::Add }
    }
}

/// dst [m, n] (=, +=) a [m, k] · b [k, n].
pub fn multiply(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) {
    let Product { m, k, n, b_stride, dst_stride, .. } = product;
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= dst_stride && dst.len() >= (m - 1) * dst_stride + n, "small product: result");
    assert!(k == 0 || n <= b_stride && b.len() >= (k - 1) * b_stride + n, "small product: right operand");
    assert!(k == 0 || a.data.len() > (m - 1) * a.row_stride + (k - 1) * a.col_stride, "small product: left operand");
    if k == 0 {
        if !product.add {
            dst.chunks_mut(dst_stride).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if crate::kernels::simd::level() == crate::kernels::simd::Level::Avx512 {
        // SAFETY: the level says that AVX-512F is there; the lengths were checked above.
        #[expect(unsafe_code, reason = "vector form")]
        unsafe {
            super::avx512::product(dst, product, a, b);
        }
        return;
    }
    plain(dst, product, a, b);
}

multiversion! { fn plain(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) = plain_loops }

/// Rows and columns of the result whose sums stand in registers together: twelve vectors of AVX2, whose latency the two
/// multipliers then hide, two of b and one number of a.
const ROWS: usize = 6;
const COLUMNS: usize = 16;

#[inline(always)]
fn plain_loops<const FMA: bool>(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) {
    let mut row = 0;
    while row < product.m {
        row += match product.m - row {
            ROWS.. => band::<FMA, ROWS>(dst, product, a, b, row),
            2.. => band::<FMA, 2>(dst, product, a, b, row),
            _ => band::<FMA, 1>(dst, product, a, b, row),
        };
    }
}

/// `R` rows of the result; how many those are.
#[inline(always)]
fn band<const FMA: bool, const R: usize>(
    dst: &mut [f32],
    product: Product,
    a: Strided<'_>,
    b: &[f32],
    row: usize,
) -> usize {
    let mut column = 0;
    while column < product.n {
        column += match product.n - column {
            COLUMNS.. => block::<FMA, R, COLUMNS>(dst, product, a, b, (row, column)),
            8.. => block::<FMA, R, 8>(dst, product, a, b, (row, column)),
            4.. => block::<FMA, R, 4>(dst, product, a, b, (row, column)),
            _ => block::<FMA, R, 1>(dst, product, a, b, (row, column)),
        };
    }
    R
}

/// `R` rows and `C` columns of the result; how many columns those are.
#[inline(always)]
fn block<const FMA: bool, const R: usize, const C: usize>(
    dst: &mut [f32],
    product: Product,
    a: Strided<'_>,
    b: &[f32],
    (row, column): (usize, usize),
) -> usize {
    let mut sums = [[0.0f32; C]; R];
    let rows: [&[f32]; R] = std::array::from_fn(|r| a.data.get((row + r) * a.row_stride..).unwrap_or_default());
    for p in 0..product.k {
        let Some(b) = b[p * product.b_stride + column..].first_chunk::<C>() else { break };
        for (sums, a_row) in sums.iter_mut().zip(rows) {
            let x = a_row[p * a.col_stride];
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = mul_add::<FMA>(x, *b, *sum);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let dst = &mut dst[(row + r) * product.dst_stride + column..][..C];
        for (dst, sum) in dst.iter_mut().zip(sums) {
            *dst = if product.add { *dst + sum } else { *sum };
        }
    }
    C
}

/// dst [columns, rows] with rows of `dst_stride` = the transpose of src [rows, columns] with rows of `src_stride`.
pub fn transpose(dst: &mut [f32], dst_stride: usize, src: &[f32], src_stride: usize, (rows, columns): (usize, usize)) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(rows <= dst_stride && dst.len() >= (columns - 1) * dst_stride + rows, "transposed");
    assert!(columns <= src_stride && src.len() >= (rows - 1) * src_stride + columns, "to be transposed");
    #[cfg(target_arch = "x86_64")]
    {
        use crate::kernels::simd::{Level, level};
        // SAFETY: the level says which vectors are there; the lengths were checked above.
        #[expect(unsafe_code, reason = "vector forms")]
        match level() {
            Level::Avx512 => unsafe {
                return super::avx512::transpose_floats(dst, dst_stride, src, src_stride, (rows, columns));
            },
            Level::Avx2 => unsafe {
                return super::avx2::transpose_floats(dst, dst_stride, src, src_stride, (rows, columns));
            },
            Level::Baseline => {}
        }
    }
    for (i, row) in src.chunks(src_stride).take(rows).enumerate() {
        for (j, x) in row[..columns].iter().enumerate() {
            dst[j * dst_stride + i] = *x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, random};

    #[test]
    fn equals_three_loops_at_every_edge() {
        let shapes = (1..=33).flat_map(|e| [(e, 7, 40), (5, e, 33), (13, 3, e)]).chain([(64, 128, 64), (2, 0, 3)]);
        for (m, k, n) in shapes {
            for by_columns in [false, true] {
                let (b_stride, dst_stride) = (n + 1, n + 2);
                let (a, b) = (random(m * k, 1), random(k * b_stride, 2));
                let a = if by_columns { Strided::columns(&a, m) } else { Strided::rows(&a, k) };
                for write in [Write::Set, Write::Add] {
                    let mut got = vec![0.5; m * dst_stride];
                    let mut same = got.clone();
                    let product = Product::new((m, k, n), b_stride, dst_stride, write);
                    multiply(&mut got, product, a, &b);
                    plain(&mut same, product, a, &b);
                    let mut want = vec![0.5f64; m * dst_stride];
                    for i in 0..m {
                        for j in 0..n {
                            let at = |p: usize| a.data[i * a.row_stride + p * a.col_stride];
                            let sum: f64 = (0..k).map(|p| f64::from(at(p)) * f64::from(b[p * b_stride + j])).sum();
                            want[i * dst_stride + j] = sum + if write == Write::Add { 0.5 } else { 0.0 };
                        }
                    }
                    assert_close(&got, &want, 1e-5);
                    assert_close(&same, &want, 1e-5);
                }
            }
        }
    }

    #[test]
    fn transposes_at_every_edge() {
        for (rows, columns) in (1..=33).flat_map(|e| [(e, 20), (20, e)]) {
            let src = random(rows * (columns + 3), 3);
            let mut dst = vec![9.0; columns * (rows + 2)];
            transpose(&mut dst, rows + 2, &src, columns + 3, (rows, columns));
            // A processor with AVX-512 would not come by AVX2's form.
            #[cfg(target_arch = "x86_64")]
            if crate::kernels::simd::level() != crate::kernels::simd::Level::Baseline {
                let mut same = vec![9.0; dst.len()];
                // SAFETY: AVX2 was found, the lengths are those above.
                #[expect(unsafe_code, reason = "vector form")]
                unsafe {
                    super::super::avx2::transpose_floats(&mut same, rows + 2, &src, columns + 3, (rows, columns));
                }
                assert_eq!(same, dst);
            }
            for (at, x) in dst.iter().enumerate() {
                let (column, row) = (at / (rows + 2), at % (rows + 2));
                assert_eq!(*x, if row < rows { src[row * (columns + 3) + column] } else { 9.0 });
            }
        }
    }
}
