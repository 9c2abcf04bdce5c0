//! Drawing tokens: the chain of penalties and filters, a seeded stream, and the order in which a constraint joins in.
//!
//! D = chain(logits) restricted to allowed tokens and renormalised, if any survivor is allowed, else
//! chain(mask(logits)). A token is picked first and checked then; only a refused pick pays for the restriction and a
//! second uniform. Owns no model and no text.

mod chain;
mod rng;

pub use chain::{Candidate, Chain, Distribution, History};
pub use rng::Rng;

use crate::error::{Problem, Result};
use crate::kernels::softmax;

/// What may come next. The default allows everything; a grammar or a schema guard answers here.
pub trait Allowed {
    /// Whether the token may come next.
    fn allows(&mut self, id: u32) -> bool;

    /// A cheap first answer about one of many tokens: no is no, yes may become no once [`Allowed::allows`] has looked.
    fn may_allow(&mut self, id: u32) -> bool {
        self.allows(id)
    }

    /// Many tokens will be asked about at this step.
    fn prepare(&mut self) {}

    /// The logits that are drawn from, where some allowed tokens are liked better than the model says. Scores stay the
    /// model's own.
    fn leaned(&self, _logits: &[f32]) -> Option<Vec<f32>> {
        None
    }
}

/// Every token is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anything;

impl Allowed for Anything {
    fn allows(&mut self, _id: u32) -> bool {
        true
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// The token.
    pub id: u32,
    /// `log softmax(logits)[id]`, before penalties and temperature: the model's own score. In a beam search less what a
    /// constraint's likings take.
    pub log_probability: f64,
    /// Whether the first pick was refused.
    pub redrawn: bool,
    /// The model's own probability of all allowed tokens together, where a mask was made.
    pub allowed_mass: Option<f64>,
}

/// One sequence's sampler.
#[derive(Debug, Clone)]
pub struct Sampler {
    chain: Chain,
    rng: Rng,
    history: History,
    /// Ids from here on have no text.
    limit: usize,
    order: Order,
}

/// When the constraint joins in, and what is told of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// Before the chain, as transformers and vLLM do it: top-k and top-p then choose among allowed tokens only.
    pub mask_first: bool,
    /// Tell the probability of all allowed tokens at every step: a mask each time.
    pub confidence: bool,
}

impl Sampler {
    /// A sampler behind this prompt. `vocab_size` is the tokenizer's: larger ids are never drawn.
    pub fn new(chain: Chain, seed: u64, vocab_size: usize, prompt: &[u32]) -> Self {
        Self { chain, rng: Rng::new(seed), history: History::new(prompt), limit: vocab_size, order: Order::default() }
    }

    /// With another order.
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Draws the next token from `logits`, `[vocab]`. Greedy takes no uniforms.
    pub fn next(&mut self, logits: &[f32], allowed: &mut dyn Allowed) -> Result<Pick> {
        let mut masked_by = None;
        let leaned = allowed.leaned(logits);
        let scored = logits;
        let logits = leaned.as_deref().unwrap_or(scored);
        let (id, redrawn) = if self.order.mask_first {
            allowed.prepare();
            let id = loop {
                let masked = masked(logits, self.limit, allowed)?;
                let id = self.draw(&self.chain.apply(&masked, self.limit, &self.history)?);
                // A token that is refused after all is no longer in the mask: drawing again is drawing from the others.
                if allowed.allows(id) {
                    masked_by = Some(masked);
                    break id;
                }
            };
            (id, false)
        } else {
            let distribution = self.chain.apply(logits, self.limit, &self.history)?;
            let mut id = self.draw(&distribution);
            let mut redrawn = false;
            while !allowed.allows(id) {
                allowed.prepare();
                redrawn = true;
                let restricted = match distribution.restricted(|id| allowed.may_allow(id)) {
                    Some(restricted) => restricted,
                    None => {
                        let only = masked(logits, self.limit, allowed)?;
                        self.chain.apply(&only, self.limit, &self.history)?
                    }
                };
                id = self.draw(&restricted);
            }
            if redrawn {
                masked_by = Some(masked(logits, self.limit, allowed)?);
            }
            (id, redrawn)
        };
        if self.order.confidence && masked_by.is_none() {
            allowed.prepare();
            masked_by = Some(masked(logits, self.limit, allowed)?);
        }
        self.history.push(id);
        let allowed_mass = masked_by.map(|masked| mass(logits, &masked));
        Ok(Pick { id, log_probability: log_probability(scored, id), redrawn, allowed_mass })
    }

    fn draw(&mut self, distribution: &Distribution) -> u32 {
        match distribution.candidates() {
            [only] if self.chain.temperature <= 0.0 => only.id,
            _ => distribution.pick(self.rng.uniform()).id,
        }
    }
}

