//! The gzip frame around a package, read and written byte for byte.
//!
//! Ours carries a seal: the header's extra field holds the SHA-256 of everything behind the header. A checksum inside
//! the archive cannot do that work, because deflate has many encodings of the same content (a run of zeros may be
//! copied from one byte back or from two) and its padding bits mean nothing: flips there change no file. With the seal
//! every flipped bit is seen. Other tools skip the field. Upstream's frames have no optional fields; in them the six
//! bytes of time, level and system are free.

use std::io::{BufRead, Read, Write};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use sha2::{Digest as _, Sha256};

/// Length of a sealed header.
pub(super) const SEALED_HEADER: usize = 50;

/// Length of a plain header.
const PLAIN_HEADER: usize = 10;

/// Everything before the digest: magic, deflate, FEXTRA; time 0, level 0, system unknown; the extra field's length (38,
/// whose low bits are no deflate block type: without the flag the stream is refused), `EX`, 34 bytes, version 1.
const SEAL_START: [u8; 18] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 38, 0, b'E', b'X', 34, 0, 1, 0];

/// The header of a sealed frame; `digest` is the SHA-256 of everything behind it.
pub(super) fn sealed_header(digest: &[u8; 32]) -> [u8; SEALED_HEADER] {
    let mut header = [0; SEALED_HEADER];
    header[..SEAL_START.len()].copy_from_slice(&SEAL_START);
    header[SEAL_START.len()..].copy_from_slice(digest);
    header
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Ours, with the digest of what follows.
    Sealed([u8; 32]),
    /// Without optional fields.
    Plain,
}

impl Frame {
    /// Reads the header, exactly.
    pub fn read(input: &mut impl Read) -> std::result::Result<Self, String> {
        let mut start = [0; PLAIN_HEADER];
        input.read_exact(&mut start).map_err(|_| "it is too short".to_owned())?;
        if start[..3] != SEAL_START[..3] {
            return Err("it is no gzip file".into());
        }
        match start[3] {
            0 => Ok(Self::Plain),
            4 => {
                let mut rest = [0; SEALED_HEADER - PLAIN_HEADER];
                input.read_exact(&mut rest).map_err(|_| "it is too short".to_owned())?;
                let (fixed, digest) = rest.split_at(SEAL_START.len() - PLAIN_HEADER);
                if start != SEAL_START[..PLAIN_HEADER] || fixed != &SEAL_START[PLAIN_HEADER..] {
                    return Err("its gzip header is not canonical".into());
                }
                Ok(Self::Sealed(digest.try_into().map_err(|_| "its seal is short".to_owned())?))
            }
            _ => Err("its gzip header has optional fields that no package has".into()),
        }
    }

    /// Length of the header.
    pub fn header_len(self) -> usize {
        match self {
            Self::Sealed(_) => SEALED_HEADER,
            Self::Plain => PLAIN_HEADER,
        }
    }
}

/// Reads the body of a frame and, at its end, the trailer, behind which nothing may stand.
pub(super) struct Body<R: BufRead> {
    inflate: DeflateDecoder<R>,
    crc: Crc,
    done: bool,
}

impl<R: BufRead> Body<R> {
    /// `input` stands behind the header.
    pub fn new(input: R) -> Self {
        Self { inflate: DeflateDecoder::new(input), crc: Crc::new(), done: false }
    }

    fn check_trailer(&mut self) -> std::io::Result<()> {
        let bad = |why: &str| Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        let mut trailer = [0; 8];
        let input = self.inflate.get_mut();
        if input.read_exact(&mut trailer).is_err() {
            return bad("it is cut off");
        }
        let word = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
        if word(0) != self.crc.sum() || word(4) != self.crc.amount() {
            return bad("its checksum does not fit its content");
        }
        if !input.fill_buf()?.is_empty() {
            return bad("there are bytes behind its end");
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.done || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inflate.read(buffer)?;
        self.crc.update(&buffer[..count]);
        if count == 0 {
            self.check_trailer()?;
            self.done = true;
        }
        Ok(count)
    }
}

/// Counts and hashes what goes through.
pub(super) struct HashingWriter<W: Write> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> HashingWriter<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The inner writer and the digest.
    pub fn finish(self) -> (W, [u8; 32]) {
        (self.inner, self.hasher.finalize().into())
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
