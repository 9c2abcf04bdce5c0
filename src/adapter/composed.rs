//! LoRA and DoRA in tensors on a candle device: the formulas of [`super::branch`].
//!
//! Values and gradients belong to the [`Adapter`] on the host, which optimiser and checkpoints know; here are copies of
//! the values, and gradients until they are fetched. Dropout masks are drawn on the host, since they are the same
//! function there and here.

use candle_core::{D, DType, Device, Tensor};

use super::branch::Branch;
use super::{Adapter, dropout, index};
use crate::error::{Problem, Result};
use crate::kernels::composed::{from_host, to_host};
use crate::model::composed::{SavedTensors, TensorAdapters, TensorDecoder, TensorLinear, TrainableTensorAdapters};
use crate::model::{Decoder, RowNoise, Site};

/// An adapter's values on a device.
#[derive(Debug)]
pub struct TensorAdapter {
    /// As the adapter's own: by site.
    branches: Vec<Option<TensorBranch>>,
    dropout: f64,
}

/// A decoder and perhaps an adapter on a device.
#[derive(Debug)]
pub struct OnDevice {
    /// The base model.
    pub decoder: TensorDecoder,
    /// What was trained for it.
    pub adapter: Option<TensorAdapter>,
}

impl OnDevice {
    /// Copies both to a device.
    pub fn new(decoder: &Decoder, adapter: Option<&Adapter>, device: &Device) -> Result<Self> {
        let decoder = TensorDecoder::new(decoder, device)?;
        let adapter = adapter.map(|adapter| TensorAdapter::new(adapter, &decoder)).transpose()?;
        Ok(Self { decoder, adapter })
    }
}

/// A, B and what DoRA needs for one linear.
#[derive(Debug)]
struct TensorBranch {
    site: Site,
    scaling: f64,
    /// [r, in].
    a: Tensor,
    /// [out, r].
    b: Tensor,
    magnitude: Option<Magnitude>,
    /// Gradients of A, B and the magnitude since they were last fetched.
    gradients: [Option<Tensor>; 3],
    /// Which parameters of the adapter these are.
    params: [Option<usize>; 3],
}

/// DoRA: n = ‖W + sBA‖ and g = m / n, `[out]` each.
#[derive(Debug)]
struct Magnitude {
    /// ‖W‖² per row, in f64.
    base_squared: Tensor,
    norm: Tensor,
    gain: Tensor,
}

impl TensorAdapter {
    /// Copies an adapter's values to the device of a decoder, whose weights its norms are taken from.
    pub fn new(adapter: &Adapter, decoder: &TensorDecoder) -> Result<Self> {
        let branches = adapter
            .branches
            .iter()
            .map(|branch| branch.as_ref().map(|branch| TensorBranch::new(branch, decoder)).transpose());
        let mut there = Self { branches: branches.collect::<Result<_>>()?, dropout: 0.0 };
        there.renew(adapter, decoder)?;
        Ok(there)
    }

    /// Takes over the values as they are now, with the norms that depend on them.
    pub fn renew(&mut self, adapter: &Adapter, decoder: &TensorDecoder) -> Result<()> {
        self.dropout = adapter.config.lora_dropout;
        for branch in self.branches.iter_mut().flatten() {
            let value = |which: usize| branch.params[which].map(|i| &adapter.params[i]);
            let (Some(a), Some(b)) = (value(0), value(1)) else { continue };
            let device = decoder.device();
            (branch.a, branch.b) = (from_host(&a.value, &a.shape, device)?, from_host(&b.value, &b.shape, device)?);
            if let Some(m) = value(2) {
                branch.renew_magnitude(&m.value, decoder.linear(branch.site))?;
            }
        }
        Ok(())
    }

    /// Adds the gradients to those of the adapter, and forgets them.
    pub fn fetch_gradients(&mut self, adapter: &mut Adapter) -> Result<()> {
        for branch in self.branches.iter_mut().flatten() {
            for (gradient, param) in branch.gradients.iter_mut().zip(branch.params) {
                let (Some(gradient), Some(param)) = (gradient.take(), param) else { continue };
                let param = &mut adapter.params[param];
                param.grad.resize(param.value.len(), 0.0);
                param.grad.iter_mut().zip(to_host(&gradient)?).for_each(|(to, from)| *to += from);
            }
        }
        Ok(())
    }

