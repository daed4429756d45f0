//! Copies the store at one moment into a file without a name, from which the operator's command then takes it at its own pace.
//!
//! No commit is made while the copy is, so that directory and private store belong together; requests are answered all the while. Nothing
//! that is unfinished is copied: who has the writer's guard has a directory and a private store that agree.

use std::fs::File;
use std::io::{BufWriter, Seek as _};
use std::path::Path;

use http::StatusCode;

use crate::api::error::ApiError;
use crate::model::time::Time;
use crate::primary::backup::copy_room::{self, CopyFile};
use crate::primary::directory::writer::DirectoryWriter;
use crate::store::files::folder::is_storage_full;
use crate::store::primary::primary_store::PrimaryStore;
use crate::wire::directory::backup_lines::{BackupHeader, BackupWriter};

const BUFFER_BYTES: usize = 1 << 20;

/// Writes a whole backup into a temporary file in `temp_dir`, and returns it at its beginning. Refused before anything waits for it where
/// the disk has no room for the copy. Blocks.
pub fn write_backup(store: &PrimaryStore, writer: &DirectoryWriter, temp_dir: &Path, now: Time) -> Result<File, ApiError> {
    copy_room::check(temp_dir, store.size_on_disk())?;
    let file = CopyFile::new(tempfile::tempfile_in(temp_dir).map_err(storage_error)?, temp_dir);
    let guard = writer.lock()?;
    let head = store.durable_head()?;
    let header = BackupHeader { made_at: now, epoch: head.epoch, seq: head.seq, state: head.state };
    let mut backup = BackupWriter::begin(BufWriter::with_capacity(BUFFER_BYTES, file), &header).map_err(storage_error)?;
    for entry in store.directory().entries() {
        backup.write_record(entry?.text()).map_err(storage_error)?;
    }
    for (key, value) in store.private_store().scan_prefix(b"")? {
        backup.write_private(&key, &value).map_err(storage_error)?;
    }
    drop(guard);
    let mut file = backup.finish().map_err(storage_error)?.into_inner().map_err(|error| storage_error(error.into_error()))?.into_file();
    file.rewind().map_err(storage_error)?;
    Ok(file)
}

fn storage_error(error: std::io::Error) -> ApiError {
    let remedy = if is_storage_full(&error) { " The primary's disk is full: make room on it and try again." } else { "" };
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, format!("The backup could not be written in the store's folder: {error}.{remedy}"))
}
