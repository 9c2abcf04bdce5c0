//! The decoder in tensors: logits, loss, gradients, cached generation.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::layer::{Gamma, Kept, Pass, TensorLayer, TensorLinear};
use super::sites::{TensorAdapters, TrainableTensorAdapters};
use crate::error::{Problem, Result};
use crate::kernels::attention::{Sequence, Shape};
use crate::kernels::composed::rope::Angles;
use crate::kernels::composed::{attention, cross_entropy, linear, to_host};
use crate::model::batch::{Batch, LossSum, Noise, Targets};
use crate::model::decoder::{Decoder, row_keys};
use crate::model::sites::{RowNoise, Site};

/// A decoder whose weights lie on a device.
#[derive(Debug)]
pub struct TensorDecoder {
    device: Device,
    embedding: Tensor,
    layers: Vec<TensorLayer>,
    final_norm: Gamma,
    /// None: the head is the embedding.
    head: Option<Tensor>,
    checkpointing: bool,
}

/// Keys and values of one sequence, per layer, on the device.
#[derive(Debug, Clone, Default)]
pub struct TensorCache {
    /// [len, kv_heads·d] each.
    layers: Vec<Option<(Tensor, Tensor)>>,
    len: usize,
}

impl TensorDecoder {
    /// Copies a decoder's weights to a device. `host` stays what it is; it holds the shapes and the rotary angles, which
    /// every pass reads.
    pub fn new(host: &Decoder, device: &Device) -> Result<Self> {
        let config = host.config();
        let shape = |index: usize| Shape {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            window: config.windows[index],
            scale: 1.0 / (config.head_dim as f32).sqrt(),
        };
        let layers = host.layers.iter().enumerate();
        Ok(Self {
            device: device.clone(),
            embedding: linear::upload(host.embedding.matrix(), device)?,
            layers: layers
                .map(|(index, layer)| TensorLayer::new(layer, index, shape(index), device))
                .collect::<Result<_>>()?,
            final_norm: Gamma::new(&host.final_norm, config.rms_norm_eps, device)?,
            head: host.head.as_ref().map(|head| linear::upload(head.matrix(), device)).transpose()?,
            checkpointing: false,
        })
    }

