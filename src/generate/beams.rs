//! Beam search: the most probable answers that a search of this width finds, under the same constraint as sampling.
//!
//! Penalties and temperature do not count here: beams are ranked by the model's own score, the mean log-probability of
//! an answer's tokens (Wu et al. 2016, length normalisation with α = 1), less what a constraint's likings take.

use super::decode::{Completion, Draw, Finish, NextLogits, Observer, Prompted, Rules, Running, forward_last};
use super::sampler::{Allowed, Pick};
use super::text::Vocabulary;
use crate::error::Result;
use crate::kernels::softmax;

/// How many of the most probable tokens are looked at one by one before the whole vocabulary is masked.
const FIRST_LOOK: usize = 64;

/// One beam: the sequence, what the model remembers of it, what it says comes next.
struct Beam<C> {
    running: Running,
    cache: C,
    logits: Vec<f32>,
}

/// Only asks whether to stop: beams grow at once, so there is no text to show.
struct Silent<'a>(&'a mut dyn Observer);

impl Observer for Silent<'_> {
    fn token(&mut self, sequence: usize, _text: &str) {
        if sequence == 0 {
            self.0.token(0, "");
        }
    }

    fn interrupted(&mut self) -> bool {
        self.0.interrupted()
    }
}

/// Up to `width` answers to a prompt, the best first.
pub fn beams<M: NextLogits>(
    model: &M,
    vocabulary: &dyn Vocabulary,
    prompt: &Prompted<M::Cache>,
    width: usize,
    rules: &Rules,
    observer: &mut dyn Observer,
) -> Result<Vec<Completion>> {
    let most = model.max_positions();
    let mut observer = Silent(observer);
    let own = Draw { chain: rules.chain, seed: rules.seed };
    let running = Running::begin(model, vocabulary, 0, &prompt.start, rules, own)?;
    let mut live = vec![Beam { running, cache: prompt.cache.clone(), logits: prompt.logits.clone() }];
    let mut done: Vec<Completion> = Vec::new();
    while !live.is_empty() && done.len() < width {
        if observer.interrupted() {
            done.extend(live.drain(..).map(|beam| beam.running.close(Finish::Interrupted, vocabulary)));
            break;
        }
        let mut fronts: Vec<Front> = live.iter_mut().map(|beam| Front::new(beam, vocabulary.size())).collect();
        let mut chosen: Vec<(usize, Running)> = Vec::new();
        let mut rank = 0;
        while chosen.len() < width
            && let Some((at, pick)) = next(&mut live, &mut fronts, rules, most)
        {
            let mut running = live[at].running.clone();
            match running.accept(pick, vocabulary, rules, most, &mut observer)? {
                None => chosen.push((at, running)),
                // An end that is not among the best now is not worth a place among the answers.
                Some(finish) if rank < width => done.push(running.close(finish, vocabulary)),
                Some(_) => {}
            }
            rank += 1;
        }
        if rank == 0 {
            // Nowhere to go: no room is left for an answer.
            done.extend(live.drain(..).map(|beam| beam.running.close(Finish::Budget, vocabulary)));
            break;
        }
        live = grown(model, live, chosen)?;
    }
    done.sort_by(|a, b| score(b).total_cmp(&score(a)));
    done.truncate(width);
    Ok(done)
}

/// The mean log-probability of a token.
pub fn score(completion: &Completion) -> f64 {
    completion.log_probability / completion.ids.len().max(1) as f64
}

/// The chosen sequences with caches of their own: the last child of a beam takes over its parent's, others copy it.
fn grown<M: NextLogits>(
    model: &M,
    parents: Vec<Beam<M::Cache>>,
    chosen: Vec<(usize, Running)>,
) -> Result<Vec<Beam<M::Cache>>> {
    let mut owned: Vec<Option<M::Cache>> = parents.into_iter().map(|beam| Some(beam.cache)).collect();
    let mut caches = Vec::with_capacity(chosen.len());
    for (index, (at, _)) in chosen.iter().enumerate() {
        let is_last = !chosen[index + 1..].iter().any(|(other, _)| other == at);
        let cache = if is_last { owned[*at].take() } else { owned[*at].clone() };
        caches.extend(cache);
    }
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let running: Vec<Running> = chosen.into_iter().map(|(_, running)| running).collect();
    let logits = forward_last(model, &running, &mut caches)?;
    let beams = running.into_iter().zip(caches).zip(logits);
    Ok(beams.map(|((running, cache), logits)| Beam { running, cache, logits }).collect())
}

/// The tokens that may continue one beam, the most probable first. A constraint is asked about a token only when its turn
/// among all beams' has come: most never have theirs, and asking is what costs time.
struct Front {
    /// Ids by logit, highest first; sorted as far as `sorted`.
    order: Vec<usize>,
    sorted: usize,
    at: usize,
    /// Log-probability of the beam and minus the logarithm of the softmax's sum.
    so_far: f64,
    shift: f64,
    refused: bool,
}

