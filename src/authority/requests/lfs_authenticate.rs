//! `POST internal/lfs_authenticate`: a token for the large files of one container. Any known actor gets one; what it is
//! good for is judged when it is shown. (server.md 2.2, 4)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::usage::Used;
use crate::model::directory::Directory as _;
use crate::model::question::Claimant;
use crate::net::message::Reply;
use crate::rules::lfs::{Eligibility, LIFETIME, eligible, http_path, mint};
use crate::wire::lfs as spelled;

/// Answers with the token, and notes that the key was used.
pub async fn lfs_authenticate(house: &Arc<Authority>, call: Call) -> Answered {
    let question = spelled::read(&call.params)?;
    let directory = house.store.directory();
    let (holder, repository) = match eligible(&directory, &question)? {
        Eligibility::Yes(holder, repository) => (holder, repository),
        Eligibility::NoContainer => return Ok(Reply::json(StatusCode::NOT_FOUND, spelled::NO_CONTAINER)),
        Eligibility::NoActor => return Ok(Reply::json(StatusCode::NOT_FOUND, spelled::NO_ACTOR)),
    };
    if let Claimant::Key(Some(key)) = question.claimant {
        house.usage.note(Used::Key(key), call.now);
    }
    let jti = uuid::Uuid::new_v4().to_string();
    let token = mint(&house.store.seed(), &holder, &repository, &jti, call.now).map_err(Refusal::fault)?;
    let path = http_path(&directory.settings()?.web_url, &repository);
    Ok(Reply::json(StatusCode::OK, spelled::authenticated(&holder.login(), &token, &path, LIFETIME.as_secs())))
}
