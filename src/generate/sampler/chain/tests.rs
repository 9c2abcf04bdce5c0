//! The chain against candle's sampler where the definitions agree, and against the definitions themselves.

use super::*;
use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use proptest::prelude::*;

fn ids(distribution: &Distribution) -> Vec<u32> {
    distribution.candidates().iter().map(|c| c.id).collect()
}

fn apply(chain: Chain, logits: &[f32]) -> Distribution {
    chain.apply(logits, logits.len(), &History::default()).unwrap()
}

/// transformers' definitions, written the slow way: sort ascending, cumulate, mask.
fn reference(chain: &Chain, logits: &[f32]) -> Vec<(u32, f64)> {
    let mut kept: Vec<(u32, f64)> =
        logits.iter().zip(0..).map(|(l, id)| (id, f64::from(l / chain.temperature))).collect();
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if chain.top_k > 0 {
        kept.truncate(chain.top_k);
    }
    let normalise = |kept: &mut Vec<(u32, f64)>| {
        let total: f64 = kept.iter().map(|k| k.1).sum();
        kept.iter_mut().for_each(|k| k.1 /= total);
    };
    kept.iter_mut().for_each(|k| k.1 = k.1.exp());
    normalise(&mut kept);
    // TopPLogitsWarper: ascending cumulative sums up to 1 − top_p go, one token always stays.
    let mut cumulative = 0.0;
    let mut gone = 0;
    for (_, p) in kept.iter().rev() {
        cumulative += p;
        if cumulative > 1.0 - f64::from(chain.top_p) + 1e-12 {
            break;
        }
        gone += 1;
    }
    kept.truncate((kept.len() - gone).max(1));
    normalise(&mut kept);
    let highest = kept[0].1;
    kept.retain(|k| k.1 >= f64::from(chain.min_p) * highest);
    normalise(&mut kept);
    kept
}

#[test]
fn each_filter_keeps_what_its_definition_says() {
    // Probabilities .5 .25 .125 .0625 .0625
    let logits: Vec<f32> = [8.0f32, 4.0, 2.0, 1.0, 1.0].iter().map(|w| w.ln()).collect();
    let one = Chain { temperature: 1.0, ..Chain::default() };
    assert_eq!(ids(&apply(one, &logits)), [0, 1, 2, 3, 4]);
    assert_eq!(ids(&apply(Chain { top_k: 2, ..one }, &logits)), [0, 1]);
    assert_eq!(ids(&apply(Chain { top_p: 0.49, ..one }, &logits)), [0]);
    assert_eq!(ids(&apply(Chain { top_p: 0.6, ..one }, &logits)), [0, 1]);
    assert_eq!(ids(&apply(Chain { top_p: 0.76, ..one }, &logits)), [0, 1, 2]);
    assert_eq!(ids(&apply(Chain { top_p: 0.0, ..one }, &logits)), [0]);
    assert_eq!(ids(&apply(Chain { min_p: 0.24, ..one }, &logits)), [0, 1, 2]);
    assert_eq!(ids(&apply(Chain { min_p: 1.0, ..one }, &logits)), [0]);
    assert_eq!(ids(&apply(Chain::default(), &logits)), [0]);
    // Ties: the lower id.
    assert_eq!(ids(&apply(Chain::default(), &[1.0, 2.0, 2.0])), [1]);
}

#[test]
fn the_order_is_temperature_then_top_k_then_top_p_then_min_p() {
    let logits: Vec<f32> = [8.0f32, 4.0, 2.0, 1.0, 1.0].iter().map(|w| w.ln()).collect();
    // Top-p sees what top-k left: .5/.75 = .67 < .7, so two stay; before top-k .5+.25 ≥ .7 would keep two as well, but
    // with .66 top-k first keeps one.
    assert_eq!(ids(&apply(Chain { temperature: 1.0, top_k: 2, top_p: 0.66, ..Chain::default() }, &logits)), [0]);
    assert_eq!(ids(&apply(Chain { temperature: 1.0, top_p: 0.66, ..Chain::default() }, &logits)), [0, 1]);
    // Temperature comes before min-p: flat logits survive a min-p that sharp ones do not.
    assert_eq!(ids(&apply(Chain { temperature: 10.0, min_p: 0.6, ..Chain::default() }, &logits)).len(), 5);
}