    /// Forgets the gradients.
    pub fn forget_gradients(&mut self) {
        self.branches.iter_mut().flatten().for_each(|branch| branch.gradients = [None, None, None]);
    }

    /// Changes the dropout of later passes.
    pub fn set_dropout(&mut self, p: f64) {
        self.dropout = p;
    }

    /// The dropout mask of a linear's input x [rows, in]; none where nothing is dropped.
    fn mask(&self, site: Site, x: &Tensor, noise: Option<RowNoise<'_>>) -> Result<Option<Tensor>> {
        let Some(noise) = noise.filter(|_| self.dropout > 0.0) else { return Ok(None) };
        let (rows, inner) = x.dims2()?;
        let mut mask = vec![1.0; rows * inner];
        dropout::Masks { noise, site, inner, p: self.dropout }.apply(&mut mask);
        Ok(Some(from_host(&mask, &[rows, inner], x.device())?))
    }
}

impl TensorBranch {
    fn new(branch: &Branch, decoder: &TensorDecoder) -> Result<Self> {
        let device = decoder.device();
        let nothing = || Tensor::zeros((), DType::F32, device);
        let magnitude = match branch.m {
            None => None,
            Some(_) => {
                let squared = Tensor::from_slice(&branch.norms.base_squared, branch.norms.base_squared.len(), device)?;
                Some(Magnitude { base_squared: squared, norm: nothing()?, gain: nothing()? })
            }
        };
        Ok(Self {
            site: branch.site,
            scaling: f64::from(branch.scaling),
            a: nothing()?,
            b: nothing()?,
            magnitude,
            gradients: [None, None, None],
            params: [Some(branch.a), Some(branch.b), branch.m],
        })
    }

    /// n² = ‖W‖² + 2s·rowsum((WAᵀ)⊙B) + s²·rowsum((B(AAᵀ))⊙B), clamped at 0; products in f32, sums in f64.
    fn renew_magnitude(&mut self, m: &[f32], base: &TensorLinear) -> Result<()> {
        let (s, site) = (self.scaling, self.site);
        let (a, b) = (self.a.clone(), self.b.to_dtype(DType::F64)?);
        let Some(magnitude) = &mut self.magnitude else { return Ok(()) };
        let projected = base.weight().to_dtype(DType::F32)?.matmul(&a.t()?)?.to_dtype(DType::F64)?;
        let gram = a.matmul(&a.t()?)?.to_dtype(DType::F64)?;
        let cross = (projected * &b)?.sum(D::Minus1)?.affine(2.0 * s, 0.0)?;
        let square = (b.matmul(&gram)? * &b)?.sum(D::Minus1)?.affine(s * s, 0.0)?;
        let squared = ((&magnitude.base_squared + cross)? + square)?;
        let n: Vec<f64> = squared.to_vec1()?;
        let n: Vec<f32> = n.into_iter().map(|x| x.max(0.0).sqrt() as f32).collect();
        if let Some(row) = n.iter().position(|n| *n == 0.0 || !n.is_finite()) {
            return Err(Problem::failed(format!("{site}: row {row} of the adapted weight has norm {}", n[row]))
                .hint("DoRA divides by this norm; use adapter_type \"lora\" or another base model")
                .into());
        }
        let gain: Vec<f32> = m.iter().zip(&n).map(|(m, n)| m / n).collect();
        let device = self.a.device();
        magnitude.norm = from_host(&n, &[n.len()], device)?;
        magnitude.gain = from_host(&gain, &[n.len()], device)?;
        Ok(())
    }

