//! What the AVX-512 forms share, and the register tiles of [`super::small`].
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::Target;
use super::small::{Product, Strided};

/// Rows of a register tile of [`product`] at most.
const TILE_ROWS: usize = 12;

/// dst [m, n] (=, +=) a·b; see [`super::small::multiply`], which has checked all lengths.
///
/// # Safety
/// AVX-512F must be there; `a` must cover [m, k], `b` [k, n] and `dst` [m, n] with the strides of `product`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) {
    let Product { m, .. } = product;
    let count = m.div_ceil(TILE_ROWS);
    let (height, higher) = (m / count, m % count);
    let mut row = 0;
    for sliver in 0..count {
        let rows = height + usize::from(sliver < higher);
        let from = Strided { data: &a.data[row * a.row_stride..], ..a };
        let to = &mut dst[row * product.dst_stride..];
        // Eight sums at least keep the multiply-adds busy: few rows (decoding) take more columns at once. An element's
        // sum runs over k alone, so the width changes no bit.
        // SAFETY: rows row.. of what the caller answers for.
        unsafe {
            match rows {
                1 => tiles::<1, 8>(to, product, from, b),
                2 => tiles::<2, 4>(to, product, from, b),
                3 => tiles::<3, 4>(to, product, from, b),
                4 => tiles::<4, 2>(to, product, from, b),
                5 => tiles::<5, 2>(to, product, from, b),
                6 => tiles::<6, 2>(to, product, from, b),
                7 => tiles::<7, 2>(to, product, from, b),
                8 => tiles::<8, 2>(to, product, from, b),
                9 => tiles::<9, 2>(to, product, from, b),
                10 => tiles::<10, 2>(to, product, from, b),
                11 => tiles::<11, 2>(to, product, from, b),
                _ => tiles::<TILE_ROWS, 2>(to, product, from, b),
            }
        }
        row += rows;
    }
}

/// All columns of a sliver, `VECTORS` vectors of sixteen at once and the last ones by two.
///
/// # Safety
/// As [`product`], for `ROWS` rows.
#[target_feature(enable = "avx512f")]
unsafe fn tiles<const ROWS: usize, const VECTORS: usize>(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) {
    let mut column = 0;
    while column < product.n {
        let left = product.n - column;
        // SAFETY: columns column.. of what the caller answers for.
        unsafe {
            if left >= VECTORS * 16 {
                tile::<ROWS, VECTORS>(&mut dst[column..], product, a, &b[column..], VECTORS * 16);
                column += VECTORS * 16;
            } else {
                let width = left.min(32);
                tile::<ROWS, 2>(&mut dst[column..], product, a, &b[column..], width);
                column += width;
            }
        }
    }
}

/// # Safety
/// As [`product`], for `ROWS` rows and `width` ≤ 16·`VECTORS` columns.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
    dst: &mut [f32],
    product: Product,
    a: Strided<'_>,
    b: &[f32],
    width: usize,
) {
    let masks: [__mmask16; VECTORS] = std::array::from_fn(|i| low_bits(width.saturating_sub(i * 16).min(16)));
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    let (mut a_at, mut b_at) = (a.data.as_ptr(), b.as_ptr());
    let (row_stride, col_stride, b_stride) = (a.row_stride, a.col_stride, product.b_stride);
    if width == VECTORS * 16 {
        for _ in 0..product.k {
            // SAFETY: row p of b has `width` numbers from here; a's element (row, p) lies inside its slice.
            unsafe {
                let mut columns = [_mm512_setzero_ps(); VECTORS];
                for (i, columns) in columns.iter_mut().enumerate() {
                    *columns = _mm512_loadu_ps(b_at.wrapping_add(i * 16));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(a_at.wrapping_add(row.wrapping_mul(row_stride)).read());
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_fmadd_ps(x, columns, *sum);
                    }
                }
            }
            a_at = a_at.wrapping_add(col_stride);
            b_at = b_at.wrapping_add(b_stride);
        }
    } else {
        for _ in 0..product.k {
            // SAFETY: as above; masked lanes are not read.
            unsafe {
                let mut columns = [_mm512_setzero_ps(); VECTORS];
                for (i, (columns, mask)) in columns.iter_mut().zip(masks).enumerate() {
                    *columns = _mm512_maskz_loadu_ps(mask, b_at.wrapping_add(i * 16));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(a_at.wrapping_add(row.wrapping_mul(row_stride)).read());
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_fmadd_ps(x, columns, *sum);
                    }
                }
            }
            a_at = a_at.wrapping_add(col_stride);
            b_at = b_at.wrapping_add(b_stride);
        }
    }
    let mut to = dst.as_mut_ptr();
    for sums in sums {
        for (part, (mut sum, mask)) in sums.into_iter().zip(masks).enumerate() {
            let at = to.wrapping_add(part * 16);
            // SAFETY: unmasked lanes are columns of this row of dst.
            unsafe {
                if product.add {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), sum);
                }
                _mm512_mask_storeu_ps(at, mask, sum);
            }
        }
        to = to.wrapping_add(product.dst_stride);
    }
}

