//! Hashes by which rows are compared and split.

use sha2::{Digest, Sha256};

use super::options::{Dedupe, Options};
use crate::data::shots::normalised;

/// What a row is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Keys {
    /// Rows with the same value are duplicates.
    pub dedupe: u128,
    /// Question and schema.
    pub asked: u128,
    /// The answer.
    pub answer: u128,
    /// Whether the row goes to the validation side.
    pub validation: bool,
}

impl Keys {
    pub(super) fn of(question: &str, schema: &str, answer: &str, options: &Options) -> Self {
        let plain = normalised(question);
        let asked = hash(&[plain.as_bytes(), schema.as_bytes()]);
        let dedupe = match options.dedupe {
            Some(Dedupe::Question) => hash(&[question.trim().as_bytes()]),
            _ => asked,
        };
        let draw = hash(&[&options.seed.to_le_bytes(), plain.as_bytes()]);
        // The upper 53 bits as a number from 0 to 1: every one of them fits an f64.
        let share = (draw >> 75) as f64 / (1u64 << 53) as f64;
        Self { dedupe, asked, answer: hash(&[answer.as_bytes()]), validation: share < options.val_split }
    }
}

/// The first half of a SHA-256 over parts that cannot run into each other.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut half = [0u8; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spelling_does_not_make_another_question() {
        let options = Options::default();
        let key = |question| Keys::of(question, "s", "a", &options).dedupe;
        assert_eq!(key("How many users?"), key(" how  many USERS ?"));
        assert_ne!(key("How many users?"), key("How many orders?"));
        let exact = Options { dedupe: Some(Dedupe::Question), ..options.clone() };
        let key = |question, schema| Keys::of(question, schema, "a", &exact).dedupe;
        assert_eq!(key("How many users?", "s"), key("How many users?", "t"));
        assert_ne!(key("How many users?", "s"), key("How many users", "s"));
    }

    #[test]
    fn the_share_is_about_what_was_asked() {
        let options = Options { val_split: 0.1, ..Options::default() };
        let held = (0..10_000).filter(|i| Keys::of(&format!("question {i}"), "", "", &options).validation).count();
        assert!((900..1100).contains(&held), "{held}");
        let none = Options { val_split: 0.0, ..Options::default() };
        assert!((0..1000).all(|i| !Keys::of(&format!("question {i}"), "", "", &none).validation));
    }

    proptest! {
        #[test]
        fn one_question_is_on_one_side(question in "[a-zA-Z ]{1,30}", one in "[a-z]{0,9}", two in "[a-z]{0,9}", seed: u64) {
            let options = Options { val_split: 0.5, seed, ..Options::default() };
            let side = |question: &str, schema| Keys::of(question, schema, "", &options).validation;
            prop_assert_eq!(side(&question, &one), side(&format!("  {} ?", question.to_uppercase()), &two));
        }
    }
}
