//! Several answers to one question, behind one computation of its prompt.

use std::time::Instant;

use super::{Answer, Conversation, Question};
use crate::error::Result;
use crate::generate::beams::beams;
use crate::generate::candidates::Plan;
use crate::generate::decode::{Draw, NextLogits, Observer, prompted, samples};
use crate::generate::text::Vocabulary;

/// The temperature of samples where the settings say greedy: samples that are all the same would vote for nothing.
const SAMPLE_TEMPERATURE: f32 = 0.8;

impl<M: NextLogits, V: Vocabulary> Conversation<'_, M, V> {
    /// Draws as many answers as the plan says, beams first. Without beams the first sample is what
    /// [`Conversation::answer`] would give; each has a stream of random numbers of its own.
    pub fn candidates(&self, question: &Question, plan: Plan, observer: &mut dyn Observer) -> Result<Vec<Answer>> {
        let begun = Instant::now();
        let rules = self.rules();
        let prompt = prompted(&self.model, self.start(question)?)?;
        let mut completions = Vec::with_capacity(plan.total());
        if plan.beams > 0 {
            completions.extend(beams(&self.model, self.vocabulary, &prompt, plan.beams, &rules, observer)?);
        }
        let draw = |index: usize| {
            let mut chain = rules.chain;
            if chain.temperature <= 0.0 && (index > 0 || plan.beams > 0) {
                chain.temperature = SAMPLE_TEMPERATURE;
            }
            Draw { chain, seed: rules.seed.wrapping_add(index as u64) }
        };
        let draws: Vec<Draw> = (0..plan.samples).map(draw).collect();
        if !draws.is_empty() {
            completions.extend(samples(&self.model, self.vocabulary, &prompt, &draws, &rules, observer)?);
        }
        let latency = begun.elapsed();
        let finished = |completion| self.finished(question, prompt.start.clone(), completion, latency);
        Ok(completions.into_iter().map(finished).collect())
    }
}