/// dst [columns, rows] of stride `dst_stride` = the transpose of src [rows, columns] of stride `src_stride`.
///
/// # Safety
/// AVX-512F must be there; both slices must cover their matrices.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose_floats(
    dst: &mut [f32],
    dst_stride: usize,
    src: &[f32],
    src_stride: usize,
    (rows, columns): (usize, usize),
) {
    for row in (0..rows).step_by(16) {
        let height = (rows - row).min(16);
        for column in (0..columns).step_by(16) {
            let width = (columns - column).min(16);
            let mut vectors = [_mm512_setzero_si512(); 16];
            for (i, vector) in vectors[..height].iter_mut().enumerate() {
                let at = src.as_ptr().wrapping_add((row + i) * src_stride + column);
                // SAFETY: unmasked lanes are elements column..column + width of row row + i.
                *vector = unsafe { _mm512_maskz_loadu_epi32(low_bits(width), at.cast()) };
            }
            for (i, vector) in transpose(vectors)[..width].iter().enumerate() {
                let at = dst.as_mut_ptr().wrapping_add((column + i) * dst_stride + row);
                // SAFETY: unmasked lanes are elements row..row + height of row column + i.
                unsafe { _mm512_mask_storeu_epi32(at.cast(), low_bits(height), *vector) };
            }
        }
    }
}

/// The lowest `count` ≤ 16 bits.
pub(super) fn low_bits(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// Writes the sums of a tile, two vectors a row.
///
/// # Safety
/// AVX-512F must be there; `to` must be exclusive and valid for `ROWS` rows of `to.width` ≤ 32 numbers.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) unsafe fn write_tile<const ROWS: usize>(sums: [[__m512; 2]; ROWS], to: Target) {
    let masks = [low_bits(to.width.min(16)), low_bits(to.width.saturating_sub(16))];
    for (row, sums) in sums.into_iter().enumerate() {
        for (part, (mut sum, mask)) in sums.into_iter().zip(masks).enumerate() {
            let at = to.at.wrapping_add(row * to.stride + part * 16);
            // SAFETY: unmasked lanes are columns of the target's row.
            unsafe {
                if to.add {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), sum);
                }
                _mm512_mask_storeu_ps(at, mask, sum);
            }
        }
    }
}

/// The lowest `count` ≤ 32 bits.
pub(super) fn low_bits32(count: usize) -> __mmask32 {
    ((1u64 << count) - 1) as __mmask32
}

/// Sixteen rows of sixteen 32-bit numbers → sixteen columns.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn transpose(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut t = r;
    for i in (0..16).step_by(2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    let mut u = t;
    for i in (0..16).step_by(4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // u[4g + c] holds, in its 128-bit lane l, column 4l + c of rows 4g..4g + 4.
    let mut columns = u;
    for c in 0..4 {
        let (even_low, odd_low) =
            (_mm512_shuffle_i32x4::<0x88>(u[c], u[4 + c]), _mm512_shuffle_i32x4::<0xdd>(u[c], u[4 + c]));
        let (even_high, odd_high) =
            (_mm512_shuffle_i32x4::<0x88>(u[8 + c], u[12 + c]), _mm512_shuffle_i32x4::<0xdd>(u[8 + c], u[12 + c]));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}
