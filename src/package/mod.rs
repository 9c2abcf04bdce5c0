//! The `.expert` bytes: strict reader, reproducible writer.
//!
//! A package is gzip(tar) with a manifest, an adapter as PEFT writes it, the tokenizer's files and a few texts
//! (upstream's format). [`gather`] collects and checks what an expert folder would pack, [`write_package`] writes it;
//! [`Package::open`] scans a package to its last byte before [`Package::extract`] writes anything. The reader is a
//! closed world: what is not on its short list is refused (exit 3) and nothing is left behind. Of our packages every
//! single bit is covered by a seal in the gzip header. Knows nothing of where experts are installed.

mod archive;
mod contents;
mod derive;
mod gzip;
mod layout;
mod names;
mod pack_manifest;
mod privacy;
mod read;
mod record;
mod tensors;
mod write;

pub use contents::{Contents, Item, Request, gather};
pub use names::is_folder_name;
pub use privacy::Leak;
pub use read::{Entry, Package, checksum_path};
pub use record::{Record, check_base, check_folder};
pub use tensors::{AdapterSummary, check_adapter};
pub use write::{write_folder, write_package};
