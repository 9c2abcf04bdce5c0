//! The optimiser: AdamW and SGD in f32 exactly as torch computes them, the gradient norm, clipping.
//!
//! Works on [`Param`]s in their fixed order. Every sum runs over fixed pieces in index order, so neither the number of
//! threads nor the machine's load changes a bit. All adapter tensors are in one weight-decay group, magnitudes too, as
//! Hugging Face's Trainer puts them.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::adapter::Param;

/// Which rule updates the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// torch.optim.AdamW: decoupled weight decay, bias correction.
    #[serde(rename = "adamw_torch")]
    AdamW,
    /// torch.optim.SGD without momentum: weight decay is added to the gradient.
    #[serde(rename = "sgd")]
    Sgd,
}

/// The numbers of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyper {
    /// The rule.
    pub rule: Rule,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// First and second moment of one parameter; empty for SGD.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// exp_avg.
    pub first: Vec<f32>,
    /// exp_avg_sq.
    pub second: Vec<f32>,
}

/// The optimiser and its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    /// The numbers of the rule.
    pub hyper: Hyper,
    /// Updates done so far; the bias correction counts them from 1.
    pub steps: u64,
    /// One entry per parameter, in the adapter's order.
    pub moments: Vec<Moments>,
}

impl Optimizer {
    /// An optimiser with zero moments.
    pub fn new(hyper: Hyper, params: &[Param]) -> Self {
        let moments = params
            .iter()
            .map(|param| match hyper.rule {
                Rule::AdamW => Moments { first: vec![0.0; param.value.len()], second: vec![0.0; param.value.len()] },
                Rule::Sgd => Moments::default(),
            })
            .collect();
        Self { hyper, steps: 0, moments }
    }

    /// One update with the gradients as they stand in the parameters.
    ///
    /// AdamW (torch, `_single_tensor_adamw`): θ ← θ(1 − lr·λ); m ← m + (1 − β₁)(g − m); v ← β₂v + (1 − β₂)g²;
    /// θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
    pub fn step(&mut self, params: &mut [Param], rate: f64) {
        self.steps += 1;
        let (hyper, steps) = (self.hyper, self.steps);
        params.par_iter_mut().zip(&mut self.moments).for_each(|(param, moments)| match hyper.rule {
            Rule::AdamW => adamw(param, moments, &hyper, steps, rate),
            Rule::Sgd => sgd(param, &hyper, rate),
        });
    }
}

fn adamw(param: &mut Param, moments: &mut Moments, hyper: &Hyper, steps: u64, rate: f64) {
    let correction1 = 1.0 - hyper.beta1.powf(steps as f64);
    let correction2 = (1.0 - hyper.beta2.powf(steps as f64)).sqrt() as f32;
    let keep = (1.0 - rate * hyper.weight_decay) as f32;
    let (lerp, beta2, gain) = ((1.0 - hyper.beta1) as f32, hyper.beta2 as f32, (1.0 - hyper.beta2) as f32);
    let (size, epsilon) = (-(rate / correction1) as f32, hyper.epsilon as f32);
    let state = moments.first.iter_mut().zip(&mut moments.second);
    for ((value, &grad), (first, second)) in param.value.iter_mut().zip(&param.grad).zip(state) {
        *first += lerp * (grad - *first);
        *second = *second * beta2 + gain * grad * grad;
        let denominator = second.sqrt() / correction2 + epsilon;
        *value = *value * keep + size * (*first / denominator);
    }
}

fn sgd(param: &mut Param, hyper: &Hyper, rate: f64) {
    let (decay, rate) = (hyper.weight_decay as f32, rate as f32);
    for (value, &grad) in param.value.iter_mut().zip(&param.grad) {
        *value -= rate * (grad + decay * *value);
    }
}

/// Multiplies every gradient.
pub fn scale_grads(params: &mut [Param], factor: f32) {
    params.par_iter_mut().for_each(|param| param.grad.iter_mut().for_each(|grad| *grad *= factor));
}

