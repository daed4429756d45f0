//! Authenticates followers by their tokens, and says until when a stream may last that was opened with a secret which has been rotated.
//!
//! Each secret has a version. A stream remembers the version of the secret that its token was signed with; once the secret is rotated,
//! the stream ends within [`ROTATION_GRACE`], at a moment of its own, so that the hosts do not all reconnect at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::watch;

use crate::api::request::Follower;
use crate::model::time::Time;
use crate::primary::credentials::reloadable_secret::{rotated, secrets_equal};
use crate::wire::auth::jwt::{self, Issuer, TokenError};
use crate::wire::auth::secret::{ROTATION_GRACE, RotatingSecret, Secret};

/// The header of a follower's token.
const TOKEN_HEADER: &str = "sidegate-sync-request";
/// The longest name of a host, in bytes.
const MAX_HOST_NAME_BYTES: usize = 255;

/// Authenticates followers.
pub struct FollowerAuth {
    current: ArcSwap<SecretVersion>,
    version_changes: watch::Sender<u64>,
}

struct SecretVersion {
    version: u64,
    since: Time,
    /// All secrets that are accepted now.
    accepted: Arc<RotatingSecret>,
    /// Only the newest one.
    newest: Option<RotatingSecret>,
}

impl FollowerAuth {
    /// Accepts tokens signed with this secret.
    #[must_use]
    pub fn new(secret: Secret, now: Time) -> Self {
        let secrets = Arc::new(RotatingSecret::new(secret));
        let newest = newest_only(&secrets);
        Self {
            current: ArcSwap::from_pointee(SecretVersion { version: 1, since: now, accepted: secrets, newest }),
            version_changes: watch::Sender::new(1),
        }
    }

    /// Replaces the secret. The same one again changes nothing.
    pub fn rotate(&self, next: Secret, now: Time) {
        let previous = self.current.load_full();
        if secrets_equal(previous.accepted.current(), &next) {
            return;
        }
        let secrets = rotated(&previous.accepted, next, now);
        let version = previous.version + 1;
        self.current.store(Arc::new(SecretVersion { version, since: now, newest: newest_only(&secrets), accepted: secrets }));
        self.version_changes.send_replace(version);
    }

    /// Authenticates a request by its token, or returns the reason of its refusal for log and metrics.
    pub fn authenticate(&self, headers: &HeaderMap, now: Time) -> Result<Follower, &'static str> {
        let Some(value) = headers.get(TOKEN_HEADER) else {
            return Err("no token");
        };
        let token = value.to_str().map_err(|_| "malformed")?;
        let current = self.current.load();
        let claims = jwt::verify_token(token, Issuer::Follower, &current.accepted, now).map_err(TokenError::as_str)?;
        let host = claims.subject.filter(|host| is_valid_host_name(host)).ok_or("no host")?;
        let is_newest = current.newest.as_ref().is_some_and(|newest| jwt::verify_token(token, Issuer::Follower, newest, now).is_ok());
        Ok(Follower { host: host.into(), secret_version: if is_newest { current.version } else { current.version - 1 } })
    }

    /// Returns a receiver of the version of the newest secret.
    #[must_use]
    pub fn watch_versions(&self) -> watch::Receiver<u64> {
        self.version_changes.subscribe()
    }

    /// Returns how much longer a stream of this secret version may last; `None` while it is the newest. `spread`, from 0 to 1, is the
    /// stream's own place among those that end.
    #[must_use]
    pub fn remaining_lifetime(&self, version: u64, spread: f64, now: Time) -> Option<Duration> {
        let current = self.current.load();
        if current.version == version {
            return None;
        }
        // Ends between a tenth and nine tenths of the grace, so that the bound holds with room to spare.
        Some(ROTATION_GRACE.mul_f64(0.1 + 0.8 * spread.clamp(0.0, 1.0)).saturating_sub(now.since(current.since)))
    }
}

/// Returns the newest secret alone. (A secret that was loaded is not empty, so there always is one.)
fn newest_only(secrets: &RotatingSecret) -> Option<RotatingSecret> {
    Secret::from_bytes(secrets.current().expose_bytes()).ok().map(RotatingSecret::new)
}

fn is_valid_host_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_HOST_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{FollowerAuth, TOKEN_HEADER};
    use crate::model::time::Time;
    use crate::wire::auth::jwt::{Issuer, issue_token};
    use crate::wire::auth::secret::{ROTATION_GRACE, Secret};

    const NOW: i64 = 1_790_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::from_bytes(text.as_bytes()).unwrap()
    }

    fn headers_with_token(host: &str, signed: &str) -> HeaderMap {
        let token = issue_token(Issuer::Follower, Some(host), &secret(signed), now());
        HeaderMap::from_iter([(TOKEN_HEADER.parse().unwrap(), HeaderValue::from_str(&token).unwrap())])
    }

    fn now() -> Time {
        Time::from_milliseconds(NOW).unwrap()
    }

    #[test]
    fn a_host_is_named_by_its_token_and_another_secret_is_refused() {
        let auth = FollowerAuth::new(secret("one"), now());
        assert_eq!(auth.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().host.as_ref(), "ssh-1");
        assert_eq!(auth.authenticate(&headers_with_token("ssh-1", "two"), now()), Err("wrong signature"));
        assert_eq!(auth.authenticate(&headers_with_token("two words", "one"), now()), Err("no host"));
        assert_eq!(auth.authenticate(&HeaderMap::new(), now()), Err("no token"));
    }

    #[test]
    fn a_stream_opened_with_the_previous_secret_ends_within_the_grace_period() {
        let auth = FollowerAuth::new(secret("one"), now());
        let opened = auth.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().secret_version;
        assert_eq!(auth.remaining_lifetime(opened, 1.0, now()), None);
        auth.rotate(secret("one"), now());
        assert_eq!(auth.remaining_lifetime(opened, 1.0, now()), None, "the same secret again is no change");
        auth.rotate(secret("two"), now());
        let in_grace = auth.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().secret_version;
        let with_new = auth.authenticate(&headers_with_token("ssh-1", "two"), now()).unwrap().secret_version;
        let later = now().plus(Duration::from_secs(10));
        for version in [opened, in_grace] {
            assert!(auth.remaining_lifetime(version, 1.0, later).unwrap() <= ROTATION_GRACE - Duration::from_secs(10));
        }
        assert_eq!(auth.remaining_lifetime(with_new, 1.0, later), None);
    }
}
