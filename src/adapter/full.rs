//! The adapter type `full`: no adapter at all, every weight of the decoder is a parameter.
//!
//! Values are f32 masters; the decoder computes with its own copies, which [`FullWeights::sync`] renews after each
//! optimiser step. Where embedding and head are tied their gradients meet in one tensor.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use safetensors::SafeTensors;

use super::{Param, files, param};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::kernels::linear::Matrix;
use crate::kernels::{embedding, linear, rms_norm};
use crate::model::tensor_file::{self, Entry, Numbers};
use crate::model::{Adapters, Decoder, Linear, Norm, RowNoise, Saved, Site, TensorMut, TrainableAdapters};

/// The weights' file in a HF folder.
const FILE: &str = "model.safetensors";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Every weight of a decoder as a trainable tensor.
#[derive(Debug)]
pub struct FullWeights {
    /// Ordered by name (the HF tensor names).
    params: Vec<Param>,
    index: HashMap<String, usize>,
}

impl FullWeights {
    /// The decoder's weights as they are.
    pub fn new(decoder: &mut Decoder) -> Self {
        let mut params = Vec::new();
        decoder.visit_tensors(&mut |name, tensor| {
            let decays = matches!(tensor, TensorMut::Matrix(_));
            params.push(Param { decays, ..param(name.to_owned(), tensor.shape(), tensor.to_f32()) });
        });
        params.sort_by(|a, b| a.name.cmp(&b.name));
        let index = params.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        Self { params, index }
    }

    /// The trainable tensors, ordered by name.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The trainable tensors, ordered by name. Call [`FullWeights::sync`] after changing values.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }

    /// Sets every gradient to zero.
    pub fn zero_grad(&mut self) {
        for param in &mut self.params {
            param.grad.clear();
            param.grad.resize(param.value.len(), 0.0);
        }
    }

    /// Gives the decoder the current values.
    pub fn sync(&self, decoder: &mut Decoder) {
        decoder.visit_tensors(&mut |name, tensor| {
            if let Some(i) = self.index.get(name) {
                tensor.set(&self.params[*i].value);
            }
        });
    }

    /// Writes `model.safetensors` with HF's names: the f32 masters as they are.
    pub fn save(&self, dir: &Path) -> Result<()> {
        write(dir, &self.params, Numbers::F32)
    }

    /// Reads what [`FullWeights::save`] wrote: exactly these tensors, f32, finite.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let expected: Vec<(String, Vec<usize>)> =
            self.params.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        let read = files::read_tensors_of(&dir.join(FILE), &expected)?;
        for (param, new) in self.params.iter_mut().zip(read) {
            param.value = new.value;
        }
        Ok(())
    }

    /// Copies the `model.safetensors` of a folder into another one, rounded to bf16.
    pub fn round_to_bf16(from: &Path, to: &Path) -> Result<()> {
        let path = from.join(FILE);
        let bytes = fsx::read(&path)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| {
            Problem::input(format!("{} is not a sound safetensors file", path.display())).detail(error.to_string())
        })?;
        let mut params = Vec::new();
        for (name, view) in file.iter() {
            let (numbers, _) = view.data().as_chunks::<4>();
            let value = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            params.push(param(name.to_owned(), view.shape().to_vec(), value));
        }
        write(to, &params, Numbers::RoundedToBf16)
    }

    /// Runs `f` on the gradient of a tensor, if there is such a tensor.
    fn with_grad(&mut self, name: &str, f: impl FnOnce(&mut [f32])) {
        if let Some(i) = self.index.get(name) {
            let param = &mut self.params[*i];
            param.grad.resize(param.value.len(), 0.0);
            f(&mut param.grad);
        }
    }
}

fn write<'a>(dir: &Path, params: &'a [Param], numbers: impl Fn(&'a [f32]) -> Numbers<'a>) -> Result<()> {
    let entries = params.iter().map(|param| Entry {
        name: param.name.clone(),
        shape: param.shape.clone(),
        numbers: numbers(&param.value),
    });
    let path = dir.join(FILE);
    let mut file = fsx::AtomicFile::create(&path)?;
    let written = tensor_file::write(&mut file, entries.collect(), Some(("format", "pt")));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    file.commit()
}

impl Adapters for FullWeights {
    /// The decoder's own weights are the trained ones: nothing stands beside them.
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

impl TrainableAdapters for FullWeights {
    fn backward(
        &mut self,
        site: Site,
        base: &Linear,
        x: &[f32],
        _: &Saved,
        _: Option<RowNoise<'_>>,
        dy: &[f32],
        dx: &mut [f32],
    ) -> bool {
        let weight = base.weight().matrix();
        self.with_grad(&format!("{site}.weight"), |dw| linear::trainable::backward_weight_of(weight, x, dy, dw));
        self.with_grad(&format!("{site}.bias"), |db| linear::trainable::backward_bias(dy, db));
        base.backward_input(dy, dx);
        true
    }

    fn trains_everything(&self) -> bool {
        true
    }

    fn norm_backward(&mut self, norm: Norm, x: &[f32], inverse_rms: &[f32], dy: &[f32]) {
        self.with_grad(&format!("{norm}.weight"), |d| rms_norm::trainable::backward_gamma(x, inverse_rms, dy, d));
    }

    fn embedding_backward(&mut self, ids: &[u32], dx: &[f32]) {
        self.with_grad(EMBEDDING, |d| embedding::scatter_add(ids, dx, d));
    }

    fn head_backward(&mut self, head: Matrix<'_>, h: &[f32], d_logits: &[f32]) {
        let name = if self.index.contains_key(HEAD) { HEAD } else { EMBEDDING };
        self.with_grad(name, |d| linear::trainable::backward_weight_of(head, h, d_logits, d));
    }

    fn as_adapters(&self) -> &dyn Adapters {
        self
    }
}
