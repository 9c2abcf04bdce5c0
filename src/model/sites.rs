//! The doors through which something beside a frozen linear takes part.

use std::fmt;

use super::batch::Noise;
use super::layer::Linear;
use crate::kernels::buffer::Buffer;
use crate::kernels::linear::Matrix;

/// The linears of a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// `self_attn.q_proj`
    QProj,
    /// `self_attn.k_proj`
    KProj,
    /// `self_attn.v_proj`
    VProj,
    /// `self_attn.o_proj`
    OProj,
    /// `mlp.gate_proj`
    GateProj,
    /// `mlp.up_proj`
    UpProj,
    /// `mlp.down_proj`
    DownProj,
}

impl Module {
    /// All linears of a layer, in the order of the forward pass.
    pub const ALL: [Module; 7] = [
        Module::QProj,
        Module::KProj,
        Module::VProj,
        Module::OProj,
        Module::GateProj,
        Module::UpProj,
        Module::DownProj,
    ];

    /// The name as adapters target it: `q_proj`.
    pub fn name(self) -> &'static str {
        self.path().rsplit('.').next().unwrap_or_default()
    }

    /// The path inside a layer: `self_attn.q_proj`.
    pub fn path(self) -> &'static str {
        match self {
            Module::QProj => "self_attn.q_proj",
            Module::KProj => "self_attn.k_proj",
            Module::VProj => "self_attn.v_proj",
            Module::OProj => "self_attn.o_proj",
            Module::GateProj => "mlp.gate_proj",
            Module::UpProj => "mlp.up_proj",
            Module::DownProj => "mlp.down_proj",
        }
    }
}

/// One linear of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// Layer index from 0.
    pub layer: usize,
    /// Which linear.
    pub module: Module,
}

impl fmt::Display for Site {
    /// The module path in the HF model: `model.layers.0.self_attn.q_proj`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model.layers.{}.{}", self.layer, self.module.path())
    }
}

/// The dropout of one pass: which masks to draw for which rows.
#[derive(Debug, Clone, Copy)]
pub struct RowNoise<'a> {
    /// The step's key.
    pub noise: Noise,
    /// (sequence id, offset in the sequence) of every row, `[rows]`.
    pub rows: &'a [(u64, u32)],
}

/// One RMSNorm of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Norm {
    /// `input_layernorm` of a layer.
    Input(usize),
    /// `self_attn.q_norm` of a layer.
    Query(usize),
    /// `self_attn.k_norm` of a layer.
    Key(usize),
    /// `post_attention_layernorm` of a layer.
    PostAttention(usize),
    /// The norm before the head.
    Final,
}

impl fmt::Display for Norm {
    /// The module path in the HF model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Norm::Input(layer) => write!(f, "model.layers.{layer}.input_layernorm"),
            Norm::Query(layer) => write!(f, "model.layers.{layer}.self_attn.q_norm"),
            Norm::Key(layer) => write!(f, "model.layers.{layer}.self_attn.k_norm"),
            Norm::PostAttention(layer) => write!(f, "model.layers.{layer}.post_attention_layernorm"),
            Norm::Final => f.write_str("model.norm"),
        }
    }
}

/// What an adapter keeps between its forward and its backward; opaque to the decoder.
#[derive(Debug, Default, Clone)]
pub struct Saved(pub Vec<Buffer>);

/// Whatever stands beside the frozen linears, if anything.
pub trait Adapters: Sync {
    /// The adapted output of `site`, y [rows, out] (overwritten), for x [rows, in]; false (and y untouched) if this
    /// linear is not adapted. `saved` and `noise` are given in training only.
    fn forward(
        &self,
        site: Site,
        base: &Linear,
        x: &[f32],
        y: &mut [f32],
        saved: Option<&mut Saved>,
        noise: Option<RowNoise<'_>>,
    ) -> bool;
}

/// Adapters that also take gradients.
pub trait TrainableAdapters: Adapters {
    /// Adds the gradients of the adapter's own parameters, and to dx [rows, in] that of the input, for dy [rows, out];
    /// false (and nothing changed) if this linear is not adapted. The other arguments are those of the forward.
    #[expect(clippy::too_many_arguments, reason = "everything one linear's backward needs")]
    fn backward(
        &mut self,
        site: Site,
        base: &Linear,
        x: &[f32],
        saved: &Saved,
        noise: Option<RowNoise<'_>>,
        dy: &[f32],
        dx: &mut [f32],
    ) -> bool;

    /// Whether the weights outside the linears are trained too: only then the three calls below are made.
    fn trains_everything(&self) -> bool {
        false
    }

    /// Adds the gradient of a norm's weight: x and dy [rows, n], `inverse_rms` `[rows]`.
    fn norm_backward(&mut self, _norm: Norm, _x: &[f32], _inverse_rms: &[f32], _dy: &[f32]) {}

    /// Adds the gradient of the embedding: dx [tokens, hidden] at the rows `ids`.
    fn embedding_backward(&mut self, _ids: &[u32], _dx: &[f32]) {}

    /// Adds the gradient of the head (the embedding where they are tied), whose
    /// values are `head`: h [rows, hidden], dlogits [rows, vocab].
    fn head_backward(&mut self, _head: Matrix<'_>, _h: &[f32], _d_logits: &[f32]) {}

    /// The same adapters for a forward pass.
    fn as_adapters(&self) -> &dyn Adapters;
}

/// No adapter at all: the base model.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAdapters;

impl Adapters for NoAdapters {
    fn forward(
        &self,
        _: Site,
        _: &Linear,
        _: &[f32],
        _: &mut [f32],
        _: Option<&mut Saved>,
        _: Option<RowNoise<'_>>,
    ) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_named_as_in_the_hf_model() {
        let site = Site { layer: 2, module: Module::DownProj };
        assert_eq!(site.to_string(), "model.layers.2.mlp.down_proj");
        assert_eq!(Module::QProj.name(), "q_proj");
    }
}
