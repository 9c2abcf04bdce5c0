//! Loss and token accuracy over the validation rows.

use super::observer::Observer;
use super::student::Student;
use crate::data::batches::collate;
use crate::data::examples::Examples;
use crate::error::Result;
use crate::model::LossSum;

/// The loss over all examples, `rows` at a time in the file's order (so that the sum is the same every time); none if
/// `stop` said so before the end.
pub fn evaluate(
    student: &dyn Student,
    examples: &Examples,
    rows: usize,
    observer: &mut dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Option<LossSum>> {
    let mut sum = LossSum::default();
    let indices: Vec<usize> = (0..examples.len()).collect();
    for chunk in indices.chunks(rows.max(1)) {
        if stop() {
            return Ok(None);
        }
        let (batch, targets) = collate(examples, chunk, 0, true);
        sum.add(student.loss(&batch, &targets)?);
        observer.evaluating(chunk[0] + chunk.len(), examples.len());
    }
    Ok(Some(sum))
}

/// Share of targets that have the highest logit.
pub fn accuracy(sum: &LossSum) -> f64 {
    sum.correct as f64 / sum.targets as f64
}
