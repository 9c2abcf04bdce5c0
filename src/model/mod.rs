//! `config.json` and safetensors to a decoder: Qwen3, Qwen2, Llama, Mistral.
//!
//! The decoder works on ragged batches: sequences laid end to end, no padding, attention block-diagonal and causal. It
//! does not know that adapters exist: whoever wants to change a linear hands in a [`Adapters`]. Refuses by name what
//! it does not implement.

mod batch;
mod checkpointing;
pub mod composed;
mod config;
mod decoder;
mod embedded;
mod fresh;
pub mod identity;
pub mod init;
mod kv_cache;
mod layer;
mod locate;
mod rope;
mod sites;
pub mod tensor_file;
mod weight;
mod weight_cache;

pub use batch::{Batch, LossSum, Noise, Sequence, Targets};
pub use checkpointing::Checkpointing;
pub use config::{Config, Family};
pub use decoder::Decoder;
pub use embedded::EMBEDDED;
pub use kv_cache::KvCache;
pub use layer::Linear;
pub use locate::locate;
pub use rope::Rope;
pub use sites::{Adapters, Module, NoAdapters, Norm, RowNoise, Saved, Site, TrainableAdapters};
pub use weight::{Checkpoint, TensorMut, Weight, files};
pub use weight_cache::Quantisation;
