//! The reproducible writer: the same contents give the same bytes, whenever and wherever.

use std::io::{Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use sha2::{Digest as _, Sha256};

use super::contents::{Contents, Item, Source};
use super::gzip::{HashingWriter, SEALED_HEADER, sealed_header};
use super::read::checksum_path;
use crate::error::{Problem, Result};
use crate::fsx;

/// zlib's level. Adapters hardly shrink at any; 9 costs three times the time for 1 % of the tokenizer.
const LEVEL: u32 = 6;

/// Writes the package and its checksum file; returns the package's path, size and SHA-256. `output` is a file, or a
/// folder in which the package gets its own name.
pub fn write_package(contents: &Contents, output: Option<&Path>) -> Result<(PathBuf, u64, String)> {
    let path = match output {
        // A path is the package's file only if it says so; anything else is a folder, new or not.
        Some(folder) if folder.is_dir() || folder.extension().is_none_or(|e| e != "expert") => {
            folder.join(&contents.file_name)
        }
        Some(file) => file.to_owned(),
        None => PathBuf::from(&contents.file_name),
    };
    // An old checksum beside a new package would be a lie, also after a power cut.
    let checksum = checksum_path(&path);
    fsx::remove(&checksum)?;
    let mut file = fsx::AtomicFile::create(&path)?;
    write_archive(contents, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
    fsx::failpoint("package.before_commit");
    file.commit()?;
    fsx::failpoint("package.before_checksum");
    let sha256 = fsx::sha256_file(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fsx::write_atomic(&checksum, format!("{sha256}  {name}\n").as_bytes())?;
    let size = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok((path, size, sha256))
}

/// Writes the files of a package into a folder.
pub fn write_folder(contents: &Contents, folder: &Path) -> Result<()> {
    for item in &contents.items {
        let path = folder.join(&item.name);
        let mut file = fsx::AtomicFile::create(&path)?;
        copy(item, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
        file.commit()?;
    }
    Ok(())
}

fn write_archive(contents: &Contents, file: &mut fsx::AtomicFile) -> Result<()> {
    file.write_all(&[0; SEALED_HEADER])?;
    let encoder = DeflateEncoder::new(HashingWriter::new(&mut *file), Compression::new(LEVEL));
    let mut tar = tar::Builder::new(CheckedWriter { inner: encoder, crc: Crc::new() });
    for item in &contents.items {
        let mut header = tar::Header::new_gnu();
        header.set_path(&item.name)?;
        header.set_size(item.size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, &mut open(item)?)?;
    }
    let checked = tar.into_inner()?;
    let mut hashing = checked.inner.finish()?;
    hashing.write_all(&checked.crc.sum().to_le_bytes())?;
    hashing.write_all(&checked.crc.amount().to_le_bytes())?;
    let (file, digest) = hashing.finish();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&sealed_header(&digest))?;
    Ok(())
}

/// The bytes of an item; an error at their end if they are not what was hashed.
fn open(item: &Item) -> Result<Verified<'_>> {
    let reader: Box<dyn Read + '_> = match &item.source {
        Source::Bytes(bytes) => Box::new(bytes.as_slice()),
        Source::File(path) => Box::new(fsx::open(path)?),
    };
    Ok(Verified { reader: reader.take(item.size), hasher: Sha256::new(), item })
}

fn copy(item: &Item, sink: &mut dyn Write) -> Result<()> {
    let written = std::io::copy(&mut open(item)?, sink)?;
    if written != item.size {
        return Err(Problem::failed(format!("{} changed while it was packed", item.name)).into());
    }
    Ok(())
}

struct Verified<'a> {
    reader: std::io::Take<Box<dyn Read + 'a>>,
    hasher: Sha256,
    item: &'a Item,
}

impl Read for Verified<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        let ended = count == 0 && !buffer.is_empty();
        if ended && (self.reader.limit() > 0 || fsx::hex(&self.hasher.clone().finalize()) != self.item.sha256) {
            return Err(std::io::Error::other(format!("{} changed while it was packed", self.item.name)));
        }
        Ok(count)
    }
}

struct CheckedWriter<W: Write> {
    inner: W,
    crc: Crc,
}

impl<W: Write> Write for CheckedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.crc.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
