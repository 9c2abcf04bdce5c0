//! The optimiser: AdamW and SGD in f32 exactly as torch computes them, AdamW with moments in 8 bit, the gradient norm,
//! clipping.
//!
//! Works on [`Param`]s in their fixed order, in pieces of a fixed size: every sum runs over fixed pieces in index order,
//! so neither the number of threads nor the machine's load changes a bit. Which tensors decay says [`Param::decays`].

mod eight_bit;

pub use eight_bit::{BLOCK, Blocks, SMALLEST};

use eight_bit::Sign;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::adapter::Param;

/// Numbers that one task works on: whole blocks of 8-bit moments.
const PIECE: usize = 256 * BLOCK;

/// Which rule updates the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// torch.optim.AdamW: decoupled weight decay, bias correction.
    #[serde(rename = "adamw_torch")]
    AdamW,
    /// The same with moments in 8 bit: 2 bytes a parameter instead of 8.
    #[serde(rename = "adamw_bnb_8bit")]
    AdamW8Bit,
    /// torch.optim.SGD without momentum: weight decay is added to the gradient.
    #[serde(rename = "sgd")]
    Sgd,
}

impl Rule {
    /// Bytes of moments of a tensor with this many numbers.
    pub fn state_bytes(self, len: usize) -> usize {
        match self {
            Rule::Sgd => 0,
            Rule::AdamW8Bit if len >= SMALLEST => 2 * (len + 4 * len.div_ceil(BLOCK)),
            Rule::AdamW | Rule::AdamW8Bit => 8 * len,
        }
    }
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

/// First and second moment of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Moments {
    /// SGD has none.
    None,
    /// In f32.
    Exact {
        /// exp_avg.
        first: Vec<f32>,
        /// exp_avg_sq.
        second: Vec<f32>,
    },
    /// In 8 bit.
    Blocks {
        /// exp_avg.
        first: Blocks,
        /// exp_avg_sq.
        second: Blocks,
    },
}

impl Moments {
    /// Zeros, as this rule holds them for a tensor of `len` numbers.
    pub fn zeros(rule: Rule, len: usize) -> Self {
        match rule {
            Rule::Sgd => Self::None,
            Rule::AdamW8Bit if len >= SMALLEST => {
                Self::Blocks { first: Blocks::zeros(len, Sign::Signed), second: Blocks::zeros(len, Sign::Unsigned) }
            }
            Rule::AdamW | Rule::AdamW8Bit => Self::Exact { first: vec![0.0; len], second: vec![0.0; len] },
        }
    }
}

/// The optimiser and its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    /// The numbers of the rule.
    pub hyper: Hyper,
    /// Updates done so far; the bias correction counts them from 1.
    pub steps: u64,
    /// One entry per parameter, in the parameters' order.
    pub moments: Vec<Moments>,
}

impl Optimizer {
    /// An optimiser with zero moments.
    pub fn new(hyper: Hyper, params: &[Param]) -> Self {
        let moments = params.iter().map(|param| Moments::zeros(hyper.rule, param.value.len())).collect();
        Self { hyper, steps: 0, moments }
    }

    /// One update with the gradients as they stand in the parameters.
    ///
    /// AdamW (torch, `_single_tensor_adamw`): θ ← θ(1 − lr·λ); m ← m + (1 − β₁)(g − m); v ← β₂v + (1 − β₂)g²;
    /// θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε). In 8 bit m and v are widened, updated and stored again.
    pub fn step(&mut self, params: &mut [Param], rate: f64) {
        self.steps += 1;
        let (hyper, steps) = (self.hyper, self.steps);
        params.par_iter_mut().zip(&mut self.moments).for_each(|(param, moments)| {
            let decay = if param.decays { hyper.weight_decay } else { 0.0 };
            let adam = Adam::new(&hyper, decay, steps, rate);
            let values = param.value.par_chunks_mut(PIECE).zip(param.grad.par_chunks(PIECE));
            match moments {
                Moments::None => values.for_each(|(values, grads)| sgd(values, grads, decay as f32, rate as f32)),
                Moments::Exact { first, second } => values
                    .zip(first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE)))
                    .for_each(|((values, grads), (first, second))| adam.update(values, grads, first, second)),
                Moments::Blocks { first, second } => {
                    let scales = PIECE / BLOCK;
                    let first = first.codes.par_chunks_mut(PIECE).zip(first.absmax.par_chunks_mut(scales));
                    let second = second.codes.par_chunks_mut(PIECE).zip(second.absmax.par_chunks_mut(scales));
                    values.zip(first.zip(second)).for_each(|((values, grads), (first, second))| {
                        adam.update_blocks(values, grads, first, second);
                    });
                }
            }
        });
    }
}

