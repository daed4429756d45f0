//! `GET internal/sidegate/changes`: the commits after a cursor, for as long as both ends stay connected.
//!
//! 410: the journal does not reach back so far, or it is of another epoch: take a snapshot; it names the head. 409: the cursor is not one that
//! this primary ever had, so one of the two was restored from a backup: an operator has to look.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::{Epoch, Head};
use crate::model::digest::{Digest, DirectoryDigest};
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::primary::replication::chunks::QUEUED_CHUNKS;
use crate::primary::replication::feed_clock::with_clock_header;
use crate::primary::replication::follower_stream::stream_changes;
use crate::primary::state::PrimaryState;
use crate::store::primary::primary_store::CommitsAfter;

/// Answers with the changes as a stream.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let follower = request.follower()?.clone();
    let cursor = parse_cursor(&request)?;
    let store = state.store.clone();
    match run_blocking(move || store.commits_after(cursor.epoch, cursor.seq, cursor.state.digest, 1)).await? {
        CommitsAfter::Commits(_) => {}
        CommitsAfter::Gone => return Ok(cursor_gone(&state.store.head())),
        CommitsAfter::Diverged(head) => return Ok(cursor_mismatch(state, &follower.host, head)),
    }
    let stream = state.hosts.open_stream(&follower.host, request.time.wall).map_err(ApiError::forbidden)?;
    let (chunks, body) = mpsc::channel(QUEUED_CHUNKS);
    tokio::spawn(stream_changes(state.stream_source(), follower, stream, cursor, chunks));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(with_clock_header(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) }))
}

fn parse_cursor(request: &ApiRequest) -> Result<Head, ApiError> {
    let epoch: Epoch = request.required_text("epoch")?.parse().map_err(ApiError::bad_request)?;
    let seq = request.number("after")?.ok_or_else(|| ApiError::missing_parameter("after"))?;
    let digest: Digest = request.required_text("digest")?.parse().map_err(ApiError::bad_request)?;
    Ok(Head { epoch, seq, state: DirectoryDigest { digest, count: 0 } })
}

/// Names the head, so that a host can follow what is taken away from now on while it loads its snapshot.
fn cursor_gone(head: &Head) -> Response {
    let message = "The journal does not reach back to this cursor, or is of another epoch: take a snapshot.";
    let DirectoryDigest { digest, count } = head.state;
    let body = json!({"message": message, "epoch": head.epoch, "seq": head.seq, "digest": digest, "count": count});
    Response::json(StatusCode::GONE, body.to_string())
}

fn cursor_mismatch(state: &PrimaryState, host: &str, head: Head) -> Response {
    state.metrics.record_alarm("cursor unlike ours");
    tracing::error!(
        host,
        seq = head.seq,
        "follower {host} has a cursor that this primary never had: if a store was restored from a backup, run `sidegate admin new-epoch`"
    );
    let message = "This cursor is not one that this primary ever had: one of the two was restored from a backup. \
                   The operator of the primary says `sidegate admin new-epoch` once.";
    Response::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string())
}
