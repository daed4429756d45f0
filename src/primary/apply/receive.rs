//! Receives the body of an apply, which may be gigabytes, into a file without a name.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use crate::net::body::{BodyError, IncomingBody};
use crate::primary::refusal::ApiError;

/// Most bytes of a directory file.
pub const MAX_FILE_BYTES: u64 = 16 << 30;
const BUFFER_BYTES: usize = 1 << 20;

/// The whole body, at most [`FILE_BYTES`], no piece of it later than `between` after the one before.
pub async fn receive_file(mut body: IncomingBody, workshop: &Path, between: Duration) -> Result<File, ApiError> {
    if body.remaining_length().is_some_and(|bytes| bytes > MAX_FILE_BYTES) {
        return Err(too_large_error());
    }
    let file = tempfile::tempfile_in(workshop).map_err(storage_error)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, tokio::fs::File::from_std(file));
    let mut received = 0;
    loop {
        let piece = match tokio::time::timeout(between, body.next_chunk()).await {
            Ok(Some(piece)) => piece?,
            Ok(None) => break,
            Err(_) => return Err(BodyError::TimedOut.into()),
        };
        received += piece.len() as u64;
        if received > MAX_FILE_BYTES {
            return Err(too_large_error());
        }
        out.write_all(&piece).await.map_err(storage_error)?;
    }
    out.flush().await.map_err(storage_error)?;
    Ok(out.into_inner().into_std().await)
}

fn too_large_error() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("A directory file is at most {MAX_FILE_BYTES} bytes."))
}

/// A disk that is full, most likely.
fn storage_error(error: std::io::Error) -> ApiError {
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        format!("The directory file could not be kept in the store's folder: {error}. Nothing was applied."),
    )
}
