//! The decoder's operations put together from candle's tensor operations, forward and backward: what runs on a GPU until
//! kernels of our own have been proved on one.
//!
//! The same code runs on candle's CPU device, where the tests hold it against the references. Activations are f32; the
//! products of linears take their operands in the dtype of the weight and accumulate in f32; norms, softmax and loss
//! are f32. candle's own gradients are not used: they are missing for its fused operations and computed for frozen
//! weights. All tensors of one call lie on one device.

pub mod attention;
pub mod cross_entropy;
pub mod linear;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;

#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};

use crate::error::Result;

/// A row-major f32 tensor from the host.
pub fn from_host(values: &[f32], shape: &[usize], device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, device)?)
}

/// The values of a tensor, row-major in f32, on the host.
pub fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
