//! The versions that the primary said last: what `check` answers while the primary fails. (server.md 2.5)
//!
//! They are kept in a small file, so that an outage that began before a restart looks no worse after it. Without the file, or with one that
//! cannot be read, there are none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_cached, mark_degraded};
use crate::model::time::Time;
use crate::net::message::Response;
use crate::store::files::atomic_file;
use crate::wire::check::response_body;

/// The name of the file in the store's folder.
pub const VERSIONS_FILE: &str = "versions";
/// Versions that have not changed are written again after so long, for their age.
const SAVE_INTERVAL: Duration = Duration::from_secs(600);

/// Keeps the primary's last versions.
pub struct VersionCache {
    versions: ArcSwapOption<CachedVersions>,
    /// As they stand in the file.
    saved: ArcSwapOption<CachedVersions>,
    path: PathBuf,
}

/// The versions, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CachedVersions {
    version: String,
    revision: String,
    /// By the wall clock, which a restart does not begin anew.
    received_at: Time,
}

impl VersionCache {
    /// Reads the versions that were kept.
    pub fn load(path: PathBuf) -> Self {
        let text = atomic_file::read(&path).ok().flatten();
        let versions = text.and_then(|text| serde_json::from_str::<CachedVersions>(&text).ok()).map(Arc::new);
        Self { versions: ArcSwapOption::new(versions.clone()), saved: ArcSwapOption::new(versions), path }
    }

    /// Keeps the versions of a response, if it is one. Returns whether the file should be written.
    pub fn store(&self, body: &[u8], received_at: RequestTime) -> bool {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return false };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let revision = if value["gitlab_rev"].is_string() { text("gitlab_rev") } else { text("gitlab_revision") };
        let versions = CachedVersions { version: text("gitlab_version"), revision, received_at: received_at.wall };
        let is_saved = self.saved.load().as_ref().is_some_and(|saved| {
            let same = (&saved.version, &saved.revision) == (&versions.version, &versions.revision);
            same && versions.received_at.since(saved.received_at) < SAVE_INTERVAL
        });
        self.versions.store(Some(Arc::new(versions)));
        !is_saved
    }

    /// Writes the file. Blocks. A failure is logged: what is lost is an answer to `check` after a restart.
    pub fn save(&self) {
        let Some(versions) = self.versions.load_full() else { return };
        let written = serde_json::to_vec(&*versions).map_err(|error| error.to_string());
        match written.and_then(|text| atomic_file::replace(&self.path, &text).map_err(|error| error.to_string())) {
            Ok(()) => self.saved.store(Some(versions)),
            Err(reason) => tracing::warn!(reason, "failed to keep the primary's versions for the next start: {reason}"),
        }
    }

    /// Returns the response with the last versions, marked as given while the primary fails. `serves` says whether this host still answers
    /// reads by itself: that is what `redis` means then.
    pub fn degraded_response(&self, now: RequestTime, serves: bool) -> Option<Response> {
        let versions = self.versions.load_full()?;
        let body = response_body(&versions.version, &versions.revision, serves);
        let age = now.wall.since(versions.received_at);
        Some(mark_degraded(mark_cached(Response::json(StatusCode::OK, body.to_string()), Some(age))))
    }

    /// Forgets them, also in the file; returns how many versions were kept: one or none. Blocks.
    pub fn clear(&self) -> usize {
        self.saved.store(None);
        if let Err(error) = atomic_file::remove(&self.path) {
            tracing::warn!(%error, "failed to remove the kept versions: {error}");
        }
        usize::from(self.versions.swap(None).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{SAVE_INTERVAL, VERSIONS_FILE, VersionCache};
    use crate::api::request::RequestTime;
    use crate::api::response_headers::AGE_HEADER;
    use crate::model::time::{BootTime, Time};

    const BODY: &[u8] = br#"{"api_version":"v4","gitlab_version":"18.0","gitlab_rev":"abc","redis":true}"#;

    fn at(delay: Duration) -> RequestTime {
        RequestTime { wall: Time::EPOCH.plus(delay), boot: BootTime(Duration::ZERO) }
    }

    #[test]
    fn versions_are_given_after_a_restart_with_their_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(VERSIONS_FILE);
        let cache = VersionCache::load(path.clone());
        assert!(cache.degraded_response(at(Duration::ZERO), true).is_none());
        assert!(cache.store(BODY, at(Duration::ZERO)));
        cache.save();
        let response = VersionCache::load(path).degraded_response(at(Duration::from_secs(90)), false).unwrap();
        assert_eq!(response.headers[AGE_HEADER], "90");
    }

    #[test]
    fn the_file_is_written_only_for_other_versions_and_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let cache = VersionCache::load(folder.path().join(VERSIONS_FILE));
        let other = String::from_utf8(BODY.to_vec()).unwrap().replace("18.0", "18.1");
        for (body, delay, writes) in [
            (BODY, Duration::ZERO, true),
            (BODY, SAVE_INTERVAL - Duration::from_secs(1), false),
            (other.as_bytes(), Duration::from_secs(1), true),
            (other.as_bytes(), SAVE_INTERVAL + Duration::from_secs(1), true),
        ] {
            assert_eq!(cache.store(body, at(delay)), writes, "{delay:?}");
            if writes {
                cache.save();
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(VERSIONS_FILE);
        fs::write(&path, "{\"version\":1}").unwrap();
        let cache = VersionCache::load(path.clone());
        assert!(cache.degraded_response(at(Duration::ZERO), true).is_none());
        assert!(cache.store(BODY, at(Duration::ZERO)));
        cache.save();
        assert_eq!(cache.clear(), 1);
        assert!(!path.exists());
    }
}
