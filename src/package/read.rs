//! The strict reader: scans a whole archive before a byte of it is written anywhere.
//!
//! Two passes over the same open file. The first proves that everything in it is allowed, whole and as the manifest
//! says; the second writes the files and compares each with what the first has seen. Knows upstream's three layouts;
//! what it writes always has the adapter in the root.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::archive::{Found, unreadable, walk};
use super::gzip::{Body, Frame};
use super::layout;
use super::names;
use super::record::Record;
use crate::error::{Problem, Result};
use crate::fsx;
use crate::manifest::Manifest;

/// A file in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the archive.
    pub archived: String,
    /// Its path once installed; `None` for what is passed over.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256, 64 hex digits.
    pub sha256: String,
}

/// A package that was scanned to its last byte and found to be in order.
#[derive(Debug)]
pub struct Package {
    path: PathBuf,
    file: File,
    frame: Frame,
    budget: u64,
    manifest: Manifest,
    entries: Vec<Entry>,
    notes: Vec<String>,
    sha256: String,
}

impl Package {
    /// Scans a package; whatever does not belong in one is a refusal (exit 3).
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let refuse = |why: &str| Problem::input(format!("{shown} is refused: {why}"));
        let mut file = fsx::open(path)?;
        let meta = file.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if !meta.is_file() {
            return Err(refuse("it is no regular file").into());
        }
        let frame = Frame::read(&mut file).map_err(|why| refuse(&why))?;
        let (sha256, behind) = digests(&mut file, frame.header_len()).with_context(|| path.display().to_string())?;
        if matches!(frame, Frame::Sealed(digest) if digest != behind) {
            return Err(refuse("its seal is broken: the file was changed or damaged")
                .hint("get the file again; `sha256sum -c` tells whether it arrived whole")
                .into());
        }
        let budget = meta.len().saturating_mul(names::MAX_RATIO).saturating_add(names::FREE_BYTES);
        let (entries, skipped, manifest_bytes) = scan(&shown, &mut file, frame, budget)?;
        let Some(manifest_bytes) = manifest_bytes else { return Err(refuse("it has no manifest.json").into()) };
        let raw: Value = serde_json::from_slice(&manifest_bytes)
            .map_err(|error| refuse("its manifest.json is not JSON").detail(error.to_string()))?;
        let manifest = Manifest::from_value(raw).with_context(|| format!("{shown} is refused"))?;
        let mut package = Self {
            path: path.to_owned(),
            file,
            frame,
            budget,
            manifest,
            entries: Vec::new(),
            notes: Vec::new(),
            sha256,
        };
        for name in &skipped {
            package.notes.push(format!("{name} is a pickle: passed over, never opened"));
        }
        package.entries = layout::settle(entries, &skipped, &mut package.notes).map_err(|why| refuse(&why))?;
        package.check_record(&shown)?;
        Ok(package)
    }

    /// Compares the files with what the manifest says of them.
    fn check_record(&mut self, shown: &str) -> Result<()> {
        let refuse = |why: String| Problem::input(format!("{shown} is refused: {why}"));
        let record = Record::of(self.manifest.raw());
        match (&record, self.frame) {
            (Some(_), Frame::Plain) => {
                return Err(refuse("its manifest is ours, but its seal is missing".into())
                    .hint("it was packed again by another tool; unpack it and install the folder")
                    .into());
            }
            (None, Frame::Sealed(_)) => {
                return Err(refuse("it is sealed, but its manifest lists no files".into()).into());
            }
            (Some(record), Frame::Sealed(_)) => {
                let found = self.entries.iter().map(|e| (e.archived.as_str(), e.size, e.sha256.as_str()));
                let defects = record.compare(found.filter(|(name, _, _)| *name != "manifest.json"));
                if !defects.is_empty() {
                    return Err(defects
                        .into_iter()
                        .fold(refuse("its files are not what its manifest says".into()), Problem::detail)
                        .into());
                }
            }
            (None, Frame::Plain) => {}
        }
        let signed = self.manifest.raw().pointer("/integrity/files").and_then(Value::as_object);
        for (name, hash) in signed.into_iter().flatten() {
            let hash = hash.as_str().unwrap_or_default().trim_start_matches("sha256:");
            let entry = self.entries.iter().find(|e| e.archived == *name && name != "manifest.json");
            if entry.is_some_and(|e| !hash.is_empty() && e.sha256 != hash) {
                return Err(refuse(format!("{name} is not the file that was signed")).into());
            }
        }
        if record.is_none() {
            self.notes.push("the package lists no hashes: whether its files are the author's cannot be checked".into());
        }
        Ok(())
    }

    /// The manifest inside.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All files in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a person should know: skipped files, missing hashes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether it is one of ours, with a seal over every byte.
    pub fn is_sealed(&self) -> bool {
        matches!(self.frame, Frame::Sealed(_))
    }

    /// SHA-256 of the file itself, 64 hex digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Compares with the `.sha256` file beside it; `false` if there is none.
    pub fn check_checksum_file(&self) -> Result<bool> {
        let beside = checksum_path(&self.path);
        if !beside.is_file() {
            return Ok(false);
        }
        let text = fsx::read_text(&beside)?;
        let expected = text.split_whitespace().next().unwrap_or_default().to_lowercase();
        if expected == self.sha256 {
            return Ok(true);
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        Err(Problem::input(format!("{name} is refused: it does not match the checksum file beside it"))
            .detail(format!("expected  {expected}"))
            .detail(format!("found     {}", self.sha256))
            .hint("get both files again")
            .into())
    }

    /// Writes the files into `folder`, which should be a staging folder: a failure leaves some of them there.
    pub fn extract(&mut self, folder: &Path) -> Result<()> {
        let shown = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entries = &self.entries;
        let mut index = 0;
        rewind(&mut self.file, self.frame)?;
        let mut body = Body::new(BufReader::with_capacity(1 << 16, &mut self.file));
        let changed = || Problem::input(format!("{shown} is refused: it changed while it was read"));
        walk(&shown, &mut body, self.budget, &mut |found, content| {
            let entry = entries.get(index).filter(|e| e.archived == found.name).ok_or_else(changed)?;
            index += 1;
            let Some(name) = &entry.name else { return Ok(()) };
            let path = folder.join(name);
            let mut file = fsx::AtomicFile::create(&path)?;
            let hash = copy(&shown, content, &mut |bytes| {
                file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
            })?;
            if hash != entry.sha256 {
                return Err(changed().into());
            }
            file.commit()
        })
    }
}

