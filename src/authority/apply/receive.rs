//! Receives the body of an apply, which may be gigabytes, into a file without a name.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use crate::authority::refusal::Refusal;
use crate::net::message::{BodyRefused, Incoming};

/// Most bytes of a directory file.
pub const FILE_BYTES: u64 = 16 << 30;
const BUFFER: usize = 1 << 20;

/// The whole body, at most [`FILE_BYTES`], no piece of it later than `between` after the one before.
pub async fn receive(mut body: Incoming, workshop: &Path, between: Duration) -> Result<File, Refusal> {
    if body.declared().is_some_and(|bytes| bytes > FILE_BYTES) {
        return Err(too_large());
    }
    let file = tempfile::tempfile_in(workshop).map_err(not_kept)?;
    let mut out = BufWriter::with_capacity(BUFFER, tokio::fs::File::from_std(file));
    let mut received = 0;
    loop {
        let piece = match tokio::time::timeout(between, body.piece()).await {
            Ok(Some(piece)) => piece?,
            Ok(None) => break,
            Err(_) => return Err(BodyRefused::TooSlow.into()),
        };
        received += piece.len() as u64;
        if received > FILE_BYTES {
            return Err(too_large());
        }
        out.write_all(&piece).await.map_err(not_kept)?;
    }
    out.flush().await.map_err(not_kept)?;
    Ok(out.into_inner().into_std().await)
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("A directory file is at most {FILE_BYTES} bytes."))
}

/// A disk that is full, most likely.
fn not_kept(error: std::io::Error) -> Refusal {
    Refusal::new(
        StatusCode::INSUFFICIENT_STORAGE,
        format!("The directory file could not be kept in the store's folder: {error}. Nothing was applied."),
    )
}
