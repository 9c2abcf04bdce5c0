//! `adapter_config.json` as PEFT 0.21 writes it: read strictly, written field for field.
//!
//! A field that asks for something we do not implement is refused by name; the silent traps of PEFT's own loader
//! (no `use_dora`, no `lora_alpha`, no `target_modules`) are refusals here.

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::error::Problem;
use crate::model::Site;

/// The PEFT whose file format this is.
const PEFT_VERSION: &str = "0.21.2";

/// What PEFT's `adapter_config.json` says, as far as we implement it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdapterConfig {
    /// Rank.
    pub r: usize,
    /// α; the branch is scaled by α / r, with rsLoRA by α / √r.
    pub lora_alpha: f64,
    /// Dropout before the branch, 0..1.
    pub lora_dropout: f64,
    /// DoRA: a trained magnitude per output row.
    pub use_dora: bool,
    /// rsLoRA scaling.
    pub use_rslora: bool,
    /// Names of the linears (`q_proj`, `down_proj`, a full path), or one regular expression as PEFT takes it.
    pub target_modules: Vec<String>,
    /// The first pattern that matches decides the rank.
    pub rank_pattern: Vec<(String, usize)>,
    /// The first pattern that matches decides α.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Name of the base model.
    pub base_model_name_or_path: Option<String>,
    /// Whether `target_modules` holds one regular expression instead of names.
    pub target_is_pattern: bool,
}

/// Fields of PEFT that do not change the numbers.
const IGNORED: [&str; 12] = [
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "inference_mode",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "_comment",
];

/// Fields that are read.
const READ: [&str; 10] = [
    "alpha_pattern",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
    "bias",
];

