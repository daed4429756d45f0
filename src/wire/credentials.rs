//! What a request shows to be believed: gitlab-shell's JWT, or the base document's shared secret. (server.md 1.1)
//!
//! gitlab-shell makes one token a second at most and shows it again on each retry, so a token that was good is remembered,
//! to the end of its time or of the secret that signed it, whichever comes first.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine as _;
use http::HeaderMap;
use http::header::HeaderValue;
use quick_cache::sync::Cache;

use crate::model::time::Time;
use crate::wire::base64::BASE64;
use crate::wire::secret::{Secret, Secrets};
use crate::wire::token::{Disbelieved, Issuer, mint, verify_with};

/// The header of gitlab-shell's token.
pub const SHELL_HEADER: &str = "gitlab-shell-api-request";
/// The header of the shared secret, in Base64.
pub const SHARED_SECRET_HEADER: &str = "gitlab-shared-secret";
/// The parameter of the shared secret.
pub const SHARED_SECRET_PARAMETER: &str = "secret_token";
/// The longest token that is remembered, in bytes; gitlab-shell's have some 150.
pub const REMEMBERED_BYTES: usize = 1024;

/// Judges what requests show against a secret that may be renewed while it runs; remembers tokens that were good.
pub struct Gatekeeper {
    keyring: ArcSwap<Keyring>,
    remembered: Cache<Box<str>, Remembered>,
    minted: ArcSwapOption<Minted>,
}

/// The secrets with a number that grows with each renewal: the present one has it, the one before has one less.
#[derive(Clone)]
struct Keyring {
    secrets: Secrets,
    number: u64,
}

/// A token that was good: until when, and by which secret.
#[derive(Clone, Copy)]
struct Remembered {
    until: Time,
    secret: u64,
}

/// A token of ours: the second it was made in, and by which secret.
struct Minted {
    second: i64,
    secret: u64,
    token: String,
}

/// What a request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Shown {
    /// A good token, or the shared secret.
    Good,
    /// Neither.
    Nothing,
    /// One that is not believed; the word says why, for the log (`expired`, `wrong signature`, …).
    Bad(&'static str),
}

impl Gatekeeper {
    /// One secret; remembers at most `tokens` good tokens.
    #[must_use]
    pub fn new(secret: Secret, tokens: usize) -> Self {
        Self {
            keyring: ArcSwap::from_pointee(Keyring { secrets: Secrets::one(secret), number: 1 }),
            remembered: Cache::new(tokens),
            minted: ArcSwapOption::empty(),
        }
    }

    /// From now on this secret; the one before counts for [`crate::wire::secret::GRACE`] more, remembered tokens of it too.
    pub fn renew(&self, next: Secret, now: Time) {
        self.keyring.rcu(|keyring| {
            let same = keyring.secrets.present().bytes() == next.bytes();
            Keyring { secrets: keyring.secrets.clone().renewed(next.clone(), now), number: keyring.number + u64::from(!same) }
        });
    }

    /// Judges the headers: the token if there is one; else, if `shared_secret` may be used here, its header. The parameter
    /// `secret_token` is judged by [`Gatekeeper::parameter`], once parameters are read.
    pub fn headers(&self, headers: &HeaderMap, shared_secret: bool, now: Time) -> Shown {
        match only(headers, SHELL_HEADER) {
            Given::Once(token) => self.token(token, now),
            Given::Twice => Shown::Bad("given twice"),
            Given::Never if shared_secret => self.shared_secret(headers, now),
            Given::Never => Shown::Nothing,
        }
    }

    fn token(&self, token: &HeaderValue, now: Time) -> Shown {
        let Ok(token) = token.to_str() else { return Shown::Bad(Disbelieved::Malformed.word()) };
        let keyring = self.keyring.load();
        if self.remembered.get(token).is_some_and(|good| now < good.until && keyring.counts(good.secret, now)) {
            return Shown::Good;
        }
        let mut reason = Disbelieved::Signature;
        for (secret, number) in keyring.accepted(now) {
            match verify_with(token, Issuer::Shell, secret, now) {
                Ok(claims) => {
                    if token.len() <= REMEMBERED_BYTES {
                        self.remembered.insert(token.into(), Remembered { until: claims.until, secret: number });
                    }
                    return Shown::Good;
                }
                Err(Disbelieved::Signature) => {}
                Err(other) => {
                    reason = other;
                    break;
                }
            }
        }
        Shown::Bad(reason.word())
    }

