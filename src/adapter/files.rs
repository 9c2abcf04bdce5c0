//! An adapter's folder: `adapter_model.safetensors` and `adapter_config.json`, byte for byte as PEFT writes them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::{AdapterConfig, Param, param};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::model::Site;

const MODEL: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// How many defects of a tensor file are listed.
const LISTED: usize = 8;

pub(super) fn a_key(site: Site) -> String {
    format!("base_model.model.{site}.lora_A.weight")
}

pub(super) fn b_key(site: Site) -> String {
    format!("base_model.model.{site}.lora_B.weight")
}

pub(super) fn m_key(site: Site) -> String {
    format!("base_model.model.{site}.lora_magnitude_vector")
}

pub(super) fn read_config(dir: &Path) -> Result<AdapterConfig> {
    let path = dir.join(CONFIG);
    let value: Value = serde_json::from_str(&fsx::read_text(&path)?)
        .map_err(|error| Problem::input(format!("{} is not JSON", path.display())).detail(error.to_string()))?;
    AdapterConfig::from_value(&value)
        .map_err(|problem| Problem { message: format!("{}: {}", path.display(), problem.message), ..problem }.into())
}

/// Reads exactly the expected tensors; missing, extra, wrongly shaped, non-float and non-finite ones are all named.
pub(super) fn read_tensors(dir: &Path, expected: &[(String, Vec<usize>)]) -> Result<Vec<Param>> {
    read_tensors_of(&dir.join(MODEL), expected)
}

/// [`read_tensors`] of any safetensors file; in the order of the names.
pub(super) fn read_tensors_of(path: &Path, expected: &[(String, Vec<usize>)]) -> Result<Vec<Param>> {
    let bytes = fsx::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| {
        Problem::input(format!("{} is not a sound safetensors file", path.display())).detail(error.to_string())
    })?;
    let expected: BTreeMap<&str, &[usize]> = expected.iter().map(|(k, s)| (k.as_str(), s.as_slice())).collect();
    let mut defects = Vec::new();
    let mut names: Vec<&str> = file.names();
    names.sort_unstable();
    defects.extend(names.iter().filter(|n| !expected.contains_key(**n)).map(|n| format!("extra tensor {n}")));
    let mut params = Vec::with_capacity(expected.len());
    for (name, shape) in expected {
        match file.tensor(name) {
            Err(_) => defects.push(format!("missing tensor {name}")),
            Ok(view) if view.shape() != shape => {
                defects
                    .push(format!("{name} has shape {:?}, the configuration and the base say {shape:?}", view.shape()));
            }
            Ok(view) => match floats(&view) {
                None => defects.push(format!("{name} has dtype {:?}", view.dtype())),
                Some(values) if values.iter().any(|v| !v.is_finite()) => {
                    defects.push(format!("{name} has a value that is not finite"));
                }
                Some(values) => params.push(param(name.to_owned(), shape.to_vec(), values)),
            },
        }
    }
    if defects.is_empty() {
        return Ok(params);
    }
    let mut problem = Problem::input(format!("{} does not fit its configuration and base model", path.display()))
        .hint("use the base model the adapter was trained on, and the adapter_config.json written beside it");
    for defect in defects.iter().take(LISTED) {
        problem = problem.detail(defect);
    }
    if defects.len() > LISTED {
        problem = problem.detail(format!("and {} more", defects.len() - LISTED));
    }
    Err(problem.into())
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let pair = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Some(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::BF16 => Some(data.chunks_exact(2).map(|b| bf16::from_bits(pair(b)).to_f32()).collect()),
        Dtype::F16 => Some(data.chunks_exact(2).map(|b| f16::from_bits(pair(b)).to_f32()).collect()),
        _ => None,
    }
}

pub(super) fn write(dir: &Path, config: &AdapterConfig, params: &[Param]) -> Result<()> {
    let bytes: Vec<Vec<u8>> = params.iter().map(|p| p.value.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = params
        .iter()
        .zip(&bytes)
        .map(|(p, b)| Ok((p.name.clone(), TensorView::new(Dtype::F32, p.shape.clone(), b)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = safetensors::serialize(views, Some(metadata))?;
    fsx::write_atomic(&dir.join(MODEL), &file)?;
    fsx::write_atomic(&dir.join(CONFIG), config.to_json().as_bytes())
}
