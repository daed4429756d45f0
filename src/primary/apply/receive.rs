//! Receives the body of an apply, which may be gigabytes, into a temporary file without a name.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use crate::api::error::ApiError;
use crate::net::body::{BodyError, IncomingBody};
use crate::store::files::folder::is_storage_full;

/// Most bytes of a directory file.
const MAX_FILE_BYTES: u64 = 16 << 30;
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the whole body into a file. Refuses more than [`MAX_FILE_BYTES`], and a body of which nothing arrives for `idle_timeout`.
pub async fn receive_file(mut body: IncomingBody, temp_dir: &Path, idle_timeout: Duration) -> Result<File, ApiError> {
    if body.remaining_length().is_some_and(|bytes| bytes > MAX_FILE_BYTES) {
        return Err(too_large_error());
    }
    let file = tempfile::tempfile_in(temp_dir).map_err(storage_error)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, tokio::fs::File::from_std(file));
    let mut received = 0;
    loop {
        let chunk = match tokio::time::timeout(idle_timeout, body.next_chunk()).await {
            Ok(Some(chunk)) => chunk?,
            Ok(None) => break,
            Err(_) => return Err(BodyError::TimedOut.into()),
        };
        received += chunk.len() as u64;
        if received > MAX_FILE_BYTES {
            return Err(too_large_error());
        }
        out.write_all(&chunk).await.map_err(storage_error)?;
    }
    out.flush().await.map_err(storage_error)?;
    Ok(out.into_inner().into_std().await)
}

fn too_large_error() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("A directory file is at most {MAX_FILE_BYTES} bytes."))
}

fn storage_error(error: std::io::Error) -> ApiError {
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, describe_storage_error(&error))
}

/// Returns what an operator is told of a file that the store's folder did not take.
pub fn describe_storage_error(error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        _ if is_storage_full(error) => " The primary's disk is full: make room on it and try again.",
        std::io::ErrorKind::ReadOnlyFilesystem => " The file system of the primary's store is read-only: mount it writable and try again.",
        _ => "",
    };
    format!("The directory file could not be kept in the store's folder: {error}. Nothing was applied.{remedy}")
}
