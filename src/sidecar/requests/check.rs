//! `check`: does the application work, and which versions? The last ones known are said while it does not. (server.md 2.5)

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde_json::Value;

use crate::net::message::Response;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::cached_view::Age;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::headers;
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::check;

/// The versions that the primary said last.
#[derive(Default)]
pub(in crate::sidecar) struct VersionCache(ArcSwapOption<CachedVersions>);

struct CachedVersions {
    version: String,
    revision: String,
    received_at: RequestTime,
}

/// Answers `GET internal/check`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.first_unknown(&[SHARED_SECRET_PARAMETER]) {
        return bad_request_response(&format!("the parameter `{unread}` is not understood here"));
    }
    let question = UpstreamQuery { kind: QueryKind::Check, target: "/api/v4/internal/check".to_owned(), body: None };
    match house.upstream.query(question, RequestClass::Other, call.received_at).await {
        QueryOutcome::Decided(decided) => {
            house.version_cache.store(&decided.body, call.received_at);
            headers::mark_forwarded(Response::json(decided.status, decided.body))
        }
        QueryOutcome::Failed(outage) => house.version_cache.cached_response(call.received_at).unwrap_or_else(|| outage.query_response()),
    }
}

impl VersionCache {
    fn store(&self, body: &[u8], at: RequestTime) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let revision = if value["gitlab_rev"].is_string() { text("gitlab_rev") } else { text("gitlab_revision") };
        self.0.store(Some(Arc::new(CachedVersions { version: text("gitlab_version"), revision, received_at: at })));
    }

    fn cached_response(&self, now: RequestTime) -> Option<Response> {
        let said = self.0.load_full()?;
        let body = check::response_body(&said.version, &said.revision, true);
        let age = Age(Some(now.boot.since(said.received_at.boot)));
        Some(headers::mark_degraded(headers::mark_cached(Response::json(StatusCode::OK, body.to_string()), age)))
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.0.store(None);
    }
}
