//! What was computed of earlier prompts: questions about the same tables begin with the same tokens, which are the most
//! of a prompt. Kept in memory for a conversation and, where a folder is given, on disk for the next one.
//!
//! The numbers are the same to the bit wherever they come from: a prompt that goes on behind a kept beginning computes
//! more than [`FEW_ROWS`] tokens, as a whole one does (see `Decoder::forward_cached`). A file is named by all that its
//! numbers depend on; one that is damaged, cut short or of another layout is as good as none and is replaced.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::error::Result;
use crate::fsx;
use crate::kernels::linear::FEW_ROWS;
use crate::model::{Decoder, KvCache};

/// Prompts kept in memory, the longest unused goes first. Tables of a conversation are one or two.
const PROMPTS: usize = 8;

/// Bytes of all prompts in memory: 0.6b with 1,000 tokens takes 230 MB, 7m 8 MB. More is let go of.
const MEMORY_BYTES: usize = 1 << 30;

/// A longer beginning is not written: half a gigabyte takes as long to write and read as to compute.
const FILE_BYTES: usize = 1 << 28;

/// Bytes of all files; the oldest go first.
const FOLDER_BYTES: u64 = 1 << 30;

/// A shorter beginning is not worth a file.
const SHORTEST: usize = 48;

/// The layout of a file and of the numbers in it; a new number when the cache's tiles are laid out otherwise or the
/// arithmetic of prompts changes.
const LAYOUT: &str = "expert-cli.prompt/1";

/// Where beginnings are kept between runs.
#[derive(Debug, Clone)]
pub struct Folder {
    /// `EXPERT_HOME/cache/prompts`.
    pub dir: PathBuf,
    /// Everything but the ids that the numbers depend on: base model, adapter, form of the weights, exactness.
    pub computed_by: String,
}

/// Earlier prompts of one model.
#[derive(Debug)]
pub struct Prompts {
    folder: Option<Folder>,
    kept: Mutex<VecDeque<(Vec<u32>, KvCache)>>,
    /// Files that are being written.
    writing: Mutex<Vec<JoinHandle<()>>>,
}

impl Prompts {
    /// Nothing kept yet; with a folder beginnings are looked for and written there.
    pub fn new(folder: Option<Folder>) -> Self {
        Self { folder, kept: Mutex::default(), writing: Mutex::default() }
    }

    /// The longest known beginning of `ids`, of which the first `shared` are those of every question about these tables,
    /// short enough that what is left is computed as a prompt.
    pub fn beginning(&self, ids: &[u32], shared: usize, decoder: &Decoder) -> KvCache {
        let most = ids.len().saturating_sub(FEW_ROWS + 1);
        let common = |other: &[u32]| ids[..most].iter().zip(other).take_while(|(a, b)| a == b).count();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..kept.len()).max_by_key(|&at| common(&kept[at].0));
        if let Some(at) = best.filter(|&at| common(&kept[at].0) >= shared.clamp(1, most.max(1)))
            && let Some(entry) = kept.remove(at)
        {
            let mut cache = entry.1.clone();
            cache.truncate(common(&entry.0));
            kept.push_back(entry);
            return cache;
        }
        drop(kept);
        let read = self.folder.as_ref().filter(|_| shared >= SHORTEST);
        let read = read.and_then(|folder| folder.read(&ids[..shared], decoder));
        read.map_or_else(
            || decoder.new_cache(),
            |cache| {
                self.keep(&ids[..shared], &cache);
                let mut cache = cache;
                cache.truncate(most);
                cache
            },
        )
    }

    /// Keeps a computed prompt, and its first `shared` tokens on disk if they are not there yet.
    pub fn computed(&self, ids: &[u32], shared: usize, cache: &KvCache, decoder: &Decoder) {
        self.keep(ids, cache);
        let Some(folder) = self.folder.clone().filter(|_| shared >= SHORTEST && shared <= ids.len()) else { return };
        let path = folder.path(&ids[..shared]);
        let mut beginning = cache.clone();
        beginning.truncate(shared);
        if beginning.bytes() > FILE_BYTES || folder.is_sound(&path, decoder, shared) {
            return;
        }
        // Beside the answer: whoever asked does not wait for the disk. What fails is computed again next time.
        let head_dim = decoder.config().head_dim;
        let write = move || {
            let _ = folder.write(&path, &beginning.to_bytes(head_dim));
        };
        if let Ok(handle) = std::thread::Builder::new().name("prompt cache".into()).spawn(write) {
            self.writing.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
    }

    fn keep(&self, ids: &[u32], cache: &KvCache) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A prompt that begins another one is held by it.
        kept.retain(|(other, _)| !ids.starts_with(other));
        kept.push_back((ids.to_vec(), cache.clone()));
        let bytes = |kept: &VecDeque<(Vec<u32>, KvCache)>| kept.iter().map(|(_, cache)| cache.bytes()).sum::<usize>();
        while kept.len() > PROMPTS || (kept.len() > 1 && bytes(&kept) > MEMORY_BYTES) {
            kept.pop_front();
        }
    }
}

