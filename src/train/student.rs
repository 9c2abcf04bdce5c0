//! What the loop trains: parameters, a loss with its gradient, a folder to save to. The loop knows nothing else, so it
//! is the same for an adapter on a frozen decoder and for the toy of its own tests.

use std::path::Path;

use anyhow::Context as _;
use candle_core::Device;

use super::model_folder::{ModelFolder, SaveDtype};
use crate::adapter::{Adapter, FullWeights, Param, TensorAdapter};
use crate::error::Result;
use crate::fsx;
use crate::model::composed::TensorDecoder;
use crate::model::{Batch, Checkpointing, Decoder, LossSum, Noise, Targets};

/// Something that can be trained.
pub trait Student {
    /// The trainable tensors in a fixed order.
    fn params(&self) -> &[Param];
    /// The trainable tensors; call [`Student::updated`] after changing values.
    fn params_mut(&mut self) -> &mut [Param];
    /// Recomputes what depends on the values.
    fn updated(&mut self) -> Result<()>;
    /// Sets every gradient to zero.
    fn zero_grad(&mut self);
    /// The loss over the targets; adds the gradient of its sum.
    fn loss_backward(&mut self, batch: &Batch, targets: &Targets, noise: Noise) -> Result<LossSum>;
    /// The loss over the targets, without gradient and dropout.
    fn loss(&self, batch: &Batch, targets: &Targets) -> Result<LossSum>;
    /// Writes the parameters into a folder.
    fn save(&self, dir: &Path) -> Result<()>;
    /// Reads what [`Student::save`] wrote.
    fn load(&mut self, dir: &Path) -> Result<()>;
    /// Copies into `to` what a checkpoint `from` holds for others to use: by default PEFT's files.
    fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        for file in ADAPTER_FILES {
            let source = from.join(file);
            if source.exists() {
                fsx::write_atomic(&to.join(file), &fsx::read(&source)?)?;
            }
        }
        Ok(())
    }
    /// Changes the dropout of an adapter, for measurements.
    fn set_dropout(&mut self, _p: f64) {}
    /// Whether it is an adapter: then there is a folder `adapter` with nothing but that beside `final`.
    fn is_adapter(&self) -> bool {
        true
    }
}

/// PEFT's files.
const ADAPTER_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// An adapter on a frozen decoder.
#[derive(Debug)]
pub struct AdapterOn<'a> {
    /// The frozen decoder.
    pub decoder: &'a Decoder,
    /// What is trained.
    pub adapter: &'a mut Adapter,
}

impl Student for AdapterOn<'_> {
    fn params(&self) -> &[Param] {
        self.adapter.params()
    }

    fn params_mut(&mut self) -> &mut [Param] {
        self.adapter.params_mut()
    }

    fn updated(&mut self) -> Result<()> {
        self.adapter.refresh(self.decoder)
    }

    fn zero_grad(&mut self) {
        self.adapter.zero_grad();
    }

    fn loss_backward(&mut self, batch: &Batch, targets: &Targets, noise: Noise) -> Result<LossSum> {
        self.decoder.loss_backward(batch, targets, self.adapter, noise)
    }

    fn loss(&self, batch: &Batch, targets: &Targets) -> Result<LossSum> {
        self.decoder.loss(batch, targets, self.adapter)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.adapter.save(dir)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        *self.adapter = Adapter::load(dir, self.decoder)?;
        Ok(())
    }

    fn set_dropout(&mut self, p: f64) {
        self.adapter.set_dropout(p);
    }
}

/// An adapter on a frozen decoder, computed on a candle device. Values and optimiser stay on the host: after each step
/// the values go there, after each batch the gradients come back.
#[derive(Debug)]
pub struct AdapterThere<'a> {
    host: &'a Decoder,
    adapter: &'a mut Adapter,
    decoder: TensorDecoder,
    there: TensorAdapter,
}

