//! Walking a tar archive as a closed world: regular files with plain names, nothing else, and nothing in between.

use std::io::Read;

use tar::{EntryType, Header};

use super::names::{self, Fate, Seen};
use crate::error::{Problem, Result};

/// Size of a tar block.
const BLOCK: usize = 512;

/// Zeros that may follow the end mark: other writers fill up to a record of 20 blocks.
const MAX_TAIL_BLOCKS: usize = 20;

/// A regular file of the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Its path in the archive.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is only passed over.
    pub skipped: bool,
}

/// Walks the archive to its very end and hands each file to `visit`, which may leave content unread. `budget` is the
/// number of bytes that all files together may have.
pub(super) fn walk<R: Read>(
    archive: &str,
    input: &mut R,
    budget: u64,
    visit: &mut dyn FnMut(Found<'_>, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut seen = Seen::default();
    let mut entries = 0;
    let mut total: u64 = 0;
    loop {
        let mut block = [0; BLOCK];
        fill(archive, input, &mut block)?;
        if block == [0; BLOCK] {
            return tail(archive, input);
        }
        let header = Header::from_byte_slice(&block);
        let raw = header.path_bytes();
        let shown = String::from_utf8_lossy(&raw).into_owned();
        let refuse = |why: &str| names::refuse(archive, &shown, why);
        entries += 1;
        if entries > names::MAX_ENTRIES {
            return Err(refuse(&format!("more than {} files", names::MAX_ENTRIES)));
        }
        let sum = block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) });
        if header.cksum().ok() != Some(sum.sum()) {
            return Err(refuse("a header's checksum is wrong"));
        }
        let size = header.entry_size().map_err(|_| refuse("a header's size cannot be read"))?;
        let name = std::str::from_utf8(&raw).map_err(|_| refuse("the name is not UTF-8"))?;
        match header.entry_type() {
            EntryType::Regular => {}
            EntryType::Directory => {
                let folder = name.strip_suffix('/').unwrap_or(name);
                names::shape(folder).map_err(|why| refuse(&why))?;
                if size != 0 {
                    return Err(refuse("a folder with content"));
                }
                seen.folder(folder).map_err(|why| refuse(&why))?;
                continue;
            }
            other => return Err(refuse(&format!("{} instead of a regular file", kind_name(other)))),
        }
        if block[157..257].iter().any(|byte| *byte != 0) {
            return Err(refuse("a regular file with a link target"));
        }
        let fate = names::judge(name).map_err(|why| refuse(&why))?;
        seen.file(name).map_err(|why| refuse(&why))?;
        let (limit, skipped) = match fate {
            Fate::Keep(limit) => (limit, false),
            Fate::Skip(limit) => (limit, true),
        };
        if size > limit {
            return Err(refuse(&format!("{size} bytes, {limit} are allowed")));
        }
        total = total.saturating_add(size);
        if total > budget {
            return Err(refuse(&format!("it would unpack to more than {budget} bytes: a bomb")));
        }
        let mut content = (&mut *input).take(size);
        visit(Found { name, size, skipped }, &mut content)?;
        drain(archive, &mut content)?;
        let padding = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        let mut rest = [0; BLOCK];
        fill(archive, input, &mut rest[..padding])?;
        if rest != [0; BLOCK] {
            return Err(refuse("bytes between two files"));
        }
    }
}

/// The second zero block and what may follow it, to the end of the stream.
fn tail(archive: &str, input: &mut dyn Read) -> Result<()> {
    let mut block = [0; BLOCK];
    fill(archive, input, &mut block)?;
    let mut rest = vec![0; BLOCK * MAX_TAIL_BLOCKS];
    let mut length = 0;
    while length < rest.len() {
        match input.read(&mut rest[length..]).map_err(|e| unreadable(archive, &e))? {
            0 => break,
            count => length += count,
        }
    }
    let more = length == rest.len() && input.read(&mut [0]).map_err(|e| unreadable(archive, &e))? > 0;
    if more || block.iter().chain(&rest).any(|byte| *byte != 0) {
        return Err(
            Problem::input(format!("{archive} is refused: there is content behind the end of its archive")).into()
        );
    }
    Ok(())
}

fn fill(archive: &str, input: &mut dyn Read, buffer: &mut [u8]) -> Result<()> {
    input.read_exact(buffer).map_err(|error| unreadable(archive, &error))
}

fn drain(archive: &str, content: &mut std::io::Take<impl Read>) -> Result<()> {
    let mut buffer = [0; 8192];
    while content.limit() > 0 {
        if content.read(&mut buffer).map_err(|error| unreadable(archive, &error))? == 0 {
            return Err(unreadable(archive, &std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}

/// A stream that ends early or does not inflate.
pub(super) fn unreadable(archive: &str, error: &std::io::Error) -> anyhow::Error {
    let why = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => error.to_string(),
    };
    Problem::input(format!("{archive} is refused: {why}"))
        .hint("get the file again; `sha256sum -c` tells whether it arrived whole")
        .into()
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNULongName | EntryType::GNULongLink => "a GNU extension header",
        EntryType::GNUSparse => "a GNU sparse file",
        EntryType::XGlobalHeader | EntryType::XHeader => "a PAX extension header",
        _ => "an entry of unknown kind",
    }
}
