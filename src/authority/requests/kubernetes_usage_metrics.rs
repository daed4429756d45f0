//! `POST internal/kubernetes/usage_metrics`: agents were used so often. (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::kubernetes::counting::count;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;
use crate::wire::kubernetes::{BadUsage, read_usage};

/// Counts it.
pub async fn usage_metrics(house: &Arc<Authority>, call: Call) -> Answered {
    let usage = read_usage(&call.params).map_err(|bad| match bad {
        BadUsage::Invalid(invalid) => Refusal::from(invalid),
        BadUsage::Negative(_) => Refusal::bad(bad),
    })?;
    let store = house.store.clone();
    blocking(move || count(store.ledger(), &store.directory(), &usage)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
