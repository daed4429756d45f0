//! What a request shows to be believed: gitlab-shell's JWT, or the base document's shared secret. (server.md 1.1)

use std::num::NonZeroUsize;

use http::HeaderMap;

use crate::model::time::Time;
use crate::wire::secret::{Secret, Secrets};

/// The header of gitlab-shell's token.
pub const SHELL_HEADER: &str = "gitlab-shell-api-request";
/// The header of the shared secret, in Base64.
pub const SHARED_SECRET_HEADER: &str = "gitlab-shared-secret";
/// The parameter of the shared secret.
pub const SHARED_SECRET_PARAMETER: &str = "secret_token";

/// Judges what requests show against a secret that may be renewed while it runs; remembers tokens that were good.
pub struct Gatekeeper {
    _inner: (Option<NonZeroUsize>, Option<Secrets>),
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
    pub fn new(_secret: Secret, _tokens: usize) -> Self {
        todo!()
    }

    /// From now on this secret; the one before counts for [`crate::wire::secret::GRACE`] more, remembered tokens of it too.
    pub fn renew(&self, _next: Secret, _now: Time) {
        todo!()
    }

    /// Judges the headers: the token if there is one; else, if `shared_secret` may be used here, its header. The parameter
    /// `secret_token` is judged by [`Gatekeeper::parameter`], once parameters are read.
    pub fn headers(&self, _headers: &HeaderMap, _shared_secret: bool, _now: Time) -> Shown {
        todo!()
    }

    /// Judges the parameter `secret_token` (plain or Base64).
    pub fn parameter(&self, _secret_token: &str, _now: Time) -> Shown {
        todo!()
    }

    /// A fresh token of gitlab-shell's, signed with the present secret; one a second, kept.
    #[must_use]
    pub fn mint(&self, _now: Time) -> String {
        todo!()
    }
}