#[test]
fn penalties_are_those_of_transformers_and_candle() {
    let logits = [2.0f32, -1.0, 0.5, 3.0, -4.0, 0.0];
    let context = [0u32, 1, 3, 3, 5, 99];
    let chain = Chain { repetition_penalty: 1.3, ..Chain::default() };
    let tensor = Tensor::new(&logits, &Device::Cpu).unwrap();
    let expected = candle_transformers::utils::apply_repeat_penalty(&tensor, 1.3, &context[..5]).unwrap();
    let found: Vec<f32> = chain.penalised(&logits, &History::new(&context)).unwrap().iter().map(|c| c.logit).collect();
    assert_eq!(found, expected.to_vec1::<f32>().unwrap());

    let mut history = History::new(&[0]);
    [1, 1, 2].into_iter().for_each(|id| history.push(id));
    let chain = Chain { presence_penalty: 0.5, frequency_penalty: 0.25, ..Chain::default() };
    let found: Vec<f32> = chain.penalised(&logits, &history).unwrap().iter().map(|c| c.logit).collect();
    assert_eq!(found, [2.0, -2.0, -0.25, 3.0, -4.0, 0.0], "the prompt does not count");
}

#[test]
fn frequencies_agree_with_candles_logits_processor() {
    let logits = [1.0f32, 3.0, 2.0, -1.0, 2.5, 0.3, 2.9, -3.0];
    let tensor = Tensor::new(&logits, &Device::Cpu).unwrap();
    let one = Chain { temperature: 0.8, ..Chain::default() };
    for (sampling, chain) in [
        (Sampling::All { temperature: 0.8 }, one),
        (Sampling::TopK { k: 3, temperature: 0.8 }, Chain { top_k: 3, ..one }),
        (Sampling::TopP { p: 0.7, temperature: 0.8 }, Chain { top_p: 0.7, ..one }),
        (Sampling::ArgMax, Chain::default()),
    ] {
        let mut processor = LogitsProcessor::from_sampling(5, sampling.clone());
        let mut theirs = [0.0; 8];
        const DRAWS: usize = 30_000;
        for _ in 0..DRAWS {
            theirs[processor.sample(&tensor).unwrap() as usize] += 1.0 / DRAWS as f64;
        }
        let mut ours = [0.0; 8];
        for c in apply(chain, &logits).candidates() {
            ours[c.id as usize] = c.probability;
        }
        for (id, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
            assert!((theirs - ours).abs() < 0.012, "{sampling:?} id {id}: {theirs} {ours}");
            assert_eq!(*theirs == 0.0, ours < 1e-4, "{sampling:?} id {id}");
        }
    }
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY] {
        assert!(Chain::default().apply(&[1.0, bad], 2, &History::default()).is_err());
    }
    assert!(Chain::default().apply(&[f32::NEG_INFINITY; 2], 2, &History::default()).is_err());
    let only = Chain { temperature: 1.0, ..Chain::default() };
    assert_eq!(ids(&apply(only, &[f32::NEG_INFINITY, 1.0])), [1]);
}

proptest! {
    #[test]
    fn the_chain_equals_its_definition(
        logits in prop::collection::vec(-8.0f32..8.0, 1..2000),
        temperature in 0.2f32..3.0,
        top_k in 0usize..30,
        top_p in 0.05f32..1.0,
        min_p in 0.0f32..0.5,
    ) {
        let chain = Chain { temperature, top_k, top_p, min_p, ..Chain::default() };
        let found = apply(chain, &logits);
        let expected = reference(&chain, &logits);
        // A token exactly on a border may fall on either side by rounding.
        prop_assert!(found.candidates().len().abs_diff(expected.len()) <= 1);
        if found.candidates().len() == expected.len() {
            for (found, expected) in found.candidates().iter().zip(&expected) {
                prop_assert!((found.probability - expected.1).abs() < 1e-4);
            }
        }
        let total: f64 = found.candidates().iter().map(|c| c.probability).sum();
        prop_assert!((total - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_pick_is_always_a_survivor(logits in prop::collection::vec(-8.0f32..8.0, 1..40), u in 0.0f64..1.0) {
        let distribution = apply(Chain { temperature: 1.0, ..Chain::default() }, &logits);
        prop_assert!((distribution.pick(u).id as usize) < logits.len());
        prop_assert!(distribution.pick(1.0 - f64::EPSILON).probability > 0.0);
    }
}
