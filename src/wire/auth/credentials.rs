//! The credentials of a request: gitlab-shell's JWT, or the base document's shared secret. (server.md 1.1)
//!
//! gitlab-shell makes one token a second at most and sends it again on each retry, so a verified token is cached until it
//! expires or the secret that signed it is no longer accepted, whichever comes first.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine as _;
use http::HeaderMap;
use http::header::HeaderValue;
use quick_cache::sync::Cache;

use crate::model::time::Time;
use crate::wire::auth::jwt::{Issuer, TokenError, issue_token, verify_with_secret};
use crate::wire::auth::secret::{RotatingSecret, Secret};
use crate::wire::http::base64::BASE64_ANY_PADDING;

/// The header of gitlab-shell's token.
pub const SHELL_TOKEN_HEADER: &str = "gitlab-shell-api-request";
/// The header of the shared secret, in Base64.
pub const SHARED_SECRET_HEADER: &str = "gitlab-shared-secret";
/// The parameter of the shared secret.
pub const SHARED_SECRET_PARAMETER: &str = "secret_token";
/// The longest token that is cached, in bytes; gitlab-shell's have some 150.
pub const MAX_CACHED_TOKEN_BYTES: usize = 1024;

/// Verifies credentials against a secret that may be rotated at run time; caches verified tokens.
pub struct CredentialVerifier {
    secrets: ArcSwap<VersionedSecret>,
    verified_tokens: Cache<Box<str>, VerifiedToken>,
    last_issued: ArcSwapOption<IssuedToken>,
}

/// The secrets with a version that grows with each rotation: that of the present one; the one before has one less.
#[derive(Clone)]
struct VersionedSecret {
    secrets: RotatingSecret,
    version: u64,
}

/// A verified token: until when it is valid, and the version of the secret that signed it.
#[derive(Clone, Copy)]
struct VerifiedToken {
    valid_until: Time,
    secret_version: u64,
}

/// A token that we issued: in which second, and the version of the secret that signed it.
struct IssuedToken {
    issued_at_second: i64,
    secret_version: u64,
    token: String,
}

/// The outcome of checking the credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum CredentialCheck {
    /// A valid token, or the shared secret.
    Valid,
    /// There is neither.
    Missing,
    /// They are refused; the text says why, for the log (`expired`, `wrong signature`, …).
    Invalid(&'static str),
}

impl CredentialVerifier {
    /// Starts with one secret; caches at most `tokens` verified tokens.
    #[must_use]
    pub fn new(secret: Secret, tokens: usize) -> Self {
        Self {
            secrets: ArcSwap::from_pointee(VersionedSecret { secrets: RotatingSecret::new(secret), version: 1 }),
            verified_tokens: Cache::new(tokens),
            last_issued: ArcSwapOption::empty(),
        }
    }

    /// Replaces the secret; the one before, and tokens signed with it, are accepted for
    /// [`ROTATION_GRACE`](crate::wire::auth::secret::ROTATION_GRACE) more.
    pub fn rotate(&self, next: Secret, now: Time) {
        self.secrets.rcu(|secrets| {
            let same = secrets.secrets.current().expose_bytes() == next.expose_bytes();
            VersionedSecret { secrets: secrets.secrets.clone().rotated(next.clone(), now), version: secrets.version + u64::from(!same) }
        });
    }

    /// Checks the headers: the token if there is one; else, if `shared_secret` is accepted here, its header. The parameter
    /// `secret_token` is checked by [`CredentialVerifier::check_parameter`], once parameters are read.
    pub fn check_headers(&self, headers: &HeaderMap, shared_secret: bool, now: Time) -> CredentialCheck {
        match single_header(headers, SHELL_TOKEN_HEADER) {
            HeaderOccurrence::Single(token) => self.check_token(token, now),
            HeaderOccurrence::Repeated => CredentialCheck::Invalid("given twice"),
            HeaderOccurrence::Absent if shared_secret => self.check_shared_secret(headers, now),
            HeaderOccurrence::Absent => CredentialCheck::Missing,
        }
    }

    fn check_token(&self, token: &HeaderValue, now: Time) -> CredentialCheck {
        let Ok(token) = token.to_str() else { return CredentialCheck::Invalid(TokenError::Malformed.as_str()) };
        let secrets = self.secrets.load();
        if self.verified_tokens.get(token).is_some_and(|cached| now < cached.valid_until && secrets.is_accepted(cached.secret_version, now))
        {
            return CredentialCheck::Valid;
        }
        let mut reason = TokenError::InvalidSignature;
        for (secret, version) in secrets.accepted(now) {
            match verify_with_secret(token, Issuer::GitlabShell, secret, now) {
                Ok(claims) => {
                    if token.len() <= MAX_CACHED_TOKEN_BYTES {
                        self.verified_tokens
                            .insert(token.into(), VerifiedToken { valid_until: claims.valid_until, secret_version: version });
                    }
                    return CredentialCheck::Valid;
                }
                Err(TokenError::InvalidSignature) => {}
                Err(other) => {
                    reason = other;
                    break;
                }
            }
        }
        CredentialCheck::Invalid(reason.as_str())
    }

