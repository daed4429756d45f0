//! Which file a file was made as: its number and its birth. A copy, as a backup and what is restored from it, is another file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::UNIX_EPOCH;

/// Returns the origin of a file. A file system that does not know when a file was made has its number alone.
#[must_use]
pub fn of(metadata: &Metadata) -> String {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{} {}", metadata.ino(), born.as_nanos())
}
