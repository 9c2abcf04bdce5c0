//! One decoder layer: the forward returns what the backward beside it needs.
//!
//! x → x + o(attention(rope(norm(q)), rope(norm(k)), v)) → x + down(silu(gate) ⊙ up), each half on an RMSNorm of its
//! input. Frozen weights take no gradient; adapters take part through [`Adapters`].

use rayon::prelude::*;

use super::batch::Sequence;
use super::config::Config;
use super::fresh::Tensors;
use super::sites::{Adapters, Module, Norm, RowNoise, Saved, Site, TrainableAdapters};
use super::weight::{TensorMut, Weight};
use crate::error::Result;
use crate::kernels::attention::{self, Kept as KeptAttention, Shape};
use crate::kernels::buffer::Buffer;
use crate::kernels::gemm::Write;
use crate::kernels::rope::{self, Table, Turn};
use crate::kernels::{linear, rms_norm, swiglu};

/// Numbers that a task adds.
const ADDED_PER_TASK: usize = 1 << 16;

/// A frozen linear: y = x·Wᵀ + b.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// A linear of this weight and bias `[out]`.
    pub fn new(weight: Weight, bias: Option<Vec<f32>>) -> Self {
        Self { weight, bias }
    }

    fn load(tensors: &dyn Tensors, path: &str, out: usize, inner: usize, bias: bool) -> Result<Self> {
        let weight = tensors.weight(&format!("{path}.weight"), out, inner)?;
        let bias = bias.then(|| tensors.vector(&format!("{path}.bias"), out)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// The weight.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The bias, where there is one.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// Width of the output.
    pub fn out(&self) -> usize {
        self.weight.rows()
    }

    /// Width of the input.
    pub fn inner(&self) -> usize {
        self.weight.cols()
    }

    /// y [rows, out] = x·Wᵀ, without the bias.
    pub fn product(&self, x: &[f32], y: &mut [f32]) {
        linear::forward(x, x.len() / self.inner(), self.weight.matrix(), y, Write::Set);
    }

    /// dx [rows, in] += dy·W.
    pub fn backward_input(&self, dy: &[f32], dx: &mut [f32]) {
        linear::backward_input(dy, dy.len() / self.out(), self.weight.matrix(), dx, Write::Add);
    }

    /// y [rows, out] = x·Wᵀ + b.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        self.product(x, y);
        if let Some(bias) = &self.bias {
            linear::add_bias(y, bias);
        }
    }
}

/// What all layers of one pass share.
pub(super) struct Pass<'a> {
    pub config: &'a Config,
    pub table: &'a Table,
    /// Rotary positions, `[tokens]`.
    pub positions: &'a [u32],
    /// Training draws dropout masks by these keys; inference has none.
    pub noise: Option<RowNoise<'a>>,
}

impl Pass<'_> {
    pub(super) fn shape(&self, layer: usize) -> Shape {
        Shape {
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
            window: self.config.windows[layer],
            scale: 1.0 / (self.config.head_dim as f32).sqrt(),
        }
    }
}

/// Computes attention for a layer: (q, k, v, out, lse).
pub(super) type Attend<'a> = dyn FnMut(&[f32], &[f32], &[f32], &mut [f32], &mut [f32]) + 'a;

/// The input, 1/rms and output of an RMSNorm.
#[derive(Debug, Default)]
pub(super) struct Normed {
    x: Buffer,
    inverse_rms: Vec<f32>,
    pub(super) y: Buffer,
}

impl Normed {
    fn forward(x: Buffer, gamma: &[f32], epsilon: f32) -> Self {
        let (inverse_rms, y) = (vec![0.0; x.len() / gamma.len()], Buffer::unspecified(x.len()));
        let mut normed = Self { x, inverse_rms, y };
        rms_norm::forward(&normed.x, gamma, epsilon, &mut normed.y, &mut normed.inverse_rms);
        normed
    }

    /// The output again, where it was let go of.
    pub(super) fn renew(&mut self, gamma: &[f32], epsilon: f32) {
        self.y = Buffer::unspecified(self.x.len());
        rms_norm::forward(&self.x, gamma, epsilon, &mut self.y, &mut self.inverse_rms);
    }

    /// dx += the input gradient for dy.
    fn backward(&self, gamma: &[f32], dy: &[f32], dx: &mut [f32]) {
        rms_norm::backward(&self.x, gamma, &self.inverse_rms, dy, dx);
    }
}

