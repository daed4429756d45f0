//! `GET /-/admin/status`: the primary's head, counts, followers, and since when it runs.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::socket_health::socket_status;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::{access_tokens, recovery_codes};
use crate::primary::directory::{reserved_projects, revocations, unpublished};
use crate::primary::extras::audit_log::{self, EventRange};
use crate::primary::extras::billing::{minute_packs, reconciliation, subscription};
use crate::primary::pushes::reference_counter;
use crate::primary::replication::accepted_loss;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;

/// Answers with one object.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let status = read_status(state, request.time).await?;
    Ok(Response::json(StatusCode::OK, status.to_string()))
}

/// Returns the object.
pub async fn read_status(state: &PrimaryState, time: RequestTime) -> Result<Value, ApiError> {
    let store = state.store.clone();
    let now = time.wall;
    let (counts, foreign, shared, invalid, size, accept_loss, (keys, users), kept) = run_blocking(move || {
        let (directory, private_store) = (store.directory(), store.private_store());
        let until = accepted_loss::accepted_until(private_store, now)?;
        Ok::<_, StoreError>((
            directory.counts_by_kind(),
            directory.foreign_count(),
            directory.shared_repositories().count(),
            directory.invalid_records().map(|invalid| invalid.count()),
            directory.size_on_disk(),
            until,
            revocations::count(private_store)?,
            private_store_counts(private_store, now)?,
        ))
    })
    .await?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "since": state.started_at.wall,
        "head": state.store.head(),
        "records": counts,
        "not_understood": foreign,
        "shared_repositories": shared,
        "invalid_records": invalid,
        "revocations": {"keys": keys, "users": users},
        "kept": kept,
        "store_bytes": size,
        "store": state.store_health(),
        "followers": state.hosts.open_streams(),
        "hosts": state.hosts.list(time.boot).len(),
        "missing_hosts": state.missing_hosts.current(time),
        "accept_loss_until": accept_loss,
        "shared_secret": state.api.accept_shared_secret,
        "sockets": socket_status(state.metrics.server_counters()),
        "creation": state.repositories.status(),
        "usage_dropped": state.last_used.dropped(),
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
