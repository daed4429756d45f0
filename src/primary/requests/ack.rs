//! `POST internal/sidegate/ack`: a host reports the last change that counts in its answers and is on its disk.
//!
//! Its instance and its bound are on the primary's disk before it is answered: the host may use the bound from then on.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Head;
use crate::net::message::Response;
use crate::primary::alarm_kinds::UNKNOWN_ACK;
use crate::primary::replication::feed_clock::with_clock_header;
use crate::primary::replication::host_report::HostReport;
use crate::primary::state::PrimaryState;
use crate::store::primary::primary_store::CommitsAfter;
use crate::wire::directory::feed_lines::{self, Ack};

/// Whether this primary had the directory that a host reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReportedState {
    /// It had.
    Known,
    /// It is older than the journal, so that nobody can say.
    TooOld,
    /// It never had.
    Unknown,
}

/// Records it; 409 if the host has a directory that this primary never had.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let host = Arc::clone(&request.follower()?.host);
    let ack: Ack = request.json_body()?;
    if !feed_lines::is_valid_instance(&ack.instance) {
        return Err(ApiError::bad_request(feed_lines::INSTANCE_FORM));
    }
    let head = state.store.head();
    let reported = reported_state(state, &ack, &head).await?;
    if reported == ReportedState::Unknown {
        return Ok(state_mismatch(state, &host, &ack, &head).await);
    }
    let key = state.hosts.record_ack(&host, ack, reported == ReportedState::Known, request.time).map_err(ApiError::forbidden)?;
    state.hosts.record_report(&key, HostReport::from_headers(&request.headers));
    if !state.hosts.is_covered_on_disk(&key) {
        state.warn_of_shared_name(&host, request.time);
        state.store_host(&key).await?;
    }
    Ok(with_clock_header(Response::empty(StatusCode::NO_CONTENT)))
}

/// Looks for the state that a host reports: at the head, among the recent commits, and in the journal.
async fn reported_state(state: &PrimaryState, ack: &Ack, head: &Head) -> Result<ReportedState, ApiError> {
    let judge = |is_known| if is_known { ReportedState::Known } else { ReportedState::Unknown };
    if ack.epoch != head.epoch || ack.seq > head.seq {
        return Ok(ReportedState::Unknown);
    }
    if ack.seq == head.seq {
        return Ok(judge(ack.digest == head.state.digest));
    }
    if let Some(known) = state.feed.state_at(ack.epoch, ack.seq) {
        return Ok(judge(known.digest == ack.digest));
    }
    let (store, epoch, seq, digest) = (state.store.clone(), ack.epoch, ack.seq, ack.digest);
    Ok(match run_blocking(move || store.commits_after(epoch, seq, digest, 0)).await? {
        CommitsAfter::Commits(_) => ReportedState::Known,
        CommitsAfter::Gone => ReportedState::TooOld,
        CommitsAfter::Diverged(_) => ReportedState::Unknown,
    })
}

async fn state_mismatch(state: &Arc<PrimaryState>, host: &str, ack: &Ack, head: &Head) -> Response {
    state.metrics.record_alarm(UNKNOWN_ACK);
    tracing::error!(host, seq = ack.seq, head = head.seq, "host {host} has a directory at seq {} that this primary never had", ack.seq);
    if ack.epoch == head.epoch {
        state.notice_missing_hosts().await;
    }
    let message = "This primary never had such a directory.";
    Response::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string())
}