/// The checksum file of a package: the extension replaced by `expert.sha256`.
pub fn checksum_path(package: &Path) -> PathBuf {
    package.with_extension("expert.sha256")
}

/// SHA-256 of the whole file and of what stands behind its header; leaves the file behind the header.
fn digests(file: &mut File, header_len: usize) -> Result<(String, [u8; 32])> {
    let (mut whole, mut behind) = (Sha256::new(), Sha256::new());
    let mut header = vec![0; header_len];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut header)?;
    whole.update(&header);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((fsx::hex(&whole.finalize()), behind.finalize().into()));
        }
        whole.update(&buffer[..count]);
        behind.update(&buffer[..count]);
    }
}

fn rewind(file: &mut File, frame: Frame) -> Result<()> {
    file.seek(SeekFrom::Start(frame.header_len() as u64))?;
    Ok(())
}

/// The entries in order, the names of those passed over, and the manifest's bytes.
type Scanned = (Vec<Entry>, Vec<String>, Option<Vec<u8>>);

fn scan(shown: &str, file: &mut File, frame: Frame, budget: u64) -> Result<Scanned> {
    let (mut entries, mut skipped, mut manifest) = (Vec::new(), Vec::new(), None);
    rewind(file, frame)?;
    let mut body = Body::new(BufReader::with_capacity(1 << 16, file));
    walk(shown, &mut body, budget, &mut |found: Found<'_>, content| {
        let mut kept = Vec::new();
        let keep = found.name == "manifest.json";
        let sha256 = copy(shown, content, &mut |bytes| {
            if keep {
                kept.extend_from_slice(bytes);
            }
            Ok(())
        })?;
        if keep {
            manifest = Some(kept);
        }
        if found.skipped {
            skipped.push(found.name.to_owned());
        }
        entries.push(Entry { archived: found.name.to_owned(), name: None, size: found.size, sha256 });
        Ok(())
    })?;
    Ok((entries, skipped, manifest))
}

/// Hands the content on in pieces; its SHA-256.
fn copy(shown: &str, content: &mut dyn Read, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = content.read(&mut buffer).map_err(|error| unreadable(shown, &error))?;
        if count == 0 {
            return Ok(fsx::hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
        sink(&buffer[..count])?;
    }
}
