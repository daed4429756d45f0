//! `GET internal/sidegate/snapshot`: the whole directory, JSON Lines in zstd.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::primary::replication::chunks::QUEUED_CHUNKS;
use crate::primary::replication::feed_clock::with_clock_header;
use crate::primary::replication::snapshot_cache::send_snapshot;
use crate::primary::state::PrimaryState;

/// Waits for a permit, then answers with the stream.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let host = Arc::clone(&request.follower()?.host);
    let permit = state
        .snapshots
        .acquire()
        .await
        .ok_or_else(|| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Too many hosts take a snapshot at this moment; come again."))?;
    let snapshot = state.snapshots.recent(&state.store, &state.temp_dir).await?;
    tracing::info!(%host, "sending a snapshot to {host}");
    let (chunks, body) = mpsc::channel(QUEUED_CHUNKS);
    tokio::spawn(send_snapshot(snapshot, permit, chunks));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"))]);
    Ok(with_clock_header(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) }))
}