impl Drop for Prompts {
    fn drop(&mut self) {
        for handle in self.writing.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = handle.join();
        }
    }
}

impl Folder {
    fn path(&self, ids: &[u32]) -> PathBuf {
        let mut text = format!("{LAYOUT}\n{}\n", self.computed_by).into_bytes();
        text.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        self.dir.join(format!("{}.kv", fsx::sha256(&text)))
    }

    /// Bytes of a file whose cache holds `tokens`.
    fn bytes(decoder: &Decoder, tokens: usize) -> usize {
        let config = decoder.config();
        let width = config.num_key_value_heads * config.head_dim;
        HEADER + 4 * config.num_hidden_layers * KvCache::numbers(width, tokens)
    }

    /// Whether a file of the right length is there; what is in it is checked when it is read.
    fn is_sound(&self, path: &Path, decoder: &Decoder, tokens: usize) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| meta.len() == Self::bytes(decoder, tokens) as u64)
    }

    fn read(&self, ids: &[u32], decoder: &Decoder) -> Option<KvCache> {
        let path = self.path(ids);
        if !self.is_sound(&path, decoder, ids.len()) {
            return None;
        }
        let bytes = fsx::read(&path).ok()?;
        let (hash, numbers) = bytes.split_at_checked(HEADER)?;
        if hash != fsx::sha256(numbers).as_bytes() {
            // Damaged: out of the way, so that it is written again.
            let _ = fsx::remove(&path);
            return None;
        }
        let config = decoder.config();
        let width = config.num_key_value_heads * config.head_dim;
        KvCache::from_bytes(numbers, config.num_hidden_layers, width, ids.len())
    }

    fn write(&self, path: &Path, numbers: &[u8]) -> Result<()> {
        let mut bytes = fsx::sha256(numbers).into_bytes();
        bytes.extend_from_slice(numbers);
        self.make_room(bytes.len() as u64)?;
        fsx::write_atomic(path, &bytes)
    }

    /// Removes the oldest files until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> Result<()> {
        fsx::create_dir_all(&self.dir)?;
        let mut files: Vec<(SystemTime, u64, PathBuf)> = fsx::list_dir(&self.dir)?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "kv"))
            .filter_map(|path| {
                let meta = std::fs::metadata(&path).ok()?;
                Some((meta.modified().ok()?, meta.len(), path))
            })
            .collect();
        files.sort();
        let mut all: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if all + bytes <= FOLDER_BYTES {
                break;
            }
            fsx::remove(&path)?;
            all -= len;
        }
        Ok(())
    }
}