/// The logits with −∞ for every token that is not allowed.
fn masked(logits: &[f32], limit: usize, allowed: &mut dyn Allowed) -> Result<Vec<f32>> {
    let logits: Vec<f32> = logits[..limit.min(logits.len())]
        .iter()
        .zip(0..)
        .map(|(&logit, id)| if allowed.may_allow(id) { logit } else { f32::NEG_INFINITY })
        .collect();
    if logits.iter().all(|l| *l == f32::NEG_INFINITY) {
        return Err(Problem::failed("no token is allowed here").into());
    }
    Ok(logits)
}

/// The softmax's share of the tokens that a mask left.
fn mass(logits: &[f32], masked: &[f32]) -> f64 {
    let highest = softmax::highest(logits);
    softmax::sum_exp(masked, highest) / softmax::sum_exp(logits, highest)
}

/// `log softmax(logits)[id]`; the sum's error, 3·10⁻⁷, is that of the logits themselves.
fn log_probability(logits: &[f32], id: u32) -> f64 {
    let highest = softmax::highest(logits);
    let total = softmax::sum_exp(logits, highest);
    logits.get(id as usize).map_or(f64::NEG_INFINITY, |&l| f64::from(l - highest) - total.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Only(Vec<u32>);
    impl Allowed for Only {
        fn allows(&mut self, id: u32) -> bool {
            self.0.contains(&id)
        }
    }

    fn draws(chain: Chain, logits: &[f32], limit: usize, allowed: &mut dyn Allowed, count: usize) -> Vec<f64> {
        let mut frequency = vec![0.0; logits.len()];
        let fresh = Sampler::new(chain, 11, limit, &[]);
        let mut rng = fresh.rng.clone();
        for _ in 0..count {
            // The history must not grow: each draw is a first draw.
            let mut sampler = Sampler { rng, ..fresh.clone() };
            frequency[sampler.next(logits, allowed).unwrap().id as usize] += 1.0 / count as f64;
            rng = sampler.rng;
        }
        frequency
    }

    const LOGITS: [f32; 6] = [1.0, 3.0, 2.0, -1.0, 2.5, 9.0];

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let chain = Chain { temperature: 1.5, ..Chain::default() };
        let run = |seed| {
            let mut sampler = Sampler::new(chain, seed, 5, &[]);
            (0..40).map(|_| sampler.next(&LOGITS, &mut Anything).unwrap().id).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn ids_without_text_are_never_drawn() {
        for temperature in [0.0, 1.0, 100.0] {
            let chain = Chain { temperature, ..Chain::default() };
            assert_eq!(draws(chain, &LOGITS, 5, &mut Anything, 2000)[5], 0.0);
        }
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let chain = Chain { temperature: 2.0, ..Chain::default() };
        let frequency = draws(chain, &LOGITS, 5, &mut Anything, 40_000);
        let weights: Vec<f64> = LOGITS[..5].iter().map(|l| f64::from(l / 2.0).exp()).collect();
        for (frequency, weight) in frequency.iter().zip(&weights) {
            let expected = weight / weights.iter().sum::<f64>();
            assert!((frequency - expected).abs() < 0.012, "{frequency} {expected}");
        }
    }

    #[test]
    fn a_refused_pick_is_redrawn_from_the_restricted_distribution() {
        // Exactness of pick, check, redraw: the same as restricting D first.
        let chain = Chain { temperature: 1.0, top_k: 4, ..Chain::default() };
        let frequency = draws(chain, &LOGITS, 5, &mut Only(vec![0, 2, 3]), 40_000);
        let d = chain.apply(&LOGITS, 5, &History::default()).unwrap();
        let restricted = d.restricted(|id| [0, 2, 3].contains(&id)).unwrap();
        for candidate in restricted.candidates() {
            let found = frequency[candidate.id as usize];
            assert!((found - candidate.probability).abs() < 0.012, "{found} {candidate:?}");
        }
        assert_eq!(frequency[3], 0.0, "3 does not survive top-k");
    }

    #[test]
    fn where_no_survivor_is_allowed_the_mask_goes_first() {
        let chain = Chain { temperature: 1.0, top_k: 2, ..Chain::default() };
        let frequency = draws(chain, &LOGITS, 5, &mut Only(vec![0, 3]), 20_000);
        let expected = 1.0 / (1.0 + (-2.0f64).exp());
        assert!((frequency[0] - expected).abs() < 0.015, "{frequency:?}");
        let greedy = draws(Chain::default(), &LOGITS, 5, &mut Only(vec![0, 2]), 10);
        assert!((greedy[2] - 1.0).abs() < 1e-9);
        let error = Sampler::new(chain, 0, 5, &[]).next(&LOGITS, &mut Only(vec![])).unwrap_err();
        assert!(error.to_string().contains("allowed"));
    }

    #[test]
    fn the_score_is_the_models_own() {
        let mut sampler = Sampler::new(Chain { repetition_penalty: 9.0, ..Chain::default() }, 0, 6, &[5]);
        let pick = sampler.next(&LOGITS, &mut Anything).unwrap();
        assert_eq!(pick.id, 1);
        let total: f64 = LOGITS.iter().map(|l| f64::from(*l).exp()).sum();
        assert!((pick.log_probability - (3.0 - total.ln())).abs() < 1e-6);
    }
}
