//! What a base model is: the hash of its weights, cached so that gigabytes are read once.
//!
//! The name of a folder proves nothing; packages pin their base by this hash. A cached hash is used only for the same
//! path, size, modification time and inode, and files changed in the last seconds are never cached: they could change
//! again within the clock's resolution.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Problem, Result};
use crate::fsx;

/// Files younger than this are hashed every time. Price: none for a model at rest.
const SETTLED: Duration = Duration::from_secs(3);

/// The cache's file name inside the cache folder.
const CACHE_FILE: &str = "content-hashes.json";

/// `sha256:<64 hex>` of the weights in a HF folder: of `model.safetensors`, or for shards of the lines `name:hash\n`
/// sorted by name. With a cache folder, files that have not changed are not read again.
pub fn content_hash(dir: &Path, cache_dir: Option<&Path>) -> Result<String> {
    let files = super::files(dir)?;
    let mut cache = Cache::open(cache_dir);
    let hash = match files.as_slice() {
        [only] if only.ends_with("model.safetensors") => cache.hash(only)?,
        shards => {
            let mut lines = String::new();
            for shard in shards {
                let name = shard.file_name().unwrap_or_default().to_string_lossy();
                lines += &format!("{name}:{}\n", cache.hash(shard)?);
            }
            fsx::sha256(lines.as_bytes())
        }
    };
    cache.save();
    Ok(format!("sha256:{hash}"))
}

/// What of `config.json` changes the model's answers, in one form for both config styles: shapes, norms, rotary
/// embedding, biases, ties. Two folders with the same weights and the same summary are the same model.
pub fn config_summary(dir: &Path) -> Result<Map<String, Value>> {
    let path = dir.join("config.json");
    let bad = || Problem::input(format!("{} cannot be read", path.display()));
    let config: Value = serde_json::from_slice(&fsx::read(&path)?).with_context(bad)?;
    let config = config.get("text_config").unwrap_or(&config);
    let find = |key: &str| config.get(key).filter(|value| !value.is_null()).cloned();
    let rope = find("rope_parameters").or_else(|| find("rope_scaling"));
    let in_rope = |key: &str| rope.as_ref().and_then(|rope| rope.get(key)).filter(|v| !v.is_null()).cloned();
    let number = |key: &str| find(key).and_then(|value| value.as_u64());
    let heads = number("num_attention_heads").unwrap_or(1).max(1);
    let head_dim = number("head_dim").or_else(|| number("hidden_size").map(|hidden| hidden / heads));
    let mut summary = Map::new();
    for key in ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"] {
        summary.insert(key.into(), find(key).ok_or_else(|| bad().detail(format!("`{key}` is missing")))?);
    }
    summary.insert("num_key_value_heads".into(), number("num_key_value_heads").unwrap_or(heads).into());
    summary.insert("head_dim".into(), head_dim.into());
    for key in ["vocab_size", "rms_norm_eps"] {
        summary.insert(key.into(), find(key).unwrap_or(Value::Null));
    }
    summary.insert("hidden_act".into(), find("hidden_act").unwrap_or_else(|| "silu".into()));
    for key in ["tie_word_embeddings", "attention_bias"] {
        summary.insert(key.into(), find(key).unwrap_or(Value::Bool(false)));
    }
    let theta = find("rope_theta").or_else(|| in_rope("rope_theta")).and_then(|value| value.as_f64());
    summary.insert("rope_theta".into(), theta.into());
    let kind = in_rope("rope_type").or_else(|| in_rope("type"));
    summary.insert("rope_type".into(), kind.unwrap_or_else(|| "default".into()));
    for key in ["factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"] {
        if let Some(value) = in_rope(key).and_then(|value| value.as_f64()) {
            summary.insert(format!("rope_{key}"), value.into());
        }
    }
    Ok(summary)
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified_ns: u64,
    inode: u64,
    sha256: String,
}

#[derive(Debug)]
struct Cache {
    file: Option<PathBuf>,
    known: BTreeMap<String, Known>,
    changed: bool,
}

