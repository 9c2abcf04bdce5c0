//! Whether an adapter's tensors are what its config says: key set, shapes, ranks, dtypes, finite values.
//!
//! PEFT loads an adapter with missing, extra or misnamed tensors in silence and answers wrongly; here each of these is
//! a refusal. Works on the files alone. With the base model's `config.json` the shapes are checked against it too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::{Problem, Result};
use crate::fsx;

/// Longest header of a safetensors file (the format's own limit).
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What every key of a PEFT adapter begins with.
const PREFIX: &str = "base_model.model.";

/// A tensor of the file.
#[derive(Debug)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

/// What is known of an adapter once it has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSummary {
    /// `lora` or `dora`.
    pub kind: &'static str,
    /// The config's rank.
    pub rank: usize,
    /// Names of the linears.
    pub target_modules: Vec<String>,
    /// Number of layers that carry it.
    pub layers: usize,
    /// Number of trained values.
    pub parameters: u64,
}

/// Checks the adapter in `dir`; with the base model's folder also against its `config.json`.
pub fn check_adapter(dir: &Path, base: Option<&Path>) -> Result<AdapterSummary> {
    let config_path = dir.join("adapter_config.json");
    let config: Value = serde_json::from_slice(&fsx::read(&config_path)?)
        .map_err(|error| refused(&config_path, &[format!("no JSON: {error}")]))?;
    let Some(config) = config.as_object() else { return Err(refused(&config_path, &["no JSON object".into()])) };
    let rules = Rules::read(config).map_err(|why| refused(&config_path, &[why]))?;
    let path = dir.join("adapter_model.safetensors");
    let (data_start, tensors) = read_header(&path)?;
    let mut defects = Vec::new();
    let summary = rules.check(&tensors, &mut defects);
    if let Some(base) = base {
        check_shapes(base, &tensors, &mut defects)?;
    }
    if defects.is_empty() {
        check_finite(&path, data_start, &tensors, &mut defects)?;
    }
    if defects.is_empty() { Ok(summary) } else { Err(refused(&path, &defects)) }
}

fn refused(path: &Path, defects: &[String]) -> anyhow::Error {
    /// So many defects are listed.
    const SHOWN: usize = 8;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut problem = Problem::input(format!("the adapter is refused: {name} does not hold what it should"));
    for defect in defects.iter().take(SHOWN) {
        problem = problem.detail(defect.clone());
    }
    if defects.len() > SHOWN {
        problem = problem.detail(format!("and {} more", defects.len() - SHOWN));
    }
    problem.hint("train it again, or export it with PEFT's save_pretrained").into()
}