/// The Euclidean norm over all gradients: squares are summed in f64, each tensor from front to back, tensors in order.
pub fn grad_norm(params: &[Param]) -> f64 {
    let squares: Vec<f64> = params
        .par_iter()
        .map(|param| param.grad.iter().fold(0.0, |sum, &grad| sum + f64::from(grad) * f64::from(grad)))
        .collect();
    squares.iter().fold(0.0, |sum, square| sum + square).sqrt()
}

/// `clip_grad_norm_` of torch: scales by min(1, limit / (norm + 1e-6)). A limit of 0 clips nothing, as in Trainer.
pub fn clip(params: &mut [Param], norm: f64, limit: f64) {
    let factor = limit / (norm + 1e-6);
    if limit > 0.0 && factor < 1.0 {
        scale_grads(params, factor as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPER: Hyper = Hyper { rule: Rule::AdamW, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

    fn param(value: &[f32], grad: &[f32]) -> Param {
        Param { name: "p".into(), shape: vec![value.len()], value: value.to_vec(), grad: grad.to_vec() }
    }

    /// An AdamW in f64, written from the paper (Loshchilov and Hutter 2019, algorithm 2) rather than from torch.
    fn reference(value: f64, grads: &[f64], rate: f64, h: &Hyper) -> f64 {
        let (mut theta, mut m, mut v) = (value, 0.0, 0.0);
        for (t, g) in grads.iter().enumerate() {
            m = h.beta1 * m + (1.0 - h.beta1) * g;
            v = h.beta2 * v + (1.0 - h.beta2) * g * g;
            let m_hat = m / (1.0 - h.beta1.powi(t as i32 + 1));
            let v_hat = v / (1.0 - h.beta2.powi(t as i32 + 1));
            theta -= rate * (m_hat / (v_hat.sqrt() + h.epsilon) + h.weight_decay * theta);
        }
        theta
    }

    #[test]
    fn adamw_follows_the_paper() {
        let grads = [0.3, -0.02, 0.5, 1e-4, -0.7];
        let mut params = vec![param(&[1.0, -2.0], &[0.0, 0.0])];
        let mut optimizer = Optimizer::new(HYPER, &params);
        for g in grads {
            params[0].grad = vec![g as f32, -3.0 * g as f32];
            optimizer.step(&mut params, 1e-2);
        }
        let negative: Vec<f64> = grads.iter().map(|g| -3.0 * g).collect();
        let expected = [reference(1.0, &grads, 1e-2, &HYPER), reference(-2.0, &negative, 1e-2, &HYPER)];
        for (found, expected) in params[0].value.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_rate_of_zero_moves_the_moments_only() {
        let mut params = vec![param(&[1.0], &[2.0])];
        let mut optimizer = Optimizer::new(HYPER, &params);
        optimizer.step(&mut params, 0.0);
        assert_eq!(params[0].value, [1.0]);
        assert!((optimizer.moments[0].first[0] - 0.2).abs() < 1e-7);
        assert!((optimizer.moments[0].second[0] - 0.004).abs() < 1e-8);
    }

    #[test]
    fn sgd_adds_the_decay_to_the_gradient() {
        let mut params = vec![param(&[2.0], &[0.5])];
        let hyper = Hyper { rule: Rule::Sgd, weight_decay: 0.1, ..HYPER };
        Optimizer::new(hyper, &params).step(&mut params, 0.1);
        assert!((params[0].value[0] - (2.0 - 0.1 * 0.7)).abs() < 1e-7);
    }

    #[test]
    fn clipping_scales_to_the_limit_and_leaves_small_gradients() {
        let mut params = vec![param(&[0.0; 2], &[3.0, 0.0]), param(&[0.0], &[4.0])];
        let norm = grad_norm(&params);
        assert_eq!(norm, 5.0);
        clip(&mut params, norm, 10.0);
        assert_eq!(params[1].grad, [4.0]);
        clip(&mut params, norm, 0.0);
        assert_eq!(params[1].grad, [4.0]);
        clip(&mut params, norm, 1.0);
        assert!((params[1].grad[0] - 0.8).abs() < 1e-6);
        assert!((grad_norm(&params) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_nan_anywhere_shows_in_the_norm() {
        assert!(grad_norm(&[param(&[0.0], &[1.0]), param(&[0.0; 2], &[1.0, f32::NAN])]).is_nan());
    }
}
