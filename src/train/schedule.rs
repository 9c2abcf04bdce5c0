//! Learning-rate schedules: the factor on the learning rate at each optimiser step, as Hugging Face transformers
//! defines them (`optimization.py`, closed forms quoted at each variant).

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The shapes of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Warm-up, then (total − step) / (total − warmup).
    Linear,
    /// Warm-up, then ½(1 + cos(2π · num_cycles · progress)); num_cycles ½ ends at 0.
    Cosine,
    /// 1 from the first step on. Warm-up is ignored, as transformers does; see [`Shape::ConstantWithWarmup`].
    Constant,
    /// Warm-up, then 1.
    ConstantWithWarmup,
    /// Warm-up, then ((lr − lr_end) · (1 − progress)^power + lr_end) / lr.
    Polynomial,
    /// Warm-up, then ½(1 + cos(π · ((num_cycles · progress) mod 1))); 0 at the end.
    CosineWithRestarts,
}

impl Shape {
    /// Every name a manifest may use.
    pub const NAMES: [&str; 6] =
        ["linear", "cosine", "constant", "polynomial", "cosine_with_restarts", "constant_with_warmup"];

    /// Whether warm-up steps have an effect.
    pub fn warms_up(self) -> bool {
        self != Self::Constant
    }

    /// The keys of `lr_scheduler_kwargs` it understands.
    pub fn kwargs(self) -> &'static [&'static str] {
        match self {
            Self::Cosine | Self::CosineWithRestarts => &["num_cycles"],
            Self::Polynomial => &["lr_end", "power"],
            _ => &[],
        }
    }
}

/// A schedule over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape.
    pub shape: Shape,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// Steps during which the rate rises from 0.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub total_steps: u64,
    /// `num_cycles`; none: ½ for cosine, 1 with restarts.
    pub num_cycles: Option<f64>,
    /// `lr_end` of the polynomial; none: 1e-7.
    pub lr_end: Option<f64>,
    /// `power` of the polynomial; none: 1.
    pub power: Option<f64>,
}