    fn shared_secret(&self, headers: &HeaderMap, now: Time) -> Shown {
        match only(headers, SHARED_SECRET_HEADER) {
            Given::Never => Shown::Nothing,
            Given::Twice => Shown::Bad("given twice"),
            Given::Once(value) => match BASE64.decode(value.as_bytes().trim_ascii()) {
                Ok(secret) => compared(self.keyring.load().secrets.same(&secret, now)),
                Err(_) => Shown::Bad("not Base64"),
            },
        }
    }

    /// Judges the parameter `secret_token` (plain or Base64).
    pub fn parameter(&self, secret_token: &str, now: Time) -> Shown {
        let keyring = self.keyring.load();
        let decoded = BASE64.decode(secret_token.trim()).unwrap_or_default();
        let plain = keyring.secrets.same(secret_token.as_bytes(), now);
        compared(plain | keyring.secrets.same(&decoded, now))
    }

    /// A fresh token of gitlab-shell's, signed with the present secret; one a second, kept.
    #[must_use]
    pub fn mint(&self, now: Time) -> String {
        let keyring = self.keyring.load();
        let second = now.seconds();
        if let Some(kept) = self.minted.load().as_ref().filter(|kept| kept.second == second && kept.secret == keyring.number) {
            return kept.token.clone();
        }
        let token = mint(Issuer::Shell, None, keyring.secrets.present(), now);
        self.minted.store(Some(Arc::new(Minted { second, secret: keyring.number, token: token.clone() })));
        token
    }
}

impl Keyring {
    /// The secrets that count now, with their numbers.
    fn accepted(&self, now: Time) -> impl Iterator<Item = (&Secret, u64)> {
        self.secrets.accepted(now).zip([self.number, self.number - 1])
    }

    fn counts(&self, secret: u64, now: Time) -> bool {
        self.accepted(now).any(|(_, number)| number == secret)
    }
}

const fn compared(same: bool) -> Shown {
    if same { Shown::Good } else { Shown::Bad("wrong secret") }
}

