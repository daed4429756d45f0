//! `POST namespaces/:id/minutes` and `PATCH namespaces/:id/minutes/move/:target_id`: packs of minutes that were bought, and where
//! they go; the same below `internal/gitlab_subscriptions/`. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::callers::token_owner::require_administrator;
use crate::primary::extras::billing::minute_packs::{self, PackParams};
use crate::primary::extras::billing::namespace::{find_namespace, requested_namespace};
use crate::primary::extras::billing::validated_params::{ValidatedParams, ValidationErrors, required_list};
use crate::primary::state::PrimaryState;

/// Stores the packs of a list and answers with a list; or stores the one whose fields are not in a list, and answers with it alone.
pub async fn add_packs(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    require_administrator(state, &request).await?;
    let namespace = requested_namespace(state, &request)?;
    let alone = !request.params.contains("packs") && request.params.contains("number_of_minutes");
    let mut errors = ValidationErrors::default();
    let parsed: Vec<PackParams> = if alone {
        vec![PackParams::parse(&mut ValidatedParams::new(&request.params, &mut errors))]
    } else {
        let list = required_list(&request.params, "packs")?;
        list.iter().map(|pack| PackParams::parse(&mut ValidatedParams::in_list("packs", pack, &mut errors))).collect()
    };
    errors.into_result()?;
    let word = if alone { "pack" } else { "packs" };
    let packs = parsed.into_iter().map(|parsed| parsed.validate(request.time.wall)).collect::<Option<Vec<_>>>();
    let packs = packs.ok_or_else(|| ApiError::bad_request(format_args!("Unable to save additional {word}")))?;
    let (private_store, id) = (state.store.private_store().clone(), namespace.id);
    let mut kept = run_blocking(move || minute_packs::insert_packs(&private_store, id, packs)).await?;
    tracing::info!(namespace = %id, packs = kept.len(), "added {} packs of minutes to namespace {id}", kept.len());
    let body = match kept.pop() {
        Some(only) if alone => only,
        last => {
            kept.extend(last);
            kept.into()
        }
    };
    Ok(Response::json(StatusCode::CREATED, body.to_string()))
}

/// Moves all packs between two namespaces at the top: 202, also where there are none.
pub async fn move_packs(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    require_administrator(state, &request).await?;
    let source = requested_namespace(state, &request)?;
    let target = request.segments().last().map(String::as_str).unwrap_or_default();
    let target = find_namespace(&state.store.directory(), target)?.ok_or_else(|| ApiError::not_found("Target namespace"))?;
    let refused = |text: &str| Err(ApiError::new(StatusCode::BAD_REQUEST, text));
    if source.parent_id.is_some() {
        return refused("Namespace must be a top-level namespace");
    }
    if target.parent_id.is_some() {
        return refused("Target namespace must be a top-level namespace");
    }
    if source.id == target.id {
        return refused("Namespace and target must be different");
    }
    let (private_store, from, to) = (state.store.private_store().clone(), source.id, target.id);
    let moved = run_blocking(move || minute_packs::move_packs(&private_store, from, to)).await?;
    tracing::info!(%from, %to, packs = moved, "moved {moved} packs of minutes from namespace {from} to {to}");
    Ok(Response::message(StatusCode::ACCEPTED, "202 Accepted"))
}
