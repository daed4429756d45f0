//! `POST namespaces/:id/minutes` and `PATCH namespaces/:id/minutes/move/:target_id`: packs of minutes that were bought, and where
//! they go; the same below `internal/gitlab_subscriptions/`. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::billing::declared::{Complaints, Declared, objects};
use crate::authority::billing::namespace::{find, named};
use crate::authority::billing::packs::{self, Told};
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::credentials::holder::administrator;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;

/// Keeps the packs of a list and answers with a list; keeps the one whose fields stand alone, and answers with it alone.
pub async fn add(house: &Arc<Authority>, call: Call) -> Answered {
    administrator(house, &call).await?;
    let namespace = named(house, &call)?;
    let alone = !call.params.given("packs") && call.params.given("number_of_minutes");
    let mut complaints = Complaints::default();
    let told: Vec<Told> = if alone {
        vec![Told::read(&mut Declared::of(&call.params, &mut complaints))]
    } else {
        let list = objects(&call.params, "packs")?;
        list.iter().map(|pack| Told::read(&mut Declared::within("packs", pack, &mut complaints))).collect()
    };
    complaints.none()?;
    let word = if alone { "pack" } else { "packs" };
    let packs = told.into_iter().map(|told| told.pack(call.now)).collect::<Option<Vec<_>>>();
    let packs = packs.ok_or_else(|| Refusal::bad(format_args!("Unable to save additional {word}")))?;
    let (ledger, id) = (house.store.ledger().clone(), namespace.id);
    let mut kept = blocking(move || packs::keep(&ledger, id, packs)).await?;
    tracing::info!(namespace = %id, packs = kept.len(), "packs of minutes were told");
    let body = match kept.pop() {
        Some(only) if alone => only,
        last => {
            kept.extend(last);
            kept.into()
        }
    };
    Ok(Reply::json(StatusCode::CREATED, body.to_string()))
}

/// Moves all packs between two namespaces at the top: 202, also where there are none.
pub async fn move_packs(house: &Arc<Authority>, call: Call) -> Answered {
    administrator(house, &call).await?;
    let source = named(house, &call)?;
    let target = call.segments.last().map(String::as_str).unwrap_or_default();
    let target = find(&house.store.directory(), target)?.ok_or_else(|| Refusal::not_found("Target namespace"))?;
    let refused = |text: &str| Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    if source.parent_id.is_some() {
        return refused("Namespace must be a top-level namespace");
    }
    if target.parent_id.is_some() {
        return refused("Target namespace must be a top-level namespace");
    }
    if source.id == target.id {
        return refused("Namespace and target must be different");
    }
    let (ledger, from, to) = (house.store.ledger().clone(), source.id, target.id);
    let moved = blocking(move || packs::shift(&ledger, from, to)).await?;
    tracing::info!(%from, %to, packs = moved, "packs of minutes were moved");
    Ok(Reply::message(StatusCode::ACCEPTED, "202 Accepted"))
}
