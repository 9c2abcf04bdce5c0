//! Matrix products: f32 over strided views, a safe door to the `gemm` crate; and our own for frozen weights that are not
//! f32, `bf16` in products that round activations and `packed` in those that do not.
//!
//! Each element is one sum over k in an order fixed by the shapes: the crate splits work over rows and columns of the
//! result only, never over k, so the number of threads does not change a bit.

use gemm::Parallelism;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
#[cfg(target_arch = "x86_64")]
pub mod bf16;
#[cfg(target_arch = "x86_64")]
pub mod packed;
#[cfg(target_arch = "x86_64")]
mod slivers;
pub mod small;
#[cfg(target_arch = "x86_64")]
mod tiles;

/// A read-only strided matrix.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major [rows, cols] matrix over the whole slice.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix [{rows}, {cols}]");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without moving data.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }
}

/// A writable row-major block of columns: row i starts at `i * stride + offset`.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> MatMut<'a> {
    /// A row-major [rows, cols] matrix over the whole slice.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix [{rows}, {cols}]");
        Self { data, rows, cols, stride: cols }
    }

    /// Columns `first..first + cols` of a row-major [rows, stride] matrix.
    pub fn columns(data: &'a mut [f32], rows: usize, stride: usize, first: usize, cols: usize) -> Self {
        assert!(data.len() == rows * stride && first + cols <= stride, "columns of [{rows}, {stride}]");
        let end = data.len();
        Self { data: &mut data[first.min(end)..], rows, cols, stride }
    }
}

/// The left operand a [m, k] of a product, in f32.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Each column is multiplied by this, `[k]`, before it is rounded or multiplied.
    pub gain: Option<&'a [f32]>,
}

impl<'a> From<&'a [f32]> for Left<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self { values, gain: None }
    }
}

/// Whether a product replaces the destination or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// dst = s·a·b
    Set,
    /// dst = dst + s·a·b
    Add,
}

/// A destination shared by tasks that write disjoint columns.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: products give every task its own block of rows and columns, and the destination outlives the tasks.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "tasks write disjoint columns of one row-major matrix")]
unsafe impl Send for Shared {}
// SAFETY: as above.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "tasks write disjoint columns of one row-major matrix")]
unsafe impl Sync for Shared {}

#[cfg(target_arch = "x86_64")]
impl Shared {
    fn at(self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

/// Where a register tile goes.
#[cfg(target_arch = "x86_64")]
struct Target {
    /// The tile's first element.
    at: *mut f32,
    /// Elements from one row to the next.
    stride: usize,
    /// Columns that are written.
    width: usize,
    /// Add to what is there instead of replacing it.
    add: bool,
}

/// (columns, slivers) of a task: enough tasks for the threads, as wide as that allows; columns are a multiple of `tile`
/// and at most `most`. Bits do not depend on it.
#[cfg(target_arch = "x86_64")]
fn blocks(n: usize, slivers: usize, threads: usize, (tile, most): (usize, usize)) -> (usize, usize) {
    let wanted = if threads == 1 { 1 } else { 2 * threads };
    let columns = (n.div_ceil(wanted).div_ceil(tile) * tile).clamp(2 * tile, most);
    let across = n.div_ceil(columns);
    // Splitting the rows packs the weight again, so it has to pay: no block below 8 slivers.
    let down = (threads / across).clamp(1, slivers.div_ceil(8));
    (columns, slivers.div_ceil(down))
}

/// dst (=, +=) scale · a · b, with a [m, k], b [k, n], dst [m, n].
pub fn matmul(dst: MatMut<'_>, write: Write, scale: f32, a: Mat<'_>, b: Mat<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert!(b.rows == k && dst.rows == m && dst.cols == n, "product of [{m}, {k}] and [{}, {n}]", b.rows);
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if write == Write::Set {
            (0..m).for_each(|i| dst.data[i * dst.stride..][..n].fill(0.0));
        }
        return;
    }
    // Below this many multiplications a second thread costs more than it brings (measured on two cores: 64³).
    let parallelism = if m * n * k < 1 << 18 { Parallelism::None } else { Parallelism::Rayon(0) };
    let (read, alpha) = (write == Write::Add, if write == Write::Add { 1.0 } else { 0.0 });
    // SAFETY: the views were checked against their slices on construction (`Mat` covers rows·cols elements under either
    // stride order; `MatMut` holds rows of `stride` with `cols` ≤ the rest of the last row), and dst is exclusive.
    #[expect(unsafe_code, reason = "the gemm crate takes raw pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.data.as_mut_ptr(),
            1,
            dst.stride as isize,
            read,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            alpha,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{assert_close, random};

    #[test]
    fn equals_three_loops_on_odd_shapes_and_strides() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 64, 64), (2, 129, 65), (5, 0, 3)] {
            let (a, b) = (random(m * k, 1), random(k * n, 2));
            let mut want = vec![1.0f64; m * n];
            for i in 0..m {
                for j in 0..n {
                    want[i * n + j] +=
                        (0..k).map(|p| 0.5 * f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum::<f64>();
                }
            }
            let mut got = vec![1.0f32; m * n];
            matmul(MatMut::new(&mut got, m, n), Write::Add, 0.5, Mat::new(&a, m, k), Mat::new(&b, k, n));
            assert_close(&got, &want, 1e-5);

            let transposed: Vec<f32> = (0..n * k).map(|i| b[(i % k.max(1)) * n + i / k.max(1)]).collect();
            let mut wide = vec![1.0f32; m * (n + 3)];
            matmul(
                MatMut::columns(&mut wide, m, n + 3, 2, n),
                Write::Add,
                0.5,
                Mat::new(&a, m, k),
                Mat::new(&transposed, n, k).t(),
            );
            for i in 0..m {
                assert_close(&wide[i * (n + 3) + 2..][..n], &want[i * n..][..n], 1e-5);
                assert_eq!((wide[i * (n + 3)], wide[i * (n + 3) + n + 2]), (1.0, 1.0));
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (96, 257, 130);
        let (a, b) = (random(m * k, 3), random(k * n, 4));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut y = vec![0.0; m * n];
            pool.install(|| matmul(MatMut::new(&mut y, m, n), Write::Set, 1.0, Mat::new(&a, m, k), Mat::new(&b, k, n)));
            y
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(5));
    }
}
