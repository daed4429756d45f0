//! `internal/upcoming_reconciliations`: reconciliations of many namespaces told together, and one taken back; below
//! `internal/gitlab_subscriptions/namespaces/:id/` those of one. (server.md 2.14)

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::authority::authority::Authority;
use crate::authority::billing::declared::{Complaints, Declared, objects, only_saas};
use crate::authority::billing::namespace::named;
use crate::authority::billing::reconciliation::{self, Told};
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::credentials::holder::administrator;
use crate::authority::refusal::{Answered, Refusal};
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::net::message::Reply;

const LIST: &str = "upcoming_reconciliations";

/// Keeps every one that can be kept; says what is wrong with the others.
pub async fn tell_all(house: &Arc<Authority>, call: Call) -> Answered {
    let_in(house, &call).await?;
    let list = objects(&call.params, LIST)?;
    let mut complaints = Complaints::default();
    let mut told = Vec::with_capacity(list.len());
    for row in &list {
        let mut declared = Declared::within(LIST, row, &mut complaints);
        declared.must_have(&["namespace_id"]).must_say("namespace_id");
        told.push((declared.integer("namespace_id").unwrap_or_default(), Told::read(&mut declared)));
    }
    complaints.none()?;
    let directory = house.store.directory();
    let mut good = BTreeMap::new();
    let mut bad = Vec::new();
    for (number, told) in told {
        let namespace = id(number).map_or(Ok(None), |id| directory.namespace(id))?;
        match (namespace, told.judged(call.now)) {
            (Some(namespace), Ok(reconciliation)) => drop(good.insert(namespace.id, reconciliation)),
            (None, judged) => {
                let mut errors = vec!["Namespace must exist"];
                errors.extend(judged.err().unwrap_or_default());
                bad.push(json!({"namespace_id": number, "errors": errors}));
            }
            (Some(_), Err(errors)) => bad.push(json!({"namespace_id": number, "errors": errors})),
        }
    }
    let (ledger, kept) = (house.store.ledger().clone(), good.len());
    blocking(move || reconciliation::keep(&ledger, good)).await?;
    tracing::info!(kept, refused = bad.len(), "reconciliations were told");
    if bad.is_empty() { Ok(done()) } else { Err(failed(&Value::from(bad))) }
}

/// Takes back that of `namespace_id`.
pub async fn take_back(house: &Arc<Authority>, call: Call) -> Answered {
    let_in(house, &call).await?;
    let mut complaints = Complaints::default();
    let mut declared = Declared::of(&call.params, &mut complaints);
    declared.must_have(&["namespace_id"]).must_say("namespace_id");
    let number = declared.integer("namespace_id").unwrap_or_default();
    complaints.none()?;
    remove(house, id(number).ok_or_else(|| Refusal::not_found(""))?).await
}

/// Keeps that of one namespace.
pub async fn tell_one(house: &Arc<Authority>, call: Call) -> Answered {
    let_in(house, &call).await?;
    let namespace = named(house, &call)?;
    let mut complaints = Complaints::default();
    let told = Told::read(&mut Declared::of(&call.params, &mut complaints));
    complaints.none()?;
    let reconciliation = told.judged(call.now).map_err(|errors| failed(&json!(errors)))?;
    let ledger = house.store.ledger().clone();
    blocking(move || reconciliation::keep(&ledger, [(namespace.id, reconciliation)].into())).await?;
    Ok(done())
}

/// Takes back that of one namespace.
pub async fn take_back_one(house: &Arc<Authority>, call: Call) -> Answered {
    let_in(house, &call).await?;
    let namespace = named(house, &call)?;
    remove(house, namespace.id).await
}

/// That the instance sells nothing is said before anything else, to anybody.
async fn let_in(house: &Arc<Authority>, call: &Call) -> Result<(), Refusal> {
    only_saas(house.store.directory().settings()?.saas)?;
    administrator(house, call).await
}

async fn remove(house: &Authority, namespace: Id) -> Answered {
    let ledger = house.store.ledger().clone();
    blocking(move || reconciliation::remove(&ledger, namespace)).await?;
    tracing::info!(%namespace, "a reconciliation was taken back");
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(number: i64) -> Option<Id> {
    u64::try_from(number).ok()?.try_into().ok()
}

fn failed(errors: &Value) -> Refusal {
    let text = errors.to_string();
    let body = json!({"message": {"error": text}});
    Refusal::shaped(StatusCode::BAD_REQUEST, text, body)
}

/// As the base document has it: the status is the body.
fn done() -> Reply {
    Reply::json(StatusCode::OK, "200")
}
