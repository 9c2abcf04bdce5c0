//! What the loop trains: parameters, a loss with its gradient, a folder to save to. The loop knows nothing else, so it
//! is the same for an adapter on a frozen decoder and for the toy of its own tests.

use std::path::Path;

use crate::adapter::{Adapter, Param};
use crate::error::Result;
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
}

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
}
