//! `GET internal/sidegate/changes`: the commits after a cursor, for as long as both ends stay connected.
//!
//! 410: the journal does not reach back so far, or it is of another epoch: take a snapshot; it names the head. 409: the cursor is not one that
//! this primary ever had, so one of the two was restored from a backup: an operator has to look.
//!
//! The host says which store it has (`instance`) and for how many seconds it may answer without the primary (`max_stale`, the largest of
//! its bounds, rounded up). 403: that is longer than the primary allows. Both are on disk before the response, whose header
//! `X-Sidegate-Max-Stale` repeats the bound: before that the host does not use a larger one than before. A host of an older version says
//! neither. Where not all kinds of records are published, `X-Sidegate-Covers` names them, as the head of a snapshot does.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::model::change::{Epoch, Head};
use crate::model::digest::{Digest, DirectoryDigest};
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::primary::alarm_kinds::UNKNOWN_CURSOR;
use crate::primary::replication::chunks::QUEUED_CHUNKS;
use crate::primary::replication::feed_clock::with_clock_header;
use crate::primary::replication::follower_stream::stream_changes;
use crate::primary::replication::host_report::HostReport;
use crate::primary::replication::host_table::HostClaim;
use crate::primary::replication::hosts::StreamGuard;
use crate::primary::state::PrimaryState;
use crate::store::primary::primary_store::CommitsAfter;
use crate::wire::directory::feed_lines;

/// The header that says which bound of the host is on the primary's disk: the host may use it from then on.
const CONFIRMED_BOUND_HEADER: &str = "x-sidegate-max-stale";

/// The header that names the kinds of records that are published, where these are not all.
const COVERS_HEADER: &str = "x-sidegate-covers";

/// Answers with the changes as a stream.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let follower = request.follower()?.clone();
    let claim = parse_claim(&request, &follower.host)?;
    let cursor = parse_cursor(&request)?;
    let store = state.store.clone();
    match run_blocking(move || store.commits_after(cursor.epoch, cursor.seq, cursor.state.digest, 1)).await? {
        CommitsAfter::Commits(_) => {}
        CommitsAfter::Gone => {
            state.hosts.note(&claim, request.time).map_err(ApiError::forbidden)?;
            return Ok(cursor_gone(&state.store.head()));
        }
        CommitsAfter::Diverged(head) => {
            state.hosts.note(&claim, request.time).map_err(ApiError::forbidden)?;
            return Ok(cursor_mismatch(state, &follower.host, head).await);
        }
    }
    let stream = register(state, &claim, request.time).await?;
    state.hosts.record_report(stream.key(), HostReport::from_headers(&request.headers));
    let (chunks, body) = mpsc::channel(QUEUED_CHUNKS);
    tokio::spawn(stream_changes(state.stream_source(), follower, stream, cursor, chunks));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    let response = with_clock_header(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_channel(body) });
    let response = match state.snapshots.covers() {
        Some(kinds) => response.with_header(COVERS_HEADER, &kinds.join(",")),
        None => response,
    };
    Ok(match claim.instance {
        Some((_, max_stale)) => response.with_header(CONFIRMED_BOUND_HEADER, &max_stale.to_string()),
        None => response,
    })
}

/// Registers the host, with its bound, in memory and on disk: only then does it get a line.
async fn register(state: &Arc<PrimaryState>, claim: &HostClaim, now: RequestTime) -> Result<StreamGuard, ApiError> {
    let stream = state.hosts.open_stream(claim, now).map_err(|error| {
        tracing::warn!(host = %claim.name, "refused the feed to host {}: {error}", claim.name);
        ApiError::forbidden(error)
    })?;
    state.warn_of_shared_name(&claim.name, now);
    state.store_host(stream.key()).await?;
    Ok(stream)
}

/// Reads which host asks. One of an older version names neither its store nor its bound.
fn parse_claim(request: &ApiRequest, name: &Arc<str>) -> Result<HostClaim, ApiError> {
    let (instance, max_stale) = (request.params.text("instance")?, request.number("max_stale")?);
    let instance = match (instance, max_stale) {
        (Some(instance), Some(max_stale)) if feed_lines::is_valid_instance(&instance) => Some((Arc::from(instance.as_str()), max_stale)),
        (Some(_), Some(_)) => return Err(ApiError::bad_request(feed_lines::INSTANCE_FORM)),
        (Some(_), None) => return Err(ApiError::missing_parameter("max_stale")),
        (None, Some(_)) => return Err(ApiError::missing_parameter("instance")),
        (None, None) => None,
    };
    Ok(HostClaim { name: Arc::clone(name), instance })
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

async fn cursor_mismatch(state: &Arc<PrimaryState>, host: &str, head: Head) -> Response {
    state.metrics.record_alarm(UNKNOWN_CURSOR);
    tracing::error!(
        host,
        seq = head.seq,
        "follower {host} has a cursor that this primary never had: if a store was restored from a backup, run `sidegate admin new-epoch`"
    );
    state.notice_missing_hosts().await;
    let message = "This cursor is not one that this primary ever had: one of the two was restored from a backup. \
                   The operator of the primary says `sidegate admin new-epoch` once.";
    Response::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string())
}
