//! The followers' door: their token, and until when a stream may last that was opened with a secret which has changed.
//!
//! Each present secret is an era. A stream remembers the era of the secret that its token was signed with; once another
//! era has begun it ends within [`GRACE`], at a moment of its own, so that a fleet does not come back all at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::watch;

use crate::model::time::Time;
use crate::primary::call::Follower;
use crate::primary::credentials::reloadable_secret::{rotated, secrets_equal};
use crate::wire::auth::jwt::{self, Issuer, TokenError};
use crate::wire::auth::secret::{ROTATION_GRACE, RotatingSecret, Secret};

/// The header of a follower's token.
pub const TOKEN_HEADER: &str = "sidegate-sync-request";
/// The longest name of a host.
const MAX_HOST_NAME_BYTES: usize = 255;

/// The door.
pub struct FollowerAuth {
    current: ArcSwap<SecretVersion>,
    version_changes: watch::Sender<u64>,
}

struct SecretVersion {
    version: u64,
    since: Time,
    /// All that count now.
    accepted: Arc<RotatingSecret>,
    /// Only the present one.
    newest: Option<RotatingSecret>,
}

impl FollowerAuth {
    /// With this secret.
    #[must_use]
    pub fn new(secret: Secret, now: Time) -> Self {
        let secrets = Arc::new(RotatingSecret::new(secret));
        let present = newest_only(&secrets);
        Self {
            current: ArcSwap::from_pointee(SecretVersion { version: 1, since: now, accepted: secrets, newest: present }),
            version_changes: watch::Sender::new(1),
        }
    }

    /// From now on this secret. The same one again changes nothing.
    pub fn rotate(&self, next: Secret, now: Time) {
        let before = self.current.load_full();
        if secrets_equal(before.accepted.current(), &next) {
            return;
        }
        let secrets = rotated(&before.accepted, next, now);
        let number = before.version + 1;
        self.current.store(Arc::new(SecretVersion { version: number, since: now, newest: newest_only(&secrets), accepted: secrets }));
        self.version_changes.send_replace(number);
    }

    /// Judges a request's token; a word for the log if it is not believed.
    pub fn authenticate(&self, headers: &HeaderMap, now: Time) -> Result<Follower, &'static str> {
        let Some(value) = headers.get(TOKEN_HEADER) else {
            return Err("no token");
        };
        let token = value.to_str().map_err(|_| "malformed")?;
        let era = self.current.load();
        let claims = jwt::verify_token(token, Issuer::Follower, &era.accepted, now).map_err(TokenError::as_str)?;
        let host = claims.subject.filter(|host| is_valid_host_name(host)).ok_or("no host")?;
        let present = era.newest.as_ref().is_some_and(|present| jwt::verify_token(token, Issuer::Follower, present, now).is_ok());
        Ok(Follower { host: host.into(), secret_version: if present { era.version } else { era.version - 1 } })
    }

    /// Tells when another era begins.
    #[must_use]
    pub fn watch_versions(&self) -> watch::Receiver<u64> {
        self.version_changes.subscribe()
    }

    /// How much longer a stream of this era may last; `None` while it is the present one. `share` is from 0 to 1.
    #[must_use]
    pub fn remaining_lifetime(&self, era: u64, share: f64, now: Time) -> Option<Duration> {
        let present = self.current.load();
        if present.version == era {
            return None;
        }
        // Ends between a tenth and nine tenths of the grace, so that the bound holds with room to spare.
        Some(ROTATION_GRACE.mul_f64(0.1 + 0.8 * share.clamp(0.0, 1.0)).saturating_sub(now.since(present.since)))
    }
}

/// The present secret alone. (A secret that stands is not empty, so there always is one.)
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
        let door = FollowerAuth::new(secret("one"), now());
        assert_eq!(door.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().host.as_ref(), "ssh-1");
        assert_eq!(door.authenticate(&headers_with_token("ssh-1", "two"), now()), Err("wrong signature"));
        assert_eq!(door.authenticate(&headers_with_token("two words", "one"), now()), Err("no host"));
        assert_eq!(door.authenticate(&HeaderMap::new(), now()), Err("no token"));
    }

    #[test]
    fn a_stream_opened_with_the_previous_secret_ends_within_the_grace_period() {
        let door = FollowerAuth::new(secret("one"), now());
        let opened = door.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().secret_version;
        assert_eq!(door.remaining_lifetime(opened, 1.0, now()), None);
        door.rotate(secret("one"), now());
        assert_eq!(door.remaining_lifetime(opened, 1.0, now()), None, "the same secret again is no change");
        door.rotate(secret("two"), now());
        let in_grace = door.authenticate(&headers_with_token("ssh-1", "one"), now()).unwrap().secret_version;
        let with_new = door.authenticate(&headers_with_token("ssh-1", "two"), now()).unwrap().secret_version;
        let later = now().plus(Duration::from_secs(10));
        for era in [opened, in_grace] {
            assert!(door.remaining_lifetime(era, 1.0, later).unwrap() <= ROTATION_GRACE - Duration::from_secs(10));
        }
        assert_eq!(door.remaining_lifetime(with_new, 1.0, later), None);
    }
}
