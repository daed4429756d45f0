//! Shared secrets, and how long the one before still counts.

use std::time::Duration;

use crate::model::time::Time;

/// How long the secret before the present one is still accepted.
pub const GRACE: Duration = Duration::from_secs(60);

/// The bytes of a secret file, trimmed of white space at both ends. Never empty; never printed.
pub struct Secret(secrecy::SecretSlice<u8>);

/// Said of a secret that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

impl Secret {
    /// From a file's bytes.
    pub fn of(_bytes: &[u8]) -> Result<Self, EmptySecret> {
        todo!()
    }

    /// The bytes, for signing and comparing only.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret()
    }
}

/// The present secret, and the one before it while it still counts.
pub struct Secrets {
    present: Secret,
    before: Option<(Secret, Time)>,
}

impl Secrets {
    /// One secret.
    #[must_use]
    pub const fn one(present: Secret) -> Self {
        Self { present, before: None }
    }

    /// With a new present secret; the old one counts until `now` + [`GRACE`]. The same secret again changes nothing.
    #[must_use]
    pub fn renewed(self, _next: Secret, _now: Time) -> Self {
        todo!()
    }

    /// The one to sign with.
    #[must_use]
    pub const fn present(&self) -> &Secret {
        &self.present
    }

    /// Those that count now, present first.
    pub fn accepted(&self, now: Time) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.present).chain(self.before.iter().filter(move |(_, until)| now <= *until).map(|(secret, _)| secret))
    }

    /// Whether text (as it came, trimmed) equals an accepted secret; constant time.
    #[must_use]
    pub fn same(&self, _text: &[u8], _now: Time) -> bool {
        todo!()
    }
}