    /// Trades time for memory in [`TensorDecoder::loss_backward`]: layers hold their input only and run again.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.checkpointing = on;
    }

    /// Where the weights lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The frozen linear at a site.
    pub fn linear(&self, site: Site) -> &TensorLinear {
        self.layers[site.layer].linear(site.module)
    }

    fn head(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The embedding's rows, [ids, hidden].
    fn embed(&self, host: &Decoder, ids: &[u32]) -> Result<Tensor> {
        host.check_ids(ids)?;
        linear::rows(&self.embedding, ids)
    }

    fn angles(&self, host: &Decoder, positions: &[u32]) -> Result<Angles> {
        Angles::new(&host.table(positions), positions, &self.device)
    }

    /// One layer over a whole batch.
    fn run_layer(
        &self,
        layer: &TensorLayer,
        x: &Tensor,
        sequences: &[Sequence],
        pass: &Pass<'_>,
        adapters: &dyn TensorAdapters,
        training: bool,
    ) -> Result<(Tensor, Option<Kept>)> {
        let mut attend = |q: &Tensor, k: &Tensor, v: &Tensor| {
            let (out, lse) = attention::forward(layer.shape(), sequences, q, k, v)?;
            Ok((out, Some(lse)))
        };
        layer.forward(x, pass, adapters, &mut attend, training)
    }

    /// The residual stream after the last layer, [tokens, hidden], before the final norm.
    fn hidden(&self, host: &Decoder, batch: &Batch, adapters: &dyn TensorAdapters) -> Result<Tensor> {
        let mut x = self.embed(host, &batch.input_ids)?;
        let pass = Pass { angles: &self.angles(host, &batch.position_ids)?, noise: None };
        for layer in &self.layers {
            x = self.run_layer(layer, &x, &batch.sequences, &pass, adapters, false)?.0;
        }
        Ok(x)
    }

    /// Rows of x, [rows, hidden].
    fn pick(&self, x: &Tensor, rows: &[usize]) -> Result<Tensor> {
        let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        Ok(x.index_select(&Tensor::from_slice(&rows, rows.len(), &self.device)?, 0)?)
    }

    /// Logits of every token of a batch, [tokens, vocab], on the host.
    pub fn logits(&self, host: &Decoder, batch: &Batch, adapters: &dyn TensorAdapters) -> Result<Vec<f32>> {
        let x = self.hidden(host, batch, adapters)?;
        to_host(&linear::forward(&self.final_norm.forward(&x)?.y, self.head())?)
    }

    /// The loss over the targets (no gradients, no dropout).
    pub fn loss(
        &self,
        host: &Decoder,
        batch: &Batch,
        targets: &Targets,
        adapters: &dyn TensorAdapters,
    ) -> Result<LossSum> {
        host.check(batch, targets)?;
        let x = self.pick(&self.hidden(host, batch, adapters)?, &targets.positions)?;
        let h = self.final_norm.forward(&x)?.y;
        let (sums, _) = cross_entropy::forward_backward(&h, &targets.labels, self.head(), false)?;
        Ok(LossSum { nll: sums.nll, targets: targets.labels.len(), correct: sums.correct })
    }

    /// The loss over the targets; adds the gradient of its SUM to the adapters' gradients.
    pub fn loss_backward(
        &self,
        host: &Decoder,
        batch: &Batch,
        targets: &Targets,
        adapters: &mut dyn TrainableTensorAdapters,
        noise: Noise,
    ) -> Result<LossSum> {
        host.check(batch, targets)?;
        let mut x = self.embed(host, &batch.input_ids)?;
        let rows = row_keys(batch);
        let noise = Some(RowNoise { noise, rows: &rows });
        let pass = Pass { angles: &self.angles(host, &batch.position_ids)?, noise };
        // Per layer its input, and unless it is to run again all that its backward needs.
        let mut held: Vec<(Tensor, Option<Kept>)> = Vec::new();
        for layer in &self.layers {
            let keeps = !self.checkpointing;
            let (next, kept) = self.run_layer(layer, &x, &batch.sequences, &pass, adapters.as_adapters(), keeps)?;
            held.push((std::mem::replace(&mut x, next), kept));
        }

        let last = self.final_norm.forward(&self.pick(&x, &targets.positions)?)?;
        let (sums, dy) = cross_entropy::forward_backward(&last.y, &targets.labels, self.head(), true)?;
        let mut dx = x.zeros_like()?;
        if let Some(dy) = dy {
            let d_rows = self.final_norm.backward(&last, &dy)?;
            let rows: Vec<u32> = targets.positions.iter().map(|row| *row as u32).collect();
            dx = dx.index_add(&Tensor::from_vec(rows, targets.positions.len(), &self.device)?, &d_rows, 0)?;
        }
        drop(x);
        for layer in self.layers.iter().rev() {
            let Some((input, kept)) = held.pop() else { break };
            let kept = match kept {
                Some(kept) => Some(kept),
                None => self.run_layer(layer, &input, &batch.sequences, &pass, adapters.as_adapters(), true)?.1,
            };
            if let Some(kept) = kept {
                dx = layer.backward(kept, &batch.sequences, &pass, adapters, dx)?;
            }
        }
        Ok(LossSum { nll: sums.nll, targets: targets.labels.len(), correct: sums.correct })
    }

    /// An empty cache for one sequence.
    pub fn new_cache(&self) -> TensorCache {
        TensorCache { layers: vec![None; self.layers.len()], len: 0 }
    }

    /// Appends `inputs[i]` (at least one token) to sequence `i` and returns the logits of its last token,
    /// `[sequences][vocab]`.
    pub fn forward_cached(
        &self,
        host: &Decoder,
        inputs: &[&[u32]],
        caches: &mut [TensorCache],
        adapters: &dyn TensorAdapters,
    ) -> Result<Vec<Vec<f32>>> {
        assert_eq!(inputs.len(), caches.len(), "one cache per sequence");
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(inputs.len());
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        for (input, cache) in inputs.iter().zip(caches.iter()) {
            if input.is_empty() {
                return Err(Problem::failed("a sequence to continue has no new token").into());
            }
            ranges.push(ids.len()..ids.len() + input.len());
            ids.extend_from_slice(input);
            positions.extend(cache.len as u32..(cache.len + input.len()) as u32);
        }
        let mut x = self.embed(host, &ids)?;
        let pass = Pass { angles: &self.angles(host, &positions)?, noise: None };
        for (index, layer) in self.layers.iter().enumerate() {
            let mut attend = |q: &Tensor, k: &Tensor, v: &Tensor| {
                let mut outs = Vec::with_capacity(ranges.len());
                for (range, cache) in ranges.iter().zip(caches.iter_mut()) {
                    let rows = |x: &Tensor| x.narrow(0, range.start, range.len());
                    let (mut k, mut v) = (rows(k)?, rows(v)?);
                    if let Some((before_k, before_v)) = cache.layers[index].take() {
                        (k, v) = (Tensor::cat(&[before_k, k], 0)?, Tensor::cat(&[before_v, v], 0)?);
                    }
                    outs.push(attention::forward_cached(layer.shape(), &rows(q)?, &k, &v)?);
                    cache.layers[index] = Some((k, v));
                }
                Ok((Tensor::cat(&outs, 0)?, None))
            };
            x = layer.forward(&x, &pass, adapters, &mut attend, false)?.0;
        }
        for (range, cache) in ranges.iter().zip(caches.iter_mut()) {
            cache.len += range.len();
        }
        let last: Vec<usize> = ranges.iter().map(|range| range.end - 1).collect();
        let h = self.final_norm.forward(&self.pick(&x, &last)?)?.y;
        Ok(linear::forward(&h, self.head())?.to_vec2()?)
    }
}
