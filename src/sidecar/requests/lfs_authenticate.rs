//! `lfs_authenticate`: a token for LFS. Always the primary's; kept for a while, and given again only if the rules still say yes to the
//! same actor, unchanged, in the same repository. (server.md 2.2, 4)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::Value;

use crate::model::access_decision::{AccessDecision, Actor, FoundBy};
use crate::model::access_request::LfsAuthenticateRequest;
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::cached_view::Age;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::headers;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::sidecar::upstream::client::{self, QueryOutcome};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{DecisionKind, QueryKind};
use crate::wire;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::http::params::Params;

/// How many tokens are kept.
const MAX_CACHED_TOKENS: usize = 4096;

/// Tokens that the primary gave, by who asked for what.
pub(in crate::sidecar) struct LfsTokenCache {
    entries: Cache<LfsAuthenticateRequest, Arc<CachedToken>>,
    /// How often all of them were forgotten.
    clear_count: AtomicU64,
}

struct CachedToken {
    body: serde_json::Map<String, Value>,
    holder: TokenHolder,
    lifetime: Duration,
    received_at: RequestTime,
}

/// Whose a token is, and of what: the words of a question may name somebody else a moment later.
#[derive(Clone, PartialEq, Eq)]
struct TokenHolder {
    actor: Actor,
    repository: String,
}

/// Answers `POST internal/lfs_authenticate`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let asked = match wire::lfs_authenticate::parse_request(&params) {
        Ok(asked) if asked.unsupported_param.is_some() => return passthrough::handle(house, call).await,
        Ok(asked) => asked,
        Err(bad) => return bad_request_response(&bad.to_string()),
    };
    let holder = resolve_holder(house, &asked, call.received_at).await;
    if let Some(reply) = cached_response(house, &asked, holder.as_ref(), call.received_at) {
        return reply;
    }
    let question = client::UpstreamQuery {
        kind: QueryKind::LfsAuthenticate,
        target: "/api/v4/internal/lfs_authenticate".to_owned(),
        body: Some(strip_shared_secret(params)),
    };
    let forgotten = house.lfs_tokens.clear_count();
    match house.upstream.query(question, RequestClass::Other, call.received_at).await {
        QueryOutcome::Decided(decided) => {
            if decided.kind == DecisionKind::Yes
                && let Some(holder) = recheck_holder(house, &asked, holder, call.received_at).await
                && forgotten == house.lfs_tokens.clear_count()
            {
                house.lfs_tokens.insert(asked, holder, &decided.body, call.received_at);
            }
            headers::mark_forwarded(Response::json(decided.status, decided.body))
        }
        QueryOutcome::Failed(outage) => outage.query_response(),
    }
}

/// A kept token, until half of its life is over, if it is this holder's. What is not given again is forgotten.
fn cached_response(
    house: &SidecarState,
    asked: &LfsAuthenticateRequest,
    holder: Option<&TokenHolder>,
    moment: RequestTime,
) -> Option<Response> {
    let token = house.lfs_tokens.entries.get(asked)?;
    let age = moment.boot.since(token.received_at.boot);
    if age >= token.lifetime / 2 || holder != Some(&token.holder) {
        house.lfs_tokens.entries.remove(asked);
        return None;
    }
    let mut body = token.body.clone();
    body.insert("expires_in".to_owned(), (token.lifetime - age).as_secs().into());
    Some(headers::mark_cached(Response::json(http::StatusCode::OK, Value::Object(body).to_string()), Age(Some(age))))
}

/// Who would hold a token, if the rules say yes at this moment to a person or a deploy key. Nobody in particular holds none.
async fn resolve_holder(house: &SidecarState, asked: &LfsAuthenticateRequest, moment: RequestTime) -> Option<TokenHolder> {
    let known = house.cached_view(FreshnessClass::Reads, moment).await;
    let view = known.view_for_authorization().filter(|_| known.is_fresh())?;
    let judged = rules::allowed::decide(&*view.directory, &asked.to_allowed_request(), moment.wall).ok()?;
    let AccessDecision::Granted(grant) = judged.decision else { return None };
    let is_somebody = matches!(grant.actor, Actor::User(..) | Actor::DeployKey(..));
    (is_somebody && judged.found_by == FoundBy::CurrentPath)
        .then(|| TokenHolder { repository: grant.repository.gl_repository(), actor: grant.actor })
}

/// The holder from before the primary was asked, if nothing that it rests on has changed meanwhile.
async fn recheck_holder(
    house: &SidecarState,
    asked: &LfsAuthenticateRequest,
    before: Option<TokenHolder>,
    moment: RequestTime,
) -> Option<TokenHolder> {
    let before = before?;
    (resolve_holder(house, asked, moment).await? == before).then_some(before)
}

impl Default for LfsTokenCache {
    fn default() -> Self {
        Self { entries: Cache::new(MAX_CACHED_TOKENS), clear_count: AtomicU64::new(0) }
    }
}

impl LfsTokenCache {
    fn insert(&self, asked: LfsAuthenticateRequest, holder: TokenHolder, body: &[u8], at: RequestTime) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return };
        let Some(seconds) = body.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 1) else { return };
        self.entries.insert(asked, Arc::new(CachedToken { body, holder, lifetime: Duration::from_secs(seconds), received_at: at }));
    }

    fn clear_count(&self) -> u64 {
        self.clear_count.load(Ordering::SeqCst)
    }

    /// Forgets all of them, and those that are being asked for.
    pub fn clear(&self) {
        self.clear_count.fetch_add(1, Ordering::SeqCst);
        self.entries.clear();
    }
}

fn strip_shared_secret(params: Params) -> String {
    let mut values = params.values;
    values.remove(SHARED_SECRET_PARAMETER);
    Value::Object(values).to_string()
}
