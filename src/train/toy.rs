//! The loop's guinea pig: a bigram model small enough to train thousands of steps in a test, with faults to inject.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::student::Student;
use crate::adapter::Param;
use crate::data::examples::Examples;
use crate::error::Result;
use crate::fsx;
use crate::model::{Batch, LossSum, Noise, Targets};

/// Token ids.
pub const VOCAB: usize = 11;

/// logits(next | token) = table[token] + shared.
#[derive(Debug, Clone)]
pub struct Toy {
    /// shared, table.
    pub params: Vec<Param>,
    /// What goes wrong, and at which step.
    pub fault: Option<(u64, Fault)>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    NanLoss,
    NanGradient,
    Panic,
    PanicAfterUpdate,
    NoTargets,
}

impl Toy {
    pub fn new() -> Self {
        let param = |name: &str, shape: &[usize]| {
            let length = shape.iter().product();
            Param {
                name: name.into(),
                shape: shape.to_vec(),
                value: vec![0.0; length],
                grad: vec![0.0; length],
                decays: true,
            }
        };
        Self { params: vec![param("shared", &[VOCAB]), param("table", &[VOCAB, VOCAB])], fault: None }
    }

    fn probabilities(&self, token: u32) -> Vec<f32> {
        let row = &self.params[1].value[token as usize * VOCAB..][..VOCAB];
        let logits: Vec<f32> = row.iter().zip(&self.params[0].value).map(|(a, b)| a + b).collect();
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        let exps: Vec<f32> = logits.iter().map(|x| (x - highest).exp()).collect();
        let total: f32 = exps.iter().sum();
        exps.iter().map(|x| x / total).collect()
    }

    fn walk(&self, batch: &Batch, targets: &Targets, mut at: impl FnMut(usize, usize, &[f32])) -> LossSum {
        let mut sum = LossSum::default();
        for (&position, &label) in targets.positions.iter().zip(&targets.labels) {
            let token = batch.input_ids[position];
            let p = self.probabilities(token);
            sum.nll -= f64::from(p[label as usize].ln());
            sum.targets += 1;
            sum.correct += usize::from(p.iter().all(|x| *x <= p[label as usize]));
            at(token as usize, label as usize, &p);
        }
        sum
    }
}

impl Student for Toy {
    fn params(&self) -> &[Param] {
        &self.params
    }
    fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }
    fn updated(&mut self) -> Result<()> {
        if matches!(self.fault, Some((u64::MAX, Fault::PanicAfterUpdate))) {
            panic!("injected");
        }
        Ok(())
    }
    fn zero_grad(&mut self) {
        self.params.iter_mut().for_each(|param| param.grad.fill(0.0));
    }
    fn loss_backward(&mut self, batch: &Batch, targets: &Targets, noise: Noise) -> Result<LossSum> {
        let mut grads = [vec![0.0; VOCAB], vec![0.0; VOCAB * VOCAB]];
        let mut sum = self.walk(batch, targets, |token, label, p| {
            for (k, p) in p.iter().enumerate() {
                let g = p - f32::from(u8::from(k == label));
                grads[0][k] += g;
                grads[1][token * VOCAB + k] += g;
            }
        });
        for (param, grad) in self.params.iter_mut().zip(grads) {
            param.grad.iter_mut().zip(grad).for_each(|(a, b)| *a += b);
        }
        match self.fault {
            Some((step, Fault::NanLoss)) if step == noise.step => sum.nll = f64::NAN,
            Some((step, Fault::NanGradient)) if step == noise.step => self.params[1].grad[7] = f32::NAN,
            Some((step, Fault::Panic)) if step == noise.step => panic!("injected"),
            Some((step, Fault::PanicAfterUpdate)) if step == noise.step => {
                self.fault = Some((u64::MAX, Fault::PanicAfterUpdate))
            }
            Some((step, Fault::NoTargets)) if step == noise.step => return Ok(LossSum::default()),
            _ => {}
        }
        Ok(sum)
    }
    fn loss(&self, batch: &Batch, targets: &Targets) -> Result<LossSum> {
        Ok(self.walk(batch, targets, |_, _, _| {}))
    }
    fn save(&self, dir: &Path) -> Result<()> {
        let bytes: Vec<Vec<u8>> =
            self.params.iter().map(|p| p.value.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let views = self
            .params
            .iter()
            .zip(&bytes)
            .map(|(p, bytes)| (p.name.as_str(), TensorView::new(Dtype::F32, p.shape.clone(), bytes).unwrap()));
        fsx::write_atomic(&dir.join("adapter_model.safetensors"), &safetensors::serialize(views, None)?)?;
        fsx::write_atomic(&dir.join("adapter_config.json"), b"{}")
    }
    fn load(&mut self, dir: &Path) -> Result<()> {
        let bytes = fsx::read(&dir.join("adapter_model.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        for param in &mut self.params {
            let data = tensors.tensor(&param.name)?;
            param.value = data.data().chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
        }
        Ok(())
    }
}

/// Rows in which the next token is mostly a fixed function of the token before.
pub fn rows(count: usize, salt: usize) -> Examples {
    let rows: Vec<(Vec<u32>, usize)> = (0..count)
        .map(|row| {
            let mut token = (row * 7 + salt) % VOCAB;
            let length = 4 + (row * 5 + salt) % 9;
            let ids = (0..length)
                .map(|i| {
                    let shown = token as u32;
                    token = if (row + i) % 13 == 0 { (token + 3) % VOCAB } else { (token * 3 + 1) % VOCAB };
                    shown
                })
                .collect();
            (ids, 1 + row % 3)
        })
        .collect();
    Examples::from_ids(&rows)
}