/// The header of a safetensors file: where the data begins and the tensors, which must fill the file exactly.
fn read_header(path: &Path) -> Result<(u64, BTreeMap<String, Tensor>)> {
    let bad = |why: String| refused(path, &[why]);
    let mut file = fsx::open(path)?;
    let length = file.metadata().map_err(|e| bad(e.to_string()))?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| bad("shorter than 8 bytes".into()))?;
    let header_len = u64::from_le_bytes(size);
    if header_len > MAX_HEADER_BYTES || header_len + 8 > length {
        return Err(bad("the header is longer than the file".into()));
    }
    let mut header = vec![0; header_len as usize];
    file.read_exact(&mut header).map_err(|e| bad(e.to_string()))?;
    let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|e| bad(format!("bad header: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in header {
        if name == "__metadata__" {
            continue;
        }
        let numbers =
            |key: &str| -> Option<Vec<u64>> { entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
        let dtype = entry.get("dtype").and_then(Value::as_str);
        let (Some(dtype), Some(shape), Some(offsets)) = (dtype, numbers("shape"), numbers("data_offsets")) else {
            return Err(bad(format!("`{name}` has no dtype, shape and data_offsets")));
        };
        let [begin, end] = offsets[..] else { return Err(bad(format!("`{name}` has no two offsets"))) };
        let width = match dtype {
            "F32" => 4,
            "F16" | "BF16" => 2,
            other => return Err(bad(format!("`{name}` has the type {other}; F32, F16 and BF16 are read"))),
        };
        let count = shape.iter().try_fold(width, |n: u64, d| n.checked_mul(*d));
        if end.checked_sub(begin) != count {
            return Err(bad(format!("`{name}` does not have as many bytes as its shape says")));
        }
        let shape = shape.into_iter().map(|d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
        tensors.insert(name, Tensor { dtype: dtype.to_owned(), shape, begin, end });
    }
    let mut order: Vec<&Tensor> = tensors.values().collect();
    order.sort_by_key(|t| (t.begin, t.end));
    let mut at = 0;
    for tensor in order {
        if tensor.begin != at {
            return Err(bad("its tensors leave a gap or overlap".into()));
        }
        at = tensor.end;
    }
    if 8 + header_len + at != length {
        return Err(bad("its tensors do not fill the file".into()));
    }
    Ok((8 + header_len, tensors))
}

/// What `adapter_config.json` demands.
struct Rules {
    rank: usize,
    dora: bool,
    targets: Targets,
    rank_pattern: Vec<(Regex, usize)>,
    some_layers: bool,
}

enum Targets {
    Names(Vec<String>),
    Pattern(Box<Regex>),
}

impl Rules {
    fn read(config: &Map<String, Value>) -> std::result::Result<Self, String> {
        let set = |key: &str| match config.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(items)) => !items.is_empty(),
            Some(_) => true,
        };
        if config.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err("peft_type must be \"LORA\"".into());
        }
        for field in [
            "modules_to_save",
            "lora_bias",
            "layer_replication",
            "target_parameters",
            "trainable_token_indices",
            "use_qalora",
            "use_bdlora",
            "fan_in_fan_out",
            "alora_invocation_tokens",
            "arrow_config",
        ] {
            if set(field) {
                return Err(format!("`{field}` is not supported"));
            }
        }
        if !matches!(config.get("bias").map(|b| b.as_str()), None | Some(Some("none"))) {
            return Err("`bias` must be \"none\"".into());
        }
        let rank = config.get("r").and_then(Value::as_u64).filter(|r| *r > 0).ok_or("`r` is missing")?;
        if config.get("lora_alpha").and_then(Value::as_f64).is_none_or(|a| a <= 0.0) {
            return Err("`lora_alpha` is missing".into());
        }
        let pattern = |text: &str| Regex::new(text).map_err(|e| format!("a pattern cannot be read: {e}"));
        let targets = match config.get("target_modules") {
            Some(Value::String(text)) => Targets::Pattern(Box::new(pattern(&format!("^(?:{text})$"))?)),
            Some(Value::Array(items)) if !items.is_empty() => {
                Targets::Names(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => return Err("`target_modules` is missing".into()),
        };
        let mut rank_pattern = Vec::new();
        for (key, value) in config.get("rank_pattern").and_then(Value::as_object).into_iter().flatten() {
            let rank = value.as_u64().ok_or("`rank_pattern` must map to whole numbers")?;
            rank_pattern.push((pattern(&format!(r"^(?:.*\.)?(?:{key})$"))?, rank as usize));
        }
        let some_layers = set("layers_to_transform") || set("exclude_modules");
        let dora = config.get("use_dora").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { rank: rank as usize, dora, targets, rank_pattern, some_layers })
    }

    fn targets(&self, module: &str) -> bool {
        match &self.targets {
            Targets::Names(names) => {
                names.iter().any(|name| module == name || module.strip_suffix(name).is_some_and(|m| m.ends_with('.')))
            }
            Targets::Pattern(pattern) => pattern.is_match(module),
        }
    }

    fn rank_of(&self, module: &str) -> usize {
        self.rank_pattern.iter().find(|(pattern, _)| pattern.is_match(module)).map_or(self.rank, |(_, rank)| *rank)
    }

    fn check(&self, tensors: &BTreeMap<String, Tensor>, defects: &mut Vec<String>) -> AdapterSummary {
        let mut modules: BTreeMap<&str, BTreeMap<&str, &Tensor>> = BTreeMap::new();
        let mut parameters = 0;
        for (name, tensor) in tensors {
            let parts = name.strip_prefix(PREFIX).and_then(|rest| {
                ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"]
                    .into_iter()
                    .find_map(|part| Some((rest.strip_suffix(part)?.strip_suffix('.')?, part)))
            });
            match parts {
                Some((module, part)) if self.targets(module) => {
                    modules.entry(module).or_default().insert(part, tensor);
                    parameters += tensor.shape.iter().map(|d| *d as u64).product::<u64>();
                }
                Some((module, _)) => defects.push(format!("`{module}` is no target of the config")),
                None => defects.push(format!("`{name}` is no tensor of a LoRA or DoRA adapter")),
            }
        }
        if modules.is_empty() && defects.is_empty() {
            defects.push("there is no tensor in it".into());
        }
        for (module, parts) in &modules {
            self.check_module(module, parts, defects);
        }
        let layers = self.check_layers(&modules, defects);
        let target_modules = match &self.targets {
            Targets::Names(names) => names.clone(),
            Targets::Pattern(pattern) => vec![pattern.to_string()],
        };
        let kind = if self.dora { "dora" } else { "lora" };
        AdapterSummary { kind, rank: self.rank, target_modules, layers, parameters }
    }

    fn check_module(&self, module: &str, parts: &BTreeMap<&str, &Tensor>, defects: &mut Vec<String>) {
        let shape = |part: &str| parts.get(part).map(|t| t.shape.as_slice());
        let rank = self.rank_of(module);
        let out = match (shape("lora_A.weight"), shape("lora_B.weight")) {
            (Some([r, _]), Some([out, r2])) if *r == rank && *r2 == rank => *out,
            (Some(a), Some(b)) => {
                return defects.push(format!("`{module}`: A {a:?} and B {b:?} do not fit the rank {rank}"));
            }
            (None, _) => return defects.push(format!("`{module}.lora_A.weight` is missing")),
            (_, None) => return defects.push(format!("`{module}.lora_B.weight` is missing")),
        };
        match (self.dora, shape("lora_magnitude_vector")) {
            (true, None) => defects.push(format!("`{module}.lora_magnitude_vector` is missing: the config says DoRA")),
            (false, Some(_)) => {
                defects.push(format!("`{module}.lora_magnitude_vector` is there: the config does not say DoRA"));
            }
            (true, Some(m)) if m != [out] => {
                defects.push(format!("`{module}.lora_magnitude_vector` has the shape {m:?} instead of [{out}]"));
            }
            _ => {}
        }
    }

    /// Every target must stand in the same layers, and these must be all from the first on (unless the config picks
    /// layers).
    fn check_layers(&self, modules: &BTreeMap<&str, BTreeMap<&str, &Tensor>>, defects: &mut Vec<String>) -> usize {
        let mut by_target: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for module in modules.keys() {
            let layer = module.split('.').find_map(|part| part.parse().ok());
            let target = module.rsplit('.').next().unwrap_or(module);
            if let Some(layer) = layer {
                by_target.entry(target).or_default().insert(layer);
            }
        }
        let all: BTreeSet<usize> = by_target.values().flatten().copied().collect();
        if let Targets::Names(names) = &self.targets {
            for name in names.iter().filter(|name| !modules.keys().any(|m| m.ends_with(name.as_str()))) {
                defects.push(format!("the target `{name}` has no tensor"));
            }
        }
        if !self.some_layers && matches!(self.targets, Targets::Names(_)) {
            let wanted: BTreeSet<usize> = (0..all.last().map_or(0, |last| last + 1)).collect();
            for (target, layers) in &by_target {
                let missing: Vec<usize> = wanted.difference(layers).copied().collect();
                if !missing.is_empty() {
                    defects.push(format!("`{target}` has no tensors in the layers {missing:?}"));
                }
            }
        }
        all.len()
    }
}

