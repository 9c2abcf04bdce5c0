//! The one place that writes files: atomic writes, directories published whole, locks, content hashes.
//!
//! Every error names its path. Nothing here knows what the bytes mean. A file or directory appears under its final
//! name only when it is complete and on disk; what a killed process leaves behind has a name that [`sweep`] removes.

#![expect(clippy::disallowed_methods, reason = "this is the door that the ban points to")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::error::{Exit, Problem, Result, classify};

/// Marks unfinished files and directories; [`sweep`] removes whatever carries it.
const UNFINISHED: &str = ".unfinished-";

/// Marks a directory that was moved aside while its successor takes its name; [`sweep`] puts it back if the process
/// died in between.
const REPLACED: &str = ".replaced-";

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a whole UTF-8 text file; a byte-order mark is dropped.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Problem::input(format!("{} is not UTF-8 text", path.display()))
            .detail(format!("first bad byte at offset {}", error.utf8_error().valid_up_to()))
            .hint("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Creates a directory and its parents.
pub fn create_dir_all(path: &Path) -> Result<()> {
    let Err(error) = fs::create_dir_all(path) else { return Ok(()) };
    let message = format!("cannot create the folder {}", path.display());
    let error = anyhow::Error::from(error).context(message.clone());
    // Whatever the system calls it (`not found` under /proc), a folder that cannot be made is no bad input.
    match classify(&error).0 {
        Exit::Resource => Err(error),
        _ => Err(Problem::resource(format!("{message}: {}", error.root_cause()))
            .hint("choose a folder you may write to")
            .into()),
    }
}

/// Lists a directory's entries, sorted by name.
pub fn list_dir(path: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(path)
        .with_context(|| format!("cannot list {}", path.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("cannot list {}", path.display()))?;
    entries.sort();
    Ok(entries)
}

/// Removes a file or a whole directory; nothing there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

/// Removes a directory if nothing is in it; tells whether it is gone.
pub fn remove_if_empty(path: &Path) -> bool {
    fs::remove_dir(path).is_ok() || !path.exists()
}

/// The temporary name beside `path` under which it is prepared.
fn unfinished(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!("{UNFINISHED}{}-{unique}-{name}", std::process::id()))
}

/// Where the old directory waits while the new one takes its name.
fn replaced(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{REPLACED}{name}"))
}

/// Makes a rename durable: fsync of the directory that holds `path` (a no-op where directories cannot be opened).
fn sync_parent(path: &Path) {
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if let Ok(dir) = File::open(parent) {
            let _ = dir.sync_all();
        }
    }
}