/// How often a header is given.
enum Given<'a> {
    Never,
    Once(&'a HeaderValue),
    Twice,
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Given<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Given::Never,
        (Some(value), None) => Given::Once(value),
        (Some(_), Some(_)) => Given::Twice,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use http::{HeaderMap, HeaderValue};

    use super::{Gatekeeper, SHARED_SECRET_HEADER, SHELL_HEADER, Shown};
    use crate::model::time::Time;
    use crate::wire::secret::Secret;

    fn secret(text: &str) -> Secret {
        Secret::of(text.as_bytes()).unwrap()
    }

    fn at(second: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(1_000_000 + second))
    }

    fn showing(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn token(secret_text: &str, second: u64) -> HeaderMap {
        showing(&[(SHELL_HEADER, &Gatekeeper::new(secret(secret_text), 1).mint(at(second)))])
    }

    #[test]
    fn a_remembered_token_ends_with_its_time() {
        let gate = Gatekeeper::new(secret("s"), 10);
        let shown = token("s", 0);
        for second in [0, 1, 119] {
            assert_eq!(gate.headers(&shown, false, at(second)), Shown::Good, "{second}");
        }
        assert_eq!(gate.headers(&shown, false, at(120)), Shown::Bad("expired"));
    }

    #[test]
    fn a_remembered_token_ends_with_its_secret() {
        let gate = Gatekeeper::new(secret("old"), 10);
        let (old, new) = (token("old", 0), token("new", 0));
        assert_eq!(gate.headers(&new, false, at(0)), Shown::Bad("wrong signature"));
        assert_eq!(gate.headers(&old, false, at(0)), Shown::Good);
        gate.renew(secret("new"), at(1));
        gate.renew(secret("new"), at(50));
        assert_eq!(gate.headers(&old, false, at(61)), Shown::Good);
        assert_eq!(gate.headers(&old, false, at(62)), Shown::Bad("wrong signature"));
        assert_eq!(gate.headers(&new, false, at(62)), Shown::Good);
        gate.renew(secret("third"), at(63));
        gate.renew(secret("fourth"), at(64));
        assert_eq!(gate.headers(&new, false, at(64)), Shown::Bad("wrong signature"), "two secrets ago counts no more");
    }

    #[test]
    fn the_shared_secret_is_believed_where_it_may_be_used() {
        let gate = Gatekeeper::new(secret("0123456789abcdef\n"), 10);
        for encoded in
            [STANDARD.encode("0123456789abcdef\n"), STANDARD.encode("0123456789abcdef"), STANDARD_NO_PAD.encode("0123456789abcdef")]
        {
            let shown = showing(&[(SHARED_SECRET_HEADER, &encoded)]);
            assert_eq!(gate.headers(&shown, true, at(0)), Shown::Good, "{encoded}");
            assert_eq!(gate.headers(&shown, false, at(0)), Shown::Nothing);
            assert_eq!(gate.parameter(&encoded, at(0)), Shown::Good);
        }
        assert_eq!(gate.parameter("0123456789abcdef", at(0)), Shown::Good);
        for wrong in ["", "=", "0123456789abcde", "AA=="] {
            assert!(matches!(gate.parameter(wrong, at(0)), Shown::Bad(_)), "{wrong}");
            assert!(matches!(gate.headers(&showing(&[(SHARED_SECRET_HEADER, wrong)]), true, at(0)), Shown::Bad(_)), "{wrong}");
        }
        let plain = showing(&[(SHARED_SECRET_HEADER, "0123456789abcdef")]);
        assert_eq!(gate.headers(&plain, true, at(0)), Shown::Bad("wrong secret"), "the header is always Base64");
    }

    #[test]
    fn a_bad_token_is_not_saved_by_a_good_secret_and_two_tokens_are_none() {
        let gate = Gatekeeper::new(secret("s"), 10);
        let encoded = STANDARD.encode("s");
        let good = gate.mint(at(0));
        let both = showing(&[(SHELL_HEADER, "x"), (SHARED_SECRET_HEADER, &encoded)]);
        assert_eq!(gate.headers(&both, true, at(0)), Shown::Bad("malformed"));
        assert_eq!(gate.headers(&showing(&[(SHELL_HEADER, &good), (SHELL_HEADER, &good)]), true, at(0)), Shown::Bad("given twice"));
        let twice = showing(&[(SHARED_SECRET_HEADER, &encoded), (SHARED_SECRET_HEADER, &encoded)]);
        assert_eq!(gate.headers(&twice, true, at(0)), Shown::Bad("given twice"));
        assert_eq!(gate.headers(&HeaderMap::new(), true, at(0)), Shown::Nothing);
        assert_eq!(gate.headers(&showing(&[(SHELL_HEADER, "")]), true, at(0)), Shown::Bad("malformed"));
    }

    #[test]
    fn no_more_tokens_are_remembered_than_allowed() {
        let gate = Gatekeeper::new(secret("s"), 3);
        for second in 0..50 {
            assert_eq!(gate.headers(&token("s", second), false, at(50)), Shown::Good);
        }
        assert!(gate.remembered.len() <= 3, "{}", gate.remembered.len());
    }

    #[test]
    fn a_minted_token_is_kept_for_its_second_and_its_secret() {
        let gate = Gatekeeper::new(secret("s"), 1);
        let first = gate.mint(at(0));
        assert_eq!(gate.mint(at(0)), first);
        assert_ne!(gate.mint(at(1)), first);
        gate.renew(secret("t"), at(0));
        assert_ne!(gate.mint(at(0)), first);
    }
}
