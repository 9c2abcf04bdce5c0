//! What the AVX-512 forms share, and the register tiles of [`super::small`].
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

use super::small::{Product, Strided};

/// Rows of a register tile of [`product`]; its columns are two vectors of sixteen.
const TILE_ROWS: usize = 12;

/// Columns of a register tile.
const TILE_COLS: usize = 32;

/// dst [m, n] (=, +=) a·b; see [`super::small::multiply`], which has checked all lengths.
///
/// # Safety
/// AVX-512F must be there; `a` must cover [m, k], `b` [k, n] and `dst` [m, n] with the strides of `product`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32]) {
    let Product { m, n, .. } = product;
    let count = m.div_ceil(TILE_ROWS);
    let (height, higher) = (m / count, m % count);
    let mut row = 0;
    for sliver in 0..count {
        let rows = height + usize::from(sliver < higher);
        let from = Strided { data: &a.data[row * a.row_stride..], ..a };
        for column in (0..n).step_by(TILE_COLS) {
            let width = TILE_COLS.min(n - column);
            let (to, b) = (&mut dst[row * product.dst_stride + column..], &b[column..]);
            // SAFETY: rows row.. and columns column.. of what the caller answers for.
            unsafe {
                match rows {
                    1 => tile::<1>(to, product, from, b, width),
                    2 => tile::<2>(to, product, from, b, width),
                    3 => tile::<3>(to, product, from, b, width),
                    4 => tile::<4>(to, product, from, b, width),
                    5 => tile::<5>(to, product, from, b, width),
                    6 => tile::<6>(to, product, from, b, width),
                    7 => tile::<7>(to, product, from, b, width),
                    8 => tile::<8>(to, product, from, b, width),
                    9 => tile::<9>(to, product, from, b, width),
                    10 => tile::<10>(to, product, from, b, width),
                    11 => tile::<11>(to, product, from, b, width),
                    _ => tile::<TILE_ROWS>(to, product, from, b, width),
                }
            }
        }
        row += rows;
    }
}

/// # Safety
/// As [`product`], for `ROWS` rows and `width` ≤ 32 columns.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const ROWS: usize>(dst: &mut [f32], product: Product, a: Strided<'_>, b: &[f32], width: usize) {
    let masks = [low_bits(width.min(16)), low_bits(width.saturating_sub(16))];
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let (mut a_at, mut b_at) = (a.data.as_ptr(), b.as_ptr());
    let (row_stride, col_stride, b_stride) = (a.row_stride, a.col_stride, product.b_stride);
    if width == TILE_COLS {
        for _ in 0..product.k {
            // SAFETY: row p of b has `width` numbers from here; a's element (row, p) lies inside its slice.
            unsafe {
                let (b0, b1) = (_mm512_loadu_ps(b_at), _mm512_loadu_ps(b_at.wrapping_add(16)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(a_at.wrapping_add(row.wrapping_mul(row_stride)).read());
                    sums[0] = _mm512_fmadd_ps(x, b0, sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, b1, sums[1]);
                }
            }
            a_at = a_at.wrapping_add(col_stride);
            b_at = b_at.wrapping_add(b_stride);
        }
    } else {
        for _ in 0..product.k {
            // SAFETY: as above; masked lanes are not read.
            unsafe {
                let b0 = _mm512_maskz_loadu_ps(masks[0], b_at);
                let b1 = _mm512_maskz_loadu_ps(masks[1], b_at.wrapping_add(16));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(a_at.wrapping_add(row.wrapping_mul(row_stride)).read());
                    sums[0] = _mm512_fmadd_ps(x, b0, sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, b1, sums[1]);
                }
            }
            a_at = a_at.wrapping_add(col_stride);
            b_at = b_at.wrapping_add(b_stride);
        }
    }
    let mut to = dst.as_mut_ptr();
    for sums in sums {
        for (half, (mut sum, mask)) in sums.into_iter().zip(masks).enumerate() {
            let at = to.wrapping_add(half * 16);
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
