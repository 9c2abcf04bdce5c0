//! Transposition in AVX2, eight by eight.
#![expect(unsafe_code, reason = "vector intrinsics; every function says what it relies on")]

use std::arch::x86_64::*;

/// dst [columns, rows] = the transpose of src [rows, columns], as [`super::small::transpose`] has checked them.
///
/// # Safety
/// The processor must have AVX2, and the lengths must be those that `small::transpose` asserts.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose_floats(
    dst: &mut [f32],
    dst_stride: usize,
    src: &[f32],
    src_stride: usize,
    (rows, columns): (usize, usize),
) {
    let (whole_rows, whole_columns) = (rows / 8 * 8, columns / 8 * 8);
    for row in (0..whole_rows).step_by(8) {
        for column in (0..whole_columns).step_by(8) {
            let from = src.as_ptr().wrapping_add(row * src_stride + column);
            let to = dst.as_mut_ptr().wrapping_add(column * dst_stride + row);
            // SAFETY: eight rows of eight numbers inside both matrices.
            unsafe {
                let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.wrapping_add(i * src_stride)));
                let pairs: [__m256; 8] = std::array::from_fn(|i| {
                    let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
                    if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
                });
                // Quadruple i of rows 0–3 (then 4–7) holds columns i and i + 4.
                let fours: [__m256; 8] = std::array::from_fn(|i| {
                    let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
                    if i % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xee>(a, b) }
                });
                for i in 0..4 {
                    let (upper, lower) = (fours[i], fours[i + 4]);
                    let store = |column: usize, vector| _mm256_storeu_ps(to.wrapping_add(column * dst_stride), vector);
                    store(i, _mm256_permute2f128_ps::<0x20>(upper, lower));
                    store(i + 4, _mm256_permute2f128_ps::<0x31>(upper, lower));
                }
            }
        }
    }
    for row in 0..rows {
        let from = if row < whole_rows { whole_columns } else { 0 };
        for column in from..columns {
            dst[column * dst_stride + row] = src[row * src_stride + column];
        }
    }
}
