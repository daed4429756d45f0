//! `POST internal/sidegate/ack`: a host reports the last change that counts in its answers and is on its disk.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Head;
use crate::net::message::Response;
use crate::primary::replication::feed_clock::with_clock_header;
use crate::primary::replication::host_record::{DUPLICATE_HOST, InstanceCheck};
use crate::primary::state::PrimaryState;
use crate::wire::directory::feed_lines::Ack;

/// The longest name of an instance.
const MAX_INSTANCE_BYTES: usize = 64;

/// Records it; 409 if the host has a directory that this primary never had.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let host = Arc::clone(&request.follower()?.host);
    let ack: Ack = request.json_body()?;
    if ack.instance.is_empty() || ack.instance.len() > MAX_INSTANCE_BYTES || !ack.instance.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ApiError::bad_request(format_args!("instance is 1 to {MAX_INSTANCE_BYTES} printable characters")));
    }
    let head = state.store.head();
    if !is_known_state(state, &ack, &head) {
        state.metrics.record_alarm("ack unlike ours");
        tracing::error!(%host, seq = ack.seq, head = head.seq, "host {host} has a directory at seq {} that this primary never had", ack.seq);
        let message = "This primary never had such a directory.";
        return Ok(Response::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string()));
    }
    match state.hosts.record_ack(&host, ack, request.time.wall).map_err(ApiError::forbidden)? {
        InstanceCheck::Single => {}
        InstanceCheck::Duplicate => {
            state.metrics.record_alarm("host twice");
            tracing::error!(%host, "host {host} is not unique: {DUPLICATE_HOST}");
        }
    }
    Ok(with_clock_header(Response::empty(StatusCode::NO_CONTENT)))
}

/// Returns whether this primary had the directory that a host reports, as far as that is still known.
fn is_known_state(state: &PrimaryState, ack: &Ack, head: &Head) -> bool {
    if ack.epoch != head.epoch || ack.seq > head.seq {
        return false;
    }
    if ack.seq == head.seq {
        return ack.digest == head.state.digest;
    }
    state.feed.state_at(ack.epoch, ack.seq).is_none_or(|state| state.digest == ack.digest)
}