    fn check_shared_secret(&self, headers: &HeaderMap, now: Time) -> CredentialCheck {
        match single_header(headers, SHARED_SECRET_HEADER) {
            HeaderOccurrence::Absent => CredentialCheck::Missing,
            HeaderOccurrence::Repeated => CredentialCheck::Invalid("given twice"),
            HeaderOccurrence::Single(value) => match BASE64_ANY_PADDING.decode(value.as_bytes().trim_ascii()) {
                Ok(secret) => secret_check(self.secrets.load().secrets.matches_accepted(&secret, now)),
                Err(_) => CredentialCheck::Invalid("not Base64"),
            },
        }
    }

    /// Checks the parameter `secret_token` (plain or Base64).
    pub fn check_parameter(&self, secret_token: &str, now: Time) -> CredentialCheck {
        let secrets = self.secrets.load();
        let decoded = BASE64_ANY_PADDING.decode(secret_token.trim()).unwrap_or_default();
        let plain = secrets.secrets.matches_accepted(secret_token.as_bytes(), now);
        secret_check(plain | secrets.secrets.matches_accepted(&decoded, now))
    }

    /// Issues a token as gitlab-shell's, signed with the present secret; the same one within a second.
    #[must_use]
    pub fn issue_shell_token(&self, now: Time) -> String {
        let secrets = self.secrets.load();
        let second = now.seconds();
        if let Some(issued) =
            self.last_issued.load().as_ref().filter(|issued| issued.issued_at_second == second && issued.secret_version == secrets.version)
        {
            return issued.token.clone();
        }
        let token = issue_token(Issuer::GitlabShell, None, secrets.secrets.current(), now);
        self.last_issued.store(Some(Arc::new(IssuedToken {
            issued_at_second: second,
            secret_version: secrets.version,
            token: token.clone(),
        })));
        token
    }
}

impl VersionedSecret {
    /// Iterates over the accepted secrets with their versions.
    fn accepted(&self, now: Time) -> impl Iterator<Item = (&Secret, u64)> {
        self.secrets.accepted(now).zip([self.version, self.version - 1])
    }

    fn is_accepted(&self, secret: u64, now: Time) -> bool {
        self.accepted(now).any(|(_, version)| version == secret)
    }
}

const fn secret_check(same: bool) -> CredentialCheck {
    if same { CredentialCheck::Valid } else { CredentialCheck::Invalid("wrong secret") }
}

/// How often a header is given.
enum HeaderOccurrence<'a> {
    Absent,
    Single(&'a HeaderValue),
    Repeated,
}

