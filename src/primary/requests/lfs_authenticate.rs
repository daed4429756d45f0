//! `POST internal/lfs_authenticate`: a token for the large files of one container. Any known actor gets one; what it is
//! good for is judged when it is shown. (server.md 2.2, 4)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::access_request::ClaimedActor;
use crate::model::directory::Directory as _;
use crate::net::message::Response;
use crate::primary::callers::token_seed::holder_seed;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::state::PrimaryState;
use crate::rules::lfs::{TokenEligibility, check_eligibility, repository_http_url};
use crate::rules::lfs_token::{TOKEN_LIFETIME, issue_token};
use crate::wire::lfs_authenticate;

/// Answers with the token, and notes that the key was used.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let question = lfs_authenticate::parse_request(&request.params)?;
    let directory = state.store.directory();
    let (holder, repository) = match check_eligibility(&directory, &question)? {
        TokenEligibility::Eligible(holder, repository) => (holder, repository),
        TokenEligibility::ContainerNotFound => {
            return Ok(Response::json(StatusCode::NOT_FOUND, lfs_authenticate::CONTAINER_NOT_FOUND_BODY));
        }
        TokenEligibility::ActorNotFound => return Ok(Response::json(StatusCode::NOT_FOUND, lfs_authenticate::ACTOR_NOT_FOUND_BODY)),
    };
    if let ClaimedActor::Key(Some(key)) = question.claimed_actor {
        state.last_used.record(LastUsedSubject::Key(key), request.time.wall);
    }
    let jti = uuid::Uuid::new_v4().to_string();
    let (store, of_holder) = (state.store.clone(), holder.clone());
    let seed = run_blocking(move || holder_seed(&store, &of_holder)).await?;
    let token = issue_token(&seed, &holder, &repository, &jti, request.time.wall).map_err(ApiError::internal)?;
    let path = repository_http_url(&directory.settings()?.web_url, &repository);
    Ok(Response::json(StatusCode::OK, lfs_authenticate::encode_response(&holder.login(), &token, &path, TOKEN_LIFETIME.as_secs())))
}