/// A file that is written under a temporary name and takes its own name on [`AtomicFile::commit`]. Dropped without
/// commit it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    file: Option<std::io::BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts writing what will become `path`; missing parent folders are created.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            create_dir_all(parent)?;
        }
        let temporary = unfinished(path);
        let file = File::create(&temporary).with_context(|| format!("cannot write beside {}", path.display()))?;
        Ok(Self { file: Some(std::io::BufWriter::with_capacity(1 << 16, file)), temporary, path: path.to_owned() })
    }

    /// Flushes to disk and takes the final name.
    pub fn commit(mut self) -> Result<()> {
        let error = || format!("cannot write {}", self.path.display());
        if let Some(writer) = self.file.take() {
            let file = writer.into_inner().map_err(|e| e.into_error()).with_context(error)?;
            file.sync_all().with_context(error)?;
        }
        failpoint("fsx.before_rename");
        fs::rename(&self.temporary, &self.path).with_context(error)?;
        sync_parent(&self.path);
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(std::io::Error::other("the file was already committed")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl std::io::Seek for AtomicFile {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        match &mut self.file {
            Some(file) => file.seek(to),
            None => Err(std::io::Error::other("the file was already committed")),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() || self.temporary.exists() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a whole file atomically: it is either the old one or the new one, also after a power cut.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    file.commit()
}

/// Appends lines to a log-like file and flushes them; a torn last line is the reader's to drop.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let error = || format!("cannot append to {}", path.display());
    let mut file = OpenOptions::new().create(true).append(true).open(path).with_context(error)?;
    file.write_all(bytes).with_context(error)
}

/// A directory prepared under a temporary name and published whole. Dropped without [`Staging::publish`] it leaves
/// nothing behind.
#[derive(Debug)]
pub struct Staging {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Staging {
    /// Starts a directory that will become `target`; missing parents are created.
    pub fn new(target: &Path) -> Result<Self> {
        let temporary = unfinished(target);
        create_dir_all(&temporary)?;
        Ok(Self { temporary, target: target.to_owned(), published: false })
    }

    /// Where to put the files meanwhile.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Syncs every file, replaces `target` and makes the rename durable. An existing target is moved aside first and
    /// removed afterwards, so at every instant one complete directory exists.
    pub fn publish(mut self) -> Result<()> {
        sync_tree(&self.temporary)?;
        let error = || format!("cannot publish {}", self.target.display());
        failpoint("fsx.before_publish");
        let aside = self.target.exists().then(|| replaced(&self.target));
        if let Some(aside) = &aside {
            remove(aside)?;
            fs::rename(&self.target, aside).with_context(error)?;
            failpoint("fsx.between_renames");
        }
        if let Err(failure) = fs::rename(&self.temporary, &self.target) {
            if let Some(aside) = &aside {
                let _ = fs::rename(aside, &self.target);
            }
            return Err(failure).with_context(error);
        }
        self.published = true;
        sync_parent(&self.target);
        if let Some(aside) = aside {
            remove(&aside)?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in list_dir(dir)? {
        if entry.is_dir() {
            sync_tree(&entry)?;
        } else {
            let file = open(&entry)?;
            file.sync_all().with_context(|| format!("cannot sync {}", entry.display()))?;
        }
    }
    sync_parent(&dir.join("_"));
    Ok(())
}

/// Removes what killed processes left unfinished in `dir` and restores what they had only moved aside. Call it under the lock that guards `dir`.
pub fn sweep(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in list_dir(dir)? {
        let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(UNFINISHED) {
            remove(&entry)?;
        } else if let Some(original) = name.strip_prefix(REPLACED) {
            let original = entry.with_file_name(original);
            if original.exists() {
                remove(&entry)?;
            } else {
                fs::rename(&entry, &original).with_context(|| format!("cannot restore {}", original.display()))?;
            }
        }
    }
    Ok(())
}

/// As [`sweep`], but only what was to become `target`, and only of processes that are gone: for targets in folders that
/// are not ours.
pub fn sweep_of(target: &Path) -> Result<()> {
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Ok(());
    }
    for entry in list_dir(parent)? {
        let own = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((process, rest)) = own.strip_prefix(UNFINISHED).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let ours = rest.split_once('-').is_some_and(|(_, target)| target == name);
        if ours && !Path::new("/proc").join(process).exists() {
            remove(&entry)?;
        }
    }
    let aside = replaced(target);
    if aside.exists() && !target.exists() {
        fs::rename(&aside, target).with_context(|| format!("cannot restore {}", target.display()))?;
    }
    Ok(())
}

/// An exclusive lock on a file, held until dropped; the system releases it when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or says who holds it (exit 1). `what` names the thing that is locked.
    pub fn try_acquire(path: &Path, what: &str) -> Result<Self> {
        let mut file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => Self::claim(file, path),
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(Problem::failed(format!("{what} is in use by another expert-cli"))
                    .detail(format!(
                        "held by {}",
                        if holder.trim().is_empty() { "an unknown process" } else { holder.trim() }
                    ))
                    .hint("wait for it to end, or stop it")
                    .into())
            }
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Takes the lock, waiting for whoever holds it.
    pub fn acquire(path: &Path) -> Result<Self> {
        let file = Self::open(path)?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Self::claim(file, path)
    }

    fn open(path: &Path) -> Result<File> {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            create_dir_all(parent)?;
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))
    }

    fn claim(mut file: File, path: &Path) -> Result<Self> {
        file.set_len(0)
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .with_context(|| format!("cannot write the lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// SHA-256 of bytes, 64 lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content (streamed), 64 lower-case hex digits.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// Lower-case hex digits of bytes.
pub fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// In builds of the `dev` and `test` profiles (`build.rs`): ends the process as `kill -9` would when `EXPERT_FAILPOINT`
/// names this point, or names it with `:N` and this is the N-th time (from 1) the point is reached. Release builds have no failpoints.
pub fn failpoint(name: &str) {
    #[cfg(failpoints)]
    {
        use std::sync::atomic::{AtomicU64, Ordering};
        static REACHED: AtomicU64 = AtomicU64::new(0);
        if let Ok(wanted) = std::env::var("EXPERT_FAILPOINT") {
            let (point, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
            if point == name && Some(REACHED.fetch_add(1, Ordering::SeqCst) + 1) == count.parse().ok() {
                std::process::abort();
            }
        }
    }
    #[cfg(not(failpoints))]
    let _ = name;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(list_dir(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn publishing_replaces_a_directory_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("checkpoint-1");
        for content in ["one", "two"] {
            let staging = Staging::new(&target).unwrap();
            write_atomic(&staging.path().join("x"), content.as_bytes()).unwrap();
            staging.publish().unwrap();
            assert_eq!(read_text(&target.join("x")).unwrap(), content);
        }
        drop(Staging::new(&target).unwrap());
        assert_eq!(list_dir(dir.path()).unwrap(), vec![target]);
    }

    #[test]
    fn sweep_removes_only_what_is_unfinished() {
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&dir.path().join("kept"), b"").unwrap();
        fs::create_dir(dir.path().join(format!("{UNFINISHED}1-0-x"))).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(list_dir(dir.path()).unwrap(), vec![dir.path().join("kept")]);
    }

    #[test]
    fn sweep_restores_a_directory_whose_successor_never_came() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(format!("{REPLACED}final"))).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(list_dir(dir.path()).unwrap(), vec![dir.path().join("final")]);
    }

    #[test]
    fn sweep_of_touches_one_target_and_no_living_process() {
        let dir = tempfile::tempdir().unwrap();
        let living = std::process::id();
        for name in [
            format!("{UNFINISHED}999999999-0-out"),
            format!("{UNFINISHED}999999999-0-other"),
            format!("{UNFINISHED}{living}-0-out"),
            format!("{REPLACED}out"),
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        sweep_of(&dir.path().join("out")).unwrap();
        let mut left: Vec<String> = list_dir(dir.path())
            .unwrap()
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        left.sort();
        let mut want =
            [format!("{UNFINISHED}999999999-0-other"), format!("{UNFINISHED}{living}-0-out"), "out".to_owned()];
        want.sort();
        assert_eq!(left, want);
    }

    #[test]
    fn a_lock_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = Lock::try_acquire(&path, "the run").unwrap();
        let error = Lock::try_acquire(&path, "the run").unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn hash_of_a_file_is_the_hash_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomic(&path, b"abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), sha256(b"abc"));
        assert!(sha256(b"abc").starts_with("ba7816bf"));
    }
}
