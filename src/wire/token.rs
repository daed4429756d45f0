//! JSON Web Tokens: gitlab-shell's, the followers' and KAS's. HS256 only. (server.md 1.1; client.md 1.7)

use crate::model::time::Time;
use crate::wire::secret::{Secret, Secrets};

/// Seconds that clocks may differ.
pub const LEEWAY_SECONDS: i64 = 60;
/// Seconds that a token of ours is good for.
pub const LIFETIME_SECONDS: i64 = 60;

/// Who issues a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// `gitlab-shell`.
    Shell,
    /// `sidegate` with `aud` `sync`: a follower; `sub` is its host.
    Sync,
    /// `gitlab-kas`.
    Kas,
}

/// What a token said, once it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`; only followers have one.
    pub subject: Option<String>,
    /// Until when it may be remembered as good: `exp` + leeway.
    pub until: Time,
}

/// Why a token is not believed. None of them says anything of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disbelieved {
    /// Not a JWT, or not HS256.
    #[error("malformed")]
    Malformed,
    /// Signed with another secret.
    #[error("wrong signature")]
    Signature,
    /// Another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// `exp` is missing or at most now − leeway.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is after now + leeway.
    #[error("from the future")]
    Early,
}

/// Verifies a token against the accepted secrets.
pub fn verify(_token: &str, _issuer: Issuer, _secrets: &Secrets, _now: Time) -> Result<Claims, Disbelieved> {
    todo!()
}

/// Makes a token: `iss`, `exp` = now + 60 s, `iat`, and `sub` for a follower.
#[must_use]
pub fn mint(_issuer: Issuer, _subject: Option<&str>, _secret: &Secret, _now: Time) -> String {
    todo!()
}
