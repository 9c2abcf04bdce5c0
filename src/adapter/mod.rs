//! LoRA and DoRA: forward, backward, PEFT files, merge.
//!
//! An [`Adapter`] belongs to one decoder and takes part in its passes through the traits of `model`. Files are read
//! strictly (exact key set, shapes, finite values) and written exactly as PEFT writes them. Optimisers live elsewhere:
//! here are values and gradients.

mod branch;
mod composed;
mod config;
mod dropout;
mod files;
mod full;

use std::path::Path;

pub use composed::{OnDevice, TensorAdapter};
pub use config::AdapterConfig;
pub use full::FullWeights;

use crate::error::{Problem, Result};
use crate::kernels::random::{mix, uniform};
use crate::model::{Adapters, Decoder, Linear, Module, RowNoise, Saved, Site, TrainableAdapters};
use branch::{Branch, Grads, Norms, Values};

/// One trainable tensor.
#[derive(Debug, Clone)]
pub struct Param {
    /// PEFT's key.
    pub name: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Values.
    pub value: Vec<f32>,
    /// Gradient of the loss sum, same length; empty until [`Adapter::zero_grad`] was called.
    pub grad: Vec<f32>,
    /// Whether weight decay pulls at it: every tensor of an adapter, magnitudes too, as Hugging Face's Trainer has it; of
    /// a whole model the matrices (linears, embedding and head), not norms and biases, again as Trainer.
    pub decays: bool,
}

/// An adapter for one decoder.
#[derive(Debug)]
pub struct Adapter {
    config: AdapterConfig,
    /// Ordered by name.
    params: Vec<Param>,
    /// Ordered by site: index [layer · 7 + module].
    branches: Vec<Option<Branch>>,
}

impl Adapter {
    /// A fresh adapter as PEFT initialises it: A uniform in ±1/√in, B zero, magnitude ‖W‖ per row.
    pub fn new(config: AdapterConfig, decoder: &Decoder, seed: u64) -> Result<Self> {
        let mut tensors = Vec::new();
        for (site, rank) in targeted(&config, decoder)? {
            let linear = decoder.linear(site);
            let (out, inner) = (linear.out(), linear.inner());
            let key = mix(&[seed, dropout::site_word(site)]);
            let a = uniform(key, rank * inner, 1.0 / (inner as f64).sqrt());
            tensors.push(param(files::a_key(site), vec![rank, inner], a));
            tensors.push(param(files::b_key(site), vec![out, rank], vec![0.0; out * rank]));
            if config.use_dora {
                let norms = linear.weight().matrix().row_norms_squared();
                tensors.push(param(files::m_key(site), vec![out], norms.iter().map(|n| n.sqrt() as f32).collect()));
            }
        }
        Self::assemble(config, tensors, decoder)
    }

    /// Reads a PEFT folder strictly: exact key set, shapes, dtypes, finite values.
    pub fn load(dir: &Path, decoder: &Decoder) -> Result<Self> {
        let config = files::read_config(dir)?;
        let mut expected = Vec::new();
        for (site, rank) in targeted(&config, decoder)? {
            let linear = decoder.linear(site);
            expected.push((files::a_key(site), vec![rank, linear.inner()]));
            expected.push((files::b_key(site), vec![linear.out(), rank]));
            if config.use_dora {
                expected.push((files::m_key(site), vec![linear.out()]));
            }
        }
        let tensors = files::read_tensors(dir, &expected)?;
        Self::assemble(config, tensors, decoder)
    }

    /// Puts the branches on their sites; `params` are the complete tensors of the targeted sites, in any order.
    fn assemble(config: AdapterConfig, mut params: Vec<Param>, decoder: &Decoder) -> Result<Self> {
        params.sort_by(|a, b| a.name.cmp(&b.name));
        let find = |name: String| params.binary_search_by(|p| p.name.cmp(&name)).ok();
        let sites = decoder.config().num_hidden_layers * Module::ALL.len();
        let mut branches: Vec<Option<Branch>> = (0..sites).map(|_| None).collect();
        for (site, rank) in targeted(&config, decoder)? {
            let (Some(a), Some(b)) = (find(files::a_key(site)), find(files::b_key(site))) else { continue };
            let (_, scaling) = config.rank_and_scaling(site)?;
            let m = find(files::m_key(site));
            let mut norms = Norms::default();
            if m.is_some() {
                norms.base_squared = decoder.linear(site).weight().matrix().row_norms_squared();
            }
            let scaling = scaling as f32;
            branches[index(site)] = Some(Branch { site, rank, scaling, a, b, m, norms });
        }
        let mut adapter = Self { config, params, branches };
        adapter.refresh(decoder)?;
        Ok(adapter)
    }

    /// Writes `adapter_model.safetensors` and `adapter_config.json` exactly as PEFT does.
    pub fn save(&self, dir: &Path) -> Result<()> {
        files::write(dir, &self.config, &self.params)
    }

    /// The configuration.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Changes the dropout of later passes.
    pub fn set_dropout(&mut self, p: f64) {
        self.config.lora_dropout = p;
    }

    /// The trainable tensors, ordered by name.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The trainable tensors, ordered by name. Call [`Adapter::refresh`] after changing values.
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

