//! The decoder on a candle device, put together from [`crate::kernels::composed`]: the form that a GPU runs.
//!
//! The same forward and backward as `model::decoder`, layer for layer, on tensors instead of slices; whoever stands
//! beside a linear comes in through the traits of `model::sites`. Weights are copied to the device once.

mod decoder;
mod layer;
mod sites;

pub use decoder::{TensorCache, TensorDecoder};
pub use layer::TensorLinear;
pub use sites::{SavedTensors, TensorAdapters, TrainableTensorAdapters};
