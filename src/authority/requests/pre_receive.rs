//! `POST internal/pre_receive`: a push begins. (server.md 2.8)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::references;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;
use crate::wire::post_receive as spelled;

/// Counts it. What cannot be counted may not begin, and the answer says so.
pub async fn pre_receive(house: &Arc<Authority>, call: Call) -> Answered {
    let gl_repository = spelled::gl_repository(&call.params)?;
    let (ledger, now) = (house.store.ledger().clone(), call.now);
    let counted = blocking(move || Ok::<_, Refusal>(references::increase(&ledger, &gl_repository, now))).await?;
    if let Err(damage) = &counted {
        tracing::error!(%damage, "the beginning of a push could not be counted, so it is refused");
    }
    Ok(Reply::json(StatusCode::OK, spelled::increased(counted.is_ok())))
}