impl AdapterConfig {
    /// Reads the parsed `adapter_config.json`.
    pub fn from_value(value: &Value) -> Result<Self, Problem> {
        let Some(fields) = value.as_object() else {
            return Err(Problem::input("it is not a JSON object"));
        };
        let missing =
            |key: &str| Problem::input(format!("{key} is missing")).hint("PEFT would guess here; write it out");
        let wrong = |key: &str, what: &str| Problem::input(format!("{key} must be {what}, found {}", value[key]));
        match value.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            Some(other) => {
                return Err(Problem::input(format!("peft_type {other:?} is not implemented (only \"LORA\")")));
            }
            None => return Err(missing("peft_type")),
        }
        if value.get("bias").is_some_and(|v| v != "none") {
            return Err(Problem::input(format!("bias {} is not implemented (only \"none\")", value["bias"])));
        }
        match value.get("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(kind)) if kind == "gaussian" => {}
            Some(other) => {
                return Err(Problem::input(format!("init_lora_weights {other} is not implemented"))
                    .detail("initialisations of this kind change the base weights"));
            }
        }
        for (key, setting) in fields {
            let neutral = match setting {
                Value::Null | Value::Bool(false) => true,
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => false,
            };
            if !neutral && !IGNORED.contains(&key.as_str()) && !READ.contains(&key.as_str()) {
                return Err(Problem::input(format!("{key} is not implemented (it is set to {setting})")));
            }
        }
        let r = value.get("r").ok_or_else(|| missing("r"))?;
        let r = r.as_u64().filter(|r| (1..=4096).contains(r)).ok_or_else(|| wrong("r", "a whole number in 1..4096"))?;
        let alpha = value.get("lora_alpha").ok_or_else(|| missing("lora_alpha"))?;
        let alpha = alpha.as_f64().filter(|a| *a > 0.0).ok_or_else(|| wrong("lora_alpha", "a positive number"))?;
        let dropout = value.get("lora_dropout").map_or(Some(0.0), Value::as_f64);
        let dropout = dropout.filter(|p| (0.0..1.0).contains(p)).ok_or_else(|| wrong("lora_dropout", "in 0..1"))?;
        let use_dora = value.get("use_dora").ok_or_else(|| missing("use_dora"))?;
        let flag = |key: &str| {
            value
                .get(key)
                .filter(|v| !v.is_null())
                .map_or(Some(false), Value::as_bool)
                .ok_or_else(|| wrong(key, "true or false"))
        };
        let pattern = |key: &str| -> Result<Vec<(String, f64)>, Problem> {
            let Some(map) = value.get(key) else { return Ok(Vec::new()) };
            let map = map.as_object().ok_or_else(|| wrong(key, "an object"))?;
            map.iter()
                .map(|(k, v)| {
                    compile(k)?;
                    let v =
                        v.as_f64().filter(|v| *v > 0.0).ok_or_else(|| wrong(key, "an object of positive numbers"))?;
                    Ok((k.clone(), v))
                })
                .collect()
        };
        let (target_modules, target_is_pattern) = match value.get("target_modules") {
            Some(Value::Array(list)) if !list.is_empty() => {
                let names: Option<Vec<String>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
                (names.ok_or_else(|| wrong("target_modules", "a list of names"))?, false)
            }
            Some(Value::String(pattern)) => (vec![pattern.clone()], true),
            _ => return Err(missing("target_modules")),
        };
        Ok(Self {
            r: r as usize,
            lora_alpha: alpha,
            lora_dropout: dropout,
            use_dora: use_dora.as_bool().ok_or_else(|| wrong("use_dora", "true or false"))?,
            use_rslora: flag("use_rslora")?,
            target_modules,
            rank_pattern: pattern("rank_pattern")?.into_iter().map(|(k, v)| (k, v as usize)).collect(),
            alpha_pattern: pattern("alpha_pattern")?,
            base_model_name_or_path: value.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
            target_is_pattern,
        })
    }

    /// The file's text: every field of PEFT 0.21, keys sorted, two spaces, no newline at the end.
    pub fn to_json(&self) -> String {
        let number = |x: f64| if x.fract() == 0.0 { json!(x as i64) } else { json!(x) };
        let sorted = |map: Map<String, Value>| {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        };
        let targets = if self.target_is_pattern {
            json!(self.target_modules.first())
        } else {
            let mut names = self.target_modules.clone();
            names.sort();
            json!(names)
        };
        let fields = json!({
            "alora_invocation_tokens": null,
            "alpha_pattern": sorted(self.alpha_pattern.iter().map(|(k, v)| (k.clone(), number(*v))).collect()),
            "arrow_config": null,
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "corda_config": null,
            "ensure_weight_tying": false,
            "eva_config": null,
            "exclude_modules": null,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "kasa_config": null,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "loftq_config": {},
            "lora_alpha": number(self.lora_alpha),
            "lora_bias": false,
            "lora_dropout": self.lora_dropout,
            "lora_ga_config": null,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": null,
            "monteclora_config": null,
            "peft_type": "LORA",
            "peft_version": PEFT_VERSION,
            "qalora_group_size": 16,
            "r": self.r,
            "rank_pattern": sorted(self.rank_pattern.iter().map(|(k, v)| (k.clone(), json!(v))).collect()),
            "revision": null,
            "target_modules": targets,
            "target_parameters": null,
            "task_type": "CAUSAL_LM",
            "trainable_token_indices": null,
            "use_bdlora": null,
            "use_dora": self.use_dora,
            "use_qalora": false,
            "use_rslora": self.use_rslora,
            "velora_config": null,
        });
        serde_json::to_string_pretty(&fields).unwrap_or_default()
    }

    /// Whether PEFT would put an adapter on this linear: a name equals the path or its end; a pattern matches it whole.
    pub fn targets(&self, site: Site) -> Result<bool, Problem> {
        let path = site.to_string();
        if self.target_is_pattern {
            let pattern = self.target_modules.first().map_or("", String::as_str);
            if pattern == "all-linear" {
                return Ok(true);
            }
            return Ok(regex(&format!("^(?:{pattern})$"))?.is_match(&path));
        }
        Ok(self.target_modules.iter().any(|t| path == *t || path.ends_with(&format!(".{t}"))))
    }

    /// (rank, scaling) of a linear after the patterns.
    pub fn rank_and_scaling(&self, site: Site) -> Result<(usize, f64), Problem> {
        let path = site.to_string();
        let mut rank = self.r;
        let mut alpha = self.lora_alpha;
        for (pattern, value) in &self.rank_pattern {
            if compile(pattern)?.is_match(&path) {
                rank = *value;
                break;
            }
        }
        for (pattern, value) in &self.alpha_pattern {
            if compile(pattern)?.is_match(&path) {
                alpha = *value;
                break;
            }
        }
        let divisor = if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
        Ok((rank, alpha / divisor))
    }
}

