//! What hurried people do to a question: lower case, no punctuation, a slip of the finger. Values keep their letters.

use super::draw::Draws;
use super::speak::{lower, outside};

/// Share of the training questions in lower case without an end mark.
const LOWER: f64 = 0.12;

/// Share with one slip.
const SLIPS: f64 = 0.08;

/// Shortest word that a slip may change: shorter ones turn into other words.
const SHORTEST_SLIP: usize = 5;

/// The question as it may be typed, and what was done to it. `names` are words that must stay readable.
pub(super) fn typed(text: &str, names: &[String], draws: &mut Draws) -> (String, &'static str) {
    if draws.chance(LOWER) {
        let text = lower(text);
        return (text.trim_end_matches(['?', '.']).to_owned(), "lower");
    }
    if draws.chance(SLIPS) {
        return (slip(text, names, draws), "typo");
    }
    (text.to_owned(), "none")
}

/// Two letters change places or one is lost, in one word that is no name.
fn slip(text: &str, names: &[String], draws: &mut Draws) -> String {
    let may_change = |word: &str| {
        word.chars().count() >= SHORTEST_SLIP
            && word.chars().all(char::is_alphabetic)
            && !names
                .iter()
                .any(|name| name.split(' ').any(|own| word.to_lowercase().starts_with(own) && own.len() >= 3))
    };
    let mut count = 0;
    outside(text, |words| {
        count += words.split(' ').filter(|word| may_change(word)).count();
        words.to_owned()
    });
    if count == 0 {
        return text.to_owned();
    }
    let mut chosen = draws.below(count) as i64;
    let drop = draws.chance(0.4);
    let place = draws.below(1000);
    outside(text, |words| {
        let words = words.split(' ').map(|word| {
            if !may_change(word) {
                return word.to_owned();
            }
            chosen -= 1;
            if chosen != -1 {
                return word.to_owned();
            }
            let mut letters: Vec<char> = word.chars().collect();
            let at = 1 + place % (letters.len() - 2);
            if drop {
                letters.remove(at);
            } else {
                letters.swap(at, at + 1);
            }
            letters.into_iter().collect()
        });
        words.collect::<Vec<_>>().join(" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::speak::plain;

    #[test]
    fn values_and_names_keep_their_letters() {
        let text = "Which customers live in \u{e000}Santos Dumont\u{e001}, please?";
        for seed in 0..200 {
            let (typed, what) = typed(text, &["customer".to_owned()], &mut Draws::new(&[seed]));
            let shown = plain(&typed);
            assert!(shown.contains("Santos Dumont"), "{shown}");
            assert!(shown.contains("customers"), "{shown}");
            match what {
                "none" => assert_eq!(typed, text),
                "lower" => assert!(shown.starts_with("which") && !shown.ends_with('?')),
                _ => assert_ne!(shown, plain(text)),
            }
        }
    }
}
