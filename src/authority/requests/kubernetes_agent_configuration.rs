//! `POST internal/kubernetes/agent_configuration`: what an agent's project says of it. (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::kubernetes::access::keep;
use crate::authority::refusal::{Answered, Refusal};
use crate::model::id::Id;
use crate::net::message::Reply;
use crate::wire::kubernetes::read_configuration;

/// Keeps it, with the projects and groups that it lets in.
pub async fn agent_configuration(house: &Arc<Authority>, call: Call) -> Answered {
    let read = read_configuration(&call.params)?;
    let (store, now) = (house.store.clone(), call.now);
    blocking(move || {
        let directory = store.directory();
        let agent = match u64::try_from(read.agent).ok().and_then(|number| Id::try_from(number).ok()) {
            Some(id) => directory.agent(id)?,
            None => None,
        };
        let agent = agent.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "404 Not found"))?;
        keep(store.ledger(), &directory, &agent, read, now).map_err(Refusal::from)
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
