//! The processes that train one model together. Each computes its share of a step's batches; then sums of losses and
//! gradients are added up, so that all of them take the same step.
//!
//! The loop asks a [`Group`] and does not know how many it is: [`Alone`] is one process. Everything a step depends on
//! is either the same everywhere (settings, rows, order, random numbers: functions of the seed and of global numbers) or
//! comes from here. Only rank 0 writes, because only it holds the lock of the run's folder.

#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(feature = "nccl")]
pub mod nccl;

use std::fmt;

use super::student::Student;
use crate::adapter::Param;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::kernels::random::mix;
use crate::model::LossSum;

/// Numbers that are added up in one message. Price of larger ones: a copy of that size beside the gradients.
const PIECE: usize = 1 << 20;

/// Processes that do the same work on different rows.
pub trait Group: fmt::Debug {
    /// This process's number, from 0.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// Replaces the numbers by their sums over all processes: the same bits everywhere.
    fn sum(&self, numbers: &mut [f32]) -> Result<()>;
    /// As [`Group::sum`], in f64.
    fn sum_f64(&self, numbers: &mut [f64]) -> Result<()>;
    /// Replaces the bytes by those of rank 0; the lengths may differ.
    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<()>;
}

/// One process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn sum(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
    fn sum_f64(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }
    fn broadcast(&self, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// Which part of a step is this process's: batch `i` belongs to rank `i mod size`, so that a short last step is shared
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// This process.
    pub rank: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// The share of this process.
    pub fn of(group: &dyn Group) -> Self {
        Self { rank: group.rank(), of: group.size() }
    }

    /// Whether the batch with this index is ours.
    pub fn holds(self, index: usize) -> bool {
        index % self.of == self.rank
    }
}

/// Whether any process says yes.
pub fn any(group: &dyn Group, yes: bool) -> Result<bool> {
    let mut votes = [f64::from(u8::from(yes))];
    group.sum_f64(&mut votes)?;
    Ok(votes[0] > 0.0)
}

/// The loss and the tokens of all processes.
pub fn sum_loss(group: &dyn Group, loss: LossSum, tokens: usize) -> Result<(LossSum, usize)> {
    // Counts are whole numbers far below 2⁵³: exact.
    let mut sums = [loss.nll, loss.targets as f64, loss.correct as f64, tokens as f64];
    group.sum_f64(&mut sums)?;
    let [nll, targets, correct, tokens] = sums;
    Ok((LossSum { nll, targets: targets as usize, correct: correct as usize }, tokens as usize))
}

/// Adds up the gradients, which are those of the SUM of the loss: dividing by all targets afterwards weighs every target
/// the same, whichever process it was in.
pub fn sum_grads(group: &dyn Group, params: &mut [Param]) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    in_pieces(params, |param| &mut param.grad, |piece| group.sum(piece))
}

/// Gives every process the values of rank 0.
pub fn share_values(group: &dyn Group, student: &mut dyn Student) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    in_pieces(
        student.params_mut(),
        |param| &mut param.value,
        |piece| {
            let mut bytes: Vec<u8> = piece.iter().flat_map(|x| x.to_le_bytes()).collect();
            group.broadcast(&mut bytes)?;
            let (numbers, _) = bytes.as_chunks::<4>();
            piece.iter_mut().zip(numbers).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
            Ok(())
        },
    )?;
    student.updated()
}

/// Runs `f` over the tensors laid end to end, [`PIECE`] numbers at a time: few long messages instead of many short ones.
fn in_pieces(
    params: &mut [Param],
    part: impl Fn(&mut Param) -> &mut Vec<f32>,
    mut f: impl FnMut(&mut [f32]) -> Result<()>,
) -> Result<()> {
    let mut piece: Vec<f32> = Vec::new();
    // (tensor, where in it the numbers of the piece come from)
    let mut held: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for index in 0..params.len() {
        let (mut start, length) = (0, part(&mut params[index]).len());
        while start < length {
            let end = length.min(start + PIECE - piece.len());
            piece.extend_from_slice(&part(&mut params[index])[start..end]);
            held.push((index, start..end));
            start = end;
            if piece.len() == PIECE {
                flush(params, &part, &mut piece, &mut held, &mut f)?;
            }
        }
    }
    flush(params, &part, &mut piece, &mut held, &mut f)
}

