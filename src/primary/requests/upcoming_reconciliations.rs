//! `internal/upcoming_reconciliations`: reconciliations of many namespaces told together, and one taken back; below
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

/// Keeps every one that can be kept; says what is wrong with the others.
pub async fn put_all(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    authorize(house, &call).await?;
    let list = required_list(&call.params, LIST_PARAMETER)?;
    let mut complaints = ValidationErrors::default();
    let mut told = Vec::with_capacity(list.len());
    for row in &list {
        let mut declared = ValidatedParams::in_list(LIST_PARAMETER, row, &mut complaints);
        declared.require(&["namespace_id"]).require_non_empty("namespace_id");
        told.push((declared.integer("namespace_id").unwrap_or_default(), ReconciliationParams::parse(&mut declared)));
    }
    complaints.into_result()?;
    let directory = house.store.directory();
    let mut good = BTreeMap::new();
    let mut bad = Vec::new();
    for (number, told) in told {
        let namespace = parse_id(number).map_or(Ok(None), |id| directory.namespace(id))?;
        match (namespace, told.validate(call.now)) {
            (Some(namespace), Ok(reconciliation)) => drop(good.insert(namespace.id, reconciliation)),
            (None, judged) => {
                let mut errors = vec!["Namespace must exist"];
                errors.extend(judged.err().unwrap_or_default());
                bad.push(json!({"namespace_id": number, "errors": errors}));
            }
            (Some(_), Err(errors)) => bad.push(json!({"namespace_id": number, "errors": errors})),
        }
    }
    let (ledger, kept) = (house.store.private_store().clone(), good.len());
    run_blocking(move || reconciliation::upsert(&ledger, good)).await?;
    tracing::info!(kept, refused = bad.len(), "reconciliations were told");
    if bad.is_empty() { Ok(ok_response()) } else { Err(error_response(&Value::from(bad))) }
}

/// Takes back that of `namespace_id`.
pub async fn delete(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    authorize(house, &call).await?;
    let mut complaints = ValidationErrors::default();
    let mut declared = ValidatedParams::new(&call.params, &mut complaints);
    declared.require(&["namespace_id"]).require_non_empty("namespace_id");
    let number = declared.integer("namespace_id").unwrap_or_default();
    complaints.into_result()?;
    remove_reconciliation(house, parse_id(number).ok_or_else(|| ApiError::not_found(""))?).await
}

/// Keeps that of one namespace.
pub async fn put_one(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    authorize(house, &call).await?;
    let namespace = requested_namespace(house, &call)?;
    let mut complaints = ValidationErrors::default();
    let told = ReconciliationParams::parse(&mut ValidatedParams::new(&call.params, &mut complaints));
    complaints.into_result()?;
    let reconciliation = told.validate(call.now).map_err(|errors| error_response(&json!(errors)))?;
    let ledger = house.store.private_store().clone();
    run_blocking(move || reconciliation::upsert(&ledger, [(namespace.id, reconciliation)].into())).await?;
    Ok(ok_response())
}

/// Takes back that of one namespace.
pub async fn delete_one(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    authorize(house, &call).await?;
    let namespace = requested_namespace(house, &call)?;
    remove_reconciliation(house, namespace.id).await
}

/// That the instance sells nothing is said before anything else, to anybody.
async fn authorize(house: &Arc<PrimaryState>, call: &ApiRequest) -> Result<(), ApiError> {
    require_saas(house.store.directory().settings()?.saas)?;
    require_administrator(house, call).await
}

async fn remove_reconciliation(house: &PrimaryState, namespace: Id) -> HandlerResult {
    let ledger = house.store.private_store().clone();
    run_blocking(move || reconciliation::remove(&ledger, namespace)).await?;
    tracing::info!(%namespace, "a reconciliation was taken back");
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

/// As the base document has it: the status is the body.
fn ok_response() -> Response {
    Response::json(StatusCode::OK, "200")
}
