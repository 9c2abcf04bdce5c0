//! From logits to the distribution that a token is drawn from: penalties, temperature, top-k, top-p, min-p, in this
//! order (that of transformers' `LogitsProcessorList` and of `design.md`).

use std::collections::HashMap;

use crate::error::{Problem, Result};
use crate::kernels::softmax;

/// The knobs of the chain. The default changes nothing and draws from the softmax of the logits, except that the
/// temperature is 0: greedy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chain {
    /// Logits of ids that occur in prompt or answer are divided (positive) or multiplied (negative) by this; 1 is off
    /// (CTRL, Keskar et al. 2019; transformers `RepetitionPenaltyLogitsProcessor`).
    pub repetition_penalty: f32,
    /// Subtracted once from the logits of ids that occur in the answer; 0 is off (OpenAI's definition, as in vLLM).
    pub presence_penalty: f32,
    /// Subtracted for every occurrence in the answer; 0 is off (OpenAI's definition, as in vLLM).
    pub frequency_penalty: f32,
    /// Divides the logits; 0 takes the highest.
    pub temperature: f32,
    /// Only the k highest; 0 is off.
    pub top_k: usize,
    /// The smallest set of most probable tokens whose sum reaches this; 1 is off (nucleus sampling, Holtzman et al.
    /// 2019; transformers `TopPLogitsWarper`).
    pub top_p: f32,
    /// Only tokens at least this fraction as probable as the most probable; 0 is off (Nguyen et al. 2024; transformers
    /// `MinPLogitsWarper`, llama.cpp `min_p`).
    pub min_p: f32,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
        }
    }
}

/// How often each id has occurred.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In prompt or answer.
    seen: HashMap<u32, u32>,
}

impl History {
    /// A history that begins with a prompt.
    pub fn new(prompt: &[u32]) -> Self {
        Self { seen: prompt.iter().map(|&id| (id, 0)).collect() }
    }

    /// Notes a token of the answer.
    pub fn push(&mut self, id: u32) {
        *self.seen.entry(id).or_insert(0) += 1;
    }
}

/// A token that survived the chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit after penalties and temperature.
    pub logit: f32,
    /// Its probability among the survivors.
    pub probability: f64,
}

/// The survivors of the chain, most probable first (equal ones by id), their probabilities adding to 1. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution(Vec<Candidate>);

/// How many of the highest logits are looked at first when only top-p limits them. Larger: more sorting per token;
/// smaller: more rounds on flat distributions. Each round takes eight times as many.
const FIRST_LOOK: usize = 512;

