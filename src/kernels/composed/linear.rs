//! Linear with a frozen weight, and the rows of an embedding: candle's products.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::kernels::linear::{Matrix, Values};

/// A weight on a device: bf16 stays bf16, everything else (f16 and quantised blocks too) becomes f32.
pub fn upload(matrix: Matrix<'_>, device: &Device) -> Result<Tensor> {
    let shape = (matrix.out(), matrix.inner());
    Ok(match matrix.values() {
        Values::F32(values) => Tensor::from_slice(values, shape, device)?,
        Values::Bf16(values) => Tensor::from_slice(values, shape, device)?,
        Values::F16(_) | Values::Quantised(_) => {
            let mut values = vec![0.0f32; shape.0 * shape.1];
            for (row, into) in values.chunks_exact_mut(shape.1).enumerate() {
                matrix.widen_row(row, into);
            }
            Tensor::from_vec(values, shape, device)?
        }
    })
}

/// y [rows, out] = x [rows, in] · Wᵀ with W [out, in].
pub fn forward(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    Ok(x.to_dtype(w.dtype())?.matmul(&w.t()?)?.to_dtype(DType::F32)?)
}

/// dx [rows, in] = dy [rows, out] · W.
pub fn backward_input(dy: &Tensor, w: &Tensor) -> Result<Tensor> {
    Ok(dy.to_dtype(w.dtype())?.matmul(w)?.to_dtype(DType::F32)?)
}

/// The rows `ids` of a table [vocab, hidden], [ids, hidden].
pub fn rows(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let ids = Tensor::from_slice(ids, ids.len(), table.device())?;
    Ok(table.index_select(&ids, 0)?.to_dtype(DType::F32)?)
}