    /// Recomputes what depends on the values (DoRA's row norms): once per optimiser step and after loading.
    pub fn refresh(&mut self, decoder: &Decoder) -> Result<()> {
        for branch in self.branches.iter_mut().flatten() {
            let values = values(&self.params, branch);
            branch.refresh(decoder.linear(branch.site), values)?;
        }
        Ok(())
    }

    /// The merged weight of an adapted site, [out, in]; none where nothing is adapted.
    pub fn merged(&self, decoder: &Decoder, site: Site) -> Option<Vec<f32>> {
        let branch = self.branches.get(index(site))?.as_ref()?;
        Some(branch.merged(decoder.linear(site), values(&self.params, branch)))
    }
}

impl Adapters for Adapter {
    fn forward(
        &self,
        site: Site,
        base: &Linear,
        x: &[f32],
        y: &mut [f32],
        saved: Option<&mut Saved>,
        noise: Option<RowNoise<'_>>,
    ) -> bool {
        let Some(Some(branch)) = self.branches.get(index(site)) else { return false };
        let masks = masks(site, base, self.config.lora_dropout, noise);
        let drop = |x: &mut [f32]| masks.iter().for_each(|m| m.apply(x));
        let drop: Option<&branch::Drop<'_>> = if masks.is_some() { Some(&drop) } else { None };
        branch.forward(base, values(&self.params, branch), x, y, saved, drop);
        true
    }
}

impl TrainableAdapters for Adapter {
    fn backward(
        &mut self,
        site: Site,
        base: &Linear,
        x: &[f32],
        saved: &Saved,
        noise: Option<RowNoise<'_>>,
        dy: &[f32],
        dx: &mut [f32],
    ) -> bool {
        let Some(Some(branch)) = self.branches.get(index(site)) else { return false };
        let masks = masks(site, base, self.config.lora_dropout, noise);
        let drop = |x: &mut [f32]| masks.iter().for_each(|m| m.apply(x));
        let drop: Option<&branch::Drop<'_>> = if masks.is_some() { Some(&drop) } else { None };
        // Values and gradients live in the same parameters: the gradients step out for the time of the call.
        let mut take = |i: usize| {
            let param = &mut self.params[i];
            let mut grad = std::mem::take(&mut param.grad);
            grad.resize(param.value.len(), 0.0);
            grad
        };
        let (mut a, mut b, mut m) = (take(branch.a), take(branch.b), branch.m.map(&mut take));
        let grads = Grads { a: &mut a, b: &mut b, m: m.as_deref_mut() };
        branch.backward(base, values(&self.params, branch), grads, x, saved, drop, dy, dx);
        let (ia, ib, im) = (branch.a, branch.b, branch.m);
        self.params[ia].grad = a;
        self.params[ib].grad = b;
        if let (Some(im), Some(m)) = (im, m) {
            self.params[im].grad = m;
        }
        true
    }

    fn as_adapters(&self) -> &dyn Adapters {
        self
    }
}

/// The dropout masks of one linear in one pass; none where nothing is dropped.
fn masks<'a>(site: Site, base: &Linear, p: f64, noise: Option<RowNoise<'a>>) -> Option<dropout::Masks<'a>> {
    noise.filter(|_| p > 0.0).map(|noise| dropout::Masks { noise, site, inner: base.inner(), p })
}

fn index(site: Site) -> usize {
    site.layer * Module::ALL.len() + site.module as usize
}

fn param(name: String, shape: Vec<usize>, value: Vec<f32>) -> Param {
    Param { name, shape, value, grad: Vec::new(), decays: true }
}

fn values<'a>(params: &'a [Param], branch: &Branch) -> Values<'a> {
    let value = |i: usize| params[i].value.as_slice();
    Values { a: value(branch.a), b: value(branch.b), m: branch.m.map(value) }
}

/// The linears that the configuration targets, with their ranks. Targets outside the decoder's linears are refused.
fn targeted(config: &AdapterConfig, decoder: &Decoder) -> Result<Vec<(Site, usize)>> {
    let layers = decoder.config().num_hidden_layers;
    let sites = (0..layers).flat_map(|layer| Module::ALL.map(|module| Site { layer, module }));
    if let Some(name) = config
        .target_modules
        .iter()
        .find(|t| !config.target_is_pattern && (t.ends_with("lm_head") || t.ends_with("embed_tokens")))
    {
        return Err(Problem::input(format!("target_modules: an adapter on {name} is not implemented"))
            .hint("target the linears of the layers: q_proj k_proj v_proj o_proj gate_proj up_proj down_proj")
            .into());
    }
    let mut found = Vec::new();
    for site in sites {
        if config.targets(site)? {
            found.push((site, config.rank_and_scaling(site)?.0));
        }
    }
    let matches =
        |t: &str| found.iter().any(|(site, _)| site.to_string() == t || site.to_string().ends_with(&format!(".{t}")));
    if let Some(name) = config.target_modules.iter().find(|t| !config.target_is_pattern && !matches(t)) {
        return Err(Problem::input(format!("target_modules: the model has no linear {name:?}"))
            .hint("the linears are q_proj k_proj v_proj o_proj gate_proj up_proj down_proj")
            .into());
    }
    if found.is_empty() {
        return Err(Problem::input("target_modules matches no linear of the model").into());
    }
    Ok(found)
}
