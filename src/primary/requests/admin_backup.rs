//! `GET /-/admin/backup`: the whole store at one moment: the directory, and what is never published, with tokens, codes and seeds. Whoever
//! has it can sign as this primary: keep it at 0600.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::body::{OutgoingBody, StreamAborted};
use crate::net::message::Response;
use crate::primary::backup::write::write_backup;
use crate::primary::replication::chunks::{ChunkSender, QUEUED_CHUNKS};
use crate::primary::state::PrimaryState;

const CHUNK_BYTES: usize = 256 << 10;

/// Makes the backup, and answers with it as a stream.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (shared, now) = (Arc::clone(state), request.time.wall);
    let file = run_blocking(move || write_backup(&shared.store, &shared.writer, &shared.temp_dir, now)).await?;
    tracing::info!("a backup of the store is being sent");
    let (pieces, body) = mpsc::channel(QUEUED_CHUNKS);
    tokio::task::spawn_blocking(move || send(file, &pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) })
}

/// Sends until the end, or until nobody reads. After an error the stream is cut off, not ended.
fn send(mut file: File, pieces: &ChunkSender) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let piece = match file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk) {
            Ok(0) => return,
            Ok(_) => Ok(Bytes::from(chunk)),
            Err(error) => {
                tracing::error!(%error, "a backup was cut off: {error}");
                Err(StreamAborted)
            }
        };
        let is_last = piece.is_err();
        if pieces.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}