    /// y [rows, out] for x [rows, in] and x̂, x with its mask; keeps x̂Aᵀ and U.
    fn forward(
        &self,
        base: &TensorLinear,
        x: &Tensor,
        dropped: Option<&Tensor>,
        saved: Option<&mut SavedTensors>,
    ) -> Result<Tensor> {
        let input = dropped.unwrap_or(x);
        let low_rank = input.matmul(&self.a.t()?)?;
        let own = (low_rank.matmul(&self.b.t()?)? * self.scaling)?;
        let mut keep = vec![low_rank];
        let y = match &self.magnitude {
            None => (base.product(x)? + own)?,
            Some(magnitude) => {
                let of_input = base.product(input)?;
                let product = (&of_input + own)?;
                let y = product.broadcast_mul(&magnitude.gain)?;
                keep.push(product);
                match dropped {
                    // y = xWᵀ − x̂Wᵀ + g⊙U.
                    Some(_) => ((y - of_input)? + base.product(x)?)?,
                    None => y,
                }
            }
        };
        if let Some(saved) = saved {
            saved.0 = keep;
        }
        base.add_bias(y)
    }

    /// Adds dA = (sHB)ᵀx̂, dB = sHᵀ(x̂Aᵀ), dm = Σ dy⊙U / n with H = g⊙dy (LoRA: H = dy); returns HW + (sHB)A, with
    /// dropout dy·W + mask⊙((dy⊙(g−1))W + (sHB)A).
    fn backward(
        &mut self,
        base: &TensorLinear,
        x: &Tensor,
        mask: Option<&Tensor>,
        saved: &SavedTensors,
        dy: &Tensor,
    ) -> Result<Tensor> {
        let input = match mask {
            Some(mask) => (x * mask)?,
            None => x.clone(),
        };
        let h = match &self.magnitude {
            Some(magnitude) => dy.broadcast_mul(&magnitude.gain)?,
            None => dy.clone(),
        };
        let d_low_rank = (h.matmul(&self.b)? * self.scaling)?;
        let across = |x: &Tensor, y: &Tensor| x.t()?.contiguous()?.matmul(y);
        let da = across(&d_low_rank, &input)?;
        let mut fresh = [Some(da), None, None];
        if let Some(low_rank) = saved.0.first() {
            fresh[1] = Some((across(&h, low_rank)? * self.scaling)?);
        }
        if let (Some(magnitude), Some(product)) = (&self.magnitude, saved.0.get(1)) {
            fresh[2] = Some((dy * product)?.sum(0)?.div(&magnitude.norm)?);
        }
        for (sum, gradient) in self.gradients.iter_mut().zip(fresh) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        let through = d_low_rank.matmul(&self.a)?;
        let Some(mask) = mask else { return Ok((base.backward_input(&h)? + through)?) };
        let through = match &self.magnitude {
            Some(_) => (through + base.backward_input(&(h - dy)?)?)?,
            None => through,
        };
        Ok((base.backward_input(dy)? + (through * mask)?)?)
    }
}

impl TensorAdapters for TensorAdapter {
    fn forward(
        &self,
        site: Site,
        base: &TensorLinear,
        x: &Tensor,
        saved: Option<&mut SavedTensors>,
        noise: Option<RowNoise<'_>>,
    ) -> Result<Option<Tensor>> {
        let Some(Some(branch)) = self.branches.get(index(site)) else { return Ok(None) };
        let dropped = self.mask(site, x, noise)?.map(|mask| x * mask).transpose()?;
        branch.forward(base, x, dropped.as_ref(), saved).map(Some)
    }
}

impl TrainableTensorAdapters for TensorAdapter {
    fn backward(
        &mut self,
        site: Site,
        base: &TensorLinear,
        x: &Tensor,
        saved: &SavedTensors,
        noise: Option<RowNoise<'_>>,
        dy: &Tensor,
    ) -> Result<Option<Tensor>> {
        let mask = self.mask(site, x, noise)?;
        let Some(Some(branch)) = self.branches.get_mut(index(site)) else { return Ok(None) };
        branch.backward(base, x, mask.as_ref(), saved, dy).map(Some)
    }

    fn as_adapters(&self) -> &dyn TensorAdapters {
        self
    }
}

#[cfg(test)]
mod tests;
