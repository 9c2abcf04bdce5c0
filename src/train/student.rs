//! What the loop trains: parameters, a loss with its gradient, a folder to save to. The loop knows nothing else, so it
//! is the same for an adapter on a frozen decoder and for the toy of its own tests.

use std::path::Path;

use anyhow::Context as _;

use super::model_folder::{ModelFolder, SaveDtype};
use crate::adapter::{Adapter, FullWeights, Param};
use crate::error::Result;
use crate::fsx;
use crate::model::{Batch, Decoder, LossSum, Noise, Targets};

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
