//! JSON Web Tokens: gitlab-shell's, the followers' and KAS's. HS256 only. (server.md 1.1; client.md 1.7)
//!
//! The library checks form and signature. Times are checked here, because the library accepts a token that was issued in the
//! future.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::model::text::check_control_bytes;
use crate::model::time::Time;
use crate::wire::auth::secret::{RotatingSecret, Secret};

/// Seconds that clocks may differ.
pub const LEEWAY_SECONDS: i64 = 60;
/// Seconds that a token of ours is valid.
pub const LIFETIME_SECONDS: i64 = 60;
/// The longest `sub`, in bytes: as long as a host's name may be.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// Who issues a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// `gitlab-shell`.
    GitlabShell,
    /// `sidegate` with `aud` `sync`: a follower; `sub` is its host.
    Follower,
    /// `gitlab-kas`, with `aud` `gitlab` or without one.
    Kas,
}

impl Issuer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::GitlabShell => "gitlab-shell",
            Self::Follower => "sidegate",
            Self::Kas => "gitlab-kas",
        }
    }

    const fn audience(self) -> Option<&'static str> {
        match self {
            Self::GitlabShell => None,
            Self::Follower => Some("sync"),
            Self::Kas => Some("gitlab"),
        }
    }
}

/// The claims of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    /// `sub`; only followers have one.
    pub subject: Option<String>,
    /// When it becomes invalid: `exp` + leeway.
    pub valid_until: Time,
}

/// Why a token is refused. None of the texts reveals anything about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, or not HS256.
    #[error("malformed")]
    Malformed,
    /// Signed with another secret.
    #[error("wrong signature")]
    InvalidSignature,
    /// Another issuer, another audience than the issuer's, or a follower without a host as its subject.
    #[error("wrong issuer")]
    WrongIssuer,
    /// `exp` is missing or at most now − leeway.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is after now + leeway.
    #[error("from the future")]
    NotYetValid,
}

impl TokenError {
    /// Returns the reason in one or two words, for the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidSignature => "wrong signature",
            Self::WrongIssuer => "wrong issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "from the future",
        }
    }
}

/// Verifies a token against the accepted secrets.
pub fn verify_token(token: &str, issuer: Issuer, secrets: &RotatingSecret, now: Time) -> Result<VerifiedClaims, TokenError> {
    let mut verdict = Err(TokenError::InvalidSignature);
    for secret in secrets.accepted(now) {
        verdict = verify_with_secret(token, issuer, secret, now);
        if verdict != Err(TokenError::InvalidSignature) {
            break;
        }
    }
    verdict
}

/// Verifies a token against one secret.
pub fn verify_with_secret(token: &str, issuer: Issuer, secret: &Secret, now: Time) -> Result<VerifiedClaims, TokenError> {
    let said = decode_signed(token, secret)?;
    if said.iss.as_deref() != Some(issuer.as_str()) {
        return Err(TokenError::WrongIssuer);
    }
    let until = check_times(&said, now)?;
    match issuer {
        Issuer::GitlabShell => Ok(VerifiedClaims { subject: None, valid_until: until }),
        Issuer::Kas if said.aud.as_ref().is_none_or(|aud| aud.contains("gitlab")) => {
            Ok(VerifiedClaims { subject: None, valid_until: until })
        }
        Issuer::Follower if said.aud.as_ref().is_some_and(|aud| aud.contains("sync")) => {
            let host = said.sub.filter(|sub| (1..=MAX_SUBJECT_BYTES).contains(&sub.len()) && check_control_bytes(sub).is_ok());
            Ok(VerifiedClaims { subject: Some(host.ok_or(TokenError::WrongIssuer)?), valid_until: until })
        }
        Issuer::Kas | Issuer::Follower => Err(TokenError::WrongIssuer),
    }
}

fn decode_signed(token: &str, secret: &Secret) -> Result<ReceivedClaims, TokenError> {
    let mut signature_only = Validation::new(Algorithm::HS256);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let read = decode::<ReceivedClaims>(token, &DecodingKey::from_secret(secret.expose_bytes()), &signature_only);
    match read {
        // What a header calls critical must be understood, and nothing of it is.
        Ok(token) if token.header.crit.is_some() => Err(TokenError::Malformed),
        Ok(token) => Ok(token.claims),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Err(TokenError::InvalidSignature),
        Err(_) => Err(TokenError::Malformed),
    }
}

