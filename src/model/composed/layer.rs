//! One decoder layer in tensors: the forward returns what the backward beside it needs.

use candle_core::{Device, Tensor};

use super::sites::{SavedTensors, TensorAdapters, TrainableTensorAdapters};
use crate::error::Result;
use crate::kernels::attention::{Sequence, Shape};
use crate::kernels::composed::attention::{self, Kept as KeptAttention};
use crate::kernels::composed::rope::{self, Angles};
use crate::kernels::composed::{from_host, linear, rms_norm, swiglu};
use crate::kernels::rope::Turn;
use crate::model::layer::{Layer, Linear};
use crate::model::sites::{Module, RowNoise, Site};

/// A frozen linear on a device: y = x·Wᵀ + b.
#[derive(Debug, Clone)]
pub struct TensorLinear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl TensorLinear {
    /// A copy of this linear on a device.
    pub fn new(linear: &Linear, device: &Device) -> Result<Self> {
        let bias = linear.bias().map(|bias| from_host(bias, &[bias.len()], device)).transpose()?;
        Ok(Self { weight: linear::upload(linear.weight().matrix(), device)?, bias })
    }

    /// The weight [out, in], in f32 or bf16.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// y [rows, out] = x·Wᵀ, without the bias.
    pub fn product(&self, x: &Tensor) -> Result<Tensor> {
        linear::forward(x, &self.weight)
    }

    /// y + b.
    pub fn add_bias(&self, y: Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => Ok(y.broadcast_add(bias)?),
            None => Ok(y),
        }
    }

    /// dx [rows, in] = dy·W.
    pub fn backward_input(&self, dy: &Tensor) -> Result<Tensor> {
        linear::backward_input(dy, &self.weight)
    }
}

/// What all layers of one pass share.
pub(super) struct Pass<'a> {
    pub angles: &'a Angles,
    pub noise: Option<RowNoise<'a>>,
}

/// Computes attention for a layer: (q, k, v) → (out, lse); the last is none where no backward follows.
pub(super) type Attend<'a> = dyn FnMut(&Tensor, &Tensor, &Tensor) -> Result<(Tensor, Option<Tensor>)> + 'a;

/// The weight of an RMSNorm.
#[derive(Debug)]
pub(super) struct Gamma {
    values: Tensor,
    epsilon: f64,
}

/// The input, 1/rms and output of an RMSNorm.
pub(super) struct Normed {
    x: Tensor,
    inverse: Tensor,
    pub(super) y: Tensor,
}

impl Gamma {
    pub(super) fn new(values: &[f32], epsilon: f32, device: &Device) -> Result<Self> {
        Ok(Self { values: from_host(values, &[values.len()], device)?, epsilon: f64::from(epsilon) })
    }

    /// x in rows of γ's length, whatever its shape; y has the shape of x.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Normed> {
        let rows = x.reshape(((), self.values.dim(0)?))?;
        let (y, inverse) = rms_norm::forward(&rows, &self.values, self.epsilon)?;
        Ok(Normed { y: y.reshape(x.shape())?, x: rows, inverse })
    }

    pub(super) fn backward(&self, normed: &Normed, dy: &Tensor) -> Result<Tensor> {
        let rows = dy.reshape(((), self.values.dim(0)?))?;
        Ok(rms_norm::backward(&normed.x, &self.values, &normed.inverse, &rows)?.reshape(dy.shape())?)
    }
}

/// What a layer's forward keeps for its backward.
pub(super) struct Kept {
    input: Normed,
    /// Before rotation; none where the family has no such norms.
    head_norms: Option<(Normed, Normed)>,
    attention: KeptAttention,
    middle: Normed,
    gate: Tensor,
    up: Tensor,
    activation: Tensor,
    saved: [SavedTensors; 7],
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct TensorLayer {
    index: usize,
    shape: Shape,
    input_norm: Gamma,
    /// In the order of [`Module::ALL`].
    linears: Vec<TensorLinear>,
    head_norms: Option<(Gamma, Gamma)>,
    post_norm: Gamma,
}

impl TensorLayer {
    pub(super) fn new(layer: &Layer, index: usize, shape: Shape, device: &Device) -> Result<Self> {
        let gamma = |values: &[f32]| Gamma::new(values, layer.epsilon, device);
        let head_norms = match &layer.head_norms {
            Some((query, key)) => Some((gamma(query)?, gamma(key)?)),
            None => None,
        };
        let linears = Module::ALL.iter().map(|module| TensorLinear::new(layer.linear(*module), device));
        Ok(Self {
            index,
            shape,
            input_norm: gamma(&layer.input_norm)?,
            linears: linears.collect::<Result<_>>()?,
            head_norms,
            post_norm: gamma(&layer.post_norm)?,
        })
    }