impl Cache {
    /// A cache that cannot be read is an empty one.
    fn open(dir: Option<&Path>) -> Self {
        let file = dir.map(|dir| dir.join(CACHE_FILE));
        let known = file.as_deref().filter(|f| f.is_file()).and_then(|f| fsx::read(f).ok());
        let known = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file, known, changed: false }
    }

    fn hash(&mut self, path: &Path) -> Result<String> {
        let unreadable = || format!("cannot read {}", path.display());
        if self.file.is_none() {
            return fsx::sha256_file(path);
        }
        let absolute = std::fs::canonicalize(path).with_context(unreadable)?;
        let key = absolute.to_string_lossy().into_owned();
        let before = stamp(&absolute).with_context(unreadable)?;
        let same = |known: &&Known| {
            (known.size, known.modified_ns, known.inode) == (before.size, before.modified_ns, before.inode)
        };
        if let Some(known) = self.known.get(&key).filter(same) {
            return Ok(known.sha256.clone());
        }
        let sha256 = fsx::sha256_file(path)?;
        let modified = UNIX_EPOCH + Duration::from_nanos(before.modified_ns);
        let settled = SystemTime::now().duration_since(modified).is_ok_and(|age| age >= SETTLED);
        if settled && stamp(&absolute).with_context(unreadable)? == before {
            self.known.insert(key, Known { sha256: sha256.clone(), ..before });
            self.changed = true;
        }
        Ok(sha256)
    }

    /// A cache that cannot be written costs time, nothing else.
    fn save(&self) {
        let (true, Some(file)) = (self.changed, &self.file) else { return };
        if let Ok(bytes) = serde_json::to_vec_pretty(&self.known) {
            let _ = fsx::write_atomic(file, &bytes);
        }
    }
}

fn stamp(path: &Path) -> std::io::Result<Known> {
    let meta = std::fs::metadata(path)?;
    let since_epoch = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    let modified_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    Ok(Known { size: meta.len(), modified_ns, inode, sha256: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path, seconds: u64) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn single_and_sharded_weights_have_an_identity() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fsx::write_atomic(&dir.path().join(name), bytes).unwrap();
        assert!(content_hash(dir.path(), None).unwrap_err().to_string().contains("has no model.safetensors"));
        write("model-2.safetensors", b"two");
        write("model-1.safetensors", b"one");
        write(
            "model.safetensors.index.json",
            br#"{"weight_map": {"b": "model-2.safetensors", "a": "model-1.safetensors"}}"#,
        );
        let lines =
            format!("model-1.safetensors:{}\nmodel-2.safetensors:{}\n", fsx::sha256(b"one"), fsx::sha256(b"two"));
        assert_eq!(content_hash(dir.path(), None).unwrap(), format!("sha256:{}", fsx::sha256(lines.as_bytes())));
        write("model.safetensors", b"abc");
        assert_eq!(content_hash(dir.path(), None).unwrap(), format!("sha256:{}", fsx::sha256(b"abc")));
        write("model.safetensors.index.json", br#"{"weight_map": {"b": "../x.safetensors"}}"#);
        fsx::remove(&dir.path().join("model.safetensors")).unwrap();
        assert!(content_hash(dir.path(), None).is_err());
    }

    #[test]
    fn both_config_styles_have_the_same_summary() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let dir = tempfile::tempdir().unwrap();
        for model in ["tiny-qwen3", "tiny-qwen2", "tiny-llama", "tiny-mistral"] {
            let flat = config_summary(&fixtures.join(model)).unwrap();
            let other = fsx::read(&fixtures.join(model).join("config.transformers5.json")).unwrap();
            fsx::write_atomic(&dir.path().join("config.json"), &other).unwrap();
            assert_eq!(config_summary(dir.path()).unwrap(), flat, "{model}");
        }
    }

    #[test]
    fn the_cache_holds_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let model = dir.path().join("model.safetensors");
        fsx::write_atomic(&model, b"abc").unwrap();
        content_hash(dir.path(), Some(&cache)).unwrap();
        assert!(!cache.exists(), "a file this young is not cached");
        age(&model, 60);
        let first = content_hash(dir.path(), Some(&cache)).unwrap();
        let file = cache.join(CACHE_FILE);
        let marked = fsx::read_text(&file).unwrap().replace(&fsx::sha256(b"abc"), &"0".repeat(64));
        fsx::write_atomic(&file, marked.as_bytes()).unwrap();
        assert_eq!(content_hash(dir.path(), Some(&cache)).unwrap(), format!("sha256:{}", "0".repeat(64)), "cached");
        fsx::write_atomic(&model, b"abd").unwrap();
        age(&model, 60);
        assert_ne!(content_hash(dir.path(), Some(&cache)).unwrap(), first);
        fsx::write_atomic(&file, b"garbage").unwrap();
        assert_eq!(content_hash(dir.path(), Some(&cache)).unwrap(), format!("sha256:{}", fsx::sha256(b"abd")));
    }
}