impl Chain {
    /// D = chain(logits). `logits` is `[vocab]`; ids from `limit` on are never considered: the model has rows that the
    /// tokenizer has no text for. Softmax and sums are f64.
    pub fn apply(&self, logits: &[f32], limit: usize, history: &History) -> Result<Distribution> {
        let logits = &logits[..limit.min(logits.len())];
        if let Some(best) = self.greedy(logits) {
            return Ok(Distribution(vec![best]));
        }
        let mut candidates = self.penalised(logits, history)?;
        let by_logit = |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id));
        if self.temperature <= 0.0 {
            let best = candidates.into_iter().min_by(by_logit).map(|best| Candidate { probability: 1.0, ..best });
            return Ok(Distribution(best.into_iter().collect()));
        }
        for candidate in &mut candidates {
            candidate.logit /= self.temperature;
        }
        if self.top_k > 0 && self.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k - 1, by_logit);
            candidates.truncate(self.top_k);
        }
        let highest = candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for candidate in &mut candidates {
            candidate.probability = f64::from(candidate.logit - highest).exp();
            total += candidate.probability;
        }
        self.keep_top_p(&mut candidates, total, by_logit);
        // Relative to the most probable, so that it does not matter what the probabilities add up to.
        candidates.retain(|c| c.probability >= f64::from(self.min_p));
        candidates.sort_unstable_by(by_logit);
        let total: f64 = candidates.iter().map(|c| c.probability).sum();
        for candidate in &mut candidates {
            candidate.probability /= total;
        }
        Ok(Distribution(candidates))
    }

    fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }

    /// The most probable token where that is all that is asked for; none where there is more to do, or logits to refuse.
    fn greedy(&self, logits: &[f32]) -> Option<Candidate> {
        if self.temperature > 0.0 || self.has_penalties() {
            return None;
        }
        // Zero has two signs, which order alike here and not in `total_cmp`.
        let highest = Some(softmax::highest(logits)).filter(|highest| highest.is_finite() && *highest != 0.0)?;
        let id = logits.iter().position(|logit| *logit == highest)?;
        Some(Candidate { id: id as u32, logit: highest, probability: 1.0 })
    }

    fn penalised(&self, logits: &[f32], history: &History) -> Result<Vec<Candidate>> {
        if logits.is_empty() || logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
            return Err(Problem::failed("the model's logits are not finite")
                .hint("check the weights: `expert-cli verify` for an installed expert")
                .into());
        }
        let mut candidates: Vec<Candidate> =
            logits.iter().zip(0..).map(|(&logit, id)| Candidate { id, logit, probability: 0.0 }).collect();
        let off = !self.has_penalties();
        for (&id, &count) in history.seen.iter().filter(|_| !off) {
            let Some(Candidate { logit, .. }) = candidates.get_mut(id as usize) else { continue };
            *logit = if *logit < 0.0 { *logit * self.repetition_penalty } else { *logit / self.repetition_penalty };
            if count > 0 {
                *logit -= self.presence_penalty + count as f32 * self.frequency_penalty;
            }
        }
        candidates.retain(|c| c.logit > f32::NEG_INFINITY);
        if candidates.is_empty() {
            return Err(Problem::failed("no token has a finite logit").into());
        }
        Ok(candidates)
    }

    /// Keeps a token while what stands before it sums to less than `top_p` of `total`.
    fn keep_top_p(
        &self,
        candidates: &mut Vec<Candidate>,
        total: f64,
        by_logit: impl Fn(&Candidate, &Candidate) -> std::cmp::Ordering + Copy,
    ) {
        if self.top_p >= 1.0 {
            return;
        }
        let wanted = total * f64::from(self.top_p.max(0.0));
        let mut look = FIRST_LOOK;
        loop {
            let look_now = look.min(candidates.len());
            if look_now < candidates.len() {
                candidates.select_nth_unstable_by(look_now - 1, by_logit);
            }
            candidates[..look_now].sort_unstable_by(by_logit);
            let mut before = 0.0;
            for (at, candidate) in candidates[..look_now].iter().enumerate() {
                if before >= wanted && at > 0 {
                    candidates.truncate(at);
                    return;
                }
                before += candidate.probability;
            }
            if look_now == candidates.len() {
                return;
            }
            look *= 8;
        }
    }
}

impl Distribution {
    /// The survivors, most probable first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.0
    }

    /// The token that the uniform `u` of [0, 1) falls on.
    pub fn pick(&self, u: f64) -> Candidate {
        let mut before = 0.0;
        for candidate in &self.0 {
            before += candidate.probability;
            if u < before {
                return *candidate;
            }
        }
        // Rounding left the sum a hair below 1.
        self.0[self.0.len() - 1]
    }

    /// The distribution restricted to allowed tokens and renormalised; `None` if no survivor is allowed.
    pub fn restricted(&self, mut allowed: impl FnMut(u32) -> bool) -> Option<Self> {
        let mut kept: Vec<Candidate> = self.0.iter().copied().filter(|c| allowed(c.id)).collect();
        let total: f64 = kept.iter().map(|c| c.probability).sum();
        for candidate in &mut kept {
            candidate.probability /= total;
        }
        (!kept.is_empty()).then_some(Self(kept))
    }
}

#[cfg(test)]
mod tests;
