//! `GET /-/admin/status`: where the primary stands, what it holds, and since when.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::authority::audit::{self, Span};
use crate::authority::authority::Authority;
use crate::authority::billing::{packs, reconciliation, subscription};
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::credentials::{codes, tokens};
use crate::authority::following::loss;
use crate::authority::references;
use crate::authority::refusal::Answered;
use crate::authority::withheld;
use crate::model::time::Time;
use crate::net::message::Reply;
use crate::store::generation::Damage;
use crate::store::ledger::Ledger;

/// Answers with one object.
pub async fn status(house: &Arc<Authority>, call: Call) -> Answered {
    let store = house.store.clone();
    let now = call.now;
    let (counts, foreign, size, accept_loss, kept) = blocking(move || {
        let (directory, ledger) = (store.directory(), store.ledger());
        let until = loss::accepted(ledger, now)?;
        Ok::<_, Damage>((directory.counts(), directory.foreign(), directory.size(), until, kept(ledger, now)?))
    })
    .await?;
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "since": house.since,
        "head": house.store.head(),
        "records": counts,
        "not_understood": foreign,
        "kept": kept,
        "store_bytes": size,
        "followers": house.hosts.streams(),
        "hosts": house.hosts.all().len(),
        "accept_loss_until": accept_loss,
        "shared_secret": house.accept_shared_secret,
        "usage_dropped": house.usage.dropped(),
    });
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}

/// How much there is of what is kept and not published.
fn kept(ledger: &Ledger, now: Time) -> Result<Value, Damage> {
    let Span { first, next } = audit::span(ledger)?;
    let pushes: Map<String, Value> = references::under_way(ledger, now)?.into_iter().map(|(word, count)| (word, count.into())).collect();
    Ok(json!({
        "recovery_codes": codes::count(ledger)?,
        "personal_access_tokens": tokens::count(ledger)?,
        "withheld_records": withheld::all(ledger)?.len(),
        "pushes_under_way": pushes,
        "subscriptions": subscription::count(ledger)?,
        "packs_of_minutes": packs::count(ledger)?,
        "reconciliations": reconciliation::count(ledger)?,
        "audit_events": next - first,
    }))
}
