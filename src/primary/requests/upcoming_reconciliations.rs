//! `internal/upcoming_reconciliations`: the reconciliations of many namespaces, and the removal of one; below
//! `internal/gitlab_subscriptions/namespaces/:id/` those of one. (server.md 2.14)

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::net::message::Response;
use crate::primary::callers::token_owner::require_administrator;
use crate::primary::extras::billing::namespace::requested_namespace;
use crate::primary::extras::billing::reconciliation::{self, ReconciliationParams};
use crate::primary::extras::billing::validated_params::{ValidatedParams, ValidationErrors, require_saas, required_list};
use crate::primary::state::PrimaryState;

const LIST_PARAMETER: &str = "upcoming_reconciliations";

/// Stores all valid ones; answers what is wrong with the others.
pub async fn put_all(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    authorize(state, &request).await?;
    let list = required_list(&request.params, LIST_PARAMETER)?;
    let mut validation_errors = ValidationErrors::default();
    let mut parsed = Vec::with_capacity(list.len());
    for row in &list {
        let mut declared = ValidatedParams::in_list(LIST_PARAMETER, row, &mut validation_errors);
        declared.require(&["namespace_id"]).require_non_empty("namespace_id");
        parsed.push((declared.integer("namespace_id").unwrap_or_default(), ReconciliationParams::parse(&mut declared)));
    }
    validation_errors.into_result()?;
    let directory = state.store.directory();
    let mut good = BTreeMap::new();
    let mut bad = Vec::new();
    for (number, parsed) in parsed {
        let namespace = parse_id(number).map_or(Ok(None), |id| directory.namespace(id))?;
        match (namespace, parsed.validate(request.time.wall)) {
            (Some(namespace), Ok(reconciliation)) => drop(good.insert(namespace.id, reconciliation)),
            (None, judged) => {
                let mut errors = vec!["Namespace must exist"];
                errors.extend(judged.err().unwrap_or_default());
                bad.push(json!({"namespace_id": number, "errors": errors}));
            }
            (Some(_), Err(errors)) => bad.push(json!({"namespace_id": number, "errors": errors})),
        }
    }
    let (private_store, kept) = (state.store.private_store().clone(), good.len());
    run_blocking(move || reconciliation::upsert(&private_store, good)).await?;
    tracing::info!(kept, refused = bad.len(), "stored {kept} reconciliations, refused {}", bad.len());
    if bad.is_empty() { Ok(ok_response()) } else { Err(error_response(&Value::from(bad))) }
}

/// Removes that of `namespace_id`.
pub async fn delete(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    authorize(state, &request).await?;
    let mut validation_errors = ValidationErrors::default();
    let mut declared = ValidatedParams::new(&request.params, &mut validation_errors);
    declared.require(&["namespace_id"]).require_non_empty("namespace_id");
    let number = declared.integer("namespace_id").unwrap_or_default();
    validation_errors.into_result()?;
    remove_reconciliation(state, parse_id(number).ok_or_else(|| ApiError::not_found(""))?).await
}

/// Stores that of one namespace.
pub async fn put_one(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    authorize(state, &request).await?;
    let namespace = requested_namespace(state, &request)?;
    let mut validation_errors = ValidationErrors::default();
    let parsed = ReconciliationParams::parse(&mut ValidatedParams::new(&request.params, &mut validation_errors));
    validation_errors.into_result()?;
    let reconciliation = parsed.validate(request.time.wall).map_err(|errors| error_response(&json!(errors)))?;
    let private_store = state.store.private_store().clone();
    run_blocking(move || reconciliation::upsert(&private_store, [(namespace.id, reconciliation)].into())).await?;
    Ok(ok_response())
}

/// Removes that of one namespace.
pub async fn delete_one(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    authorize(state, &request).await?;
    let namespace = requested_namespace(state, &request)?;
    remove_reconciliation(state, namespace.id).await
}

/// Refuses everybody where the instance is not SaaS, before the caller is identified.
async fn authorize(state: &Arc<PrimaryState>, request: &ApiRequest) -> Result<(), ApiError> {
    require_saas(state.store.directory().settings()?.saas)?;
    require_administrator(state, request).await
}

async fn remove_reconciliation(state: &PrimaryState, namespace: Id) -> HandlerResult {
    let private_store = state.store.private_store().clone();
    run_blocking(move || reconciliation::remove(&private_store, namespace)).await?;
    tracing::info!(%namespace, "removed the reconciliation of namespace {namespace}");
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

fn parse_id(number: i64) -> Option<Id> {
    u64::try_from(number).ok()?.try_into().ok()
}

fn error_response(errors: &Value) -> ApiError {
    let text = errors.to_string();
    let body = json!({"message": {"error": text}});
    ApiError::with_body(StatusCode::BAD_REQUEST, text, body)
}

/// Answers 200 with the status as the body, as the contract has it.
fn ok_response() -> Response {
    Response::json(StatusCode::OK, "200")
}
