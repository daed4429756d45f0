//! The versions that the primary said last: what `check` answers while the primary fails. (server.md 2.5)

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde_json::Value;

use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_cached, mark_degraded};
use crate::net::message::Response;
use crate::wire::check::response_body;

/// Keeps the primary's last versions.
#[derive(Default)]
pub struct VersionCache(ArcSwapOption<CachedVersions>);

struct CachedVersions {
    version: String,
    revision: String,
    received_at: RequestTime,
}

impl VersionCache {
    /// Keeps the versions of a response, if it is one.
    pub fn store(&self, body: &[u8], received_at: RequestTime) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let revision = if value["gitlab_rev"].is_string() { text("gitlab_rev") } else { text("gitlab_revision") };
        self.0.store(Some(Arc::new(CachedVersions { version: text("gitlab_version"), revision, received_at })));
    }

    /// Returns the response with the last versions, marked as given while the primary fails.
    pub fn degraded_response(&self, now: RequestTime) -> Option<Response> {
        let versions = self.0.load_full()?;
        let body = response_body(&versions.version, &versions.revision, true);
        let age = now.boot.since(versions.received_at.boot);
        Some(mark_degraded(mark_cached(Response::json(StatusCode::OK, body.to_string()), Some(age))))
    }

    /// Forgets them; returns how many versions were kept: one or none.
    pub fn clear(&self) -> usize {
        usize::from(self.0.swap(None).is_some())
    }
}
