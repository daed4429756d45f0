//! `POST internal/lfs_authenticate`: a token for LFS. Always the primary's; kept for a while, and given again only if the rules still say
//! yes to the same actor, unchanged, in the same repository. While the primary fails it is given until its end, for as long as reads are
//! answered. (server.md 2.2, 4)

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::api::error::HandlerResult;
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::response_headers::{mark_cached, mark_degraded, mark_forwarded};
use crate::model::access_decision::{AccessDecision, Actor, FoundBy};
use crate::model::access_request::LfsAuthenticateRequest;
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::denials::Holder;
use crate::sidecar::hedge::{HedgedOutcome, KnownQuestion, ask_beside_held_yes, wait_limit};
use crate::sidecar::lfs_token_cache::{HolderCheck, TokenHolder, TokenUse};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{DecisionKind, QueryKind};
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire;

/// Answers with a kept token, or asks the primary.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let question = wire::lfs_authenticate::parse_request(&request.params)?;
    if question.unsupported_param.is_some() {
        return passthrough::handle_question(state, request).await;
    }
    let time = request.time;
    let body = Value::Object(request.params.values).to_string();
    let query = UpstreamQuery::post(QueryKind::LfsAuthenticate, "/api/v4/internal/lfs_authenticate", body).asked_for(&request.id);
    let kept = KeptToken { state, question: &question, query: &query };
    let view = state.local_view(FreshnessClass::Reads, time).await;
    let check = kept.check_holder(&view, time);
    if view.is_fresh()
        && let Some(token) = state.lfs_tokens.find(&question, &check, time, TokenUse::Normal)
    {
        return Ok(mark_cached(Response::json(StatusCode::OK, token.body), Some(token.age)));
    }
    let has_token = state.lfs_tokens.find(&question, &check, time, TokenUse::Outage).is_some();
    let was_fresh = view.is_fresh();
    // A token that is half over is better than none, but a new one is better still.
    let wait = if was_fresh { state.config.timeout } else { wait_limit(state, &view, FreshnessClass::Reads) };
    drop(view);
    let removals = state.lfs_tokens.removals();
    let outcome = match (&check, has_token) {
        (HolderCheck::Granted(holder), true) => {
            let known = KnownQuestion { query: query.clone(), holder: Holder::of(&holder.actor), wait: Some(wait) };
            match ask_beside_held_yes(state, known, || kept.respond_without_primary()).await {
                HedgedOutcome::Held(response) => return Ok(response),
                HedgedOutcome::Asked(outcome) => outcome,
            }
        }
        _ => state.upstream.query(query.clone(), RequestClass::Other).await,
    };
    match outcome {
        QueryOutcome::Decided(decision) => {
            match (decision.kind, check) {
                (DecisionKind::Yes, HolderCheck::Granted(holder)) if was_fresh && kept.is_still_holder(&holder) => {
                    state.lfs_tokens.insert(question, holder, &decision.body, time, removals);
                }
                (DecisionKind::No, _) => state.lfs_tokens.remove_refused(&question),
                _ => {}
            }
            Ok(mark_forwarded(Response::json(decision.status, decision.body)))
        }
        QueryOutcome::Failed(error) => Ok(kept.respond_without_primary().unwrap_or_else(|| error.query_response(RequestSubject::Read))),
    }
}

/// The token that is kept for a question, if there is one.
struct KeptToken<'a> {
    state: &'a SidecarState,
    question: &'a LfsAuthenticateRequest,
    /// The question as the primary is asked it.
    query: &'a UpstreamQuery,
}

impl KeptToken<'_> {
    /// Answers with the token, if it is not over and the rules say yes at this moment.
    fn respond_without_primary(&self) -> Option<Response> {
        let time = RequestTime::now();
        let check = self.check_holder(&self.state.current_view(FreshnessClass::Reads, time), time);
        let token = self.state.lfs_tokens.find(self.question, &check, time, TokenUse::Outage)?;
        Some(mark_degraded(mark_cached(Response::json(StatusCode::OK, token.body), Some(token.age))))
    }

    /// Returns who would hold a token, if the rules say yes now to a person or a deploy key. Nobody in particular holds none.
    fn check_holder(&self, local: &LocalView, time: RequestTime) -> HolderCheck {
        let Some(view) = local.view_for_authorization() else { return HolderCheck::Unknown };
        let Ok(evaluation) = rules::allowed::decide(&*view.directory, &self.question.to_allowed_request(), time.wall) else {
            return HolderCheck::Unknown;
        };
        let AccessDecision::Granted(grant) = evaluation.decision else { return HolderCheck::Denied };
        if self.state.denials.denies(|| self.query.digest(), Holder::of(&grant.actor), local.exchange_proven_at) {
            return HolderCheck::Denied;
        }
        let is_somebody = matches!(grant.actor, Actor::User(..) | Actor::DeployKey(..));
        if !is_somebody || evaluation.found_by != FoundBy::CurrentPath {
            return HolderCheck::Denied;
        }
        HolderCheck::Granted(TokenHolder {
            repository: grant.repository.gl_repository(),
            project: grant.repository.project().map(|project| project.id),
            actor: grant.actor,
            epoch_changes: local.epoch_changes,
        })
    }

    /// Returns whether nothing has changed that the holder from before the primary was asked rests on.
    fn is_still_holder(&self, before: &TokenHolder) -> bool {
        let time = RequestTime::now();
        let view = self.state.current_view(FreshnessClass::Reads, time);
        view.is_fresh() && matches!(self.check_holder(&view, time), HolderCheck::Granted(holder) if holder == *before)
    }
}