impl<'a> AdapterThere<'a> {
    /// Copies both to a device. What layers hold for the backward is all or nothing there: every kind of checkpointing
    /// but `off` runs them again.
    pub fn new(host: &'a Decoder, adapter: &'a mut Adapter, how: Checkpointing, device: &Device) -> Result<Self> {
        let mut decoder = TensorDecoder::new(host, device)?;
        decoder.set_gradient_checkpointing(how != Checkpointing::Off);
        let there = TensorAdapter::new(adapter, &decoder)?;
        Ok(Self { host, adapter, decoder, there })
    }
}

impl Student for AdapterThere<'_> {
    fn params(&self) -> &[Param] {
        self.adapter.params()
    }

    fn params_mut(&mut self) -> &mut [Param] {
        self.adapter.params_mut()
    }

    fn updated(&mut self) -> Result<()> {
        self.there.renew(self.adapter, &self.decoder)
    }

    fn zero_grad(&mut self) {
        self.adapter.zero_grad();
        self.there.forget_gradients();
    }

    fn loss_backward(&mut self, batch: &Batch, targets: &Targets, noise: Noise) -> Result<LossSum> {
        let sum = self.decoder.loss_backward(self.host, batch, targets, &mut self.there, noise)?;
        self.there.fetch_gradients(self.adapter)?;
        Ok(sum)
    }

    fn loss(&self, batch: &Batch, targets: &Targets) -> Result<LossSum> {
        self.decoder.loss(self.host, batch, targets, &self.there)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.adapter.save(dir)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        *self.adapter = Adapter::load(dir, self.host)?;
        self.there = TensorAdapter::new(self.adapter, &self.decoder)?;
        Ok(())
    }

    fn set_dropout(&mut self, p: f64) {
        self.adapter.set_dropout(p);
        self.there.set_dropout(p);
    }
}

/// A decoder all of whose weights are trained.
#[derive(Debug)]
pub struct WholeModel<'a> {
    decoder: &'a mut Decoder,
    weights: &'a mut FullWeights,
    folder: &'a ModelFolder,
    dtype: SaveDtype,
}

impl<'a> WholeModel<'a> {
    /// `weights` are those of `decoder`; the published model is stored in `dtype`, checkpoints are f32. From here on the
    /// decoder computes with the f32 masters, whatever it was loaded from: a resumed run has nothing else.
    pub fn new(
        decoder: &'a mut Decoder,
        weights: &'a mut FullWeights,
        folder: &'a ModelFolder,
        dtype: SaveDtype,
    ) -> Self {
        weights.sync(decoder);
        Self { decoder, weights, folder, dtype }
    }
}

impl Student for WholeModel<'_> {
    fn params(&self) -> &[Param] {
        self.weights.params()
    }

    fn params_mut(&mut self) -> &mut [Param] {
        self.weights.params_mut()
    }

    fn updated(&mut self) -> Result<()> {
        self.weights.sync(self.decoder);
        Ok(())
    }

    fn zero_grad(&mut self) {
        self.weights.zero_grad();
    }

    fn loss_backward(&mut self, batch: &Batch, targets: &Targets, noise: Noise) -> Result<LossSum> {
        self.decoder.loss_backward(batch, targets, self.weights, noise)
    }

    fn loss(&self, batch: &Batch, targets: &Targets) -> Result<LossSum> {
        self.decoder.loss(batch, targets, self.weights)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.weights.save(dir)?;
        self.folder.write(dir, SaveDtype::Float32)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        self.weights.load(dir)?;
        self.weights.sync(self.decoder);
        Ok(())
    }

    fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        match self.dtype {
            SaveDtype::Float32 => copy(&from.join(WEIGHTS), &to.join(WEIGHTS))?,
            SaveDtype::Bfloat16 => FullWeights::round_to_bf16(from, to)?,
        }
        self.folder.write(to, self.dtype)
    }

    fn is_adapter(&self) -> bool {
        false
    }
}

/// The file of a whole model's weights.
const WEIGHTS: &str = "model.safetensors";

/// Copies a file that may be larger than the memory.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fsx::open(from)?;
    let mut target = fsx::AtomicFile::create(to)?;
    std::io::copy(&mut source, &mut target).with_context(|| format!("cannot write {}", to.display()))?;
    target.commit()
}
