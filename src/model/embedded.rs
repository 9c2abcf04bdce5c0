//! The base model inside the program: `tiny-sql`, for questions where neither a flag nor a manifest names a base model.
//!
//! Weights are mapped, so its files are laid out once in `EXPERT_HOME/cache/embedded`, under the hash of what they hold:
//! another program's model never takes their place. How it was made: `models/tiny-sql/README.md`.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::fsx;

/// The name that manifests and flags know it by.
pub const EMBEDDED: &str = "tiny-sql";

/// Its files, as they lie in `models/tiny-sql`.
const FILES: [(&str, &[u8]); 6] = [
    ("config.json", include_bytes!("../../models/tiny-sql/config.json")),
    ("generation_config.json", include_bytes!("../../models/tiny-sql/generation_config.json")),
    ("model.safetensors", include_bytes!("../../models/tiny-sql/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../models/tiny-sql/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../models/tiny-sql/tokenizer_config.json")),
    ("LICENSE", include_bytes!("../../models/tiny-sql/LICENSE")),
];

/// The folder that holds the embedded model, written if it is not there (or was cut short by hand).
pub fn embedded(home: &Path) -> Result<PathBuf> {
    let hashes: String = FILES.iter().map(|(name, bytes)| format!("{name} {}\n", fsx::sha256(bytes))).collect();
    let digest = fsx::sha256(hashes.as_bytes());
    let folder = home.join("cache").join("embedded").join(format!("{EMBEDDED}-{}", &digest[..16]));
    if !is_whole(&folder) {
        let staging = fsx::Staging::new(&folder)?;
        for (name, bytes) in FILES {
            fsx::write_atomic(&staging.path().join(name), bytes)?;
        }
        staging.publish()?;
    }
    Ok(folder)
}

/// Whether every file is there in its length. A changed byte is found where it matters: adapters pin the base by its hash.
fn is_whole(folder: &Path) -> bool {
    let there = |(name, bytes): &(&str, &[u8])| {
        folder.join(name).metadata().is_ok_and(|meta| meta.is_file() && meta.len() == bytes.len() as u64)
    };
    FILES.iter().all(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Decoder, NoAdapters};

    #[test]
    fn the_embedded_model_is_laid_out_once_and_loads() {
        let home = tempfile::tempdir().unwrap();
        let folder = embedded(home.path()).unwrap();
        let written = folder.join("config.json").metadata().unwrap().modified().unwrap();
        assert_eq!(embedded(home.path()).unwrap(), folder);
        assert_eq!(folder.join("config.json").metadata().unwrap().modified().unwrap(), written, "not written again");
        let decoder = Decoder::load(&folder).unwrap();
        let mut batch = Batch::default();
        batch.push(&[1, 2, 3]);
        let logits = decoder.logits(&batch, &NoAdapters).unwrap();
        assert!(logits.len() == 3 * decoder.vocab_size() && logits.iter().all(|logit| logit.is_finite()));
    }

    #[test]
    fn a_file_that_was_cut_short_is_put_back() {
        let home = tempfile::tempdir().unwrap();
        let folder = embedded(home.path()).unwrap();
        fsx::write_atomic(&folder.join("tokenizer.json"), b"{").unwrap();
        embedded(home.path()).unwrap();
        assert_eq!(fsx::read(&folder.join("tokenizer.json")).unwrap(), FILES[3].1);
    }

    #[test]
    fn it_is_small() {
        let bytes: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 24 << 20, "{bytes}");
    }
}
