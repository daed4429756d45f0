//! A response of many lines, read from the store while the operator's command takes them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::net::body::{OutgoingBody, StreamAborted};
use crate::net::message::Response;
use crate::primary::replication::chunks::{ChunkSender, QUEUED_CHUNKS};
use crate::store::error::StoreError;

/// The size of a chunk.
const CHUNK_BYTES: usize = 128 << 10;

/// Answers with the lines that `lines` opens, on a blocking thread, until the end or until nobody reads. After an error the stream is cut
/// off, not ended; the log says that of `name`.
pub fn respond<I, T>(name: &'static str, lines: impl FnOnce() -> Result<I, StoreError> + Send + 'static) -> Response
where
    I: Iterator<Item = Result<T, StoreError>>,
    T: AsRef<str>,
{
    let (pieces, body) = mpsc::channel(QUEUED_CHUNKS);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = lines().and_then(|lines| send(lines, &pieces)) {
            tracing::error!(%error, "{name} was cut off: {error}");
            let _gone = pieces.blocking_send(Err(StreamAborted));
        }
    });
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) }
}

fn send<T: AsRef<str>>(lines: impl Iterator<Item = Result<T, StoreError>>, pieces: &ChunkSender) -> Result<(), StoreError> {
    let mut piece = Vec::with_capacity(CHUNK_BYTES * 2);
    for line in lines {
        piece.extend_from_slice(line?.as_ref().as_bytes());
        piece.push(b'\n');
        if piece.len() >= CHUNK_BYTES && pieces.blocking_send(Ok(Bytes::from(std::mem::take(&mut piece)))).is_err() {
            return Ok(());
        }
    }
    if !piece.is_empty() {
        let _gone = pieces.blocking_send(Ok(Bytes::from(piece)));
    }
    Ok(())
}