/// What a layer's forward keeps for its backward.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) input: Normed,
    /// Before rotation; y is empty where the family has no such norm.
    pub(super) q_norm: Normed,
    pub(super) k_norm: Normed,
    pub(super) q: Buffer,
    pub(super) k: Buffer,
    v: Buffer,
    out: Buffer,
    lse: Vec<f32>,
    pub(super) middle: Normed,
    pub(super) gate: Buffer,
    pub(super) up: Buffer,
    pub(super) activation: Buffer,
    pub(super) saved: [Saved; 7],
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    index: usize,
    pub(super) input_norm: Vec<f32>,
    /// q, k, v, o, gate, up, down: the order of [`Module::ALL`].
    linears: [Linear; 7],
    /// Per-head norms of queries and keys (Qwen3).
    pub(super) head_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(super) post_norm: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Layer {
    pub(super) fn load(tensors: &dyn Tensors, prefix: &str, index: usize, config: &Config) -> Result<Self> {
        let path = format!("{prefix}layers.{index}.");
        let (hidden, mlp) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let load = |module: Module, out: usize, inner: usize, bias: bool| {
            Linear::load(tensors, &format!("{path}{}", module.path()), out, inner, bias)
        };
        let head_norm = |name: &str| tensors.vector(&format!("{path}self_attn.{name}.weight"), config.head_dim);
        Ok(Self {
            index,
            input_norm: tensors.vector(&format!("{path}input_layernorm.weight"), hidden)?,
            linears: [
                load(Module::QProj, q, hidden, config.qkv_bias)?,
                load(Module::KProj, kv, hidden, config.qkv_bias)?,
                load(Module::VProj, kv, hidden, config.qkv_bias)?,
                load(Module::OProj, hidden, q, config.o_bias)?,
                load(Module::GateProj, mlp, hidden, config.mlp_bias)?,
                load(Module::UpProj, mlp, hidden, config.mlp_bias)?,
                load(Module::DownProj, hidden, mlp, config.mlp_bias)?,
            ],
            head_norms: match config.family {
                super::config::Family::Qwen3 => Some((head_norm("q_norm")?, head_norm("k_norm")?)),
                _ => None,
            },
            post_norm: tensors.vector(&format!("{path}post_attention_layernorm.weight"), hidden)?,
            epsilon: config.rms_norm_eps,
        })
    }

    pub(super) fn linear(&self, module: Module) -> &Linear {
        &self.linears[module as usize]
    }

    /// Calls `f` with the HF name of every tensor of the layer.
    pub(super) fn visit_tensors(&mut self, f: &mut dyn FnMut(&str, TensorMut<'_>)) {
        let index = self.index;
        f(&format!("{}.weight", Norm::Input(index)), TensorMut::Vector(&mut self.input_norm));
        f(&format!("{}.weight", Norm::PostAttention(index)), TensorMut::Vector(&mut self.post_norm));
        if let Some((query, key)) = &mut self.head_norms {
            f(&format!("{}.weight", Norm::Query(index)), TensorMut::Vector(query));
            f(&format!("{}.weight", Norm::Key(index)), TensorMut::Vector(key));
        }
        for module in Module::ALL {
            let site = self.site(module);
            let linear = &mut self.linears[module as usize];
            f(&format!("{site}.weight"), TensorMut::Matrix(&mut linear.weight));
            if let Some(bias) = &mut linear.bias {
                f(&format!("{site}.bias"), TensorMut::Vector(bias));
            }
        }
    }

    fn site(&self, module: Module) -> Site {
        Site { layer: self.index, module }
    }

    /// One linear with whatever stands beside it.
    pub(super) fn apply(
        &self,
        module: Module,
        x: &[f32],
        pass: &Pass<'_>,
        adapters: &dyn Adapters,
        saved: Option<&mut Saved>,
    ) -> Buffer {
        let linear = self.linear(module);
        let mut y = Buffer::unspecified(x.len() / linear.inner() * linear.out());
        if !adapters.forward(self.site(module), linear, x, &mut y, saved, pass.noise) {
            linear.forward(x, &mut y);
        }
        y
    }

    /// x [tokens, hidden] → the layer's output in place. With `kept` the pass is one of training.
    pub(super) fn forward(
        &self,
        x: &mut [f32],
        pass: &Pass<'_>,
        adapters: &dyn Adapters,
        attend: &mut Attend<'_>,
        kept: Option<&mut Kept>,
    ) {
        let mut saved: [Saved; 7] = Default::default();
        let training = kept.is_some();
        let mut run = |module: Module, x: &[f32]| {
            self.apply(module, x, pass, adapters, training.then_some(&mut saved[module as usize]))
        };
        let input = Normed::forward((&*x).into(), &self.input_norm, self.epsilon);
        let mut q = run(Module::QProj, &input.y);
        let mut k = run(Module::KProj, &input.y);
        let v = run(Module::VProj, &input.y);
        let (mut q_norm, mut k_norm) = (Normed::default(), Normed::default());
        if let Some((q_gamma, k_gamma)) = &self.head_norms {
            q_norm = Normed::forward(q, q_gamma, self.epsilon);
            k_norm = Normed::forward(k, k_gamma, self.epsilon);
            q = std::mem::take(&mut q_norm.y);
            k = std::mem::take(&mut k_norm.y);
        }
        let config = pass.config;
        rope::apply(&mut q, config.num_attention_heads, pass.positions, pass.table, Turn::Forward);
        rope::apply(&mut k, config.num_key_value_heads, pass.positions, pass.table, Turn::Forward);
        let mut out = Buffer::unspecified(q.len());
        let mut lse = vec![0.0; pass.positions.len() * config.num_attention_heads];
        attend(&q, &k, &v, &mut out, &mut lse);
        add(x, &run(Module::OProj, &out));

        let middle = Normed::forward((&*x).into(), &self.post_norm, self.epsilon);
        let gate = run(Module::GateProj, &middle.y);
        let up = run(Module::UpProj, &middle.y);
        let mut activation = Buffer::unspecified(gate.len());
        swiglu::forward(&gate, &up, &mut activation);
        add(x, &run(Module::DownProj, &activation));
        if let Some(kept) = kept {
            *kept = Kept { input, q_norm, k_norm, q, k, v, out, lse, middle, gate, up, activation, saved };
        }
    }

    /// Turns dx, the gradient of the layer's output, into that of its input; adds the adapters' gradients.
    pub(super) fn backward(
        &self,
        kept: Kept,
        sequences: &[Sequence],
        pass: &Pass<'_>,
        adapters: &mut dyn TrainableAdapters,
        dx: &mut [f32],
    ) {
        let Kept { input, q_norm, k_norm, q, k, v, out, lse, middle, mut gate, mut up, activation, saved } = kept;
        let back = |adapters: &mut dyn TrainableAdapters, module: Module, x: &[f32], dy: &[f32], dx: &mut [f32]| {
            let linear = self.linear(module);
            if !adapters.backward(self.site(module), linear, x, &saved[module as usize], pass.noise, dy, dx) {
                linear.backward_input(dy, dx);
            }
        };
        // The MLP half; dx is also the gradient that passes it by.
        let mut d_activation = Buffer::zeros(activation.len());
        back(adapters, Module::DownProj, &activation, dx, &mut d_activation);
        drop(activation);
        swiglu::backward_in_place(&mut gate, &mut up, &d_activation);
        drop(d_activation);
        let mut d_normed = Buffer::zeros(middle.y.len());
        back(adapters, Module::GateProj, &middle.y, &gate, &mut d_normed);
        back(adapters, Module::UpProj, &middle.y, &up, &mut d_normed);
        drop((gate, up));
        middle.backward(&self.post_norm, &d_normed, dx);
        let everything = adapters.trains_everything();
        if everything {
            adapters.norm_backward(Norm::PostAttention(self.index), &middle.x, &middle.inverse_rms, &d_normed);
        }

        // The attention half.
        let mut d_out = Buffer::zeros(out.len());
        back(adapters, Module::OProj, &out, dx, &mut d_out);
        let [mut dq, mut dk, mut dv] = [&q, &k, &v].map(|x| Buffer::unspecified(x.len()));
        let kept = KeptAttention { q: &q, k: &k, v: &v, out: &out, lse: &lse };
        attention::backward(pass.shape(self.index), sequences, kept, &d_out, &mut dq, &mut dk, &mut dv);
        let config = pass.config;
        rope::apply(&mut dq, config.num_attention_heads, pass.positions, pass.table, Turn::Backward);
        rope::apply(&mut dk, config.num_key_value_heads, pass.positions, pass.table, Turn::Backward);
        if let Some((q_gamma, k_gamma)) = &self.head_norms {
            let (query, key) = (Norm::Query(self.index), Norm::Key(self.index));
            for (which, norm, gamma, d) in [(query, &q_norm, q_gamma, &mut dq), (key, &k_norm, k_gamma, &mut dk)] {
                if everything {
                    adapters.norm_backward(which, &norm.x, &norm.inverse_rms, d);
                }
                let mut before = Buffer::zeros(d.len());
                norm.backward(gamma, d, &mut before);
                *d = before;
            }
        }
        d_normed.fill(0.0);
        back(adapters, Module::QProj, &input.y, &dq, &mut d_normed);
        back(adapters, Module::KProj, &input.y, &dk, &mut d_normed);
        back(adapters, Module::VProj, &input.y, &dv, &mut d_normed);
        input.backward(&self.input_norm, &d_normed, dx);
        if everything {
            adapters.norm_backward(Norm::Input(self.index), &input.x, &input.inverse_rms, &d_normed);
        }
    }
}

/// x += y.
fn add(x: &mut [f32], y: &[f32]) {
    let add = |(x, y): (&mut [f32], &[f32])| x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    if x.len() < ADDED_PER_TASK {
        return add((x, y));
    }
    x.par_chunks_mut(ADDED_PER_TASK).zip(y.par_chunks(ADDED_PER_TASK)).for_each(add);
}