/// The constants of one AdamW step.
struct Adam {
    keep: f32,
    lerp: f32,
    beta2: f32,
    gain: f32,
    correction2: f32,
    size: f32,
    epsilon: f32,
}

impl Adam {
    fn new(hyper: &Hyper, decay: f64, steps: u64, rate: f64) -> Self {
        let correction1 = 1.0 - hyper.beta1.powf(steps as f64);
        Self {
            keep: (1.0 - rate * decay) as f32,
            lerp: (1.0 - hyper.beta1) as f32,
            beta2: hyper.beta2 as f32,
            gain: (1.0 - hyper.beta2) as f32,
            correction2: (1.0 - hyper.beta2.powf(steps as f64)).sqrt() as f32,
            size: -(rate / correction1) as f32,
            epsilon: hyper.epsilon as f32,
        }
    }

    fn update(&self, values: &mut [f32], grads: &[f32], first: &mut [f32], second: &mut [f32]) {
        let state = first.iter_mut().zip(second);
        for ((value, &grad), (first, second)) in values.iter_mut().zip(grads).zip(state) {
            *first += self.lerp * (grad - *first);
            *second = *second * self.beta2 + self.gain * grad * grad;
            let denominator = second.sqrt() / self.correction2 + self.epsilon;
            *value = *value * self.keep + self.size * (*first / denominator);
        }
    }

    /// [`Adam::update`] on moments given as (codes, scales).
    fn update_blocks(
        &self,
        values: &mut [f32],
        grads: &[f32],
        first: (&mut [u8], &mut [f32]),
        second: (&mut [u8], &mut [f32]),
    ) {
        let (mut m, mut v) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
        let blocks = values.chunks_mut(BLOCK).zip(grads.chunks(BLOCK));
        let first = first.0.chunks_mut(BLOCK).zip(first.1);
        let second = second.0.chunks_mut(BLOCK).zip(second.1);
        for (((values, grads), (m_codes, m_scale)), (v_codes, v_scale)) in blocks.zip(first).zip(second) {
            let (m, v) = (&mut m[..values.len()], &mut v[..values.len()]);
            eight_bit::read(m_codes, *m_scale, Sign::Signed, m);
            eight_bit::read(v_codes, *v_scale, Sign::Unsigned, v);
            self.update(values, grads, m, v);
            *m_scale = eight_bit::write(m, Sign::Signed, m_codes);
            *v_scale = eight_bit::write(v, Sign::Unsigned, v_codes);
        }
    }
}

fn sgd(values: &mut [f32], grads: &[f32], decay: f32, rate: f32) {
    for (value, &grad) in values.iter_mut().zip(grads) {
        *value -= rate * (grad + decay * *value);
    }
}

/// Multiplies every gradient.
pub fn scale_grads(params: &mut [Param], factor: f32) {
    params.par_iter_mut().for_each(|param| param.grad.iter_mut().for_each(|grad| *grad *= factor));
}

