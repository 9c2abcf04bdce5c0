//! Gradient checkpointing: what a layer holds between its forward and its backward, and how the rest comes back.
//!
//! What comes back is computed by the same operations on the same numbers (dropout masks are a function of their place),
//! so the gradients are the same bits whichever is chosen.

use serde::{Deserialize, Serialize};

use super::layer::{Kept, Layer, Pass};
use super::sites::{Adapters, Module, Saved};
use crate::kernels::buffer::Buffer;
use crate::kernels::rope::{self, Turn};
use crate::kernels::swiglu;

/// How much is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpointing {
    /// All that the backward needs.
    #[default]
    Off,
    /// The attention half and the narrow tensors; norms, rotation and the wide half of the MLP (gate, up, SwiGLU) are
    /// computed again. Price: two of a layer's seven products.
    Selective,
    /// The input of every layer; its whole forward runs again.
    On,
}

impl Checkpointing {
    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Selective => "selective",
            Self::On => "on",
        }
    }
}

impl Layer {
    /// Lets go of what [`Layer::restore`] brings back.
    pub(super) fn thin(&self, kept: &mut Kept) {
        kept.input.y = Buffer::default();
        kept.middle.y = Buffer::default();
        // Without head norms the rotated queries and keys are all there is of them.
        if self.head_norms.is_some() {
            kept.q = Buffer::default();
            kept.k = Buffer::default();
        }
        kept.gate = Buffer::default();
        kept.up = Buffer::default();
        kept.activation = Buffer::default();
        for module in [Module::GateProj, Module::UpProj] {
            kept.saved[module as usize] = Saved::default();
        }
    }

    /// Computes again what [`Layer::thin`] let go of.
    pub(super) fn restore(&self, kept: &mut Kept, pass: &Pass<'_>, adapters: &dyn Adapters) {
        kept.input.renew(&self.input_norm, self.epsilon);
        kept.middle.renew(&self.post_norm, self.epsilon);
        if let Some((q_gamma, k_gamma)) = &self.head_norms {
            let config = pass.config;
            for (norm, gamma, heads, rotated) in [
                (&mut kept.q_norm, q_gamma, config.num_attention_heads, &mut kept.q),
                (&mut kept.k_norm, k_gamma, config.num_key_value_heads, &mut kept.k),
            ] {
                norm.renew(gamma, self.epsilon);
                *rotated = std::mem::take(&mut norm.y);
                rope::apply(rotated, heads, pass.positions, pass.table, Turn::Forward);
            }
        }
        let [.., gate_saved, up_saved, _] = &mut kept.saved;
        kept.gate = self.apply(Module::GateProj, &kept.middle.y, pass, adapters, Some(gate_saved));
        kept.up = self.apply(Module::UpProj, &kept.middle.y, pass, adapters, Some(up_saved));
        kept.activation = Buffer::unspecified(kept.gate.len());
        swiglu::forward(&kept.gate, &kept.up, &mut kept.activation);
    }
}
