//! The adapter type `full`: no adapter at all, every weight of the decoder is a parameter.
//!
//! Values are f32 masters; the decoder computes with its own copies, which [`FullWeights::sync`] renews after each
//! optimiser step. Where embedding and head are tied their gradients meet in one tensor.

use std::collections::HashMap;
use std::path::Path;

use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{Param, param};
use crate::error::Result;
use crate::fsx;
use crate::kernels::{embedding, linear, rms_norm};
use crate::model::{Adapters, Decoder, Linear, Norm, RowNoise, Saved, Site, TrainableAdapters};

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
        decoder.visit_tensors(&mut |name, tensor| params.push(param(name.to_owned(), tensor.shape(), tensor.to_f32())));
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

    /// Writes `model.safetensors` with HF's names, in f32 or rounded to bf16.
    pub fn save(&self, dir: &Path, as_bf16: bool) -> Result<()> {
        let encode = |param: &Param| -> Vec<u8> {
            if as_bf16 {
                param.value.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect()
            } else {
                param.value.iter().flat_map(|v| v.to_le_bytes()).collect()
            }
        };
        let dtype = if as_bf16 { Dtype::BF16 } else { Dtype::F32 };
        let bytes: Vec<Vec<u8>> = self.params.iter().map(encode).collect();
        let views = self
            .params
            .iter()
            .zip(&bytes)
            .map(|(p, b)| Ok((p.name.clone(), TensorView::new(dtype, p.shape.clone(), b)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let file = safetensors::serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())])))?;
        fsx::write_atomic(&dir.join("model.safetensors"), &file)
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
        let rows = x.len() / base.inner();
        self.with_grad(&format!("{site}.weight"), |dw| linear::trainable::backward_weight(x, dy, rows, dw));
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

    fn head_backward(&mut self, h: &[f32], d_logits: &[f32]) {
        let name = if self.index.contains_key(HEAD) { HEAD } else { EMBEDDING };
        let Some(i) = self.index.get(name) else { return };
        let rows = h.len() / self.params[*i].shape[1];
        self.with_grad(name, |d| linear::trainable::backward_weight(h, d_logits, rows, d));
    }

    fn as_adapters(&self) -> &dyn Adapters {
        self
    }
}