/// Compares the shapes with the linears of the base model.
fn check_shapes(base: &Path, tensors: &BTreeMap<String, Tensor>, defects: &mut Vec<String>) -> Result<()> {
    let summary = crate::model::identity::config_summary(base)?;
    let number = |key: &str| summary.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
    let (hidden, inter, head) = (number("hidden_size"), number("intermediate_size"), number("head_dim"));
    let (q, kv) = (number("num_attention_heads") * head, number("num_key_value_heads") * head);
    let layers = number("num_hidden_layers");
    let mut deepest = None;
    for (name, tensor) in tensors {
        let layer = name.split('.').find_map(|part| part.parse::<usize>().ok());
        deepest = deepest.max(layer);
        let linear = [
            ("q_proj", hidden, q),
            ("k_proj", hidden, kv),
            ("v_proj", hidden, kv),
            ("o_proj", q, hidden),
            ("gate_proj", hidden, inter),
            ("up_proj", hidden, inter),
            ("down_proj", inter, hidden),
        ];
        let Some((_, input, output)) = linear.into_iter().find(|(module, _, _)| name.contains(module)) else {
            continue;
        };
        let fits = match tensor.shape.as_slice() {
            [_, columns] if name.ends_with("lora_A.weight") => *columns == input,
            [rows, ..] => *rows == output,
            [] => false,
        };
        if !fits {
            defects.push(format!("`{name}` {:?} does not fit the base model ({input} → {output})", tensor.shape));
        }
    }
    if deepest.is_some_and(|d| d + 1 != layers) {
        defects.push(format!("it has {} layers, the base model {layers}", deepest.map_or(0, |d| d + 1)));
    }
    Ok(())
}

/// Reads every value once: NaN and infinity are refused.
fn check_finite(
    path: &Path,
    data_start: u64,
    tensors: &BTreeMap<String, Tensor>,
    defects: &mut Vec<String>,
) -> Result<()> {
    let bad = |e: std::io::Error| refused(path, &[e.to_string()]);
    let mut file = fsx::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    for (name, tensor) in tensors {
        file.seek(SeekFrom::Start(data_start + tensor.begin)).map_err(bad)?;
        let mut left = tensor.end - tensor.begin;
        let mut finite = true;
        while left > 0 && finite {
            let count = left.min(buffer.len() as u64) as usize;
            file.read_exact(&mut buffer[..count]).map_err(bad)?;
            finite = match tensor.dtype.as_str() {
                "F32" => buffer[..count].chunks_exact(4).all(|b| b[3] & 0x7f != 0x7f || b[2] & 0x80 == 0),
                "BF16" => buffer[..count].chunks_exact(2).all(|b| b[1] & 0x7f != 0x7f || b[0] & 0x80 == 0),
                _ => buffer[..count].chunks_exact(2).all(|b| b[1] & 0x7c != 0x7c),
            };
            left -= count as u64;
        }
        if !finite {
            defects.push(format!("`{name}` holds NaN or infinity"));
        }
    }
    Ok(())
}