    pub(super) fn linear(&self, module: Module) -> &TensorLinear {
        &self.linears[module as usize]
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    fn site(&self, module: Module) -> Site {
        Site { layer: self.index, module }
    }

    /// x [tokens, hidden] → (the layer's output, and with `training` what its backward needs).
    pub(super) fn forward(
        &self,
        x: &Tensor,
        pass: &Pass<'_>,
        adapters: &dyn TensorAdapters,
        attend: &mut Attend<'_>,
        training: bool,
    ) -> Result<(Tensor, Option<Kept>)> {
        let mut saved: [SavedTensors; 7] = Default::default();
        let mut run = |module: Module, x: &Tensor| -> Result<Tensor> {
            let linear = self.linear(module);
            let slot = training.then_some(&mut saved[module as usize]);
            match adapters.forward(self.site(module), linear, x, slot, pass.noise)? {
                Some(y) => Ok(y),
                None => linear.add_bias(linear.product(x)?),
            }
        };
        let input = self.input_norm.forward(x)?;
        let (mut q, mut k) = (run(Module::QProj, &input.y)?, run(Module::KProj, &input.y)?);
        let v = run(Module::VProj, &input.y)?;
        let mut head_norms = None;
        if let Some((query, key)) = &self.head_norms {
            let (query, key) = (query.forward(&q)?, key.forward(&k)?);
            (q, k) = (query.y.clone(), key.y.clone());
            head_norms = Some((query, key));
        }
        let q = rope::apply(&q, self.shape.heads, pass.angles, Turn::Forward)?;
        let k = rope::apply(&k, self.shape.kv_heads, pass.angles, Turn::Forward)?;
        let (out, lse) = attend(&q, &k, &v)?;
        let x = (x + run(Module::OProj, &out)?)?;
        let middle = self.post_norm.forward(&x)?;
        let (gate, up) = (run(Module::GateProj, &middle.y)?, run(Module::UpProj, &middle.y)?);
        let activation = swiglu::forward(&gate, &up)?;
        let x = (x + run(Module::DownProj, &activation)?)?;
        let kept = match lse {
            Some(lse) if training => {
                let attention = KeptAttention { q, k, v, out, lse };
                Some(Kept { input, head_norms, attention, middle, gate, up, activation, saved })
            }
            _ => None,
        };
        Ok((x, kept))
    }

    /// The gradient of the layer's input for dx, that of its output; adds the adapters' gradients.
    pub(super) fn backward(
        &self,
        kept: Kept,
        sequences: &[Sequence],
        pass: &Pass<'_>,
        adapters: &mut dyn TrainableTensorAdapters,
        dx: Tensor,
    ) -> Result<Tensor> {
        let Kept { input, head_norms, attention, middle, gate, up, activation, saved } = kept;
        let mut back = |module: Module, x: &Tensor, dy: &Tensor| -> Result<Tensor> {
            let linear = self.linear(module);
            let saved = &saved[module as usize];
            match adapters.backward(self.site(module), linear, x, saved, pass.noise, dy)? {
                Some(dx) => Ok(dx),
                None => linear.backward_input(dy),
            }
        };
        let d_activation = back(Module::DownProj, &activation, &dx)?;
        let (d_gate, d_up) = swiglu::backward(&gate, &up, &d_activation)?;
        let d_normed = (back(Module::GateProj, &middle.y, &d_gate)? + back(Module::UpProj, &middle.y, &d_up)?)?;
        let dx = (dx + self.post_norm.backward(&middle, &d_normed)?)?;

        let d_out = back(Module::OProj, &attention.out, &dx)?;
        let (dq, dk, dv) = attention::backward(self.shape, sequences, &attention, &d_out)?;
        let mut dq = rope::apply(&dq, self.shape.heads, pass.angles, Turn::Backward)?;
        let mut dk = rope::apply(&dk, self.shape.kv_heads, pass.angles, Turn::Backward)?;
        if let (Some((query, key)), Some((query_normed, key_normed))) = (&self.head_norms, &head_norms) {
            dq = query.backward(query_normed, &dq)?;
            dk = key.backward(key_normed, &dk)?;
        }
        let d_normed = (back(Module::QProj, &input.y, &dq)? + back(Module::KProj, &input.y, &dk)?)?;
        let d_normed = (d_normed + back(Module::VProj, &input.y, &dv)?)?;
        Ok((dx + self.input_norm.backward(&input, &d_normed)?)?)
    }
}
