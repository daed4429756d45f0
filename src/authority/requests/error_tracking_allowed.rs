//! `POST internal/error_tracking/allowed`: may a client report errors with this key? Asked with a token of its own. (server.md 2.12)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::net::message::Reply;
use crate::wire::error_tracking as spelled;

/// The header of the token; the parameter goes before it.
const HEADER: &str = "gitlab-error-tracking-token";
/// The parameter of the token.
const PARAMETER: &str = "error_tracking_token";

/// Judges the token, then answers whether the key counts.
pub async fn allowed(house: &Arc<Authority>, call: Call) -> Answered {
    judge(house, &call)?;
    let (project, public_key) = spelled::read(&call.params)?.ok_or_else(unprocessable)?;
    let directory = house.store.directory();
    let known = match project.parse::<Id>() {
        Ok(id) => directory.project(id)?,
        Err(_) => None,
    };
    let project = known.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "404 Not found"))?;
    let key = directory.error_tracking_key(project.id, &public_key)?;
    let enabled = directory.settings()?.error_tracking && key.is_some_and(|key| key.active);
    Ok(Reply::json(StatusCode::OK, spelled::answered(enabled)))
}

/// Without a token of ours nobody has the right one. Of a request that could not be read the header counts.
fn judge(house: &Authority, call: &Call) -> Result<(), Refusal> {
    let parameter = call.params.text(PARAMETER).unwrap_or_default();
    let mut headers = call.headers.get_all(HEADER).iter();
    let shown = match (parameter, headers.next(), headers.next()) {
        (Some(token), _, _) => token.into_bytes(),
        (None, Some(header), None) => header.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let good = house.error_tracking_token.secrets().is_some_and(|secrets| secrets.same(&shown, call.now));
    if good {
        return call.whole();
    }
    house.counters.refused(if shown.is_empty() { "no token" } else { "wrong token" });
    Err(Refusal::unauthorized())
}

fn unprocessable() -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "422 Unprocessable Entity")
}
