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
use crate::primary::replication::host_table::{HostView, OLDER_VERSION, SHARED_NAME};
use crate::primary::replication::hosts::ForgetOutcome;
use crate::primary::state::PrimaryState;

/// Answers with the head, all hosts by name, and whether hosts may be missing from these.
pub async fn hosts(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let head = state.store.head();
    let hosts: Vec<_> = state.hosts.list(request.time.boot).iter().map(|host| host_json(host, &head, request.time.wall)).collect();
    let missing_hosts = state.missing_hosts.current(request.time);
    Ok(Response::json(StatusCode::OK, json!({"head": head, "hosts": hosts, "missing_hosts": missing_hosts}).to_string()))
}

/// Forgets those of a name that are not connected, or one instance of it. (`host`, `instance`)
pub async fn forget_host(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let name = request.required_text("host")?;
    let instance = request.params.text("instance")?.filter(|instance| !instance.is_empty());
    let (hosts, private_store, asked) = (Arc::clone(&state.hosts), state.store.private_store().clone(), name.clone());
    match run_blocking(move || hosts.forget(&asked, instance.as_deref(), &private_store)).await? {
        ForgetOutcome::Forgotten { connected } => {
            tracing::info!(host = %name, "the operator removed host {name}");
            let message = match connected {
                0 => format!("host {name} is forgotten"),
                _ => format!("what is not connected of host {name} is forgotten; {connected} of that name are connected and stay"),
            };
            Ok(Response::json(StatusCode::OK, json!({ "message": message }).to_string()))
        }
        ForgetOutcome::Unknown => Err(ApiError::not_found("Host")),
        ForgetOutcome::Connected => Err(ApiError::conflict("This host is connected now; stop its sidecar first.")),
    }
}

fn host_json(host: &HostView, head: &Head, now: Time) -> Value {
    let lag = host.acked.as_ref().filter(|acked| acked.epoch == head.epoch).map(|acked| head.seq.saturating_sub(acked.seq));
    json!({
        "host": host.name,
        "instance": host.instance,
        "connected": host.is_connected(),
        "streams": host.streams,
        "last_seen": host.seen,
        "acked": host.acked,
        "seq": host.acked.as_ref().map(|acked| acked.seq),
        "lag": lag,
        "max_stale": host.max_stale,
        "until": now.plus(host.may_serve_for),
        "lapsed": host.has_lapsed(),
        "alarm": host.shares_name.then_some(SHARED_NAME),
        "version": host.report.version,
        "alarms": host.report.alarms,
        "proves_age": host.says_bounds,
        "note": (!host.says_bounds).then_some(OLDER_VERSION),
    })
}
