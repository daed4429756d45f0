//! `GET /-/admin/status`, as `docs/status.md` describes it: the primary's head, counts, followers, and since when it runs.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::socket_health::socket_status;
use crate::model::change::Head;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::{access_tokens, recovery_codes};
use crate::primary::directory::{reserved_projects, revocations, unpublished};
use crate::primary::extras::audit_log::{self, EventRange};
use crate::primary::extras::billing::{minute_packs, reconciliation, subscription};
use crate::primary::pushes::reference_counter;
use crate::primary::replication::accepted_loss;
use crate::primary::replication::host_table::HostView;
use crate::primary::standing_alarms::standing_alarms;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::PrivateStore;

/// So many hosts that are away, or overdue, are named.
const MOST_NAMED_HOSTS: usize = 8;

/// Answers with one object. While the disk hangs, what only it can tell is `null`.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let status = read_status(state, request.time).await?;
    Ok(Response::json(StatusCode::OK, status.to_string()))
}

/// Returns the object.
pub async fn read_status(state: &PrimaryState, time: RequestTime) -> Result<Value, ApiError> {
    let (store, now) = (state.store.clone(), time.wall);
    let figures = state.figures.read("status", move || store_figures(&store, now)).await?.unwrap_or_default();
    let directory = state.store.directory();
    let (hosts, head) = (state.hosts.list(time.boot), state.store.head());
    let overdue = state.propagation_monitor().overdue_hosts(&hosts, &head, time.wall);
    let away = hosts.iter().filter(|host| !host.is_connected() && !host.has_lapsed());
    Ok(json!({
        "daemon": "primary",
        "now": time.wall,
        "version": env!("CARGO_PKG_VERSION"),
        "since": state.started_at.wall,
        "head": head,
        "records": directory.counts_by_kind(),
        "not_understood": directory.foreign_count(),
        "shared_repositories": directory.shared_repositories().count(),
        "invalid_records": directory.invalid_records().map(|invalid| invalid.count()),
        "revocations": figures["revocations"],
        "kept": figures["kept"],
        "store_bytes": figures["store_bytes"],
        "disk_free_bytes": figures["disk_free_bytes"],
        "store": state.store_health(),
        "alarms": standing_alarms(state, time),
        "followers": state.hosts.open_streams(),
        "hosts": hosts.len(),
        "hosts_following": hosts.iter().filter(|host| host.is_connected()).count(),
        "hosts_behind": hosts.iter().filter(|host| !host.has_lapsed() && !is_at_head(host, &head)).count(),
        "hosts_away": away.clone().count(),
        "away": away.take(MOST_NAMED_HOSTS).map(away_host).collect::<Vec<_>>(),
        "hosts_overdue": overdue.len(),
        "overdue": overdue.iter().take(MOST_NAMED_HOSTS).collect::<Vec<_>>(),
        "missing_hosts": state.missing_hosts.current(time),
        "accept_loss_until": figures["accept_loss_until"],
        "shared_secret": state.api.accept_shared_secret,
        "sockets": socket_status(&state.server_counters),
        "reload": state.last_reload.status(),
        "creation": state.repositories.status(),
        "usage_dropped": state.last_used.dropped(),
    }))
}

/// Returns whether a host has confirmed all that this primary has published.
fn is_at_head(host: &HostView, head: &Head) -> bool {
    host.acked.as_ref().is_some_and(|acked| (acked.epoch, acked.seq) == (head.epoch, head.seq))
}

/// Returns a host that is not connected and may still answer.
fn away_host(host: &HostView) -> Value {
    json!({"host": host.name, "last_seen": host.seen, "may_answer_seconds": host.may_serve_for.as_secs()})
}

/// Reads what waits for a write under way. Blocks.
fn store_figures(store: &PrimaryStore, now: Time) -> Result<Value, StoreError> {
    let private_store = store.private_store();
    let (keys, users) = revocations::count(private_store)?;
    Ok(json!({
        "accept_loss_until": accepted_loss::accepted_until(private_store, now)?,
        "revocations": {"keys": keys, "users": users},
        "kept": private_store_counts(private_store, now)?,
        "store_bytes": store.directory().size_on_disk(),
        "disk_free_bytes": store.free_bytes(),
    }))
}

/// Counts what is stored and not published.
fn private_store_counts(private_store: &PrivateStore, now: Time) -> Result<Value, StoreError> {
    let EventRange { first, next } = audit_log::event_range(private_store)?;
    let pushes: Map<String, Value> = reference_counter::active_pushes(private_store, now)?
        .into_iter()
        .map(|(gl_repository, count)| (gl_repository, count.into()))
        .collect();
    Ok(json!({
        "recovery_codes": recovery_codes::count_users(private_store)?,
        "personal_access_tokens": access_tokens::count_tokens(private_store)?,
        "reserved_projects": reserved_projects::count(private_store)?,
        "withheld_records": unpublished::load_all(private_store)?.len(),
        "pushes_under_way": pushes,
        "subscriptions": subscription::count_subscriptions(private_store)?,
        "packs_of_minutes": minute_packs::count_packs(private_store)?,
        "reconciliations": reconciliation::count_reconciliations(private_store)?,
        "audit_events": next - first,
    }))
}
