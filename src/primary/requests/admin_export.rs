//! `GET /-/admin/export`: the directory file, in the order of a snapshot, then what is never
//! published. It holds the tokens of Gitalys: keep it at 0600.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::body::{OutgoingBody, StreamAborted};
use crate::net::message::Response;
use crate::primary::directory::unpublished;
use crate::primary::replication::chunks::{ChunkSender, QUEUED_CHUNKS};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// The size of a chunk.
const CHUNK_BYTES: usize = 128 << 10;

/// Answers with the file as a stream.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let (pieces, body) = mpsc::channel(QUEUED_CHUNKS);
    let store = state.store.clone();
    tokio::task::spawn_blocking(move || stream_export(&store, &pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) })
}

/// Writes until the end, or until nobody reads. After an error the stream is cut off, not ended.
fn stream_export(store: &PrimaryStore, pieces: &ChunkSender) {
    if let Err(error) = send_records(store, pieces) {
        tracing::error!(%error, "an export was cut off: {error}");
        let _gone = pieces.blocking_send(Err(StreamAborted));
    }
}

fn send_records(store: &PrimaryStore, pieces: &ChunkSender) -> Result<(), StoreError> {
    let unpublished_records = unpublished::load_all(store.private_store())?;
    let published = store.directory().entries().map(|entry| entry.map(|entry| entry.text().to_owned()));
    let beside = unpublished_records.iter().map(|record| record.canonical().map_err(|error| StoreError(error.to_string())));
    let mut piece = Vec::with_capacity(CHUNK_BYTES * 2);
    for text in published.chain(beside) {
        piece.extend_from_slice(text?.as_bytes());
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
