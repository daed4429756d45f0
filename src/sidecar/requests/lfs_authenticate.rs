//! `POST internal/lfs_authenticate`: a token for LFS. Always the primary's; kept for a while, and given again only if the rules still say
//! yes to the same actor, unchanged, in the same repository. (server.md 2.2, 4)

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::api::error::HandlerResult;
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::response_headers::{mark_cached, mark_forwarded};
use crate::model::access_decision::{AccessDecision, Actor, FoundBy};
use crate::model::access_request::LfsAuthenticateRequest;
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::cached_view::CachedView;
use crate::sidecar::lfs_token_cache::TokenHolder;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{DecisionKind, QueryKind};
use crate::wire;

/// Answers with a kept token, or asks the primary.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let question = wire::lfs_authenticate::parse_request(&request.params)?;
    if question.unsupported_param.is_some() {
        return passthrough::handle_question(state, request).await;
    }
    let time = request.time;
    let holder = resolve_holder(&state.cached_view(FreshnessClass::Reads, time).await, &question, time);
    if let Some(token) = state.lfs_tokens.find(&question, holder.as_ref(), time) {
        return Ok(mark_cached(Response::json(StatusCode::OK, token.body), Some(token.age)));
    }
    let query = UpstreamQuery {
        kind: QueryKind::LfsAuthenticate,
        target: "/api/v4/internal/lfs_authenticate".to_owned(),
        body: Some(Value::Object(request.params.values).to_string()),
    };
    let removals = state.lfs_tokens.removals();
    match state.upstream.query(query, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => {
            if decision.kind == DecisionKind::Yes
                && let Some(holder) = holder.filter(|holder| is_still_holder(state, &question, holder))
            {
                state.lfs_tokens.insert(question, holder, &decision.body, time, removals);
            }
            Ok(mark_forwarded(Response::json(decision.status, decision.body)))
        }
        QueryOutcome::Failed(error) => Ok(error.query_response()),
    }
}

/// Returns who would hold a token, if the rules say yes now to a person or a deploy key. Nobody in particular holds none.
fn resolve_holder(cached: &CachedView, question: &LfsAuthenticateRequest, time: RequestTime) -> Option<TokenHolder> {
    let view = cached.view_for_authorization().filter(|_| cached.is_fresh())?;
    let evaluation = rules::allowed::decide(&*view.directory, &question.to_allowed_request(), time.wall).ok()?;
    let AccessDecision::Granted(grant) = evaluation.decision else { return None };
    let is_somebody = matches!(grant.actor, Actor::User(..) | Actor::DeployKey(..));
    (is_somebody && evaluation.found_by == FoundBy::CurrentPath).then(|| TokenHolder {
        repository: grant.repository.gl_repository(),
        project: grant.repository.project().map(|project| project.id),
        actor: grant.actor,
        epoch_changes: cached.epoch_changes,
    })
}

/// Returns whether nothing has changed that the holder from before the primary was asked rests on.
fn is_still_holder(state: &SidecarState, question: &LfsAuthenticateRequest, before: &TokenHolder) -> bool {
    let time = RequestTime::now();
    resolve_holder(&state.current_view(FreshnessClass::Reads, time), question, time).as_ref() == Some(before)
}