fn single_header<'a>(headers: &'a HeaderMap, name: &str) -> HeaderOccurrence<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => HeaderOccurrence::Absent,
        (Some(value), None) => HeaderOccurrence::Single(value),
        (Some(_), Some(_)) => HeaderOccurrence::Repeated,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use http::{HeaderMap, HeaderValue};

    use super::{CredentialCheck, CredentialVerifier, SHARED_SECRET_HEADER, SHELL_TOKEN_HEADER};
    use crate::model::time::Time;
    use crate::wire::auth::secret::Secret;

    fn secret(text: &str) -> Secret {
        Secret::from_bytes(text.as_bytes()).unwrap()
    }

    fn at(second: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(1_000_000 + second))
    }

    fn headers_with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn token_header(secret_text: &str, second: u64) -> HeaderMap {
        headers_with(&[(SHELL_TOKEN_HEADER, &CredentialVerifier::new(secret(secret_text), 1).issue_shell_token(at(second)))])
    }

    #[test]
    fn a_cached_token_ends_when_it_expires() {
        let verifier = CredentialVerifier::new(secret("s"), 10);
        let headers = token_header("s", 0);
        for second in [0, 1, 119] {
            assert_eq!(verifier.check_headers(&headers, false, at(second)), CredentialCheck::Valid, "{second}");
        }
        assert_eq!(verifier.check_headers(&headers, false, at(120)), CredentialCheck::Invalid("expired"));
    }

    #[test]
    fn a_cached_token_ends_with_its_secret() {
        let verifier = CredentialVerifier::new(secret("old"), 10);
        let (old, new) = (token_header("old", 0), token_header("new", 0));
        assert_eq!(verifier.check_headers(&new, false, at(0)), CredentialCheck::Invalid("wrong signature"));
        assert_eq!(verifier.check_headers(&old, false, at(0)), CredentialCheck::Valid);
        verifier.rotate(secret("new"), at(1));
        verifier.rotate(secret("new"), at(50));
        assert_eq!(verifier.check_headers(&old, false, at(61)), CredentialCheck::Valid);
        assert_eq!(verifier.check_headers(&old, false, at(62)), CredentialCheck::Invalid("wrong signature"));
        assert_eq!(verifier.check_headers(&new, false, at(62)), CredentialCheck::Valid);
        verifier.rotate(secret("third"), at(63));
        verifier.rotate(secret("fourth"), at(64));
        assert_eq!(
            verifier.check_headers(&new, false, at(64)),
            CredentialCheck::Invalid("wrong signature"),
            "two secrets ago counts no more"
        );
    }

    #[test]
    fn the_shared_secret_is_accepted_where_it_may_be_used() {
        let verifier = CredentialVerifier::new(secret("0123456789abcdef\n"), 10);
        for encoded in
            [STANDARD.encode("0123456789abcdef\n"), STANDARD.encode("0123456789abcdef"), STANDARD_NO_PAD.encode("0123456789abcdef")]
        {
            let headers = headers_with(&[(SHARED_SECRET_HEADER, &encoded)]);
            assert_eq!(verifier.check_headers(&headers, true, at(0)), CredentialCheck::Valid, "{encoded}");
            assert_eq!(verifier.check_headers(&headers, false, at(0)), CredentialCheck::Missing);
            assert_eq!(verifier.check_parameter(&encoded, at(0)), CredentialCheck::Valid);
        }
        assert_eq!(verifier.check_parameter("0123456789abcdef", at(0)), CredentialCheck::Valid);
        for wrong in ["", "=", "0123456789abcde", "AA=="] {
            assert!(matches!(verifier.check_parameter(wrong, at(0)), CredentialCheck::Invalid(_)), "{wrong}");
            assert!(
                matches!(verifier.check_headers(&headers_with(&[(SHARED_SECRET_HEADER, wrong)]), true, at(0)), CredentialCheck::Invalid(_)),
                "{wrong}"
            );
        }
        let plain = headers_with(&[(SHARED_SECRET_HEADER, "0123456789abcdef")]);
        assert_eq!(verifier.check_headers(&plain, true, at(0)), CredentialCheck::Invalid("wrong secret"), "the header is always Base64");
    }

    #[test]
    fn a_bad_token_is_refused_despite_a_good_secret_and_so_are_two_tokens() {
        let verifier = CredentialVerifier::new(secret("s"), 10);
        let encoded = STANDARD.encode("s");
        let cached = verifier.issue_shell_token(at(0));
        let both = headers_with(&[(SHELL_TOKEN_HEADER, "x"), (SHARED_SECRET_HEADER, &encoded)]);
        assert_eq!(verifier.check_headers(&both, true, at(0)), CredentialCheck::Invalid("malformed"));
        assert_eq!(
            verifier.check_headers(&headers_with(&[(SHELL_TOKEN_HEADER, &cached), (SHELL_TOKEN_HEADER, &cached)]), true, at(0)),
            CredentialCheck::Invalid("given twice")
        );
        let twice = headers_with(&[(SHARED_SECRET_HEADER, &encoded), (SHARED_SECRET_HEADER, &encoded)]);
        assert_eq!(verifier.check_headers(&twice, true, at(0)), CredentialCheck::Invalid("given twice"));
        assert_eq!(verifier.check_headers(&HeaderMap::new(), true, at(0)), CredentialCheck::Missing);
        assert_eq!(verifier.check_headers(&headers_with(&[(SHELL_TOKEN_HEADER, "")]), true, at(0)), CredentialCheck::Invalid("malformed"));
    }

    #[test]
    fn no_more_tokens_are_cached_than_allowed() {
        let verifier = CredentialVerifier::new(secret("s"), 3);
        for second in 0..50 {
            assert_eq!(verifier.check_headers(&token_header("s", second), false, at(50)), CredentialCheck::Valid);
        }
        assert!(verifier.verified_tokens.len() <= 3, "{}", verifier.verified_tokens.len());
    }

    #[test]
    fn an_issued_token_is_reused_within_its_second_and_with_its_secret() {
        let verifier = CredentialVerifier::new(secret("s"), 1);
        let first = verifier.issue_shell_token(at(0));
        assert_eq!(verifier.issue_shell_token(at(0)), first);
        assert_ne!(verifier.issue_shell_token(at(1)), first);
        verifier.rotate(secret("t"), at(0));
        assert_ne!(verifier.issue_shell_token(at(0)), first);
    }
}
