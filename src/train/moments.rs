//! The optimiser's state on disk: `optimizer.safetensors`.
//!
//! `exp_avg.<name>` and `exp_avg_sq.<name>` in f32 and the parameter's shape; in 8 bit their codes (U8, the same shape)
//! with `exp_avg_absmax.<name>` and `exp_avg_sq_absmax.<name>`, one scale a block. SGD has no moments: no tensors.

use std::path::Path;

use anyhow::Context as _;
use safetensors::{Dtype, SafeTensors};

use super::optim::{Blocks, Moments, Optimizer};
use crate::adapter::Param;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::tensor_file::{self, Entry, Numbers};

/// Writes the moments of these parameters.
pub(super) fn write(path: &Path, params: &[Param], optimizer: &Optimizer) -> Result<()> {
    let mut entries = Vec::new();
    for (param, moments) in params.iter().zip(&optimizer.moments) {
        let entry = |kind: &str, shape: &[usize], numbers| Entry {
            name: format!("{kind}.{}", param.name),
            shape: shape.to_vec(),
            numbers,
        };
        match moments {
            Moments::None => {}
            Moments::Exact { first, second } => {
                entries.push(entry("exp_avg", &param.shape, Numbers::F32(first)));
                entries.push(entry("exp_avg_sq", &param.shape, Numbers::F32(second)));
            }
            Moments::Blocks { first, second } => {
                for (kind, Blocks { codes, absmax }) in [("exp_avg", first), ("exp_avg_sq", second)] {
                    entries.push(entry(kind, &param.shape, Numbers::U8(codes)));
                    entries.push(entry(&format!("{kind}_absmax"), &[absmax.len()], Numbers::F32(absmax)));
                }
            }
        }
    }
    let mut file = fsx::AtomicFile::create(path)?;
    tensor_file::write(&mut file, entries, None).with_context(|| format!("cannot write {}", path.display()))?;
    file.commit()
}

/// Puts the moments of a file into the optimiser, which stands at `step` then.
pub fn read(path: &Path, params: &[Param], optimizer: &mut Optimizer, step: u64) -> Result<()> {
    let bytes = fsx::read(path)?;
    let bad = |what: String| Problem::input(format!("{}: {what}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    let get = |kind: &str, name: &str, dtype: Dtype, length: usize| -> Result<&[u8]> {
        let tensor = tensors.tensor(&format!("{kind}.{name}")).map_err(|error| bad(error.to_string()))?;
        if tensor.dtype() != dtype || tensor.shape().iter().product::<usize>() != length {
            return Err(bad(format!("{kind}.{name} has another shape or type")).into());
        }
        Ok(tensor.data())
    };
    let floats = |kind: &str, name: &str, into: &mut [f32]| -> Result<()> {
        let (numbers, _) = get(kind, name, Dtype::F32, into.len())?.as_chunks::<4>();
        into.iter_mut().zip(numbers).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
        Ok(())
    };
    optimizer.steps = step;
    for (param, moments) in params.iter().zip(&mut optimizer.moments) {
        match moments {
            Moments::None => {}
            Moments::Exact { first, second } => {
                floats("exp_avg", &param.name, first)?;
                floats("exp_avg_sq", &param.name, second)?;
            }
            Moments::Blocks { first, second } => {
                for (kind, Blocks { codes, absmax }) in [("exp_avg", first), ("exp_avg_sq", second)] {
                    let stored = get(kind, &param.name, Dtype::U8, codes.len())?;
                    codes.copy_from_slice(stored);
                    floats(&format!("{kind}_absmax"), &param.name, absmax)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::optim::{Hyper, Rule};
    use super::*;

    #[test]
    fn every_rule_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let param = |name: &str, shape: &[usize]| {
            let len = shape.iter().product::<usize>();
            let grad = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
            Param { name: name.into(), shape: shape.to_vec(), value: vec![0.5; len], grad, decays: true }
        };
        for rule in [Rule::AdamW, Rule::AdamW8Bit, Rule::Sgd] {
            let mut params = vec![param("a", &[90, 70]), param("b", &[5])];
            let hyper = Hyper { rule, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
            let mut optimizer = Optimizer::new(hyper, &params);
            optimizer.step(&mut params, 1e-3);
            let path = dir.path().join("optimizer.safetensors");
            write(&path, &params, &optimizer).unwrap();
            let mut again = Optimizer::new(hyper, &params);
            read(&path, &params, &mut again, 1).unwrap();
            assert_eq!((again.steps, &again.moments), (1, &optimizer.moments), "{rule:?}");
            if rule != Rule::Sgd {
                let other = Rule::AdamW8Bit;
                let other = if rule == other { Rule::AdamW } else { other };
                let mut wrong = Optimizer::new(Hyper { rule: other, ..hyper }, &params);
                assert!(read(&path, &params, &mut wrong, 1).is_err(), "{rule:?} is not {other:?}");
            }
        }
    }
}