fn flush(
    params: &mut [Param],
    part: impl Fn(&mut Param) -> &mut Vec<f32>,
    piece: &mut Vec<f32>,
    held: &mut Vec<(usize, std::ops::Range<usize>)>,
    f: &mut impl FnMut(&mut [f32]) -> Result<()>,
) -> Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    f(piece)?;
    let mut from = 0;
    for (index, range) in held.drain(..) {
        let length = range.len();
        part(&mut params[index])[range].copy_from_slice(&piece[from..from + length]);
        from += length;
    }
    piece.clear();
    Ok(())
}

/// Refuses to go on where a process holds something else than rank 0.
pub fn same(group: &dyn Group, what: &str, bytes: &[u8]) -> Result<()> {
    let mut first = fsx::sha256(bytes).into_bytes();
    let own = first.clone();
    group.broadcast(&mut first)?;
    if first == own {
        return Ok(());
    }
    Err(Problem::failed(format!("process {} of {} has other {what} than process 0", group.rank(), group.size()))
        .hint("every process needs the same program, base model, rows and command line")
        .into())
}

/// Refuses to go on where the values of a process are no longer those of rank 0, bit for bit.
pub fn same_values(group: &dyn Group, params: &[Param]) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let words = params.iter().flat_map(|param| &param.value).map(|x| u64::from(x.to_bits()));
    let digest = words.fold(0, |digest, word| mix(&[digest, word]));
    same(group, "trained values", &digest.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Three processes of which the two others hold the same numbers as this one, doubled and tripled.
    #[derive(Debug, Default)]
    struct Echo(RefCell<Vec<usize>>);

    impl Group for Echo {
        fn rank(&self) -> usize {
            0
        }
        fn size(&self) -> usize {
            3
        }
        fn sum(&self, numbers: &mut [f32]) -> Result<()> {
            self.0.borrow_mut().push(numbers.len());
            numbers.iter_mut().for_each(|x| *x *= 6.0);
            Ok(())
        }
        fn sum_f64(&self, numbers: &mut [f64]) -> Result<()> {
            numbers.iter_mut().for_each(|x| *x *= 6.0);
            Ok(())
        }
        fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<()> {
            bytes.reverse();
            Ok(())
        }
    }

    #[test]
    fn every_gradient_is_summed_once_in_few_messages() {
        let lengths = [5, 0, PIECE, 3, 2 * PIECE + 1, 7];
        let mut params: Vec<Param> = lengths
            .iter()
            .map(|&len| Param {
                name: "p".into(),
                shape: vec![len],
                value: Vec::new(),
                grad: (0..len).map(|i| (i % 1000) as f32).collect(),
                decays: true,
            })
            .collect();
        let group = Echo::default();
        sum_grads(&group, &mut params).unwrap();
        for (param, len) in params.iter().zip(lengths) {
            assert_eq!(param.grad.len(), len);
            assert!(param.grad.iter().enumerate().all(|(i, x)| *x == 6.0 * (i % 1000) as f32));
        }
        assert_eq!(*group.0.borrow(), [PIECE, PIECE, PIECE, 16], "whole pieces, then the rest");
    }

    #[test]
    fn what_differs_from_rank_0_is_refused() {
        same(&Alone, "rows", b"x").unwrap();
        let error = same(&Echo::default(), "rows", b"x").unwrap_err().to_string();
        assert!(error.contains("process 0 of 3 has other rows"), "{error}");
    }

    #[test]
    fn a_step_is_dealt_out_completely() {
        let mut seen: Vec<usize> =
            (0..3).flat_map(|rank| (0..8).filter(move |index| Share { rank, of: 3 }.holds(*index))).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
        assert!(any(&Alone, true).unwrap() && !any(&Alone, false).unwrap());
    }
}
