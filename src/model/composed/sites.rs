//! The doors through which something beside a frozen linear takes part, on a device: [`super::super::sites`] in tensors.

use candle_core::Tensor;

use super::TensorLinear;
use crate::error::Result;
use crate::model::{NoAdapters, RowNoise, Site};

/// What an adapter keeps between its forward and its backward; opaque to the decoder.
#[derive(Debug, Default, Clone)]
pub struct SavedTensors(pub Vec<Tensor>);

/// Whatever stands beside the frozen linears, if anything.
pub trait TensorAdapters {
    /// The adapted output of `site`, [rows, out], for x [rows, in]; none if this linear is not adapted. `saved` and
    /// `noise` are given in training only.
    fn forward(
        &self,
        site: Site,
        base: &TensorLinear,
        x: &Tensor,
        saved: Option<&mut SavedTensors>,
        noise: Option<RowNoise<'_>>,
    ) -> Result<Option<Tensor>>;
}

/// Adapters that also take gradients.
pub trait TrainableTensorAdapters: TensorAdapters {
    /// Adds the gradients of the adapter's own parameters and returns that of the input, [rows, in], for dy [rows, out];
    /// none (and nothing changed) if this linear is not adapted. The other arguments are those of the forward.
    fn backward(
        &mut self,
        site: Site,
        base: &TensorLinear,
        x: &Tensor,
        saved: &SavedTensors,
        noise: Option<RowNoise<'_>>,
        dy: &Tensor,
    ) -> Result<Option<Tensor>>;

    /// The same adapters for a forward pass.
    fn as_adapters(&self) -> &dyn TensorAdapters;
}

impl TensorAdapters for NoAdapters {
    fn forward(
        &self,
        _: Site,
        _: &TensorLinear,
        _: &Tensor,
        _: Option<&mut SavedTensors>,
        _: Option<RowNoise<'_>>,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }
}
