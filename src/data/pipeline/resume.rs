//! Going on where a run was stopped: prepared chunks are kept beside the output, in a folder named by the content of the
//! input, the settings and the program, and a run of the same content takes them from there.

use std::path::{Path, PathBuf};

use super::row::{Dropped, Prepared};
use super::{Job, Options};
use crate::error::Result;
use crate::fsx;

/// The folder of a run's prepared chunks.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
}

type Rows = Vec<Result<Prepared, Dropped>>;

impl Journal {
    /// The journal of a run to `output`; what another input or other settings left there goes.
    pub fn open(jobs: &[Job<'_>], options: &Options, output: &Path) -> Result<Self> {
        let mut content = format!("{} {}", env!("CARGO_PKG_VERSION"), options.to_json());
        for job in jobs {
            content.push_str(&format!("{}", job.options.to_json()));
            let tables = job.source.tables.iter().map(|path| (path, "tables"));
            for (path, shown) in job.source.files.iter().map(|(path, shown)| (path, shown.as_str())).chain(tables) {
                content.push_str(&format!(" {shown} {}", fsx::sha256_file(path)?));
            }
        }
        let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let key = &fsx::sha256(content.as_bytes())[..16];
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = parent.join(format!(".{name}.resume-{key}"));
        let mine = format!(".{name}.resume-");
        for other in fsx::list_dir(parent).unwrap_or_default() {
            let named = other.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&mine));
            if named && other != folder {
                clear(&other)?;
            }
        }
        fsx::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// A chunk that was prepared before, if it is whole.
    pub fn chunk(&self, number: usize, records: usize) -> Option<Rows> {
        let kept: Rows = serde_json::from_slice(&fsx::read(&self.path(number)).ok()?).ok()?;
        (kept.len() == records).then_some(kept)
    }

    /// Keeps a prepared chunk.
    pub fn keep(&self, number: usize, rows: &Rows) -> Result<()> {
        fsx::write_atomic(&self.path(number), &serde_json::to_vec(rows)?)
    }

    /// The run is published: nothing is left to go on with.
    pub fn close(self) -> Result<()> {
        clear(&self.folder)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number:06}.json"))
    }
}

/// Removes a folder of chunks.
fn clear(folder: &Path) -> Result<()> {
    for file in fsx::list_dir(folder)? {
        fsx::remove(&file)?;
    }
    fsx::remove_if_empty(folder);
    Ok(())
}
