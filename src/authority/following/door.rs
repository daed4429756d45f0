//! The followers' door: their token, and until when a stream may last that was opened with a secret which has changed.
//!
//! Each present secret is an era. A stream remembers the era of the secret that its token was signed with; once another
//! era has begun it ends within [`GRACE`], at a moment of its own, so that a fleet does not come back all at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::watch;

use crate::authority::call::Follower;
use crate::authority::secrets::{equal, renewed};
use crate::model::time::Time;
use crate::wire::secret::{GRACE, Secret, Secrets};
use crate::wire::token::{self, Disbelieved, Issuer};

/// The header of a follower's token.
pub const HEADER: &str = "sidegate-sync-request";
/// The longest name of a host.
const HOST_BYTES: usize = 255;

/// The door.
pub struct Door {
    era: ArcSwap<Era>,
    number: watch::Sender<u64>,
}

struct Era {
    number: u64,
    since: Time,
    /// All that count now.
    secrets: Arc<Secrets>,
    /// Only the present one.
    present: Option<Secrets>,
}

impl Door {
    /// With this secret.
    #[must_use]
    pub fn of(secret: Secret, now: Time) -> Self {
        let secrets = Arc::new(Secrets::one(secret));
        let present = alone(&secrets);
        Self { era: ArcSwap::from_pointee(Era { number: 1, since: now, secrets, present }), number: watch::Sender::new(1) }
    }

    /// From now on this secret. The same one again changes nothing.
    pub fn renew(&self, next: Secret, now: Time) {
        let before = self.era.load_full();
        if equal(before.secrets.present(), &next) {
            return;
        }
        let secrets = renewed(&before.secrets, next, now);
        let number = before.number + 1;
        self.era.store(Arc::new(Era { number, since: now, present: alone(&secrets), secrets }));
        self.number.send_replace(number);
    }

    /// Judges a request's token; a word for the log if it is not believed.
    pub fn judge(&self, headers: &HeaderMap, now: Time) -> Result<Follower, &'static str> {
        let Some(value) = headers.get(HEADER) else {
            return Err("no token");
        };
        let token = value.to_str().map_err(|_| "malformed")?;
        let era = self.era.load();
        let claims = token::verify(token, Issuer::Sync, &era.secrets, now).map_err(Disbelieved::word)?;
        let host = claims.subject.filter(|host| names_a_host(host)).ok_or("no host")?;
        let present = era.present.as_ref().is_some_and(|present| token::verify(token, Issuer::Sync, present, now).is_ok());
        Ok(Follower { host: host.into(), era: if present { era.number } else { era.number - 1 } })
    }

    /// Tells when another era begins.
    #[must_use]
    pub fn eras(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// How much longer a stream of this era may last; `None` while it is the present one. `share` is from 0 to 1.
    #[must_use]
    pub fn lasts(&self, era: u64, share: f64, now: Time) -> Option<Duration> {
        let present = self.era.load();
        if present.number == era {
            return None;
        }
        // Ends between a tenth and nine tenths of the grace, so that the bound holds with room to spare.
        Some(GRACE.mul_f64(0.1 + 0.8 * share.clamp(0.0, 1.0)).saturating_sub(now.since(present.since)))
    }
}

/// The present secret alone. (A secret that stands is not empty, so there always is one.)
fn alone(secrets: &Secrets) -> Option<Secrets> {
    Secret::of(secrets.present().bytes()).ok().map(Secrets::one)
}

fn names_a_host(name: &str) -> bool {
    !name.is_empty() && name.len() <= HOST_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{Door, HEADER};
    use crate::model::time::Time;
    use crate::wire::secret::{GRACE, Secret};
    use crate::wire::token::{Issuer, mint};

    const NOW: i64 = 1_790_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::of(text.as_bytes()).unwrap()
    }

    fn showing(host: &str, signed: &str) -> HeaderMap {
        let token = mint(Issuer::Sync, Some(host), &secret(signed), now());
        HeaderMap::from_iter([(HEADER.parse().unwrap(), HeaderValue::from_str(&token).unwrap())])
    }

    fn now() -> Time {
        Time::from_milliseconds(NOW).unwrap()
    }

    #[test]
    fn a_host_is_who_the_token_says_and_nobody_with_another_secret() {
        let door = Door::of(secret("one"), now());
        assert_eq!(door.judge(&showing("ssh-1", "one"), now()).unwrap().host.as_ref(), "ssh-1");
        assert_eq!(door.judge(&showing("ssh-1", "two"), now()), Err("wrong signature"));
        assert_eq!(door.judge(&showing("two words", "one"), now()), Err("no host"));
        assert_eq!(door.judge(&HeaderMap::new(), now()), Err("no token"));
    }

    #[test]
    fn a_stream_of_the_secret_before_ends_within_the_grace_even_if_it_was_opened_in_it() {
        let door = Door::of(secret("one"), now());
        let opened = door.judge(&showing("ssh-1", "one"), now()).unwrap().era;
        assert_eq!(door.lasts(opened, 1.0, now()), None);
        door.renew(secret("one"), now());
        assert_eq!(door.lasts(opened, 1.0, now()), None, "the same secret again is no change");
        door.renew(secret("two"), now());
        let in_grace = door.judge(&showing("ssh-1", "one"), now()).unwrap().era;
        let with_new = door.judge(&showing("ssh-1", "two"), now()).unwrap().era;
        let later = now().plus(Duration::from_secs(10));
        for era in [opened, in_grace] {
            assert!(door.lasts(era, 1.0, later).unwrap() <= GRACE - Duration::from_secs(10));
        }
        assert_eq!(door.lasts(with_new, 1.0, later), None);
    }
}
