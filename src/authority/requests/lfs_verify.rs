//! `POST internal/sidegate/lfs_verify`: what is this token good for? Asked by whoever serves the large files.

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;
use crate::rules::lfs::{LfsAccess, judge};
use crate::wire::lfs as spelled;

/// Answers with the name and the access, or 401 without saying why.
pub async fn lfs_verify(house: &Arc<Authority>, call: Call) -> Answered {
    let proof = spelled::read_proof(&call.params)?;
    let judged = judge(&house.store.directory(), &house.store.seed(), &proof, call.now)?;
    let (holder, access) = judged.ok_or_else(Refusal::unauthorized)?;
    Ok(Reply::json(StatusCode::OK, spelled::verified(&holder.login(), access == LfsAccess::Write)))
}
