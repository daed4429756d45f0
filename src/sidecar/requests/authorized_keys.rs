//! `GET internal/authorized_keys?key=`: whose key is this? (server.md 2.3)
//!
//! What is no Base64 of a blob, or longer than any key, is a miss wherever it is looked for, and is never asked: no answer about it could be
//! accepted.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, Caller, RequestTime};
use crate::api::response_headers::mark_local;
use crate::model::freshness::FreshnessClass;
use crate::model::key::decode_blob;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::denials::Holder;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept_answer;
use crate::sidecar::local_answer::{LocalAnswer, LocalQuestion, answer_or_query};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::mirror_answer::{self, FollowedQuestion};
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire::authorized_keys::{encode_authorized_key, parse_key};

/// Answers with the key, or 404.
pub async fn handle(state: &Arc<SidecarState>, mut request: ApiRequest) -> HandlerResult {
    if let Some(name) = request.params.first_unknown(&["key"]) {
        // A parameter that we do not read is the primary's to judge, if the caller may have the request signed.
        if request.caller != Caller::Shell {
            return Err(ApiError::unknown_parameter(name));
        }
        request.target.encode_plus_in("key");
        return passthrough::handle_question(state, request).await;
    }
    let key = parse_key(&request.params)?.ok_or_else(|| ApiError::missing_parameter("key"))?;
    let Some(blob) = decode_blob(&key) else {
        let view = state.local_view(FreshnessClass::Keys, request.time).await;
        return Ok(mark_local(miss_response(), view.age));
    };
    let query = || UpstreamQuery::authorized_keys(blob.clone(), &key).asked_for(&request.id);
    if let (Some(kept), Some(_mirror)) = (&state.kept, &state.mirror) {
        let followed =
            FollowedQuestion { look_up: |view: &LocalView| look_up(view, &blob), question: KeptQuestion::authorized_keys(query()) };
        return Ok(mirror_answer::answer(state, kept, followed, request.time).await);
    }
    if let Some(kept) = &state.kept {
        return Ok(kept_answer::answer(state, kept, KeptQuestion::authorized_keys(query()), request.time).await);
    }
    let question = LocalQuestion { look_up: |view: &LocalView| look_up(view, &blob), query, miss_class: RequestClass::KeyMiss };
    Ok(answer_or_query(state, question, request.time).await)
}

/// Looks a key up in the local directory, for whoever wants to know whether that ends.
pub fn probe(state: &SidecarState) {
    let view = state.current_view(FreshnessClass::Keys, RequestTime::now());
    let _what_was_found = look_up(&view, b"a key that nobody has");
}

fn look_up(view: &LocalView, blob: &[u8]) -> LocalAnswer {
    let Some(view) = &view.view else { return LocalAnswer::Unavailable };
    match rules::authorized_keys::decide(&*view.directory, blob) {
        Ok(Some(found)) => {
            let body = encode_authorized_key(&found.key, found.owner.as_deref(), &found.settings.host);
            let holder = Holder { key: Some(found.key.id), user: found.key.user_id };
            LocalAnswer::Yes(Response::json(StatusCode::OK, body), holder)
        }
        Ok(None) => LocalAnswer::No(miss_response()),
        Err(error) => {
            tracing::error!(%error, "failed to look up a key in the local directory, asking the primary: {error}");
            LocalAnswer::Unavailable
        }
    }
}

fn miss_response() -> Response {
    ApiError::not_found("Key").into_response()
}
