//! Shared secrets, and how long the previous one is still accepted after a rotation.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use crate::model::time::Time;

/// How long the previous secret is still accepted.
pub const ROTATION_GRACE: Duration = Duration::from_secs(60);
/// Bytes of a KAS secret once decoded.
pub const KAS_SECRET_BYTES: usize = 32;

/// The bytes of a secret file, trimmed of white space at both ends. Never empty; never printed.
#[derive(Clone)]
pub struct Secret(secrecy::SecretSlice<u8>);

/// The error of a secret that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

/// The error of a KAS secret that is not the Base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a KAS secret is the Base64 of 32 bytes, as `openssl rand -base64 32` writes it")]
pub struct InvalidKasSecret;

impl Secret {
    /// Reads a secret from the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EmptySecret> {
        let trimmed = trim(bytes);
        if trimmed.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self(trimmed.to_vec().into()))
    }

    /// Reads a secret from the bytes of a KAS secret file, which contains 32 bytes in Base64. (server.md 2.13)
    pub fn from_kas_base64(bytes: &[u8]) -> Result<Self, InvalidKasSecret> {
        let decoded = STANDARD.decode(trim(bytes)).map_err(|_| InvalidKasSecret)?;
        if decoded.len() != KAS_SECRET_BYTES {
            return Err(InvalidKasSecret);
        }
        Ok(Self(decoded.into()))
    }

    /// Returns the bytes, for signing and comparing only.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret()
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        self.expose_bytes().ct_eq(bytes).into()
    }
}

/// The present secret, and the previous one while it is still accepted.
#[derive(Clone)]
pub struct RotatingSecret {
    current: Secret,
    previous: Option<(Secret, Time)>,
}

impl RotatingSecret {
    /// Starts with one secret.
    #[must_use]
    pub const fn new(current: Secret) -> Self {
        Self { current, previous: None }
    }

    /// Replaces the present secret; the old one is accepted until `now` + [`ROTATION_GRACE`]. The same secret again changes nothing.
    #[must_use]
    pub fn rotated(self, next: Secret, now: Time) -> Self {
        if self.current.matches(next.expose_bytes()) {
            return self;
        }
        Self { current: next, previous: Some((self.current, now.plus(ROTATION_GRACE))) }
    }

    /// Returns the secret to sign with.
    #[must_use]
    pub const fn current(&self) -> &Secret {
        &self.current
    }

    /// Iterates over the accepted secrets, the present one first.
    pub fn accepted(&self, now: Time) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(self.previous.iter().filter(move |(_, until)| now <= *until).map(|(secret, _)| secret))
    }

    /// Returns whether the text, trimmed, equals an accepted secret. Takes constant time.
    #[must_use]
    pub fn matches_accepted(&self, text: &[u8], now: Time) -> bool {
        let text = trim(text);
        self.accepted(now).fold(false, |same, secret| secret.matches(text) | same)
    }
}

/// Without white space at both ends: gitlab-shell trims Unicode's, and signs with what is left. (client.md 1.7)
fn trim(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RotatingSecret, Secret};
    use crate::model::time::Time;

    fn secret(text: &str) -> Secret {
        Secret::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_secret_is_what_gitlab_shell_would_sign_with() {
        assert_eq!(Secret::from_bytes("\u{a0}\n ab c\r\n".as_bytes()).map(|secret| secret.expose_bytes().to_vec()), Ok(b"ab c".to_vec()));
        for nothing in ["", "\n", " \t\r\n\u{3000}"] {
            assert!(Secret::from_bytes(nothing.as_bytes()).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn a_kas_secret_is_32_bytes_in_base64() {
        let kas = Secret::from_kas_base64(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
        assert_eq!(kas.expose_bytes(), (0..32).collect::<Vec<u8>>());
        for wrong in ["", "AAEC", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "0123456789abcdef0123456789abcdef"] {
            assert!(Secret::from_kas_base64(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_previous_secret_is_accepted_for_a_minute() {
        let then = Time::EPOCH.plus(Duration::from_secs(1000));
        let later = |seconds| then.plus(Duration::from_secs(seconds));
        let secrets = RotatingSecret::new(secret("old")).rotated(secret("new"), then).rotated(secret("new"), later(30));
        assert!(secrets.matches_accepted(b"old\n", later(60)) && secrets.matches_accepted(b"new", later(60)));
        assert!(!secrets.matches_accepted(b"old", later(61)) && secrets.matches_accepted(b"new", later(61)));
        assert!(!secrets.matches_accepted(b"", then) && !secrets.matches_accepted(b"ol", then) && !secrets.matches_accepted(b"old!", then));
        let third = secrets.rotated(secret("third"), later(10));
        assert!(!third.matches_accepted(b"old", later(10)), "only one before the present one counts");
    }
}
