//! `GET /-/admin/hosts` and `POST /-/admin/forget-host`: which hosts follow, what is in force there, and which are no more.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Head;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::replication::host_record::{DUPLICATE_HOST, HostRecord};
use crate::primary::replication::hosts::ForgetOutcome;
use crate::primary::state::PrimaryState;

/// Answers with the head and all hosts by name.
pub async fn hosts(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let head = state.store.head();
    let hosts: Vec<_> = state.hosts.list().iter().map(|(name, host)| host_json(name, host, &head, request.time.wall)).collect();
    Ok(Response::json(StatusCode::OK, json!({"head": head, "hosts": hosts}).to_string()))
}

/// Forgets one that is not connected. (`host`)
pub async fn forget_host(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let name = request.required_text("host")?;
    let (hosts, private_store, asked) = (Arc::clone(&state.hosts), state.store.private_store().clone(), name.clone());
    match run_blocking(move || hosts.forget(&asked, &private_store)).await? {
        ForgetOutcome::Forgotten => {
            tracing::info!(host = %name, "the operator removed host {name}");
            Ok(Response::json(StatusCode::OK, json!({"message": format!("host {name} is forgotten")}).to_string()))
        }
        ForgetOutcome::Unknown => Err(ApiError::not_found("Host")),
        ForgetOutcome::Connected => Err(ApiError::conflict("This host is connected now; stop its sidecar first.")),
    }
}

fn host_json(name: &str, host: &HostRecord, head: &Head, now: Time) -> Value {
    let lag = host.acked.as_ref().filter(|acked| acked.epoch == head.epoch).map(|acked| head.seq.saturating_sub(acked.seq));
    json!({
        "host": name,
        "connected": host.open_streams > 0,
        "streams": host.open_streams,
        "last_seen": host.seen,
        "acked": host.acked,
        "seq": host.acked.as_ref().map(|acked| acked.seq),
        "lag": lag,
        "until": host.may_serve_until(),
        "alarm": host.is_duplicated(now).then_some(DUPLICATE_HOST),
    })
}
