//! What to change where memory is short, the cheapest change first: first what leaves the updates as they are, then what
//! hardly changes them, last what changes what is learned.

use serde::Serialize;

use super::memory::{Memory, Sizes};
use crate::data::batches::Batches;
use crate::model::Checkpointing;
use crate::train::optim::Rule;
use crate::train::settings::Settings;

/// Rows shorter than this are not worth cutting.
const SHORT: usize = 256;

/// One change, on top of those before it.
#[derive(Debug, Clone, Serialize)]
pub struct Advice {
    /// Keys of `training.config` with their new values.
    pub set: String,
    /// What it costs.
    pub price: &'static str,
    /// Memory in all with this change and those before it, in MiB.
    pub total_mib: f64,
}

/// The ladder. Rungs that save nothing are left out.
pub(super) fn ladder(settings: &Settings, sizes: &Sizes, now: &Memory) -> Vec<Advice> {
    let mut climbed = settings.clone();
    let mut sizes = sizes.clone();
    let mut ladder: Vec<Advice> = Vec::new();
    let mut before = now.total;
    for rung in rungs(settings, sizes.lengths.iter().map(|length| length.tokens).max().unwrap_or(0)) {
        if let Some(length) = rung.max_seq_length {
            for cut in &mut sizes.lengths {
                cut.tokens = cut.tokens.min(length);
                cut.prefix = cut.prefix.min(cut.tokens);
            }
        }
        let after_change = Settings { ..(rung.change)(&climbed) };
        let batches = Batches::new(&sizes.lengths, after_change.batching());
        let total = Memory::estimate(&after_change, &sizes, batches.largest_batch()).total;
        if total < before - 0.05 {
            climbed = after_change;
            before = total;
            ladder.push(Advice { set: rung.set, price: rung.price, total_mib: total });
        }
    }
    ladder
}

struct Rung {
    set: String,
    price: &'static str,
    max_seq_length: Option<usize>,
    change: Box<dyn Fn(&Settings) -> Settings>,
}

fn rungs(settings: &Settings, longest: usize) -> Vec<Rung> {
    let mut rungs = Vec::new();
    let (rows, times) = (settings.batch_size, settings.gradient_accumulation_steps);
    for batch_size in [rows.div_ceil(2), 1] {
        let accumulation = (rows * times).div_ceil(batch_size);
        rungs.push(Rung {
            set: format!("batch_size={batch_size} gradient_accumulation_steps={accumulation}"),
            price: "the same updates, hardly slower",
            max_seq_length: None,
            change: Box::new(move |s| Settings { batch_size, gradient_accumulation_steps: accumulation, ..s.clone() }),
        });
    }
    for (how, price) in [
        (Checkpointing::Selective, "the same updates, two of seven products of every layer a second time"),
        (Checkpointing::On, "the same updates, every layer's forward a second time"),
    ] {
        if how > settings.gradient_checkpointing {
            rungs.push(Rung {
                set: format!("gradient_checkpointing={}", how.name()),
                price,
                max_seq_length: None,
                change: Box::new(move |s| Settings { gradient_checkpointing: how, ..s.clone() }),
            });
        }
    }
    if settings.optim == Rule::AdamW {
        rungs.push(Rung {
            set: "optim=adamw_bnb_8bit".into(),
            price: "moments rounded to 8 bit",
            max_seq_length: None,
            change: Box::new(|s| Settings { optim: Rule::AdamW8Bit, ..s.clone() }),
        });
    }
    if longest > SHORT {
        let length = longest / 2;
        rungs.push(Rung {
            set: format!("max_seq_length={length}"),
            price: "longer rows are cut: something else is learned",
            max_seq_length: Some(length),
            change: Box::new(move |s| Settings { max_seq_length: length, ..s.clone() }),
        });
    }
    rungs
}