/// Bytes in front of the numbers: their SHA-256 in hexadecimal.
const HEADER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::decode::{Adapted, NextLogits as _};
    use crate::model::init::{RandomModel, write_random};

    fn files(dir: &Path) -> Vec<PathBuf> {
        fsx::list_dir(dir).unwrap_or_default()
    }

    /// Logits behind a prompt, and how many of its tokens were not computed.
    fn ask(decoder: &Decoder, prompts: &Prompts, ids: &[u32], shared: usize) -> (Vec<f32>, usize) {
        let known = prompts.beginning(ids, shared, decoder).len();
        let model = Adapted { decoder, adapter: None, prompts: Some(prompts), there: None };
        let mut caches = [model.new_cache()];
        (model.prompts(&[(ids, shared)], &mut caches).unwrap().concat(), known)
    }

    #[test]
    fn a_beginning_comes_from_memory_from_disk_and_anew() {
        let dir = tempfile::tempdir().unwrap();
        write_random(dir.path(), &RandomModel { bf16: true, ..RandomModel::default() }).unwrap();
        let decoder = Decoder::load(dir.path()).unwrap();
        let folder = |who: &str| Folder { dir: dir.path().join("prompts"), computed_by: who.into() };
        let prompt = |question: u32| -> Vec<u32> { (0..90).chain((0..40).map(|i| 100 + question * 50 + i)).collect() };
        let plain = Prompts::new(None);
        let (want, known) = ask(&decoder, &plain, &prompt(1), 90);
        assert_eq!(known, 0);
        // In memory: the same prompt but for what has to be computed, another question behind the tables.
        assert_eq!(ask(&decoder, &plain, &prompt(1), 90), (want.clone(), 130 - FEW_ROWS - 1));
        let (other, known) = ask(&decoder, &plain, &prompt(2), 90);
        assert_eq!(known, 90);
        assert_eq!(ask(&decoder, &Prompts::new(None), &prompt(2), 90).0, other);

        let first = Prompts::new(Some(folder("a")));
        assert_eq!(ask(&decoder, &first, &prompt(1), 90), (want.clone(), 0));
        drop(first);
        let written = files(&folder("a").dir);
        assert_eq!(written.len(), 1);
        assert_eq!(ask(&decoder, &Prompts::new(Some(folder("a"))), &prompt(2), 90), (other.clone(), 90));
        assert_eq!(ask(&decoder, &Prompts::new(Some(folder("b"))), &prompt(2), 90), (other.clone(), 0));
        assert_eq!(files(&folder("a").dir).len(), 2, "another model has a file of its own");

        // A damaged file, of the right length or not, is computed anew and replaced.
        for path in files(&folder("a").dir) {
            let sound = fsx::read(&path).unwrap();
            let mut broken = sound.clone();
            *broken.last_mut().unwrap() ^= 1;
            for bytes in [&broken[..], &sound[..sound.len() / 2], b""] {
                fsx::write_atomic(&path, bytes).unwrap();
                for who in ["a", "b"] {
                    assert_eq!(ask(&decoder, &Prompts::new(Some(folder(who))), &prompt(2), 90).0, other);
                }
                assert_eq!(fsx::read(&path).unwrap(), sound, "replaced");
            }
        }
    }

    #[test]
    fn the_folder_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { dir: dir.path().to_owned(), computed_by: String::new() };
        for name in ["1.kv", "2.kv", "3.txt"] {
            fsx::write_atomic(&dir.path().join(name), &[0; 100]).unwrap();
        }
        folder.make_room(FOLDER_BYTES - 200).unwrap();
        assert_eq!(files(dir.path()).len(), 3);
        folder.make_room(FOLDER_BYTES - 100).unwrap();
        assert_eq!(files(dir.path()).len(), 2, "the oldest goes");
        folder.make_room(FOLDER_BYTES).unwrap();
        assert_eq!(files(dir.path()), [dir.path().join("3.txt")]);
    }

    #[test]
    fn memory_has_a_bound() {
        let prompts = Prompts::new(None);
        for id in 0..2 * PROMPTS as u32 {
            prompts.keep(&[id], &KvCache::default());
        }
        assert_eq!(prompts.kept.lock().unwrap().len(), PROMPTS);
    }
}
