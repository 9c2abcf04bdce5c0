//! Loss and token accuracy over the validation rows.

use super::group::{self, Group};
use super::observer::Observer;
use super::student::Student;
use crate::data::batches::collate;
use crate::data::examples::Examples;
use crate::error::Result;
use crate::model::LossSum;

/// The loss over all examples, `rows` at a time in the file's order (so that the sum is the same every time), shared out
/// to the processes of the group; none if `stop` said so before the end.
pub fn evaluate(
    student: &dyn Student,
    examples: &Examples,
    rows: usize,
    group: &dyn Group,
    observer: &mut dyn Observer,
    stop: &dyn Fn() -> Result<bool>,
) -> Result<Option<LossSum>> {
    let mut sum = LossSum::default();
    let indices: Vec<usize> = (0..examples.len()).collect();
    let rows = rows.max(1);
    for round in indices.chunks(rows * group.size()) {
        if stop()? {
            return Ok(None);
        }
        if let Some(chunk) = round.chunks(rows).nth(group.rank()) {
            let (batch, targets) = collate(examples, chunk, 0, true);
            sum.add(student.loss(&batch, &targets)?);
        }
        observer.evaluating(round[0] + round.len(), examples.len());
    }
    Ok(Some(group::sum_loss(group, sum, 0)?.0))
}

/// Share of targets that have the highest logit.
pub fn accuracy(sum: &LossSum) -> f64 {
    sum.correct as f64 / sum.targets as f64
}
