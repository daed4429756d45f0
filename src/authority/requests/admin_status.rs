//! `GET /-/admin/status`: where the primary stands, what it holds, and since when.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::authority::audit::{self, EventRange};
use crate::authority::authority::PrimaryState;
use crate::authority::billing::{packs, reconciliation, subscription};
use crate::authority::blocking::run_blocking;
use crate::authority::call::ApiRequest;
use crate::authority::credentials::{codes, tokens};
use crate::authority::following::loss;
use crate::authority::references;
use crate::authority::refusal::HandlerResult;
use crate::authority::withheld;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::store::generation::StoreError;
use crate::store::ledger::PrivateStore;

/// Answers with one object.
pub async fn status(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let store = house.store.clone();
    let now = call.now;
    let (counts, foreign, size, accept_loss, kept) = run_blocking(move || {
        let (directory, ledger) = (store.directory(), store.private_store());
        let until = loss::accepted_until(ledger, now)?;
        Ok::<_, StoreError>((
            directory.counts_by_kind(),
            directory.foreign_count(),
            directory.size_on_disk(),
            until,
            private_store_counts(ledger, now)?,
        ))
    })
    .await?;
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "since": house.started_at,
        "head": house.store.head(),
        "records": counts,
        "not_understood": foreign,
        "kept": kept,
        "store_bytes": size,
        "followers": house.hosts.open_streams(),
        "hosts": house.hosts.list().len(),
        "accept_loss_until": accept_loss,
        "shared_secret": house.accept_shared_secret,
        "usage_dropped": house.last_used.dropped(),
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// How much there is of what is kept and not published.
fn private_store_counts(ledger: &PrivateStore, now: Time) -> Result<Value, StoreError> {
    let EventRange { first, next } = audit::event_range(ledger)?;
    let pushes: Map<String, Value> =
        references::active_pushes(ledger, now)?.into_iter().map(|(word, count)| (word, count.into())).collect();
    Ok(json!({
        "recovery_codes": codes::count_users(ledger)?,
        "personal_access_tokens": tokens::count_tokens(ledger)?,
        "withheld_records": withheld::load_all(ledger)?.len(),
        "pushes_under_way": pushes,
        "subscriptions": subscription::count_subscriptions(ledger)?,
        "packs_of_minutes": packs::count_packs(ledger)?,
        "reconciliations": reconciliation::count_reconciliations(ledger)?,
        "audit_events": next - first,
    }))
}