/// PEFT's `re.match(r"(.*\.)?(key)$", path)`.
fn compile(key: &str) -> Result<Regex, Problem> {
    regex(&format!(r"^(?:.*\.)?(?:{key})$"))
}

fn regex(pattern: &str) -> Result<Regex, Problem> {
    Regex::new(pattern)
        .map_err(|error| Problem::input(format!("the pattern {pattern:?} is not understood")).detail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Module;

    fn minimal() -> Value {
        json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": true, "target_modules": ["q_proj"]})
    }

    #[test]
    fn what_peft_would_guess_or_drop_silently_is_refused_by_name() {
        for key in ["peft_type", "r", "lora_alpha", "use_dora", "target_modules"] {
            let mut value = minimal();
            value.as_object_mut().unwrap().remove(key);
            let message = AdapterConfig::from_value(&value).unwrap_err().message;
            assert!(message.contains(key), "{message}");
        }
        for (key, setting) in [
            ("modules_to_save", json!(["embed_tokens"])),
            ("bias", json!("all")),
            ("bias", json!(null)),
            ("lora_bias", json!(true)),
            ("layer_replication", json!([[0, 4], [2, 5]])),
            ("target_parameters", json!(["x"])),
            ("trainable_token_indices", json!([1])),
            ("layers_to_transform", json!([0])),
            ("exclude_modules", json!(["k_proj"])),
            ("fan_in_fan_out", json!(true)),
            ("use_qalora", json!(true)),
            ("init_lora_weights", json!("pissa")),
            ("some_new_thing", json!(1)),
            ("use_dora", json!(null)),
            ("rank_pattern", json!(null)),
            ("peft_type", json!("IA3")),
        ] {
            let mut value = minimal();
            value[key] = setting;
            let message = AdapterConfig::from_value(&value).unwrap_err().message;
            assert!(message.contains(key), "{key}: {message}");
        }
    }

    #[test]
    fn written_text_reads_back_equal_and_sorted() {
        let mut config = AdapterConfig::from_value(&minimal()).unwrap();
        config.target_modules = vec!["v_proj".into(), "q_proj".into()];
        config.rank_pattern = vec![("b".into(), 3), ("a".into(), 2)];
        config.lora_dropout = 0.05;
        let text = config.to_json();
        let keys: Vec<String> = serde_json::from_str::<Map<String, Value>>(&text).unwrap().keys().cloned().collect();
        assert!(keys.is_sorted() && keys.len() == 41 && !text.ends_with('\n'));
        config.target_modules.sort();
        config.rank_pattern.sort();
        assert_eq!(AdapterConfig::from_value(&serde_json::from_str(&text).unwrap()).unwrap(), config);
    }

    #[test]
    fn patterns_match_as_in_peft() {
        let mut value = minimal();
        value["rank_pattern"] =
            json!({"q_proj": 2, "model\\.layers\\.1\\.mlp\\.down_proj": 6, "^model.layers.2.self_attn.o_proj": 3});
        let config = AdapterConfig::from_value(&value).unwrap();
        let rank = |layer, module| config.rank_and_scaling(Site { layer, module }).unwrap().0;
        assert_eq!(rank(0, Module::QProj), 2);
        assert_eq!(rank(1, Module::DownProj), 6);
        assert_eq!(rank(2, Module::OProj), 3);
        assert_eq!(rank(12, Module::DownProj), 4);
        let mut value = minimal();
        value["target_modules"] = json!(".*mlp.*(up|down)_proj");
        let config = AdapterConfig::from_value(&value).unwrap();
        assert!(config.targets(Site { layer: 3, module: Module::UpProj }).unwrap());
        assert!(!config.targets(Site { layer: 3, module: Module::GateProj }).unwrap());
    }
}