/// The Euclidean norm over all gradients: squares are summed in f64, pieces of a tensor from front to back, then pieces
/// and tensors in order.
pub fn grad_norm(params: &[Param]) -> f64 {
    let square = |piece: &[f32]| piece.iter().fold(0.0, |sum, &grad| sum + f64::from(grad) * f64::from(grad));
    let squares: Vec<Vec<f64>> =
        params.par_iter().map(|param| param.grad.par_chunks(PIECE).map(square).collect()).collect();
    squares.iter().flatten().fold(0.0, |sum, square| sum + square).sqrt()
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
        Param { name: "p".into(), shape: vec![value.len()], value: value.to_vec(), grad: grad.to_vec(), decays: true }
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
        let Moments::Exact { first, second } = &optimizer.moments[0] else { panic!("f32 moments") };
        assert!((first[0] - 0.2).abs() < 1e-7);
        assert!((second[0] - 0.004).abs() < 1e-8);
    }

    #[test]
    fn sgd_adds_the_decay_to_the_gradient() {
        let mut params = vec![param(&[2.0], &[0.5])];
        let hyper = Hyper { rule: Rule::Sgd, weight_decay: 0.1, ..HYPER };
        Optimizer::new(hyper, &params).step(&mut params, 0.1);
        assert!((params[0].value[0] - (2.0 - 0.1 * 0.7)).abs() < 1e-7);
    }

    #[test]
    fn only_what_decays_is_pulled_to_zero() {
        for rule in [Rule::AdamW, Rule::Sgd] {
            let mut params = vec![param(&[2.0], &[0.0]), Param { decays: false, ..param(&[2.0], &[0.0]) }];
            Optimizer::new(Hyper { rule, weight_decay: 0.5, ..HYPER }, &params).step(&mut params, 0.1);
            assert!((params[0].value[0] - 1.9).abs() < 1e-6, "{rule:?} {}", params[0].value[0]);
            assert_eq!(params[1].value, [2.0], "{rule:?}");
        }
    }

    /// A tensor of several pieces and an odd end, whose quadratic bowl 8-bit AdamW descends as exact AdamW does.
    #[test]
    fn eight_bit_moments_follow_exact_ones() {
        use crate::kernels::random::{mix, normal};
        let len = PIECE + 3 * BLOCK + 17;
        let start = normal(mix(&[4]), len, 1.0);
        let curve: Vec<f32> = normal(mix(&[5]), len, 1.0).iter().map(|x| 0.1 + x * x).collect();
        let descend = |rule: Rule| {
            let mut params = vec![param(&start, &start)];
            let mut optimizer = Optimizer::new(Hyper { rule, weight_decay: 0.0, ..HYPER }, &params);
            for _ in 0..60 {
                let Param { value, grad, .. } = &mut params[0];
                grad.iter_mut().zip(value).zip(&curve).for_each(|((g, x), c)| *g = *c * *x);
                optimizer.step(&mut params, 2e-2);
            }
            let bowl = params[0].value.iter().zip(&curve).map(|(x, c)| f64::from(c * x * x)).sum::<f64>();
            (bowl, optimizer, params.remove(0).value)
        };
        let (exact, _, _) = descend(Rule::AdamW);
        let (bowl, optimizer, values) = descend(Rule::AdamW8Bit);
        let first: f64 = start.iter().zip(&curve).map(|(x, c)| f64::from(c * x * x)).sum();
        assert!(exact < 0.2 * first, "{exact} of {first}");
        assert!((bowl / exact - 1.0).abs() < 0.02, "{bowl} {exact}");
        assert!(values.iter().all(|x| x.is_finite()));
        let Moments::Blocks { first, second } = &optimizer.moments[0] else { panic!("not in 8 bit") };
        let bytes = first.codes.len() + second.codes.len() + 4 * (first.absmax.len() + second.absmax.len());
        assert_eq!(bytes, Rule::AdamW8Bit.state_bytes(len));
        assert_eq!(descend(Rule::AdamW8Bit).2, values, "the same bits again");
    }

    #[test]
    fn small_tensors_keep_exact_moments() {
        assert!(matches!(Moments::zeros(Rule::AdamW8Bit, SMALLEST - 1), Moments::Exact { .. }));
        assert!(matches!(Moments::zeros(Rule::AdamW8Bit, SMALLEST), Moments::Blocks { .. }));
        assert_eq!(Moments::zeros(Rule::Sgd, 9), Moments::None);
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
