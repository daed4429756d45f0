//! `GET internal/discover`: which user is behind a key or a name? `null` where there is none. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::model::access_request::ClaimedActor;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::denials::Holder;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept_answer;
use crate::sidecar::local_answer::{LocalAnswer, LocalQuestion, answer_or_query, query_primary};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::mirror_answer::{self, FollowedQuestion};
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire::claimant;
use crate::wire::discover::encode_response;
use crate::wire::http::params::{Params, encode_form};
use crate::wire::http::params_error::ParamsError;

/// The parameters that name a user, in the order in which the first that is there wins.
const USER_PARAMETERS: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Answers with the user, or `null`.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    if request.params.first_unknown(&USER_PARAMETERS).is_some() {
        return passthrough::handle_question(state, request).await;
    }
    let claimed_actor = claimant::parse_claimant(&request.params)?;
    let user = find_user_parameter(&request.params)?;
    let query = || UpstreamQuery::get(QueryKind::Discover, build_target(user.as_ref())).asked_for(&request.id);
    if let Some(kept) = &state.kept {
        return Ok(match KeptQuestion::discover(&claimed_actor, query()) {
            Some(question) if state.mirror.is_some() => {
                let followed = FollowedQuestion { look_up: |view: &LocalView| look_up_person(view, &claimed_actor), question };
                mirror_answer::answer(state, kept, followed, request.time).await
            }
            Some(question) => kept_answer::answer(state, kept, question, request.time).await,
            None => query_primary(state, query(), RequestClass::Other, RequestSubject::Login).await,
        });
    }
    let question = LocalQuestion { look_up: |view: &LocalView| look_up(view, &claimed_actor), query, miss_class: RequestClass::Other };
    Ok(answer_or_query(state, question, request.time).await)
}

fn look_up(view: &LocalView, claimed_actor: &ClaimedActor) -> LocalAnswer {
    let Some(view) = &view.view else { return LocalAnswer::Unavailable };
    let response = |body| Response::json(StatusCode::OK, body);
    match rules::discover::decide(&*view.directory, claimed_actor) {
        Ok(Some(user)) => {
            let key = if let ClaimedActor::Key(key) | ClaimedActor::KeyOwner(key) = claimed_actor { *key } else { None };
            LocalAnswer::Yes(response(encode_response(Some(&user))), Holder { key, user: Some(user.id) })
        }
        Ok(None) => LocalAnswer::No(response(encode_response(None))),
        Err(error) => {
            tracing::error!(%error, "failed to look up a user in the local directory, asking the primary: {error}");
            LocalAnswer::Unavailable
        }
    }
}

/// Looks a user up in the directory of a mirror. Behind a deploy key a GitLab sees who made it, which its mirror does not know.
fn look_up_person(view: &LocalView, claimed_actor: &ClaimedActor) -> LocalAnswer {
    let (ClaimedActor::Key(Some(id)) | ClaimedActor::KeyOwner(Some(id)), Some(held)) = (claimed_actor, &view.view) else {
        return look_up(view, claimed_actor);
    };
    match held.directory.key(*id) {
        Ok(Some(key)) if key.deploy => LocalAnswer::Unavailable,
        _ => look_up(view, claimed_actor),
    }
}

/// Returns the one parameter that counts.
fn find_user_parameter(params: &Params) -> Result<Option<(&'static str, String)>, ParamsError> {
    for name in USER_PARAMETERS {
        if let Some(value) = params.text(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// Returns the target that the primary is asked with.
fn build_target(user: Option<&(&'static str, String)>) -> String {
    user.map_or_else(
        || "/api/v4/internal/discover".to_owned(),
        |(name, value)| format!("/api/v4/internal/discover?{}", encode_form([(*name, value.as_str())])),
    )
}