impl Schedule {
    /// The learning rate of optimiser step `step`, from 0. With warm-up the first step has rate 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.learning_rate * self.factor(step)
    }

    fn factor(&self, step: u64) -> f64 {
        let (step, warmup, total) = (step as f64, self.warmup_steps as f64, self.total_steps as f64);
        if self.shape == Shape::Constant {
            return 1.0;
        }
        if step < warmup {
            return step / warmup.max(1.0);
        }
        let progress = (step - warmup) / (total - warmup).max(1.0);
        match self.shape {
            Shape::Constant | Shape::ConstantWithWarmup => 1.0,
            Shape::Linear => ((total - step) / (total - warmup).max(1.0)).max(0.0),
            Shape::Cosine => (0.5 * (1.0 + (PI * self.num_cycles.unwrap_or(0.5) * 2.0 * progress).cos())).max(0.0),
            Shape::CosineWithRestarts if progress >= 1.0 => 0.0,
            Shape::CosineWithRestarts => {
                (0.5 * (1.0 + (PI * ((self.num_cycles.unwrap_or(1.0) * progress) % 1.0)).cos())).max(0.0)
            }
            Shape::Polynomial => {
                let end = self.lr_end.unwrap_or(1e-7);
                let decayed = if step > total {
                    end
                } else {
                    let remaining = 1.0 - (step - warmup) / (total - warmup).max(1.0);
                    (self.learning_rate - end) * remaining.powf(self.power.unwrap_or(1.0)) + end
                };
                decayed / self.learning_rate
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape) -> Schedule {
        Schedule {
            shape,
            learning_rate: 2e-4,
            warmup_steps: 3,
            total_steps: 12,
            num_cycles: None,
            lr_end: None,
            power: None,
        }
    }

    /// Expected rates were computed apart, from the formulas of transformers 5.23 in Python (13 steps).
    fn check(schedule: Schedule, expected: &[f64]) {
        for (step, &rate) in expected.iter().enumerate() {
            let found = schedule.rate(step as u64);
            assert!((found - rate).abs() < 1e-12 * schedule.learning_rate.max(rate), "step {step}: {found} {rate}");
        }
    }

    #[test]
    fn linear() {
        let schedule = schedule(Shape::Linear);
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00017777777777777779,
            0.00015555555555555556,
            0.00013333333333333334,
            0.00011111111111111112,
            8.888888888888889e-05,
            6.666666666666667e-05,
            4.4444444444444447e-05,
            2.2222222222222223e-05,
            0.0,
            0.0,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn cosine() {
        let schedule = schedule(Shape::Cosine);
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00019396926207859084,
            0.0001766044443118978,
            0.00015000000000000001,
            0.00011736481776669306,
            8.263518223330697e-05,
            5.000000000000002e-05,
            2.339555568810221e-05,
            6.030737921409169e-06,
            0.0,
            6.030737921409157e-06,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn cosine_with_more_cycles() {
        let schedule = Schedule { num_cycles: Some(1.5), ..schedule(Shape::Cosine) };
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00015000000000000001,
            5.000000000000002e-05,
            0.0,
            4.9999999999999955e-05,
            0.00015000000000000001,
            0.0002,
            0.00015000000000000004,
            5.000000000000008e-05,
            0.0,
            5.000000000000002e-05,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn cosine_with_three_restarts() {
        let schedule = Schedule { num_cycles: Some(3.0), ..schedule(Shape::CosineWithRestarts) };
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00015000000000000001,
            5.000000000000002e-05,
            0.0002,
            0.00015000000000000004,
            4.999999999999998e-05,
            0.0002,
            0.00015,
            5.000000000000007e-05,
            0.0,
            0.0,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn cosine_with_restarts_default() {
        let schedule = schedule(Shape::CosineWithRestarts);
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00019396926207859084,
            0.0001766044443118978,
            0.00015000000000000001,
            0.00011736481776669306,
            8.263518223330697e-05,
            5.000000000000002e-05,
            2.339555568810221e-05,
            6.030737921409169e-06,
            0.0,
            0.0,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn polynomial() {
        let schedule = schedule(Shape::Polynomial);
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00017778888888888889,
            0.0001555777777777778,
            0.0001333666666666667,
            0.00011115555555555557,
            8.894444444444444e-05,
            6.673333333333335e-05,
            4.452222222222222e-05,
            2.231111111111112e-05,
            9.999999999999998e-08,
            9.999999999999998e-08,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn polynomial_of_power_two() {
        let schedule = Schedule { lr_end: Some(1e-5), power: Some(2.0), ..schedule(Shape::Polynomial) };
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00016012345679012347,
            0.00012493827160493828,
            9.444444444444447e-05,
            6.864197530864199e-05,
            4.7530864197530866e-05,
            3.111111111111112e-05,
            1.9382716049382716e-05,
            1.2345679012345682e-05,
            1e-05,
            1e-05,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn constant_with_warmup() {
        let schedule = schedule(Shape::ConstantWithWarmup);
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
            0.0002,
        ];
        check(schedule, &expected);
    }

    #[test]
    fn constant_ignores_warm_up_as_transformers_does() {
        check(schedule(Shape::Constant), &[2e-4; 13]);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_full_rate() {
        for shape in [Shape::Linear, Shape::Cosine, Shape::CosineWithRestarts, Shape::Polynomial] {
            assert_eq!(Schedule { warmup_steps: 0, ..schedule(shape) }.rate(0), 2e-4);
        }
    }

    #[test]
    fn the_rates_of_the_golden_training_runs() {
        let golden = Schedule { learning_rate: 1e-3, warmup_steps: 2, total_steps: 5, ..schedule(Shape::Cosine) };
        check(golden, &[0.0, 5e-4, 1e-3, 7.5e-4, 2.5e-4]);
    }
}
