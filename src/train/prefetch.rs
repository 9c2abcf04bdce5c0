//! The batches of the next step, made ready by a thread of their own while this one is computed. What they are is a
//! function of the step alone, so being early changes nothing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::group::Share;
use crate::data::batches::{Batches, collate};
use crate::data::examples::Examples;
use crate::error::{Problem, Result};
use crate::model::{Batch, Targets};

/// The batches of one optimiser step.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub step: u64,
    /// Examples of each batch of the step, whoever computes it.
    pub indices: Vec<Vec<usize>>,
    /// The batches of this process as tokens.
    pub batches: Vec<(Batch, Targets)>,
}

/// The batches of step `step`: examples keep their number within the step, whichever batch they are in and whoever
/// computes it.
pub(super) fn prepare(
    examples: &Examples,
    share_prefixes: bool,
    step: u64,
    indices: Vec<Vec<usize>>,
    share: Share,
) -> Prepared {
    let mut sequences = 0;
    let mut batches = Vec::new();
    for (index, indices) in indices.iter().enumerate() {
        if share.holds(index) {
            batches.push(collate(examples, indices, sequences, share_prefixes));
        }
        sequences += indices.len() as u64;
    }
    Prepared { step, indices, batches }
}

/// Prepared steps in their order.
#[derive(Debug)]
pub(super) struct Prefetch {
    ready: Receiver<Prepared>,
}

impl Prefetch {
    /// Starts preparing the steps `steps`. The thread ends with them, or when this is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        examples: &'scope Examples,
        batches: &'scope Batches,
        steps: std::ops::Range<u64>,
        share: Share,
    ) -> Self {
        let (sender, ready) = sync_channel(1);
        scope.spawn(move || run(&sender, examples, batches, steps, share));
        Self { ready }
    }

    /// The batches of this step.
    pub(super) fn take(&self, step: u64) -> Result<Prepared> {
        match self.ready.recv() {
            Ok(prepared) if prepared.step == step => Ok(prepared),
            _ => Err(Problem::failed(format!("the batches of step {} were not made", step + 1)).into()),
        }
    }
}

fn run(
    ready: &SyncSender<Prepared>,
    examples: &Examples,
    batches: &Batches,
    steps: std::ops::Range<u64>,
    share: Share,
) {
    let per_epoch = batches.steps_per_epoch().max(1) as u64;
    let mut epoch = batches.epoch(steps.start / per_epoch);
    for step in steps.clone() {
        if step != steps.start && step % per_epoch == 0 {
            epoch = batches.epoch(step / per_epoch);
        }
        let indices = epoch.step((step % per_epoch) as usize);
        let prepared = prepare(examples, batches.shares(), step, indices, share);
        if ready.send(prepared).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::toy::rows;
    use super::*;
    use crate::data::batches::Batching;

    #[test]
    fn steps_come_in_order_across_epochs_from_anywhere() {
        let examples = rows(11, 0);
        let batching =
            Batching { seed: 1, batch_size: 2, accumulation: 2, packing: None, share: true, group_by_length: false };
        let batches = Batches::new(&examples.lengths(), batching);
        for start in [0, 2, 3, 7] {
            std::thread::scope(|scope| {
                let prefetch = Prefetch::start(scope, &examples, &batches, start..9, Share { rank: 0, of: 1 });
                for step in start..8 {
                    let prepared = prefetch.take(step).unwrap();
                    assert_eq!(prepared.indices, batches.epoch(step / 3).step((step % 3) as usize));
                    let ids: Vec<u64> = prepared.batches.iter().flat_map(|(b, _)| b.sequence_ids.clone()).collect();
                    assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>());
                }
                assert!(prefetch.take(2).is_err(), "not the step that is next");
            });
        }
    }

    #[test]
    fn processes_share_a_step_and_agree_on_its_numbers() {
        let examples = rows(11, 0);
        let batching =
            Batching { seed: 1, batch_size: 2, accumulation: 1, packing: None, share: false, group_by_length: false };
        let batches = Batches::new(&examples.lengths(), batching.across(3));
        // The last step of the epoch holds 5 rows: three batches, the last one short.
        for step in [0, 1] {
            let indices = batches.epoch(0).step(step);
            let all = prepare(&examples, false, 0, indices.clone(), Share { rank: 0, of: 1 });
            let parts: Vec<Prepared> =
                (0..3).map(|rank| prepare(&examples, false, 0, indices.clone(), Share { rank, of: 3 })).collect();
            for (index, (batch, targets)) in all.batches.iter().enumerate() {
                let (ours, its) = &parts[index % 3].batches[index / 3];
                assert_eq!((&ours.input_ids, &ours.sequence_ids), (&batch.input_ids, &batch.sequence_ids));
                assert_eq!((&its.positions, &its.labels), (&targets.positions, &targets.labels));
            }
            assert!(parts.iter().all(|part| part.indices == indices), "errors name the rows of the whole step");
        }
    }
}
