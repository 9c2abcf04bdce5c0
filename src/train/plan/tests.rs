//! The estimate against arithmetic by hand, and the ladder.

use super::*;
use crate::data::batches::Length;
use crate::error::{Exit, classify};
use crate::model::{Checkpointing, Config};
use crate::train::optim::Rule;
use crate::train::settings::AdapterType;

fn sizes() -> Sizes {
    let config = serde_json::json!({
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 512, "hidden_size": 64,
        "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 512,
        "tie_word_embeddings": true, "hidden_act": "silu", "attention_bias": false,
    });
    Sizes {
        config: Config::from_value(&config).unwrap(),
        lengths: [1000, 500, 800, 300, 100].map(Length::from).to_vec(),
        target_share: 0.1,
        parameters: vec![100_000, 1000],
        weight_bytes: 1 << 20,
        vocabulary: 512,
    }
}

fn plan(settings: &Settings) -> Plan {
    let sizes = sizes();
    let batches = Batches::new(&sizes.lengths, settings.batching());
    let rows = Counts { tokens: 2700, longest: 1000, ..Counts::default() };
    Plan::new(settings, &batches, rows, &sizes)
}

fn settings() -> Settings {
    Settings { batch_size: 2, gradient_accumulation_steps: 2, epochs: 2.0, dropout: 0.0, ..Settings::default() }
}

#[test]
fn steps_tokens_and_memory_follow_from_the_settings() {
    let found = plan(&settings());
    assert_eq!((found.steps_per_epoch, found.total_steps, found.total_tokens, found.largest_batch), (2, 4, 5400, 1800));
    // A layer by hand: hidden 64, queries 128, keys 64, MLP 160, 4 + 2 heads. Inputs and outputs of two norms; queries and
    // keys before their norms and rotated; values, output; log-sum-exp, 1/rms; three widths of the MLP; rank 12 and U of
    // DoRA's six modules.
    let layer =
        4 * 64 + 2 * (128 + 64) + 64 + 128 + 4 + (2 + 4 + 2) + 3 * 160 + 6 * 12 + (128 + 64 + 64 + 64 + 160 + 64);
    let by_hand = |floats: i32| f64::from(floats) * 1800.0 * 4.0 / 1048576.0;
    assert!((found.memory.activations - by_hand(3 * layer)).abs() < 0.06, "{:?}", found.memory);
    // Selective lets go of two norms' outputs, rotated queries and keys, the MLP and what up_proj saved: but for one layer.
    let gone = 2 * 64 + (128 + 64) + 3 * 160 + 12 + 160;
    let with = |how| Settings { gradient_checkpointing: how, ..settings() };
    let selective = plan(&with(Checkpointing::Selective)).memory;
    assert!((selective.activations - by_hand(3 * layer - 2 * gone)).abs() < 0.06, "{selective:?}");
    let on = plan(&with(Checkpointing::On)).memory;
    assert!((on.activations - by_hand(3 * 64 + layer)).abs() < 0.06, "{on:?}");
    assert!((found.memory.trained - 101_000.0 * 16.0 / 1048576.0).abs() < 0.06);
    let full = plan(&Settings { adapter_type: AdapterType::Full, optim: Rule::AdamW8Bit, ..settings() }).memory;
    let expected = 101_000.0 * 12.0 + 2.0 * (100_000.0 + 4.0 * 391.0) + 8.0 * 1000.0;
    assert!((full.trained - expected / 1048576.0).abs() < 0.06, "{full:?}");
    assert_eq!(full.weights, 0.0);
}

#[test]
fn the_ladder_begins_with_what_changes_nothing() {
    let found = plan(&Settings { batch_size: 4, ..settings() });
    let sets: Vec<&str> = found.advice.iter().map(|rung| rung.set.as_str()).collect();
    assert_eq!(
        sets,
        [
            "batch_size=2 gradient_accumulation_steps=4",
            "batch_size=1 gradient_accumulation_steps=8",
            "gradient_checkpointing=selective",
            "gradient_checkpointing=on",
            "optim=adamw_bnb_8bit",
            "max_seq_length=500",
        ]
    );
    let totals: Vec<f64> = found.advice.iter().map(|rung| rung.total_mib).collect();
    assert!(found.memory.total > totals[0] && totals.is_sorted_by(|a, b| a > b), "{totals:?}");
    let last = plan(&Settings {
        batch_size: 1,
        gradient_checkpointing: Checkpointing::On,
        optim: Rule::AdamW8Bit,
        ..settings()
    });
    assert_eq!(last.advice.iter().map(|rung| rung.set.as_str()).collect::<Vec<_>>(), ["max_seq_length=500"]);
}

#[test]
fn what_cannot_fit_is_refused_with_the_cheapest_change_that_helps() {
    let found = plan(&settings());
    found.must_fit(found.memory.needed()).unwrap();
    let weights = found.memory.weights;
    let second = found.advice[1].total_mib - weights;
    let error = found.must_fit(second).unwrap_err();
    let (exit, hint) = classify(&error);
    assert_eq!(exit, Exit::Resource);
    let (text, hint) = (error.to_string(), hint.unwrap());
    assert!(
        hint.contains("--set training.config.batch_size=1 --set training.config.gradient_accumulation_steps=4"),
        "{hint}"
    );
    assert!(text.contains(&found.advice[1].set) && !text.contains(&found.advice[2].set), "{text}");
    let nothing = found.must_fit(1.0).unwrap_err();
    assert!(classify(&nothing).1.unwrap().contains("smaller base model"));
}