impl Front {
    fn new<C>(beam: &mut Beam<C>, limit: usize) -> Self {
        let logits = &beam.logits[..limit.min(beam.logits.len())];
        let highest = f64::from(softmax::highest(logits));
        let total = softmax::sum_exp(logits, highest as f32).ln();
        let order = (0..logits.len()).filter(|&id| logits[id].is_finite()).collect();
        let so_far = beam.running.log_probability();
        if let Some(leaned) = beam.running.leaned(&beam.logits) {
            beam.logits = leaned;
        }
        let logits = &beam.logits;
        let mut front = Self { order, sorted: 0, at: 0, so_far, shift: -highest - total, refused: false };
        front.sort(logits, FIRST_LOOK);
        front
    }

    /// Sorts the next `count` ids.
    fn sort(&mut self, logits: &[f32], count: usize) {
        let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        let rest = &mut self.order[self.sorted..];
        let count = count.min(rest.len());
        if count < rest.len() {
            rest.select_nth_unstable_by(count, by_logit);
        }
        rest[..count].sort_unstable_by(by_logit);
        self.sorted += count;
    }

    /// The most probable token that was not looked at yet, with its log-probability.
    fn peek(&self, logits: &[f32]) -> Option<(usize, f64)> {
        let id = *self.order[..self.sorted].get(self.at)?;
        Some((id, f64::from(logits[id]) + self.shift))
    }
}

/// The most probable continuation of all beams that may be; its beam and its token.
fn next<C>(live: &mut [Beam<C>], fronts: &mut [Front], rules: &Rules, max_positions: usize) -> Option<(usize, Pick)> {
    loop {
        let score = |at: usize| Some((at, fronts[at].so_far + fronts[at].peek(&live[at].logits)?.1));
        let best = (0..live.len()).filter_map(score).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let (at, _) = best?;
        let (beam, front) = (&mut live[at], &mut fronts[at]);
        let (id, log_probability) = front.peek(&beam.logits)?;
        front.at += 1;
        let allowed = match beam.running.constraint(rules, max_positions) {
            // No room for an answer: this beam is at its end.
            Err(_) => {
                front.order.clear();
                front.sorted = 0;
                continue;
            }
            Ok(None) => true,
            Ok(Some(constraint)) => {
                if front.at == front.sorted && front.sorted < front.order.len() {
                    constraint.prepare();
                    let may = |id: &usize| constraint.may_allow(*id as u32);
                    let rest = front.order.split_off(front.sorted);
                    front.order.extend(rest.into_iter().filter(may).collect::<Vec<_>>());
                    front.sort(&beam.logits, usize::MAX);
                }
                constraint.allows(id as u32)
            }
        };
        if allowed {
            return Some((at, Pick { id: id as u32, log_probability, redrawn: front.refused, allowed_mass: None }));
        }
        front.refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::{Start, Unobserved, prompted};
    use super::super::sampler::{Chain, Order};
    use super::super::stop::StopRules;
    use super::super::text::toy::Bytes;
    use super::*;
    use crate::sql::scan::Quoting;

    /// Greedy begins with `a` (0.5) and then goes nowhere in particular; `b` (0.4) is followed by a sure end.
    struct Fork;

    impl NextLogits for Fork {
        type Cache = Vec<u32>;

        fn new_cache(&self) -> Vec<u32> {
            Vec::new()
        }

        fn max_positions(&self) -> usize {
            100
        }

        fn forward(&self, inputs: &[&[u32]], caches: &mut [Vec<u32>]) -> Result<Vec<Vec<f32>>> {
            let step = |(input, cache): (&&[u32], &mut Vec<u32>)| {
                cache.extend_from_slice(input);
                let mut logits = vec![-20.0f32; 257];
                let mut set = |id: u32, probability: f32| logits[id as usize] = probability.ln();
                match cache[1..] {
                    [] => [(97, 0.5), (98, 0.4), (99, 0.1)].into_iter().for_each(|(id, p)| set(id, p)),
                    [97] => (100..110).for_each(|id| set(id, 0.1)),
                    _ => set(256, 1.0),
                }
                logits
            };
            Ok(inputs.iter().zip(caches).map(step).collect())
        }
    }

    fn rules(max_tokens: usize) -> Rules {
        Rules {
            chain: Chain::default(),
            seed: 0,
            max_tokens,
            end_ids: vec![256],
            stop: StopRules::default(),
            quoting: Quoting::GENERIC,
            keep_first_logits: false,
            order: Order::default(),
            least_mass: 0.0,
        }
    }

    fn found(width: usize, max_tokens: usize) -> Vec<Completion> {
        let start = Start { ids: vec![1], shared: 0, thinking: false, constraint: None };
        let prompt = prompted(&Fork, start).unwrap();
        beams(&Fork, &Bytes::with_words(&[]), &prompt, width, &rules(max_tokens), &mut Unobserved).unwrap()
    }

    #[test]
    fn the_best_answer_is_not_the_greedy_one() {
        let answers = found(2, 10);
        assert_eq!((answers[0].text.as_str(), answers[0].finish), ("b", Finish::EndOfSequence));
        assert!((answers[0].log_probability - 0.4f64.ln()).abs() < 1e-5);
        assert_eq!(answers.len(), 2);
        assert!(score(&answers[0]) > score(&answers[1]));
    }

    #[test]
    fn a_width_of_one_is_greedy_and_the_budget_cuts() {
        assert!(found(1, 10)[0].text.starts_with('a'));
        let cut = found(3, 1);
        assert!(cut.len() <= 3 && cut.iter().all(|one| one.finish == Finish::Budget), "{cut:?}");
    }
}
