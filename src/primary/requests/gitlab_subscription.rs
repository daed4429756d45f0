//! `namespaces/:id/gitlab_subscription`: reading, making and changing a namespace's subscription; the same below
//! `internal/gitlab_subscriptions/`. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::record::Namespace;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::callers::token_owner::{authenticate, require_administrator};
use crate::primary::credentials::token_scope::TokenScope;
use crate::primary::extras::billing::namespace::{NamespaceAccess, namespace_access, requested_namespace};
use crate::primary::extras::billing::seats;
use crate::primary::extras::billing::subscription::{self, ResponseKind, Subscription};
use crate::primary::extras::billing::validated_params::{ValidatedParams, ValidationErrors};
use crate::primary::state::PrimaryState;

/// Answers an owner or an administrator; with nothing but `null` where there is no subscription.
pub async fn read(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let holder = authenticate(state, &request).await?;
    holder.require_scope(&[TokenScope::Api, TokenScope::ReadApi])?;
    let namespace = requested_namespace(state, &request)?;
    match namespace_access(&state.store.directory(), &holder, &namespace, request.time.wall)? {
        NamespaceAccess::Owner => {}
        NamespaceAccess::Visible => return Err(ApiError::new(StatusCode::FORBIDDEN, "403 Forbidden")),
        NamespaceAccess::Hidden => return Err(ApiError::not_found("Namespace")),
    }
    let (state, now) = (Arc::clone(state), request.time.wall);
    let body = run_blocking(move || match subscription::load(state.store.private_store(), namespace.id)? {
        Some(found) => response_body(&state, &found, &namespace, ResponseKind::Read, now),
        None => Ok(subscription::no_subscription()),
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Makes it: 201.
pub async fn create(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    require_administrator(state, &request).await?;
    let namespace = requested_namespace(state, &request)?;
    let mut validation_errors = ValidationErrors::default();
    let mut params = ValidatedParams::new(&request.params, &mut validation_errors);
    params.require(&["start_date"]);
    let requested = Subscription::from_params(&mut params, request.time.wall);
    validation_errors.into_result()?;
    let (state, now) = (Arc::clone(state), request.time.wall);
    let body = run_blocking(move || {
        subscription::create(state.store.private_store(), namespace.id, &requested)?;
        tracing::info!(namespace = %namespace.id, "created a subscription for namespace {}", namespace.id);
        response_body(&state, &requested, &namespace, ResponseKind::Write, now)
    })
    .await?;
    Ok(Response::json(StatusCode::CREATED, body.to_string()))
}

/// Changes what is given.
pub async fn update(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    require_administrator(state, &request).await?;
    let namespace = requested_namespace(state, &request)?;
    let state = Arc::clone(state);
    let body = run_blocking(move || {
        let changed = subscription::update(state.store.private_store(), namespace.id, request.time.wall, |subscription| {
            let mut validation_errors = ValidationErrors::default();
            subscription.apply_params(&mut ValidatedParams::new(&request.params, &mut validation_errors));
            validation_errors.into_result()
        })?;
        tracing::info!(namespace = %namespace.id, "changed the subscription of namespace {}", namespace.id);
        response_body(&state, &changed, &namespace, ResponseKind::Write, request.time.wall)
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

fn response_body(
    state: &PrimaryState,
    found: &Subscription,
    namespace: &Namespace,
    as_what: ResponseKind,
    now: Time,
) -> Result<Value, ApiError> {
    Ok(found.to_json(seats::count_seats(&state.store.directory(), namespace, now)?, as_what))
}
