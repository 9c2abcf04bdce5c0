//! The loop on a scripted model: batches, ends, budgets, interruptions.

use super::super::text::toy::Bytes;
use super::*;

/// Writes a fixed answer byte by byte: which one, the first id of the prompt says. After it comes id 256.
pub struct Scripted {
    pub answers: Vec<Vec<u32>>,
    pub vocab: usize,
    pub max_positions: usize,
}

impl Scripted {
    pub fn new(answers: &[&str]) -> Self {
        let ends = |a: &&str| Bytes::ids(a).into_iter().chain([256]).collect();
        Self { answers: answers.iter().map(ends).collect(), vocab: 300, max_positions: 1000 }
    }
}

impl NextLogits for Scripted {
    type Cache = Vec<u32>;

    fn new_cache(&self) -> Vec<u32> {
        Vec::new()
    }

    fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn forward(&self, inputs: &[&[u32]], caches: &mut [Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        assert_eq!(inputs.len(), caches.len());
        let step = |(input, cache): (&&[u32], &mut Vec<u32>)| {
            cache.extend_from_slice(input);
            assert!(cache.len() <= self.max_positions);
            // The prompt is [which, n, … ] with n ids in all.
            let at = cache.len() - cache[1] as usize;
            let mut logits = vec![0.0; self.vocab];
            logits[self.answers[cache[0] as usize][at] as usize] = 20.0;
            logits[self.vocab - 1] = 30.0; // a row without text
            logits
        };
        Ok(inputs.iter().zip(caches).map(step).collect())
    }
}

fn start(which: u32) -> Start {
    Start { ids: vec![which, 3, 7], shared: 0, thinking: false, constraint: None }
}

fn rules(stops: &[&str]) -> Rules {
    Rules {
        chain: Chain::default(),
        seed: 0,
        max_tokens: 100,
        end_ids: vec![256],
        stop: StopRules { sequences: stops.iter().map(|s| (*s).to_owned()).collect(), turn_markers: Vec::new() },
        quoting: Quoting::GENERIC,
        keep_first_logits: false,
        order: Order::default(),
        least_mass: 0.0,
    }
}

fn run(model: &Scripted, starts: &[Start], rules: &Rules) -> Vec<Completion> {
    decode(model, &Bytes::with_words(&[]), starts, rules, &mut Unobserved).unwrap()
}

#[test]
fn sequences_end_apart_and_come_back_in_order() {
    let model = Scripted::new(&["SELECT 'a;b' FROM t; more", "SELECT 1", "<think>é;\n</think>SELECT 22; x"]);
    let all = run(&model, &[start(0), start(1), start(2), start(1)], &rules(&[";"]));
    let seen: Vec<(&str, &str)> = all.iter().map(|c| (c.text.as_str(), c.finish.name())).collect();
    assert_eq!(
        seen,
        [
            ("SELECT 'a;b' FROM t", "stop_sequence"),
            ("SELECT 1", "stop"),
            ("SELECT 22", "stop_sequence"),
            ("SELECT 1", "stop")
        ]
    );
    assert_eq!(all[2].reasoning, "é;");
    assert_eq!(all[1].ids.last(), Some(&256));
    for (index, alone) in [0, 1, 2].into_iter().map(|i| (i as usize, run(&model, &[start(i)], &rules(&[";"])))) {
        assert_eq!(alone[0].ids, all[index].ids, "an answer does not depend on its batch");
    }
}

#[test]
fn budget_and_context_cut_and_say_so() {
    let mut model = Scripted::new(&["SELECT 1234567890"]);
    let cut = run(&model, &[start(0)], &Rules { max_tokens: 8, ..rules(&[]) });
    assert_eq!((cut[0].text.as_str(), cut[0].finish), ("SELECT 1", Finish::Budget));
    assert!(!cut[0].finish.is_complete());
    model.max_positions = 3 + 10;
    let full = run(&model, &[start(0)], &rules(&[]));
    assert_eq!((full[0].text.as_str(), full[0].finish), ("SELECT 123", Finish::Context));
    let error = decode(
        &model,
        &Bytes::with_words(&[]),
        &[Start { ids: vec![0; 13], shared: 0, thinking: false, constraint: None }],
        &rules(&[]),
        &mut Unobserved,
    );
    let message = error.unwrap_err().to_string();
    assert!(message.contains("13 tokens") && message.contains("holds 13"), "{message}");
}

#[test]
fn a_half_character_at_the_end_is_not_lost() {
    let model = Scripted { answers: vec![vec![0x61, 0xc3, 256]], ..Scripted::new(&[]) };
    assert_eq!(run(&model, &[start(0)], &rules(&[]))[0].text, "a\u{fffd}");
}

#[test]
fn an_interruption_keeps_what_there_is() {
    struct After(usize);
    impl Observer for After {
        fn token(&mut self, _: usize, _: &str) {
            self.0 -= 1;
        }
        fn interrupted(&mut self) -> bool {
            self.0 == 0
        }
    }
    let model = Scripted::new(&["SELECT 1"]);
    let cut = decode(&model, &Bytes::with_words(&[]), &[start(0)], &rules(&[]), &mut After(6)).unwrap();
    assert_eq!((cut[0].text.as_str(), cut[0].finish), ("SELECT", Finish::Interrupted));
}

#[test]
fn first_logits_are_those_behind_the_prompt() {
    let model = Scripted::new(&["ab"]);
    let kept = run(&model, &[start(0)], &Rules { keep_first_logits: true, ..rules(&[]) });
    let logits = kept[0].first_logits.as_ref().unwrap();
    assert_eq!(logits[b'a' as usize], 20.0);
    assert_eq!(logits.len(), 300, "rows without text are shown, not drawn");
    assert!(run(&model, &[start(0)], &rules(&[]))[0].first_logits.is_none());
}

#[test]
fn equal_prompts_are_computed_once() {
    struct Counting(Scripted, std::cell::Cell<usize>);
    impl NextLogits for Counting {
        type Cache = Vec<u32>;
        fn new_cache(&self) -> Vec<u32> {
            self.0.new_cache()
        }
        fn max_positions(&self) -> usize {
            self.0.max_positions
        }
        fn forward(&self, inputs: &[&[u32]], caches: &mut [Vec<u32>]) -> Result<Vec<Vec<f32>>> {
            self.1.set(self.1.get() + inputs.iter().map(|input| input.len()).sum::<usize>());
            self.0.forward(inputs, caches)
        }
    }
    let model = Counting(Scripted::new(&["ab", "cd"]), std::cell::Cell::new(0));
    let vocabulary = Bytes::with_words(&[]);
    let all = decode(&model, &vocabulary, &[start(0), start(1), start(0)], &rules(&[]), &mut Unobserved).unwrap();
    assert_eq!(all.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["ab", "cd", "ab"]);
    // Two prompts of three ids, and two more ids for each of three answers (the end is drawn, not computed).
    assert_eq!(model.1.take(), 2 * 3 + 3 * 2);
    let prompt = prompted(&model, start(1)).unwrap();
    let draws = [Draw { chain: Chain::default(), seed: 0 }; 4];
    let four = samples(&model, &vocabulary, &prompt, &draws, &rules(&[]), &mut Unobserved).unwrap();
    assert!(four.len() == 4 && four.iter().all(|one| one.text == "cd"));
    assert_eq!(model.1.get(), 3 + 4 * 2);
}