fn check_times(said: &ReceivedClaims, now: Time) -> Result<Time, TokenError> {
    let now = now.seconds();
    let end = match said.exp {
        Some(NumericDate(exp)) if exp > now - LEEWAY_SECONDS => exp.saturating_add(LEEWAY_SECONDS),
        _ => return Err(TokenError::Expired),
    };
    let early = [said.nbf, said.iat].into_iter().flatten().any(|NumericDate(time)| time > now + LEEWAY_SECONDS);
    if early {
        return Err(TokenError::NotYetValid);
    }
    Ok(Time::from_milliseconds(end.saturating_mul(1000)).unwrap_or(Time::LAST))
}

/// Makes a token: `iss`, `exp` = now + 60 s, `iat`, and `aud` and `sub` for a follower.
///
/// Signing with a secret cannot fail; were it to, the token is empty, which nobody believes.
#[must_use]
pub fn issue_token(issuer: Issuer, subject: Option<&str>, secret: &Secret, now: Time) -> String {
    let now = now.seconds();
    let claims = IssuedClaims { iss: issuer.as_str(), exp: now + LIFETIME_SECONDS, iat: now, aud: issuer.audience(), sub: subject };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.expose_bytes())).unwrap_or_default()
}

/// The claims of a token of ours, in the order in which gitlab-shell has them.
#[derive(Serialize)]
struct IssuedClaims<'a> {
    iss: &'static str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
}

/// The claims that are read; others are passed over.
#[derive(Deserialize)]
struct ReceivedClaims {
    iss: Option<String>,
    aud: Option<Audience>,
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Single(String),
    Multiple(Vec<String>),
}

impl Audience {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::Single(audience) => audience == name,
            Self::Multiple(audiences) => audiences.iter().any(|audience| audience == name),
        }
    }
}

/// Whole seconds since 1970; some libraries write them with a fraction of zero.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct NumericDate(i64);

