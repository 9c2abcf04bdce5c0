//! Beam search: the most probable answers that a search of this width finds, under the same constraint as sampling.
//!
//! Penalties and temperature do not count here: beams are ranked by the model's own score, the mean log-probability of
//! an answer's tokens (Wu et al. 2016, length normalisation with α = 1).

use super::decode::{Completion, Draw, Finish, NextLogits, Observer, Prompted, Rules, Running, forward_last};
use super::sampler::{Allowed, Pick};
use super::text::Vocabulary;
use crate::error::Result;

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
        let mut options: Vec<(usize, Pick, f64)> = Vec::new();
        for (at, beam) in live.iter_mut().enumerate() {
            let so_far = beam.running.log_probability();
            let picks = best(&mut beam.running, &beam.logits, 2 * width, vocabulary.size(), rules, most);
            options.extend(picks.into_iter().map(|pick| (at, pick, so_far + pick.log_probability)));
        }
        if options.is_empty() {
            // Nowhere to go: no room is left for an answer.
            done.extend(live.drain(..).map(|beam| beam.running.close(Finish::Budget, vocabulary)));
            break;
        }
        options.sort_by(|a, b| b.2.total_cmp(&a.2));
        let mut chosen: Vec<(usize, Running)> = Vec::new();
        for (rank, (at, pick, _)) in options.into_iter().enumerate() {
            if chosen.len() == width {
                break;
            }
            let mut running = live[at].running.clone();
            match running.accept(pick, vocabulary, rules, most, &mut observer)? {
                None => chosen.push((at, running)),
                // An end that is not among the best now is not worth a place among the answers.
                Some(finish) if rank < width => done.push(running.close(finish, vocabulary)),
                Some(_) => {}
            }
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

/// The `count` most probable tokens that may come next.
fn best(
    running: &mut Running,
    logits: &[f32],
    count: usize,
    limit: usize,
    rules: &Rules,
    max_positions: usize,
) -> Vec<Pick> {
    let logits = &logits[..limit.min(logits.len())];
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum::<f64>().ln();
    let pick = |id: usize, redrawn| {
        let log_probability = f64::from(logits[id] - highest) - total;
        Pick { id: id as u32, log_probability, redrawn, allowed_mass: None }
    };
    let mut order: Vec<usize> = (0..logits.len()).filter(|&id| logits[id].is_finite()).collect();
    let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    let look = FIRST_LOOK.max(count).min(order.len());
    if look < order.len() {
        order.select_nth_unstable_by(look, by_logit);
    }
    order[..look].sort_unstable_by(by_logit);
    let constraint = match running.constraint(rules, max_positions) {
        Err(_) => return Vec::new(),
        Ok(None) => return order.iter().take(count).map(|&id| pick(id, false)).collect(),
        Ok(Some(constraint)) => constraint,
    };
    let mut picks = Vec::with_capacity(count);
    for (rank, &id) in order[..look].iter().enumerate() {
        if picks.len() == count {
            return picks;
        }
        if constraint.allows(id as u32) {
            picks.push(pick(id, picks.len() < rank));
        }
    }
    if picks.len() < count && look < order.len() {
        order[look..].sort_unstable_by(by_logit);
        constraint.prepare();
        let rest =
            order[look..].iter().filter(|id| constraint.may_allow(**id as u32) && constraint.allows(**id as u32));
        picks.extend(rest.take(count - picks.len()).map(|&id| pick(id, true)));
    }
    picks
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