impl TryFrom<serde_json::Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Self(whole)),
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within what an f64 holds exactly")]
            (None, Some(float)) if float.fract() == 0.0 && float.abs() <= EXACT => Ok(Self(float as i64)),
            _ => Err("not whole seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Issuer, TokenError, VerifiedClaims, issue_token, verify_token};
    use crate::model::time::Time;
    use crate::wire::auth::secret::{RotatingSecret, Secret};

    const NOW: i64 = 1_700_000_000;

    fn now() -> Time {
        Time::from_milliseconds(NOW * 1000 + 999).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::from_bytes(text.as_bytes()).unwrap()
    }

    fn signed(claims: &Value) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(b"s")).unwrap()
    }

    fn verify_claims(issuer: Issuer, claims: &Value) -> Result<VerifiedClaims, TokenError> {
        verify_token(&signed(claims), issuer, &RotatingSecret::new(secret("s")), now())
    }

    fn verify_shell_claims(claims: Value) -> Result<(), TokenError> {
        let mut whole = json!({"iss": "gitlab-shell"});
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        verify_claims(Issuer::GitlabShell, &whole).map(|_| ())
    }

    #[test]
    fn a_token_ends_a_minute_after_its_exp() {
        assert_eq!(verify_shell_claims(json!({"exp": NOW - 59})), Ok(()));
        assert_eq!(verify_shell_claims(json!({"exp": NOW - 60})), Err(TokenError::Expired));
        assert_eq!(verify_shell_claims(json!({})), Err(TokenError::Expired));
        assert_eq!(verify_shell_claims(json!({"exp": null})), Err(TokenError::Expired));
        let until = verify_claims(Issuer::GitlabShell, &json!({"iss": "gitlab-shell", "exp": NOW})).unwrap().valid_until;
        assert_eq!(until.milliseconds(), (NOW + 60) * 1000);
        assert!(verify_claims(Issuer::GitlabShell, &json!({"iss": "gitlab-shell", "exp": i64::MAX})).is_ok());
        assert_eq!(verify_shell_claims(json!({"exp": i64::MIN})), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_from_the_future_is_refused_beyond_the_leeway() {
        for claim in ["nbf", "iat"] {
            assert_eq!(verify_shell_claims(json!({"exp": NOW + 600, claim: NOW + 60})), Ok(()), "{claim}");
            assert_eq!(verify_shell_claims(json!({"exp": NOW + 600, claim: NOW + 61})), Err(TokenError::NotYetValid), "{claim}");
            assert_eq!(verify_shell_claims(json!({"exp": NOW, claim: null})), Ok(()), "{claim}");
        }
    }

    #[test]
    fn times_are_whole_numbers_however_they_are_written() {
        #[expect(clippy::cast_precision_loss, reason = "a time of this century is exact")]
        let float = NOW as f64;
        assert_eq!(verify_shell_claims(json!({"exp": float})), Ok(()));
        for wrong in [json!(float + 0.5), json!(NOW.to_string()), json!(true), json!(1e300), json!([NOW]), json!(u64::MAX)] {
            assert_eq!(verify_shell_claims(json!({"exp": wrong})), Err(TokenError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn each_issuer_must_have_its_claims() {
        let with = |iss: &str, more: Value| {
            let mut claims = json!({"iss": iss, "exp": NOW});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            claims
        };
        assert_eq!(verify_claims(Issuer::GitlabShell, &with("gitlab-workhorse", json!({}))), Err(TokenError::WrongIssuer));
        assert_eq!(verify_claims(Issuer::GitlabShell, &json!({"exp": NOW})), Err(TokenError::WrongIssuer));
        assert!(verify_claims(Issuer::GitlabShell, &with("gitlab-shell", json!({"aud": "x", "sub": "y"}))).is_ok());

        assert!(verify_claims(Issuer::Kas, &with("gitlab-kas", json!({}))).is_ok());
        assert!(verify_claims(Issuer::Kas, &with("gitlab-kas", json!({"aud": ["x", "gitlab"]}))).is_ok());
        assert_eq!(verify_claims(Issuer::Kas, &with("gitlab-kas", json!({"aud": "sync"}))), Err(TokenError::WrongIssuer));

        let host = verify_claims(Issuer::Follower, &with("sidegate", json!({"aud": "sync", "sub": "ssh-1"}))).unwrap();
        assert_eq!(host.subject.as_deref(), Some("ssh-1"));
        assert_eq!(verify_claims(Issuer::Follower, &with("sidegate", json!({"sub": "ssh-1"}))), Err(TokenError::WrongIssuer));
        for sub in [json!(null), json!(""), json!("a\nb"), json!("x".repeat(256))] {
            assert_eq!(
                verify_claims(Issuer::Follower, &with("sidegate", json!({"aud": "sync", "sub": sub}))),
                Err(TokenError::WrongIssuer)
            );
        }
    }

    #[test]
    fn only_hs256_with_the_secret_is_accepted() {
        let claims = json!({"iss": "gitlab-shell", "exp": NOW});
        let secrets = RotatingSecret::new(secret("s"));
        let verify = |token: &str| verify_token(token, Issuer::GitlabShell, &secrets, now()).map(|_| ());
        let good = signed(&claims);
        assert_eq!(verify(&good), Ok(()));

        let other = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"t")).unwrap();
        assert_eq!(verify(&other), Err(TokenError::InvalidSignature));
        let stronger = encode(&Header::new(Algorithm::HS512), &claims, &EncodingKey::from_secret(b"s")).unwrap();
        assert_eq!(verify(&stronger), Err(TokenError::Malformed));
        let critical = Header { crit: Some(vec!["x".to_owned()]), ..Header::new(Algorithm::HS256) };
        let critical = encode(&critical, &claims, &EncodingKey::from_secret(b"s")).unwrap();
        assert_eq!(verify(&critical), Err(TokenError::Malformed));

        let (body, signature) = good.rsplit_once('.').unwrap();
        let payload = body.split_once('.').unwrap().1;
        // {"alg":"none","typ":"JWT"}
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for wrong in [none, format!("{body}."), body.to_owned(), format!("{good}="), format!("Bearer {good}"), String::new()] {
            assert!(verify(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(verify(&format!("{body}.{}", &signature[..20])), Err(TokenError::InvalidSignature));
    }

    #[test]
    fn our_own_tokens_are_accepted_also_with_the_previous_secret() {
        for (issuer, subject) in [(Issuer::GitlabShell, None), (Issuer::Kas, None), (Issuer::Follower, Some("ssh-1"))] {
            let token = issue_token(issuer, subject, &secret("old"), now());
            let secrets = RotatingSecret::new(secret("old")).rotated(secret("new"), now());
            let claims = verify_token(&token, issuer, &secrets, now()).unwrap();
            assert_eq!(claims.subject.as_deref(), subject);
            assert_eq!(claims.valid_until.milliseconds(), (NOW + 120) * 1000);
            let later = now().plus(Duration::from_secs(61));
            assert_eq!(verify_token(&token, issuer, &secrets, later), Err(TokenError::InvalidSignature));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_accepted_or_causes_a_panic(token in "(\\PC|[A-Za-z0-9_=.-]){0,200}") {
            prop_assert!(verify_token(&token, Issuer::GitlabShell, &RotatingSecret::new(secret("s")), now()).is_err());
        }
    }
}
